//! From a profile to checks. What is compared with the last accepted run is in [`drift`] and, where
//! a rule has both sides, beside the rule.
//!
//! Without an accepted run only what is wrong by itself can fail; what merely breaks the data's own
//! rhythm warns, because nobody has said yet that the rhythm is right.

mod content;
mod drift;
mod skew;
mod times;

use crate::config::Limit;
use crate::profile::Profile;
use crate::report::{Check, Report, Skipped, Unit, Verdict};
use crate::{Limits, QualityConfig};

/// Checks a profile against limits, itself and the profile of the last accepted run.
///
/// `quarantined` is the number of rows that lie in quarantine, where that is known.
pub fn check(
    now: &Profile,
    accepted: Option<&Profile>,
    quarantined: Option<u64>,
    config: &QualityConfig,
) -> Report {
    let mut bench = Bench { now, accepted, config, checks: Vec::new(), skipped: Vec::new() };
    times::check(&mut bench);
    content::check(&mut bench, quarantined);
    skew::check(&mut bench);
    drift::check(&mut bench);
    bench.report()
}

/// Where checks are made.
struct Bench<'a> {
    now: &'a Profile,
    accepted: Option<&'a Profile>,
    config: &'a QualityConfig,
    checks: Vec<Check>,
    skipped: Vec<Skipped>,
}

/// A figure on its way to becoming a check.
struct Figure<'a> {
    check: &'static str,
    subject: &'a str,
    value: f64,
    unit: Unit,
    limit: Limit,
    /// Whether it can fail.
    fails: bool,
    detail: String,
    advice: &'a str,
}

impl Bench<'_> {
    fn limits(&self) -> &Limits {
        &self.config.limits
    }

    fn add(&mut self, figure: Figure<'_>) {
        let Figure { check, subject, value, unit, limit, fails, detail, advice } = figure;
        let verdict = match value {
            v if fails && v >= limit.fail => Verdict::Fail,
            v if v >= limit.warn => Verdict::Warn,
            _ => Verdict::Ok,
        };
        self.checks.push(Check {
            check: check.to_owned(),
            subject: subject.to_owned(),
            value,
            unit,
            warn: limit.warn,
            fail: fails.then_some(limit.fail),
            weight: limit.weight,
            verdict,
            detail,
            advice: if verdict == Verdict::Ok { String::new() } else { advice.to_owned() },
        });
    }

    fn skip(&mut self, check: &str, why: impl Into<String>) {
        self.skipped.push(Skipped { check: check.to_owned(), why: why.into() });
    }

    fn report(self) -> Report {
        let Self { now, accepted, mut checks, skipped, .. } = self;
        checks.sort_by_key(|check| std::cmp::Reverse(check.verdict));
        Report {
            measured_ms: now.measured_ms,
            compared_with_ms: accepted.map(|profile| profile.measured_ms),
            events: now.events.rows,
            items: now.items.rows,
            users: now.users.rows,
            score: Report::score_of(&checks),
            verdict: checks.first().map_or(Verdict::Ok, |check| check.verdict),
            checks,
            skipped,
        }
    }
}

/// A part of a whole; 0 of nothing.
fn share(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}

/// The middle of some numbers.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => values[n / 2],
        _ => 0.5 * (values[n / 2 - 1] + values[n / 2]),
    }
}
