//! Reading tables once or again and again: passes when they are due, reconciliations when the
//! last one is too old, fewer attempts while a database is away. Whoever wants to know how it
//! goes is a [`Witness`].

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foretaste_core::{Error, ErrorKind, Rng};
use foretaste_ingest::tables::archive::ArchiveFolder;
use foretaste_ingest::tables::{Kept, KeptFigures, Reader, SourceConfig, TableConfig, TableReport};
use foretaste_store::{RowChanges, RowStore};
use serde_json::Value;

use super::Stop;
use super::alarm::{Alarm, Alarmed};
use super::show::{now_ms, statements, to_json};
use crate::run::Run;

/// The first wait after a failure; it doubles up to the source's interval.
const FIRST_RETRY_S: f64 = 1.0;
/// Statements that are shown of each table.
const STATEMENTS: usize = 3;
/// A reconciliation that failed is tried again after this share of `reconcile_s`.
const RETRY_SHARE: i64 = 10;

/// How a table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// What is new.
    Pass,
    /// What no cursor sees.
    Reconcile,
}

impl What {
    /// As it is shown and remembered.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Reconcile => "reconcile",
        }
    }
}

/// How one reading of a table went.
pub struct Reading<'a> {
    /// `source/table`.
    pub table: &'a str,
    /// How it was read.
    pub what: What,
    /// When that began.
    pub began: Instant,
    /// How it went.
    pub done: &'a foretaste_core::Result<TableReport>,
    /// The same for machines.
    pub note: &'a Value,
    /// True when it failed and had not failed like that before, or went well after a failure.
    pub is_news: bool,
}

/// Hears what extraction does.
pub trait Witness {
    /// Whether it wants to hear of changes; each costs time.
    fn listens(&self) -> bool;
    /// A page has changed the store.
    fn changed(&self, changes: &RowChanges);
    /// A table was read.
    fn read(&self, reading: &Reading<'_>);
    /// What became of the connections of a source that is followed, so far.
    fn connections(&self, source: &str, figures: KeptFigures);
}

/// Tables that are read into a store.
pub struct Extraction {
    /// Asks for the end after the page in hand.
    pub stop: Stop,
    store: Arc<dyn RowStore>,
    sources: Vec<(SourceConfig, String)>,
    /// The connection of each source.
    kept: BTreeMap<String, Kept>,
    archive: ArchiveFolder,
    quarantine: PathBuf,
    max_bad_share: f64,
    /// Tables whose changed types are taken as they are, once.
    accepting: Mutex<Vec<String>>,
    failing: Mutex<BTreeMap<(What, String), ErrorKind>>,
    /// Tells who is to be told while databases are followed.
    alarm: Option<Alarm>,
}

impl Extraction {
    /// Of `sources`, each with the URL of its database.
    pub fn new(
        run: &Run,
        sources: Vec<(SourceConfig, String)>,
        store: Arc<dyn RowStore>,
        accept_schema: bool,
    ) -> Self {
        let kept = sources.iter().map(|(source, _)| (source.name.clone(), Kept::default()));
        let extraction = Self {
            stop: Stop::default(),
            store,
            kept: kept.collect(),
            sources,
            archive: run.archive_of_sources(),
            quarantine: run.data.join("quarantine"),
            max_bad_share: run.config.import.max_bad_share,
            accepting: Mutex::default(),
            failing: Mutex::default(),
            alarm: None,
        };
        let accepting = if accept_schema { extraction.tables() } else { Vec::new() };
        Self { accepting: Mutex::new(accepting), ..extraction }
    }

    /// Lets the receivers of alerts hear of tables that cannot be read while they are followed.
    ///
    /// # Errors
    /// When a receiver's address cannot be read.
    pub fn with_alarm(self, run: &Run) -> anyhow::Result<Self> {
        Ok(Self { alarm: Alarm::new(run)?, ..self })
    }

    /// The names of all tables.
    pub fn tables(&self) -> Vec<String> {
        let of = |source: &SourceConfig| {
            let names = source.tables.iter().map(|table| key(source, table));
            names.collect::<Vec<_>>()
        };
        self.sources.iter().flat_map(|(source, _)| of(source)).collect()
    }

    /// Calls `work` with a reader of each source and each of its tables.
    ///
    /// # Errors
    /// The first of `work`.
    pub fn each_table(
        &self,
        mut work: impl FnMut(&Reader<'_>, &TableConfig) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for (source, url) in &self.sources {
            for table in &source.tables {
                let key = key(source, table);
                self.with_reader((source, url), &key, None, |reader| work(reader, table))?;
            }
        }
        Ok(())
    }

    /// One pass over all tables; a table that fails does not stop the others. Returns how many
    /// readings failed.
    pub fn once(&self, reconcile: bool, witness: &dyn Witness) -> usize {
        let all = self.sources.iter();
        all.map(|source| self.source(source, |_| reconcile, witness)).sum()
    }

    /// Passes and reconciliations until somebody asks to stop.
    pub fn follow(&self, witness: &dyn Witness) {
        let alarmed = Alarmed { witness, alarm: self.alarm.as_ref() };
        let witness: &dyn Witness = &alarmed;
        let mut rng = Rng::new(now_ms() as u64 ^ u64::from(std::process::id()));
        let mut next: Vec<_> = self.sources.iter().map(|_| (Instant::now(), 0)).collect();
        while !self.stop.asked() {
            for (source, (due, failures)) in self.sources.iter().zip(&mut next) {
                if *due > Instant::now() || self.stop.asked() {
                    continue;
                }
                let began = Instant::now();
                let every_s = source.0.reconcile_s;
                let failed = self.source(source, |key| self.is_due(key, every_s), witness);
                *failures = if failed > 0 { *failures + 1 } else { 0 };
                *due = match failed {
                    0 => began + Duration::from_secs(source.0.interval_s.into()),
                    _ => Instant::now() + pause(*failures, source.0.interval_s, &mut rng),
                };
                if let Some(kept) = self.kept.get(&source.0.name) {
                    kept.rest(&source.0, due.saturating_duration_since(Instant::now()));
                    witness.connections(&source.0.name, kept.figures());
                }
            }
            let soonest = next.iter().map(|(due, _)| *due).min().unwrap_or_else(Instant::now);
            self.stop.wait(soonest.saturating_duration_since(Instant::now()));
        }
    }

    fn source(
        &self,
        (source, url): &(SourceConfig, String),
        reconcile: impl Fn(&str) -> bool,
        witness: &dyn Witness,
    ) -> usize {
        let mut failed = 0;
        for table in &source.tables {
            if self.stop.asked() {
                break;
            }
            let read = |what| self.read((source, url), table, what, witness);
            let is_read = read(What::Pass);
            failed += usize::from(!is_read);
            let whole = is_read && !self.stop.asked();
            if whole && reconcile(&key(source, table)) {
                failed += usize::from(!read(What::Reconcile));
            }
        }
        failed
    }

    /// Reads a table, remembers how it went and tells; true when it went well. A panic is a
    /// failure of this reading, not the end of all.
    fn read(
        &self,
        source: (&SourceConfig, &str),
        table: &TableConfig,
        what: What,
        witness: &dyn Witness,
    ) -> bool {
        let key = key(source.0, table);
        let began = Instant::now();
        let changed = |changes: &RowChanges| witness.changed(changes);
        let changed = witness.listens().then_some(&changed as &dyn Fn(&RowChanges));
        let work = || {
            self.with_reader(source, &key, changed, |reader| match what {
                What::Pass => reader.pass(table),
                What::Reconcile => reader.reconcile(table),
            })
        };
        let done = catch_unwind(AssertUnwindSafe(work));
        let done =
            done.unwrap_or_else(|_| Err(Error::internal(format!("{key}: reading panicked"))));
        let mut note = to_json(&key, what.name(), &done);
        if let Some(kept) = self.kept.get(&source.0.name) {
            note["statements"] = statements(&kept.dearest(&key, STATEMENTS));
        }
        // A reconciliation that was stopped does not count as one.
        let is_whole = what == What::Pass || done.as_ref().is_ok_and(|report| !report.stopped);
        let remembered = match is_whole || done.is_err() {
            true => self.remember(&key, what, &note),
            false => Ok(()),
        };
        let done = done.and_then(|report| remembered.map(|()| report));
        let error = done.as_ref().err().map(Error::kind);
        if error.is_none() && what == What::Pass {
            self.accepting().retain(|other| *other != key);
        }
        let is_news = self.is_news((what, key.clone()), error);
        witness.read(&Reading { table: &key, what, began, done: &done, note: &note, is_news });
        error.is_none()
    }

    fn remember(&self, key: &str, what: What, note: &Value) -> foretaste_core::Result<()> {
        let name = format!("extract.{}.{key}", what.name());
        self.store.set_control(&name, Some(&note.to_string()))
    }

    fn with_reader<T>(
        &self,
        (source, url): (&SourceConfig, &str),
        key: &str,
        changed: Option<&dyn Fn(&RowChanges)>,
        work: impl FnOnce(&Reader<'_>) -> T,
    ) -> T {
        let accept_schema = self.accepting().iter().any(|table| table == key);
        work(&Reader {
            store: self.store.as_ref(),
            source,
            url,
            kept: self.kept.get(&source.name),
            archive: Some(&self.archive),
            quarantine: self.quarantine.clone(),
            max_bad_share: self.max_bad_share,
            accept_schema,
            stop: &|| self.stop.asked(),
            changed,
        })
    }

    fn accepting(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.accepting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_news(&self, what: (What, String), error: Option<ErrorKind>) -> bool {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match error {
            Some(kind) => failing.insert(what, kind),
            None => failing.remove(&what),
        };
        before != error
    }

    /// Whether the last reconciliation, by whichever process, is too old.
    fn is_due(&self, key: &str, every_s: u32) -> bool {
        let note = self.store.control(&format!("extract.{}.{key}", What::Reconcile.name()));
        let note = note.ok().flatten().and_then(|text| serde_json::from_str(&text).ok());
        every_s > 0 && note.is_none_or(|note: Value| is_old(&note, every_s, now_ms()))
    }
}

/// Whether a reconciliation with this note should be repeated. A time in the future comes from a
/// clock that was wrong.
fn is_old(note: &Value, every_s: u32, now_ms: i64) -> bool {
    let every_ms = i64::from(every_s) * 1000;
    let wait_ms = if note["ok"] == true { every_ms } else { every_ms / RETRY_SHARE };
    let ago_ms = note["finished_ms"].as_i64().map(|finished_ms| now_ms - finished_ms);
    !ago_ms.is_some_and(|ago_ms| (0..wait_ms).contains(&ago_ms))
}

/// How long to wait after so many failures in a row, in between a quarter less and a quarter more,
/// so that many readers do not come back in one moment.
fn pause(failures: u32, interval_s: u32, rng: &mut Rng) -> Duration {
    let longest = f64::from(interval_s).max(FIRST_RETRY_S);
    let wait = FIRST_RETRY_S * 2f64.powi(failures.min(30) as i32 - 1);
    Duration::from_secs_f64(wait.min(longest) * (0.75 + 0.5 * rng.f64()))
}

fn key(source: &SourceConfig, table: &TableConfig) -> String {
    format!("{}/{}", source.name, table.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_interval_and_differ() {
        let mut rng = Rng::new(1);
        let mut at = |failures| pause(failures, 30, &mut rng).as_secs_f64();
        assert!((0.75..=1.25).contains(&at(1)) && (3.0..=5.0).contains(&at(3)));
        assert!((22.5..=37.5).contains(&at(20)) && at(u32::MAX) <= 37.5);
        assert_ne!(at(9), at(9));
        assert!(pause(9, 1, &mut rng) <= Duration::from_millis(1250));
    }

    #[test]
    fn a_reconciliation_is_due_by_its_note() {
        let check = |ok: bool, finished_ms: i64, expected: bool| {
            let note = serde_json::json!({ "ok": ok, "finished_ms": finished_ms });
            assert_eq!(is_old(&note, 1000, 5_000_000), expected, "{note}");
        };
        check(true, 4_000_001, false);
        check(true, 4_000_000, true);
        check(false, 4_900_001, false);
        check(false, 4_900_000, true);
        check(true, 5_000_001, true);
        assert!(is_old(&Value::Null, 1000, 5_000_000));
    }
}
