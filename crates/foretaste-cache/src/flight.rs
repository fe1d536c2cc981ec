//! One computation per key at a time: the first task that misses computes, the others wait for
//! what it finds. A task that is dropped in mid-flight hands the duty to one of those who wait.
//! Nobody joins a flight that began before the latest change of anything: its result may be
//! older than what the task already knows.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::key::Key;

const SHARDS: usize = 16;

type Waiting<T> = HashMap<Route, watch::Receiver<Option<T>>>;

/// A key, and the journal's number when the flight began.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) key: Key,
    pub(crate) began: u64,
}

/// Computations in flight, whose results are of type `T`.
pub(crate) struct Flights<T> {
    shards: [Mutex<Waiting<T>>; SHARDS],
    hasher: RandomState,
}

/// What a task that misses has to do.
pub(crate) enum Duty<'a, T> {
    /// Compute, then say the result to the flight.
    Compute(Flight<'a, T>),
    /// Wait; no result means that the computing task was dropped.
    Wait(watch::Receiver<Option<T>>),
}

/// A computation in flight; when dropped without a result, those who wait are woken.
pub(crate) struct Flight<'a, T> {
    flights: &'a Flights<T>,
    route: Route,
    said: watch::Sender<Option<T>>,
}

impl<T: Clone> Flights<T> {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }

    /// Joins the flight of a route, or starts it.
    pub(crate) fn join(&self, route: &Route) -> Duty<'_, T> {
        let mut shard = self.shard(route);
        if let Some(waiting) = shard.get(route) {
            return Duty::Wait(waiting.clone());
        }
        let (said, waiting) = watch::channel(None);
        shard.insert(route.clone(), waiting);
        Duty::Compute(Flight { flights: self, route: route.clone(), said })
    }
}

impl<T> Flights<T> {
    fn shard(&self, route: &Route) -> MutexGuard<'_, Waiting<T>> {
        let at = self.hasher.hash_one(route) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Flight<'_, T> {
    /// Ends the flight with its result.
    pub(crate) fn land(self, result: T) {
        self.said.send_replace(Some(result));
    }
}

impl<T> Drop for Flight<'_, T> {
    fn drop(&mut self) {
        self.flights.shard(&self.route).remove(&self.route);
    }
}

/// The result of a flight, or `None` when it was dropped.
pub(crate) async fn result<T: Clone>(mut waiting: watch::Receiver<Option<T>>) -> Option<T> {
    let landed = waiting.wait_for(Option::is_some).await.ok()?;
    landed.clone()
}
