//! How libraries tell about long work without knowing who looks.

/// Receives the progress of one task at a time. Called from any thread.
pub trait Progress: Sync {
    /// A task begins; `total` units when known.
    fn start(&self, task: &str, total: Option<u64>, unit: &str);
    /// `n` more units are done.
    fn advance(&self, n: u64);
    /// The task is over.
    fn finish(&self);
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn start(&self, _task: &str, _total: Option<u64>, _unit: &str) {}
    fn advance(&self, _n: u64) {}
    fn finish(&self) {}
}
