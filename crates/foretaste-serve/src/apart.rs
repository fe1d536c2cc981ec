//! Work that nobody waits for, on a thread that lets those go first who compute answers.

use foretaste_core::{Error, ErrorKind, Result};

/// How far such a thread stands back: a tenth of the weight of others where all want a core, so
/// that it gets on while a server is busy, too.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Does `work` on a thread of its own that stands back, and waits for it.
///
/// # Errors
/// `Exhausted` when the system has no thread to give.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("apart".to_owned());
        let started = thread.spawn_scoped(scope, || {
            stand_back();
            work()
        });
        let started = started.map_err(|e| {
            Error::new(ErrorKind::Exhausted, "a thread beside those of answers").with_source(e)
        })?;
        Ok(started.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
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
        let there = apart(|| getpriority_process(None).unwrap()).unwrap();
        assert_eq!(there, NICENESS.max(before));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[test]
    #[should_panic(expected = "it went wrong")]
    fn a_panic_comes_through() {
        let _ = apart(|| panic!("it went wrong"));
    }
}
