//! First readings of tables with many rows: loaded, and the same as if they had been read in steps.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use foretaste_core::Rng;
use foretaste_ingest::tables::Reader;
use foretaste_store::RowChanges;

use crate::proof::{kill_soon, ours, seeds, small, theirs};
use crate::servers::Kind;
use crate::{EV, Server, World, items, open, source};

/// So many that a load of a small `batch_rows` does not hold them all.
const ROWS: usize = 4_000;

#[test]
fn postgres() {
    Server::start(Kind::Postgres).iter_mut().for_each(check);
}

#[test]
fn mariadb() {
    Server::start(Kind::MariaDb).iter_mut().for_each(check);
}

fn check(server: &mut Server) {
    killed(server);
    told_and_changed(server);
    stopped(server);
    bad_rows(server);
    killed_server(server);
}

/// Killed again and again within the first reading, which nothing repairs but the next pass.
fn killed(server: &Server) {
    for seed in 1..=seeds() {
        server.create_ev();
        server.fill_ev(ROWS);
        let (dir, mut rng) = (tempfile::tempdir().unwrap(), Rng::new(seed));
        for _ in 0..8 {
            kill_soon(server, dir.path(), Duration::from_millis(20 + rng.below(250) as u64));
        }
        let world = World { store: open(dir.path()), dir, ..World::new(server) };
        world.pass(&small()).unwrap();
        assert_eq!(ours(&world.store), theirs(server), "{:?} seed {seed}", server.kind);
        assert_eq!(world.reconcile(&small()).unwrap().differing, 0);
    }
}

fn told_and_changed(server: &Server) {
    server.create_ev();
    server.fill_ev(ROWS);
    let (world, source) = (World::new(server), source(&format!("{EV}batch_rows = 8\n")));
    let told = RefCell::new(Vec::new());
    let tell = |changes: &RowChanges| told.borrow_mut().extend(changes.events.clone());
    let reader = Reader {
        store: &world.store,
        source: &source,
        url: &world.url,
        kept: None,
        archive: None,
        quarantine: world.quarantine(),
        max_bad_share: 0.01,
        accept_schema: false,
        stop: &|| false,
        changed: Some(&tell),
    };
    let first = reader.pass(&source.tables[0]).unwrap();
    assert_eq!((first.outcome.rows, first.outcome.added), (ROWS as u64, ROWS as u64));
    let mut keys: Vec<u64> = told.take().iter().map(foretaste_core::Event::key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), ROWS, "each event is told of, once");
    server.run("UPDATE ev SET sku = 'other' WHERE id = 1700");
    server.run("DELETE FROM ev WHERE id IN (900, 3000)");
    let found = world.reconcile(&source).unwrap();
    assert_eq!((found.outcome.changed, found.outcome.removed), (1, 2));
    assert_eq!(ours(&world.store), theirs(server));
    assert_eq!(world.reconcile(&source).unwrap().differing, 0);
}

fn stopped(server: &Server) {
    let (world, source) = (World::new(server), source(&format!("{EV}batch_rows = 5\n")));
    let asked = Cell::new(0);
    // Once before the first page, then before every load and while one is waited for.
    let stop = || asked.replace(asked.get() + 1) >= 6 && !items(&world.store).is_empty();
    let first = world
        .with_reader(&source, (false, &stop), |reader| reader.pass(&source.tables[0]).unwrap());
    assert!(first.stopped && first.outcome.rows < ROWS as u64, "{first:?}");
    let second = world.pass(&source).unwrap();
    assert!(!second.stopped && second.outcome.added > 0, "{second:?}");
    assert_eq!(ours(&world.store), theirs(server));
}

/// What was read before too many bad rows came is stored, and bad rows are reported once.
fn bad_rows(server: &Server) {
    // A load ends two rows behind 3500, as two are gone: the others are bad within one.
    server.run("UPDATE ev SET who = '' WHERE id = 500 OR id > 3510");
    let (world, source) =
        (World::new(server), source(&format!("{EV}batch_rows = 10\nlookback_s = 5000\n")));
    let error = world.pass(&source).unwrap_err().to_string();
    assert!(error.contains("missing_user"), "{error}");
    let n = items(&world.store).len();
    assert!((3_000..3_600).contains(&n), "{n} events");
    server.run("UPDATE ev SET who = 'x' WHERE id > 3510");
    world.pass(&source).unwrap();
    assert_eq!(ours(&world.store).len() + 1, theirs(server).len());
    assert_eq!(world.reconcile(&source).unwrap().differing, 0);
    let again = world.pass(&source).unwrap();
    assert!(again.bad.is_empty(), "{again:?}");
}

/// The server dies within the load: what was read stays, the next pass completes it.
fn killed_server(server: &mut Server) {
    server.run("UPDATE ev SET who = 'y' WHERE who = ''");
    let (world, source) = (World::new(server), source(&format!("{EV}batch_rows = 5\n")));
    let (asked, victim) = (Cell::new(0), RefCell::new(&mut *server));
    let kill = || {
        if asked.replace(asked.get() + 1) == 5 {
            victim.borrow_mut().kill();
        }
        false
    };
    let done = world.with_reader(&source, (false, &kill), |reader| reader.pass(&source.tables[0]));
    assert!(done.is_err(), "{done:?}");
    server.restart();
    world.pass(&source).unwrap();
    assert_eq!(ours(&world.store), theirs(server));
}
