//! Distributions against those of the last accepted run, by the population stability index.
//!
//! PSI = sum over bins of (p - q) ln(p / q); below 0.1 a distribution counts as stable, above 0.25
//! as another one (Siddiqi, "Credit Risk Scorecards", 2006). Small samples reach such values by
//! chance: without any change PSI / (1/n + 1/m) is about chi-squared with bins - 1 degrees of
//! freedom (Yurdakul & Naranjo, "Statistical properties of the population stability index", 2020),
//! so a limit is never below its 99.9% point. As a user's events are alike, n counts users.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bench, Figure};
use crate::DAY_MS;
use crate::config::Limit;
use crate::profile::{Numbers, Profile, Week};
use crate::report::Unit;

/// Categories that are told apart, the largest of both sides; the others are one bin.
const CATEGORIES: usize = 50;
/// Days of behaviour that are compared: whole weeks, as weekdays differ.
const DAYS: i64 = 7;
/// A bin without any counts as this part of one.
const NONE: f64 = 0.5;

/// Two samples over the same bins.
struct Pair {
    names: Vec<String>,
    now: Vec<f64>,
    before: Vec<f64>,
    /// Independent draws behind each side.
    n: f64,
    m: f64,
}

pub(super) fn check(bench: &mut Bench<'_>) {
    let Some(accepted) = bench.accepted else {
        bench.skip("drift", "needs an accepted run to compare with");
        return;
    };
    let now = bench.now;
    let advice = "if the change is meant, accept the data with `foretaste quality --accept`";
    compare(bench, "categories", categories(now, accepted), advice);
    compare(bench, "price", prices(&now.prices, &accepted.prices), advice);
    if now.week.first_day.is_some() != accepted.week.first_day.is_some() {
        bench.skip("drift", "behaviour: only one of the two runs has a whole week");
        return;
    }
    let users = (now.week.users as f64, accepted.week.users as f64);
    compare(bench, "kinds", kinds(now, accepted, users), advice);
    compare(bench, "hours", hours(now, accepted, users), advice);
    let (week, before) = (&now.week, &accepted.week);
    compare(bench, "events_per_user", per_user(week, before), advice);
    compare(bench, "item_popularity", popularity(week, before), advice);
}

fn compare(bench: &mut Bench<'_>, subject: &str, pair: Option<Pair>, advice: &str) {
    let Some(pair) = pair else {
        bench.skip("drift", format!("{subject}: there is nothing to compare"));
        return;
    };
    let Limit { warn, fail, weight } = bench.limits().drift;
    let chance = pair.chance();
    let limit = Limit { warn: warn.max(chance), fail: fail.max(chance), weight };
    let (psi, bin) = pair.psi();
    let [is, was] = [&pair.now, &pair.before]
        .map(|side| Unit::Share.show(side[bin] / side.iter().sum::<f64>()));
    bench.add(Figure {
        check: "drift",
        subject,
        value: psi,
        unit: Unit::Number,
        limit,
        fails: true,
        detail: format!(
            "PSI {psi:.3} against the accepted run; most of it from {}: {is} now, {was} before",
            pair.names[bin]
        ),
        advice,
    });
}

impl Pair {
    /// The index, and the bin that has the largest part of it.
    fn psi(&self) -> (f64, usize) {
        let bins = self.now.len() as f64;
        let share = |counts: &[f64], at: usize| {
            let total: f64 = counts.iter().sum();
            (counts[at] + NONE) / (total + NONE * bins)
        };
        let part = |at: usize| {
            let (p, q) = (share(&self.now, at), share(&self.before, at));
            (p - q) * (p / q).ln()
        };
        let parts: Vec<f64> = (0..self.now.len()).map(part).collect();
        let most = (0..parts.len()).max_by(|&a, &b| parts[a].total_cmp(&parts[b]));
        (parts.iter().sum(), most.unwrap_or(0))
    }

    /// What the index reaches by chance in one of a thousand comparisons.
    fn chance(&self) -> f64 {
        let k = (self.now.len() as f64 - 1.0).max(1.0);
        // Wilson & Hilferty, "The distribution of chi-square", 1931; 3.09 is the normal's 99.9%.
        let part = 2.0 / (9.0 * k);
        let chi_squared = k * (1.0 - part + 3.09 * part.sqrt()).powi(3);
        chi_squared * (1.0 / self.n + 1.0 / self.m)
    }
}

/// Bins that one of the sides has, by name; `None` where there is nothing to compare.
fn pair(bins: impl Iterator<Item = (String, f64, f64)>, (n, m): (f64, f64)) -> Option<Pair> {
    let (mut names, mut now, mut before) = (Vec::new(), Vec::new(), Vec::new());
    for (name, a, b) in bins.filter(|bin| bin.1 > 0.0 || bin.2 > 0.0) {
        names.push(name);
        now.push(a);
        before.push(b);
    }
    let has = |side: &[f64]| side.iter().sum::<f64>() > 0.0;
    let can = now.len() > 1 && n > 0.0 && m > 0.0 && has(&now) && has(&before);
    can.then_some(Pair { names, now, before, n, m })
}

fn categories(now: &Profile, before: &Profile) -> Option<Pair> {
    let largest = |p: &Profile| {
        let mut all: Vec<_> = p.categories.iter().map(|(name, n)| (*n, name.clone())).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.into_iter().take(CATEGORIES).map(|(_, name)| name).collect::<BTreeSet<_>>()
    };
    let names = &largest(now) | &largest(before);
    let named = |counts: &BTreeMap<String, u64>| {
        let of = |name: &String| counts.get(name).copied().unwrap_or(0);
        let mut bins: Vec<u64> = names.iter().map(of).collect();
        let total: u64 = counts.values().sum();
        bins.push(total - bins.iter().sum::<u64>());
        (bins, total as f64)
    };
    let ((now, n), (before, m)) = (named(&now.categories), named(&before.categories));
    let shown = names.iter().map(|name| match name.as_str() {
        "" => "rare categories".to_owned(),
        name => format!("`{name}`"),
    });
    let shown = shown.chain(std::iter::once("other categories".to_owned()));
    let bins = shown.zip(now).zip(before);
    pair(bins.map(|((name, a), b)| (name, a as f64, b as f64)), (n, m))
}

/// Numbers in about ten equal parts of the accepted ones.
fn prices(now: &Numbers, before: &Numbers) -> Option<Pair> {
    let edges: BTreeSet<u16> =
        (1..10).map(|tenth| before.quantile_cell(f64::from(tenth) / 10.0)).collect();
    let bins = |numbers: &Numbers| {
        let mut bins = vec![0.0; edges.len() + 1];
        for (cell, n) in &numbers.cells {
            bins[edges.range(..=cell).count()] += *n as f64;
        }
        bins
    };
    let starts: Vec<f64> = edges.iter().map(|&edge| Numbers::floor_of(edge)).collect();
    let name = |bin: usize| match bin {
        0 => format!("below {:.4}", starts[0]),
        bin => format!("{:.4} and more", starts[bin - 1]),
    };
    let both = bins(now).into_iter().zip(bins(before)).enumerate();
    let sizes = (now.rows as f64, before.rows as f64);
    pair(both.map(|(bin, (a, b))| (name(bin), a, b)), sizes)
}

/// The days that are compared: the latest ones that are over.
fn latest(profile: &Profile) -> std::ops::Range<i64> {
    let end = profile.events.newest_ms.div_euclid(DAY_MS);
    end - DAYS..end
}

fn kinds(now: &Profile, before: &Profile, users: (f64, f64)) -> Option<Pair> {
    let counts = |profile: &Profile| {
        let mut counts: BTreeMap<String, f64> = BTreeMap::new();
        for (_, day) in profile.events.days.range(latest(profile)) {
            for (kind, n) in &day.kinds {
                *counts.entry(kind.clone()).or_default() += f64::from(*n);
            }
        }
        counts
    };
    let (now, before) = (counts(now), counts(before));
    let names: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
    let of = |side: &BTreeMap<String, f64>, name: &String| side.get(name).copied().unwrap_or(0.0);
    let bin = |name: &String| (format!("`{name}`"), of(&now, name), of(&before, name));
    pair(names.into_iter().map(bin), users)
}

fn hours(now: &Profile, before: &Profile, users: (f64, f64)) -> Option<Pair> {
    let counts = |profile: &Profile| {
        let mut counts = [0.0; 24];
        for (_, day) in profile.events.days.range(latest(profile)) {
            counts.iter_mut().zip(day.hours).for_each(|(sum, n)| *sum += f64::from(n));
        }
        counts
    };
    let both = counts(now).into_iter().zip(counts(before)).enumerate();
    pair(both.map(|(hour, (a, b))| (format!("{hour}:00 to {hour}:59 UTC"), a, b)), users)
}

fn per_user(now: &Week, before: &Week) -> Option<Pair> {
    let both = now.events_per_user.iter().zip(&before.events_per_user).enumerate();
    let name = |bin: usize| format!("users with {} to {} events", 1 << bin, (2 << bin) - 1);
    let bins = both.map(|(bin, (a, b))| (name(bin), *a as f64, *b as f64));
    pair(bins, (now.users as f64, before.users as f64))
}

/// Shares of events by tenth of the items, as if each item were one draw.
fn popularity(now: &Week, before: &Week) -> Option<Pair> {
    let (n, m) = (now.items as f64, before.items as f64);
    let both = now.popularity.iter().zip(&before.popularity).enumerate();
    let name = |tenth: usize| format!("tenth {} of the items by popularity", tenth + 1);
    pair(both.map(|(tenth, (a, b))| (name(tenth), a * n, b * m)), (n, m))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn psi(now: &[f64], before: &[f64]) -> f64 {
        let both = now.iter().zip(before);
        pair(both.map(|(a, b)| (String::new(), *a, *b)), (1.0, 1.0)).unwrap().psi().0
    }

    #[test]
    fn the_index_of_a_worked_example() {
        // (0.6 - 0.5) ln(0.6 / 0.5) + (0.4 - 0.5) ln(0.4 / 0.5)
        let expected = 0.1 * 1.2f64.ln() - 0.1 * 0.8f64.ln();
        assert!((psi(&[6e6, 4e6], &[5e6, 5e6]) - expected).abs() < 1e-6);
        assert_eq!(psi(&[3.0, 7.0], &[3.0, 7.0]), 0.0);
        assert!(psi(&[0.0, 1e6], &[5e5, 5e5]) > 1.0);
    }

    #[test]
    fn chance_is_the_quantile_of_chi_squared() {
        // The 99.9% point with 9 degrees of freedom is 27.877.
        let bins = (0..10).map(|bin| (bin.to_string(), 1.0, 1.0));
        let pair = pair(bins, (2_000.0, 2_000.0)).unwrap();
        assert!((pair.chance() * 1_000.0 / 27.877 - 1.0).abs() < 0.01, "{}", pair.chance());
    }
}
