//! Telling people: which receivers there are, and what each of them knows. Rules say what is on.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use foretaste_alert::{Alert, Ledger, Patience, Receiver, deliver};
use foretaste_core::{Error, ErrorKind, TimeMs};
use serde::{Deserialize, Serialize};

use crate::quality::Kept;
use crate::run::Run;

/// `[alerts]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlertsConfig {
    /// After so long an alert that goes on is told again.
    repeat_s: u32,
    /// For so long Alertmanager holds an alert for on.
    hold_s: u32,
    /// A table that is followed and could not be read for so long raises an alert.
    unread_s: u32,
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

/// Tells the receivers of the configuration what one rule says.
#[derive(Debug)]
pub struct Teller {
    config: AlertsConfig,
    receivers: Vec<Receiver>,
    kept: Kept,
    /// File of what they know.
    ledgers: &'static str,
}

impl Teller {
    /// `None` where there is nobody to tell.
    ///
    /// # Errors
    /// When a receiver's address cannot be read.
    pub fn new(run: &Run, ledgers: &'static str) -> Result<Option<Self>> {
        let config = run.config.alerts.clone();
        let receivers = config.receivers()?;
        let teller = Self { config, receivers, kept: run.quality(), ledgers };
        Ok(Some(teller).filter(|teller| !teller.receivers.is_empty()))
    }

    /// What every alert is labelled with.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.config.labels
    }

    /// After so long a table that cannot be read is worth an alert.
    pub fn unread_ms(&self) -> TimeMs {
        TimeMs::from(self.config.unread_s) * 1_000
    }

    /// How long to wait before what could not be told is tried again.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(self.config.give_up_ms.max(1_000).into())
    }

    /// Tells all that is news when `on` are the rule's alerts, and says what could not be told:
    /// that stays news.
    pub fn tell(&self, on: &[Alert], now_ms: TimeMs) -> Vec<String> {
        let patience = Patience {
            attempt: Duration::from_millis(self.config.attempt_ms.into()),
            all: Duration::from_millis(self.config.give_up_ms.into()),
        };
        let mut ledgers: BTreeMap<String, Ledger> =
            self.kept.alerts(self.ledgers).unwrap_or_default();
        let before = ledgers.clone();
        let mut failures = Vec::new();
        for receiver in &self.receivers {
            let ledger = ledgers.entry(receiver.name().to_owned()).or_default();
            let news = ledger.settle(on, now_ms, TimeMs::from(self.config.repeat_s) * 1_000);
            match deliver(receiver, &news, now_ms, patience) {
                Ok(()) => ledger.told(&news, now_ms),
                Err(error) => failures.push(error.to_string()),
            }
        }
        if ledgers != before {
            let kept = self.kept.keep_alerts(self.ledgers, &ledgers);
            failures.extend(kept.err().map(|error| format!("{error:#}")));
        }
        failures
    }
}
