//! Reading from a replica that is behind: what it does not have yet is not passed over.

use foretaste_core::ErrorKind;

use crate::servers::Kind;
use crate::{EV, Server, World, items, source, until};

#[test]
fn postgres() {
    if let Some(primary) = &Server::start(Kind::Postgres) {
        check(primary);
        one_that_cannot_tell_is_not_read(primary);
    }
}

#[test]
fn mariadb() {
    if let Some(primary) = &Server::start(Kind::MariaDb) {
        check(primary);
        one_that_follows_nobody_is_not_read(primary);
    }
}

/// Neither lookback nor settling, so that a watermark that runs ahead loses a row for good.
fn check(primary: &Server) {
    primary.create_ev();
    let replica = primary.replica();
    insert(primary, "before");
    until("the replica has the row", || count(&replica) == Some(1));
    let world = World::new(&replica);
    let patient = source(&format!("{EV}lookback_s = 0\n"));
    let patient = foretaste_ingest::tables::SourceConfig { max_lag_s: 3600, ..patient };
    until("it is read", || world.pass(&patient).is_ok_and(|_| items(&world.store).len() == 1));

    replica.hold();
    insert(primary, "meanwhile");
    // Until then it is up to date as far as it can tell.
    until("the replica has heard of the row", || replica.has_heard_all_of(primary));
    let strict = foretaste_ingest::tables::SourceConfig { max_lag_s: 1, ..patient.clone() };
    until("the lag exceeds what is allowed", || {
        let done = world.pass(&strict);
        done.is_err_and(|e| {
            e.kind() == ErrorKind::Unavailable && e.to_string().contains("`max_lag_s`")
        })
    });
    world.pass(&patient).unwrap();
    assert_eq!(items(&world.store), ["before"]);

    replica.release();
    until("the replica has the other row", || count(&replica) == Some(2));
    until("it is read, too", || {
        world.pass(&patient).unwrap();
        items(&world.store).len() == 2
    });
    assert_eq!(world.reconcile(&patient).unwrap().differing, 0);
}

fn one_that_follows_nobody_is_not_read(primary: &Server) {
    let replica = primary.replica();
    until("the replica has the table", || count(&replica).is_some());
    replica.run("STOP SLAVE SQL_THREAD");
    let error = World::new(&replica).pass(&source(EV)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("does not follow its primary"), "{error}");
}

/// A standby that has replayed no transaction does not know how old its last one is.
fn one_that_cannot_tell_is_not_read(primary: &Server) {
    let replica = primary.replica();
    let world = World::new(&replica);
    let source = source(EV);
    until("it has all there is", || world.pass(&source).is_ok());
    replica.hold();
    insert(primary, "unseen");
    until("it has heard of more", || {
        let done = world.pass(&source);
        done.is_err_and(|e| {
            e.kind() == ErrorKind::Unavailable && e.to_string().contains("how far it is behind")
        })
    });
}

fn insert(server: &Server, sku: &str) {
    let now = server.now(0);
    server.run(&format!("INSERT INTO ev (ts, who, sku) VALUES ({now}, 'ann', '{sku}')"));
}

/// Rows of the table; `None` as long as it is not there.
fn count(server: &Server) -> Option<usize> {
    let mut client = server.client();
    client.run("SELECT 1 FROM ev LIMIT 1").ok()?;
    Some(client.texts("SELECT sku FROM ev").len())
}
