//! Everything kept on a database's server: processes share it, and no file holds an event.

use crate::follow::{configuration, fill};
use crate::program::{Program, get, post, recommended, until};
use crate::servers::{Kind, Server};

const STORE: &str = "[store]\nurl_env = \"FORETASTE_TEST_SHOP\"\n";

#[test]
fn processes_share_a_store_on_postgres() {
    Server::start(Kind::Postgres).iter().for_each(shared);
}

#[test]
fn processes_share_a_store_on_mariadb() {
    Server::start(Kind::MariaDb).iter().for_each(shared);
}

fn shared(server: &Server) {
    fill(server);
    let program = Program::new(&server.url, &format!("{STORE}{}", configuration(3600)));
    program.run("extract --once");
    program.run("train");
    assert!(!program.data().join("catalogue.db").exists(), "no file of a store");
    let (first, at_first) = program.serve("");
    let (second, at_second) = program.serve("");
    let before = recommended(&at_first, "ann");
    let events = r#"[{"user":"ann","item":"even-1","kind":"order"},
                     {"user":"ann","item":"even-2","kind":"order"}]"#;
    post(&at_first, "/v1/events", events);
    let after = recommended(&at_first, "ann");
    assert_ne!(after, before, "an event counts in the next answer");
    let heard = |answer: &Vec<String>| *answer == after;
    until("the other process hears of it", || recommended(&at_second, "ann"), heard);
    post(&at_second, "/v1/events", r#"{"user":"bob","item":"odd-1","kind":"order"}"#);
    let metrics = get(&at_first, "/metrics");
    let made = "\nforetaste_store_connections_made_total{server=\"primary\"} ";
    let (_, made) = metrics.split_once(made).unwrap_or_else(|| panic!("{metrics}"));
    assert!(made.chars().next().unwrap() > '0', "{metrics}");
    drop(first); // SIGKILL
    let (third, at_third) = program.serve("");
    assert_eq!(recommended(&at_third, "ann"), after, "what was acknowledged is there");
    assert_eq!(recommended(&at_third, "bob"), recommended(&at_second, "bob"));
    assert_eq!([second.terminate(), third.terminate()], [Some(0), Some(0)]);
    program.run("train");
}

/// Training reads the replica, and goes on without it, telling once.
#[test]
fn training_reads_a_replica_on_postgres() {
    Server::start(Kind::Postgres).iter().for_each(with_replica);
}

#[test]
fn training_reads_a_replica_on_mariadb() {
    Server::start(Kind::MariaDb).iter().for_each(with_replica);
}

fn with_replica(server: &Server) {
    fill(server);
    let mut replica = server.replica();
    let program = Program::new(&server.url, "");
    fs_err::write(program.data().join("replica"), &replica.url).unwrap();
    let there = program.data().join("replica").display().to_string();
    let store = format!("{STORE}replica_url_file = \"{there}\"\nreplica_max_lag_s = 5\n");
    program.configure(&format!("{store}{}", configuration(3600)));
    program.run("extract --once");
    let told = |line: &str| program.errors(line).matches("replica cannot be read").count();
    assert_eq!(told("train"), 0, "it keeps up");
    let (first, address) = program.serve("");
    let metrics = get(&address, "/metrics");
    let fresh = "foretaste_store_reads_total{server=\"replica\",reason=\"fresh\"} 1\n";
    assert!(metrics.contains(fresh), "the start of a server is a long read: {metrics}");
    let before = recommended(&address, "ann");
    drop(first);
    replica.kill();
    assert_eq!(told("train"), 1, "once, whatever it reads");
    let (_second, address) = program.serve("");
    assert_eq!(recommended(&address, "ann"), before);
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("server=\"primary\",reason=\"away\"} 1\n"), "{metrics}");
}
