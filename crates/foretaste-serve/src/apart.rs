//! Work that nobody waits for, on threads that let those go first who compute answers.

use foretaste_core::{Error, ErrorKind, Result};

/// How far threads stand back that have to get on while a server is busy, too: a tenth of the
/// weight of others where all want a core.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Does `work` on threads of its own that stand back, and waits for it. What it divides among
/// threads, it divides among these.
///
/// # Errors
/// `Exhausted` when the system has no thread to give.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    on_threads_that(stand_back, work)
}

/// As [`apart`], on threads that get a core only while nobody else wants it and lose it at once to
/// whoever does. A thread that merely stands back keeps a core for up to some milliseconds, which
/// waits of less than one would show. On a machine without an idle moment such work gets nowhere:
/// it has to give up by itself.
///
/// # Errors
/// As [`apart`].
pub(crate) fn at_leisure<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    on_threads_that(step_aside, work)
}

fn on_threads_that<T: Send>(prepare: fn(), work: impl FnOnce() -> T + Send) -> Result<T> {
    let threads = rayon::ThreadPoolBuilder::new()
        .thread_name(|n| format!("apart-{n}"))
        .start_handler(move |_| prepare())
        .build();
    let threads = threads.map_err(|e| {
        Error::new(ErrorKind::Exhausted, "threads beside those of answers").with_source(e)
    })?;
    Ok(threads.install(work))
}

/// On Linux niceness is a thread's; elsewhere it is the process's.
#[cfg(target_os = "linux")]
fn stand_back() {
    use rustix::process::{getpriority_process, setpriority_process};

    let present = getpriority_process(None);
    let set = present.and_then(|present| setpriority_process(None, present.max(NICENESS)));
    if let Err(error) = set {
        tracing::debug!(%error, "a thread does not stand back");
    }
}

/// Linux has a policy for that, `SCHED_IDLE`, which needs no right and which a thread without
/// rights cannot leave again.
#[cfg(target_os = "linux")]
fn step_aside() {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };

    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) =
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
    {
        tracing::debug!(?error, "a thread does not step aside");
        stand_back();
    }
}

#[cfg(not(target_os = "linux"))]
fn stand_back() {}

#[cfg(not(target_os = "linux"))]
fn step_aside() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy,
    };

    use super::*;

    #[test]
    fn whoever_works_apart_stands_back_and_nobody_else() {
        let before = getpriority_process(None).unwrap();
        let niceness = || getpriority_process(None).unwrap();
        let there = apart(|| [niceness(), rayon::join(niceness, niceness).1]).unwrap();
        assert_eq!(there, [NICENESS.max(before); 2]);
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn whoever_works_at_leisure_is_idle_to_the_scheduler_and_nobody_else() {
        let policy = || thread_schedule_policy().unwrap();
        let before = policy();
        let there = at_leisure(|| [policy(), rayon::join(policy, policy).1]).unwrap();
        assert_eq!(there, [ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle); 2]);
        assert_eq!(policy(), before);
    }

    #[test]
    #[should_panic(expected = "it went wrong")]
    fn a_panic_comes_through() {
        let _ = apart(|| panic!("it went wrong"));
    }
}
