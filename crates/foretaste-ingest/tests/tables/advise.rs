//! Advice: a missing index is found, built beside a writer, checked, and then there is nothing to
//! say any more.

use foretaste_ingest::tables::SourceConfig;
use foretaste_ingest::tables::advise::{Advice, Advisor, Applied, Building, Query};

use crate::servers::Kind;
use crate::{EV, Server, source};

/// More than a page; one each half hour, so that a lookback holds few, and a day at no time of the
/// day so large a share that a server rather reads the whole table.
const ROWS: u64 = 3_000;

#[test]
fn postgres() {
    if let Some(server) = &Server::start(Kind::Postgres) {
        check(server);
        a_failed_build_is_replaced(server);
    }
}

#[test]
fn mariadb() {
    Server::start(Kind::MariaDb).iter().for_each(check);
}

fn check(server: &Server) {
    a_missing_index_is_found_and_built(server);
    a_lookup_needs_an_index_too(server);
    a_small_table_needs_none(server);
    rights_are_needed(server);
}

fn advise(server: &Server, source: &SourceConfig) -> Advice {
    Advisor { source, url: &server.url }.advise().unwrap()
}

fn apply(server: &Server, source: &SourceConfig, advice: &Advice) -> Applied {
    let building = Building { url: &server.url, probe: true };
    Advisor { source, url: &server.url }.apply(&advice.indexes[0], building).unwrap()
}

fn query<'a>(advice: &'a Advice, name: &str) -> &'a Query {
    advice.tables[0].queries.iter().find(|query| query.query == name).unwrap()
}

fn ev() -> SourceConfig {
    source(&format!("{EV}batch_rows = 1000\n"))
}

/// Without the index that pages need.
fn fill(server: &Server) {
    server.create_ev();
    server.run(if server.kind == Kind::Postgres {
        "DROP INDEX ev_ts"
    } else {
        "DROP INDEX ev_ts ON ev"
    });
    let rows = (0..ROWS).map(|i| {
        let at = server.now(-(i as i64) * 1_800);
        format!("({at}, 'u{}', 'i{}')", i % 50, i % 2000)
    });
    let rows: Vec<_> = rows.collect();
    server.run(&format!("INSERT INTO ev (ts, who, sku) VALUES {}", rows.join(", ")));
    analyze(server, "ev");
}

/// Statistics, which a server otherwise gathers when it likes.
fn analyze(server: &Server, table: &str) {
    let word = if server.kind == Kind::Postgres { "" } else { "TABLE " };
    server.run(&format!("ANALYZE {word}{table}"));
}

fn content(server: &Server) -> Vec<Vec<String>> {
    let text = if server.kind == Kind::Postgres { "text" } else { "CHAR" };
    server
        .client()
        .texts(&format!("SELECT CAST(id AS {text}), CAST(ts AS {text}) FROM ev ORDER BY id"))
}

fn a_missing_index_is_found_and_built(server: &Server) {
    fill(server);
    let (source, before) = (ev(), content(server));
    let first = advise(server, &source);
    let page = &query(&first, "page").plan;
    assert!(page.access("base").unwrap().whole, "{page:?}");
    assert_eq!(first.indexes.len(), 1, "{first:?}");
    assert_eq!(first.indexes[0].columns, ["ts", "id"]);
    let cost = first.tables[0].page.unwrap();
    assert!(cost.examined >= ROWS && cost.rows < 20, "{cost:?}");

    let applied = apply(server, &source, &first);
    assert!(applied.before.unwrap().examined >= ROWS, "{applied:?}");
    assert!(applied.after.examined < 100 && applied.after.rows < 20, "{applied:?}");
    let writer = applied.writer.unwrap();
    assert_eq!((writer.before.writes, writer.after.writes), (50, 50));
    assert_eq!(content(server), before, "the probe leaves nothing behind");

    let second = advise(server, &source);
    assert!(second.indexes.is_empty() && second.settings.is_empty(), "{second:?}");
    assert_eq!(second.tables[0].index.as_deref(), Some(first.indexes[0].name.as_str()));
    assert!(second.tables[0].notes.is_empty(), "{second:?}");
    for name in ["page", "next page", "bucket"] {
        let plan = &query(&second, name).plan;
        let base = plan.access("base").unwrap();
        assert_eq!(
            (base.index.as_ref(), base.whole),
            (Some(&first.indexes[0].name), false),
            "{name}"
        );
    }
}

fn a_lookup_needs_an_index_too(server: &Server) {
    server.run("DROP TABLE IF EXISTS names");
    server.run("CREATE TABLE names (sku varchar(20) NOT NULL, title varchar(20))");
    let rows: Vec<_> = (0..20_000).map(|i| format!("('i{i}', 'title {i}')")).collect();
    server.run(&format!("INSERT INTO names VALUES {}", rows.join(", ")));
    analyze(server, "names");
    let joined = EV.replace("item = \"sku\"", "item = \"n.title\"");
    let join = "joins = [{ table = \"names\", as = \"n\", on = { sku = \"sku\" } }]\n";
    let source = source(&joined.replace("fields =", &format!("batch_rows = 1000\n{join}fields =")));
    let first = advise(server, &source);
    assert_eq!(first.indexes.len(), 1, "{first:?}");
    assert_eq!(
        (first.indexes[0].table.as_str(), &first.indexes[0].columns[..]),
        ("names", &["sku".to_owned()][..])
    );
    let applied = apply(server, &source, &first);
    assert!(applied.before.unwrap().examined > applied.after.examined, "{applied:?}");
    assert!(advise(server, &source).indexes.is_empty());
}

fn a_small_table_needs_none(server: &Server) {
    server.run("DROP TABLE IF EXISTS few");
    server.run("CREATE TABLE few (id int PRIMARY KEY, ts timestamp NULL, who varchar(9), sku varchar(9), qty int, gone int)");
    let source = source(&EV.replace("\"ev\"", "\"few\""));
    let empty = advise(server, &source);
    assert!(empty.indexes.is_empty() && empty.tables[0].notes.len() == 1, "{empty:?}");
    assert_eq!(empty.tables[0].page.unwrap().rows, 0);
    server.run(&format!("INSERT INTO few VALUES (1, {}, 'u', 'i', 1, 0)", server.now(-9)));
    let one = advise(server, &source);
    assert!(one.indexes.is_empty(), "{one:?}");
    assert_eq!(one.tables[0].page.unwrap().rows, 1);
}

/// A user that may only read advises as well, and is told why it cannot build.
fn rights_are_needed(server: &Server) {
    fill(server);
    let reader = match server.kind {
        Kind::Postgres => "CREATE ROLE reader LOGIN; GRANT SELECT ON ev TO reader",
        // A fresh installation lets nobody in particular do everything in the database `test`.
        Kind::MariaDb => {
            "DELETE FROM mysql.db; DELETE FROM mysql.global_priv WHERE User = ''; \
             FLUSH PRIVILEGES; CREATE USER reader@'%'; \
             GRANT SELECT ON test.* TO reader@'%'"
        }
    };
    server.run(reader);
    let url = server.url.replace("postgres@", "reader@").replace("root@", "reader@");
    let source = ev();
    let advisor = Advisor { source: &source, url: &url };
    let advice = advisor.advise().unwrap();
    let building = Building { url: &url, probe: false };
    let error = advisor.apply(&advice.indexes[0], building).unwrap_err().to_string();
    assert!(error.contains("the right to create indexes"), "{error}");
    assert!(!error.contains("reader@127"), "{error}");
    assert_eq!(advisor.advise().unwrap().indexes.len(), 1);
}

/// What a build that broke has left is no index, and in the way of the next one.
fn a_failed_build_is_replaced(server: &Server) {
    fill(server);
    let source = ev();
    let advice = advise(server, &source);
    let name = &advice.indexes[0].name;
    let broken = format!("CREATE UNIQUE INDEX CONCURRENTLY {name} ON ev (gone)");
    assert!(server.client().run(&broken).is_err(), "the values are not unique");
    assert_eq!(advise(server, &source).indexes.len(), 1, "half an index is none");
    apply(server, &source, &advice);
    assert!(advise(server, &source).indexes.is_empty());
}
