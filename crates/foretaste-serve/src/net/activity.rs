//! What one connection is doing: shared between its socket (which measures silence) and its
//! service (which knows when a request begins and when its response has been handed over).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Counters of one connection. All accesses come from the task of the connection or from the
/// streams it spawned; relaxed order is enough because a late reading only moves a deadline.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    started: AtomicU64,
    finished: AtomicU64,
    ambiguous_length: AtomicBool,
    /// The socket's task, where it looked while a request was in flight: it has to look again
    /// when the request is finished, because that is when a new wait begins.
    waits: Mutex<Option<Waker>>,
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

    /// Wakes this task when the next request is finished.
    pub(crate) fn wake_when_finished(&self, waker: &Waker) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *waits {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
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
        let waits = self.0.waits.lock().unwrap_or_else(PoisonError::into_inner).take();
        waits.iter().for_each(Waker::wake_by_ref);
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
