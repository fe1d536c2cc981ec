//! A small generated marketplace in a lake.

use std::collections::BTreeMap;

use foretaste_core::{Event, EventBatch, Item, Result, User};
use foretaste_features::lake::{DayDigests, EventCopy, EventsCopied, FeatureLake, Inputs};
use foretaste_features::table::DAY_MS;
use foretaste_features::{Catalogue, Checked, Engine, EngineConfig, Entity, Place, check};
use foretaste_generate::Spec;
use tempfile::TempDir;

/// Events, items and users in memory, and a lake to put them into.
pub struct Market {
    pub events: Vec<Event>,
    pub items: Vec<Item>,
    pub users: Vec<User>,
    pub lake: FeatureLake,
    pub engine: Engine,
    _folder: TempDir,
}

impl Market {
    /// So many events of 60 users with 40 items in 40 days. Nothing is in the lake yet.
    pub fn new(events: u64, seed: u64) -> Self {
        let spec = Spec { users: 60, items: 40, events, seed, days: 40, ..Spec::default() };
        let mut all = Vec::new();
        foretaste_generate::generate(&spec, &mut |batch| {
            all.extend((0..batch.len()).map(|row| batch.get(row)));
            Ok(())
        })
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let place = Place::folder(folder.path()).unwrap();
        Self {
            events: all,
            items: foretaste_generate::items(&spec).collect(),
            users: foretaste_generate::users(&spec).collect(),
            engine: Engine::new(&place, &EngineConfig::default()).unwrap(),
            lake: FeatureLake::new(&place),
            _folder: folder,
        }
    }

    /// A moment in the afternoon of the last day.
    pub fn afternoon(&self) -> i64 {
        let last = self.events.iter().map(|event| event.time_ms).max().unwrap();
        last.div_euclid(DAY_MS) * DAY_MS + 16 * 3_600_000
    }

    pub async fn put_catalogue(&self) {
        self.lake.put_items(&self.items).await.unwrap();
        self.lake.put_users(&self.users).await.unwrap();
    }

    /// Makes the events of the lake these.
    pub async fn put_events(&self, events: &[Event]) -> Result<EventsCopied> {
        let batches: Vec<EventBatch> = events.chunks(700).map(batch).collect();
        let state = self.lake.inputs().await?.events;
        let mut digests = DayDigests::default();
        batches.iter().for_each(|batch| digests.add(batch));
        let mut copy = EventCopy::new(&self.lake, &state, digests.changed(&state))?;
        for batch in &batches {
            copy.write(batch).await?;
        }
        copy.finish().await
    }

    pub async fn inputs(&self) -> Inputs {
        self.lake.inputs().await.unwrap()
    }

    /// The starter set, checked against this lake.
    pub async fn starter(&self) -> Vec<Checked> {
        self.checked(&Catalogue::starter().unwrap()).await
    }

    pub async fn checked(&self, catalogue: &Catalogue) -> Vec<Checked> {
        let inputs = self.inputs().await;
        let mut sets = Vec::new();
        for set in catalogue.sets() {
            let (items, users) = (inputs.items.schema(), inputs.users.schema());
            sets.push(check(set, Some(items), Some(users)).await.unwrap());
        }
        sets
    }

    /// The values of a feature set: key → column → value.
    pub async fn values(&self, set: &Checked) -> Values {
        let state = self.lake.table(&set.definition.table()).unwrap().state().await.unwrap();
        let session = self.engine.session(&[("v", &state)]).unwrap();
        let frame = session.sql("SELECT * FROM v").await.unwrap();
        read(&frame.collect().await.unwrap(), set.definition.entity)
    }
}

pub fn batch(events: &[Event]) -> EventBatch {
    let mut batch = EventBatch::default();
    events.iter().for_each(|event| batch.push(event));
    batch
}

/// Key (parts joined by a space) → column → number; a missing value is not there.
pub type Values = BTreeMap<String, BTreeMap<String, f64>>;

/// Rows with numbers by their keys.
pub fn read(batches: &[datafusion::arrow::array::RecordBatch], entity: Entity) -> Values {
    use datafusion::arrow::array::{Array, AsArray};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::{DataType, Float64Type};
    let mut values = Values::new();
    for batch in batches {
        let keys: Vec<_> = entity
            .keys()
            .iter()
            .map(|key| cast(batch.column_by_name(key).unwrap(), &DataType::Utf8).unwrap())
            .collect();
        let is_key = |name: &str| entity.keys().contains(&name);
        for row in 0..batch.num_rows() {
            let parts = keys.iter().map(|key| key.as_string::<i32>().value(row).to_owned());
            let key = parts.collect::<Vec<_>>().join(" ");
            assert!(!values.contains_key(&key), "{key} has two rows");
            let of_row = values.entry(key).or_default();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                if is_key(field.name()) || column.is_null(row) {
                    continue;
                }
                let numbers = cast(&column.slice(row, 1), &DataType::Float64).unwrap();
                let number = numbers.as_primitive::<Float64Type>().value(0);
                of_row.insert(field.name().clone(), number);
            }
        }
    }
    values
}

/// Whether all values are equal, but for the order in which fractions were added.
#[track_caller]
pub fn assert_same(found: &Values, expected: &Values, what: &str) {
    let keys = |v: &Values| v.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(found), keys(expected), "{what}: entities");
    for (key, columns) in expected {
        let names = |c: &BTreeMap<String, f64>| c.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found[key]), names(columns), "{what}: columns of {key} with a value");
        for (name, value) in columns {
            let other = found[key][name];
            let close = (other - value).abs() <= 1e-9 * value.abs().max(1.0);
            assert!(close, "{what}: {name} of {key} is {other}, expected {value}");
        }
    }
}
