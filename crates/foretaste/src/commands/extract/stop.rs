//! The wish that extraction should end, and waiting that it cuts short.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Shared by whoever asks and whoever ends.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Stop {
    /// One that SIGTERM or Ctrl-C sets.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub fn on_signals() -> Result<Self> {
        let stop = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut terminate = {
            let _inside = runtime.enter();
            signal(SignalKind::terminate()).context("waiting for SIGTERM")?
        };
        let asked = stop.clone();
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
            });
            asked.ask();
        });
        Ok(stop)
    }

    /// Asks for the end.
    pub fn ask(&self) {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.1.notify_all();
    }

    /// Whether somebody has asked.
    pub fn asked(&self) -> bool {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so long, or until somebody asks.
    pub fn wait(&self, time: Duration) {
        let asked = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Poisoned or not, the caller looks at the wish itself.
        let _ = self.shared.1.wait_timeout_while(asked, time, |asked| !*asked);
    }
}
