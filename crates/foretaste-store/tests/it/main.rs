//! The stores as their users see them.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, say why it skips")]

mod archive;
mod bench;
mod conformance;
mod crash;
mod embedded;
mod events;
mod imports;
mod pool;
mod replica;
mod server;
#[allow(dead_code, reason = "shared with tests of extraction")]
#[path = "../../../foretaste-ingest/tests/tables/servers.rs"]
mod servers;
mod upkeep;

use foretaste_store::{EmbeddedOptions, EmbeddedStore, MemoryStore};

#[test]
fn the_memory_store_conforms() {
    conformance::run(&mut || Box::new(MemoryStore::new()));
}

#[test]
fn the_embedded_store_conforms() {
    let root = tempfile::tempdir().unwrap();
    let mut n = 0;
    conformance::run(&mut || {
        n += 1;
        let dir = root.path().join(n.to_string());
        Box::new(EmbeddedStore::open(&dir, EmbeddedOptions::default()).unwrap())
    });
}

#[test]
fn the_embedded_store_conforms_with_tiny_files() {
    let root = tempfile::tempdir().unwrap();
    let mut n = 0;
    conformance::run(&mut || {
        n += 1;
        let dir = root.path().join(n.to_string());
        let options = EmbeddedOptions {
            log_file_bytes: 200,
            pending_bytes: 100,
            segment_rows: 7,
            ..EmbeddedOptions::default()
        };
        Box::new(EmbeddedStore::open(&dir, options).unwrap())
    });
}

#[test]
fn the_stores_of_rows_conform() {
    conformance::run_rows(&mut || Box::new(MemoryStore::new()));
    let root = tempfile::tempdir().unwrap();
    let mut n = 0;
    conformance::run_rows(&mut || {
        n += 1;
        let dir = root.path().join(n.to_string());
        Box::new(EmbeddedStore::open(&dir, EmbeddedOptions::default()).unwrap())
    });
}
