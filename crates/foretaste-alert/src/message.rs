//! Notices as the bodies that receivers take.

use foretaste_core::TimeMs;
use foretaste_core::time::{DAY_MS, date};
use serde_json::{Value, json};

use crate::{Notice, Severity};

/// Characters of one message to a webhook; chats cut longer ones.
const MOST_TEXT: usize = 3_500;

/// One message for a chat: `{"text": ...}` in Slack's markup.
pub fn webhook(notices: &[Notice]) -> Value {
    let mut text = String::new();
    for (at, notice) in notices.iter().enumerate() {
        let line = line(notice);
        if text.chars().count() + line.chars().count() > MOST_TEXT {
            text.push_str(&format!("and {} more", notices.len() - at));
            break;
        }
        text.push_str(&line);
    }
    json!({ "text": text.trim_end() })
}

fn line(notice: &Notice) -> String {
    let alert = &notice.alert;
    let (summary, description) = (plain(&alert.summary), plain(&alert.description));
    match (notice.ended_ms, alert.severity) {
        (Some(_), _) => format!(":white_check_mark: *over*: {summary}\n"),
        (None, Severity::Critical) => {
            format!(":rotating_light: *critical*: {summary}\n{description}\n")
        }
        (None, Severity::Warning) => format!(":warning: *warning*: {summary}\n{description}\n"),
    }
}

/// Text that opens no markup.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The array that `POST /api/v2/alerts` takes. An alert that is on counts as over `hold_ms` from
/// now, unless it is told again: rules that run now and then are not asked every minute.
pub fn alertmanager(notices: &[Notice], now_ms: TimeMs, hold_ms: TimeMs) -> Value {
    let one = |notice: &Notice| {
        let alert = &notice.alert;
        let mut labels = json!({ "alertname": alert.name, "severity": alert.severity.name() });
        for (name, value) in &alert.labels {
            labels[name] = json!(value);
        }
        let ends_ms = notice.ended_ms.unwrap_or_else(|| now_ms.saturating_add(hold_ms));
        json!({
            "labels": labels,
            "annotations": { "summary": alert.summary, "description": alert.description },
            "startsAt": rfc3339(notice.since_ms),
            "endsAt": rfc3339(ends_ms),
        })
    };
    Value::Array(notices.iter().map(one).collect())
}

/// A time as RFC 3339 writes it, in UTC.
fn rfc3339(time_ms: TimeMs) -> String {
    let (day, of_day) = (time_ms.div_euclid(DAY_MS), time_ms.rem_euclid(DAY_MS));
    let (seconds, ms) = (of_day / 1_000, of_day % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let day = date(day);
    format!("{day}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Alert;
    use std::collections::BTreeMap;

    fn notice(summary: &str, ended_ms: Option<TimeMs>) -> Notice {
        let alert = Alert {
            name: "DataQuality".to_owned(),
            labels: BTreeMap::from([("check".to_owned(), "drift".to_owned())]),
            severity: Severity::Critical,
            summary: summary.to_owned(),
            description: "look".to_owned(),
        };
        Notice { alert, since_ms: 1_780_271_999_007, ended_ms }
    }

    #[test]
    fn alertmanager_gets_labels_times_and_an_end() {
        let body = alertmanager(&[notice("a", None)], 1_780_272_000_000, 60_000);
        assert_eq!(
            body,
            json!([{
                "labels": { "alertname": "DataQuality", "severity": "critical", "check": "drift" },
                "annotations": { "summary": "a", "description": "look" },
                "startsAt": "2026-05-31T23:59:59.007Z",
                "endsAt": "2026-06-01T00:01:00.000Z",
            }])
        );
        let body = alertmanager(&[notice("a", Some(1_780_272_000_000))], 9, 9);
        assert_eq!(body[0]["endsAt"], "2026-06-01T00:00:00.000Z");
    }

    #[test]
    fn a_chat_gets_one_text_without_foreign_markup() {
        let body = webhook(&[notice("<!channel> & co", None), notice("b", Some(5))]);
        let text = body["text"].as_str().unwrap();
        assert!(text.starts_with(":rotating_light: *critical*: &lt;!channel&gt; &amp; co\nlook\n"));
        assert!(text.ends_with("*over*: b"), "{text}");
    }

    #[test]
    fn a_long_list_says_how_many_more_there_are() {
        let body = webhook(&vec![notice(&"x".repeat(200), None); 100]);
        let text = body["text"].as_str().unwrap();
        assert!(text.chars().count() < MOST_TEXT + 20 && text.ends_with("more"), "{text}");
    }
}
