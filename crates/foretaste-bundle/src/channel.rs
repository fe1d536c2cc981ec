//! Recall channels at request time: from a user's history to candidates, scores and reasons.
//!
//! A request first calls [`LoadedChannel::prepare`], which leaves the user's side (a vector or an
//! accumulator) in the scratch; `search`, `score` and `contributions` then read it. Scores are
//! raw: the pipeline divides by the channel's scale and multiplies by its weight.

use foretaste_core::{BitSet, Error, ItemIdx, Result};

use crate::format::SectionReader;
use crate::histories::Histories;
use crate::manifest::ChannelEntry;

mod accumulator;
mod graph;
mod ials;
mod item_item;
mod low_rank;
mod many;
mod meter;
mod panelled;
mod scan;
mod scratch;
mod user_user;
mod vectors;

pub use graph::{GraphChoice, GraphConfig};
pub use many::{Asking, ManyScratch, PackedChannel};
pub use meter::{Ended, Meter, Stop};
pub use panelled::{PanelledChannel, Summing};
pub use scan::Scan;
pub use scratch::ChannelScratch;
pub use vectors::VectorIndex;

pub(crate) use graph::Graph;
pub(crate) use ials::LoadedIals;
pub(crate) use item_item::LoadedItemItem;
pub(crate) use low_rank::{LoadedLowRank, scaled_rows};
pub(crate) use user_user::LoadedUserUser;

/// What scores are read from once a user is prepared.
enum Output<'a> {
    /// Sums by item, times a factor per item (none: 1).
    Sums(&'a [f32]),
    /// Inner products with the user's vector.
    Vectors(&'a VectorIndex),
}

/// A channel of an opened bundle.
#[derive(Debug)]
pub struct LoadedChannel {
    name: String,
    scale: f32,
    weight: f32,
    model: LoadedModel,
}

#[derive(Debug)]
pub(crate) enum LoadedModel {
    ItemItem(LoadedItemItem),
    Content(LoadedItemItem),
    LowRank(LoadedLowRank),
    Ials(LoadedIals),
    UserUser(LoadedUserUser),
}

impl LoadedChannel {
    pub(crate) fn read(
        entry: &ChannelEntry,
        input: SectionReader,
        histories: &Histories,
    ) -> Result<Self> {
        use crate::format::FileKind;
        let n_items = histories.n_items();
        let model = match entry.file_kind()? {
            FileKind::ItemItem => LoadedModel::ItemItem(LoadedItemItem::read(input, n_items)?),
            FileKind::Content => LoadedModel::Content(LoadedItemItem::read(input, n_items)?),
            FileKind::LowRank => LoadedModel::LowRank(LoadedLowRank::read(input, n_items)?),
            FileKind::Ials => LoadedModel::Ials(LoadedIals::read(input, n_items)?),
            _ => LoadedModel::UserUser(LoadedUserUser::read(input, histories.clone())?),
        };
        Ok(Self { name: entry.name.clone(), scale: entry.scale, weight: entry.weight, model })
    }

    /// Takes the graph that was built for the channel's vectors.
    ///
    /// # Errors
    /// `Corrupt` when it is not a graph of them, or the channel has none.
    pub(crate) fn attach(&mut self, graph: SectionReader) -> Result<()> {
        let vectors = match &mut self.model {
            LoadedModel::LowRank(m) => m.vectors_mut(),
            LoadedModel::Ials(m) => m.vectors_mut(),
            _ => return Err(Error::corrupt(format!("{}: a graph of no vectors", graph.name()))),
        };
        vectors.attach(Graph::read(graph, vectors)?);
        Ok(())
    }

    /// Name, unique in the bundle.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Root mean square of the raw scores; positive.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Learned weight in the blend.
    pub fn weight(&self) -> f32 {
        self.weight
    }

    /// The kind of the model: `item_item`, `content`, `low_rank`, `ials` or `user_user`.
    pub fn kind(&self) -> &'static str {
        match &self.model {
            LoadedModel::ItemItem(_) => "item_item",
            LoadedModel::Content(_) => "content",
            LoadedModel::LowRank(_) => "low_rank",
            LoadedModel::Ials(_) => "ials",
            LoadedModel::UserUser(_) => "user_user",
        }
    }

    /// Multiply-adds of [`LoadedChannel::prepare`] and [`LoadedChannel::search`] for a history of
    /// `n` items, roughly: for deciding what is worth doing beside what.
    pub fn work(&self, n: usize) -> usize {
        match &self.model {
            LoadedModel::ItemItem(m) | LoadedModel::Content(m) => m.work(n),
            LoadedModel::LowRank(m) => n * m.vectors().dims() + m.vectors().work(),
            LoadedModel::Ials(m) => m.work(n),
            LoadedModel::UserUser(m) => m.work(),
        }
    }

    /// Computes the user's side from a history of (item, weight), items distinct.
    ///
    /// # Cost
    /// Item-item: length of the history x row length. Low rank: history x dims. iALS: see
    /// [`crate::IalsModel`]; history x dims^2 plus dims^3 / 3 up to 128 dims, about 20 passes over
    /// a dims x dims matrix above. User-user: users of the history's items.
    ///
    /// Of a history that costs more than the scratch's [`Meter`] allows, sparse channels take the
    /// first items, all others nothing.
    pub fn prepare(&self, history: &[(ItemIdx, f32)], scratch: &mut ChannelScratch) {
        scratch.taken = self.affordable(history, &mut scratch.meter);
        let history = &history[..scratch.taken];
        match &self.model {
            LoadedModel::ItemItem(m) | LoadedModel::Content(m) => m.prepare(history, scratch),
            LoadedModel::LowRank(m) => m.prepare(history, scratch),
            LoadedModel::Ials(m) => m.prepare(history, scratch),
            LoadedModel::UserUser(m) => m.prepare(history, scratch),
        }
    }

    /// Takes the work for preparing a history: of how many of its items.
    fn affordable(&self, history: &[(ItemIdx, f32)], meter: &mut Meter) -> usize {
        let work = match &self.model {
            LoadedModel::ItemItem(m) | LoadedModel::Content(m) => {
                let items = history.iter();
                return items.take_while(|(item, _)| meter.spend(m.row_work(*item))).count();
            }
            LoadedModel::LowRank(m) => history.len() * m.vectors().dims(),
            LoadedModel::Ials(m) => m.fold_in_work(history.len()),
            LoadedModel::UserUser(m) => m.work(),
        };
        if meter.spend(work) { history.len() } else { 0 }
    }

    /// The best `n` allowed items by raw score, best first, ties by index. Items that the channel
    /// knows nothing about (raw 0 of a sparse channel) are not proposed.
    ///
    /// # Cost
    /// Sparse channels: one pass over the touched blocks of the accumulator. Vectors: one int8 pass
    /// over the allowed rows, or a walk through the graph where there is one and it costs less;
    /// then f32 for `n` and a quarter more.
    pub fn search(
        &self,
        allowed: &BitSet,
        n: usize,
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        self.search_broadly(allowed, (n, 0), scratch, out);
    }

    /// As [`LoadedChannel::search`]; a walk through a graph keeps the best `ef` nodes on its way
    /// (efSearch; 0: 1.5 n + 64). More find more of the true best, at more cost.
    pub fn search_broadly(
        &self,
        allowed: &BitSet,
        (n, ef): (usize, usize),
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        out.clear();
        match self.output() {
            Output::Sums(scale) => scratch.search_sums(allowed, n, scale, out),
            Output::Vectors(vectors) => vectors.search(allowed, (n, ef), scratch, out),
        }
    }

    /// The part of [`LoadedChannel::work`] that threads may share as a [`Scan`]; 0 where the search
    /// is no scan.
    pub fn shareable_work(&self) -> usize {
        self.vectors().filter(|vectors| !vectors.has_graph()).map_or(0, VectorIndex::work)
    }

    /// The search for the best `n` allowed items as a scan that threads may share; `None` where it
    /// finds nothing or is no scan.
    pub fn scan<'a>(
        &'a self,
        allowed: &'a BitSet,
        n: usize,
        scratch: &'a mut ChannelScratch,
    ) -> Option<Scan<'a>> {
        let vectors = self.vectors().filter(|vectors| !vectors.has_graph())?;
        Scan::new(vectors, (allowed, n), scratch)
    }

    /// Raw scores of `items` for the prepared user; 0 where the channel knows nothing.
    ///
    /// # Shapes
    /// `out` has one entry per item.
    ///
    /// # Panics
    /// When an item is outside the bundle or the lengths differ.
    pub fn score(&self, items: &[ItemIdx], scratch: &ChannelScratch, out: &mut [f32]) {
        assert_eq!(items.len(), out.len(), "one score per item");
        match self.output() {
            Output::Sums(scale) => scratch.score_sums(items, scale, out),
            Output::Vectors(vectors) => vectors.score(items, &scratch.query, out),
        }
    }

    /// The channel packed for searches of many users; `None` for one without vectors, and for one
    /// with a graph, whose searches do not read all vectors.
    ///
    /// # Cost
    /// The first time a copy of the bytes of all vectors, which the channel then holds.
    pub fn packed(&self) -> Option<PackedChannel<'_>> {
        self.vectors().filter(|vectors| !vectors.has_graph()).map(PackedChannel::new)
    }

    /// The channel in bytes, for the sums of many users; `None` for one that cannot be held so.
    ///
    /// # Cost
    /// The first time items x items bytes, which the channel then holds.
    pub fn panelled(&self) -> Option<PanelledChannel<'_>> {
        match &self.model {
            LoadedModel::ItemItem(m) | LoadedModel::Content(m) => PanelledChannel::new(m),
            _ => None,
        }
    }

    /// The vectors of a channel that has some.
    pub fn vectors(&self) -> Option<&VectorIndex> {
        match self.output() {
            Output::Sums(_) => None,
            Output::Vectors(vectors) => Some(vectors),
        }
    }

    fn output(&self) -> Output<'_> {
        match &self.model {
            LoadedModel::ItemItem(_) | LoadedModel::Content(_) => Output::Sums(&[]),
            LoadedModel::UserUser(m) => Output::Sums(m.output_scale()),
            LoadedModel::LowRank(m) => Output::Vectors(m.vectors()),
            LoadedModel::Ials(m) => Output::Vectors(m.vectors()),
        }
    }

    /// What each item of the prepared history adds to the raw score of `item`, strongest first.
    /// The parts sum to the raw score (exactly for linear models and user-user, within rounding for
    /// fold-in, whose solved system is linear in the right-hand side).
    ///
    /// # Cost
    /// Reads what `prepare` left: sparse channels look the item up in a row per history item, low
    /// rank and iALS take one inner product per history item (iALS after one solve of its system),
    /// user-user visits the neighbours that have the item.
    pub fn contributions(
        &self,
        item: ItemIdx,
        history: &[(ItemIdx, f32)],
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        out.clear();
        let history = &history[..scratch.taken.min(history.len())];
        match &self.model {
            LoadedModel::ItemItem(m) | LoadedModel::Content(m) => {
                m.contributions(item, history, out)
            }
            LoadedModel::LowRank(m) => m.contributions(item, history, scratch, out),
            LoadedModel::Ials(m) => m.contributions(item, history, scratch, out),
            LoadedModel::UserUser(m) => m.contributions(item, scratch, out),
        }
        out.sort_unstable_by(foretaste_core::topk::by_rank);
    }

    /// The allowed items that this channel finds because of one item alone, without the item.
    pub fn similar(
        &self,
        item: ItemIdx,
        allowed: &BitSet,
        n: usize,
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        self.prepare(&[(item, 1.0)], scratch);
        self.search(allowed, n + 1, scratch, out);
        out.retain(|&(found, _)| found != item);
        out.truncate(n);
    }
}
