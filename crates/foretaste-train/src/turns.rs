//! Tasks of unequal length, handed out one at a time.

use std::sync::{Mutex, PoisonError};

/// Lets the threads of the current pool take `tasks` in their order, each the next one as soon as
/// it is free; `init` is called by each thread that takes one. Unlike divided ranges, tasks that
/// grow shorter and shorter let all threads end together.
///
/// # Cost
/// A lock for each task.
pub(crate) fn in_turn<T: Send, S>(
    tasks: impl Iterator<Item = T> + Send,
    init: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) + Sync,
) {
    let tasks = Mutex::new(tasks);
    let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take_turns = || {
        let mut state = None;
        while let Some(task) = next() {
            work(state.get_or_insert_with(&init), task);
        }
    };
    rayon::scope(|scope| {
        (1..rayon::current_num_threads()).for_each(|_| scope.spawn(|_| take_turns()));
        take_turns();
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[test]
    fn every_task_is_done_once_by_threads_with_a_state_each() {
        let (mut done, states) = (vec![0u32; 1_000], AtomicUsize::new(0));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
        let init = || {
            states.fetch_add(1, Relaxed);
            0u32
        };
        pool.install(|| {
            in_turn(done.iter_mut(), init, |n, task| {
                *n += 1;
                *task += 1;
                assert!(*n <= 1_000);
            });
        });
        assert!(done.iter().all(|&n| n == 1));
        assert!((1..=3).contains(&states.load(Relaxed)), "{states:?}");
    }
}
