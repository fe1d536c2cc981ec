//! What an operator may set about the shared tier: the section `[cache.redis]`.

use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize, Serializer};

/// The section `[cache.redis]`. Durations are ms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// Where to find it; none: there is no shared tier. Of several servers that are no cluster,
    /// the first that is a primary is used.
    #[serde(serialize_with = "without_passwords")]
    pub urls: Vec<String>,
    /// Whether the servers form a Redis Cluster.
    pub cluster: bool,
    /// Begins the names of all keys, so that several installations can share a server.
    pub prefix: String,
    /// How long a request waits for an operation.
    pub operation_ms: u64,
    /// How long the keeper waits for a connection and its first answer.
    pub connect_ms: u64,
    /// Operations in flight; beyond them the tier is passed by.
    pub in_flight: usize,
    /// Entries that wait to be written; beyond them they are not.
    pub write_queue: usize,
    /// A value larger than this is not shared.
    pub value_bytes: usize,
    /// How long entries of the class `hot` are kept: what is asked for often.
    pub hot_ms: u64,
    /// How long entries of the class `feature` are kept: what answers are made from.
    pub feature_ms: u64,
    /// How long entries of the class `cold` are kept: everything else. One that is asked for often
    /// becomes hot.
    pub cold_ms: u64,
    /// How long one replica may compute a list for all while the others wait for it.
    pub lease_ms: u64,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            cluster: false,
            prefix: "foretaste".to_owned(),
            operation_ms: 8,
            connect_ms: 500,
            in_flight: 256,
            write_queue: 4_096,
            value_bytes: 1 << 20,
            hot_ms: 7_200_000,
            feature_ms: 300_000,
            cold_ms: 1_800_000,
            lease_ms: 100,
        }
    }
}

impl RedisConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// `Config`, naming the key and the allowed range.
    pub fn check(&self) -> Result<()> {
        let bad = |text: String| Err(Error::new(ErrorKind::Config, format!("cache.redis.{text}")));
        for (at, url) in self.urls.iter().enumerate() {
            if let Err(error) = redis::parse_redis_url(url).ok_or("not a Redis URL") {
                return bad(format!("urls[{at}]: {error}; write redis://HOST:PORT/"));
            }
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if self.prefix.is_empty() || !self.prefix.bytes().all(plain) {
            return bad("prefix: expected letters, digits, - and _".to_owned());
        }
        let positive = [
            ("operation_ms", self.operation_ms),
            ("connect_ms", self.connect_ms),
            ("in_flight", self.in_flight as u64),
            ("write_queue", self.write_queue as u64),
            ("hot_ms", self.hot_ms),
            ("feature_ms", self.feature_ms),
            ("cold_ms", self.cold_ms),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => bad(format!("{key} is 0; set it to at least 1")),
            None => Ok(()),
        }
    }
}

fn without_passwords<S: Serializer>(urls: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(urls.iter().map(|url| masked(url)))
}

/// `url` with `***` for what stands between its scheme and its host.
fn masked(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_settings_are_named() {
        RedisConfig::default().check().expect("defaults are valid");
        let with = |change: fn(&mut RedisConfig)| {
            let mut config = RedisConfig::default();
            change(&mut config);
            config.check().expect_err("refused").to_string()
        };
        assert!(with(|c| c.urls = vec!["http://x".into()]).contains("cache.redis.urls[0]"));
        assert!(with(|c| c.prefix = "a:b".into()).contains("cache.redis.prefix"));
        assert!(with(|c| c.operation_ms = 0).contains("cache.redis.operation_ms"));
    }

    #[test]
    fn passwords_are_not_written() {
        let urls = vec!["redis://me:s3cret@host:1/0".into(), "redis://host:2".into()];
        let config = RedisConfig { urls, ..RedisConfig::default() };
        let text = serde_json::to_string(&config).expect("JSON");
        assert!(text.contains("redis://***@host:1/0") && text.contains("redis://host:2"), "{text}");
        assert!(!text.contains("s3cret"));
    }
}
