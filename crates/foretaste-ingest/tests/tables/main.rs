//! Extraction from real servers: private instances of PostgreSQL and MariaDB, killed on drop.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may panic, say why it skips, and read its own settings"
)]

mod advise;
mod archive;
mod basics;
mod drift;
mod exact;
mod kept;
mod kinds;
mod loads;
mod proof;
mod replica;
mod scans;
mod servers;
mod slow;
mod traps;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use foretaste_core::{Event, EventBatch, Result};
use foretaste_ingest::tables::archive::ArchiveFolder;
use foretaste_ingest::tables::{Kept, Reader, SourceConfig, TableReport};
use foretaste_store::{Columns, EmbeddedOptions, EmbeddedStore, Store};

pub(crate) use servers::Server;

/// A store, and the sources that feed it.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: EmbeddedStore,
    /// Where rows of sources are archived, in tests that do.
    pub(crate) archive: Option<ArchiveFolder>,
    kept: Kept,
    pub(crate) url: String,
}

impl World {
    pub(crate) fn new(server: &Server) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        Self { dir, store, archive: None, kept: Kept::default(), url: server.url.clone() }
    }

    pub(crate) fn with_reader<T>(
        &self,
        source: &SourceConfig,
        (accept_schema, stop): (bool, &dyn Fn() -> bool),
        work: impl FnOnce(&Reader<'_>) -> T,
    ) -> T {
        source.check().unwrap();
        work(&Reader {
            store: &self.store,
            source,
            url: &self.url,
            kept: Some(&self.kept),
            archive: self.archive.as_ref(),
            quarantine: self.quarantine(),
            max_bad_share: 0.01,
            accept_schema,
            stop,
            changed: None,
        })
    }

    pub(crate) fn pass(&self, source: &SourceConfig) -> Result<TableReport> {
        self.with_reader(source, (false, &|| false), |reader| reader.pass(&source.tables[0]))
    }

    pub(crate) fn reconcile(&self, source: &SourceConfig) -> Result<TableReport> {
        self.with_reader(source, (false, &|| false), |reader| reader.reconcile(&source.tables[0]))
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.dir.path().join("quarantine")
    }

    /// What is in the quarantine, by reason.
    pub(crate) fn rejected(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        let files = fs_err::read_dir(self.quarantine()).into_iter().flatten();
        for file in files {
            for line in fs_err::read_to_string(file.unwrap().path()).unwrap().lines() {
                let entry: serde_json::Value = serde_json::from_str(line).unwrap();
                *all.entry(entry["reason"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        all
    }
}

pub(crate) fn open(dir: &std::path::Path) -> EmbeddedStore {
    EmbeddedStore::open(dir, EmbeddedOptions::default()).unwrap()
}

/// All events of a store, none left out: a doubled one stands here twice.
pub(crate) fn events(store: &EmbeddedStore) -> Vec<Event> {
    let mut all = Vec::new();
    let keep = &mut |batch: EventBatch| {
        all.extend((0..batch.len()).map(|i| batch.get(i)));
        Ok(())
    };
    store.read_events(Columns::All, keep).unwrap();
    all.sort_by(|a, b| (&a.user, &a.item, a.time_ms).cmp(&(&b.user, &b.item, b.time_ms)));
    all
}

pub(crate) fn items(store: &EmbeddedStore) -> Vec<String> {
    events(store).into_iter().map(|event| event.item).collect()
}

/// A source with one table, whose settings are TOML.
pub(crate) fn source(table: &str) -> SourceConfig {
    toml::from_str(&format!("name = \"s\"\nurl_env = \"X\"\n[[tables]]\n{table}")).unwrap()
}

/// The settings that most tests share.
pub(crate) const EV: &str = r#"
table = "ev"
entity = "events"
kind = "order"
id = ["id"]
watermark = "ts"
settle_s = 0
deleted = "gone"
fields = { user = "who", item = "sku", time = "ts", value = "qty" }
"#;

/// Waits for something that happens by itself.
#[track_caller]
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !happened() {
        assert!(Instant::now() < end, "{what}: did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}
