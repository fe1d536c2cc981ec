//! The one door through which computing leaves async: a fixed set of threads, each with its own
//! scratch, behind a bounded queue. A job whose caller has gone is not started; a panic is one
//! failed job and a fresh scratch, not a lost thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use foretaste_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use crate::limit::Limit;
use crate::metrics::{Metrics, ReasonLabel, StageLabel};
use crate::pressure::{Gauge, MOST_WAITS};

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Why a job gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The queue was full.
    Full,
    /// The job panicked.
    Panicked,
    /// The pool is being taken down.
    Closed,
}

struct Queue<S> {
    state: Mutex<State<S>>,
    wake: Condvar,
    most: usize,
    gauge: Gauge,
    limit: Limit,
    /// Jobs that are queued or running.
    open: AtomicUsize,
    metrics: Arc<Metrics>,
}

struct State<S> {
    jobs: VecDeque<Job<S>>,
    closed: bool,
}

impl<S> Queue<S> {
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show_depth(&self, jobs: usize) {
        self.gauge.set_waiting(jobs);
        self.metrics.queue_depth.set(jobs as i64);
    }
}

/// Threads that compute with a scratch of type `S` each.
pub(crate) struct CpuPool<S> {
    queue: Arc<Queue<S>>,
    threads: Vec<JoinHandle<()>>,
}

impl<S: Default + 'static> CpuPool<S> {
    /// Starts `n_threads` threads behind a queue of at most `most` waiting jobs, whose wait is to
    /// stay about `target`.
    ///
    /// # Errors
    /// `Exhausted` when the system refuses a thread.
    pub(crate) fn start(
        n_threads: usize,
        (most, target): (usize, Duration),
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let state = Mutex::new(State { jobs: VecDeque::with_capacity(most), closed: false });
        let gauge = Gauge::new(n_threads, target);
        let limit = Limit::new(n_threads, most + n_threads, MOST_WAITS * target);
        let (wake, open) = (Condvar::new(), AtomicUsize::new(0));
        let queue = Arc::new(Queue { state, wake, most, gauge, limit, open, metrics });
        let mut pool = Self { queue, threads: Vec::with_capacity(n_threads) };
        for i in 0..n_threads {
            let queue = Arc::clone(&pool.queue);
            let thread = std::thread::Builder::new().name(format!("answer-{i}"));
            let handle = thread.spawn(move || work(&queue)).map_err(|e| {
                Error::new(ErrorKind::Exhausted, format!("worker thread {i} of {n_threads}"))
                    .with_source(e)
            })?;
            pool.threads.push(handle);
        }
        Ok(pool)
    }

    /// Whether no job is queued or running.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.open.load(Relaxed) == 0
    }

    /// How hard the workers are pressed.
    pub(crate) fn pressure(&self) -> f32 {
        self.queue.gauge.pressure()
    }

    /// Lets the pool seem to have so many jobs waiting that take so long, until the next job.
    #[cfg(test)]
    pub(crate) fn pretend(&self, waiting: usize, took: Duration) {
        self.queue.gauge.pretend(waiting, took);
    }

    /// Runs `job` on a thread of the pool.
    ///
    /// # Errors
    /// [`Refused`]; `Full` at once, without waiting.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> std::result::Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        let queue = Arc::clone(&self.queue);
        let queued = Instant::now();
        self.push(Box::new(move |scratch: &mut S| {
            let reply: oneshot::Sender<std::result::Result<T, Refused>> = reply;
            if reply.is_closed() {
                return;
            }
            let metrics = &queue.metrics;
            let wait = StageLabel { stage: "queue_wait" };
            let started = Instant::now();
            let waited = started.duration_since(queued);
            metrics.stages.get_or_create(&wait).observe(waited.as_secs_f64());
            queue.limit.note(waited, started);
            metrics.concurrency_limit.set(queue.limit.present() as i64);
            let result = catch_unwind(AssertUnwindSafe(|| job(scratch)));
            queue.gauge.note(started.elapsed());
            let result = result.map_err(|_| {
                *scratch = S::default();
                metrics.panics.inc();
                Refused::Panicked
            });
            // The caller may have gone meanwhile; then nobody wants the result.
            let _ = reply.send(result);
        }))?;
        answer.await.unwrap_or(Err(Refused::Closed))
    }

    fn push(&self, job: Job<S>) -> std::result::Result<(), Refused> {
        let mut state = self.queue.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        let is_full = state.jobs.len() >= self.queue.most;
        if is_full || !self.queue.limit.admits(self.queue.open.load(Relaxed)) {
            let reason = if is_full { "cpu_queue" } else { "concurrency_limit" };
            self.queue.metrics.shed.get_or_create(&ReasonLabel { reason }).inc();
            return Err(Refused::Full);
        }
        state.jobs.push_back(job);
        self.queue.open.fetch_add(1, Relaxed);
        self.queue.show_depth(state.jobs.len());
        drop(state);
        self.queue.wake.notify_one();
        Ok(())
    }
}

impl<S> Drop for CpuPool<S> {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.wake.notify_all();
        let me = std::thread::current().id();
        for thread in self.threads.drain(..).filter(|t| t.thread().id() != me) {
            // A worker cannot panic outside a job, and jobs are caught.
            let _ = thread.join();
        }
    }
}

fn work<S: Default>(queue: &Queue<S>) {
    let mut scratch = S::default();
    while let Some(job) = next(queue) {
        job(&mut scratch);
        queue.open.fetch_sub(1, Relaxed);
    }
}

/// The next job; waits for one; `None` once the pool is closed and empty.
fn next<S>(queue: &Queue<S>) -> Option<Job<S>> {
    let mut state = queue.lock();
    loop {
        if let Some(job) = state.jobs.pop_front() {
            queue.show_depth(state.jobs.len());
            return Some(job);
        }
        if state.closed {
            return None;
        }
        state = queue.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    fn pool(threads: usize, most: usize) -> CpuPool<Vec<u8>> {
        CpuPool::start(threads, (most, Duration::from_millis(10)), Metrics::new()).expect("threads")
    }

    #[tokio::test]
    async fn a_panic_is_one_failed_job_and_a_fresh_scratch() {
        let pool = pool(1, 4);
        assert_eq!(pool.run(|s| s.push(1)).await, Ok(()));
        let panicked: std::result::Result<(), _> = pool.run(|_| panic!("planted")).await;
        assert_eq!(panicked, Err(Refused::Panicked));
        assert_eq!(pool.run(|s| s.len()).await, Ok(0));
        assert_eq!(pool.queue.metrics.panics.get(), 1);
    }

    #[tokio::test]
    async fn above_its_bound_the_queue_refuses_at_once() {
        let pool = Arc::new(pool(1, 1));
        let gate = Arc::new(Barrier::new(2));
        let (started, has_started) = oneshot::channel();
        let held = Arc::clone(&gate);
        let busy = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move {
                let job = move |_: &mut Vec<u8>| {
                    let _ = started.send(());
                    held.wait();
                };
                pool.run(job).await
            }
        });
        has_started.await.expect("the worker is busy");
        let mut waiting = Box::pin(pool.run(|_| 7));
        assert!(
            std::future::poll_fn(|cx| {
                std::task::Poll::Ready(waiting.as_mut().poll(cx).is_pending())
            })
            .await
        );
        assert_eq!(pool.run(|_| 8).await, Err(Refused::Full));
        gate.wait();
        assert_eq!(waiting.await, Ok(7));
        assert_eq!(busy.await.expect("joined"), Ok(()));
    }

    #[tokio::test]
    async fn a_pool_is_idle_when_no_job_is_queued_or_running() {
        let pool = Arc::new(pool(1, 4));
        assert!(pool.is_idle());
        let inside = Arc::clone(&pool);
        assert_eq!(pool.run(move |_| inside.is_idle()).await, Ok(false));
        let panicked: std::result::Result<(), _> = pool.run(|_| panic!("planted")).await;
        assert_eq!(panicked, Err(Refused::Panicked));
        // The answer may arrive a moment before the worker has put the job down.
        while !pool.is_idle() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_job_whose_caller_has_gone_is_not_started() {
        let pool = Arc::new(pool(1, 4));
        let gate = Arc::new(Barrier::new(2));
        let held = Arc::clone(&gate);
        let mut busy = Box::pin(pool.run(move |_| {
            held.wait();
        }));
        let mut gone = Box::pin(pool.run(|s| s.push(1)));
        std::future::poll_fn(|cx| {
            let _ = busy.as_mut().poll(cx);
            let _ = gone.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
        drop(gone);
        gate.wait();
        busy.await.expect("the first job");
        assert_eq!(pool.run(|s| s.len()).await, Ok(0));
    }
}
