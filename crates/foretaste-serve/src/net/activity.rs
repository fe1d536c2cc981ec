//! What one connection is doing: shared between its socket (which measures silence) and its
//! service (which knows when a request begins and when its response has been handed over).

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Counters of one connection. All accesses come from the task of the connection or from the
/// streams it spawned; relaxed order is enough because a late reading only moves a deadline.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    started: AtomicU64,
    finished: AtomicU64,
    /// Of the finished requests, those that the socket knows of.
    noticed: AtomicU64,
    ambiguous_length: AtomicBool,
    waits: Mutex<Waits>,
}

/// Who has to look at the socket again when a request is finished, because that is when a new wait
/// begins.
#[derive(Debug, Default)]
struct Waits {
    /// The connection's task is at work and will look by itself.
    is_polled: bool,
    /// The task, where it looked while a request was in flight.
    task: Option<Waker>,
}

impl Activity {
    /// Requests whose head has been read.
    pub(crate) fn started(&self) -> u64 {
        self.started.load(Relaxed)
    }

    /// Requests whose response body has been handed over or dropped.
    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Relaxed)
    }

    /// Says that the socket knows of so many finished requests.
    pub(crate) fn notice(&self, finished: u64) {
        self.noticed.store(finished, Relaxed);
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes this task when the next request is finished.
    pub(crate) fn wake_when_finished(&self, waker: &Waker) {
        let task = &mut self.waits().task;
        match task {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Polls the connection that this is about. A request that is finished meanwhile wakes nobody:
    /// hyper looks at the socket again before it lets go, and where it did not, it is asked to,
    /// once: while requests wait in its buffer it does not look, however often it is asked.
    /// Waking its own task for each request would cost a second round for each.
    pub(crate) fn poll<F: Future>(
        &self,
        connection: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        self.waits().is_polled = true;
        let polled = connection.poll(cx);
        self.waits().is_polled = false;
        let finished = self.finished();
        if polled.is_pending() && self.noticed.swap(finished, Relaxed) != finished {
            cx.waker().wake_by_ref();
        }
        polled
    }

    /// Says that the head just read had both `Content-Length` and `Transfer-Encoding`.
    pub(crate) fn mark_ambiguous_length(&self) {
        self.ambiguous_length.store(true, Relaxed);
    }

    /// Whether that was said about this connection; it will be closed, so it is never unsaid.
    pub(crate) fn has_ambiguous_length(&self) -> bool {
        self.ambiguous_length.load(Relaxed)
    }

    /// Counts a request as started, and as finished when the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.started.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.finished.fetch_add(1, Relaxed);
        let mut waits = self.0.waits();
        if !waits.is_polled
            && let Some(task) = waits.task.take()
        {
            drop(waits);
            task.wake();
        }
    }
}

/// A response body that keeps its request in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct TrackedBody {
    body: axum::body::Body,
    _in_flight: InFlight,
}

impl TrackedBody {
    pub(crate) fn new(body: axum::body::Body, in_flight: InFlight) -> Self {
        Self { body, _in_flight: in_flight }
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_connection_that_does_not_look_is_asked_to_once_for_each_finished_request() {
        let (activity, wakes) = (Arc::new(Activity::default()), Arc::new(Wakes::default()));
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        let finish = || drop(activity.begin());
        for n in 1..3 {
            let ends_one = pin!(std::future::poll_fn(|_| {
                finish();
                Poll::<()>::Pending
            }));
            assert!(activity.poll(ends_one, &mut cx).is_pending());
            assert_eq!(wakes.0.load(Relaxed), n);
            assert!(activity.poll(pin!(std::future::pending::<()>()), &mut cx).is_pending());
            assert_eq!(wakes.0.load(Relaxed), n, "a task that wakes itself for ever spins");
        }
        let looks = pin!(std::future::poll_fn(|_| {
            finish();
            activity.notice(activity.finished());
            Poll::<()>::Pending
        }));
        assert!(activity.poll(looks, &mut cx).is_pending());
        assert_eq!(wakes.0.load(Relaxed), 2, "it has looked");
        activity.wake_when_finished(&waker);
        finish();
        assert_eq!(wakes.0.load(Relaxed), 3, "what ends elsewhere wakes");
    }
}
