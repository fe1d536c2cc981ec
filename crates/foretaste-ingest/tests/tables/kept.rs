//! The connection that is kept between readings, as the server sees it.

use std::time::Duration;

use foretaste_core::ErrorKind;
use foretaste_ingest::tables::KeptFigures;

use crate::servers::Kind;
use crate::{EV, Server, World, items, source, until};

#[test]
fn postgres() {
    Server::start(Kind::Postgres).iter_mut().for_each(check);
}

#[test]
fn mariadb() {
    Server::start(Kind::MariaDb).iter_mut().for_each(check);
}

fn check(server: &mut Server) {
    server.create_ev();
    server.fill_ev(30);
    one_serves_many_readings(server);
    failures_leave_none_behind(server);
    one_that_was_ended_is_made_anew(server);
    one_that_is_old_or_would_be_idle_is_closed(server);
}

fn one_serves_many_readings(server: &Server) {
    let (world, source) = (World::new(server), source(EV));
    for _ in 0..40 {
        world.pass(&source).unwrap();
        world.reconcile(&source).unwrap();
        sessions(server, 1);
        idle(server);
    }
    let figures = KeptFigures { open: 1, used: 80, made: 1, ..world.kept.figures() };
    assert_eq!(world.kept.figures(), figures);
    assert_eq!(closed(&world), [0, 0, 0]);
    drop(world);
    sessions(server, 0);
}

/// A pass that fails at any point gives its connection back, or closes it.
fn failures_leave_none_behind(server: &Server) {
    let (world, good) = (World::new(server), source(EV));
    let bad = source(&EV.replace("\"sku\"", "\"no_such_column\""));
    world.pass(&good).unwrap();
    for _ in 0..20 {
        assert_eq!(world.pass(&bad).unwrap_err().kind(), ErrorKind::Conflict);
    }
    sessions(server, 1);
    idle(server);
    assert_eq!(world.kept.figures().made, 1);
    world.pass(&good).unwrap();
    assert_eq!(items(&world.store).len(), 30);
}

fn one_that_was_ended_is_made_anew(server: &mut Server) {
    let (world, source) = (World::new(server), source(EV));
    world.pass(&source).unwrap();
    server.client().end_others();
    sessions(server, 0);
    world.pass(&source).unwrap();
    assert_eq!((world.kept.figures().made, closed(&world)), (2, [1, 0, 0]));
    server.kill();
    assert_eq!(world.pass(&source).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(world.kept.figures().open, 0);
    server.restart();
    world.pass(&source).unwrap();
    assert_eq!((world.kept.figures().made, closed(&world)), (3, [2, 0, 0]));
}

fn one_that_is_old_or_would_be_idle_is_closed(server: &Server) {
    let (world, mut source) = (World::new(server), source(EV));
    source.max_lifetime_s = 0;
    (0..5).for_each(|_| drop(world.pass(&source).unwrap()));
    assert_eq!((world.kept.figures().made, closed(&world)), (5, [0, 4, 0]));
    source.max_lifetime_s = 3_600;
    source.idle_timeout_s = 60;
    world.kept.rest(&source, Duration::from_secs(60));
    assert_eq!(world.kept.figures().open, 1, "it may be idle for so long");
    world.kept.rest(&source, Duration::from_secs(61));
    assert_eq!((world.kept.figures().open, closed(&world)), (0, [0, 4, 1]));
    sessions(server, 0);
    source.idle_timeout_s = 0;
    (0..2).for_each(|_| drop(world.pass(&source).unwrap()));
    assert_eq!(closed(&world), [0, 4, 2], "it was idle for longer");
}

/// Waits until there are so many connections but our own, as the server notices ends a little later.
#[track_caller]
fn sessions(server: &Server, n: usize) {
    until(&format!("there are {n} connections"), || server.client().others().len() == n);
}

fn closed(world: &World) -> [u64; 3] {
    world.kept.figures().closed.map(|(_, n)| n)
}

/// Nothing is held up until the next pass. MariaDB's table of transactions is a little late.
#[track_caller]
fn idle(server: &Server) {
    let sql = match server.kind {
        Kind::Postgres => {
            "SELECT CAST(pid AS text) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        }
        Kind::MariaDb => {
            "SELECT CAST(trx_id AS char(20)) FROM information_schema.innodb_trx \
             WHERE trx_mysql_thread_id <> CONNECTION_ID()"
        }
    };
    until("no transaction is open", || server.client().texts(sql).is_empty());
}
