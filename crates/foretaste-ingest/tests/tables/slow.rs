//! The log of slow statements.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foretaste_core::Result;
use foretaste_ingest::tables::{SourceConfig, TableReport};

use crate::servers::Kind;
use crate::{EV, Server, World, source};

#[test]
fn postgres() {
    Server::start(Kind::Postgres).iter().for_each(check);
}

#[test]
fn mariadb() {
    Server::start(Kind::MariaDb).iter().for_each(check);
}

/// Where lines of the log are kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A pass, and what it logs.
fn logged(world: &World, source: &SourceConfig) -> (Result<TableReport>, Vec<String>) {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let done = tracing::subscriber::with_default(log.finish(), || world.pass(source));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (done, text.lines().map(str::to_owned).collect())
}

/// A view each of whose readings takes so many seconds.
fn pausing(server: &Server, seconds: f64) {
    server.run(&match server.kind {
        Kind::Postgres => format!(
            "CREATE OR REPLACE VIEW slow_ev AS WITH pause AS MATERIALIZED \
             (SELECT pg_sleep({seconds})) SELECT ev.* FROM ev, pause"
        ),
        Kind::MariaDb => format!(
            "CREATE OR REPLACE VIEW slow_ev AS SELECT ev.* FROM ev \
             JOIN (SELECT SLEEP({seconds}) AS slept) AS pause"
        ),
    });
}

fn check(server: &Server) {
    server.create_ev();
    server.fill_ev(30);
    pausing(server, 0.4);
    let settings = EV.replace("\"ev\"", "\"slow_ev\"") + "where = { who = \"u5\" }\n";
    let mut source = source(&settings);
    source.slow_statement_ms = 60_000;
    let (done, lines) = logged(&World::new(server), &source);
    assert_eq!((done.unwrap().outcome.rows, lines.len()), (1, 0), "a minute is allowed: {lines:?}");

    source.slow_statement_ms = 200;
    let (done, lines) = logged(&World::new(server), &source);
    assert_eq!(done.unwrap().outcome.rows, 1);
    let page = lines.iter().find(|line| line.contains("rows=1 ") && line.contains("LIMIT"));
    let page = page.unwrap_or_else(|| panic!("{lines:?}"));
    assert!(page.contains("a statement was slow table=\"s/slow_ev\""), "{page}");
    let ms = page.split("ms=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(ms.parse::<u64>().unwrap() >= 400, "{page}");
    assert!(!lines.iter().any(|line| line.contains("u5")), "values are not logged: {lines:?}");

    source.slow_statement_ms = 0;
    let world = World::new(server);
    assert_eq!(logged(&world, &source).1, [""; 0]);
    // The first pass has no lower bound.
    (0..2).for_each(|_| drop(world.pass(&source).unwrap()));
    let dearest = world.kept.dearest("s/slow_ev", 100);
    let is_page = |text: &str| text.contains("LIMIT") && text.contains(">=");
    let page = dearest.iter().find(|figures| is_page(&figures.statement)).unwrap();
    assert_eq!((page.count, page.failed, page.rows), (2, 0, 2), "{dearest:?}");
    assert!(page.longest >= Duration::from_millis(400) && page.total >= Duration::from_millis(800));
    assert!(dearest.is_sorted_by(|a, b| a.total >= b.total));
    assert!(!format!("{dearest:?}").contains("u5"), "values are not kept: {dearest:?}");
    if server.kind == Kind::Postgres {
        pausing(server, 3.0);
        (source.slow_statement_ms, source.statement_timeout_s) = (200, 1);
        let (done, lines) = logged(&World::new(server), &source);
        done.unwrap_err();
        let failed = lines.iter().filter(|line| line.contains("a slow statement failed"));
        assert_eq!(failed.count(), 1, "{lines:?}");
    }
}
