//! First readings in the order of the primary key, which MySQL and MariaDB give most cheaply.

use std::cell::Cell;

use foretaste_store::RowStore;

use crate::proof::{ours, theirs};
use crate::servers::Kind;
use crate::{EV, Server, World, items, source};

/// So many that a load of a small `batch_rows` does not hold them all.
const ROWS: usize = 4_000;

#[test]
fn mariadb() {
    Server::start(Kind::MariaDb).iter().for_each(check);
}

fn check(server: &Server) {
    server.create_ev();
    server.fill_ev(ROWS);
    server.run("UPDATE ev SET ts = ts - INTERVAL (id * 7919 % 4000) SECOND");
    interrupted(server);
    with_two_ids(server);
}

/// Rows that were read and change while a first reading is interrupted are read after its end,
/// without lookback.
fn interrupted(server: &Server) {
    let settings = format!("{EV}batch_rows = 5\nlookback_s = 0\n");
    let (world, source) = (World::new(server), source(&settings));
    let asked = Cell::new(0);
    let stop = || asked.replace(asked.get() + 1) >= 6 && !items(&world.store).is_empty();
    let first = world
        .with_reader(&source, (false, &stop), |reader| reader.pass(&source.tables[0]).unwrap());
    assert!(first.stopped && first.outcome.rows < ROWS as u64, "{first:?}");
    let state = || world.store.watermark("s/ev").unwrap().unwrap();
    assert!(state().contains("scan"), "{}", state());

    server.run("UPDATE ev SET sku = 'late', ts = UTC_TIMESTAMP(6) WHERE id % 100 = 3");
    server.run("INSERT INTO ev (id, ts, who, sku) VALUES (-7, UTC_TIMESTAMP(6), 'n', 'n')");
    let second = world.pass(&source).unwrap();
    let (read, rows) = (first.outcome.rows, ROWS as u64);
    assert!(!second.stopped && !state().contains("scan"), "{}", state());
    assert!(second.outcome.rows <= rows - read + 20, "what was read is not read again: {second:?}");
    world.pass(&source).unwrap();
    assert_eq!(ours(&world.store), theirs(server));
    assert_eq!(world.reconcile(&source).unwrap().differing, 0);
}

/// A primary key of two columns, of which the watermark is one.
fn with_two_ids(server: &Server) {
    server.run("DROP TABLE IF EXISTS two");
    server.run("CREATE TABLE two (who varchar(50), ts datetime(6), sku varchar(50), qty int, gone int, PRIMARY KEY (who, ts))");
    server.run("INSERT INTO two SELECT who, ts, MIN(sku), 1, 0 FROM ev GROUP BY who, ts");
    let settings = EV.replace("table = \"ev\"", "table = \"two\"");
    let settings = settings.replace("[\"id\"]", "[\"who\", \"ts\"]");
    let (world, source) = (World::new(server), source(&format!("{settings}batch_rows = 5\n")));
    let done = world.pass(&source).unwrap();
    let n: usize =
        server.client().texts("SELECT CAST(COUNT(*) AS CHAR) FROM two")[0][0].parse().unwrap();
    assert_eq!((done.outcome.added as usize, items(&world.store).len()), (n, n));
    assert_eq!(world.reconcile(&source).unwrap().differing, 0);
}
