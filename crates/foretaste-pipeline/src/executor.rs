//! Where the channels of one request search: one after the other, or beside each other, long scans
//! divided among the threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foretaste_bundle::{ChannelScratch, Scan};
use foretaste_core::{BitSet, ItemIdx};

use crate::plan::Planned;

/// Threads that help the one that computes an answer. The answer is the same with all of them, bit
/// for bit: channels share nothing while they search, and the parts of a scan have one answer in
/// any order.
#[derive(Clone, Default)]
pub enum Executor {
    /// Nobody helps.
    #[default]
    Inline,
    /// The threads of a pool help where the channels have enough to do.
    Pool {
        /// Who helps.
        pool: Arc<rayon::ThreadPool>,
        /// Multiply-adds that others must be able to take over before anybody is woken.
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
                let mut jobs: Vec<_> = jobs.collect();
                jobs.sort_by_key(|job| job.channel.recall.work());
                let tasks = Mutex::new(jobs.into_iter().map(Task::Channel).collect());
                let helpers = pool.current_num_threads();
                let together = Together { tasks, allowed, n, helpers, least_work: *least_work };
                pool.in_place_scope(|scope| {
                    (0..helpers.min(plan.len().saturating_sub(1)))
                        .for_each(|_| together.call_help(scope));
                    together.work(scope);
                });
            }
            _ => jobs.for_each(|job| job.run(allowed, n)),
        }
    }
}

/// Multiply-adds that are left beside the heaviest part that one thread must do alone.
fn left_for_helpers(plan: &[Planned<'_>]) -> usize {
    let all: usize = plan.iter().map(|channel| channel.recall.work()).sum();
    let alone = |channel: &Planned<'_>| {
        channel.recall.work().saturating_sub(channel.recall.shareable_work())
    };
    all - plan.iter().map(alone).max().unwrap_or(0)
}

/// Ranges of a divided scan per thread: short ones let threads finish together.
const RANGES: usize = 2;

/// Something that one thread does.
enum Task<'a, 'p> {
    /// All that a channel has to do, or, where its scan is long, the part before it.
    Channel(Job<'a, 'p>),
    /// A range of a scan.
    Range(Arc<Divided<'a>>, Range<usize>),
}

/// A scan whose ranges are tasks; who does the last one writes the result.
struct Divided<'a> {
    scan: Scan<'a>,
    left: AtomicUsize,
    found: Mutex<&'a mut Found>,
}

/// The threads' common heap of tasks; the last is taken first.
struct Together<'a, 'p> {
    tasks: Mutex<Vec<Task<'a, 'p>>>,
    allowed: &'a BitSet,
    n: usize,
    helpers: usize,
    least_work: usize,
}

impl<'a, 'p> Together<'a, 'p> {
    fn call_help<'s>(&'s self, scope: &rayon::Scope<'s>) {
        scope.spawn(|scope| self.work(scope));
    }

    /// Does tasks until none is left.
    fn work<'s>(&'s self, scope: &rayon::Scope<'s>) {
        let next = || self.tasks.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(task) = next() {
            match task {
                Task::Channel(job) => {
                    if self.search(job) {
                        (0..self.helpers).for_each(|_| self.call_help(scope));
                    }
                }
                Task::Range(divided, range) => divided.run(range),
            }
        }
    }

    /// Lets a channel search. True when its scan was left to whoever comes.
    fn search(&self, job: Job<'a, 'p>) -> bool {
        let shareable = job.channel.recall.shareable_work();
        if shareable == 0 || shareable < self.least_work {
            job.run(self.allowed, self.n);
            return false;
        }
        let Job { channel, scratch, found } = job;
        channel.recall.prepare(scratch);
        found.clear();
        let Some(scan) = channel.recall.scan(self.allowed, self.n, scratch) else { return false };
        let ranges: Vec<_> = scan.ranges(RANGES * (self.helpers + 1)).collect();
        let left = AtomicUsize::new(ranges.len());
        let divided = Arc::new(Divided { scan, left, found: Mutex::new(found) });
        let ranges = ranges.into_iter().map(|range| Task::Range(Arc::clone(&divided), range));
        // Below the channels that wait: ranges are what makes the threads finish together.
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.splice(0..0, ranges);
        true
    }
}

impl Divided<'_> {
    fn run(&self, range: Range<usize>) {
        self.scan.run(range);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            self.scan.finish(&mut found);
        }
    }
}
