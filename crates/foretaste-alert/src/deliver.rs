//! Bringing a body to a receiver within a bounded time.

use std::fmt;
use std::time::{Duration, Instant};

use foretaste_core::{Error, ErrorKind, Result, TimeMs};
use serde_json::Value;

use crate::Notice;
use crate::message::{alertmanager, webhook};

/// The first pause between two attempts; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Bytes of a refusal that are shown.
const SHOWN_BYTES: u64 = 300;

/// How long a receiver is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// One attempt, from connecting to the end of the answer.
    pub attempt: Duration,
    /// All attempts; none begins later.
    pub all: Duration,
}

/// Where alerts go. The address may hold a secret and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Receiver {
    /// A chat's incoming webhook that takes Slack's JSON.
    Webhook(String),
    /// Alertmanager's base URL; `hold_ms` after it was last told an alert counts as over.
    Alertmanager(String, TimeMs),
}

impl Receiver {
    /// What people call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(..) => "alertmanager",
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Webhook(url) => url.clone(),
            Self::Alertmanager(url, _) => format!("{}/api/v2/alerts", url.trim_end_matches('/')),
        }
    }

    fn body(&self, notices: &[Notice], now_ms: TimeMs) -> Value {
        match self {
            Self::Webhook(_) => webhook(notices),
            Self::Alertmanager(_, hold_ms) => alertmanager(notices, now_ms, *hold_ms),
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of one attempt.
enum Attempt {
    Taken,
    /// It may go better later.
    Failed(String),
    /// It will never be taken.
    Refused(String),
}

/// Brings notices to a receiver. Blocks for at most `patience.all` and one attempt; failures of the
/// network, 429 and 5xx are tried again with growing pauses.
///
/// # Errors
/// `Unavailable` when no attempt succeeded, `Invalid` when the receiver refused the message.
pub fn deliver(
    receiver: &Receiver,
    notices: &[Notice],
    now_ms: TimeMs,
    patience: Patience,
) -> Result<()> {
    if notices.is_empty() {
        return Ok(());
    }
    let body = receiver.body(notices, now_ms).to_string();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(patience.attempt))
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into();
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    for attempts in 1.. {
        let failure = match attempt(&agent, &receiver.url(), &body) {
            Attempt::Taken => return Ok(()),
            Attempt::Refused(why) => {
                let text = format!("{} refuses alerts: {why}", receiver.name());
                return Err(Error::invalid(text));
            }
            Attempt::Failed(why) => why,
        };
        if began.elapsed() + pause >= patience.all {
            let name = receiver.name();
            let text = format!("{name} cannot be told after {attempts} attempts: {failure}");
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
    Ok(())
}

fn attempt(agent: &ureq::Agent, url: &str, body: &str) -> Attempt {
    let sent = agent.post(url).header("content-type", "application/json").send(body);
    let mut answer = match sent {
        Ok(answer) => answer,
        Err(ureq::Error::BadUri(_)) => return Attempt::Refused("its URL is not one".to_owned()),
        Err(error) => return Attempt::Failed(reason(&error)),
    };
    let status = answer.status().as_u16();
    if (200..300).contains(&status) {
        return Attempt::Taken;
    }
    let said = answer.body_mut().with_config().limit(SHOWN_BYTES).read_to_string();
    let said = said.unwrap_or_default();
    let why = format!("status {status} {}", said.trim());
    match status {
        408 | 429 | 500.. => Attempt::Failed(why),
        _ => Attempt::Refused(why),
    }
}

/// What went wrong, without the address: it may hold a secret.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(io) => io.kind().to_string(),
        ureq::Error::Timeout(stage) => format!("no answer in time ({stage})"),
        ureq::Error::HostNotFound => "its host is not known".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::Tls(what) => format!("TLS: {what}"),
        _ => "the request failed".to_owned(),
    }
}
