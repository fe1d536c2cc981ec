//! `[channels.NAME]`: what an operator says about a channel outside of the process.

use std::collections::BTreeMap;
use std::time::Duration;

use foretaste_core::{Error, ErrorKind, Limits, Result};
use foretaste_pipeline::BuiltIn;
use serde::{Deserialize, Serialize};

use super::address::Template;
use crate::config::millis;

/// Channels that an installation may have.
const MOST_CHANNELS: usize = 16;

/// Channels by name.
pub(crate) type Channels = BTreeMap<String, ExternalConfig>;

/// One channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExternalConfig {
    /// Where it is asked: `http://host:port/path?user={user}&scene={scene}&n={n}`.
    pub url: String,
    /// How long a request waits for it, in ms.
    pub budget_ms: u64,
    /// Connections: calls that may be open at a time; others wait within their budget.
    pub connections: usize,
    /// Longest answer.
    pub max_bytes: usize,
    /// Answers that are made from its lists are kept at most so long, in s.
    pub ttl_s: u64,
    /// After so many failures in a row it is left alone.
    pub breaker_failures: u32,
    /// While it is left alone it is asked once in so long, in ms.
    pub breaker_pause_ms: u64,
}

impl Default for ExternalConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            budget_ms: 20,
            connections: 16,
            max_bytes: 64 << 10,
            ttl_s: 60,
            breaker_failures: 5,
            breaker_pause_ms: 1_000,
        }
    }
}

impl ExternalConfig {
    pub(super) fn budget(&self) -> Duration {
        millis(self.budget_ms)
    }

    pub(super) fn pause(&self) -> Duration {
        millis(self.breaker_pause_ms)
    }

    pub(super) fn ttl_ms(&self) -> i64 {
        self.ttl_s as i64 * 1_000
    }

    /// Where it is asked.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub(super) fn template(&self, name: &str) -> Result<Template> {
        Template::parse(&self.url).map_err(|why| bad(name, format!("url {:?}: {why}", self.url)))
    }

    fn check(&self, name: &str) -> Result<()> {
        self.template(name)?;
        let ranges = [
            ("budget_ms", self.budget_ms, 10_000),
            ("connections", self.connections as u64, 10_000),
            ("max_bytes", self.max_bytes as u64, 8 << 20),
            ("ttl_s", self.ttl_s, 86_400),
            ("breaker_failures", self.breaker_failures.into(), 1_000_000),
            ("breaker_pause_ms", self.breaker_pause_ms, 600_000),
        ];
        match ranges.into_iter().find(|&(_, value, most)| value == 0 || value > most) {
            Some((key, value, most)) => {
                Err(bad(name, format!("{key} = {value} is not within 1..={most}")))
            }
            None => Ok(()),
        }
    }
}

fn bad(name: &str, text: String) -> Error {
    Error::new(ErrorKind::Config, format!("channels.{name}: {text}"))
}

/// Checks all channels.
///
/// # Errors
/// `Config`, naming the channel, the key and what is expected.
pub(crate) fn check(channels: &Channels) -> Result<()> {
    if channels.len() > MOST_CHANNELS {
        let text = format!("channels: {} of them; at most {MOST_CHANNELS}", channels.len());
        return Err(Error::new(ErrorKind::Config, text));
    }
    for (name, channel) in channels {
        let most = Limits::DEFAULT.name_bytes;
        if name.is_empty() || name.len() > most {
            return Err(bad(name, format!("a name has 1 to {most} bytes")));
        }
        if BuiltIn::from_name(name).is_some() {
            return Err(bad(name, "every installation has a channel of this name".to_owned()));
        }
        channel.check(name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(name: &str, channel: ExternalConfig, why: &str) {
        let said = check(&Channels::from([(name.to_owned(), channel)])).expect_err(why).to_string();
        assert!(said.contains(&format!("channels.{name}")) && said.contains(why), "{said}");
    }

    #[test]
    fn wrong_settings_are_named() {
        let good = ExternalConfig { url: "http://h/{user}".into(), ..ExternalConfig::default() };
        check(&Channels::from([("vectors".to_owned(), good.clone())])).expect("valid");
        refused("vectors", ExternalConfig::default(), "url");
        refused("vectors", ExternalConfig { budget_ms: 0, ..good.clone() }, "budget_ms = 0");
        refused("vectors", ExternalConfig { ttl_s: 100_000, ..good.clone() }, "1..=86400");
        refused("popular", good, "every installation");
    }
}
