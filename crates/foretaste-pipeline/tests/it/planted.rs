//! Bundles with known structure: items and users in groups, and one channel of each kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use foretaste_bundle::{
    Bundle, BundleContents, Channel, ChannelModel, IalsModel, ItemItem, LowRank, Popularity,
    Segment, UserUser,
};
use foretaste_core::{Csr, Interactions, Item, ItemIdx, Matrix, Rng, planted};
use foretaste_pipeline::{
    AttributeIs, ChannelConfig, FilterExpr, HistoryEntry, PriceRange, Query, Scene, SceneConfig,
    Snapshot,
};

/// "Now" of all tests; the catalogue is up to 100 days old.
pub const NOW: i64 = 1_700_000_000_000;
pub const DAY: i64 = 24 * 3600 * 1000;
pub const GROUPS: usize = 4;

/// Contents of a bundle with `n_items` items in [`GROUPS`] groups (item i is of group i % 4).
pub fn contents(n_items: usize, seed: u64) -> BundleContents {
    let mut rng = Rng::new(seed);
    let n_users = 24;
    let likes = planted::groups((n_users, n_items, GROUPS), (0.5, 0.03), seed);
    let popularity: Vec<f32> = likes.col_counts().iter().map(|&c| c as f32).collect();
    let quiet = |v: &f32| if *v > 3.0 { *v } else { 0.0 };
    BundleContents {
        items: (0..n_items).map(|i| item(i, &mut rng)).collect(),
        users: (0..n_users).map(|u| format!("u{u}")).collect(),
        popularity: Popularity {
            hour: vec![0.0; n_items],
            day: popularity.iter().map(quiet).collect(),
            week: popularity.clone(),
            total: popularity,
        },
        segments: ["country=DE", "plan=pro"].map(|key| segment(key, n_items, &mut rng)).to_vec(),
        channels: channels(&likes, &mut rng),
        histories: Interactions::untimed(likes),
        ..BundleContents::default()
    }
}

fn item(i: usize, rng: &mut Rng) -> Item {
    let group = i % GROUPS;
    let known = rng.below(5) > 0;
    Item {
        item_id: format!("item-{i}"),
        title: format!("Item {i}"),
        categories: vec![format!("top{}", group % 2), format!("leaf{group}")],
        tags: (0..rng.below(3)).map(|_| format!("tag{}", rng.below(6))).collect(),
        price: known.then(|| rng.below(100) as f64),
        attributes: BTreeMap::from([("seller".to_owned(), format!("s{}", rng.below(5)))]),
        created_ms: if known { NOW - rng.below(100) as i64 * DAY } else { 0 },
        hidden: rng.below(20) == 0,
        ..Item::default()
    }
}

fn segment(key: &str, n_items: usize, rng: &mut Rng) -> Segment {
    let mut items: Vec<ItemIdx> = (0..n_items as ItemIdx).collect();
    rng.shuffle(&mut items);
    items.truncate(10);
    let best_first = |(at, i): (usize, ItemIdx)| (i, 20.0 - at as f32);
    Segment { key: key.to_owned(), items: items.into_iter().enumerate().map(best_first).collect() }
}

fn channels(likes: &Csr, rng: &mut Rng) -> Vec<Channel> {
    let similar = || ItemItem { similar: cooccurrence(likes), history_exponent: 0.0 };
    let mut factors = || group_factors(likes.n_cols, rng);
    let low_rank = LowRank { items: factors(), ..LowRank::default() };
    let ials = IalsModel { items: factors(), alpha: 10.0, reg: 1.0, ..IalsModel::default() };
    let channel =
        |name: &str, scale, weight, model| Channel { name: name.to_owned(), scale, weight, model };
    vec![
        channel("item_item", 2.0, 1.0, ChannelModel::ItemItem(similar())),
        channel("spectral", 1.5, 0.7, ChannelModel::LowRank(low_rank)),
        channel("ials", 0.5, 0.4, ChannelModel::Ials(ials)),
        channel("content", 1.0, 0.2, ChannelModel::Content(similar())),
        channel("user_user", 1.0, 0.3, ChannelModel::UserUser(UserUser::default())),
    ]
}

/// How many users like both items, the 12 largest of each row.
pub fn cooccurrence(likes: &Csr) -> Csr {
    let of_item = likes.transpose();
    let rows = (0..likes.n_cols).map(|i| {
        let mut sums = vec![0.0f32; likes.n_cols];
        for &user in of_item.row(i).0 {
            likes.row(user as usize).0.iter().for_each(|&j| sums[j as usize] += 1.0);
        }
        let mut row: Vec<(u32, f32)> = (0..likes.n_cols as u32)
            .map(|j| (j, sums[j as usize]))
            .filter(|&(j, s)| s > 0.0 && j as usize != i)
            .collect();
        row.sort_by(foretaste_core::topk::by_rank);
        row.truncate(12);
        row
    });
    Csr::from_rows(likes.n_cols, rows.collect::<Vec<_>>())
}

/// One factor per group, with noise.
fn group_factors(n_items: usize, rng: &mut Rng) -> Matrix {
    let mut matrix = Matrix::zeros(n_items, GROUPS);
    for i in 0..n_items {
        for (g, value) in matrix.row_mut(i).iter_mut().enumerate() {
            *value = f32::from(u8::from(g == i % GROUPS)) + 0.2 * (rng.f32() - 0.5);
        }
    }
    matrix
}

/// Writes the contents, opens what was written, and takes the first snapshot of it.
pub fn snapshot(contents: &BundleContents) -> Snapshot {
    let root = tempfile::tempdir().expect("a temporary folder");
    let id = foretaste_bundle::write(root.path(), contents).expect("planted contents are valid");
    Snapshot::new(Arc::new(Bundle::open(root.path(), &id).expect("it was just written")))
}

/// The usual planted world.
pub fn world(n_items: usize, seed: u64) -> Snapshot {
    snapshot(&contents(n_items, seed))
}

/// A checked scene.
pub fn scene(config: SceneConfig) -> Scene {
    config.resolve("test").expect("the configuration is valid")
}

/// A scene of exactly these channels with these weights.
pub fn only(weights: &[(&str, f32)]) -> SceneConfig {
    let channel = |&(name, w): &(&str, f32)| {
        (name.to_owned(), ChannelConfig { weight: Some(w), quota: 0, ..Default::default() })
    };
    SceneConfig {
        channels: weights.iter().map(channel).collect(),
        bundle_channels: false,
        ..SceneConfig::default()
    }
}

/// A request with a past of these items.
pub fn asking(items: &[ItemIdx], k: usize) -> Query {
    let entry = |&item: &ItemIdx| HistoryEntry { item, weight: 1.0, time_ms: NOW - DAY };
    let history = items.iter().map(entry).collect();
    Query { history, k, now_ms: NOW, want_reasons: true, ..Query::default() }
}

/// A request of any shape.
pub fn random_query(n_items: usize, rng: &mut Rng) -> Query {
    let some = |rng: &mut Rng, most: usize| -> Vec<ItemIdx> {
        (0..rng.below(most)).map(|_| rng.below(n_items + 3) as ItemIdx).collect()
    };
    let past = if rng.below(4) > 0 { some(rng, 12) } else { Vec::new() };
    let mut query = asking(&past, 1 + rng.below(30));
    query.session = if rng.below(2) > 0 { some(rng, 4) } else { Vec::new() };
    query.attributes = if rng.below(2) > 0 { vec!["country=DE".into()] } else { Vec::new() };
    query.seen = some(rng, 10);
    query.owned = some(rng, 10);
    query.exclude = some(rng, 10);
    query.filter = (rng.below(2) > 0).then(|| random_filter(rng, 3));
    query
}

/// A filter expression of any shape.
pub fn random_filter(rng: &mut Rng, depth: usize) -> FilterExpr {
    let parts = |rng: &mut Rng| (0..rng.below(3)).map(|_| random_filter(rng, depth - 1)).collect();
    match rng.below(if depth > 1 { 8 } else { 5 }) {
        0 => FilterExpr::Category(format!("leaf{}", rng.below(GROUPS + 1))),
        1 => FilterExpr::Tag(format!("tag{}", rng.below(7))),
        2 => FilterExpr::Attribute(AttributeIs {
            key: "seller".to_owned(),
            value: format!("s{}", rng.below(6)),
        }),
        3 => FilterExpr::Price(PriceRange { min: Some(rng.below(50) as f64), max: None }),
        4 => FilterExpr::CreatedAfterMs(NOW - rng.below(100) as i64 * DAY),
        5 => FilterExpr::And(parts(rng)),
        6 => FilterExpr::Or(parts(rng)),
        _ => FilterExpr::Not(Box::new(random_filter(rng, depth - 1))),
    }
}
