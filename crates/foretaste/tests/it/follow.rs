//! A database that is followed: rows that come, change and go show in answers; kills of either
//! side lose and double nothing.

use std::time::Duration;

use foretaste_core::{EventBatch, Rng};
use foretaste_store::{Columns, EmbeddedStore, Store};

use crate::program::{Program, get, recommended, until};
use crate::receiver::receiver;
use crate::servers::{Kind, Server};

#[test]
fn postgres_in_the_serving_process() {
    Server::start(Kind::Postgres).iter_mut().for_each(serving);
}

#[test]
fn mariadb_in_the_serving_process() {
    Server::start(Kind::MariaDb).iter_mut().for_each(serving);
}

#[test]
fn extraction_goes_on_until_sigterm_and_remembers_its_reconciliations() {
    let Some(server) = Server::start(Kind::MariaDb) else { return };
    fill(&server);
    let program = Program::new(&server.url, &configuration(3600));
    let what = |line: &str| {
        let note: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(note["ok"], true, "{note}");
        note["what"].as_str().unwrap().to_owned()
    };
    let mut first = program.start("--json extract --follow");
    assert_eq!([what(&first.line()), what(&first.line())], ["pass", "reconcile"]);
    assert_eq!(first.terminate(), Some(0));
    let mut second = program.start("--json extract --follow");
    assert_eq!([what(&second.line()), what(&second.line())], ["pass", "pass"], "not due yet");
    assert_eq!(second.terminate(), Some(0));
    program.configure(&configuration(1));
    let mut third = program.start("--json extract --follow");
    until("the last one is too old", || what(&third.line()), |what| what == "reconcile");
    assert_eq!(third.terminate(), Some(0));
    let status = program.run("extract status");
    assert!(status.contains("  dearest: ") && status.contains(" ms in all, "), "{status}");
    let status: serde_json::Value =
        serde_json::from_str(&program.run("--json extract status")).unwrap();
    let dearest = status["tables"][0]["last_pass"]["statements"].as_array().unwrap();
    assert_eq!(dearest.len(), 3, "{status}");
    assert!(dearest.iter().all(|one| one["count"].as_u64() > Some(0)), "{status}");
}

#[test]
fn a_closed_table_and_a_database_that_is_away_are_told_and_so_is_their_return() {
    let Some(mut server) = Server::start(Kind::Postgres) else { return };
    fill(&server);
    let (address, came) = receiver();
    let alerts =
        format!("[alerts]\nunread_s = 1\n[alerts.alertmanager]\nurl = \"http://{address}\"\n");
    let program = Program::new(&server.url, &format!("{}{alerts}", configuration(0)));
    let mut running = program.start("--json extract --follow");
    assert!(running.line().contains("\"ok\":true"));
    // Alerts that are on are told once; each has its end.
    let next = |name: &str| {
        let (path, mut all) = came.recv_timeout(Duration::from_secs(300)).expect("an alert");
        assert_eq!((path.as_str(), all.as_array().map(Vec::len)), ("/api/v2/alerts", Some(1)));
        let alert = all[0].take();
        let labels = &alert["labels"];
        assert_eq!((&labels["alertname"], &labels["table"]), (&name.into(), &"shop/ev".into()));
        assert_eq!(labels["reading"], "pass");
        alert
    };
    let ends = |alert: serde_json::Value, other: &serde_json::Value| {
        assert_eq!(alert["startsAt"], other["startsAt"], "{alert}");
        assert!(alert["endsAt"].as_str() < other["endsAt"].as_str(), "{alert} {other}");
    };
    server.run("ALTER TABLE ev ALTER COLUMN qty DROP DEFAULT, ALTER COLUMN qty TYPE text");
    let closed = next("ForetasteSourceClosed");
    assert_eq!(closed["labels"]["severity"], "critical");
    let why = closed["annotations"]["description"].as_str().unwrap_or_default();
    assert!(why.contains("column `qty` was") && why.contains("--accept-schema"), "{why}");
    server.run("ALTER TABLE ev ALTER COLUMN qty TYPE int USING qty::int");
    ends(next("ForetasteSourceClosed"), &closed);
    server.kill();
    let unread = next("ForetasteSourceUnread");
    assert_eq!(unread["labels"]["severity"], "warning");
    server.restart();
    ends(next("ForetasteSourceUnread"), &unread);
    assert_eq!(running.terminate(), Some(0));
}

/// What a first load leaves in the log, every later start would read again.
#[test]
fn a_long_log_is_sealed() {
    let Some(server) = Server::start(Kind::MariaDb) else { return };
    fill(&server);
    let program = Program::new(&server.url, &configuration(3600));
    let logged = || {
        let counts = EmbeddedStore::open_reader(program.data()).unwrap().counts().unwrap();
        assert!(counts.events > 200, "{counts:?}");
        counts.log_events
    };
    program.run("extract --once");
    assert!(logged() > 200);
    program.configure(&format!("{}\n[serve]\nseal_events = 100\n", configuration(3600)));
    program.run("extract --once");
    assert_eq!(logged(), 0);
}

fn serving(server: &mut Server) {
    fill(server);
    let program = Program::new(&server.url, &configuration(1));
    program.run("extract --once");
    program.run("train");
    let (running, address) = program.serve(" --follow");
    rows_show_in_answers(server, &address);
    database_goes_away(server, &address);
    assert_eq!(running.terminate(), Some(0));
    kills(server, &program);
}

/// Everyone likes items of one kind, most of them `odd` ones, and now and then another.
pub(crate) fn fill(server: &Server) {
    server.create_ev();
    let mut rng = Rng::new(7);
    let mut rows = Vec::new();
    for user in 0..80 {
        let [kind, other] = if user % 3 == 0 { ["even", "odd"] } else { ["odd", "even"] };
        for n in 0..3 + rng.below(5) {
            let kind = if rng.below(8) == 0 { other } else { kind };
            let at = server.now(-100_000 + user * 8 + n as i64);
            rows.push(format!("({at}, 'u{user}', '{kind}-{}')", rng.below(12)));
        }
    }
    server.run(&format!("INSERT INTO ev (ts, who, sku) VALUES {}", rows.join(", ")));
}

pub(crate) fn configuration(reconcile_s: u32) -> String {
    format!(
        r#"
[[source]]
name = "shop"
url_env = "FORETASTE_TEST_SHOP"
interval_s = 1
reconcile_s = {reconcile_s}
[[source.tables]]
table = "ev"
entity = "events"
kind = "order"
id = ["id"]
watermark = "ts"
settle_s = 0
deleted = "gone"
fields = {{ user = "who", item = "sku", time = "ts", value = "qty" }}
"#
    )
}

fn insert(server: &Server, user: &str, item: &str) {
    let now = server.now(0);
    server.run(&format!("INSERT INTO ev (ts, who, sku) VALUES ({now}, '{user}', '{item}')"));
}

fn likes(kind: &str) -> impl Fn(&Vec<String>) -> bool {
    move |items| items.first().is_some_and(|item| item.starts_with(kind))
}

fn rows_show_in_answers(server: &Server, address: &str) {
    let answer = || recommended(address, "ann");
    let before = answer();
    assert!(likes("odd")(&before), "{before:?}");
    for item in ["even-1", "even-2", "even-3"] {
        insert(server, "ann", item);
    }
    let seen = until("new rows count", answer, likes("even"));
    assert!(!seen.contains(&"even-1".to_owned()), "what was ordered is not recommended");
    server.run("UPDATE ev SET sku = REPLACE(sku, 'even', 'odd') WHERE who = 'ann'");
    until("changed rows count as what they are now", answer, likes("odd"));
    server.run("UPDATE ev SET sku = REPLACE(sku, 'odd', 'even') WHERE who = 'ann'");
    until("and change back", answer, likes("even"));
    server.run("DELETE FROM ev WHERE who = 'ann'");
    until("deleted rows count no longer", answer, |items| *items == before);
    for change in ["added", "changed", "removed"] {
        let name = format!("foretaste_extract_rows_total{{table=\"shop/ev\",change=\"{change}\"}}");
        let counted = || {
            let metrics = get(address, "/metrics");
            let line = metrics.lines().find(|line| line.starts_with(&name));
            line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
        };
        until(change, counted, |n| *n >= 3);
    }
}

fn database_goes_away(server: &mut Server, address: &str) {
    server.kill();
    let errors = "foretaste_extract_errors_total{table=\"shop/ev\",kind=\"unavailable\"}";
    let metrics = || get(address, "/metrics");
    until("failures are counted", metrics, |text| text.contains(errors));
    assert!(likes("odd")(&recommended(address, "ben")), "answers go on");
    server.restart();
    for item in ["even-1", "even-2", "even-3"] {
        insert(server, "ben", item);
    }
    until("it goes on by itself", || recommended(address, "ben"), likes("even"));
    assert!(metrics().contains("foretaste_extract_lag_seconds{table=\"shop/ev\"}"));
}

/// The server is killed while rows come, change and go. In the end the store holds the table.
fn kills(server: &Server, program: &Program) {
    for round in 0..4 {
        let (running, _) = program.serve(" --follow");
        for n in 0..15 {
            insert(server, &format!("c{round}"), &format!("even-{}", n % 9));
            server.run(&format!("UPDATE ev SET qty = qty + 1 WHERE id = {}", 5 * n + round));
            server.run(&format!("DELETE FROM ev WHERE id = {}", 170 - n - 15 * round));
            std::thread::sleep(std::time::Duration::from_millis(30 * (n % 3)));
        }
        drop(running);
    }
    let (running, address) = program.serve(" --follow");
    until("the last kill loses nothing", || recommended(&address, "c3"), likes("even"));
    until("both are equal", || ours(program), |rows| *rows == theirs(server));
    assert_eq!(running.terminate(), Some(0));
    assert_eq!(ours(program), theirs(server));
}

/// Every event of the store, as often as it is there.
fn ours(program: &Program) -> Vec<[String; 3]> {
    let store = EmbeddedStore::open_reader(program.data()).unwrap();
    let mut all = Vec::new();
    let keep = &mut |batch: EventBatch| {
        all.extend((0..batch.len()).map(|at| {
            let event = batch.get(at);
            [event.user, event.item, event.value.to_string()]
        }));
        Ok(())
    };
    store.read_events(Columns::NoContext, keep).unwrap();
    all.sort();
    all
}

fn theirs(server: &Server) -> Vec<[String; 3]> {
    let text = if server.kind == Kind::Postgres { "text" } else { "CHAR" };
    let sql = format!("SELECT who, sku, CAST(qty AS {text}) FROM ev WHERE gone = 0");
    let rows = server.client().texts(&sql).into_iter();
    let mut all: Vec<[String; 3]> = rows.map(|row| row.try_into().unwrap()).collect();
    all.sort();
    all
}
