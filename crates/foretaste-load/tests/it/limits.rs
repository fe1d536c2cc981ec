//! Searches and stress against a server whose capacity is known: one request at a time, 5 ms each.

use std::time::Duration;

use foretaste_load::compare::{CompareSettings, Verdict, compare};
use foretaste_load::find_max::{Bound, FindMaxSettings, find_max};
use foretaste_load::run::{Generator, NoWatch};
use foretaste_load::schedule::Arrivals;
use foretaste_load::search::SearchSettings;
use foretaste_load::stress::{StressSettings, stress};

use crate::server::{Server, ok, run, scenario};

/// Goals of the server only: machines that run tests may starve the generator.
const TEXT: &str = "
    [warm_up]\nseconds_at_least = 0\nseconds_at_most = 0
    [transport]\nconnections = 1\ntimeout_ms = 400
    [limits]\np99_ms = 250\nerror_share = 0.01\ngenerator_lag_ms = 60000\ngenerator_cpu_share = 1.0
    [[request]]\nkind = \"popular\"\n";

fn slow_server(ms: u64) -> Server {
    Server::start(move |_| {
        std::thread::sleep(Duration::from_millis(ms));
        Some(ok("{}"))
    })
}

fn generator(server: &Server) -> Generator {
    Generator::new(&scenario(TEXT), &server.target(), "t").expect("listens")
}

#[test]
fn the_highest_rate_is_found_below_what_the_server_can_do() {
    let server = slow_server(5);
    let search = SearchSettings {
        start: 25.0,
        precision: 0.5,
        confirmations: 1,
        ..SearchSettings::default()
    };
    let settings =
        FindMaxSettings { search, seconds: 1.0, arrivals: Arrivals::Constant, soak_seconds: 0.5 };
    let found = find_max(&mut generator(&server), settings, &|| 7, &NoWatch).expect("runs");
    let rate = found.finding.rate.expect("25 requests of 5 ms fit into a second");
    assert!((25.0..=220.0).contains(&rate), "{:?}", found.probes);
    assert!(found.finding.failing.is_some_and(|failing| failing > rate), "{:?}", found.finding);
    assert_eq!(found.bounded_by, Bound::Server);
    assert!(found.at_most.is_some_and(|run| run.missed.is_empty() && run.started_ms == 7));
    let at_half = found.at_half.expect("measured");
    assert!((at_half.totals.offered_per_s / rate - 0.5).abs() < 0.05, "{:?}", at_half.totals);
    assert!(found.soak.is_some());
}

#[test]
fn a_server_breaks_and_comes_back() {
    let server = slow_server(5);
    let settings = StressSettings {
        start: 40.0,
        factor: 4.0,
        step_seconds: 1.0,
        overload: 2.0,
        overload_seconds: 1.0,
        recovery_seconds: 4.0,
        ..StressSettings::default()
    };
    let broken = stress(&mut generator(&server), settings, &|| 0, &NoWatch).expect("runs");
    let broke_at = broken.broke_at.expect("640 requests of 5 ms do not fit into a second");
    assert!(broke_at <= 640.0 && !broken.broke_because.is_empty(), "{:?}", broken.steps);
    let after = broken.aftermath.expect("it broke");
    assert!((after.overload_rate / broke_at - 2.0).abs() < 1e-9);
    assert!(after.goodput_per_s < 250.0, "{after:?}");
    assert!(after.run.totals.failed > 0);
    assert!(after.recovered_after_seconds.is_some_and(|s| s <= 3.0), "{:?}", after.run.windows);
}

#[test]
fn a_much_slower_server_is_told_apart() {
    let (fast, slow) = (slow_server(5), slow_server(60));
    let text = format!("[open]\nrate = 12\narrivals = \"constant\"\nseconds = 0.5\n{TEXT}");
    let runs = |server: &Server| (0..5).map(|_| run(&text, server)).collect::<Vec<_>>();
    let (base, now) = (runs(&fast), runs(&slow));
    let comparison = compare(&base, &now, CompareSettings::default()).expect("the same load");
    let p50 = &comparison.differences[0];
    assert_eq!(p50.verdict, Verdict::Regression, "{p50:?}");
    assert!(p50.ratio > 1.5 && p50.p_value < 0.05, "{p50:?}");
}
