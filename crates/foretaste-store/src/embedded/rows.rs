//! Steps of rows: noted in the catalogue, their events appended to the log, then closed.

use foretaste_core::{Event, Result};

use super::{EmbeddedStore, lock};
use crate::rows::{RowBucket, RowChanges, RowOutcome, RowStep, RowStore};
use crate::validate;

impl RowStore for EmbeddedStore {
    fn apply_rows_telling(
        &self,
        table: &str,
        mut step: RowStep,
        changes: &mut RowChanges,
    ) -> Result<RowOutcome> {
        validate::name("table", table)?;
        step.check()?;
        let writer = self.writer()?;
        let _one_at_a_time = lock(&writer.stepping);
        let batch = self.catalogue.next_batch(table)?;
        validate::step(table, batch, &mut step)?;
        let events: Vec<&Event> = step.rows.iter().filter_map(|r| r.record.event()).collect();
        {
            let mut kinds = lock(&writer.kinds);
            events.iter().try_for_each(|event| validate::kind(&mut kinds, &event.kind))?;
        }
        let noted = {
            let mut erasures = writer.erasures.write().unwrap_or_else(|e| e.into_inner());
            let given = writer.log.given_seq();
            self.catalogue.note_rows(table, (&step, batch), (given, &mut erasures))?
        };
        changes.retracted.extend(&noted.retracted);
        changes.items.extend(noted.items);
        changes.users.extend(noted.users);
        if !noted.append.is_empty() {
            let events = noted.append.iter().filter_map(|&at| step.rows[at].record.event());
            let events: Vec<Event> = events.cloned().collect();
            writer.log.append(&events)?;
            changes.events.extend(events);
            self.catalogue.close_step(table, step.watermark.as_deref())?;
        }
        Ok(noted.outcome)
    }

    fn watermark(&self, table: &str) -> Result<Option<String>> {
        self.catalogue.watermark(table)
    }

    fn row_digest(&self, table: &str, row: &str) -> Result<Option<u64>> {
        self.catalogue.row_digest(table, row)
    }

    fn row_buckets(&self, table: &str) -> Result<Vec<RowBucket>> {
        self.catalogue.row_buckets(table)
    }

    fn bucket_rows(&self, table: &str, bucket: i64) -> Result<Vec<(String, Option<u64>)>> {
        self.catalogue.bucket_rows(table, bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Record, Row};
    use crate::store::Store;
    use crate::{Columns, EmbeddedOptions};

    fn step(item: &str, digest: u64) -> RowStep {
        let event = Event {
            event_id: None,
            user: "ann".into(),
            item: item.into(),
            kind: "view".into(),
            value: 1.0,
            time_ms: 5,
            context: None,
        };
        let row = Row { row: "1".into(), bucket: 0, digest, record: Record::Event(event) };
        RowStep { rows: vec![row], gone: Vec::new(), watermark: Some(item.to_owned()) }
    }

    fn items(store: &EmbeddedStore) -> Vec<String> {
        let mut items = Vec::new();
        let keep = &mut |batch: foretaste_core::EventBatch| {
            items.extend((0..batch.len()).map(|i| batch.get(i).item));
            Ok(())
        };
        store.read_events(Columns::All, keep).unwrap();
        items
    }

    /// A step that ends after its first transaction, or after that and the append.
    fn interrupt(store: &EmbeddedStore, mut step: RowStep, appended: bool) {
        let batch = store.catalogue.next_batch("t").unwrap();
        step.name_events("t", batch);
        let writer = store.writer().unwrap();
        let mut erasures = writer.erasures.write().unwrap();
        let given = (writer.log.given_seq(), &mut *erasures);
        store.catalogue.note_rows("t", (&step, batch), given).unwrap();
        if appended {
            writer.log.append(&[step.rows[0].record.event().unwrap().clone()]).unwrap();
        }
    }

    #[test]
    fn an_interrupted_step_is_repaired_by_reading_its_rows_again() {
        for (appended, now) in [(false, "b"), (true, "b"), (false, "c"), (true, "c")] {
            let dir = tempfile::tempdir().unwrap();
            let open = || EmbeddedStore::open(dir.path(), EmbeddedOptions::default()).unwrap();
            let store = open();
            store.apply_rows("t", step("a", 1)).unwrap();
            interrupt(&store, step("b", 2), appended);
            drop(store);
            let store = open();
            assert_eq!(store.watermark("t").unwrap().as_deref(), Some("a"));
            // The row may have changed meanwhile.
            store.apply_rows("t", step(now, if now == "b" { 2 } else { 3 })).unwrap();
            assert_eq!(items(&store), [now], "appended: {appended}");
            store.apply_rows("t", step("a", 1)).unwrap();
            assert_eq!(items(&store), ["a"]);
            assert_eq!(items(&EmbeddedStore::open_reader(dir.path()).unwrap()), ["a"]);
        }
    }
}
