//! A socket that loses patience: no first byte, a head that drips, a connection that idles, a
//! client that does not read. hyper's own timer covers only the head and treats an idle
//! connection like a slow head; axum's server has no timer at all.
//!
//! Bodies are not timed here but where they are read, because only the route knows its bound.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;
use super::framing::Framing;
use crate::config::{Timeouts, millis};
use crate::http::Front;

/// Memory that a connection keeps for its next response.
const KEPT_BYTES: usize = 16 << 10;
const HTTP2_PREFACE_START: &[u8; 3] = b"PRI";

/// What the connection is waiting for from its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    FirstByte,
    Head,
    Idle,
    Busy,
}

/// One client's socket with deadlines on reading and writing. Requests whose response is ready are
/// answered here, where hyper has nothing in hand; it never hears of them.
pub(crate) struct PatientIo {
    stream: TcpStream,
    front: Front,
    activity: Arc<Activity>,
    timeouts: Arc<Timeouts>,
    framing: Framing,
    prefix: Vec<u8>,
    in_head: bool,
    finished_seen: u64,
    /// Requests that were finished when hyper had last written all it had.
    finished_flushed: u64,
    /// Responses that are not hyper's, and how much of them the client has.
    responses: Vec<u8>,
    sent: usize,
    read_deadline: Deadline,
    write_deadline: Deadline,
}

impl PatientIo {
    pub(crate) fn new(
        (stream, front): (TcpStream, Front),
        activity: Arc<Activity>,
        timeouts: Arc<Timeouts>,
    ) -> Self {
        Self {
            stream,
            front,
            activity,
            timeouts,
            framing: Framing::default(),
            prefix: Vec::with_capacity(HTTP2_PREFACE_START.len()),
            in_head: false,
            finished_seen: 0,
            finished_flushed: 0,
            responses: Vec::new(),
            sent: 0,
            read_deadline: Deadline::default(),
            write_deadline: Deadline::default(),
        }
    }

    fn is_http2(&self) -> bool {
        self.prefix == HTTP2_PREFACE_START
    }

    /// HTTP/2 frames say nothing about requests from outside, so there the time to the first
    /// request and the time between requests are bounded, whatever bytes arrive meanwhile.
    fn phase(&self) -> Phase {
        let (started, finished) = (self.activity.started(), self.activity.finished());
        match () {
            () if started > finished => Phase::Busy,
            () if self.prefix.is_empty() => Phase::FirstByte,
            () if self.is_http2() && started > 0 => Phase::Idle,
            () if self.is_http2() || self.in_head => Phase::Head,
            () => Phase::Idle,
        }
    }

    fn patience(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::FirstByte => Some(millis(self.timeouts.first_byte_ms)),
            Phase::Head => Some(millis(self.timeouts.header_ms)),
            Phase::Idle => Some(millis(self.timeouts.idle_ms)),
            Phase::Busy => None,
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let missing = HTTP2_PREFACE_START.len() - self.prefix.len();
        self.prefix.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        let busy = self.activity.started() > self.activity.finished();
        if self.is_http2() {
            return;
        }
        self.in_head |= !busy;
        if self.framing.push(bytes) {
            self.activity.mark_ambiguous_length();
        }
    }

    /// Answers `bytes` where they are a request whose response is ready, and hyper has neither a
    /// part of a request in hand nor a part of a response. The first request is always hyper's,
    /// which has to find out what the client speaks.
    fn answer(&mut self, bytes: &[u8]) -> bool {
        let (started, finished) = (self.activity.started(), self.activity.finished());
        let is_idle = started > 0 && started == finished && self.finished_flushed == finished;
        is_idle
            && !self.is_http2()
            && self.framing.is_between()
            && self.front.respond(bytes, &mut self.responses)
    }

    /// Writes what is left of own responses.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.responses.len() {
            let poll = Pin::new(&mut self.stream).poll_write(cx, &self.responses[self.sent..]);
            match ready!(self.while_writing(poll, cx))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.sent += n,
            }
        }
        self.sent = 0;
        self.responses.clear();
        self.responses.shrink_to(KEPT_BYTES);
        Poll::Ready(Ok(()))
    }

    /// A finished request begins a new wait.
    fn turn_page(&mut self) {
        let finished = self.activity.finished();
        if finished != self.finished_seen {
            self.finished_seen = finished;
            self.activity.notice(finished);
            self.in_head = false;
            self.framing.restart();
            self.read_deadline.disarm();
        }
    }
}

impl AsyncRead for PatientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.turn_page();
        ready!(this.poll_send(cx))?;
        let before = buf.filled().len();
        while let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            if !this.answer(&buf.filled()[before..]) {
                this.note_read(&buf.filled()[before..]);
                return Poll::Ready(result);
            }
            buf.set_filled(before);
            this.read_deadline.disarm();
            ready!(this.poll_send(cx))?;
        }
        let mut phase = this.phase();
        if phase == Phase::Busy {
            this.activity.wake_when_finished(cx.waker());
            // The request may have been finished just before that.
            this.turn_page();
            phase = this.phase();
        }
        let patience = this.patience(phase);
        ready!(this.read_deadline.poll(phase, patience, cx));
        let what = format!("client too slow: {phase:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }
}

impl AsyncWrite for PatientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.while_writing(poll, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.while_writing(poll, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.finished_flushed = self.activity.finished();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl PatientIo {
    fn while_writing<T>(
        &mut self,
        poll: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.write_deadline.disarm();
            return poll;
        }
        let patience = Some(millis(self.timeouts.write_ms));
        ready!(self.write_deadline.poll(Phase::Busy, patience, cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "client does not read")))
    }
}

/// A deadline that starts when a phase is first waited in. The timer is allocated once, and set
/// anew only where it would ring too late or has rung too early: most waits end before either.
#[derive(Debug, Default)]
struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
    armed: Option<(Phase, Instant)>,
}

impl Deadline {
    fn disarm(&mut self) {
        self.armed = None;
    }

    fn poll(&mut self, phase: Phase, patience: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(patience) = patience else {
            self.armed = None;
            return Poll::Pending;
        };
        let until = match self.armed {
            Some((armed, until)) if armed == phase => until,
            _ => Instant::now() + patience,
        };
        self.armed = Some((phase, until));
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}
