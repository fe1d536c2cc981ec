//! The open loop: what it measures, and that it sends what it promised.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use foretaste_load::record::Tick;
use foretaste_load::requests::Requests;
use foretaste_load::run::{Generator, Plan, Watch};
use foretaste_load::schedule::{Arrivals, Schedule, Step};

use crate::server::{Server, ok, run, scenario};

const NO_WARM_UP: &str = "[warm_up]\nseconds_at_least = 0\nseconds_at_most = 0\n";
const ONE_KIND: &str = "[[request]]\nkind = \"recommend\"\n";

/// Remembers when a part began.
#[derive(Default)]
struct Start(Mutex<Option<Instant>>);

impl Watch for Start {
    fn begin(&self, _: &str, _: f64, at: Instant) {
        *self.0.lock().expect("no panic") = Some(at);
    }
    fn tick(&self, _: f64, _: f64, _: &Tick) {}
    fn end(&self) {}
}

/// One connection to a server that answers one request after the other, after 20 ms, some after
/// 200 ms: the latency of request i is the time at which the server answered it, less the time at
/// which it was meant to be sent, however long it queued in between.
#[test]
fn percentiles_are_those_of_a_reference_computed_from_the_servers_own_times() {
    let server = Server::start(|n| {
        std::thread::sleep(Duration::from_millis(if n % 40 == 39 { 200 } else { 20 }));
        Some(ok("{}"))
    });
    let text = format!("[transport]\nconnections = 1\n{NO_WARM_UP}{ONE_KIND}");
    let scenario = scenario(&text);
    let steps = vec![Step { rate: 30.0, seconds: 5.0 }];
    let plan = Plan::Open { steps: steps.clone(), arrivals: Arrivals::Poisson };
    let requests = Requests::new(&scenario, &server.target(), "t").expect("no files");
    let mut generator = Generator::new(&scenario, &server.target(), "t").expect("listens");
    let start = Start::default();
    let recorder =
        generator.part(&plan, &requests, ("measure", &start), &mut |_, _| true).expect("runs");

    let began = start.0.lock().expect("no panic").expect("began");
    let intended = Schedule::new(Arrivals::Poisson, &steps, scenario.seed);
    let mut reference: Vec<f64> = (server.seen().iter().zip(intended))
        .map(|(seen, at)| (seen.answered - began - Duration::from_nanos(at)).as_secs_f64() * 1e3)
        .collect();
    assert_eq!(reference.len() as u64, recorder.ok());
    reference.sort_by(f64::total_cmp);
    for share in [0.1, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0] {
        let rank = (share * reference.len() as f64).ceil() as usize;
        let (expected, found) = (reference[rank - 1], recorder.latency.quantile_ms(share));
        assert!(
            (found / expected - 1.0).abs() < 0.05,
            "p{share}: {found} ms measured, {expected} ms by the server's clock"
        );
    }
}

/// Answers at once, except that nothing is answered between two moments.
fn server_that_stands_still(from: Duration, to: Duration) -> Server {
    let first = Mutex::new(None);
    Server::start(move |_| {
        let began = *first.lock().expect("no panic").get_or_insert_with(Instant::now);
        let since = began.elapsed();
        if since >= from && since < to {
            std::thread::sleep(to - since);
        }
        Some(ok("{}"))
    })
}

#[test]
fn a_server_that_stands_still_shows_in_an_open_loop_and_hides_in_a_closed_one() {
    let stall =
        || server_that_stands_still(Duration::from_millis(1_000), Duration::from_millis(1_600));
    let pace = "[open]\nrate = 200\narrivals = \"constant\"\nseconds = 3\n";
    let open = run(&format!("{pace}{NO_WARM_UP}{ONE_KIND}"), &stall());
    // A fifth of the requests falls into the stall and waits for 0 to 600 ms.
    assert!((500.0..1_200.0).contains(&open.latency.p99_ms), "{:?}", open.latency);
    assert!(open.latency.p90_ms > 200.0, "{:?}", open.latency);
    assert_eq!(open.totals.ok, 600);
    let worst = open.windows.iter().max_by(|a, b| a.p50_ms.total_cmp(&b.p50_ms));
    let at = worst.map(|window| window.second);
    assert_eq!(at, Some(1.0), "the stall stands in the window in which its requests were due");

    let closed =
        run(&format!("[closed]\nusers = 1\nseconds = 3\n{NO_WARM_UP}{ONE_KIND}"), &stall());
    assert!(closed.latency.p99_ms < open.latency.p99_ms / 3.0, "{:?}", closed.latency);
    assert!(closed.latency.max_ms > 500.0, "{:?}", closed.latency);
}

#[test]
fn every_request_of_the_schedule_is_sent_once_on_any_number_of_threads() {
    let trace = |threads: usize, spin: bool| -> BTreeSet<String> {
        let server = Server::start(|_| Some(ok("{}")));
        let text = format!(
            "[open]\nrate = 400\nseconds = 1\n[transport]\nthreads = {threads}\nspin = {spin}\n\
             {NO_WARM_UP}\
             [users]\nnew_share = 1.0\n[[request]]\nkind = \"recommend\"\nk = 3\n"
        );
        let result = run(&text, &server);
        assert_eq!(result.totals.failed, 0, "{result:?}");
        let seen = server.seen();
        assert_eq!(seen.len() as u64, result.totals.requests);
        // Looking whether something is due is no work.
        assert!(result.generator.cpu_share < 0.8, "{result:?}");
        let lines: BTreeSet<String> = seen.iter().map(|s| s.first_line.clone()).collect();
        assert_eq!(lines.len(), seen.len(), "each user is new, so each line is its own");
        lines
    };
    let one = trace(1, false);
    assert!(one.len() > 300, "{}", one.len());
    assert_eq!(one, trace(3, false));
    assert_eq!(one, trace(1, true));
}

#[test]
fn what_warms_up_is_not_what_is_measured() {
    let server = Server::start(|_| Some(ok("{}")));
    let text = format!(
        "[open]\nrate = 300\nseconds = 1\n[warm_up]\nseconds_at_least = 1\nseconds_at_most = 2\n\
         [users]\nnew_share = 1.0\n{ONE_KIND}"
    );
    let result = run(&text, &server);
    let warm_up = result.warm_up.expect("there was one");
    assert!(warm_up.latency.count > 200, "{warm_up:?}");
    assert!(warm_up.first_second_p99_ms > 0.0);
    let warm = |line: &str| line.contains("/new-t-1-");
    let seen = server.seen();
    let measured = seen.iter().filter(|s| !warm(&s.first_line)).count() as u64;
    assert_eq!(measured, result.totals.requests);
    assert_eq!(seen.len() as u64 - measured, warm_up.latency.count);
}

#[test]
fn a_warm_up_ends_when_the_server_is_stable() {
    let server = Server::start(|_| Some(ok("{}")));
    let text = format!(
        "[open]\nrate = 300\nseconds = 0.5\n\
         [warm_up]\nseconds_at_least = 1\nseconds_at_most = 60\nwindows = 2\ntolerance = 1.0\n\
         {ONE_KIND}"
    );
    let warm_up = run(&text, &server).warm_up.expect("there was one");
    assert!(warm_up.is_stable && warm_up.seconds < 30.0, "{warm_up:?}");
}

#[test]
fn a_mix_is_reported_by_kind() {
    let server = Server::start(|n| {
        let fallback = if n % 2 == 0 { ",\"fallback\":\"popular\"" } else { "" };
        Some(ok(&format!("{{\"items\":[]{fallback},\"degraded\":[]}}")))
    });
    let text = format!(
        "[open]\nrate = 200\nseconds = 1\n{NO_WARM_UP}\
         [[request]]\nkind = \"popular\"\nweight = 3\n[[request]]\nkind = \"events\"\nrecords = 2\n"
    );
    let result = run(&text, &server);
    let (popular, events) = (&result.kinds[0], &result.kinds[1]);
    assert_eq!(popular.ok + events.ok, result.totals.requests);
    assert!(popular.ok > events.ok && events.ok > 10, "{result:?}");
    let posted = server.seen().iter().filter(|s| s.body.starts_with("[{\"event_id\"")).count();
    assert_eq!(posted as u64, events.ok);
    assert!(result.slates.fallbacks > 0 && result.slates.fallbacks <= popular.ok);
    assert_eq!(result.slates.degraded, 0);
    assert!(result.totals.achieved_share.is_some_and(|share| share > 0.9), "{:?}", result.totals);
}
