//! A run: warm-up, then the measurement, on all threads of the generator. The rim of this crate:
//! clocks and threads stand here and in `engine`.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use foretaste_core::{Error, ErrorKind, Result};

use crate::engine::{Engine, Phase};
use crate::pacing::{ClosedTurns, OpenTurns, Pacing};
use crate::record::{Extent, Recorder, Tick};
use crate::requests::Requests;
use crate::result::{Context, RunResult, WarmUpResult};
use crate::scenario::{ClosedPace, OpenPace, Pace, Scenario, WarmUp};
use crate::schedule::{Arrivals, Schedule, Step};
use crate::stability::{Glance, is_stable};
use crate::target::Target;

/// Distance of ticks.
const TICK_NS: u64 = 250_000_000;
/// Ticks in a window of a warm-up: one second.
const TICKS_A_WINDOW: usize = 4;
/// Most windows of a result.
const MOST_WINDOWS: f64 = 300.0;
/// Ticks that wait for slower threads.
const MOST_HELD_TICKS: usize = 8;
/// Time for all threads to be ready.
const START_DELAY: Duration = Duration::from_millis(5);
/// How long an answer may take beyond the end of a run and count as in time, without a goal.
const GRACE_MS: f64 = 100.0;

/// Looks on while requests are sent.
pub trait Watch {
    /// A part begins at a moment and takes at most so many seconds.
    fn begin(&self, part: &str, seconds: f64, at: Instant);
    /// `tick` shows the last `seconds` before `at` seconds.
    fn tick(&self, at: f64, seconds: f64, tick: &Tick);
    /// The part is over.
    fn end(&self);
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWatch;

impl Watch for NoWatch {
    fn begin(&self, _: &str, _: f64, _: Instant) {}
    fn tick(&self, _: f64, _: f64, _: &Tick) {}
    fn end(&self) {}
}

/// When requests of one part of a run are sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// At these rates, one after the other.
    Open {
        /// The rates.
        steps: Vec<Step>,
        /// How far apart requests are.
        arrivals: Arrivals,
    },
    /// By these users.
    Closed(ClosedPace),
}

impl Plan {
    /// The plan of a scenario's measurement.
    pub fn of(pace: Pace) -> Self {
        match pace {
            Pace::Open(OpenPace { rate, arrivals, seconds }) => {
                Self::Open { steps: vec![Step { rate, seconds }], arrivals }
            }
            Pace::Closed(pace) => Self::Closed(pace),
        }
    }

    /// Its longest duration.
    pub fn seconds(&self) -> f64 {
        match self {
            Self::Open { steps, .. } => steps.iter().map(|s| s.seconds).sum(),
            Self::Closed(pace) => pace.seconds,
        }
    }

    /// The same, at its first rate, for so long.
    fn lasting(&self, seconds: f64) -> Self {
        match self {
            Self::Open { steps, arrivals } => {
                let rate = steps.first().map_or(0.0, |s| s.rate);
                Self::Open { steps: vec![Step { rate, seconds }], arrivals: *arrivals }
            }
            Self::Closed(pace) => Self::Closed(ClosedPace { seconds, requests: 0, ..*pace }),
        }
    }

    fn pacing(&self, seed: u64, thread: usize, threads: usize) -> Pacing {
        match self {
            Self::Open { steps, arrivals } => {
                let schedule = Schedule::new(*arrivals, steps, seed);
                Pacing::Open(OpenTurns::new(schedule, thread, threads))
            }
            Self::Closed(pace) => Pacing::Closed(ClosedTurns::new(*pace, seed, thread, threads)),
        }
    }
}

/// A generator with its connections to one target.
pub struct Generator {
    scenario: Scenario,
    target: Target,
    requests: Requests,
    engines: Vec<Engine>,
    /// Parts so far, so that each warm-up has a trace of its own.
    n_parts: u64,
}

impl Generator {
    /// A generator of a scenario's requests to a target; `tag` tells its events from those of any
    /// other run. Connects once, to say early when nobody is there.
    ///
    /// # Errors
    /// `Unavailable` when nothing listens; as [`Requests::new`] and [`Engine::new`].
    pub fn new(scenario: &Scenario, target: &Target, tag: &str) -> Result<Self> {
        let patience = Duration::from_millis(scenario.transport.timeout_ms);
        TcpStream::connect_timeout(&target.address, patience).map_err(|error| {
            let text = format!("nothing answers at {}; is the server running?", target.url);
            Error::new(ErrorKind::Unavailable, text).with_source(error)
        })?;
        let connections = match scenario.pace {
            Pace::Open(_) => scenario.transport.connections,
            Pace::Closed(pace) => pace.users,
        };
        let threads = scenario.transport.threads.min(connections);
        let spins = scenario.transport.spin;
        let engines = (0..threads)
            .map(|_| Engine::new(target, connections.div_ceil(threads), spins))
            .collect::<Result<_>>()?;
        Ok(Self {
            requests: Requests::new(scenario, target, tag)?,
            scenario: scenario.clone(),
            target: target.clone(),
            engines,
            n_parts: 0,
        })
    }

    /// What is sent.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// To whom.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What later runs do before they measure.
    pub fn set_warm_up(&mut self, warm_up: WarmUp) {
        self.scenario.warm_up = warm_up;
    }

    /// Warms up and measures the scenario.
    ///
    /// # Errors
    /// As [`Self::part`].
    pub fn run(&mut self, started_ms: i64, watch: &dyn Watch) -> Result<RunResult> {
        let plan = Plan::of(self.scenario.pace);
        self.run_plan(&plan, started_ms, watch)
    }

    /// Warms up at the first rate of a plan and measures it.
    ///
    /// # Errors
    /// As [`Self::part`].
    pub fn run_plan(
        &mut self,
        plan: &Plan,
        started_ms: i64,
        watch: &dyn Watch,
    ) -> Result<RunResult> {
        let warm_up = self.warm_up(plan, watch)?;
        let requests = self.requests.clone();
        let recorder = self.part(plan, &requests, ("measure", watch), &mut |_, _| true)?;
        let context = Context {
            scenario: &self.scenario,
            target: &self.target,
            plan,
            started_ms,
            threads: self.engines.len(),
            warm_up,
        };
        Ok(RunResult::of(&recorder, context))
    }

    /// Sends requests like those of a plan until the server is stable.
    fn warm_up(&mut self, plan: &Plan, watch: &dyn Watch) -> Result<Option<WarmUpResult>> {
        let settings = self.scenario.warm_up;
        if settings.seconds_at_most <= 0.0 {
            return Ok(None);
        }
        self.n_parts += 1;
        let requests = self.requests.reseeded(self.n_parts);
        let (mut window, mut glances) = (Vec::new(), Vec::new());
        let mut first = None;
        let mut is_warm = false;
        let recorder = self.part(
            &plan.lasting(settings.seconds_at_most),
            &requests,
            ("warm-up", watch),
            &mut |at, tick| {
                window.push(tick.clone());
                if window.len() == TICKS_A_WINDOW {
                    let glance = Glance::of(&added(&window));
                    first.get_or_insert_with(|| added(&window));
                    window.clear();
                    glances.push(glance);
                }
                is_warm = is_stable(&glances, &settings);
                !(is_warm && at >= settings.seconds_at_least)
            },
        )?;
        let seconds = glances.len() as f64;
        Ok(Some(WarmUpResult::of(&recorder, seconds, is_warm, first.as_ref())))
    }

    /// Sends the requests of one part, on all threads; `go_on` sees every tick and ends the part by
    /// answering false.
    ///
    /// # Errors
    /// `Io` when the system refuses; `Internal` when a thread of the generator failed.
    pub fn part(
        &mut self,
        plan: &Plan,
        requests: &Requests,
        (name, watch): (&str, &dyn Watch),
        go_on: &mut dyn FnMut(f64, &Tick) -> bool,
    ) -> Result<Recorder> {
        let extent = self.extent(plan);
        let timeout = self.scenario.transport.timeout_ms * 1_000_000;
        let seed = requests.seed();
        let stop = AtomicBool::new(false);
        let began = Instant::now() + START_DELAY;
        let threads = self.engines.len();
        watch.begin(name, plan.seconds(), began);
        let recorders = std::thread::scope(|scope| {
            let (send, ticks) = sync_channel(64 * threads);
            let workers: Vec<_> = (self.engines.iter_mut().enumerate())
                .map(|(thread, engine)| {
                    let phase = Phase {
                        requests,
                        pacing: plan.pacing(seed, thread, threads),
                        began,
                        extent,
                        timeout,
                        tick: TICK_NS,
                        stop: &stop,
                        ticks: send.clone(),
                    };
                    scope.spawn(move || engine.run(phase))
                })
                .collect();
            drop(send);
            for_each_tick(&ticks, threads, &mut |tick| {
                let at = (tick.index + 1) as f64 * TICK_NS as f64 / 1e9;
                watch.tick(at, TICK_NS as f64 / 1e9, tick);
                if !go_on(at, tick) {
                    stop.store(true, Ordering::Relaxed);
                }
            });
            let broken = |_| Error::internal("a thread of the load generator failed");
            workers.into_iter().map(|w| w.join().map_err(broken)?).collect::<Result<Vec<_>>>()
        });
        watch.end();
        let mut recorders = recorders?.into_iter();
        let mut sum = recorders.next().ok_or_else(|| Error::internal("no thread ran"))?;
        recorders.for_each(|other| sum.add(&other));
        Ok(sum)
    }

    fn extent(&self, plan: &Plan) -> Extent {
        let seconds = plan.seconds();
        let grace = self.scenario.limits.p99_ms.unwrap_or(GRACE_MS) / 1e3;
        let window = (seconds / MOST_WINDOWS).ceil().max(1.0);
        let ns = |seconds: f64| (seconds * 1e9) as u64;
        Extent {
            length: ns(seconds),
            window: ns(window),
            in_time: ns(seconds + grace.min(seconds / 10.0)),
        }
    }
}

/// Puts ticks of all threads together and hands them on in order.
fn for_each_tick(ticks: &Receiver<Tick>, threads: usize, act: &mut dyn FnMut(&Tick)) {
    let mut partial: BTreeMap<u64, (usize, Tick)> = BTreeMap::new();
    for tick in ticks {
        let (n, sum) = partial.entry(tick.index).or_insert_with(|| (0, Tick::new(tick.index)));
        sum.add(&tick);
        *n += 1;
        let n_held = partial.len();
        // A thread that stood still has skipped ticks; nobody waits for them.
        let is_over = |n: usize, held: usize| n == threads || held > MOST_HELD_TICKS;
        for held in (1..=n_held).rev() {
            match partial.first_entry().filter(|entry| is_over(entry.get().0, held)) {
                Some(entry) => act(&entry.remove().1),
                None => break,
            }
        }
    }
}

fn added(ticks: &[Tick]) -> Tick {
    let mut sum = Tick::new(0);
    ticks.iter().for_each(|tick| sum.add(tick));
    sum
}
