use foretaste_core::ErrorKind;

use super::{CompareSettings, Comparison, Side, Verdict, compare, interleaved, read_baseline};
use crate::report::tests::result;
use crate::result::RunResult;

/// Runs around a median and a p99, two percent apart.
fn runs(n: usize, p50: f64, p99: f64) -> Vec<RunResult> {
    let one = |i: usize| {
        let mut run = result("a", 1_000.0);
        let noise = 1.0 + 0.02 * (i as f64 - n as f64 / 2.0);
        run.latency.p50_ms = p50 * noise;
        run.latency.p99_ms = p99 * noise;
        run
    };
    (0..n).map(one).collect()
}

fn compared(base: &[RunResult], now: &[RunResult]) -> Comparison {
    compare(base, now, CompareSettings::default()).expect("the same load")
}

#[test]
fn a_slower_tail_is_a_regression_and_a_faster_one_an_improvement() {
    let (base, slow) = (runs(5, 5.0, 20.0), runs(5, 5.0, 30.0));
    let comparison = compared(&base, &slow);
    assert_eq!(comparison.verdict, Verdict::Regression);
    let verdicts: Vec<Verdict> = comparison.differences.iter().map(|d| d.verdict).collect();
    assert_eq!(verdicts, [Verdict::NoChange, Verdict::Regression, Verdict::NoChange]);
    assert!((comparison.differences[1].ratio - 1.5).abs() < 1e-9);
    assert_eq!(compared(&slow, &base).differences[1].verdict, Verdict::Improvement);
}

#[test]
fn one_regression_outweighs_improvements() {
    assert_eq!(compared(&runs(5, 5.0, 20.0), &runs(5, 2.0, 40.0)).verdict, Verdict::Regression);
}

#[test]
fn fewer_answers_per_second_are_worse() {
    let (base, mut now) = (runs(5, 5.0, 20.0), runs(5, 5.0, 20.0));
    now.iter_mut().for_each(|run| run.totals.achieved_per_s *= 0.5);
    let comparison = compared(&base, &now);
    assert_eq!(comparison.differences[2].verdict, Verdict::Regression);
    assert_eq!(compared(&now, &base).differences[2].verdict, Verdict::Improvement);
}

#[test]
fn changes_below_the_threshold_do_not_matter() {
    assert_eq!(compared(&runs(8, 5.0, 20.0), &runs(8, 5.4, 21.6)).verdict, Verdict::NoChange);
}

#[test]
fn noise_is_not_a_change() {
    let spread = |values: [f64; 5]| {
        let mut runs = runs(5, 5.0, 20.0);
        runs.iter_mut().zip(values).for_each(|(run, p99)| run.latency.p99_ms = p99);
        runs
    };
    let comparison =
        compared(&spread([10.0, 40.0, 20.0, 18.0, 35.0]), &spread([24.0, 12.0, 45.0, 30.0, 26.0]));
    assert_eq!(comparison.verdict, Verdict::NoChange);
    assert!(comparison.differences[1].detectable > 0.5, "{:?}", comparison.differences[1]);
}

#[test]
fn too_few_runs_decide_nothing() {
    let comparison = compared(&runs(4, 5.0, 20.0), &runs(4, 5.0, 200.0));
    assert_eq!(comparison.verdict, Verdict::Inconclusive);
    assert!(comparison.because[0].contains("take 5 or more"), "{:?}", comparison.because);
}

#[test]
fn invalid_runs_decide_nothing() {
    let (base, mut now) = (runs(5, 5.0, 20.0), runs(5, 5.0, 200.0));
    now[3].invalid_because.push("the generator lagged".to_owned());
    let comparison = compared(&base, &now);
    assert_eq!(comparison.verdict, Verdict::Inconclusive);
    assert!(comparison.because[0].contains("1 of 5 runs (now) are invalid: the generator lagged"));
}

#[test]
fn different_loads_are_not_compared() {
    let (base, mut now) = (runs(5, 5.0, 20.0), runs(5, 5.0, 20.0));
    now[2].seed = 7;
    let error = compare(&base, &now, CompareSettings::default()).expect_err("another seed");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("seed: 1 in the baseline, 7 now"), "{error}");
    let error = compare(&[], &base, CompareSettings::default()).expect_err("no baseline");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_baseline_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base.json");
    let base = runs(2, 5.0, 20.0);
    fs_err::write(&path, serde_json::to_string(&base).unwrap()).unwrap();
    assert_eq!(read_baseline(&path).unwrap(), base);
    fs_err::write(&path, serde_json::to_string(&base[0]).unwrap()).unwrap();
    assert_eq!(read_baseline(&path).unwrap(), base[..1]);
    fs_err::write(&path, "[{\"format\": 99}]").unwrap();
    assert_eq!(read_baseline(&path).unwrap_err().kind(), ErrorKind::Unsupported);
    fs_err::write(&path, "[{\"x\": 1}]").unwrap();
    assert_eq!(read_baseline(&path).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn both_sides_meet_the_machine_alike() {
    use Side::{Base, Now};
    assert_eq!(interleaved(3), [Base, Now, Now, Base, Base, Now]);
}
