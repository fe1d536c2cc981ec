//! Where the channels of one request search: one after the other, or beside each other.

use std::sync::{Arc, Mutex, PoisonError};

use foretaste_bundle::ChannelScratch;
use foretaste_core::{BitSet, ItemIdx};

use crate::plan::Planned;

/// Threads that help the one that computes an answer. The answer is the same with all of them, bit
/// for bit: channels share nothing while they search.
#[derive(Clone, Default)]
pub enum Executor {
    /// Nobody helps.
    #[default]
    Inline,
    /// The threads of a pool help where the channels have enough to do.
    Pool {
        /// Who helps.
        pool: Arc<rayon::ThreadPool>,
        /// Multiply-adds that must be left beside the heaviest channel before anybody is woken.
        least_work: usize,
    },
}

/// Items with raw scores.
type Found = Vec<(ItemIdx, f32)>;

/// What one channel searches with and finds.
struct Job<'a, 'p> {
    channel: &'a Planned<'p>,
    scratch: &'a mut ChannelScratch,
    found: &'a mut Found,
}

impl Job<'_, '_> {
    fn run(self, allowed: &BitSet, n: usize) {
        self.channel.recall.prepare(self.scratch);
        self.channel.recall.search(allowed, n, self.scratch, self.found);
    }
}

impl Executor {
    /// Work that is worth waking a thread for: waking one takes as long as some ten thousands of
    /// multiply-adds.
    pub const WORTH_WAKING: usize = 100_000;

    /// The threads of `pool` help with work that is worth it.
    pub fn helped_by(pool: Arc<rayon::ThreadPool>) -> Self {
        Self::Pool { pool, least_work: Self::WORTH_WAKING }
    }

    /// Lets every channel of `plan` search for its best `n` of `allowed`.
    ///
    /// # Shapes
    /// `scratch` and `found` have an entry per channel, or more.
    pub(crate) fn search(
        &self,
        plan: &[Planned<'_>],
        (allowed, n): (&BitSet, usize),
        (scratch, found): (&mut [ChannelScratch], &mut [Found]),
    ) {
        let jobs = plan.iter().zip(scratch).zip(found);
        let jobs = jobs.map(|((channel, scratch), found)| Job { channel, scratch, found });
        match self {
            Self::Pool { pool, least_work } if left_for_helpers(plan) >= *least_work => {
                beside(pool, jobs.collect(), (allowed, n));
            }
            _ => jobs.for_each(|job| job.run(allowed, n)),
        }
    }
}

/// Multiply-adds of all channels but the heaviest.
fn left_for_helpers(plan: &[Planned<'_>]) -> usize {
    let work = || plan.iter().map(|channel| channel.recall.work());
    work().sum::<usize>() - work().max().unwrap_or(0)
}

/// The caller and the helpers take the heaviest job that is left, until none is.
fn beside(pool: &rayon::ThreadPool, mut jobs: Vec<Job<'_, '_>>, (allowed, n): (&BitSet, usize)) {
    let helpers = pool.current_num_threads().min(jobs.len().saturating_sub(1));
    jobs.sort_by_key(|job| job.channel.recall.work());
    let left = Mutex::new(jobs);
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || {
        while let Some(job) = next() {
            job.run(allowed, n);
        }
    };
    pool.in_place_scope(|scope| {
        (0..helpers).for_each(|_| scope.spawn(|_| work()));
        work();
    });
}
