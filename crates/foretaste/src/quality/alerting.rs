//! Checks that do not hold as alerts, told by a thread of their own: neither training nor a verdict
//! waits for a receiver before its work is done, and then only for a bounded time.

use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use foretaste_alert::{Alert, Ledger, Patience, Receiver, Severity, deliver};
use foretaste_core::{Error, ErrorKind, TimeMs};
use foretaste_quality::{Check, Report, Unit, Verdict};
use serde::{Deserialize, Serialize};

use super::Kept;
use crate::run::Run;

const RULE: &str = "ForetasteDataQuality";

/// `[alerts]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlertsConfig {
    /// After so long an alert that goes on is told again.
    repeat_s: u32,
    /// For so long Alertmanager holds an alert for on.
    hold_s: u32,
    /// Patience with one attempt.
    attempt_ms: u32,
    /// Patience with all attempts.
    give_up_ms: u32,
    /// Added to every alert.
    labels: BTreeMap<String, String>,
    webhook: WebhookConfig,
    alertmanager: AlertmanagerConfig,
}

/// `[alerts.webhook]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WebhookConfig {
    url_env: String,
    url_file: String,
}

/// `[alerts.alertmanager]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AlertmanagerConfig {
    url: String,
}

impl AlertsConfig {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> foretaste_core::Result<()> {
        let refuse = |text: &str| Err(Error::new(ErrorKind::Config, text));
        if self.attempt_ms == 0 || self.hold_s == 0 {
            return refuse("`alerts.attempt_ms` and `alerts.hold_s` must be at least 1");
        }
        if !self.webhook.url_env.is_empty() && !self.webhook.url_file.is_empty() {
            return refuse("`alerts.webhook`: give `url_env` or `url_file`, not both");
        }
        let is_name = |name: &String| {
            let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if !self.labels.keys().all(is_name) {
            return refuse("names of `alerts.labels` are letters, digits and underscores");
        }
        Ok(())
    }

    /// The receivers that are set.
    #[allow(clippy::disallowed_methods)] // this is the binary
    fn receivers(&self) -> Result<Vec<Receiver>> {
        let mut receivers = Vec::new();
        let WebhookConfig { url_env, url_file } = &self.webhook;
        if !url_env.is_empty() {
            let url = std::env::var(url_env).map_err(|_| {
                let text = format!("alerts.webhook: the environment has no {url_env}; set it");
                Error::new(ErrorKind::Config, text)
            })?;
            receivers.push(Receiver::Webhook(url.trim().to_owned()));
        } else if !url_file.is_empty() {
            let url = fs_err::read_to_string(url_file).context("alerts.webhook")?;
            receivers.push(Receiver::Webhook(url.trim().to_owned()));
        }
        if !self.alertmanager.url.is_empty() {
            let hold_ms = TimeMs::from(self.hold_s) * 1_000;
            receivers.push(Receiver::Alertmanager(self.alertmanager.url.clone(), hold_ms));
        }
        Ok(receivers)
    }
}

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
        let config = run.config.alerts.clone();
        let receivers = config.receivers()?;
        if receivers.is_empty() {
            return Ok(Self { thread: None });
        }
        let on = alerts(report, &config.labels);
        let (kept, now_ms) = (run.quality(), report.measured_ms);
        let tell = move || tell_all(&config, &kept, &receivers, (&on, now_ms));
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

fn tell_all(
    config: &AlertsConfig,
    kept: &Kept,
    receivers: &[Receiver],
    (on, now_ms): (&[Alert], TimeMs),
) -> Vec<String> {
    let patience = Patience {
        attempt: Duration::from_millis(config.attempt_ms.into()),
        all: Duration::from_millis(config.give_up_ms.into()),
    };
    let mut ledgers: BTreeMap<String, Ledger> = kept.alerts().unwrap_or_default();
    let mut failures = Vec::new();
    for receiver in receivers {
        let ledger = ledgers.entry(receiver.name().to_owned()).or_default();
        let news = ledger.settle(on, now_ms, TimeMs::from(config.repeat_s) * 1_000);
        match deliver(receiver, &news, now_ms, patience) {
            Ok(()) => ledger.told(&news, now_ms),
            Err(error) => failures.push(error.to_string()),
        }
    }
    failures.extend(kept.keep_alerts(&ledgers).err().map(|error| format!("{error:#}")));
    failures
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
