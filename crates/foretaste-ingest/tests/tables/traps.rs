//! Rows that are not what they should be.

use crate::servers::Kind;
use crate::{EV, Server, World, events, items, source};

#[test]
fn postgres() {
    Server::start(Kind::Postgres).iter().for_each(check);
}

#[test]
fn mariadb() {
    if let Some(server) = &Server::start(Kind::MariaDb) {
        check(server);
        bytes_and_zero_dates(server);
    }
}

fn check(server: &Server) {
    server.create_ev();
    let (world, source) = (World::new(server), source(EV));
    let insert = |who: &str, sku: &str, qty: &str| {
        let at = server.now(-1);
        server
            .run(&format!("INSERT INTO ev (ts, who, sku, qty) VALUES ({at}, {who}, {sku}, {qty})"));
    };
    insert("'ann'", "'good'", "1");
    insert("NULL", "'a'", "1");
    insert("''", "'b'", "1");
    insert("'ann'", "NULL", "1");
    insert("'ann'", &format!("'{}'", "x".repeat(150)), "1");
    insert("'a\tb'", "'c'", "1");
    insert("'ann'", "'none'", "NULL");
    server.run("INSERT INTO ev (ts, who, sku) VALUES (NULL, 'ann', 'undated')");
    let report = world.pass(&source).unwrap();
    assert_eq!(items(&world.store), ["good", "none"]);
    assert_eq!(report.bad.values().sum::<u64>(), 5);
    let rejected = world.rejected();
    let expected =
        [("control_character", 1), ("id_too_long", 1), ("missing_item", 1), ("missing_user", 2)];
    assert_eq!(rejected, expected.map(|(reason, n)| (reason.to_owned(), n)).into());
    let again = world.pass(&source).unwrap();
    assert_eq!((again.outcome.unchanged, again.bad.len()), (7, 0), "reported once");
    let found = world.reconcile(&source).unwrap();
    assert_eq!((found.differing, found.unreadable), (0, 1), "bad rows count, NULL times cannot");
    server.run("UPDATE ev SET who = 'bob' WHERE who IS NULL");
    assert_eq!(world.pass(&source).unwrap().outcome.changed, 1);
    assert_eq!(items(&world.store), ["good", "none", "a"], "a mended row comes in");
    too_many_bad_rows(server);
}

/// Past the limit a pass ends before the page; the watermark stays.
fn too_many_bad_rows(server: &Server) {
    server.create_ev();
    let (world, source) = (World::new(server), source(EV));
    let at = server.now(-1);
    let rows: Vec<_> = (0..1500)
        .map(|i| {
            if i % 50 == 0 {
                format!("({at}, NULL, 'i{i}')")
            } else {
                format!("({at}, 'u', 'i{i}')")
            }
        })
        .collect();
    server.run(&format!("INSERT INTO ev (ts, who, sku) VALUES {}", rows.join(",")));
    let error = world.pass(&source).unwrap_err();
    assert!(error.to_string().contains("the pass ended before this page"), "{error}");
    assert!(events(&world.store).is_empty());
    server.run("UPDATE ev SET who = 'u' WHERE who IS NULL");
    assert_eq!(world.pass(&source).unwrap().outcome.added, 1500);
}

fn bytes_and_zero_dates(server: &Server) {
    server.run("DROP TABLE IF EXISTS old");
    server.run(
        "CREATE TABLE old (id int PRIMARY KEY, ts datetime, latin varchar(20) CHARSET latin1, \
         raw varbinary(20), doc longtext)",
    );
    server.run("SET sql_mode = ''; INSERT INTO old VALUES (1, '0000-00-00', 'z', 'zero', NULL)");
    server.run("INSERT INTO old VALUES (2, UTC_TIMESTAMP() - INTERVAL 9 SECOND, 'é', 'ok', NULL)");
    server.run("INSERT INTO old VALUES (3, UTC_TIMESTAMP() - INTERVAL 9 SECOND, 'x', x'ff', NULL)");
    let table = r#"
        table = "old"
        entity = "events"
        kind = "view"
        id = ["id"]
        watermark = "ts"
        settle_s = 0
        fields = { user = "latin", item = "raw", time = "ts" }
    "#;
    let (world, events_of) = (World::new(server), source(table));
    world.pass(&events_of).unwrap();
    let all = events(&world.store);
    assert_eq!((all.len(), all[0].user.as_str(), all[0].item.as_str()), (1, "é", "ok"));
    let expected = [("bad_time".to_owned(), 1), ("bad_utf8".to_owned(), 1)];
    assert_eq!(world.rejected(), expected.into());
    server.run("SET sql_mode = ''; INSERT INTO old VALUES (4, '0000-00-00', 'z', 'later', NULL)");
    let found = world.reconcile(&events_of).unwrap();
    assert_eq!((found.differing, found.outcome.added), (1, 1), "no pass sees it, this does");
    assert_eq!(world.reconcile(&events_of).unwrap().differing, 0);

    // Nearly all that max_allowed_packet lets in; a cell is cut on the server.
    server.run("INSERT INTO old VALUES (5, UTC_TIMESTAMP(), 'h', 'huge', REPEAT('x', 16000000))");
    let records = table
        .replace("entity = \"events\"\n        kind = \"view\"", "entity = \"items\"")
        .replace("user = \"latin\", item", "description = \"doc\", item")
        .replace("time = \"ts\"", "seen = \"ts\"")
        .replace("table = \"old\"", "table = \"old\"\nas = \"docs\"");
    world.pass(&source(&records)).unwrap();
    assert_eq!(world.rejected()["text_too_long"], 1);
}
