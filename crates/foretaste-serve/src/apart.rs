//! Work that nobody waits for, on threads that let those go first who compute answers.

use foretaste_core::{Error, ErrorKind, Result};

/// How far such threads stand back: a tenth of the weight of others where all want a core, so that
/// they get on while a server is busy, too.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Does `work` on threads of its own that stand back, and waits for it. What it divides among
/// threads, it divides among these.
///
/// # Errors
/// `Exhausted` when the system has no thread to give.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    let threads = rayon::ThreadPoolBuilder::new()
        .thread_name(|n| format!("apart-{n}"))
        .start_handler(|_| stand_back())
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

#[cfg(not(target_os = "linux"))]
fn stand_back() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

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
    #[should_panic(expected = "it went wrong")]
    fn a_panic_comes_through() {
        let _ = apart(|| panic!("it went wrong"));
    }
}
