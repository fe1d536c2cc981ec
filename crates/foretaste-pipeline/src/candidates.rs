//! Candidates as columns: the union of what the channels proposed, ascending by item, and one
//! column of scores and of ranks per channel.

use foretaste_bundle::ChannelScratch;
use foretaste_core::{BitSet, ItemIdx};

use crate::executor::Executor;
use crate::plan::Planned;
use crate::stop::Watch;

/// In a column of ranks: the channel did not propose the item.
pub(crate) const NOT_PROPOSED: u32 = u32::MAX;

/// Reused between requests; one row per candidate.
#[derive(Default)]
pub(crate) struct Candidates {
    /// The union, ascending.
    pub items: Vec<ItemIdx>,
    /// The union as a set.
    pub members: BitSet,
    /// Per channel of the plan: its proposals, best first.
    pub proposals: Vec<Vec<(ItemIdx, f32)>>,
    /// Per channel of the plan, per candidate: raw score.
    pub raw: Vec<Vec<f32>>,
    /// Per channel of the plan, per candidate: 0-based place among its proposals.
    pub ranks: Vec<Vec<u32>>,
    /// Per channel of the plan: what its model keeps between calls.
    pub scratch: Vec<ChannelScratch>,
    /// Per item of the catalogue: its row, where it is a member; other values mean nothing.
    rows: Vec<u32>,
    /// Candidates that one channel did not propose, and what it says about them.
    others: Vec<ItemIdx>,
    said: Vec<f32>,
}

/// What each channel of the plan says about one item.
#[derive(Default)]
pub(crate) struct Scored {
    pub raw: Vec<f32>,
    pub ranks: Vec<u32>,
}

impl Candidates {
    /// Asks every channel for its best `n` allowed items. Returns the number of distinct ones.
    pub fn search(
        &mut self,
        plan: &[Planned<'_>],
        (allowed, n): (&BitSet, usize),
        (executor, watch): (&Executor, &mut Watch),
    ) -> usize {
        self.reserve_columns(plan.len());
        watch.limit(plan, &mut self.scratch);
        executor.search(plan, (allowed, n), (&mut self.scratch, &mut self.proposals));
        watch.account(plan, &self.scratch, &mut self.proposals);
        self.members.reset_empty(allowed.len());
        for &(item, _) in self.proposals[..plan.len()].iter().flatten() {
            self.members.insert(item);
        }
        self.collect_members();
        self.items.len()
    }

    /// Lets every channel score every candidate, and notes who proposed what. What a channel
    /// proposed it has scored already.
    pub fn score(&mut self, plan: &[Planned<'_>]) {
        for (c, channel) in plan.iter().enumerate() {
            let (raw, ranks) = (&mut self.raw[c], &mut self.ranks[c]);
            raw.clear();
            raw.resize(self.items.len(), 0.0);
            ranks.clear();
            ranks.resize(self.items.len(), NOT_PROPOSED);
            for (rank, &(item, score)) in self.proposals[c].iter().enumerate() {
                let row = self.rows[item as usize] as usize;
                (raw[row], ranks[row]) = (score, rank as u32);
            }
            let others = self.items.iter().zip(&*ranks).filter(|(_, rank)| **rank == NOT_PROPOSED);
            self.others.clear();
            self.others.extend(others.map(|(&item, _)| item));
            self.said.resize(self.others.len(), 0.0);
            channel.recall.score(&self.others, &self.scratch[c], &mut self.said);
            for (&item, &score) in self.others.iter().zip(&self.said) {
                raw[self.rows[item as usize] as usize] = score;
            }
        }
    }

    /// The row of an item, if it is a candidate.
    pub fn row_of(&self, item: ItemIdx) -> Option<usize> {
        self.members.contains(item).then(|| self.rows[item as usize] as usize)
    }

    /// Writes what the plan's channels say about the candidate in `row`.
    pub fn scored(&self, row: usize, n_channels: usize, out: &mut Scored) {
        out.raw.clear();
        out.raw.extend(self.raw[..n_channels].iter().map(|column| column[row]));
        out.ranks.clear();
        out.ranks.extend(self.ranks[..n_channels].iter().map(|column| column[row]));
    }

    fn reserve_columns(&mut self, n_channels: usize) {
        let n = n_channels.max(self.proposals.len());
        self.proposals.resize_with(n, Vec::new);
        self.raw.resize_with(n, Vec::new);
        self.ranks.resize_with(n, Vec::new);
        self.scratch.resize_with(n, ChannelScratch::default);
    }

    fn collect_members(&mut self) {
        self.rows.resize(self.members.len().max(self.rows.len()), 0);
        self.items.clear();
        for item in self.members.iter() {
            self.rows[item as usize] = self.items.len() as u32;
            self.items.push(item);
        }
    }
}
