//! What goes wrong: refusals, silence, broken connections, nonsense.

use std::time::Duration;

use foretaste_core::ErrorKind;
use foretaste_load::run::Generator;

use crate::server::{Server, ok, run, scenario};

const NO_WARM_UP: &str = "[warm_up]\nseconds_at_least = 0\nseconds_at_most = 0\n";
const ONE_KIND: &str = "[[request]]\nkind = \"popular\"\n";

fn at(rate: f64, rest: &str) -> String {
    format!(
        "[open]\nrate = {rate}\narrivals = \"constant\"\nseconds = 1\n{NO_WARM_UP}{rest}{ONE_KIND}"
    )
}

#[test]
fn a_refusal_is_a_failure_however_fast_it_comes() {
    let server = Server::start(|n| {
        let refusal = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_vec();
        Some(if n % 4 == 0 { refusal } else { ok("{}") })
    });
    let result = run(&at(200.0, ""), &server);
    assert_eq!((result.totals.ok, result.totals.failed), (150, 50));
    assert_eq!(result.latency.count, 150);
    assert_eq!(result.statuses["503"], 50);
    assert!(result.missed.iter().any(|m| m.contains("25.000% of the requests failed")));
    assert!(result.missed.iter().any(|m| m.contains("answered in time")), "{:?}", result.missed);
}

#[test]
fn silence_counts_as_the_timeout_sent_or_not() {
    let server = Server::start(|n| {
        if n > 0 {
            std::thread::sleep(Duration::from_secs(30));
        }
        Some(ok("{}"))
    });
    let result = run(&at(50.0, "[transport]\nconnections = 2\ntimeout_ms = 300\n"), &server);
    assert_eq!((result.totals.ok, result.totals.failed), (1, 49));
    assert_eq!(result.failures["timeout"], 49);
    assert_eq!(result.latency.count, 50);
    assert!((result.latency.p50_ms - 300.0).abs() < 2.0, "{:?}", result.latency);
    assert!(result.connections.waited >= 40, "{:?}", result.connections);
}

#[test]
fn a_connection_that_the_server_closes_between_requests_is_replaced() {
    let closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_vec();
    let server = Server::start(move |_| Some(closing.clone()));
    let result = run(&at(50.0, ""), &server);
    assert_eq!((result.totals.ok, result.totals.failed), (50, 0));
    assert_eq!(result.connections.opened, 50);
}

#[test]
fn a_request_on_a_connection_that_had_just_ended_is_sent_once_more() {
    // Every third request finds its connection closed without a word.
    let server = Server::start(|n| (n % 3 != 2).then(|| ok("{}")));
    let result = run(&at(60.0, "[transport]\nconnections = 1\n"), &server);
    assert_eq!((result.totals.ok, result.totals.failed), (60, 0), "{result:?}");
    assert!(result.connections.resent >= 20, "{:?}", result.connections);
}

#[test]
fn a_request_that_kills_its_connection_fails_and_is_not_sent_for_ever() {
    let server = Server::start(|_| None);
    let result = run(&at(40.0, ""), &server);
    assert_eq!((result.totals.ok, result.failures["closed"]), (0, 40));
}

#[test]
fn half_an_answer_is_none() {
    let server = Server::start(|n| {
        (n < 1).then(|| b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec())
    });
    let result = run(&at(5.0, "[transport]\ntimeout_ms = 200\n"), &server);
    assert_eq!(result.totals.ok, 0, "{result:?}");
    assert_eq!(result.failures["timeout"], 1);
}

#[test]
fn nonsense_is_counted_as_such() {
    let server = Server::start(|_| Some(b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec()));
    let result = run(&at(20.0, ""), &server);
    assert_eq!(result.failures["malformed"], 20);
}

#[test]
fn an_answer_may_end_with_its_connection() {
    let endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nbody".to_vec();
    let server = Server::start(move |_| Some(endless.clone()));
    let result = run(&at(20.0, ""), &server);
    assert_eq!((result.totals.ok, result.totals.failed), (20, 0), "{result:?}");
}

#[test]
fn nobody_there_is_said_before_the_run() {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind");
    let at = free.local_addr().expect("address");
    drop(free);
    let target = foretaste_load::target::Target::parse(&format!("http://{at}")).expect("address");
    let error = Generator::new(&scenario(ONE_KIND), &target, "t").err().expect("nobody");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("is the server running?"), "{error}");
}
