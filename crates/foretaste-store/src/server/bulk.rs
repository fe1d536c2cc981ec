//! Bulk imports: into a table of their own, from which the commit moves them in one transaction.

use std::collections::HashSet;

use foretaste_core::{Error, EventBatch, IdTable, Result};

use super::append::{add_kinds, known_kinds, row_keyed};
use super::partitions::{self, month_of};
use super::schema::EVENT_COLUMNS;
use super::sql::{Arg, Changing, Database, insert, run};
use crate::memory::imported_before;
use crate::store::{BulkOutcome, BulkWriter, Source};
use crate::validate;

/// Rows that go to the server together.
const ROWS_AT_ONCE: usize = 1_000;
/// What was left by an import that did not end is taken away when it is so old.
const ABANDONED_MS: i64 = 48 * 3_600_000;

pub(super) struct ServerBulk<'a> {
    database: &'a Database,
    source: Source,
    /// Names this import among others that may be under way.
    import: String,
    kinds: IdTable,
    months: HashSet<i64>,
    events: u64,
}

impl<'a> ServerBulk<'a> {
    pub(super) fn begin(database: &'a Database, source: &Source) -> Result<Self> {
        let import = database.wait(async {
            let now = partitions::now_ms(database).await?;
            let random = std::collections::hash_map::RandomState::new();
            let number = std::hash::BuildHasher::hash_one(&random, &source.digest);
            let import = format!("{now}-{number:016x}");
            let begun = async |changing: &mut Changing<'_>| {
                let old = "SELECT import FROM foretaste_imports WHERE begun_ms < ?";
                for row in changing.rows(old, vec![(now - ABANDONED_MS).into()]).await? {
                    let left = changing.text(&row, 0)?;
                    forget(changing, &left).await?;
                }
                let row = vec![Arg::text(&import), now.into()];
                changing.insert("foretaste_imports (import, begun_ms)", "", vec![row]).await
            };
            database.transaction(begun).await?;
            Ok(import)
        })?;
        Ok(Self {
            database,
            source: source.clone(),
            import,
            kinds: IdTable::new(),
            months: HashSet::new(),
            events: 0,
        })
    }

    async fn stage(&self, batch: &EventBatch) -> Result<()> {
        let target = format!("foretaste_staged (import, {EVENT_COLUMNS})");
        let mut connection = self.database.connection().await?;
        let dialect = self.database.dialect;
        let mut at = 0;
        while at < batch.len() {
            let end = batch.len().min(at + ROWS_AT_ONCE);
            let row = |i: usize| {
                let event = row_keyed(&batch.get(i), batch.key[i], None);
                [Arg::text(&self.import)].into_iter().chain(event).collect()
            };
            let rows = (at..end).map(row).collect();
            insert(dialect, &mut connection, (&target, ""), rows).await?;
            at = end;
        }
        Ok(())
    }

    async fn publish(&self) -> Result<()> {
        let mut months: Vec<i64> = self.months.iter().copied().collect();
        months.sort_unstable();
        partitions::make(self.database, months).await?;
        let publish = async |changing: &mut Changing<'_>| {
            let known = "SELECT digest FROM foretaste_sources WHERE digest = ?";
            if !changing.rows(known, vec![Arg::text(&self.source.digest)]).await?.is_empty() {
                return Err(imported_before(&self.source));
            }
            let mut kinds = known_kinds(changing).await?;
            let old = kinds.len();
            self.kinds.iter().try_for_each(|kind| validate::kind(&mut kinds, kind))?;
            add_kinds(changing, &kinds, old).await?;
            let conflict = changing.conflict("events", "time_ms, event_key", &[]);
            let sql = format!(
                "INSERT INTO foretaste_events ({EVENT_COLUMNS}) \
                 SELECT {EVENT_COLUMNS} FROM foretaste_staged WHERE import = ? {conflict}"
            );
            changing.run(&sql, vec![Arg::text(&self.import)]).await?;
            let Source { name, digest } = &self.source;
            let row = vec![Arg::text(digest), Arg::text(name), (self.events as i64).into()];
            changing.insert("foretaste_sources (digest, name, n)", "", vec![row]).await?;
            forget(changing, &self.import).await
        };
        self.database.transaction(publish).await
    }
}

async fn forget(changing: &mut Changing<'_>, import: &str) -> Result<()> {
    changing.run("DELETE FROM foretaste_staged WHERE import = ?", vec![Arg::text(import)]).await?;
    changing.run("DELETE FROM foretaste_imports WHERE import = ?", vec![Arg::text(import)]).await?;
    Ok(())
}

impl BulkWriter for ServerBulk<'_> {
    fn write(&mut self, batch: &EventBatch) -> Result<()> {
        batch.kinds.iter().try_for_each(|kind| validate::kind(&mut self.kinds, kind))?;
        self.months.extend(batch.time_ms.iter().map(|&time| month_of(time)));
        self.database.wait(self.stage(batch))?;
        self.events += batch.len() as u64;
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<BulkOutcome> {
        self.database.wait(self.publish())?;
        Ok(BulkOutcome { events: self.events, bytes: 0 })
    }
}

impl Drop for ServerBulk<'_> {
    fn drop(&mut self) {
        // After a commit there is nothing left; what cannot be taken away now is so later.
        let dialect = self.database.dialect;
        let left: Result<(), Error> = self.database.wait(async {
            let mut connection = self.database.connection().await?;
            for table in ["staged", "imports"] {
                let sql = format!("DELETE FROM foretaste_{table} WHERE import = ?");
                run(dialect, &mut connection, &sql, vec![Arg::text(&self.import)]).await?;
            }
            Ok(())
        });
        drop(left);
    }
}
