//! A log that replicas share: a Redis stream of short entries, bounded in number and in age. Who
//! was away reads on from where it stopped. It does not know what the entries say.

use std::time::Duration;

use bytes::Bytes;
use redis::{FromRedisValue, Value};

use super::tier::SharedTier;

/// Entries kept, about: some 80 MB when each says 16 things of 100 bytes.
const MOST_ENTRIES: usize = 50_000;
/// Entries are kept for so long.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Entries read at once.
const STEP: usize = 256;

/// An entry with its place in the log.
pub(crate) type Entry = (String, Bytes);

impl SharedTier {
    /// Appends entries in their order; false when they were not all taken. What was taken before
    /// the failure is there twice when they are appended again.
    pub(crate) async fn append_log(&self, entries: &[Vec<u8>], unix_ms: i64) -> bool {
        let name = self.log_name();
        let mut cmds: Vec<_> = Vec::with_capacity(entries.len() + 1);
        for entry in entries {
            let mut add = redis::cmd("XADD");
            add.arg(&name).arg("MAXLEN").arg("~").arg(MOST_ENTRIES).arg("*").arg("b").arg(entry);
            cmds.push(add);
        }
        let mut forget = redis::cmd("XTRIM");
        forget.arg(&name).arg("MINID").arg("~").arg(unix_ms - KEPT.as_millis() as i64);
        cmds.push(forget);
        self.link.run_all(&cmds).await.is_ok()
    }

    /// Entries after the place `after`, oldest first; `None` when they could not be read.
    pub(crate) async fn read_log(&self, after: &str) -> Option<Vec<Entry>> {
        let mut range = redis::cmd("XRANGE");
        range.arg(self.log_name()).arg(format!("({after}")).arg("+").arg("COUNT").arg(STEP);
        let read = self.link.run_within::<Vec<Value>>(&range, self.config.connect_ms).await;
        Some(read.ok()?.into_iter().filter_map(entry).collect())
    }

    fn log_name(&self) -> String {
        format!("{}:news", self.config.prefix)
    }
}

/// `[place, [name, bytes]]`; entries of another form keep their place and say nothing.
fn entry(value: Value) -> Option<Entry> {
    let Value::Array(parts) = value else { return None };
    let mut parts = parts.into_iter();
    let place = String::from_redis_value(parts.next()?).ok()?;
    let bytes = match parts.next() {
        Some(Value::Array(fields)) => match fields.into_iter().nth(1) {
            Some(Value::BulkString(bytes)) => bytes,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    Some((place, bytes.into()))
}
