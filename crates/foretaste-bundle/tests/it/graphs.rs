//! Searches through a graph, beside the exact answer, under masks of all kinds.

use std::sync::OnceLock;

use foretaste_bundle::{
    Bundle, BundleContents, Channel, ChannelModel, ChannelScratch, GraphChoice, GraphConfig,
    LoadedChannel, LowRank, Popularity, list, write,
};
use foretaste_core::{
    BitSet, Csr, IdTable, Interactions, Item, ItemIdx, Matrix, Rng, topk::by_rank,
};

use crate::planted;

pub const N_ITEMS: usize = 20_000;
const DIMS: usize = 24;
const GROUPS: usize = 50;
/// Breadth at which a walk costs less than a scan even of this small catalogue.
pub const EF: usize = 60;

/// Items in groups that touch, as factors are, with lengths that differ; item `i` is of group `i % GROUPS`.
fn contents() -> BundleContents {
    let mut rng = Rng::new(5);
    let centres: Vec<f32> = (0..GROUPS * DIMS).map(|_| rng.normal() as f32).collect();
    let mut data = Vec::with_capacity(N_ITEMS * DIMS);
    for i in 0..N_ITEMS {
        let length = (0.3 * rng.normal()).exp() as f32;
        let centre = &centres[i % GROUPS * DIMS..][..DIMS];
        data.extend(centre.iter().map(|c| length * (c + 0.5 * rng.normal() as f32)));
    }
    let items = Matrix::from_data(N_ITEMS, DIMS, data);
    let model = ChannelModel::LowRank(LowRank { items, ..LowRank::default() });
    BundleContents {
        items: (0..N_ITEMS).map(|i| Item { item_id: i.to_string(), ..Item::default() }).collect(),
        users: IdTable::default(),
        histories: Interactions::untimed(Csr::empty(0, N_ITEMS)),
        popularity: Popularity::zeros(N_ITEMS),
        channels: vec![Channel { name: "only".into(), scale: 1.0, weight: 1.0, model }],
        graphs: GraphConfig { from_bytes: 1 << 20, ..GraphConfig::default() },
        ..BundleContents::default()
    }
}

pub fn bundle() -> &'static Bundle {
    static BUNDLE: OnceLock<(tempfile::TempDir, Bundle)> = OnceLock::new();
    let opened = || {
        let root = tempfile::tempdir().unwrap();
        let id = write(root.path(), &contents()).unwrap();
        let bundle = Bundle::open(root.path(), &id).unwrap();
        (root, bundle)
    };
    &BUNDLE.get_or_init(opened).1
}

pub fn users() -> Vec<Vec<(ItemIdx, f32)>> {
    let mut rng = Rng::new(6);
    let mut user = || {
        let interests = [rng.below(GROUPS), rng.below(GROUPS)];
        let mut item = |at: usize| interests[at % 2] + GROUPS * rng.below(N_ITEMS / GROUPS);
        (0..8).map(|at| (item(at) as ItemIdx, 1.0)).collect()
    };
    (0..40).map(|_| user()).collect()
}

/// The true best `n` of `allowed` for the prepared user.
pub fn exact(
    channel: &LoadedChannel,
    allowed: &BitSet,
    n: usize,
    scratch: &ChannelScratch,
) -> Vec<(ItemIdx, f32)> {
    let items: Vec<ItemIdx> = allowed.iter().collect();
    let mut scores = vec![0.0; items.len()];
    channel.score(&items, scratch, &mut scores);
    let mut all: Vec<_> = items.into_iter().zip(scores).collect();
    all.sort_by(by_rank);
    all.truncate(n);
    all
}

/// Mean share of the true best `n` that searches find. Each search must give allowed items only, as
/// many as there are up to `n`, with their exact scores, in order.
fn recall(allowed: &BitSet, n: usize) -> f64 {
    let (channel, mut scratch) = (&bundle().channels()[0], ChannelScratch::default());
    let (mut hits, mut wanted, mut found) = (0, 0, Vec::new());
    for history in users() {
        channel.prepare(&history, &mut scratch);
        channel.search_broadly(allowed, (n, EF), &mut scratch, &mut found);
        let best = exact(channel, allowed, n, &scratch);
        assert_eq!(found.len(), best.len(), "as many as there are");
        let mut scores = vec![0.0; found.len()];
        let items: Vec<ItemIdx> = found.iter().map(|&(item, _)| item).collect();
        channel.score(&items, &scratch, &mut scores);
        for (at, &(item, score)) in found.iter().enumerate() {
            assert!(allowed.contains(item), "item {item} is not allowed");
            assert_eq!(score, scores[at], "the exact score");
        }
        assert!(found.windows(2).all(|w| by_rank(&w[0], &w[1]).is_lt()), "in order and distinct");
        hits += best.iter().filter(|(item, _)| items.contains(item)).count();
        wanted += best.len();
    }
    hits as f64 / wanted.max(1) as f64
}

/// Every item with the same chance.
fn random_mask(share: f64) -> BitSet {
    let mut rng = Rng::new(7);
    let mut mask = BitSet::empty(N_ITEMS);
    (0..N_ITEMS as u32).filter(|_| rng.f64() < share).for_each(|i| mask.insert(i));
    mask
}

#[test]
fn a_walk_finds_nearly_what_a_scan_finds_at_every_selectivity() {
    assert!(bundle().channels()[0].vectors().unwrap().has_graph());
    let whole = recall(&BitSet::full(N_ITEMS), 10);
    assert!((0.9..1.0).contains(&whole), "recall {whole}: 1 would mean that nothing was walked");
    for share in [0.9, 0.7, 0.3, 0.1, 0.01, 0.001] {
        let found = recall(&random_mask(share), 10);
        assert!(found > 0.9, "{share} allowed: recall {found}");
    }
}

#[test]
fn few_allowed_items_are_searched_exactly() {
    for mask in [random_mask(0.02), random_mask(0.0005), BitSet::empty(N_ITEMS)] {
        let found = recall(&mask, 10);
        assert!(found > 0.999 || mask.count() == 0, "{} allowed: {found}", mask.count());
    }
}

#[test]
fn as_many_as_exist_are_found_wherever_they_are() {
    // Groups far away from most users, and the very items that walks begin with taken out.
    for group in [0, 17] {
        let mut far = BitSet::empty(N_ITEMS);
        (0..N_ITEMS as u32).filter(|i| *i as usize % GROUPS == group).for_each(|i| far.insert(i));
        recall(&far, 300);
        let mut rest = BitSet::full(N_ITEMS);
        rest.subtract(&far);
        assert!(recall(&rest, 10) > 0.9);
    }
    recall(&BitSet::full(N_ITEMS), 5000);
}

#[test]
fn what_was_seen_leaves_room_for_what_was_not() {
    let (channel, mut scratch) = (&bundle().channels()[0], ChannelScratch::default());
    let (mut found, mut hits) = (Vec::new(), 0);
    for history in users() {
        channel.prepare(&history, &mut scratch);
        let mut allowed = BitSet::full(N_ITEMS);
        // The best of all are what the user has seen, as it is in life.
        let seen = exact(channel, &allowed, 40, &scratch);
        seen.iter().for_each(|&(item, _)| assert!(allowed.remove(item)));
        channel.search_broadly(&allowed, (10, EF), &mut scratch, &mut found);
        let best = exact(channel, &allowed, 10, &scratch);
        hits += best.iter().filter(|(item, _)| found.iter().any(|(i, _)| i == item)).count();
    }
    assert!(hits > 360, "{hits} of 400");
}

#[test]
fn breadth_buys_recall() {
    let (channel, mut scratch) = (&bundle().channels()[0], ChannelScratch::default());
    let allowed = BitSet::full(N_ITEMS);
    let mut hits_at = |ef: usize| {
        let (mut found, mut hits) = (Vec::new(), 0);
        for history in users() {
            channel.prepare(&history, &mut scratch);
            channel.search_broadly(&allowed, (10, ef), &mut scratch, &mut found);
            let best = exact(channel, &allowed, 10, &scratch);
            hits += best.iter().filter(|b| found.iter().any(|f| f.0 == b.0)).count();
        }
        hits
    };
    let (narrow, broad) = (hits_at(12), hits_at(80));
    assert!(narrow < broad, "{narrow} hits, {broad} with more breadth");
}

#[test]
fn the_same_vectors_give_the_same_graph_on_any_number_of_threads() {
    let write_with = |n_threads: usize| {
        let root = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| write(root.path(), &contents())).unwrap();
        list(root.path()).unwrap()
    };
    assert_eq!(write_with(1), write_with(3), "the id is a digest of all files");
}

#[test]
fn small_catalogues_have_no_graph_and_large_ones_are_not_packed() {
    let small = BundleContents { graphs: GraphConfig::default(), ..contents() };
    let root = tempfile::tempdir().unwrap();
    let id = write(root.path(), &small).unwrap();
    let opened = Bundle::open(root.path(), &id).unwrap();
    let channel = &opened.channels()[0];
    assert!(!channel.vectors().unwrap().has_graph() && channel.packed().is_some());
    let channel = &bundle().channels()[0];
    assert!(channel.packed().is_none(), "a search of many would not give a walk's answer");
    let links_bytes = channel.vectors().unwrap().index_bytes() - N_ITEMS * 64;
    assert!((N_ITEMS * 192..N_ITEMS * 204).contains(&links_bytes), "{links_bytes}");
}

#[test]
fn a_graph_is_built_always_or_never_where_that_is_said() {
    for (build, expected) in [(GraphChoice::Always, true), (GraphChoice::Never, false)] {
        let graphs = GraphConfig { build, from_bytes: 1, ..GraphConfig::default() };
        let root = tempfile::tempdir().unwrap();
        let id = write(root.path(), &BundleContents { graphs, ..planted::contents(1) }).unwrap();
        let opened = Bundle::open(root.path(), &id).unwrap();
        let mut vectors = opened.channels().iter().filter_map(LoadedChannel::vectors);
        assert!(vectors.all(|vectors| vectors.has_graph() == expected), "{build:?}");
    }
}

#[test]
fn impossible_settings_are_refused() {
    for (links, ef_construction) in [(1, 200), (65, 200), (16, 0)] {
        let graphs = GraphConfig { links, ef_construction, ..GraphConfig::default() };
        let contents = BundleContents { graphs, ..contents() };
        assert!(contents.check().is_err(), "{links} {ef_construction}");
    }
}
