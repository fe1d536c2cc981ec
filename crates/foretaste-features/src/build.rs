//! Computing the values of a feature set as of a time, and bringing them up to date.
//!
//! Ages are whole days, so within one day (UTC) the values of an entity change only when its own
//! events do: then only such entities are computed anew and the others' rows are kept. With a new
//! day, another definition or another catalogue everything is computed anew.

use std::collections::{BTreeMap, HashSet};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::prelude::{DataFrame, SessionContext};
use foretaste_core::{ErrorKind, Result};
use futures_util::StreamExt;
use serde::Serialize;

use crate::check::Checked;
use crate::engine::{Engine, plan, register};
use crate::failure;
use crate::history::{self, AS_OF, Scope};
use crate::lake::{EVENTS, FeatureLake, ITEMS, Inputs, USERS};
use crate::table::{Change, DAY_MS, Removal, TableState, TableWriter};

/// Names under which a session sees what has to be computed anew and what is kept.
const TOUCHED: &str = "touched";
const PREVIOUS: &str = "previous";

/// How values came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All were computed, because of this.
    Full(&'static str),
    /// Those of so many entities were computed, the others kept.
    Update(u64),
    /// Nothing has changed since they were computed.
    Unchanged,
}

/// What a build did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Built {
    /// The feature set.
    pub name: String,
    /// How.
    pub mode: Mode,
    /// Entities with values.
    pub rows: u64,
    /// The time that values are computed for: no event at or after it counts.
    pub as_of_ms: i64,
}

/// Which values a table holds, as its marks say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Provenance {
    as_of: i64,
    definition: String,
    schema_hash: String,
    events: u64,
    items: u64,
    users: u64,
}

impl Provenance {
    fn marks(&self) -> BTreeMap<String, Option<String>> {
        let Self { as_of, definition, schema_hash, events, items, users } = self;
        let mark = |name: &str, value: &dyn ToString| (name.to_owned(), Some(value.to_string()));
        BTreeMap::from([
            mark("as_of_ms", as_of),
            mark("definition", definition),
            mark("schema_hash", schema_hash),
            mark("events_generation", events),
            mark("items_generation", items),
            mark("users_generation", users),
        ])
    }

    fn of(marks: &BTreeMap<String, String>) -> Option<Self> {
        let number = |name: &str| marks.get(name)?.parse::<u64>().ok();
        Some(Self {
            as_of: marks.get("as_of_ms")?.parse().ok()?,
            definition: marks.get("definition")?.clone(),
            schema_hash: marks.get("schema_hash")?.clone(),
            events: number("events_generation")?,
            items: number("items_generation")?,
            users: number("users_generation")?,
        })
    }
}

/// The time that the values in a table are computed for; `None` when there are none.
pub fn as_of(values: &TableState) -> Option<i64> {
    Some(Provenance::of(values.marks())?.as_of)
}

/// Computes the values of `set` as of `as_of_ms` into its table, updating what is there where
/// that gives the same.
///
/// # Errors
/// `Exhausted` when memory and spill folder are too small, `Conflict` when another build of the
/// same set came in between; what the storage says. The table is as before then.
///
/// # Cost
/// A full build reads the events of the window once. An update reads them, too, but groups only
/// those of entities that have changed.
pub async fn build(
    lake: &FeatureLake,
    engine: &Engine,
    set: &Checked,
    (inputs, as_of_ms): (&Inputs, i64),
) -> Result<Built> {
    let values = lake.table(&set.definition.table())?.state().await?;
    let next = Provenance {
        as_of: as_of_ms,
        definition: set.definition.digest(),
        schema_hash: set.schema_hash()?,
        events: inputs.events.generation(),
        items: inputs.items.generation(),
        users: inputs.users.generation(),
    };
    let tables = [(EVENTS, &inputs.events), (ITEMS, &inputs.items), (USERS, &inputs.users)];
    let job = Job { engine, set, inputs, values, next, session: engine.session(&tables)? };
    let mode = job.mode().await?;
    let mut change = match mode {
        Mode::Full(_) => job.written(job.computed(Scope::All { as_of: as_of_ms }).await?).await?,
        Mode::Update(_) => job.written(job.updated().await?).await?,
        Mode::Unchanged => Change::default(),
    };
    change.marks = job.next.marks();
    change.expected = Some(job.values.generation());
    let state = job.values.table().commit(&change).await?;
    Ok(Built { name: set.definition.name.clone(), mode, rows: state.rows(), as_of_ms })
}

/// One build under way.
struct Job<'a> {
    engine: &'a Engine,
    set: &'a Checked,
    inputs: &'a Inputs,
    values: TableState,
    next: Provenance,
    session: SessionContext,
}

impl Job<'_> {
    /// How the next values can be had; registers the touched entities for an update.
    async fn mode(&self) -> Result<Mode> {
        let Some(previous) = Provenance::of(self.values.marks()) else {
            return Ok(Mode::Full("there are no values yet"));
        };
        let next = &self.next;
        let full = if (&previous.definition, &previous.schema_hash)
            != (&next.definition, &next.schema_hash)
        {
            Some("the definition has changed")
        } else if (previous.items, previous.users) != (next.items, next.users) {
            Some("items or users have changed")
        } else if !self.set.uses_history {
            None
        } else if next.as_of < previous.as_of {
            Some("the values there are of a later time")
        } else if next.as_of.div_euclid(DAY_MS) != previous.as_of.div_euclid(DAY_MS) {
            Some("a new day has begun")
        } else {
            None
        };
        if let Some(why) = full {
            return Ok(Mode::Full(why));
        }
        if !self.set.uses_history {
            return Ok(Mode::Unchanged);
        }
        match self.touch(&previous).await {
            Ok(Some(0)) => Ok(Mode::Unchanged),
            Ok(Some(entities)) => Ok(Mode::Update(entities)),
            Ok(None) => Ok(Mode::Full("older events are gone")),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Mode::Full("older events are gone")),
            Err(e) => Err(e),
        }
    }

    /// Registers the entities whose events differ between the two states, or came of age between
    /// the two times, and counts them; `None` when events that went cannot be read any more.
    async fn touch(&self, previous: &Provenance) -> Result<Option<u64>> {
        let now = &self.inputs.events;
        let before = now.table().state_at(previous.events).await?;
        let paths = |state: &TableState| -> HashSet<String> {
            state.files().iter().map(|file| file.path.clone()).collect()
        };
        let (old, new) = (paths(&before), paths(now));
        let differing = [
            ("came", now.only(|file| !old.contains(&file.path))),
            ("went", before.only(|file| !new.contains(&file.path))),
        ];
        if !differing[1].1.is_whole().await? {
            return Ok(None);
        }
        let keys = self.set.definition.entity.keys().join(", ");
        let until = self.next.as_of;
        let mut sql = format!(
            "SELECT DISTINCT {keys} FROM (SELECT {keys} FROM {EVENTS} \
             WHERE time_ms >= {} AND time_ms < {until}",
            previous.as_of
        );
        for (name, state) in &differing {
            if !state.files().is_empty() {
                register(&self.session, name, state)?;
                sql += &format!(" UNION ALL SELECT {keys} FROM {name} WHERE time_ms < {until}");
            }
        }
        let what = self.what();
        let view = plan(&self.session, &what, &(sql + ")")).await?.into_view();
        let registered = self.session.register_table(TOUCHED, view);
        registered.map_err(|e| failure::sql(&what, e))?;
        let count = plan(&self.session, &what, &format!("SELECT count(*) FROM {TOUCHED}")).await?;
        let found = self.engine.collect(count, &what).await?;
        let number = |batch: &RecordBatch| {
            batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>()
        };
        let entities = found.iter().map(number).sum::<i64>().unsigned_abs();
        Ok(Some(entities))
    }

    /// The values of those in `scope`.
    async fn computed(&self, scope: Scope<'_>) -> Result<DataFrame> {
        values(&self.session, self.set, scope).await
    }

    /// The values of the touched entities and the rows of all others.
    async fn updated(&self) -> Result<DataFrame> {
        let as_of = self.next.as_of;
        let fresh = self.computed(Scope::Among { as_of, table: TOUCHED }).await?;
        register(&self.session, PREVIOUS, &self.values)?;
        let columns: Vec<String> =
            self.set.columns.iter().map(|column| format!("p.{}", column.name)).collect();
        let keys = self.set.definition.entity.keys().iter();
        let same: Vec<String> = keys.map(|key| format!("p.{key} = t.{key}")).collect();
        let sql = format!(
            "SELECT {} FROM {PREVIOUS} p LEFT ANTI JOIN {TOUCHED} t ON {}",
            columns.join(", "),
            same.join(" AND ")
        );
        let what = self.what();
        let kept = plan(&self.session, &what, &sql).await?;
        fresh.union(kept).map_err(|e| failure::sql(&what, e))
    }

    /// Rows as files that replace the table.
    async fn written(&self, rows: DataFrame) -> Result<Change> {
        let what = self.what();
        let written = async || {
            let mut writer = TableWriter::anew(&self.values, &self.set.columns.schema())?;
            let mut stream = self.engine.stream(rows.clone(), &what).await?;
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(|e| failure::sql(&what, e))?;
                writer.write(&batch).await.map_err(|e| e.context(self.set.definition.place()))?;
            }
            writer.finish().await
        };
        let (add, columns) = self.engine.attempt(written).await?;
        Ok(Change { add, columns, remove: Removal::All, ..Change::default() })
    }

    fn what(&self) -> String {
        format!("feature set {}", self.set.definition.name)
    }
}

/// The values of those in `scope`: keys and columns, and with [`Scope::Each`] the time.
pub(crate) async fn values(
    session: &SessionContext,
    set: &Checked,
    scope: Scope<'_>,
) -> Result<DataFrame> {
    if set.uses_history {
        history::register(session, &set.definition, scope).await?;
    }
    let place = set.definition.place();
    let frame = plan(session, &place, &set.definition.sql).await?;
    if matches!(scope, Scope::Each { .. }) || !set.uses_history {
        return Ok(frame);
    }
    frame.drop_columns(&[AS_OF]).map_err(|e| failure::sql(place, e))
}
