//! What one receiver was told.

use std::collections::BTreeMap;

use foretaste_core::TimeMs;
use serde::{Deserialize, Serialize};

use crate::{Alert, Severity};

/// Something to tell: an alert that is on, or one that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What is or was wrong.
    pub alert: Alert,
    /// Since when.
    pub since_ms: TimeMs,
    /// When it was over; `None` while it is on.
    pub ended_ms: Option<TimeMs>,
}

/// The alerts that a receiver knows about, and what it has not been told yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    alert: Alert,
    since_ms: TimeMs,
    /// When the receiver was last told; 0 = never.
    told_ms: TimeMs,
    ended_ms: Option<TimeMs>,
}

type Identity = (String, BTreeMap<String, String>, Severity);

fn identity(alert: &Alert) -> Identity {
    (alert.name.clone(), alert.labels.clone(), alert.severity)
}

impl Ledger {
    /// Takes all alerts that are on now, and says what is news: alerts that are new, that were last
    /// told `repeat_ms` ago or before, and those that are over. An alert whose severity changed is
    /// over under the old one and new under the new one. News stay news until [`Ledger::told`].
    pub fn settle(&mut self, on: &[Alert], now_ms: TimeMs, repeat_ms: TimeMs) -> Vec<Notice> {
        for entry in &mut self.entries {
            match on.iter().find(|alert| identity(alert) == identity(&entry.alert)) {
                Some(alert) => {
                    entry.alert = alert.clone();
                    if entry.ended_ms.take().is_some() {
                        (entry.since_ms, entry.told_ms) = (now_ms, 0);
                    }
                }
                None => {
                    entry.ended_ms.get_or_insert(now_ms);
                }
            }
        }
        // Nobody needs to hear of the end of what they never heard of.
        self.entries.retain(|entry| entry.ended_ms.is_none() || entry.told_ms > 0);
        for alert in on {
            if !self.entries.iter().any(|entry| identity(&entry.alert) == identity(alert)) {
                let alert = alert.clone();
                self.entries.push(Entry { alert, since_ms: now_ms, told_ms: 0, ended_ms: None });
            }
        }
        let is_due = |entry: &&Entry| {
            entry.ended_ms.is_some() || entry.told_ms == 0 || now_ms - entry.told_ms >= repeat_ms
        };
        self.entries.iter().filter(is_due).map(Entry::notice).collect()
    }

    /// The receiver has these notices.
    pub fn told(&mut self, notices: &[Notice], now_ms: TimeMs) {
        for notice in notices {
            let is_it = |entry: &Entry| identity(&entry.alert) == identity(&notice.alert);
            if notice.ended_ms.is_some() {
                self.entries.retain(|entry| !is_it(entry));
            } else if let Some(entry) = self.entries.iter_mut().find(|entry| is_it(entry)) {
                entry.told_ms = now_ms;
            }
        }
    }
}

impl Entry {
    fn notice(&self) -> Notice {
        Notice { alert: self.alert.clone(), since_ms: self.since_ms, ended_ms: self.ended_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPEAT_MS: TimeMs = 300_000;

    fn alert(name: &str, severity: Severity) -> Alert {
        let labels = BTreeMap::from([("check".to_owned(), name.to_owned())]);
        let (summary, description) = (format!("{name} is wrong"), String::new());
        Alert { name: "Rule".to_owned(), labels, severity, summary, description }
    }

    fn on(name: &str) -> Vec<Alert> {
        vec![alert(name, Severity::Warning)]
    }

    #[test]
    fn an_alert_is_told_once_and_again_after_a_while() {
        let mut ledger = Ledger::default();
        let news = ledger.settle(&on("a"), 1_000, REPEAT_MS);
        assert_eq!((news.len(), news[0].since_ms, news[0].ended_ms), (1, 1_000, None));
        ledger.told(&news, 1_000);
        assert_eq!(ledger.settle(&on("a"), 300_999, REPEAT_MS), []);
        let again = ledger.settle(&on("a"), 301_000, REPEAT_MS);
        assert_eq!((again.len(), again[0].since_ms), (1, 1_000));
    }

    #[test]
    fn what_was_not_told_stays_news() {
        let mut ledger = Ledger::default();
        ledger.settle(&on("a"), 1_000, REPEAT_MS);
        let news = ledger.settle(&on("a"), 2_000, REPEAT_MS);
        assert_eq!((news.len(), news[0].since_ms), (1, 1_000));
        assert_eq!(ledger.settle(&[], 3_000, REPEAT_MS), [], "nobody heard of it");
    }

    #[test]
    fn an_end_is_told_once_and_a_return_is_new() {
        let mut ledger = Ledger::default();
        let news = ledger.settle(&on("a"), 1_000, REPEAT_MS);
        ledger.told(&news, 1_000);
        let over = ledger.settle(&[], 2_000, REPEAT_MS);
        assert_eq!(over[0].ended_ms, Some(2_000));
        assert_eq!(ledger.settle(&[], 9_000, REPEAT_MS), over, "not told yet");
        ledger.told(&over, 9_000);
        assert_eq!(ledger.settle(&[], 10_000, REPEAT_MS), []);
        let back = ledger.settle(&on("a"), 11_000, REPEAT_MS);
        assert_eq!((back[0].since_ms, back[0].ended_ms), (11_000, None));
    }

    #[test]
    fn a_return_before_the_end_was_told_is_new() {
        let mut ledger = Ledger::default();
        let news = ledger.settle(&on("a"), 1_000, REPEAT_MS);
        ledger.told(&news, 1_000);
        ledger.settle(&[], 2_000, REPEAT_MS);
        let back = ledger.settle(&on("a"), 3_000, REPEAT_MS);
        assert_eq!((back.len(), back[0].since_ms, back[0].ended_ms), (1, 3_000, None));
    }

    #[test]
    fn a_worse_severity_is_news_at_once_and_ends_the_milder_one() {
        let mut ledger = Ledger::default();
        let news = ledger.settle(&on("a"), 1_000, REPEAT_MS);
        ledger.told(&news, 1_000);
        let news = ledger.settle(&[alert("a", Severity::Critical)], 2_000, REPEAT_MS);
        let found: Vec<_> = news.iter().map(|n| (n.alert.severity, n.ended_ms)).collect();
        assert_eq!(found, [(Severity::Warning, Some(2_000)), (Severity::Critical, None)]);
    }

    #[test]
    fn a_ledger_survives_its_text() {
        let mut ledger = Ledger::default();
        let news = ledger.settle(&on("a"), 1_000, REPEAT_MS);
        ledger.told(&news, 1_000);
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    }
}
