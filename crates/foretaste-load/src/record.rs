//! What one thread of the generator counts and times during a phase; added up over threads when
//! the phase is over.

mod times;

pub use times::Times;

use crate::response::{Answer, CacheState};

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Connect,
    /// The connection ended before the answer did.
    Closed,
    /// No complete answer in time.
    Timeout,
    /// Bytes that are no HTTP response.
    Malformed,
}

/// Names of failures, by their number.
pub const FAILURES: [&str; 4] = ["connect", "closed", "timeout", "malformed"];

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With an answer, of whatever status.
    Answered(Answer),
    /// Without one.
    Failed(Failure),
}

/// The moments of a request, in ns since the start of the phase.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// When it was meant to be sent.
    pub intended: u64,
    /// When the generator took it up.
    pub taken: u64,
    /// When a connection was there and its first byte was written.
    pub sent: u64,
    /// When its answer was complete.
    pub done: u64,
}

/// A stretch of the run by intended time.
#[derive(Clone, Debug)]
pub struct Window {
    /// Requests intended in it.
    pub offered: u64,
    /// Of those, the ones with a good answer.
    pub ok: u64,
    /// And the ones without.
    pub failed: u64,
    /// Latencies of good answers, and timeouts.
    pub latency: Times,
}

impl Window {
    fn new() -> Self {
        Self { offered: 0, ok: 0, failed: 0, latency: Times::coarse() }
    }

    fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.ok += other.ok;
        self.failed += other.failed;
        self.latency.add(&other.latency);
    }
}

/// Counts of one kind of request.
#[derive(Clone, Debug)]
pub struct KindRecord {
    /// Good answers.
    pub ok: u64,
    /// Everything else.
    pub failed: u64,
    /// Latencies of good answers, and timeouts.
    pub latency: Times,
}

/// How long a phase is, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The last request is intended before this.
    pub length: u64,
    /// Length of a window.
    pub window: u64,
    /// Answers that are complete by then kept up with the requests.
    pub in_time: u64,
}

/// Everything that is recorded in a phase.
#[derive(Clone, Debug)]
pub struct Recorder {
    extent: Extent,
    /// From the intended time to the end of the answer: good answers, and timeouts at their limit.
    pub latency: Times,
    /// From the first byte written to the end of the answer.
    pub service: Times,
    /// From the intended time to when the generator took it up: its own delay.
    pub lag: Times,
    /// From then to the first byte written: waiting for a connection.
    pub wait: Times,
    /// By kind of request.
    pub kinds: Vec<KindRecord>,
    /// By stretch of the run.
    pub windows: Vec<Window>,
    /// When the last request ended, in ns.
    pub ended: u64,
    /// Good answers that were complete in time.
    pub ok_in_time: u64,
    /// Answers by status.
    pub statuses: Vec<u64>,
    /// Failures by their number in [`FAILURES`].
    pub failures: [u64; 4],
    /// Hits, stale hits, misses, bypasses.
    pub cache: [u64; 4],
    /// Slates that fell back.
    pub fallbacks: u64,
    /// Slates that say they are degraded.
    pub degraded: u64,
    /// Bytes read and written.
    pub bytes: [u64; 2],
    /// Connections that were opened.
    pub opened: u64,
    /// Requests that were sent again because an idle connection had ended.
    pub resent: u64,
    /// Requests that found all connections busy.
    pub waited: u64,
    /// Most requests under way at one time.
    pub peak: u64,
    /// Share of the phase during which the thread computed; the highest of all threads.
    pub cpu_share: f64,
}

impl Recorder {
    /// Nothing yet.
    pub fn new(n_kinds: usize, extent: Extent) -> Self {
        let kind = KindRecord { ok: 0, failed: 0, latency: Times::new() };
        Self {
            extent,
            latency: Times::new(),
            service: Times::new(),
            lag: Times::new(),
            wait: Times::new(),
            kinds: vec![kind; n_kinds],
            windows: Vec::new(),
            ended: 0,
            ok_in_time: 0,
            statuses: vec![0; 600],
            failures: [0; 4],
            cache: [0; 4],
            fallbacks: 0,
            degraded: 0,
            bytes: [0; 2],
            opened: 0,
            resent: 0,
            waited: 0,
            peak: 0,
            cpu_share: 0.0,
        }
    }

    /// Notes how a request ended.
    pub fn end(&mut self, kind: usize, at: Moments, end: End) {
        let latency = at.done - at.intended.min(at.done);
        let is_ok = match end {
            End::Answered(answer) => self.answered(answer),
            End::Failed(failure) => {
                self.failures[failure as usize] += 1;
                false
            }
        };
        self.ended = self.ended.max(at.done);
        let counts = is_ok || end == End::Failed(Failure::Timeout);
        let record = &mut self.kinds[kind];
        let window = window_at(&mut self.windows, at.intended / self.extent.window);
        window.offered += 1;
        if counts {
            self.latency.record(latency);
            record.latency.record(latency);
            window.latency.record(latency);
        }
        if is_ok {
            record.ok += 1;
            window.ok += 1;
            self.ok_in_time += u64::from(at.done <= self.extent.in_time);
            self.service.record(at.done - at.sent);
        } else {
            record.failed += 1;
            window.failed += 1;
        }
    }

    /// Notes the way of a request to its connection.
    pub fn sent(&mut self, at: Moments) {
        self.lag.record(at.taken - at.intended.min(at.taken));
        self.wait.record(at.sent - at.taken);
    }

    fn answered(&mut self, answer: Answer) -> bool {
        self.statuses[usize::from(answer.status).min(599)] += 1;
        if let Some(state) = answer.cache {
            let slot = match state {
                CacheState::Hit => 0,
                CacheState::Stale => 1,
                CacheState::Miss => 2,
                CacheState::Bypass => 3,
            };
            self.cache[slot] += 1;
        }
        self.fallbacks += u64::from(answer.is_fallback);
        self.degraded += u64::from(answer.is_degraded);
        is_good(answer.status)
    }

    /// Adds what another thread recorded.
    pub fn add(&mut self, other: &Self) {
        let times = [
            (&mut self.latency, &other.latency),
            (&mut self.service, &other.service),
            (&mut self.lag, &other.lag),
            (&mut self.wait, &other.wait),
        ];
        times.into_iter().for_each(|(ours, theirs)| ours.add(theirs));
        for (ours, theirs) in self.kinds.iter_mut().zip(&other.kinds) {
            ours.ok += theirs.ok;
            ours.failed += theirs.failed;
            ours.latency.add(&theirs.latency);
        }
        for (at, theirs) in other.windows.iter().enumerate() {
            window_at(&mut self.windows, at as u64).add(theirs);
        }
        let counts = [
            (self.statuses.as_mut_slice(), other.statuses.as_slice()),
            (&mut self.failures, &other.failures),
            (&mut self.cache, &other.cache),
            (&mut self.bytes, &other.bytes),
        ];
        for (ours, theirs) in counts {
            ours.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
        self.ended = self.ended.max(other.ended);
        self.ok_in_time += other.ok_in_time;
        self.fallbacks += other.fallbacks;
        self.degraded += other.degraded;
        self.opened += other.opened;
        self.resent += other.resent;
        self.waited += other.waited;
        self.peak += other.peak;
        self.cpu_share = self.cpu_share.max(other.cpu_share);
    }

    /// Good answers.
    pub fn ok(&self) -> u64 {
        self.kinds.iter().map(|k| k.ok).sum()
    }

    /// Requests without a good answer.
    pub fn failed(&self) -> u64 {
        self.kinds.iter().map(|k| k.failed).sum()
    }

    /// Length of the phase in seconds.
    pub fn seconds(&self) -> f64 {
        self.extent.length as f64 / 1e9
    }

    /// Length of a window in seconds.
    pub fn window_seconds(&self) -> f64 {
        self.extent.window as f64 / 1e9
    }
}

/// Whether a status is what the client came for.
fn is_good(status: u16) -> bool {
    (200..300).contains(&status) || status == 304
}

fn window_at(windows: &mut Vec<Window>, at: u64) -> &mut Window {
    let at = at as usize;
    if windows.len() <= at {
        windows.resize_with(at + 1, Window::new);
    }
    &mut windows[at]
}

/// What happened since the last tick, by the time of its end: for those who watch.
#[derive(Clone, Debug)]
pub struct Tick {
    /// Which one.
    pub index: u64,
    /// Requests taken up.
    pub offered: u64,
    /// Good answers.
    pub ok: u64,
    /// Everything else that ended.
    pub failed: u64,
    /// Cache hits, stale ones included, and answers that say whether they are.
    pub hits: [u64; 2],
    /// Requests under way or waiting.
    pub outstanding: u64,
    /// Latencies.
    pub latency: Times,
}

impl Tick {
    /// Nothing yet.
    pub fn new(index: u64) -> Self {
        Self {
            index,
            offered: 0,
            ok: 0,
            failed: 0,
            hits: [0; 2],
            outstanding: 0,
            latency: Times::coarse(),
        }
    }

    /// Notes how a request ended.
    pub fn end(&mut self, at: Moments, end: End) {
        match end {
            End::Answered(answer) if is_good(answer.status) => self.ok += 1,
            _ => self.failed += 1,
        }
        if let End::Answered(Answer { cache: Some(state), .. }) = end {
            self.hits[0] += u64::from(matches!(state, CacheState::Hit | CacheState::Stale));
            self.hits[1] += 1;
        }
        self.latency.record(at.done - at.intended.min(at.done));
    }

    /// Adds what another thread counted.
    pub fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.ok += other.ok;
        self.failed += other.failed;
        self.hits[0] += other.hits[0];
        self.hits[1] += other.hits[1];
        self.outstanding += other.outstanding;
        self.latency.add(&other.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: Answer = Answer {
        status: 200,
        keeps_alive: true,
        cache: Some(CacheState::Stale),
        is_fallback: true,
        is_degraded: false,
    };
    const MS: u64 = 1_000_000;

    fn at(intended: u64, sent: u64, done: u64) -> Moments {
        Moments { intended: intended * MS, taken: intended * MS, sent: sent * MS, done: done * MS }
    }

    const EXTENT: Extent = Extent { length: 100 * MS, window: 50 * MS, in_time: 110 * MS };

    /// A phase of 100 ms: a good answer, a late one, a timeout, a refusal.
    fn recorded() -> Recorder {
        let mut recorder = Recorder::new(2, EXTENT);
        recorder.end(0, at(10, 12, 20), End::Answered(ANSWER));
        recorder.end(1, at(60, 90, 120), End::Answered(ANSWER));
        recorder.end(1, at(70, 70, 170), End::Failed(Failure::Timeout));
        recorder.end(1, at(80, 80, 81), End::Answered(Answer { status: 503, ..ANSWER }));
        recorder
    }

    #[test]
    fn latency_counts_from_the_intended_time_and_fast_refusals_do_not_count() {
        let recorder = recorded();
        assert_eq!(recorder.latency.count(), 3);
        assert!((recorder.latency.min_ms() - 10.0).abs() < 0.01);
        assert!((recorder.latency.quantile_ms(0.5) - 60.0).abs() < 0.06);
        assert!((recorder.latency.max_ms() - 100.0).abs() < 0.1);
        assert!((recorder.service.quantile_ms(0.5) - 8.0).abs() < 0.01);
        assert_eq!((recorder.ok(), recorder.failed(), recorder.ok_in_time), (2, 2, 1));
        assert_eq!((recorder.statuses[200], recorder.statuses[503]), (2, 1));
        assert_eq!((recorder.failures, recorder.cache), ([0, 0, 1, 0], [0, 3, 0, 0]));
        assert_eq!(recorder.fallbacks, 3);
    }

    #[test]
    fn windows_are_told_apart_by_intended_time() {
        let recorder = recorded();
        let counts: Vec<_> = recorder.windows.iter().map(|w| (w.offered, w.ok, w.failed)).collect();
        assert_eq!(counts, [(1, 1, 0), (3, 1, 2)]);
    }

    #[test]
    fn threads_add_up() {
        let mut sum = recorded();
        sum.add(&recorded());
        assert_eq!((sum.ok(), sum.failed(), sum.latency.count()), (4, 4, 6));
        assert_eq!(sum.windows[1].offered, 6);
        let mut empty = Recorder::new(2, EXTENT);
        empty.add(&recorded());
        assert_eq!(empty.windows.len(), 2);
    }
}
