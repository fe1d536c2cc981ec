//! A bundle's contents from assembled data and fitted channels: popularity, segments, manifest.

use foretaste_bundle::{BundleContents, Channel, GraphConfig, ManifestHead, Popularity};
use foretaste_core::{Interactions, TimeMs};
use foretaste_train::segments::{SegmentConfig, segments};

use crate::assemble::Assembled;

const HOUR_MS: f64 = 3_600_000.0;

/// Contents with an empty configuration and without figures of quality; the caller completes the
/// manifest.
pub fn of(data: Assembled, channels: Vec<Channel>, graphs: GraphConfig) -> BundleContents {
    let popularity = popularity(&data.interactions, data.window.1);
    let row = |id: &str| data.users.index_of(id);
    let segments = segments(&data.user_records, row, &data.interactions, &SegmentConfig::default());
    let manifest = ManifestHead {
        as_of_ms: data.window.1,
        window: data.window,
        n_events: data.n_events,
        ..ManifestHead::default()
    };
    let Assembled { mut items, users, interactions: histories, .. } = data;
    for item in &mut items {
        item.embedding = None;
    }
    BundleContents { manifest, items, users, histories, popularity, segments, channels, graphs }
}

/// Sums of the entries' weights, whole and decayed by exp(-age / window) as of `as_of_ms`.
/// Entries without a time count in the whole sum only.
pub fn popularity(data: &Interactions, as_of_ms: TimeMs) -> Popularity {
    let mut out = Popularity::zeros(data.matrix.n_cols);
    let entries = data.matrix.indices.iter().zip(&data.matrix.values).zip(&data.last_ms);
    for ((&item, &weight), &time) in entries {
        let at = item as usize;
        out.total[at] += weight;
        if time == 0 {
            continue;
        }
        let age_hours = (as_of_ms - time).max(0) as f64 / HOUR_MS;
        let decayed = |window_hours: f64| weight * (-age_hours / window_hours).exp() as f32;
        out.hour[at] += decayed(1.0);
        out.day[at] += decayed(24.0);
        out.week[at] += decayed(168.0);
    }
    out
}

#[cfg(test)]
mod tests {
    use foretaste_core::Csr;

    use super::*;

    #[test]
    fn popularity_decays_by_window_and_untimed_entries_count_in_total_only() {
        let matrix = Csr::from_rows(3, [vec![(0, 1.0), (1, 2.0)], vec![(0, 1.0), (2, 1.0)]]);
        let hour = HOUR_MS as i64;
        let as_of = 10_000 * hour;
        let data = Interactions {
            matrix,
            last_ms: vec![as_of, as_of - 24 * hour, as_of - hour, 0],
            ..Interactions::default()
        };
        let p = popularity(&data, as_of);
        assert_eq!(p.total, [2.0, 2.0, 1.0]);
        assert!((p.hour[0] - (1.0 + (-1f32).exp())).abs() < 1e-6);
        assert!((p.day[1] - 2.0 * (-1f32).exp()).abs() < 1e-6 && p.hour[1] < 1e-9);
        assert_eq!((p.hour[2], p.week[2]), (0.0, 0.0));
    }
}
