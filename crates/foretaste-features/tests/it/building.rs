//! Values brought up to date are those of a full build; memory that is too small spills.

use foretaste_core::{Event, Rng};
use foretaste_features::table::DAY_MS;
use foretaste_features::{Built, Catalogue, Checked, Engine, EngineConfig, Mode, build};

use crate::market::{Market, Values, assert_same};

async fn build_all(market: &Market, sets: &[Checked], as_of: i64) -> Vec<Built> {
    let inputs = market.inputs().await;
    let mut built = Vec::new();
    for set in sets {
        built.push(build(&market.lake, &market.engine, set, (&inputs, as_of)).await.unwrap());
    }
    built
}

async fn all_values(market: &Market, sets: &[Checked]) -> Vec<Values> {
    let mut all = Vec::new();
    for set in sets {
        all.push(market.values(set).await);
    }
    all
}

/// Removes the values, so that the next build is a full one.
fn forget(market: &Market, sets: &[Checked]) {
    for set in sets {
        let folder = market.lake.place().name().to_owned() + "/" + &set.definition.table();
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// What a store may hold some time later: new events, late ones, and fewer of some users.
fn later(all: &[Event], now: &[Event], as_of: i64, rng: &mut Rng) -> Vec<Event> {
    let erased = format!("u{}", rng.below(60));
    let come =
        |event: &Event, rng: &mut Rng| event.time_ms < as_of && rng.f64() < 0.7 || rng.f64() < 0.01;
    let known: std::collections::HashSet<u64> = now.iter().map(Event::key).collect();
    let mut next: Vec<Event> = now.to_vec();
    next.extend(all.iter().filter(|e| !known.contains(&e.key()) && come(e, rng)).cloned());
    if rng.f64() < 0.5 {
        next.retain(|event| event.user != erased);
    }
    next
}

/// Random histories of a lake: after every step, values that were updated equal those of a build
/// from nothing, whatever came, went or was late, within a day and over midnight.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_gives_what_a_full_build_gives() {
    for seed in 0..2 {
        let market = Market::new(4_000, seed);
        let mut rng = Rng::stream(seed, 1);
        market.put_catalogue().await;
        let day = market.afternoon().div_euclid(DAY_MS) * DAY_MS;
        let mut as_of = day + rng.below(6 * 3_600_000) as i64;
        let mut now: Vec<Event> =
            market.events.iter().filter(|event| event.time_ms < as_of).cloned().collect();
        market.put_events(&now).await.unwrap();
        let sets = market.starter().await;
        build_all(&market, &sets, as_of).await;
        let mut updates = 0;
        for _ in 0..3 {
            as_of += rng.below(8 * 3_600_000) as i64;
            now = later(&market.events, &now, as_of, &mut rng);
            market.put_events(&now).await.unwrap();
            let built = build_all(&market, &sets, as_of).await;
            updates += built.iter().filter(|b| matches!(b.mode, Mode::Update(_))).count();
            let updated = all_values(&market, &sets).await;
            forget(&market, &sets);
            build_all(&market, &sets, as_of).await;
            let full = all_values(&market, &sets).await;
            for ((set, updated), full) in sets.iter().zip(&updated).zip(&full) {
                assert_same(updated, full, &format!("seed {seed}, {}", set.definition.name));
            }
        }
        assert!(updates > 5, "seed {seed}: only {updates} updates");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_does_no_more_than_it_must_and_says_why() {
    let market = Market::new(4_000, 3);
    market.put_catalogue().await;
    let as_of = market.afternoon();
    let early: Vec<Event> = market.events.iter().filter(|e| e.time_ms < as_of).cloned().collect();
    market.put_events(&early).await.unwrap();
    let sets: Vec<Checked> = market.starter().await;
    let one = &sets[sets.iter().position(|s| s.definition.name == "user_activity").unwrap()..][..1];
    let mode = async |market: &Market, set: &Checked, as_of: i64| {
        build_all(market, std::slice::from_ref(set), as_of).await[0].mode.clone()
    };
    let full = |mode: Mode, expected: &str| {
        assert!(matches!(mode, Mode::Full(why) if why.contains(expected)), "{expected}");
    };
    full(mode(&market, &one[0], as_of).await, "no values yet");
    assert_eq!(mode(&market, &one[0], as_of).await, Mode::Unchanged);
    let mut more = early.clone();
    more.push(Event { time_ms: as_of - 1, ..early[0].clone() });
    market.put_events(&more).await.unwrap();
    let Mode::Update(touched) = mode(&market, &one[0], as_of).await else { panic!("no update") };
    assert!((1..60).contains(&touched), "the users of one day, not all: {touched}");
    full(mode(&market, &one[0], as_of + DAY_MS).await, "a new day");
    full(mode(&market, &one[0], as_of).await, "of a later time");
    let mut other = one[0].clone();
    other.definition.sql += " HAVING count(*) > 1";
    full(mode(&market, &other, as_of).await, "the definition");
    market.lake.put_items(&market.items[1..]).await.unwrap();
    full(mode(&market, &other, as_of).await, "items or users");
    let events = market.lake.table("events").unwrap();
    market.put_events(&early).await.unwrap();
    events.vacuum(std::time::Duration::ZERO).await.unwrap();
    full(mode(&market, &other, as_of).await, "older events are gone");
}

/// Grouping by user and item and sorting a few hundred thousand rows in little memory.
#[tokio::test(flavor = "multi_thread")]
async fn too_little_memory_spills_and_changes_nothing() {
    let market = Market::new(150_000, 5);
    market.put_catalogue().await;
    market.put_events(&market.events).await.unwrap();
    let as_of = market.afternoon();
    let definition = "\
-- feature: wide
-- entity: user_item
-- class: static
-- description: Groups of many rows, in order of time.
-- column last_kind: Kind of the last event.
-- column sessions: Different visits.
SELECT user_id, item_id, as_of, CAST(character_length(max(k)) AS BIGINT) AS last_kind,
       count(DISTINCT session) AS sessions
FROM (SELECT *, last_value(kind) OVER (PARTITION BY user_id, item_id, as_of, session
                                       ORDER BY time_ms, kind) AS k FROM history)
GROUP BY user_id, item_id, as_of
";
    let catalogue = Catalogue::of([("wide.sql", definition)].into_iter()).unwrap();
    let set = market.checked(&catalogue).await.remove(0);
    let inputs = market.inputs().await;
    build(&market.lake, &market.engine, &set, (&inputs, as_of)).await.unwrap();
    let expected = market.values(&set).await;
    forget(&market, std::slice::from_ref(&set));
    let spill = tempfile::tempdir().unwrap();
    let little = EngineConfig {
        memory_mb: 32,
        threads: 2,
        spill_dir: spill.path().to_owned(),
        ..EngineConfig::default()
    };
    let engine = Engine::new(market.lake.place(), &little).unwrap();
    build(&market.lake, &engine, &set, (&inputs, as_of)).await.unwrap();
    assert_same(&market.values(&set).await, &expected, "spilled");
    forget(&market, std::slice::from_ref(&set));
    // With hardly any room on disk it fails: it did need the disk.
    let nothing = EngineConfig { spill_mb: 1, ..little };
    let engine = Engine::new(market.lake.place(), &nothing).unwrap();
    let error = build(&market.lake, &engine, &set, (&inputs, as_of)).await.unwrap_err();
    assert!(error.to_string().contains("raise spill_mb"), "{error}");
}
