//! A generated marketplace as rows that a fault can be put into.

use std::collections::BTreeMap;
use std::sync::Mutex;

use foretaste_core::{Event, EventBatch, Item, Rng, User};
use foretaste_generate::{Spec, generate, items, users};
use foretaste_quality::{Measure, Profile, QualityConfig, Report, Verdict, check};

pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// All rows of a store, with the time at which they are looked at.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) items: Vec<Item>,
    pub(crate) users: Vec<User>,
    pub(crate) events: Vec<Event>,
    pub(crate) now_ms: i64,
}

impl World {
    /// A world of some months; generated once per seed.
    pub(crate) fn of(seed: u64) -> Self {
        static WORLDS: Mutex<BTreeMap<u64, World>> = Mutex::new(BTreeMap::new());
        let spec = Spec { users: 4_000, items: 1_500, events: 150_000, seed, ..Spec::default() };
        let mut worlds = WORLDS.lock().unwrap();
        worlds.entry(seed).or_insert_with(|| Self::new(&spec)).clone()
    }

    pub(crate) fn new(spec: &Spec) -> Self {
        let mut events = Vec::new();
        generate(spec, &mut |batch| {
            events.extend((0..batch.len()).map(|at| Event { context: None, ..batch.get(at) }));
            Ok(())
        })
        .unwrap();
        let now_ms = spec.end_ms + HOUR_MS;
        Self { items: items(spec).collect(), users: users(spec).collect(), events, now_ms }
    }

    /// The rows that were there some days before.
    pub(crate) fn days_before(&self, days: i64) -> Self {
        let now_ms = self.now_ms - days * DAY_MS;
        let was_there = |created_ms: i64| created_ms <= now_ms;
        let mut world = Self { now_ms, ..self.clone() };
        world.items.retain(|item| was_there(item.created_ms));
        world.users.retain(|user| was_there(user.created_ms));
        world.events.retain(|event| was_there(event.time_ms));
        world
    }

    pub(crate) fn profile(&self, config: &QualityConfig) -> Profile {
        let mut measure = Measure::new(config, self.now_ms);
        self.items.iter().for_each(|item| measure.item(item));
        self.users.iter().for_each(|user| measure.user(user));
        for rows in self.events.chunks(10_000) {
            let mut batch = EventBatch::default();
            rows.iter().for_each(|event| batch.push(event));
            measure.events(&batch);
        }
        measure.finish()
    }

    pub(crate) fn report(&self, accepted: Option<&Self>) -> Report {
        self.report_with(accepted, &QualityConfig::default())
    }

    pub(crate) fn report_with(&self, accepted: Option<&Self>, config: &QualityConfig) -> Report {
        let accepted = accepted.map(|world| world.profile(config));
        check(&self.profile(config), accepted.as_ref(), Some(0), config)
    }

    /// Does something to a share of the events from some days before the end on.
    pub(crate) fn change(&mut self, days: i64, share: f64, change: impl Fn(&mut Event)) {
        let from_ms = self.now_ms - days * DAY_MS;
        let mut rng = Rng::new(5);
        let recent = self.events.iter_mut().filter(|event| event.time_ms >= from_ms);
        recent.for_each(|event| {
            if rng.f64() < share {
                change(event);
            }
        });
    }
}

#[track_caller]
pub(crate) fn check_finds(report: &Report, name: &str, verdict: Verdict) {
    let found = report.checks.iter().find(|check| check.name() == name);
    let all = || report.checks.iter().map(|c| format!("{} {}\n", c.name(), c.value));
    let found =
        found.unwrap_or_else(|| panic!("no check {name} in\n{}", all().collect::<String>()));
    assert_eq!(found.verdict, verdict, "{found:#?}");
    assert!(verdict == Verdict::Ok || !found.advice.is_empty());
}

#[track_caller]
pub(crate) fn check_clean(report: &Report) {
    let raised: Vec<_> = report.checks.iter().filter(|c| c.verdict != Verdict::Ok).collect();
    assert!(raised.is_empty(), "{raised:#?}");
    assert_eq!((report.score, report.verdict), (100.0, Verdict::Ok));
}
