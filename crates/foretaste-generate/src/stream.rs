//! From visits to batches in order of time: days one after another, chunks of a day in parallel,
//! each with its own random numbers, so that threads change nothing.

use std::fmt::Write as _;

use foretaste_core::event::content_key;
use foretaste_core::{EventBatch, EventContext, Result, Rng, TimeMs};
use rayon::prelude::{IntoParallelRefIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::Spec;
use crate::day::{Day, events_by_day};
use crate::market::{Market, streams};
use crate::people::Crowd;
use crate::session::{Happening, KINDS, SCENES, Visit};

/// Events of one chunk; part of the contract "same seed, same data".
const CHUNK_EVENTS: u64 = 16_384;
/// Events of one batch handed to the sink.
const BATCH_EVENTS: usize = 65_536;

/// Receives the batches.
pub type Sink<'a> = dyn FnMut(EventBatch) -> Result<()> + Send + 'a;

/// Streams exactly `spec.events` events in order of time. The sink works while the next batches
/// are made.
///
/// # Errors
/// `Invalid` for a spec out of bounds; whatever the sink returns, at once.
///
/// # Cost
/// About 1 us of CPU an event; memory for one day of events and a few batches.
pub fn generate(spec: &Spec, sink: &mut Sink<'_>) -> Result<()> {
    spec.check()?;
    let (market, crowd) = (Market::new(spec), Crowd::new(spec));
    let mut waiting: Vec<EventBatch> = Vec::new();
    let mut first_chunk = 0;
    for (number, events) in events_by_day(spec).into_iter().enumerate() {
        let day = Day::new(&market, number as i32);
        let budgets = chunk_budgets(first_chunk, events);
        first_chunk += budgets.len() as u64;
        let make = || live_through((&market, &crowd, &day), &budgets);
        let happenings = while_sinking(&mut waiting, sink, make)?;
        for window in happenings.chunks(4 * BATCH_EVENTS) {
            let make = || window.par_chunks(BATCH_EVENTS).map(batch).collect();
            waiting = while_sinking(&mut waiting, sink, make)?;
        }
    }
    while_sinking(&mut waiting, sink, || ())
}

/// Does `work` while the sink takes what waits.
fn while_sinking<T: Send>(
    waiting: &mut Vec<EventBatch>,
    sink: &mut Sink<'_>,
    work: impl FnOnce() -> T + Send,
) -> Result<T> {
    let waiting = std::mem::take(waiting);
    let (made, sunk) = rayon::join(work, || waiting.into_iter().try_for_each(sink));
    sunk.map(|()| made)
}

/// The chunks of a day: number (over the whole window) and events of each.
fn chunk_budgets(first: u64, events: u64) -> Vec<(u64, u64)> {
    let n = events.div_ceil(CHUNK_EVENTS);
    (0..n).map(|c| (first + c, CHUNK_EVENTS.min(events - c * CHUNK_EVENTS))).collect()
}

fn live_through(world: (&Market, &Crowd, &Day), budgets: &[(u64, u64)]) -> Vec<Happening> {
    let chunks: Vec<Vec<Happening>> = budgets.par_iter().map(|&b| live_chunk(world, b)).collect();
    let mut happenings = chunks.concat();
    happenings.par_sort_by_key(|h| h.time_ms);
    happenings
}

fn live_chunk(
    (market, crowd, day): (&Market, &Crowd, &Day),
    (chunk, events): (u64, u64),
) -> Vec<Happening> {
    let mut rng = Rng::stream(market.spec.seed, streams::SESSIONS + chunk);
    let mut out = Vec::with_capacity(events as usize + 256);
    let mut session = (chunk * CHUNK_EVENTS) as u32;
    while (out.len() as u64) < events {
        let user = crowd.draw(day.number, &mut rng);
        Visit::new((market, day), (user, session), &mut rng).run(&mut out);
        session = session.wrapping_add(1);
    }
    out.truncate(events as usize);
    out
}

/// External id of a user.
pub fn user_id(user: u32) -> String {
    format!("u{user}")
}

/// External id of an item.
pub fn item_id(item: u32) -> String {
    format!("d{item}")
}

fn batch(happenings: &[Happening]) -> EventBatch {
    let mut batch = EventBatch { kinds: KINDS.iter().collect(), ..EventBatch::default() };
    let (mut user, mut item) = (String::new(), String::new());
    for h in happenings {
        rewrite(&mut user, 'u', h.user);
        rewrite(&mut item, 'd', h.item);
        batch.user.push(batch.users.intern(&user));
        batch.item.push(batch.items.intern(&item));
        batch.kind.push(h.kind);
        batch.value.push(h.value);
        batch.time_ms.push(h.time_ms);
        batch.key.push(key(&user, &item, h));
        batch.context.push(Some(context(h)));
    }
    batch
}

fn key(user: &str, item: &str, h: &Happening) -> u64 {
    let time: TimeMs = h.time_ms;
    content_key(user, item, KINDS[usize::from(h.kind)], h.value, time)
}

fn rewrite(text: &mut String, prefix: char, number: u32) {
    text.clear();
    text.push(prefix);
    write!(text, "{number}").expect("writing to a string cannot fail");
}

fn context(h: &Happening) -> EventContext {
    EventContext {
        session: Some(format!("s{:x}", h.session)),
        scene: Some(SCENES[usize::from(h.scene)].to_owned()),
        position: (h.position > 0).then_some(h.position),
        request_id: None,
    }
}
