//! What replicas tell each other through the log that they share: events that were acknowledged,
//! users that were erased, items that were hidden or shown. Each replica stores only what it was
//! told by clients; what others tell goes into its live state, where an event counts once however
//! often it is told.
//!
//! Requests never wait for it: what is told waits in a bounded queue, and while the log cannot be
//! reached it goes on waiting there.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foretaste_core::{Event, Limits, TimeMs};
use foretaste_store::Store;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::app::App;
use crate::metrics::ReasonLabel;

const VERSION: u8 = 1;
/// What may wait to be told; more is lost for the others until they train.
const MOST_WAITING: usize = 100_000;
/// Told in one entry, and in one round trip.
const PER_ENTRY: usize = 16;
const AT_ONCE: usize = 64 * PER_ENTRY;
/// Between two looks at a log with nothing new: the better part of what an event may take.
const LOOK: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(300);
/// After a loss of the connection so much is read again: a server that took over may lack the last
/// moments, and its clock may be behind.
const REWIND_MS: u64 = 60_000;
const BEGINNING: &str = "0";

/// Something that others have to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum News {
    /// It was acknowledged.
    Event(Event),
    /// All that the user did before is to be forgotten.
    Erased { user: String, at_ms: TimeMs },
    /// The item was hidden, or shown again.
    Hidden { item: String, hidden: bool },
}

/// One entry of the log.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: u8,
    /// Who tells it, so that nobody listens to itself.
    by: u64,
    news: Vec<News>,
}

impl Entry {
    /// An entry that this version understands, within the bounds of what clients may send.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let entry: Self = serde_json::from_slice(bytes).ok()?;
        let is_id = |id: &str| !id.is_empty() && id.len() <= Limits::DEFAULT.id_bytes;
        let is_within = |news: &News| match news {
            News::Event(event) => {
                let kind = event.kind.len();
                is_id(&event.user)
                    && is_id(&event.item)
                    && (1..=Limits::DEFAULT.name_bytes).contains(&kind)
                    && event.value.is_finite()
            }
            News::Erased { user: id, .. } | News::Hidden { item: id, .. } => is_id(id),
        };
        (entry.version == VERSION && entry.news.iter().all(is_within)).then_some(entry)
    }
}

/// This replica's voice.
pub(crate) struct Replicas {
    me: u64,
    /// `None` where there is nobody to tell.
    queue: Option<mpsc::Sender<News>>,
    /// For [`speak`], once.
    waiting: Mutex<Option<mpsc::Receiver<News>>>,
}

impl Replicas {
    pub(crate) fn new(is_shared: bool) -> Self {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        Self {
            me: RandomState::new().hash_one(0),
            queue: is_shared.then_some(queue),
            waiting: Mutex::new(is_shared.then_some(waiting)),
        }
    }

    pub(crate) fn has_others(&self) -> bool {
        self.queue.is_some()
    }
}

impl App {
    /// Tells the others, behind the caller.
    pub(crate) fn tell(&self, news: impl IntoIterator<Item = News>) {
        let Some(queue) = &self.replicas.queue else { return };
        let lost = news.into_iter().filter(|news| queue.try_send(news.clone()).is_err()).count();
        if lost > 0 {
            self.count_news("lost", lost);
        }
    }

    fn count_news(&self, reason: &'static str, n: usize) {
        self.metrics.news.get_or_create(&ReasonLabel { reason }).inc_by(n as u64);
    }

    /// Takes up what others told, in its order. Whatever is known already changes nothing.
    fn take_up(&self, store: &dyn Store, news: Vec<News>) {
        for news in news {
            let taken = match news {
                News::Event(event) => {
                    self.take_notice(std::slice::from_ref(&event));
                    Ok(())
                }
                News::Erased { user, at_ms } => self.erase_once(store, &user, at_ms),
                News::Hidden { item, hidden } => store.set_hidden(&item, hidden).map(|_| {
                    self.set_hidden(&[(&item, hidden)]);
                }),
            };
            if let Err(error) = taken {
                warn!(%error, "what another replica told cannot be stored");
            }
        }
    }

    /// Erases a user, unless this or a later erasure has been done.
    fn erase_once(
        &self,
        store: &dyn Store,
        user: &str,
        at_ms: TimeMs,
    ) -> foretaste_core::Result<()> {
        if self.erased.at_ms(user).is_some_and(|done| done >= at_ms) {
            return Ok(());
        }
        self.erase(store, user, at_ms)
    }
}

/// Tells what waits, for ever. What cannot be told is kept until it can.
pub(crate) async fn speak(app: Arc<App>) {
    let waiting = app.replicas.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut waiting) = waiting else { return };
    let mut news = Vec::with_capacity(AT_ONCE);
    while waiting.recv_many(&mut news, AT_ONCE).await > 0 {
        let entry = |news: &[News]| {
            let entry = Entry { version: VERSION, by: app.replicas.me, news: news.to_vec() };
            // Only maps with keys that are not text can fail, and news have none.
            serde_json::to_vec(&entry).unwrap_or_default()
        };
        let entries: Vec<Vec<u8>> = news.chunks(PER_ENTRY).map(entry).collect();
        while !app.ready.cache().append_log(&entries).await {
            sleep(PAUSE).await;
        }
        app.count_news("told", news.len());
        news.clear();
    }
}

/// Listens to the others, for ever; at the start to all that the log still has.
pub(crate) async fn listen(app: Arc<App>) {
    if !app.replicas.has_others() {
        return;
    }
    let (mut after, mut connections) = (BEGINNING.to_owned(), 0);
    loop {
        let connected = app.ready.cache().stats().link.connected;
        if connected != connections {
            (after, connections) = (rewound(&after), connected);
        }
        let Some(entries) = app.ready.cache().read_log(&after).await else {
            sleep(PAUSE).await;
            continue;
        };
        let Some((last, _)) = entries.last() else {
            sleep(LOOK).await;
            continue;
        };
        after.clone_from(last);
        let news = unpacked(&app, entries.iter().map(|(_, bytes)| &**bytes));
        if news.is_empty() {
            continue;
        }
        debug!(n = news.len(), "news of other replicas");
        app.count_news("heard", news.len());
        if app.on_store_thread(|app, store| app.take_up(store, news)).await.is_err() {
            warn!("taking up what another replica told panicked");
        }
    }
}

/// What others say in these entries.
fn unpacked<'a>(app: &App, entries: impl Iterator<Item = &'a [u8]>) -> Vec<News> {
    let mut news = Vec::new();
    for bytes in entries {
        match Entry::parse(bytes) {
            Some(entry) if entry.by == app.replicas.me => {}
            Some(entry) => news.extend(entry.news),
            None => app.count_news("unreadable", 1),
        }
    }
    news
}

/// A place in the log a while before `place`, whose first part is the time in ms.
fn rewound(place: &str) -> String {
    let time = place.split('-').next().and_then(|ms| ms.parse::<u64>().ok()).unwrap_or(0);
    time.saturating_sub(REWIND_MS).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(user: &str, value: f32) -> News {
        News::Event(Event {
            event_id: Some("1".into()),
            user: user.into(),
            item: "i".into(),
            kind: "view".into(),
            value,
            time_ms: 5,
            context: None,
        })
    }

    #[test]
    fn entries_survive_the_way_and_others_are_not_understood() {
        let erased = News::Erased { user: "u".into(), at_ms: 7 };
        let hidden = News::Hidden { item: "i".into(), hidden: true };
        let news = vec![event("u", 1.5), erased, hidden];
        let entry = Entry { version: VERSION, by: u64::MAX, news };
        let bytes = serde_json::to_vec(&entry).expect("JSON");
        assert_eq!(Entry::parse(&bytes), Some(entry));
        for at in 0..bytes.len() {
            assert_eq!(Entry::parse(&bytes[..at]), None, "{at} bytes");
        }
        let of = |version, news| serde_json::to_vec(&Entry { version, by: 1, news }).expect("JSON");
        for bad in [
            of(VERSION + 1, vec![]),
            of(VERSION, vec![event("", 1.0)]),
            of(VERSION, vec![event(&"u".repeat(129), 1.0)]),
            b"\x80pickle".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(Entry::parse(&bad), None);
        }
    }

    #[test]
    fn a_place_is_rewound_by_its_time() {
        assert_eq!(rewound("1700000060000-3"), "1700000000000");
        assert_eq!(
            (rewound("0"), rewound("5-1"), rewound("x")),
            ("0".into(), "0".into(), "0".into())
        );
    }
}
