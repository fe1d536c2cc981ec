//! Bulk imports: into a table of their own, from which the commit moves them in one transaction.
//!
//! That transaction takes long and does not lock the counter, so events are stored beside it. It
//! need not: its events have no sequence numbers, which order only what `tail` and `news` show; of
//! those that read by time each sees the whole import or nothing of it, as the commit decides. Two
//! imports of one source meet at the row of the source, which is written first.

use std::collections::HashSet;
use std::time::Duration;

use foretaste_core::{Error, ErrorKind, EventBatch, IdTable, Result};

use super::append::{add_kinds, known_kinds, row_keyed};
use super::partitions::{self, month_of};
use super::schema::EVENT_COLUMNS;
use super::sql::{Arg, Changing, Database, insert, run, text};
use crate::memory::imported_before;
use crate::store::{BulkOutcome, BulkWriter, Source};
use crate::validate;

/// Rows that go to the server together.
const ROWS_AT_ONCE: usize = 1_000;
/// What was left by an import that did not end is taken away when it is so old.
const ABANDONED_MS: i64 = 48 * 3_600_000;
/// How long an import waits for another one of the same source.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(3_600);
/// How often it is made visible anew when the server breaks it off, because an append had the same
/// events in another order, say.
const TRIES: usize = 3;

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
                // What others take away or make visible is theirs.
                let old = "SELECT import FROM foretaste_imports WHERE begun_ms < ? \
                           FOR UPDATE SKIP LOCKED";
                for row in changing.rows(old, vec![(now - ABANDONED_MS).into()]).await? {
                    let left = text(&row, 0)?;
                    claim(changing, &left).await?;
                    forget(changing, &left).await?;
                }
                let row = vec![Arg::text(&import), now.into()];
                changing.insert("foretaste_imports (import, begun_ms)", "", vec![row]).await
            };
            database.unnumbered(database.lock_timeout, begun).await?;
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

    fn publish(&self) -> Result<()> {
        let database = self.database;
        let months: Vec<i64> = self.months.iter().copied().collect();
        database.wait(partitions::make(database, months))?;
        database.wait(database.transaction(async |changing| self.announce(changing).await))?;
        let mut tries = 1;
        loop {
            let show = async |changing: &mut Changing<'_>| self.show(changing).await;
            let shown = database.wait(database.unnumbered(PUBLISH_TIMEOUT, show));
            let Err(error) = shown else { return Ok(()) };
            if self.has("sources", "digest", &self.source.digest)? {
                // Either another import was first, or only the answer to this one was lost.
                let is_other = self.has("imports", "import", &self.import)?;
                return if is_other { Err(imported_before(&self.source)) } else { Ok(()) };
            }
            if tries == TRIES || error.kind() != ErrorKind::Unavailable {
                return Err(error);
            }
            tries += 1;
        }
    }

    fn has(&self, table: &str, key: &str, value: &str) -> Result<bool> {
        let sql = format!("SELECT {key} FROM foretaste_{table} WHERE {key} = ?");
        self.database.rows(&sql, vec![Arg::text(value)]).map(|rows| !rows.is_empty())
    }

    /// Stores the kinds, whose number is bounded over all writers. They stay when the import fails.
    async fn announce(&self, changing: &mut Changing<'_>) -> Result<()> {
        let sql = "SELECT digest FROM foretaste_sources WHERE digest = ?";
        if !changing.rows(sql, vec![Arg::text(&self.source.digest)]).await?.is_empty() {
            return Err(imported_before(&self.source));
        }
        let mut kinds = known_kinds(changing).await?;
        let old = kinds.len();
        self.kinds.iter().try_for_each(|kind| validate::kind(&mut kinds, kind))?;
        add_kinds(changing, &kinds, old).await
    }

    /// Makes the events visible, and the source known.
    async fn show(&self, changing: &mut Changing<'_>) -> Result<()> {
        let Source { name, digest } = &self.source;
        let row = vec![Arg::text(digest), Arg::text(name), (self.events as i64).into()];
        changing.insert("foretaste_sources (digest, name, n)", "", vec![row]).await?;
        if !claim(changing, &self.import).await? {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("the import of {name} took so long that it was given up; begin it anew"),
            ));
        }
        let conflict = changing.conflict("events", "time_ms, event_key", &[]);
        let sql = format!(
            "INSERT INTO foretaste_events ({EVENT_COLUMNS}) \
             SELECT {EVENT_COLUMNS} FROM foretaste_staged WHERE import = ? {conflict}"
        );
        changing.run(&sql, vec![Arg::text(&self.import)]).await?;
        forget(changing, &self.import).await
    }
}

/// Ends an import, for whoever makes it visible or takes it away; false when another one did.
async fn claim(changing: &mut Changing<'_>, import: &str) -> Result<bool> {
    let sql = "DELETE FROM foretaste_imports WHERE import = ?";
    Ok(changing.run(sql, vec![Arg::text(import)]).await? > 0)
}

/// Takes away what an import has sent.
async fn forget(changing: &mut Changing<'_>, import: &str) -> Result<()> {
    let sql = "DELETE FROM foretaste_staged WHERE import = ?";
    changing.run(sql, vec![Arg::text(import)]).await.map(|_| ())
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
        self.publish()?;
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
