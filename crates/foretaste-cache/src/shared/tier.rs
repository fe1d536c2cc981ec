//! Entries in the shared tier: read by requests, written behind them by one task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use redis::Cmd;
use tokio::sync::mpsc;

use super::changes::Changes;
use super::config::RedisConfig;
use super::envelope::{Envelope, key_hash};
use super::link::{Failed, Link};
use crate::entry::Class;
use crate::key::Key;
use crate::stats::{LinkStats, TierStats};

/// Keys looked at per step of a scan.
const SCAN_STEP: usize = 1_000;
/// Writes sent at once.
const MOST_WRITES: usize = 64;
const CLEAR_PAUSE: Duration = Duration::from_millis(300);

/// The shared tier of one process.
pub(crate) struct SharedTier {
    pub(crate) config: RedisConfig,
    pub(crate) link: Link,
    pub(crate) changes: Changes,
    writes: mpsc::Sender<Write>,
    pub(crate) figures: Figures,
}

/// What the writing task has to do.
pub(crate) enum Write {
    Put {
        name: String,
        bytes: Vec<u8>,
        ttl_ms: u64,
    },
    Keep {
        name: String,
        ttl_ms: u64,
    },
    Remove {
        name: String,
    },
    /// Everything whose path begins like this.
    Clear {
        beginning: Vec<u8>,
    },
}

/// Counters of the tier.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) stored: AtomicU64,
    pub(crate) invalidated: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) promoted: AtomicU64,
    pub(crate) listens: AtomicBool,
}

impl SharedTier {
    /// The tier, and what its writing task receives.
    pub(crate) fn new(config: &RedisConfig) -> (Arc<Self>, mpsc::Receiver<Write>) {
        let (writes, queue) = mpsc::channel(config.write_queue);
        let tier = Self {
            config: config.clone(),
            link: Link::new(config.clone()),
            changes: Changes::default(),
            writes,
            figures: Figures::default(),
        };
        (Arc::new(tier), queue)
    }

    /// The name of a key: its path for people and scans, then the hash of all of it.
    pub(crate) fn name(&self, key: &[u8]) -> String {
        let mut name = self.beginning(path(key));
        name.push(':');
        key_hash(key).iter().for_each(|b| name.push_str(&format!("{b:02x}")));
        name
    }

    /// The beginning of the names of all keys whose path begins like this.
    fn beginning(&self, path: &[u8]) -> String {
        let mut name = format!("{}:", self.config.prefix);
        for &byte in path {
            match byte {
                0 => name.push('/'),
                b if b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.' => {
                    name.push(char::from(b));
                }
                b => name.push_str(&format!("%{b:02x}")),
            }
        }
        name
    }

    pub(crate) fn stats(&self) -> TierStats {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        TierStats {
            hits: of(&self.figures.hits),
            misses: of(&self.figures.misses),
            stored: of(&self.figures.stored),
            invalidated: of(&self.figures.invalidated),
            ..TierStats::default()
        }
    }

    pub(crate) fn link_stats(&self) -> LinkStats {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        LinkStats {
            is_up: self.link.is_up(),
            listens: self.figures.listens.load(Relaxed),
            connected: of(&self.link.figures.connected),
            bypassed: of(&self.link.figures.bypassed),
            late: of(&self.link.figures.late),
            refused: of(&self.link.figures.refused),
            broken: of(&self.link.figures.broken),
            damaged: of(&self.figures.damaged),
            dropped: of(&self.figures.dropped),
            promoted: of(&self.figures.promoted),
        }
    }

    fn ttl_ms(&self, class: Class) -> u64 {
        match class {
            Class::Hot => self.config.hot_ms,
            Class::Feature => self.config.feature_ms,
            Class::Cold => self.config.cold_ms,
        }
    }

    /// The entry under a key, checked. Whatever goes wrong is a miss.
    pub(crate) async fn get(&self, key: &[u8]) -> Option<Envelope> {
        let name = self.name(key);
        let bytes: Option<Bytes> = self.link.run(redis::cmd("GET").arg(&name)).await.ok().flatten();
        self.checked(key, name, bytes)
    }

    /// The entries under several keys, in one operation.
    pub(crate) async fn get_many(&self, keys: &[&[u8]]) -> Vec<Option<Envelope>> {
        let names: Vec<String> = keys.iter().map(|key| self.name(key)).collect();
        let found: Result<Vec<Option<Bytes>>, Failed> =
            self.link.run(redis::cmd("MGET").arg(&names)).await;
        let Ok(found) = found else { return vec![None; keys.len()] };
        let mut found = found.into_iter();
        let pairs = keys.iter().zip(names);
        pairs.map(|(key, name)| self.checked(key, name, found.next().flatten())).collect()
    }

    fn checked(&self, key: &[u8], name: String, bytes: Option<Bytes>) -> Option<Envelope> {
        let opened = bytes.map(|bytes| Envelope::open(key, &bytes));
        if let Some(None) = opened {
            self.figures.damaged.fetch_add(1, Relaxed);
            self.write(Write::Remove { name });
        }
        let fit =
            opened.flatten().filter(|e| !self.changes.outdate(&e.depends_on, e.created_unix_ms));
        let counter = if fit.is_some() { &self.figures.hits } else { &self.figures.misses };
        counter.fetch_add(1, Relaxed);
        fit
    }

    /// Writes an entry behind the request that made it.
    pub(crate) fn put(&self, key: &Key, envelope: &Envelope) {
        if envelope.value.len() > self.config.value_bytes || !self.link.is_up() {
            return;
        }
        let (name, bytes) = (self.name(key.as_bytes()), envelope.seal(key.as_bytes()));
        self.write(Write::Put { name, bytes, ttl_ms: self.ttl_ms(envelope.class) });
    }

    /// Lets an entry that is asked for often stay as long as hot ones do.
    pub(crate) fn promote(&self, key: &[u8]) {
        self.figures.promoted.fetch_add(1, Relaxed);
        self.write(Write::Keep { name: self.name(key), ttl_ms: self.config.hot_ms });
    }

    /// Removes every entry whose path begins like this, behind the caller.
    pub(crate) fn clear(&self, beginning: &[u8]) {
        self.write(Write::Clear { beginning: beginning.to_vec() });
    }

    fn write(&self, write: Write) {
        if self.writes.try_send(write).is_err() {
            self.figures.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Writes what is queued, for ever, as many at once as are there.
    pub(crate) async fn write_behind(&self, mut queue: mpsc::Receiver<Write>) {
        let mut writes = Vec::with_capacity(MOST_WRITES);
        while queue.recv_many(&mut writes, MOST_WRITES).await > 0 {
            let (mut cmds, mut puts) = (Vec::with_capacity(writes.len()), 0);
            for write in writes.drain(..) {
                match write {
                    Write::Clear { beginning } => {
                        self.send(&mut cmds, &mut puts).await;
                        self.clear_until_done(&beginning).await;
                    }
                    Write::Put { name, bytes, ttl_ms } => {
                        puts += 1;
                        let mut cmd = redis::cmd("SET");
                        cmd.arg(name).arg(bytes).arg("PX").arg(ttl_ms);
                        cmds.push(cmd);
                    }
                    Write::Keep { name, ttl_ms } => {
                        let mut cmd = redis::cmd("PEXPIRE");
                        cmd.arg(name).arg(ttl_ms);
                        cmds.push(cmd);
                    }
                    Write::Remove { name } => {
                        let mut cmd = redis::cmd("UNLINK");
                        cmd.arg(name);
                        cmds.push(cmd);
                    }
                }
            }
            self.send(&mut cmds, &mut puts).await;
        }
    }

    async fn send(&self, cmds: &mut Vec<Cmd>, puts: &mut u64) {
        if !cmds.is_empty() && self.link.run_all(cmds).await.is_ok() {
            self.figures.stored.fetch_add(*puts, Relaxed);
        }
        cmds.clear();
        *puts = 0;
    }

    /// Takes the right to compute a value for all replicas; `false`: somebody else has it. When
    /// the tier cannot be asked, everybody has it.
    pub(crate) async fn lease(&self, key: &[u8]) -> bool {
        let name = format!("{}:lease", self.name(key));
        let mut set = redis::cmd("SET");
        set.arg(name).arg(1).arg("NX").arg("PX").arg(self.config.lease_ms);
        let set: Result<Option<String>, Failed> = self.link.run(&set).await;
        !matches!(set, Ok(None))
    }

    /// Waits for what the holder of the lease computes, at most as long as the lease.
    pub(crate) async fn await_lease(&self, key: &[u8]) -> Option<Envelope> {
        let step_ms = (self.config.lease_ms / 10).max(1);
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(step_ms)).await;
            if let Some(envelope) = self.get(key).await {
                return Some(envelope);
            }
        }
        None
    }

    /// What was to be removed must go even when the tier is away at the moment.
    async fn clear_until_done(&self, beginning: &[u8]) {
        while self.clear_prefix(beginning).await.is_err() {
            tokio::time::sleep(CLEAR_PAUSE).await;
        }
    }

    async fn clear_prefix(&self, beginning: &[u8]) -> Result<u64, Failed> {
        let pattern = format!("{}*", self.beginning(beginning));
        let mut removed = 0;
        for node in self.link.nodes().await? {
            let mut cursor = 0_u64;
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_STEP);
                let step = self.link.run_on(&node, &scan).await?;
                let step: Result<(u64, Vec<String>), _> = redis::from_redis_value(step);
                let Ok((next, names)) = step else { return Err(Failed::Broken) };
                for name in names {
                    let gone: u64 = self
                        .link
                        .run_within(redis::cmd("UNLINK").arg(name), self.config.connect_ms)
                        .await?;
                    removed += gone;
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        self.figures.invalidated.fetch_add(removed, Relaxed);
        Ok(removed)
    }
}

/// The path of a key: everything up to the end of its last segment.
fn path(key: &[u8]) -> &[u8] {
    let end = key.windows(2).position(|pair| pair == [0, 0]);
    end.map_or(key, |at| &key[..=at])
}
