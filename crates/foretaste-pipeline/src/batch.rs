//! Many requests at once, each with the very answer of [`crate::run()`].
//!
//! What channels do with vectors, and with sparse weights that are held in bytes, is done together,
//! block by block for all users of a tile; the results then stand in for the same work in the
//! request as it is run alone.

use foretaste_bundle::{
    Asking, LoadedChannel, ManyScratch, Meter, PackedChannel, PanelledChannel, Summing,
};
use foretaste_core::{BitSet, ItemIdx};

use crate::outcome::{ChannelId, Outcome, StageWork};
use crate::plan::Asked;
use crate::run::{Request, Scratch, answer, items};
use crate::{Query, Scene, Snapshot, mask, plan};

/// Requests that are searched together, at most: enough that reading weights and vectors from afar
/// costs little beside using them.
pub const TILE: usize = 256;

/// A scene of a snapshot made ready for many requests; threads share it.
pub struct Batch<'a> {
    snapshot: &'a Snapshot,
    scene: &'a Scene,
    /// Channels of vectors that take part, by their number in the bundle.
    packed: Vec<(usize, PackedChannel<'a>)>,
    /// Sparse channels in bytes that take part.
    panelled: Vec<(usize, PanelledChannel<'a>)>,
}

/// Memory that searches of many requests reuse.
#[derive(Default)]
pub(crate) struct Together {
    many: ManyScratch,
    allowed: Vec<BitSet>,
    /// Per channel of vectors, per request.
    asking: Vec<Vec<Asking>>,
    /// Per channel in bytes, per request.
    summing: Vec<Vec<Summing>>,
}

/// What was found out for one request in one channel, together with others.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<'a> {
    pub channel: usize,
    pub found: Found<'a>,
}

/// The part of a channel's work that is done.
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    /// The user's vector and the result of the search.
    Items(&'a Asking),
    /// The result of the search, and sums of further items.
    Sums(&'a PanelledChannel<'a>, &'a Summing),
}

/// Makes an answer, or what is wanted of it, of a request and the account of its mask.
type Finish<T> = fn(&Request<'_>, StageWork, &mut Scratch) -> T;

impl<'a> Batch<'a> {
    /// Packs the scene's channels.
    ///
    /// # Cost
    /// The first time for a snapshot a copy of the bytes of vectors (items x dims), and of dense
    /// sparse weights as bytes (items x items, 64 MiB at most).
    pub fn new(snapshot: &'a Snapshot, scene: &'a Scene) -> Self {
        let query = Query::default();
        let request = Request::new(snapshot, scene, &query);
        let taking_part = plan::models(&request).into_iter().filter_map(|(id, ..)| match id {
            ChannelId::Bundle(channel) => Some(usize::from(channel)),
            ChannelId::BuiltIn(_) | ChannelId::External(_) => None,
        });
        let taking_part: Vec<usize> = taking_part.collect();
        let channels = snapshot.bundle.channels();
        let pack = |&channel: &usize| Some((channel, channels[channel].packed()?));
        let panel = |&channel: &usize| Some((channel, channels[channel].panelled()?));
        let packed = taking_part.iter().filter_map(pack).collect();
        let panelled = taking_part.iter().filter_map(panel).collect();
        Self { snapshot, scene, packed, panelled }
    }

    /// The answers to any number of requests, in their order.
    ///
    /// # Cost
    /// That of each request alone, without its scans of vectors and its sums of dense weights;
    /// these are read once per [`TILE`] requests.
    pub fn run(&self, queries: &[Query], scratch: &mut Scratch) -> Vec<Outcome> {
        queries.chunks(TILE).flat_map(|tile| self.tile(tile, scratch, answer)).collect()
    }

    /// The items of the answers that [`Batch::run`] gives.
    ///
    /// # Cost
    /// As [`Batch::run`], without the accounts and reasons of answers.
    pub fn items(&self, queries: &[Query], scratch: &mut Scratch) -> Vec<Vec<ItemIdx>> {
        queries.chunks(TILE).flat_map(|tile| self.tile(tile, scratch, items)).collect()
    }

    fn tile<T>(&self, queries: &[Query], one: &mut Scratch, finish: Finish<T>) -> Vec<T> {
        let mut together = std::mem::take(&mut one.together);
        let answers = self.answers(queries, &mut together, (one, finish));
        one.together = together;
        answers
    }

    fn answers<T>(
        &self,
        queries: &[Query],
        together: &mut Together,
        (one, finish): (&mut Scratch, Finish<T>),
    ) -> Vec<T> {
        let n_items = self.snapshot.bundle.n_items();
        let pasts = queries.iter().map(|query| query.usable_history(n_items).into());
        let pasts: Vec<Asked> = pasts.collect();
        let asked = queries.iter().zip(&pasts);
        let request = |(query, past)| Request {
            past: Some(past),
            ..Request::new(self.snapshot, self.scene, query)
        };
        let requests: Vec<Request<'_>> = asked.map(request).collect();
        let Together { many, allowed, asking, summing } = together;
        allowed.resize_with(queries.len().max(allowed.len()), BitSet::default);
        let masked = requests.iter().zip(&mut *allowed);
        let work: Vec<StageWork> =
            masked.map(|(request, allowed)| mask::build(request, allowed)).collect();
        self.search(&requests, (&allowed[..requests.len()], many), one, asking);
        self.sum_up(&requests, (&allowed[..requests.len()], asking), summing);
        let answers = requests.iter().zip(work).enumerate().map(|(at, (request, work))| {
            std::mem::swap(&mut one.allowed, &mut allowed[at]);
            let ahead = self.ahead(at, (asking, summing));
            finish(&Request { ahead: &ahead, ..*request }, work, one)
        });
        answers.collect()
    }

    /// Searches all channels of vectors for all requests.
    fn search(
        &self,
        requests: &[Request<'_>],
        (allowed, many): (&[BitSet], &mut ManyScratch),
        one: &mut Scratch,
        asking: &mut Vec<Vec<Asking>>,
    ) {
        asking.resize_with(self.packed.len(), Vec::new);
        for ((channel, packed), asking) in self.packed.iter().zip(asking) {
            asking.resize_with(requests.len(), Asking::default);
            let model = &self.snapshot.bundle.channels()[*channel];
            for (request, asking) in requests.iter().zip(&mut *asking) {
                ask(request, model, one, asking);
            }
            packed.search(asking, allowed, many);
        }
    }

    /// Searches all channels that are held in bytes for all requests, and takes the sums of what
    /// channels of vectors found.
    fn sum_up(
        &self,
        requests: &[Request<'_>],
        (allowed, asking): (&[BitSet], &[Vec<Asking>]),
        summing: &mut Vec<Vec<Summing>>,
    ) {
        summing.resize_with(self.panelled.len(), Vec::new);
        for ((_, panelled), summing) in self.panelled.iter().zip(summing) {
            summing.resize_with(requests.len(), Summing::default);
            for (at, (request, summing)) in requests.iter().zip(&mut *summing).enumerate() {
                let found = asking.iter().flat_map(|asking| &asking[at].found);
                let wanted = found.map(|&(item, _)| item);
                summing.ask(known_past(request), request.proposals(), wanted);
            }
            panelled.search(summing, allowed);
        }
    }

    /// What is found out for the request `at`.
    fn ahead<'f>(
        &'f self,
        at: usize,
        (asking, summing): (&'f [Vec<Asking>], &'f [Vec<Summing>]),
    ) -> Vec<Ahead<'f>> {
        let items = self.packed.iter().zip(asking).filter(|(_, asking)| asking[at].wanted > 0);
        let items = items.map(|((channel, _), asking)| (*channel, Found::Items(&asking[at])));
        let sums = self.panelled.iter().zip(summing).filter(|(_, summing)| summing[at].is_asked());
        let sums = sums
            .map(|((channel, panelled), summing)| (*channel, Found::Sums(panelled, &summing[at])));
        items.chain(sums).map(|(channel, found)| Ahead { channel, found }).collect()
    }
}

/// What models are asked with together with others: nothing for a request that asks for reasons,
/// which need all that `prepare` leaves.
fn known_past<'a>(request: &Request<'a>) -> &'a [(ItemIdx, f32)] {
    match request.past {
        Some(past) if !request.query.want_reasons => past,
        _ => &[],
    }
}

/// Prepares one request's search in one channel.
fn ask(request: &Request<'_>, model: &LoadedChannel, scratch: &mut Scratch, asking: &mut Asking) {
    let history = known_past(request);
    asking.vector.clear();
    asking.wanted = 0;
    if !history.is_empty() {
        // The bound of whatever was searched with this memory before is not this request's.
        scratch.similar.limit(Meter::default());
        model.prepare(history, &mut scratch.similar);
        asking.vector.extend_from_slice(scratch.similar.vector());
        asking.wanted = request.proposals();
    }
}
