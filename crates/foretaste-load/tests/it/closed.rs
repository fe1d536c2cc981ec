//! The closed loop: users, ramp, requests per user.

use std::collections::{BTreeMap, BTreeSet};

use crate::server::{Server, ok, run};

const REST: &str = "[warm_up]\nseconds_at_least = 0\nseconds_at_most = 0\n\
                    [[request]]\nkind = \"recommend\"\n";

#[test]
fn every_user_asks_as_often_as_wanted_on_a_connection_of_its_own() {
    let server = Server::start(|_| Some(ok("{}")));
    let text = format!("[closed]\nusers = 5\nrequests = 20\nthink_ms = 1\n{REST}");
    let result = run(&text, &server);
    assert_eq!((result.totals.ok, result.totals.failed), (100, 0));
    assert_eq!(result.totals.achieved_share, None);
    assert!(result.seconds < 30.0, "it ended with the last answer: {}", result.seconds);
    let mut per_connection = BTreeMap::new();
    for seen in server.seen().iter() {
        *per_connection.entry(seen.connection).or_insert(0) += 1;
    }
    assert_eq!(per_connection.into_values().collect::<Vec<_>>(), [20; 5]);
}

#[test]
fn the_trace_of_a_closed_loop_follows_from_its_seed() {
    let trace = |threads: usize| {
        let server = Server::start(|_| Some(ok("{}")));
        let text =
            format!("[closed]\nusers = 4\nrequests = 10\n[transport]\nthreads = {threads}\n{REST}");
        run(&text, &server);
        let seen = server.seen();
        let mut lines: Vec<String> = seen.iter().map(|s| s.first_line.clone()).collect();
        lines.sort();
        lines
    };
    let one = trace(1);
    assert_eq!(one.len(), 40);
    assert!(one.iter().collect::<BTreeSet<_>>().len() > 10, "users differ");
    assert_eq!(one, trace(2));
}

#[test]
fn users_come_in_over_the_ramp() {
    let server = Server::start(|_| Some(ok("{}")));
    let text =
        format!("[closed]\nusers = 10\nrequests = 1\nramp_seconds = 1\nthink_ms = 0\n{REST}");
    let result = run(&text, &server);
    assert_eq!(result.totals.ok, 10);
    let seen = server.seen();
    let span = seen[9].answered - seen[0].answered;
    assert!(span.as_millis() >= 850, "{span:?}");
}
