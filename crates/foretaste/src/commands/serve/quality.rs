//! The last report about the quality of the data, shown in the server's metrics: `quality` and
//! `train` are other processes, so their file is looked at.

use std::sync::Arc;
use std::time::Duration;

use foretaste_serve::Feed;
use tracing::warn;

use crate::quality::Kept;
use crate::quality::metrics::figures;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Shows every new report for as long as the server runs.
pub async fn watch(kept: Kept, feed: Feed) {
    let kept = Arc::new(kept);
    let (mut shown, mut was_readable) = (None, true);
    loop {
        let reader = Arc::clone(&kept);
        let read = tokio::task::spawn_blocking(move || reader.last_report()).await;
        match read {
            Ok(Ok(Some(report))) if shown != Some(report.measured_ms) => {
                feed.quality(&figures(&report));
                (shown, was_readable) = (Some(report.measured_ms), true);
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) if was_readable => {
                warn!(%error, "the last report on quality cannot be read; the one before stays");
                was_readable = false;
            }
            Ok(Err(_)) | Err(_) => {}
        }
        tokio::time::sleep(EVERY).await;
    }
}
