use std::cell::Cell;

use foretaste_core::NoProgress;
use serde_json::json;

use super::*;

fn space() -> Vec<Parameter> {
    vec![
        Parameter::new("ials.alpha", Range::Log { low: 0.1, high: 1000.0 }),
        Parameter::new("q", Range::Linear { low: -1.0, high: 1.0 }),
        Parameter::new(
            "solver",
            Range::Choice { values: vec![json!("a"), json!("b"), json!("c")] },
        ),
    ]
}

/// Best at alpha 30, q 0.3, solver b; worst value is far below.
fn objective(settings: &Value) -> Result<Figures> {
    let alpha = get(settings, "ials.alpha").and_then(Value::as_f64).unwrap();
    let q = get(settings, "q").and_then(Value::as_f64).unwrap();
    let solver = if get(settings, "solver") == Some(&json!("b")) { 0.0 } else { -0.5 };
    let objective = solver - (alpha / 30.0).ln().powi(2) / 10.0 - (q - 0.3).powi(2);
    Ok(Figures { objective, ..Figures::default() })
}

fn defaults() -> Value {
    json!({"ials": {"alpha": 1.0}, "q": 0.0, "solver": "a", "untouched": 1})
}

fn run(config: &SearchConfig, table: &mut TrialTable) -> Result<Trial> {
    let (mut objective, elapsed) = (objective, || Duration::ZERO);
    let outside = Run { objective: &mut objective, elapsed: &elapsed, progress: &NoProgress };
    search(&space(), &defaults(), config, table, outside)
}

#[test]
fn the_first_trial_is_the_settings_as_they_are_and_the_best_is_not_worse() {
    let config = SearchConfig { trials: 20, ..SearchConfig::default() };
    let mut table = TrialTable::in_memory();
    let best = run(&config, &mut table).unwrap();
    assert_eq!(
        table.trials()[0].fragment(),
        json!({"ials": {"alpha": 1.0}, "q": 0.0, "solver": "a"})
    );
    assert!(best.objective > table.trials()[0].objective);
}

#[test]
fn the_estimator_beats_random_search() {
    let mean = |method| {
        let best = |seed| {
            let config = SearchConfig { trials: 40, method, seed, ..SearchConfig::default() };
            run(&config, &mut TrialTable::in_memory()).unwrap().objective.unwrap()
        };
        (0..20).map(best).sum::<f64>() / 20.0
    };
    let (tpe, random) = (mean(Method::Tpe), mean(Method::Random));
    assert!(tpe > 0.5 * random && tpe > -0.1, "tpe {tpe}, random {random}");
}

#[test]
fn a_search_taken_up_again_ends_where_an_unbroken_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports/trials.jsonl");
    let config = |trials| SearchConfig { trials, ..SearchConfig::default() };
    run(&config(6), &mut TrialTable::open(&path, "one").unwrap()).unwrap();
    run(&config(3), &mut TrialTable::open(&path, "other").unwrap()).unwrap();
    // A crash in the middle of a line.
    let mut text = fs_err::read_to_string(&path).unwrap();
    text.push_str("{\"search\": \"one\", \"numb");
    fs_err::write(&path, text).unwrap();
    let mut broken = TrialTable::open(&path, "one").unwrap();
    assert_eq!(broken.trials().len(), 6);
    run(&config(14), &mut broken).unwrap();

    let mut unbroken = TrialTable::in_memory();
    run(&config(14), &mut unbroken).unwrap();
    let settings =
        |t: &TrialTable| t.trials().iter().map(|t| t.settings.clone()).collect::<Vec<_>>();
    assert_eq!(settings(&TrialTable::open(&path, "one").unwrap()), settings(&unbroken));
}

#[test]
fn failed_trials_are_kept_and_never_the_best() {
    let count = Cell::new(0);
    let mut objective = |settings: &Value| {
        count.set(count.get() + 1);
        match count.get() {
            1 => Err(Error::invalid("no convergence")),
            2 => Ok(Figures { objective: f64::NAN, ..Figures::default() }),
            _ => objective(settings),
        }
    };
    let mut table = TrialTable::in_memory();
    let config = SearchConfig { trials: 4, ..SearchConfig::default() };
    let outside =
        Run { objective: &mut objective, elapsed: &|| Duration::ZERO, progress: &NoProgress };
    let best = search(&space(), &defaults(), &config, &mut table, outside).unwrap();
    assert!(best.number >= 2);
    assert_eq!(table.trials()[0].error.as_deref(), Some("no convergence"));
}

#[test]
fn no_trial_starts_after_the_time_is_over() {
    let clock = Cell::new(0);
    let elapsed = || Duration::from_secs(clock.get());
    let mut slow = |settings: &Value| {
        clock.set(clock.get() + 40);
        objective(settings)
    };
    let config = SearchConfig { seconds: 100.0, ..SearchConfig::default() };
    let mut table = TrialTable::in_memory();
    let outside = Run { objective: &mut slow, elapsed: &elapsed, progress: &NoProgress };
    search(&space(), &defaults(), &config, &mut table, outside).unwrap();
    assert_eq!(table.trials().len(), 3);
    assert_eq!(table.trials()[0].seconds, 40.0);
}
