use crate::record::{End, Extent, Failure, Moments, Recorder};
use crate::response::Answer;
use crate::result::{Context, RunResult};
use crate::run::Plan;
use crate::scenario::Scenario;
use crate::target::Target;

use crate::compare::{CompareSettings, compare};
use crate::find_max::{Bound, FindMaxResult, FindMaxSettings, Probe};
use crate::schedule::Arrivals;
use crate::search::{Finding, SearchSettings};
use crate::stress::{Aftermath, StressResult, StressSettings};

use super::{
    compare_page, compare_text, find_max_page, find_max_text, run_page, run_text, stress_page,
    stress_text,
};

const MS: u64 = 1_000_000;
const ANSWER: Answer =
    Answer { status: 200, keeps_alive: true, cache: None, is_fallback: false, is_degraded: false };

/// Ten seconds at 100 requests a second, 5 to 54 ms each, the last of each second without answer.
pub(crate) fn result(name: &str, p99_ms: f64) -> RunResult {
    let text = format!(
        "name = \"{name}\"\n[limits]\np99_ms = {p99_ms}\n[open]\nrate = 100\nseconds = 10\n\
         [[request]]\nkind = \"popular\"\n"
    );
    let scenario = Scenario::parse(&text, name, std::path::Path::new(".")).unwrap();
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    let plan = Plan::of(scenario.pace);
    let extent = Extent { length: 10_000 * MS, window: 1_000 * MS, in_time: 11_000 * MS };
    let mut recorder = Recorder::new(1, extent);
    for i in 0..1000 {
        let intended = i * 10 * MS;
        let done = intended + (5 + i % 50) * MS;
        let at = Moments { intended, taken: intended, sent: intended, done };
        recorder.sent(at);
        let end = match i % 100 {
            99 => End::Failed(Failure::Closed),
            _ => End::Answered(ANSWER),
        };
        recorder.end(0, at, end);
    }
    let context = Context {
        scenario: &scenario,
        target: &target,
        plan: &plan,
        started_ms: 0,
        threads: 1,
        warm_up: None,
    };
    RunResult::of(&recorder, context)
}

#[test]
fn a_result_judges_itself() {
    let result = result("a", 30.0);
    assert!(result.is_valid(), "{:?}", result.invalid_because);
    assert_eq!(result.missed.len(), 2, "p99 and failures: {:?}", result.missed);
    assert_eq!(result.totals.achieved_share, Some(0.99));
    assert_eq!(result.totals.goodput_per_s, Some(52.0));
    assert_eq!(result.windows.len(), 10);
    assert_eq!(result.windows[3].good, 52);
    assert!((result.latency.p99_ms - 54.0).abs() < 0.1);
    let counted: u64 = result.distribution.iter().map(|(_, n)| n).sum();
    assert_eq!(counted, 990);
}

#[test]
fn a_result_reads_back_as_it_was_written() {
    let result = result("a", 30.0);
    let text = serde_json::to_string(&result).unwrap();
    assert_eq!(serde_json::from_str::<RunResult>(&text).unwrap(), result);
}

#[test]
fn a_page_stands_alone_and_repeats_no_markup() {
    let page = run_page(&result("<script>", 30.0));
    assert!(page.contains("Load: &lt;script&gt;") && !page.contains("<script"));
    assert!(!page.contains("src=") && !page.contains("href="));
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("</svg>").count(), 4);
    assert!(!page.contains("NaN") && !page.contains("inf"), "every place is a number");
    assert!(page.contains("Goal missed: p99 is 54.0"), "{page}");
}

#[test]
fn a_run_without_an_answer_has_a_page_too() {
    let mut empty = result("a", 30.0);
    empty.windows.clear();
    empty.distribution.clear();
    assert_eq!(run_page(&empty).matches("nothing to show").count(), 4);
}

#[test]
fn text_says_what_counts() {
    let text = run_text(&result("a", 30.0));
    for part in
        ["a: open loop, 100/s Poisson, 10.0 s, 1000 requests", "popular", "goal missed: p99"]
    {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(text.contains("no answer, closed: 10"), "{text}");
}

fn found(rate: Option<f64>) -> FindMaxResult {
    let run = result("a", 60.0);
    let settings = FindMaxSettings {
        search: SearchSettings::default(),
        seconds: 10.0,
        arrivals: Arrivals::Poisson,
        soak_seconds: 0.0,
    };
    FindMaxResult {
        scenario: run.scenario.clone(),
        target: run.target.clone(),
        goals: run.goals,
        settings,
        finding: Finding { rate, failing: Some(120.0), is_confirmed: true },
        bounded_by: Bound::Generator,
        probes: vec![Probe::of(100.0, &run), Probe::of(120.0, &result("a", 30.0))],
        at_most: rate.map(|_| run.clone()),
        at_half: rate.map(|_| run),
        soak: None,
    }
}

#[test]
fn a_search_says_what_it_found_and_who_was_the_limit() {
    let text = find_max_text(&found(Some(100.0)));
    assert!(text.contains("100/s sustained (p99 up to 60 ms"), "{text}");
    assert!(text.contains("the generator could not send more"), "{text}");
    let page = find_max_page(&found(Some(100.0)));
    assert_eq!(page.matches("<svg").count(), 4);
    assert!(!page.contains("NaN") && page.contains("at half of it"));
    assert!(find_max_text(&found(None)).contains("no rate was sustained"));
}

#[test]
fn a_stress_test_says_where_it_broke_and_how_it_came_back() {
    let run = result("a", 60.0);
    let stressed = |recovered_after_seconds| StressResult {
        scenario: "a".into(),
        target: run.target.clone(),
        goals: run.goals,
        settings: StressSettings::default(),
        steps: vec![Probe::of(100.0, &run)],
        broke_at: Some(150.0),
        broke_because: vec!["p99 is 99 ms".into()],
        held: Some(100.0),
        aftermath: Some(Aftermath {
            calm_rate: 50.0,
            overload_rate: 300.0,
            goodput_per_s: 90.0,
            goodput_share: 0.9,
            recovered_after_seconds,
            run: run.clone(),
        }),
    };
    let text = stress_text(&stressed(Some(3.0)));
    for part in ["broke at 150/s (held: 100/s): p99 is 99 ms", "90%", "it recovered 3 s after"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(stress_text(&stressed(None)).contains("it had not recovered 30 s after"));
    assert_eq!(stress_page(&stressed(Some(0.0))).matches("<svg").count(), 2);
    let calm = StressResult { broke_at: None, aftermath: None, ..stressed(None) };
    assert!(stress_text(&calm).contains("nothing broke up to 100/s"));
}

#[test]
fn a_comparison_shows_both_sides() {
    let (base, now) = (vec![result("a", 60.0); 5], vec![result("a", 60.0); 5]);
    let comparison = compare(&base, &now, CompareSettings::default()).unwrap();
    let text = compare_text(&comparison);
    assert!(text.contains("p99 of the latency, ms") && text.contains("no change"), "{text}");
    let page = compare_page(&comparison, &base, &now);
    assert!(page.contains("baseline") && page.matches("<polyline").count() == 2);
}
