//! Many requests at once, each with the very answer of [`crate::run()`].
//!
//! Only the searches of the channels of vectors are done together, block by block for all users of
//! a tile; their results then stand in for the same searches in the request as it is run alone.

use foretaste_bundle::{Asking, LoadedChannel, ManyScratch, Meter, PackedChannel};
use foretaste_core::BitSet;

use crate::outcome::{ChannelId, Outcome, StageWork};
use crate::run::{Request, Scratch, answer};
use crate::{Query, Scene, Snapshot, mask, plan};

/// Requests that are searched together.
pub const TILE: usize = 32;

/// A scene of a snapshot made ready for many requests; threads share it.
pub struct Batch<'a> {
    snapshot: &'a Snapshot,
    scene: &'a Scene,
    /// Channels of vectors that take part, by their number in the bundle.
    packed: Vec<(usize, PackedChannel<'a>)>,
}

/// Memory that searches of many requests reuse.
#[derive(Default)]
pub(crate) struct Together {
    many: ManyScratch,
    allowed: Vec<BitSet>,
    /// Per channel of vectors, per request.
    asking: Vec<Vec<Asking>>,
}

/// What a search of many found for one request in one channel.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<'a> {
    pub channel: usize,
    pub found: &'a Asking,
}

impl<'a> Batch<'a> {
    /// Packs the scene's channels of vectors.
    ///
    /// # Cost
    /// The first time for a snapshot a copy of the bytes of their vectors: items x dims.
    pub fn new(snapshot: &'a Snapshot, scene: &'a Scene) -> Self {
        let query = Query::default();
        let request = Request::new(snapshot, scene, &query);
        let taking_part = plan::models(&request).into_iter().filter_map(|(id, ..)| match id {
            ChannelId::Bundle(channel) => Some(usize::from(channel)),
            ChannelId::BuiltIn(_) | ChannelId::External(_) => None,
        });
        let channels = snapshot.bundle.channels();
        let pack = |channel: usize| Some((channel, channels[channel].packed()?));
        let packed = taking_part.filter_map(pack).collect();
        Self { snapshot, scene, packed }
    }

    /// The answers to any number of requests, in their order.
    ///
    /// # Cost
    /// That of each request alone, without its scans of vectors; the vectors are read once per
    /// [`TILE`] requests.
    pub fn run(&self, queries: &[Query], scratch: &mut Scratch) -> Vec<Outcome> {
        queries.chunks(TILE).flat_map(|tile| self.tile(tile, scratch)).collect()
    }

    fn tile(&self, queries: &[Query], one: &mut Scratch) -> Vec<Outcome> {
        let mut together = std::mem::take(&mut one.together);
        let outcomes = self.answers(queries, &mut together, one);
        one.together = together;
        outcomes
    }

    fn answers(
        &self,
        queries: &[Query],
        together: &mut Together,
        one: &mut Scratch,
    ) -> Vec<Outcome> {
        let request = |query| Request::new(self.snapshot, self.scene, query);
        let Together { many, allowed, asking } = together;
        allowed.resize_with(queries.len().max(allowed.len()), BitSet::default);
        let masked = queries.iter().zip(&mut *allowed);
        let work: Vec<StageWork> =
            masked.map(|(query, allowed)| mask::build(&request(query), allowed)).collect();
        asking.resize_with(self.packed.len(), Vec::new);
        for ((channel, packed), asking) in self.packed.iter().zip(&mut *asking) {
            asking.resize_with(queries.len(), Asking::default);
            let model = &self.snapshot.bundle.channels()[*channel];
            for (query, asking) in queries.iter().zip(&mut *asking) {
                let request = request(query);
                ask(&request, model, one, asking);
            }
            packed.search(asking, &allowed[..queries.len()], many);
        }
        let answers = queries.iter().zip(work).enumerate().map(|(at, (query, work))| {
            std::mem::swap(&mut one.allowed, &mut allowed[at]);
            let found = self.packed.iter().zip(&*asking);
            let ahead: Vec<Ahead<'_>> = found
                .map(|((channel, _), asking)| Ahead { channel: *channel, found: &asking[at] })
                .filter(|ahead| ahead.found.wanted > 0)
                .collect();
            answer(&Request { ahead: &ahead, ..request(query) }, work, one)
        });
        answers.collect()
    }
}

/// Prepares one request's search in one channel; a request without a past, or one that asks for
/// reasons (which need all that `prepare` leaves), is not searched ahead.
fn ask(request: &Request<'_>, model: &LoadedChannel, scratch: &mut Scratch, asking: &mut Asking) {
    let history = request.query.usable_history(request.snapshot.bundle.n_items());
    asking.vector.clear();
    asking.wanted = 0;
    if !history.is_empty() && !request.query.want_reasons {
        // The bound of whatever was searched with this memory before is not this request's.
        scratch.similar.limit(Meter::default());
        model.prepare(&history, &mut scratch.similar);
        asking.vector.extend_from_slice(scratch.similar.vector());
        asking.wanted = request.proposals();
    }
}
