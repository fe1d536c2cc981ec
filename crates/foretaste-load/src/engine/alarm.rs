//! Waiting for sockets or for the next moment, whichever comes first, to within some 50 us.

use std::io;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

/// A socket that wants attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) slot: usize,
    pub(super) is_writable: bool,
    pub(super) is_closed: bool,
}

/// An event queue with a fine timer.
pub(super) struct Poller {
    poll: Poll,
    events: Events,
    timer: Timer,
    /// What the last wait found.
    pub(super) ready: Vec<Event>,
}

const MOST_EVENTS: usize = 1024;
const TIMER: Token = Token(usize::MAX);
/// Longest wait; whoever wants to stop the generator waits no longer.
const MOST_WAIT_NS: u64 = 100_000_000;

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(&poll)?;
        let events = Events::with_capacity(MOST_EVENTS);
        Ok(Self { poll, events, timer, ready: Vec::with_capacity(MOST_EVENTS) })
    }

    /// Waits for at most `ns` and fills `ready`.
    pub(super) fn wait(&mut self, ns: u64) -> io::Result<()> {
        let timeout = self.timer.set(ns.min(MOST_WAIT_NS))?;
        self.ready.clear();
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        let sockets = self.events.iter().filter(|event| event.token() != TIMER);
        self.ready.extend(sockets.map(|event| Event {
            slot: event.token().0,
            is_writable: event.is_writable(),
            is_closed: event.is_read_closed() || event.is_error(),
        }));
        Ok(())
    }

    /// Watches a socket for as long as it lives.
    pub(super) fn watch(&self, socket: &mut mio::net::TcpStream, slot: usize) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket, Token(slot), both)
    }
}

/// epoll rounds its timeout up to whole milliseconds; a timer descriptor does not.
#[cfg(target_os = "linux")]
struct Timer {
    descriptor: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Timer {
    fn new(poll: &Poll) -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let raw = descriptor.as_raw_fd();
        let registry = poll.registry();
        registry.register(&mut mio::unix::SourceFd(&raw), TIMER, Interest::READABLE)?;
        Ok(Self { descriptor })
    }

    /// Sets the timer where that pays; the timeout that epoll should have.
    fn set(&mut self, ns: u64) -> io::Result<Duration> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        if ns == 0 {
            return Ok(Duration::ZERO);
        }
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec { tv_sec: 0, tv_nsec: ns as _ };
        let spec = Itimerspec { it_interval: none, it_value };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &spec)?;
        Ok(Duration::from_nanos(ns))
    }
}

/// Elsewhere waits are as fine as the system's event queue.
#[cfg(not(target_os = "linux"))]
struct Timer;

#[cfg(not(target_os = "linux"))]
impl Timer {
    fn new(_: &Poll) -> io::Result<Self> {
        Ok(Self)
    }

    fn set(&mut self, ns: u64) -> io::Result<Duration> {
        Ok(Duration::from_nanos(ns))
    }
}

/// Seconds that the calling thread has computed.
pub(super) fn thread_cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
