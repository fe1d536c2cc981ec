//! What users who share an attribute like.

use std::collections::BTreeMap;

use foretaste_bundle::Segment;
use foretaste_core::topk::TopK;
use foretaste_core::{Interactions, User};
use serde::{Deserialize, Serialize};

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
    use foretaste_core::Csr;

    use super::*;

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
