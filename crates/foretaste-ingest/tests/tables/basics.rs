use foretaste_core::ErrorKind;
use foretaste_ingest::tables::SourceConfig;
use foretaste_store::Record;

use crate::servers::Kind;
use crate::{EV, Server, World, events, items, source};

#[test]
fn postgres() {
    Server::start(Kind::Postgres).iter_mut().for_each(check);
}

#[test]
fn mariadb() {
    Server::start(Kind::MariaDb).iter_mut().for_each(check);
}

fn check(server: &mut Server) {
    pages_of_equal_times(server);
    changes(server);
    expressions(server);
    numbers(server);
    stopping(server);
    errors(server);
    killed_server(server);
}

/// Many rows of one moment, more than a page holds: none is skipped, none is stored twice.
fn pages_of_equal_times(server: &Server) {
    server.create_ev();
    let world = World::new(server);
    for i in 0..23 {
        let at = server.now(-60).replace("now()", "date_trunc('minute', now())");
        server.run(&format!("INSERT INTO ev (ts, who, sku) VALUES ({at}, 'ann', 'i{i}')"));
    }
    server.run("UPDATE ev SET ts = (SELECT m FROM (SELECT MAX(ts) m FROM ev) t)");
    let source = source(&format!("{EV}batch_rows = 5\n"));
    let first = world.pass(&source).unwrap();
    assert_eq!((first.outcome.rows, first.outcome.added), (23, 23));
    assert_eq!(items(&world.store).len(), 23);
    let second = world.pass(&source).unwrap();
    assert_eq!((second.outcome.added, second.outcome.unchanged), (0, 23), "all in the lookback");
    let found = world.reconcile(&source).unwrap();
    assert_eq!((found.differing, items(&world.store).len()), (0, 23));
}

/// Updates, soft deletes, deletes, late and future rows.
fn changes(server: &Server) {
    server.create_ev();
    let world = World::new(server);
    let source = source(EV);
    let insert = |sku: &str, seconds: i64| {
        let at = server.now(seconds);
        server.run(&format!("INSERT INTO ev (ts, who, sku) VALUES ({at}, 'ann', '{sku}')"));
    };
    ["a", "b", "c", "d"].iter().for_each(|sku| insert(sku, -5));
    insert("future", 3600);
    world.pass(&source).unwrap();
    assert_eq!(items(&world.store), ["a", "b", "c", "d"]);
    let now = server.now(0);
    server.run(&format!("UPDATE ev SET qty = 7, ts = {now} WHERE sku = 'a'"));
    server.run(&format!("UPDATE ev SET gone = 1, ts = {now} WHERE sku = 'b'"));
    server.run("DELETE FROM ev WHERE sku = 'c'");
    server.run("UPDATE ev SET qty = 3 WHERE sku = 'd'");
    insert("late", -86_400);
    let second = world.pass(&source).unwrap();
    assert_eq!(second.outcome.changed, 3, "within the lookback every change is seen");
    assert_eq!(items(&world.store), ["a", "c", "d"]);
    assert_eq!(events(&world.store)[0].value, 7.0);
    let found = world.reconcile(&source).unwrap();
    assert!(found.differing >= 2, "{found:?}");
    assert_eq!((found.outcome.added, found.outcome.removed), (1, 1));
    assert_eq!(items(&world.store), ["a", "d", "late"]);
    server.run("UPDATE ev SET qty = 9 WHERE sku = 'late'");
    assert_eq!(world.pass(&source).unwrap().outcome.changed, 0, "outside of the lookback");
    assert_eq!(world.reconcile(&source).unwrap().outcome.changed, 1);
    assert_eq!(world.reconcile(&source).unwrap().differing, 0);
}

fn expressions(server: &Server) {
    server.run("DROP TABLE IF EXISTS act");
    server.run("DROP TABLE IF EXISTS names");
    let (bytes, visitor) = match server.kind {
        Kind::Postgres => ("bytea", "'\\x00ff10'"),
        Kind::MariaDb => ("binary(3)", "x'00ff10'"),
    };
    server.run("CREATE TABLE names (id int PRIMARY KEY, name varchar(50))");
    server.run("INSERT INTO names VALUES (1, 'sku-1'), (2, 'sku-2')");
    server.run(&format!(
        "CREATE TABLE act (id int PRIMARY KEY, site int, login varchar(20), visitor {bytes}, \
         sku int, state int, ts timestamp NULL)"
    ));
    let now = server.now(-9);
    server.run(&format!(
        "INSERT INTO act VALUES (1, 1, 'ann', {visitor}, 1, 0, {now}), \
         (2, 1, NULL, {visitor}, 2, 1, {now}), (3, 2, 'eve', {visitor}, 1, 0, {now})"
    ));
    let table = r#"
        table = "act"
        entity = "events"
        id = ["id"]
        watermark = "ts"
        where = { site = 1 }
        joins = [{ table = "names", as = "n", on = { id = "sku" } }]
        [tables.fields]
        user = { coalesce = ["login", { hex = "visitor" }] }
        item = "n.name"
        time = "ts"
        kind = { case = "state", when = { "0" = "order" }, else = "cart" }
        scene = { const = "it's" }
    "#;
    let (world, source) = (World::new(server), source(table));
    let preview = world.with_reader(&source, (false, &|| false), |reader| {
        reader.preview(&source.tables[0], 10).unwrap()
    });
    assert_eq!(preview.len(), 2);
    assert!(matches!(&preview[0].record, Ok(Record::Event(event)) if event.user == "ann"));
    assert!(events(&world.store).is_empty(), "a preview stores nothing");
    world.pass(&source).unwrap();
    let all = events(&world.store);
    let words = |i: usize| [all[i].user.as_str(), all[i].item.as_str(), all[i].kind.as_str()];
    assert_eq!(words(0), ["00FF10", "sku-2", "cart"]);
    assert_eq!(words(1), ["ann", "sku-1", "order"]);
    assert_eq!(all[1].context.as_ref().unwrap().scene.as_deref(), Some("it's"));
    server.run("UPDATE names SET name = 'sku-one' WHERE id = 1");
    assert_eq!(world.reconcile(&source).unwrap().outcome.changed, 1, "a lookup changed");
}

/// A running number as watermark, items as records, two id columns.
fn numbers(server: &Server) {
    server.run("DROP TABLE IF EXISTS goods");
    server.run(
        "CREATE TABLE goods (n bigint, part varchar(9), name varchar(50), price numeric(9,2), \
         PRIMARY KEY (n, part))",
    );
    let world = World::new(server);
    let source = source(
        r#"
        table = "goods"
        entity = "items"
        id = ["n", "part"]
        watermark = "n"
        lookback_ids = 2
        bucket_ids = 10
        batch_rows = 3
        fields = { item = "name", price = "price", colour = { const = "red" } }
    "#,
    );
    assert_eq!(world.pass(&source).unwrap().outcome.rows, 0, "an empty table is fine");
    for n in 0..25 {
        let part = ["x", "y"][n % 2];
        server.run(&format!("INSERT INTO goods VALUES ({}, '{part}', 'g{n}', {n}.5)", n / 2));
    }
    assert_eq!(world.pass(&source).unwrap().outcome.added, 25);
    use foretaste_store::Store;
    let item = world.store.item("g7").unwrap().unwrap();
    assert_eq!((item.price, item.attributes["colour"].as_str()), (Some(7.5), "red"));
    assert_eq!(world.pass(&source).unwrap().outcome.rows, 5, "the last three numbers");
    server.run("DELETE FROM goods WHERE name = 'g3'");
    server.run("UPDATE goods SET name = 'other' WHERE name = 'g4'");
    let found = world.reconcile(&source).unwrap();
    assert_eq!((found.differing, found.outcome.removed, found.outcome.changed), (1, 1, 1));
    assert!(world.store.item("g3").unwrap().is_none());
    assert!(world.store.item("g4").unwrap().is_none());
    assert!(world.store.item("other").unwrap().is_some());
    assert_eq!(world.reconcile(&source).unwrap().differing, 0);
}

/// Events that the next pass reads page by page, as a first reading of so many would be loaded.
fn thirty_events(server: &Server) -> (World, SourceConfig) {
    server.create_ev();
    let insert = |seconds, item: &str| {
        let at = server.now(seconds);
        server.run(&format!("INSERT INTO ev (ts, who, sku) VALUES ({at}, 'ann', '{item}')"));
    };
    insert(-200_000, "first");
    let (world, source) = (World::new(server), source(&format!("{EV}batch_rows = 5\n")));
    assert_eq!(world.pass(&source).unwrap().outcome.added, 1);
    (0..30).for_each(|i| insert(i - 300, &format!("i{i:02}")));
    (world, source)
}

/// Stopped after some pages, a pass says so, and the next one goes on from there.
fn stopping(server: &Server) {
    let (world, source) = thirty_events(server);
    let pages = std::cell::Cell::new(0);
    let stop = || pages.replace(pages.get() + 1) == 2;
    let first = world
        .with_reader(&source, (false, &stop), |reader| reader.pass(&source.tables[0]).unwrap());
    assert!(first.stopped && first.outcome.added == 10, "{first:?}");
    let second = world.pass(&source).unwrap();
    assert_eq!((second.outcome.added, second.outcome.unchanged), (20, 10), "all in the lookback");
}

fn errors(server: &Server) {
    let world = World::new(server);
    let gone = source(&EV.replace("\"ev\"", "\"nothing_here\""));
    let error = world.pass(&gone).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("nothing_here"), "{error}");
    let text = source(&EV.replace("watermark = \"ts\"", "watermark = \"who\""));
    assert_eq!(world.pass(&text).unwrap_err().kind(), ErrorKind::Config);
}

/// The server dies between two pages: what was read stays, the next pass completes it.
fn killed_server(server: &mut Server) {
    let (world, source) = thirty_events(server);
    let (pages, victim) = (std::cell::Cell::new(0), std::cell::RefCell::new(&mut *server));
    let kill = || {
        if pages.replace(pages.get() + 1) == 3 {
            victim.borrow_mut().kill();
        }
        false
    };
    let error = world
        .with_reader(&source, (false, &kill), |reader| reader.pass(&source.tables[0]).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!error.to_string().contains("postgres://"), "{error}");
    assert_eq!(world.pass(&source).unwrap_err().kind(), ErrorKind::Unavailable);
    server.restart();
    world.pass(&source).unwrap();
    let first = std::iter::once("first".to_owned());
    let expected: Vec<_> = first.chain((0..30).map(|i| format!("i{i:02}"))).collect();
    assert_eq!(items(&world.store), expected);
}
