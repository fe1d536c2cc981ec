//! What is used much: in all, lately, and by users who share an attribute.

use std::collections::BTreeMap;

use foretaste_bundle::{Popularity, Segment};
use foretaste_core::topk::TopK;
use foretaste_core::{EventBatch, Interactions, TimeMs, User};
use serde::{Deserialize, Serialize};

use crate::weights::{ABSENT, decay};

const HOUR_DAYS: f32 = 1.0 / 24.0;

/// Sums of event weights per item, without decay and with half-lives of 1 hour, 24 hours and 7
/// days as of `as_of_ms`. `items` numbers the batch's items, [`ABSENT`] for none; `kinds` is the
/// weight per kind of the batch, of which the positive ones count.
///
/// # Units
/// Weights; events without a time count in the total only.
///
/// # Cost
/// O(events), one pass, in f64.
pub fn fit(
    batch: &EventBatch,
    items: &[u32],
    n_items: usize,
    (kinds, as_of_ms): (&[f32], TimeMs),
) -> Popularity {
    let mut sums = vec![[0f64; 4]; n_items];
    for e in 0..batch.len() {
        let (item, weight) = (items[batch.item[e] as usize], kinds[batch.kind[e] as usize]);
        if item == ABSENT || weight <= 0.0 {
            continue;
        }
        let (sums, weight) = (&mut sums[item as usize], f64::from(weight));
        sums[0] += weight;
        if batch.time_ms[e] != 0 {
            for (sum, days) in sums[1..].iter_mut().zip([HOUR_DAYS, 1.0, 7.0]) {
                *sum += weight * decay(batch.time_ms[e], as_of_ms, Some(days));
            }
        }
    }
    let column = |c: usize| sums.iter().map(|s| s[c] as f32).collect();
    Popularity { total: column(0), hour: column(1), day: column(2), week: column(3) }
}

/// Settings of [`segments`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentConfig {
    /// Attribute values of fewer users have no segment.
    pub min_users: usize,
    /// At most this many segments: those of most users.
    pub max_segments: usize,
    /// Items per segment.
    pub items: usize,
}

impl Default for SegmentConfig {
    fn default() -> Self {
        Self { min_users: 20, max_segments: 1000, items: 500 }
    }
}

/// The most used items of the users of each attribute value. `index` gives a user's row in
/// `interactions`.
///
/// # Shapes
/// Segments in order of their keys; items best first.
///
/// # Cost
/// O(attributes x entries of their users), one segment at a time.
pub fn segments<'a>(
    users: impl IntoIterator<Item = &'a User>,
    index: impl Fn(&str) -> Option<u32>,
    interactions: &Interactions,
    config: &SegmentConfig,
) -> Vec<Segment> {
    let mut members: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for user in users {
        let Some(row) = index(&user.user_id) else { continue };
        for (key, value) in &user.attributes {
            members.entry(format!("{key}={value}")).or_default().push(row);
        }
    }
    let mut groups: Vec<(String, Vec<u32>)> =
        members.into_iter().filter(|(_, m)| m.len() >= config.min_users).collect();
    groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
    groups.truncate(config.max_segments);
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    let mut sums = vec![0f64; interactions.matrix.n_cols];
    let segment = |(key, rows): (String, Vec<u32>)| {
        sums.fill(0.0);
        for row in rows {
            let (items, weights, _) = interactions.row(row as usize);
            items.iter().zip(weights).for_each(|(&i, &w)| sums[i as usize] += f64::from(w));
        }
        let mut top = TopK::new(config.items);
        let used = sums.iter().enumerate().filter(|s| *s.1 > 0.0);
        used.for_each(|(i, &s)| top.push(i as u32, s as f32));
        Segment { key, items: top.drain_sorted().collect() }
    };
    groups.into_iter().map(segment).collect()
}

#[cfg(test)]
mod tests {
    use foretaste_core::{Csr, Event};

    use super::*;

    #[test]
    fn each_window_halves_at_its_own_pace() {
        const HOUR: TimeMs = 3_600_000;
        let mut batch = EventBatch::default();
        for (item, time_ms) in [("now", 1000 * HOUR), ("day", 976 * HOUR), ("when", 0)] {
            batch.push(&Event {
                event_id: None,
                user: "u".into(),
                item: item.into(),
                kind: "view".into(),
                value: 1.0,
                time_ms,
                context: None,
            });
        }
        let p = fit(&batch, &[0, 1, 2], 3, (&[2.0], 1000 * HOUR));
        assert_eq!((p.total, p.day), (vec![2.0; 3], vec![2.0, 1.0, 0.0]));
        assert!(p.hour[1] < 1e-6 && (p.week[1] - 2.0 * 0.5f32.powf(1.0 / 7.0)).abs() < 1e-6);
    }

    #[test]
    fn a_segment_lists_what_its_users_use() {
        let matrix = Csr::from_rows(3, [vec![(0, 1.0)], vec![(0, 1.0), (2, 1.0)], vec![(1, 9.0)]]);
        let user = |id: &str, country: &str| User {
            user_id: id.into(),
            attributes: [("country".to_owned(), country.to_owned())].into(),
            created_ms: 0,
        };
        let users = [user("0", "DE"), user("1", "DE"), user("2", "FR"), user("x", "DE")];
        let config = SegmentConfig { min_users: 2, ..Default::default() };
        let found = segments(&users, |id| id.parse().ok(), &Interactions::untimed(matrix), &config);
        let expected = Segment { key: "country=DE".into(), items: vec![(0, 2.0), (2, 1.0)] };
        assert_eq!(found, [expected]);
    }
}
