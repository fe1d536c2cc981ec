//! Sums of many users over the rows of a sparse model that is held in bytes, panel by panel: what
//! is wanted of them is taken while they are near, and they are kept nowhere.

use foretaste_core::topk::TopK;
use foretaste_core::{BitSet, ItemIdx};

use super::item_item::{LoadedItemItem, counted};
use crate::kernels::panel::{Panels, WIDTH};
use crate::kernels::select::{BLOCK, Scores, offer_nonzero};

/// A sparse channel that is dense enough to be held in bytes.
#[derive(Debug)]
pub struct PanelledChannel<'a>(&'a Panels);

/// One user whose sums are asked for.
#[derive(Debug, Default)]
pub struct Summing {
    /// The best items by their sums, best first: the output.
    pub found: Vec<(ItemIdx, f32)>,
    rows: Vec<u32>,
    unit: f32,
    /// Items, ascending, and their sums.
    wanted: Vec<ItemIdx>,
    sums: Vec<f32>,
    top: TopK,
}

impl Summing {
    /// Asks with a history (items distinct) for the best `n` items, and for the sums of some.
    pub fn ask(
        &mut self,
        history: &[(ItemIdx, f32)],
        n: usize,
        wanted: impl Iterator<Item = ItemIdx>,
    ) {
        self.wanted.clear();
        self.sums.clear();
        self.found.clear();
        if let Some(unit) = counted(history, &mut self.rows) {
            self.unit = unit;
            self.top.reset(n);
            self.wanted.extend(wanted);
            self.wanted.sort_unstable();
            self.wanted.dedup();
        } else {
            self.rows.clear();
        }
    }

    /// False where nothing was asked, or the history has weights that only `prepare` can take.
    pub fn is_asked(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Takes what is wanted of the sums of a panel.
    fn take(&mut self, panel: usize, sums: &[f32; WIDTH], allowed: &BitSet) {
        let first = (panel * WIDTH) as ItemIdx;
        let words = allowed.words();
        let (from, to) = (panel * (WIDTH / BLOCK), (panel + 1) * (WIDTH / BLOCK));
        let words = &words[from..to.min(words.len())];
        let scores = Scores { values: sums, scale: &[], touched: &[] };
        offer_nonzero(&scores, (first, words), &mut self.top);
        let of_panel = self.wanted[self.sums.len()..].iter().map(|item| (item - first) as usize);
        self.sums.extend(of_panel.take_while(|&at| at < WIDTH).map(|at| sums[at]));
    }
}

impl<'a> PanelledChannel<'a> {
    pub(crate) fn new(model: &'a LoadedItemItem) -> Option<Self> {
        model.panels().map(Self)
    }

    /// Answers every user who asks: with the best items of the user's mask, as
    /// [`super::LoadedChannel::search`] does for one, and with the wanted sums.
    ///
    /// # Shapes
    /// `allowed` has one mask per user.
    ///
    /// # Cost
    /// One pass over the bytes for all users; n_items / 40 cycles for each item of a history.
    pub fn search(&self, users: &mut [Summing], allowed: &[BitSet]) {
        assert_eq!(users.len(), allowed.len(), "one mask per user");
        let mut sums = [0.0; WIDTH];
        for panel in 0..self.0.n_panels() {
            for (user, allowed) in users.iter_mut().zip(allowed).filter(|(u, _)| u.is_asked()) {
                self.0.sum(panel, &user.rows, user.unit, &mut sums);
                user.take(panel, &sums, allowed);
            }
        }
        users.iter_mut().for_each(|user| user.found.extend(user.top.drain_sorted()));
    }

    /// The sums of some items for a user who was answered.
    ///
    /// # Cost
    /// Little for items that were wanted; a byte from afar for each item of the history otherwise.
    pub fn score(&self, user: &Summing, items: &[ItemIdx], out: &mut [f32]) {
        for (out, item) in out.iter_mut().zip(items) {
            *out = match user.wanted.binary_search(item) {
                Ok(at) => user.sums[at],
                Err(_) => self.0.sum_of(*item as usize, &user.rows, user.unit),
            };
        }
    }
}
