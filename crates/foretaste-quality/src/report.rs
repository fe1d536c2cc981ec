//! Checks with their verdicts, the score, and the report as a table.

use std::fmt::{self, Write};

use foretaste_core::TimeMs;
use serde::{Deserialize, Serialize};

/// What a check says. Ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Below both limits.
    Ok,
    /// Worth a look.
    Warn,
    /// Not fit for learning from.
    Fail,
}

impl Verdict {
    /// The word that tables and metrics show.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share of 1, shown in percent.
    Share,
    /// How many times as much.
    Times,
    /// A bare number.
    Number,
}

impl Unit {
    /// A figure of this unit as text.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Share if value != 0.0 && value.abs() < 0.001 => format!("{:.3}%", 100.0 * value),
            Self::Share => format!("{:.1}%", 100.0 * value),
            Self::Times => format!("{value:.2}x"),
            Self::Number => format!("{value:.3}"),
        }
    }
}

/// One check of one thing. A larger value is always worse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Name of the check, as in `quality.limits`.
    pub check: String,
    /// What was checked: a table, kind, field or distribution.
    pub subject: String,
    /// What was found.
    pub value: f64,
    /// How figures are written.
    pub unit: Unit,
    /// From here on it warns.
    pub warn: f64,
    /// From here on it fails; absent where it only warns.
    pub fail: Option<f64>,
    /// Part of the score.
    pub weight: f64,
    /// What follows.
    pub verdict: Verdict,
    /// What was found, in words.
    pub detail: String,
    /// What to do about it; empty when it is ok.
    pub advice: String,
}

impl Check {
    /// `check:subject`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.check, self.subject)
    }

    /// The limit that the verdict is about: the one for failing when it fails, else for warning.
    pub fn threshold(&self) -> f64 {
        match self.verdict {
            Verdict::Fail => self.fail.unwrap_or(self.warn),
            Verdict::Ok | Verdict::Warn => self.warn,
        }
    }
}

/// Something that could not be checked, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Name of the check.
    pub check: String,
    /// Why.
    pub why: String,
}

/// Everything that was checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When the data were measured.
    pub measured_ms: TimeMs,
    /// When the profile was measured that they were compared with.
    pub compared_with_ms: Option<TimeMs>,
    /// Events read.
    pub events: u64,
    /// Records of items.
    pub items: u64,
    /// Records of users.
    pub users: u64,
    /// 0 to 100: the weighted share of checks that are ok; one that warns counts half.
    pub score: f64,
    /// The worst verdict.
    pub verdict: Verdict,
    /// All checks, the worst first.
    pub checks: Vec<Check>,
    /// What could not be checked.
    pub skipped: Vec<Skipped>,
}

impl Report {
    /// Checks with a verdict.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.verdict == verdict)
    }

    /// 100 x the weighted mean of 1 for ok, 0.5 for warn, 0 for fail; 100 when nothing was checked.
    pub(crate) fn score_of(checks: &[Check]) -> f64 {
        let total: f64 = checks.iter().map(|check| check.weight).sum();
        let part = |check: &Check| match check.verdict {
            Verdict::Ok => check.weight,
            Verdict::Warn => 0.5 * check.weight,
            Verdict::Fail => 0.0,
        };
        if total > 0.0 { 100.0 * checks.iter().map(part).sum::<f64>() / total } else { 100.0 }
    }

    /// The report for a terminal: what is not ok line by line, then the score.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for check in self.checks.iter().filter(|check| check.verdict != Verdict::Ok) {
            let (value, limit) = (check.unit.show(check.value), check.unit.show(check.threshold()));
            let (verdict, name) = (check.verdict.name(), check.name());
            let _ = writeln!(out, "{verdict:<4}  {name:<28} {value:>9}  limit {limit}");
            let _ = writeln!(out, "      {}", check.detail);
            let _ = writeln!(out, "      {}", check.advice);
        }
        let _ = writeln!(out, "{self}");
        out
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |verdict| self.with(verdict).count();
        let (ok, warn, fail) = (n(Verdict::Ok), n(Verdict::Warn), n(Verdict::Fail));
        write!(f, "quality {:.0} of 100: {ok} ok, {warn} warn, {fail} fail", self.score)
    }
}
