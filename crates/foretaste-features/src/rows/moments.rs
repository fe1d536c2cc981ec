//! The features of the moment of each training row, by the function that requests call.
//!
//! Rows and events come in the order of users and times, so one pass over both is enough, and
//! memory holds the last events of one user.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Int64Array, RecordBatch, StringViewArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use foretaste_core::moment::{Candidate, MAX_STEPS, NAMES, Step, features};
use foretaste_core::{Error, Result};
use futures_util::StreamExt;

use super::WHAT;
use crate::failure;

/// Columns of a row that say what its candidate is; they are not written.
pub(super) const CATEGORY: &str = "candidate_category";
pub(super) const CREATED: &str = "candidate_created_ms";

/// A column of rows, and where its values stand.
#[derive(Debug)]
struct Events {
    users: StringViewArray,
    times: Int64Array,
    items: StringViewArray,
    categories: StringViewArray,
}

impl Events {
    fn of(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            users: texts(batch, "user_id")?,
            times: numbers(batch, "time_ms")?,
            items: texts(batch, "item_id")?,
            categories: texts(batch, "category")?,
        })
    }
}

/// Walks through the events beside the rows.
pub(super) struct Moments {
    stream: SendableRecordBatchStream,
    events: Option<Events>,
    at: usize,
    user: String,
    steps: Vec<Step<String>>,
}

impl Moments {
    /// `stream` gives user_id, time_ms, item_id, category in the order of the first two.
    pub(super) fn new(stream: SendableRecordBatchStream) -> Self {
        Self { stream, events: None, at: 0, user: String::new(), steps: Vec::new() }
    }

    /// The schema of rows with the features of the moment at their end.
    pub(super) fn schema(rows: &Schema) -> SchemaRef {
        let kept = rows.fields().iter().filter(|f| f.name() != CATEGORY && f.name() != CREATED);
        let more = NAMES.iter().map(|name| Arc::new(Field::new(*name, DataType::Float32, true)));
        Arc::new(Schema::new(kept.cloned().chain(more).collect::<Vec<_>>()))
    }

    /// Rows that follow the last ones in order, with the features of their moment.
    pub(super) async fn add(&mut self, rows: &RecordBatch, to: &SchemaRef) -> Result<RecordBatch> {
        let (users, times) = (texts(rows, "user_id")?, numbers(rows, "time_ms")?);
        let (items, categories) = (texts(rows, "item_id")?, texts(rows, CATEGORY)?);
        let created = numbers(rows, CREATED)?;
        let mut found: Vec<Vec<Option<f32>>> =
            vec![Vec::with_capacity(rows.num_rows()); NAMES.len()];
        for row in 0..rows.num_rows() {
            self.advance(users.value(row), times.value(row)).await?;
            let candidate = Candidate {
                item: items.value(row).to_owned(),
                category: text(&categories, row),
                created_ms: if created.is_valid(row) { created.value(row) } else { 0 },
            };
            let values = features(times.value(row), &self.steps, &candidate);
            found.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
        let kept =
            to.fields().iter().filter_map(|field| rows.column_by_name(field.name()).cloned());
        let more = found.into_iter().map(|c| Arc::new(Float32Array::from(c)) as ArrayRef);
        RecordBatch::try_new(Arc::clone(to), kept.chain(more).collect()).map_err(failure::arrow)
    }

    /// Takes in the user's events before a time.
    async fn advance(&mut self, user: &str, time_ms: i64) -> Result<()> {
        if self.user != user {
            user.clone_into(&mut self.user);
            self.steps.clear();
        }
        loop {
            let Some(events) = self.events.as_ref().filter(|e| self.at < e.times.len()) else {
                if !self.fetch().await? {
                    return Ok(());
                }
                continue;
            };
            let (event_user, at) = (events.users.value(self.at), events.times.value(self.at));
            if event_user > user || event_user == user && at >= time_ms {
                return Ok(());
            }
            if event_user == user {
                let item = events.items.value(self.at).to_owned();
                let category = text(&events.categories, self.at);
                self.steps.push(Step { time_ms: at, item, category });
                if self.steps.len() > 2 * MAX_STEPS {
                    self.steps.drain(..MAX_STEPS);
                }
            }
            self.at += 1;
        }
    }

    /// The next events; false when there are no more.
    async fn fetch(&mut self) -> Result<bool> {
        let Some(batch) = self.stream.next().await else { return Ok(false) };
        self.events = Some(Events::of(&batch.map_err(|e| failure::sql(WHAT, e))?)?);
        self.at = 0;
        Ok(true)
    }
}

fn missing(name: &str) -> Error {
    Error::internal(format!("{WHAT} lack the column {name} or it has another type"))
}

fn texts(batch: &RecordBatch, name: &str) -> Result<StringViewArray> {
    let column = batch.column_by_name(name).and_then(|c| c.as_string_view_opt());
    column.cloned().ok_or_else(|| missing(name))
}

fn numbers(batch: &RecordBatch, name: &str) -> Result<Int64Array> {
    let column = batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int64Type>());
    column.cloned().ok_or_else(|| missing(name))
}

fn text(column: &StringViewArray, row: usize) -> Option<String> {
    column.is_valid(row).then(|| column.value(row).to_owned())
}
