//! Transactions as watermarks: late commits are read when they are there, without lookback.

use foretaste_core::{ErrorKind, Rng};
use foretaste_ingest::tables::SourceConfig;

use crate::proof::{WRITERS, ours, theirs, write};
use crate::servers::Kind;
use crate::{EV, Server, World, items, source};

#[test]
fn postgres() {
    let Some(server) = &Server::start(Kind::Postgres) else { return };
    late_commits(server);
    without_reconciliation(server);
    updates_that_are_held_back_stay(server);
    another_database(server);
    a_plain_number_is_not_enough(server);
}

#[test]
fn mariadb_has_no_such_column() {
    let Some(server) = &Server::start(Kind::MariaDb) else { return };
    server.create_ev();
    let error = World::new(server).pass(&exact()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let by_time = source(&format!("{EV}exact = true\n"));
    let error = World::new(server).pass(&by_time).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("xid8 on PostgreSQL"), "{error}");
}

fn exact() -> SourceConfig {
    let by_transaction = EV.replace("watermark = \"ts\"", "watermark = \"tx\"\nexact = true");
    source(&format!("{by_transaction}batch_rows = 7\nbucket_ids = 5\n"))
}

/// As docs/extraction.md says.
fn create(server: &Server) {
    server.create_ev();
    server.run(
        "ALTER TABLE ev ADD COLUMN tx xid8 NOT NULL DEFAULT pg_current_xact_id();
         CREATE OR REPLACE FUNCTION set_tx() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN NEW.tx := pg_current_xact_id(); RETURN NEW; END $$;
         CREATE TRIGGER set_tx BEFORE UPDATE ON ev FOR EACH ROW EXECUTE FUNCTION set_tx();
         CREATE INDEX ev_tx ON ev (tx, id)",
    );
}

fn insert(sku: &str) -> String {
    format!("INSERT INTO ev (ts, who, sku) VALUES (now(), 'ann', '{sku}')")
}

/// One writer commits after another one that began later, and a pass reads in between.
fn late_commit(server: &Server, source: &SourceConfig) -> [Vec<String>; 2] {
    create(server);
    let world = World::new(server);
    let (mut slow, mut quick) = (server.client(), server.client());
    slow.run("BEGIN").unwrap();
    slow.run(&insert("slow")).unwrap();
    quick.run(&insert("quick")).unwrap();
    world.pass(source).unwrap();
    let between = items(&world.store);
    slow.run("COMMIT").unwrap();
    quick.run(&insert("later")).unwrap();
    world.pass(source).unwrap();
    [between, items(&world.store)]
}

fn late_commits(server: &Server) {
    let all = ["later", "quick", "slow"].map(str::to_owned);
    let [between, after] = late_commit(server, &exact());
    assert_eq!(between, [""; 0], "what may still be overtaken is not read");
    assert_eq!(after, all);
    let plain = source(&format!("{EV}lookback_s = 0\n"));
    let [between, after] = late_commit(server, &plain);
    assert_eq!((between.as_slice(), after.as_slice()), (&all[1..2], &all[..2]), "a time loses it");
}

/// Writers of the proof that delete nothing: in the end both are equal, by passes alone.
fn without_reconciliation(server: &Server) {
    create(server);
    let (world, source) = (World::new(server), exact());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| scope.spawn(move || write(server, Rng::new(900 + n), false)))
            .collect();
        let passes = scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                world.pass(&source).unwrap();
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, std::sync::atomic::Ordering::Release);
        passes.join().unwrap();
    });
    world.pass(&source).unwrap();
    assert!(ours(&world.store).len() > 20);
    assert_eq!(ours(&world.store), theirs(server));
    assert_eq!(world.reconcile(&source).unwrap().differing, 0);
}

/// A row whose new form cannot be read yet is not taken for deleted.
fn updates_that_are_held_back_stay(server: &Server) {
    create(server);
    let (world, source) = (World::new(server), exact());
    server.run(&insert("was"));
    server.run(&insert("goes"));
    world.pass(&source).unwrap();
    let mut slow = server.client();
    slow.run("BEGIN").unwrap();
    slow.run(&insert("slow")).unwrap();
    server.run("UPDATE ev SET sku = 'is' WHERE sku = 'was'");
    server.run("DELETE FROM ev WHERE sku = 'goes'");
    assert_eq!(world.reconcile(&source).unwrap().outcome.removed, 1);
    assert_eq!(items(&world.store), ["was"], "the deleted row goes, the other one stays");
    slow.run("COMMIT").unwrap();
    world.pass(&source).unwrap();
    assert_eq!(items(&world.store), ["is", "slow"]);
}

/// Numbers of transactions that went back mean another history; nothing is read until told.
fn another_database(server: &Server) {
    create(server);
    let (world, source) = (World::new(server), exact());
    server.run(&insert("a"));
    world.pass(&source).unwrap();
    use foretaste_store::{RowStep, RowStore};
    let state = world.store.watermark("s/ev").unwrap().unwrap();
    let mut state: serde_json::Value = serde_json::from_str(&state).unwrap();
    state["at"] = "900000".into();
    let step = RowStep { watermark: Some(state.to_string()), ..RowStep::default() };
    world.store.apply_rows("s/ev", step).unwrap();
    server.run(&insert("b"));
    let error = world.pass(&source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("--accept-schema"), "{error}");
    let report = world
        .with_reader(&source, (true, &|| false), |reader| reader.pass(&source.tables[0]).unwrap());
    assert_eq!((report.outcome.added, report.outcome.unchanged), (1, 1));
    world.pass(&source).unwrap();
    assert_eq!(items(&world.store), ["a", "b"]);
}

fn a_plain_number_is_not_enough(server: &Server) {
    create(server);
    let world = World::new(server);
    let by_transaction = source(&EV.replace("watermark = \"ts\"", "watermark = \"tx\""));
    let error = world.pass(&by_transaction).unwrap_err();
    assert!(error.to_string().contains("`exact = true`"), "{error}");
}
