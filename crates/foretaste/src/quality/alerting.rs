//! Checks that do not hold as alerts, told by a thread of their own: neither training nor a verdict
//! waits for a receiver before its work is done, and then only for a bounded time.

use std::collections::BTreeMap;
use std::thread::JoinHandle;

use anyhow::Result;
use foretaste_alert::{Alert, Severity};
use foretaste_quality::{Check, Report, Unit, Verdict};

use crate::alerting::Teller;
use crate::run::Run;

const RULE: &str = "ForetasteDataQuality";
/// What receivers know of this rule.
const LEDGERS: &str = "alerts.json";

/// The alerts that follow from a report.
fn alerts(report: &Report, labels: &BTreeMap<String, String>) -> Vec<Alert> {
    let raised = report.checks.iter().filter(|check| check.verdict != Verdict::Ok);
    let alert = |check: &Check| {
        let mut labels = labels.clone();
        labels.insert("check".to_owned(), check.check.clone());
        labels.insert("subject".to_owned(), check.subject.clone());
        let (value, limit) = (check.unit.show(check.value), check.unit.show(check.threshold()));
        let verdict = check.verdict.name();
        Alert {
            name: RULE.to_owned(),
            labels,
            severity: severity(check),
            summary: format!("data quality: {} is {value} ({verdict} from {limit})", check.name()),
            description: format!("{}. What to do: {}", check.detail, check.advice),
        }
    };
    raised.map(alert).collect()
}

/// Critical is what exceeds the limit for failing by a fifth; of a share, at most all of it.
fn severity(check: &Check) -> Severity {
    let Some(fail) = check.fail else { return Severity::Warning };
    let critical = Severity::CRITICAL_TIMES * fail;
    let critical = if check.unit == Unit::Share { critical.min(1.0) } else { critical };
    if check.value >= critical { Severity::Critical } else { Severity::Warning }
}

/// The thread that tells.
pub struct Telling {
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Telling {
    /// Begins to tell the receivers of the configuration what a report raises, and what is over.
    ///
    /// # Errors
    /// When a receiver's address cannot be read, or no thread can be started.
    pub fn start(run: &Run, report: &Report) -> Result<Self> {
        let Some(teller) = Teller::new(run, LEDGERS)? else { return Ok(Self { thread: None }) };
        let on = alerts(report, teller.labels());
        let now_ms = report.measured_ms;
        let tell = move || teller.tell(&on, now_ms);
        let thread = std::thread::Builder::new().name("alerts".into()).spawn(tell)?;
        Ok(Self { thread: Some(thread) })
    }

    /// Waits until all is told or given up, and says what could not be told.
    #[allow(clippy::print_stderr)] // a warning beside the result
    pub fn finish(self) {
        let failures = self.thread.map(JoinHandle::join);
        let failures = failures
            .map(|joined| joined.unwrap_or_else(|_| vec!["telling alerts panicked".to_owned()]));
        for failure in failures.into_iter().flatten() {
            eprintln!("foretaste: warning: {failure}; the next run tries again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: f64, fail: Option<f64>, unit: Unit) -> Check {
        Check {
            check: "drift".to_owned(),
            subject: "hours".to_owned(),
            value,
            unit,
            warn: 0.1,
            fail,
            weight: 1.0,
            verdict: Verdict::Warn,
            detail: String::new(),
            advice: String::new(),
        }
    }

    #[test]
    fn critical_is_a_fifth_above_the_limit_for_failing() {
        let of = |value, fail, unit| severity(&check(value, fail, unit));
        assert_eq!(of(0.29, Some(0.25), Unit::Number), Severity::Warning);
        assert_eq!(of(0.3, Some(0.25), Unit::Number), Severity::Critical);
        assert_eq!(of(9.0, None, Unit::Number), Severity::Warning);
        assert_eq!(of(1.0, Some(0.9), Unit::Share), Severity::Critical);
        assert_eq!(of(0.99, Some(0.9), Unit::Share), Severity::Warning);
    }
}
