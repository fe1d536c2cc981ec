//! What Ballista writes to its log, in ours: warnings and errors.

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Journal;

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        let (part, said) = (record.target(), record.args());
        match record.level() {
            Level::Error => tracing::error!(part, "{said}"),
            Level::Warn => tracing::warn!(part, "{said}"),
            _ => {}
        }
    }

    fn flush(&self) {}
}

/// Shows warnings of the scheduler and of executors among our own log lines. Only the first call
/// in a process counts.
pub fn keep_journal() {
    if log::set_logger(&Journal).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
