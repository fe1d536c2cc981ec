//! One thread of the generator: connections, a clock, and an event loop that sends every request
//! when it is due and times its answer. No task, no lock and no allocation per request.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use foretaste_core::{Error, Result};

use crate::pacing::{Due, Pacing};
use crate::record::{End, Extent, Failure, Moments, Recorder, Tick};
use crate::requests::{Requests, Scratch};
use crate::target::Target;

mod alarm;
mod connection;

use alarm::Poller;
use connection::{Connection, Progress};

/// Requests taken up before answers are looked at again.
const BURST: usize = 64;
/// Steps of other work before due requests are taken up again, lest a crowd of them delays these.
const A_TURN: usize = 16;
/// How often requests without an answer are looked for.
const EXPIRY_NS: u64 = 5_000_000;
/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// A phase as one thread sees it.
pub struct Phase<'a> {
    /// What is sent.
    pub requests: &'a Requests,
    /// When.
    pub pacing: Pacing,
    /// When the phase began, or will.
    pub began: Instant,
    /// Its length, that of its windows, and when answers still count as in time.
    pub extent: Extent,
    /// Longest time from the intended time to the end of an answer, in ns.
    pub timeout: u64,
    /// Distance of ticks, in ns.
    pub tick: u64,
    /// Set by whoever has seen enough.
    pub stop: &'a AtomicBool,
    /// Where ticks go; a tick that finds no room is lost.
    pub ticks: SyncSender<Tick>,
}

/// A thread's connections; they survive from phase to phase.
pub struct Engine {
    poller: Poller,
    target: Target,
    connections: Vec<Connection>,
    /// Connections without a request, the last used on top.
    free: Vec<usize>,
    buffer: Vec<u8>,
    /// Whether waiting is looking again and again: a machine that sleeps may wake late.
    spins: bool,
}

/// A request that is due and waits for a connection.
#[derive(Clone, Copy, Debug)]
struct Pending {
    due: Due,
    taken: u64,
    is_again: bool,
}

impl Engine {
    /// An engine without open connections, for at most `connections` of them, that never sleeps
    /// where it `spins`.
    ///
    /// # Errors
    /// `Io` when the system has no event queue to give.
    pub fn new(target: &Target, connections: usize, spins: bool) -> Result<Self> {
        let failed = |e: io::Error| Error::from(e).context("setting up the load generator");
        Ok(Self {
            poller: Poller::new().map_err(failed)?,
            target: target.clone(),
            connections: (0..connections).map(|_| Connection::new()).collect(),
            free: (0..connections).rev().collect(),
            buffer: vec![0; READ_BYTES],
            spins,
        })
    }

    /// Runs a phase until its last request has ended.
    ///
    /// # Errors
    /// `Io` when waiting for events fails.
    pub fn run(&mut self, phase: Phase<'_>) -> Result<Recorder> {
        let recorder = Recorder::new(phase.requests.n_kinds(), phase.extent);
        let run = Run {
            recorder,
            tick: Tick::new(0),
            waiting: VecDeque::new(),
            n_busy: 0,
            next_expiry: 0,
            scratch: Scratch::default(),
            cpu_seconds: alarm::thread_cpu_seconds(),
            spun: 0,
            engine: self,
            phase,
        };
        run.until_done().map_err(|e| Error::from(e).context("the load generator"))
    }
}

/// A phase under way.
struct Run<'a> {
    engine: &'a mut Engine,
    phase: Phase<'a>,
    recorder: Recorder,
    tick: Tick,
    waiting: VecDeque<Pending>,
    n_busy: usize,
    next_expiry: u64,
    scratch: Scratch,
    cpu_seconds: f64,
    /// Nanoseconds of turns that looked and found nothing.
    spun: u64,
}

impl Run<'_> {
    fn until_done(mut self) -> io::Result<Recorder> {
        std::thread::sleep(self.phase.began.saturating_duration_since(Instant::now()));
        loop {
            let (turn, offered) = (self.now(), self.tick.offered);
            if self.phase.stop.load(Ordering::Relaxed) {
                self.phase.pacing.stop();
            }
            let is_behind = self.take_up();
            let took_up = self.tick.offered > offered;
            let now = self.now();
            self.expire(now);
            self.tell(now);
            if self.n_busy == 0 && self.waiting.is_empty() && self.phase.pacing.next_due().is_none()
            {
                return Ok(self.finish(now));
            }
            let is_at_once = is_behind || self.engine.spins;
            let wake = if is_at_once { now } else { self.next_wake(now) };
            self.engine.poller.wait(wake.saturating_sub(now))?;
            for at in 0..self.engine.poller.ready.len() {
                let event = self.engine.poller.ready[at];
                self.on_event(event.slot, event.is_writable, event.is_closed);
                if at % A_TURN == A_TURN - 1 {
                    self.take_up();
                }
            }
            self.serve_waiting();
            if self.engine.spins && !took_up && self.engine.poller.ready.is_empty() {
                self.spun += self.now() - turn;
            }
        }
    }

    fn now(&self) -> u64 {
        self.phase.began.elapsed().as_nanos() as u64
    }

    /// Takes up what is due; true when more is due than one turn should do.
    fn take_up(&mut self) -> bool {
        for _ in 0..BURST {
            let now = self.now();
            let Some(due) = self.phase.pacing.take(now) else { return false };
            self.tick.offered += 1;
            let pending = Pending { due, taken: now, is_again: false };
            let slot = due.connection.or_else(|| self.free_slot());
            match slot {
                Some(slot) => self.send(slot, pending),
                None => {
                    self.recorder.waited += 1;
                    self.waiting.push_back(pending);
                }
            }
        }
        true
    }

    /// A free connection for a request that overtakes nobody.
    fn free_slot(&mut self) -> Option<usize> {
        if self.waiting.is_empty() { self.engine.free.pop() } else { None }
    }

    /// Gives free connections to those who wait, longest wait first.
    fn serve_waiting(&mut self) {
        let mut n_sent = 0;
        while !self.waiting.is_empty()
            && let Some(slot) = self.engine.free.pop()
            && let Some(pending) = self.waiting.pop_front()
        {
            self.send(slot, pending);
            n_sent += 1;
            if n_sent % A_TURN == 0 {
                self.take_up();
            }
        }
    }

    fn next_wake(&self, now: u64) -> u64 {
        let has_some = self.n_busy > 0 || !self.waiting.is_empty();
        let expiry = if has_some { self.next_expiry.max(now) } else { u64::MAX };
        let next_tick = (self.tick.index + 1) * self.phase.tick;
        self.phase.pacing.next_due().unwrap_or(u64::MAX).min(expiry).min(next_tick)
    }

    /// Sends a request on a connection, which is opened where it is not.
    fn send(&mut self, slot: usize, pending: Pending) {
        let connection = &mut self.engine.connections[slot];
        self.n_busy += 1;
        let outstanding = (self.n_busy + self.waiting.len()) as u64;
        self.recorder.peak = self.recorder.peak.max(outstanding);
        connection.write_request(self.phase.requests, pending, &mut self.scratch);
        if !connection.is_open() {
            self.recorder.opened += 1;
            if connection.open(&self.engine.target, &self.engine.poller, slot).is_err() {
                return self.end(slot, End::Failed(Failure::Connect));
            }
        }
        self.flush(slot);
    }

    fn flush(&mut self, slot: usize) {
        let now = self.now();
        let connection = &mut self.engine.connections[slot];
        match connection.flush(now) {
            Ok(bytes) => self.recorder.bytes[1] += bytes as u64,
            Err(_) => self.broken(slot),
        }
    }

    fn on_event(&mut self, slot: usize, is_writable: bool, is_closed: bool) {
        let connection = &mut self.engine.connections[slot];
        if !connection.is_connected() {
            match connection.connected() {
                Ok(true) => self.flush(slot),
                Ok(false) => return,
                Err(_) => return self.broken(slot),
            }
        } else if is_writable && connection.has_unsent() {
            self.flush(slot);
        }
        self.read(slot, is_closed);
    }

    fn read(&mut self, slot: usize, is_closed: bool) {
        let connection = &mut self.engine.connections[slot];
        let progress = connection.read(&mut self.engine.buffer, is_closed);
        self.recorder.bytes[0] += connection.take_bytes_read();
        match progress {
            Progress::Unfinished => {}
            Progress::Broken if !self.engine.connections[slot].is_busy() => {
                self.engine.connections[slot].close();
            }
            Progress::Broken => self.broken(slot),
            Progress::Malformed => self.end(slot, End::Failed(Failure::Malformed)),
            Progress::Complete(answer) => self.end(slot, End::Answered(answer)),
        }
    }

    /// The connection has ended before the answer. One that had been idle may have been closed by
    /// the server at the very moment it was used: that request is sent once more.
    fn broken(&mut self, slot: usize) {
        let connection = &mut self.engine.connections[slot];
        let was_connected = connection.is_connected();
        if connection.may_send_again() {
            let pending = connection.take_job().map(|job| job.pending);
            connection.close();
            self.n_busy -= 1;
            self.recorder.resent += 1;
            if let Some(pending) = pending {
                self.send(slot, Pending { is_again: true, ..pending });
            }
            return;
        }
        let failure = if was_connected { Failure::Closed } else { Failure::Connect };
        self.end(slot, End::Failed(failure));
    }

    /// A request has ended: it is recorded, and its connection is free.
    fn end(&mut self, slot: usize, end: End) {
        let now = self.now();
        let connection = &mut self.engine.connections[slot];
        let Some(job) = connection.take_job() else { return };
        let is_reusable = matches!(end, End::Answered(answer) if answer.keeps_alive);
        if !is_reusable {
            connection.close();
        }
        self.n_busy -= 1;
        let Due { intended, .. } = job.pending.due;
        let taken = job.pending.taken;
        let done = match end {
            End::Failed(Failure::Timeout) => intended + self.phase.timeout,
            _ => now,
        };
        let moments = Moments { intended, taken, sent: job.sent.unwrap_or(done), done };
        if job.sent.is_some() {
            self.recorder.sent(moments);
        }
        self.recorder.end(job.kind, moments, end);
        self.tick.end(moments, end);
        if self.phase.pacing.is_closed() {
            self.phase.pacing.ended(slot, now, matches!(end, End::Answered(_)));
        } else {
            self.engine.free.push(slot);
        }
    }

    /// Ends what has waited too long, sent or not.
    fn expire(&mut self, now: u64) {
        if now < self.next_expiry {
            return;
        }
        self.next_expiry = now + EXPIRY_NS;
        let Some(limit) = now.checked_sub(self.phase.timeout) else { return };
        while let Some(first) = self.waiting.front().copied().filter(|p| p.due.intended <= limit) {
            self.waiting.pop_front();
            let Due { intended, index, .. } = first.due;
            let done = intended + self.phase.timeout;
            let moments = Moments { intended, taken: first.taken, sent: done, done };
            let kind = self.phase.requests.kind(index);
            self.recorder.end(kind, moments, End::Failed(Failure::Timeout));
            self.tick.end(moments, End::Failed(Failure::Timeout));
        }
        for slot in 0..self.engine.connections.len() {
            if self.engine.connections[slot].intended().is_some_and(|at| at <= limit) {
                self.end(slot, End::Failed(Failure::Timeout));
                self.take_up();
            }
        }
    }

    /// Tells whoever watches, when a tick is over.
    fn tell(&mut self, now: u64) {
        let index = now / self.phase.tick;
        if index == self.tick.index {
            return;
        }
        let mut tick = std::mem::replace(&mut self.tick, Tick::new(index));
        tick.outstanding = (self.n_busy + self.waiting.len()) as u64;
        // Nobody may be looking any more, and looking must not slow the generator.
        let _ = self.phase.ticks.try_send(tick);
    }

    fn finish(mut self, now: u64) -> Recorder {
        let seconds = now.max(1) as f64 / 1e9;
        let computed = alarm::thread_cpu_seconds() - self.cpu_seconds - self.spun as f64 / 1e9;
        self.recorder.cpu_share = computed.max(0.0) / seconds;
        self.engine.free.clear();
        self.engine.free.extend((0..self.engine.connections.len()).rev());
        self.recorder
    }
}
