//! Replicas tell each other what changed: a list in the shared tier for who comes later, and a
//! message for who is there. Whoever was cut off drops what it has in process when it is back,
//! because it cannot know what it missed.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt;
use redis::{Client, Msg, Value};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};

use super::tier::SharedTier;
use crate::clock::Clock;
use crate::key::Dependency;

/// Changes of things in one message.
const MOST_AT_ONCE: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(300);
const PING: Duration = Duration::from_secs(1);

/// What one replica says to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// These changed.
    Changed(Vec<Dependency>),
    /// What begins like this is to be dropped.
    Cleared(Vec<u8>),
}

/// What a process hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Another replica said so.
    Word(Word),
    /// Something may have been missed.
    Silence,
}

impl Word {
    /// `sender` keeps a replica from listening to itself.
    fn to_bytes(&self, sender: u64, at_unix_ms: i64) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(sender.to_le_bytes());
        out.extend(at_unix_ms.to_le_bytes());
        match self {
            Self::Changed(things) => {
                out.push(1);
                things.iter().for_each(|d| out.extend(d.0.to_le_bytes()));
            }
            Self::Cleared(beginning) => {
                out.push(2);
                out.extend(beginning);
            }
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<(u64, i64, Self)> {
        let (head, rest) = bytes.split_first_chunk::<16>()?;
        let sender = u64::from_le_bytes(head[..8].try_into().ok()?);
        let at_unix_ms = i64::from_le_bytes(head[8..].try_into().ok()?);
        let word = match rest.split_first()? {
            (1, things) if things.len() % 8 == 0 => {
                let thing = |b: &[u8]| b.try_into().ok().map(|b| Dependency(u64::from_le_bytes(b)));
                Self::Changed(things.chunks_exact(8).filter_map(thing).collect())
            }
            (2, beginning) => Self::Cleared(beginning.to_vec()),
            _ => return None,
        };
        Some((sender, at_unix_ms, word))
    }
}

/// This replica's place on the bus.
pub(crate) struct Bus {
    sender: u64,
    clock: Clock,
    words: mpsc::Sender<Word>,
    /// More was said than waits to be told: the others have to drop everything.
    lost_words: AtomicBool,
}

impl Bus {
    pub(crate) fn new(clock: Clock, queue: usize) -> (Self, mpsc::Receiver<Word>) {
        use std::hash::{BuildHasher, RandomState};
        let (words, said) = mpsc::channel(queue);
        let sender = RandomState::new().hash_one(0);
        (Self { sender, clock, words, lost_words: AtomicBool::new(false) }, said)
    }

    /// Tells the others, behind the caller.
    pub(crate) fn say(&self, word: Word) {
        if self.words.try_send(word).is_err() {
            self.lost_words.store(true, Relaxed);
        }
    }

    /// Sends what was said, for ever. What cannot be sent is kept until it can.
    pub(crate) async fn speak(&self, tier: &SharedTier, mut said: mpsc::Receiver<Word>) {
        while let Some(word) = said.recv().await {
            let at_unix_ms = self.clock.unix_ms();
            while !self.send(tier, &word, at_unix_ms).await {
                sleep(PAUSE).await;
            }
            if self.lost_words.swap(false, Relaxed) {
                let everything = Word::Cleared(Vec::new());
                while !self.send(tier, &everything, self.clock.unix_ms()).await {
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn send(&self, tier: &SharedTier, word: &Word, at_unix_ms: i64) -> bool {
        let config = &tier.config;
        let (list, channel) = (list_of(&config.prefix), channel_of(&config.prefix));
        if let Word::Changed(things) = word {
            let kept_ms = config.hot_ms.max(config.cold_ms).max(config.feature_ms) as i64;
            for some in things.chunks(MOST_AT_ONCE) {
                let mut add = redis::cmd("ZADD");
                add.arg(&list);
                some.iter().for_each(|d| {
                    add.arg(at_unix_ms).arg(d.0);
                });
                let mut forget = redis::cmd("ZREMRANGEBYSCORE");
                forget.arg(&list).arg("-inf").arg(at_unix_ms - kept_ms);
                for cmd in [add, forget] {
                    if tier.link.run_within::<Value>(&cmd, config.connect_ms).await.is_err() {
                        return false;
                    }
                }
            }
            tier.changes.forget_before(at_unix_ms - kept_ms);
        }
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(&channel).arg(word.to_bytes(self.sender, at_unix_ms));
        tier.link.run_within::<Value>(&publish, config.connect_ms).await.is_ok()
    }

    /// Listens to the others, for ever; reconnects when it is cut off.
    pub(crate) async fn listen(&self, tier: &SharedTier, hear: &(impl Fn(Heard) + Sync)) {
        loop {
            for url in &tier.config.urls {
                if let Ok(client) = Client::open(url.as_str()) {
                    self.listen_at(&client, tier, hear).await;
                    tier.figures.listens.store(false, Relaxed);
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn listen_at(
        &self,
        client: &Client,
        tier: &SharedTier,
        hear: &(impl Fn(Heard) + Sync),
    ) -> Option<()> {
        let patience = Duration::from_millis(tier.config.connect_ms);
        let connection = timeout(patience, client.get_async_pubsub()).await.ok()?.ok()?;
        let (mut sink, mut messages) = connection.split();
        let channel = channel_of(&tier.config.prefix);
        timeout(patience, sink.subscribe(channel)).await.ok()?.ok()?;
        // In this order: what is said after the list was read comes as a message.
        self.catch_up(tier).await?;
        hear(Heard::Silence);
        tier.figures.listens.store(true, Relaxed);
        let mut ping = interval(PING);
        loop {
            tokio::select! {
                message = messages.next() => self.heard(&message?, tier, hear),
                _ = ping.tick() => {
                    timeout(patience, sink.ping::<Value>()).await.ok()?.ok()?;
                }
            }
        }
    }

    fn heard(&self, message: &Msg, tier: &SharedTier, hear: &impl Fn(Heard)) {
        let Some((sender, at_unix_ms, word)) = Word::from_bytes(message.get_payload_bytes()) else {
            return;
        };
        if sender == self.sender {
            return;
        }
        if let Word::Changed(things) = &word {
            tier.changes.note(things, at_unix_ms);
        }
        hear(Heard::Word(word));
    }

    async fn catch_up(&self, tier: &SharedTier) -> Option<()> {
        let mut range = redis::cmd("ZRANGE");
        range.arg(list_of(&tier.config.prefix)).arg(0).arg(-1).arg("WITHSCORES");
        let pairs: Vec<(u64, f64)> =
            tier.link.run_within(&range, tier.config.connect_ms).await.ok()?;
        for (thing, at_unix_ms) in pairs {
            tier.changes.note(&[Dependency(thing)], at_unix_ms as i64);
        }
        Some(())
    }
}

fn list_of(prefix: &str) -> String {
    format!("{prefix}:changes")
}

fn channel_of(prefix: &str) -> String {
    format!("{prefix}:changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_way_and_noise_is_not_a_word() {
        let words = [
            Word::Changed(vec![]),
            Word::Changed(vec![Dependency(7), Dependency(u64::MAX)]),
            Word::Cleared(b"recommend\0".to_vec()),
        ];
        for word in words {
            let bytes = word.to_bytes(3, -5);
            assert_eq!(Word::from_bytes(&bytes), Some((3, -5, word)));
        }
        for noise in [&b""[..], b"\x80pickle", &[1; 16], &[3; 17], &[1; 20]] {
            assert_eq!(Word::from_bytes(noise), None, "{noise:?}");
        }
    }
}
