//! Whose turn it is: the open loop's schedule or the closed loop's users, as one thread of the
//! generator sees them. Pure: time comes in as a number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use foretaste_core::rng::Rng;

use crate::scenario::{ClosedPace, Think};
use crate::schedule::Schedule;

/// A request whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Number of the request, from which its bytes follow.
    pub index: u64,
    /// When it was meant to be sent, in ns since the start.
    pub intended: u64,
    /// The user's connection in a closed loop; any connection in an open one.
    pub connection: Option<usize>,
}

/// The share of one thread in a loop.
#[derive(Debug)]
pub enum Pacing {
    /// A fixed schedule.
    Open(OpenTurns),
    /// Users that wait for their answers.
    Closed(ClosedTurns),
}

impl Pacing {
    /// When the next request is due; `None` when there is none, or none until an answer comes.
    pub fn next_due(&self) -> Option<u64> {
        match self {
            Self::Open(turns) => turns.next.map(|(_, at)| at),
            Self::Closed(turns) => turns.waiting.peek().map(|Reverse((at, _))| *at),
        }
    }

    /// The next request, if it is due.
    pub fn take(&mut self, now: u64) -> Option<Due> {
        if self.next_due().is_none_or(|at| at > now) {
            return None;
        }
        match self {
            Self::Open(turns) => turns.take(),
            Self::Closed(turns) => turns.take(now),
        }
    }

    /// A user's request has ended, with or without an answer.
    pub fn ended(&mut self, connection: usize, now: u64, is_ok: bool) {
        if let Self::Closed(turns) = self {
            turns.ended(connection, now, is_ok);
        }
    }

    /// No more requests.
    pub fn stop(&mut self) {
        match self {
            Self::Open(turns) => turns.next = None,
            Self::Closed(turns) => {
                turns.until = 0;
                turns.waiting.clear();
            }
        }
    }

    /// True when the latency of a request counts from when a user was ready, not from a schedule.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

/// Every n-th moment of a schedule.
#[derive(Debug)]
pub struct OpenTurns {
    moments: std::iter::Enumerate<Schedule>,
    threads: u64,
    thread: u64,
    next: Option<(u64, u64)>,
}

impl OpenTurns {
    /// The share of `thread` among `threads`.
    pub fn new(schedule: Schedule, thread: usize, threads: usize) -> Self {
        let (thread, threads) = (thread as u64, threads as u64);
        let mut turns = Self { moments: schedule.enumerate(), threads, thread, next: None };
        turns.advance();
        turns
    }

    fn advance(&mut self) {
        let (threads, thread) = (self.threads, self.thread);
        let mut ours = self.moments.by_ref().map(|(index, at)| (index as u64, at));
        self.next = ours.find(|(index, _)| index % threads == thread);
    }

    fn take(&mut self) -> Option<Due> {
        let (index, intended) = self.next?;
        self.advance();
        Some(Due { index, intended, connection: None })
    }
}

/// Users of a closed loop, each with its own connection.
#[derive(Debug)]
pub struct ClosedTurns {
    pace: ClosedPace,
    /// Users who think, by the time at which they have thought enough.
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
    /// Requests of each user so far.
    asked: Vec<u64>,
    /// No request after this.
    until: u64,
    rng: Rng,
    thread: usize,
    threads: usize,
}

/// A user whose request failed waits at least so long, lest a dead server is asked in circles.
const REST_AFTER_FAILURE_NS: u64 = 100_000_000;

impl ClosedTurns {
    /// The share of `thread` among `threads`: every n-th user.
    pub fn new(pace: ClosedPace, seed: u64, thread: usize, threads: usize) -> Self {
        let users = (0..pace.users).skip(thread).step_by(threads);
        let start = |user: usize| pace.ramp_seconds * 1e9 * user as f64 / pace.users as f64;
        let waiting: BinaryHeap<_> =
            users.enumerate().map(|(slot, user)| Reverse((start(user) as u64, slot))).collect();
        Self {
            pace,
            asked: vec![0; waiting.len()],
            waiting,
            until: (pace.seconds * 1e9) as u64,
            rng: Rng::stream(seed, THINK_STREAM + thread as u64),
            thread,
            threads,
        }
    }

    fn take(&mut self, now: u64) -> Option<Due> {
        let Reverse((_, slot)) = self.waiting.pop()?;
        if now >= self.until {
            self.waiting.clear();
            return None;
        }
        let user = (slot * self.threads + self.thread) as u64;
        let index = user << 32 | self.asked[slot];
        self.asked[slot] += 1;
        Some(Due { index, intended: now, connection: Some(slot) })
    }

    fn ended(&mut self, slot: usize, now: u64, is_ok: bool) {
        let has_more = self.pace.requests == 0 || self.asked[slot] < self.pace.requests;
        let share = match self.pace.think {
            _ if self.pace.think_ms == 0.0 => 0.0,
            Think::Constant => 1.0,
            Think::Exponential => self.rng.exp(),
        };
        let think = (self.pace.think_ms * 1e6 * share) as u64;
        let rest = if is_ok { think } else { think.max(REST_AFTER_FAILURE_NS) };
        if has_more && now + rest < self.until {
            self.waiting.push(Reverse((now + rest, slot)));
        }
    }
}

const THINK_STREAM: u64 = 0x7468_696e_6b00_0000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Arrivals, Step};

    const PACE: ClosedPace = ClosedPace {
        users: 3,
        requests: 2,
        seconds: 10.0,
        ramp_seconds: 3.0,
        think_ms: 500.0,
        think: Think::Constant,
    };
    const MS: u64 = 1_000_000;

    fn drain(pacing: &mut Pacing, answer_ns: u64) -> Vec<(u64, Option<usize>, u64)> {
        let mut out = Vec::new();
        while let Some(at) = pacing.next_due() {
            let Some(due) = pacing.take(at) else { break };
            out.push((at / MS, due.connection, due.index));
            if let Some(connection) = due.connection {
                pacing.ended(connection, at + answer_ns, true);
            }
        }
        out
    }

    #[test]
    fn threads_share_a_schedule_without_loss() {
        let steps = [Step { rate: 100.0, seconds: 1.0 }];
        let whole: Vec<u64> = Schedule::new(Arrivals::Poisson, &steps, 5).collect();
        let mut shares: Vec<Due> = Vec::new();
        for thread in 0..3 {
            let schedule = Schedule::new(Arrivals::Poisson, &steps, 5);
            let mut pacing = Pacing::Open(OpenTurns::new(schedule, thread, 3));
            while let Some(at) = pacing.next_due() {
                assert_eq!(pacing.take(at - 1), None, "not before its time");
                shares.push(pacing.take(at).expect("due"));
            }
        }
        shares.sort_by_key(|due| due.index);
        let indices: Vec<u64> = shares.iter().map(|due| due.index).collect();
        assert_eq!(indices, (0..whole.len() as u64).collect::<Vec<_>>());
        assert_eq!(shares.iter().map(|due| due.intended).collect::<Vec<_>>(), whole);
    }

    #[test]
    fn users_come_in_by_and_by_think_and_leave_after_their_requests() {
        let mut pacing = Pacing::Closed(ClosedTurns::new(PACE, 1, 0, 1));
        let turns = drain(&mut pacing, 100 * MS);
        let expected = [
            (0, Some(0), 0),
            (600, Some(0), 1),
            (1000, Some(1), 1 << 32),
            (1600, Some(1), 1 << 32 | 1),
            (2000, Some(2), 2 << 32),
            (2600, Some(2), 2 << 32 | 1),
        ];
        assert_eq!(turns, expected);
    }

    #[test]
    fn threads_share_the_users() {
        let pace = ClosedPace { ramp_seconds: 0.0, requests: 1, ..PACE };
        let of = |thread| drain(&mut Pacing::Closed(ClosedTurns::new(pace, 1, thread, 2)), 0);
        let users = |thread| of(thread).iter().map(|t| t.2 >> 32).collect::<Vec<u64>>();
        assert_eq!((users(0), users(1)), (vec![0, 2], vec![1]));
    }

    #[test]
    fn time_ends_a_closed_loop() {
        let pace = ClosedPace { requests: 0, seconds: 1.0, think_ms: 0.0, ..PACE };
        let mut pacing = Pacing::Closed(ClosedTurns::new(pace, 1, 0, 3));
        assert_eq!(drain(&mut pacing, 300 * MS).len(), 4);
    }

    #[test]
    fn a_user_rests_after_a_failure() {
        let pace = ClosedPace { think_ms: 0.0, ..PACE };
        let mut pacing = Pacing::Closed(ClosedTurns::new(pace, 1, 0, 3));
        assert!(pacing.take(0).is_some());
        pacing.ended(0, 5, false);
        assert_eq!(pacing.next_due(), Some(5 + REST_AFTER_FAILURE_NS));
    }

    #[test]
    fn thinking_varies_around_its_mean() {
        let pace = ClosedPace {
            users: 1,
            requests: 0,
            seconds: 2_000.0,
            think: Think::Exponential,
            ..PACE
        };
        let n = drain(&mut Pacing::Closed(ClosedTurns::new(pace, 1, 0, 1)), 0).len() as f64;
        assert!((n - 4_000.0).abs() < 250.0, "{n}");
    }
}
