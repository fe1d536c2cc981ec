//! What searches of vectors cost and find: a scan, and walks through a graph of several breadths.
//!
//! ```text
//! cargo run --release -p foretaste-bundle --example ann -- export BUNDLES CHANNEL DIR
//! cargo run --release -p foretaste-bundle --example ann -- measure DIR
//! ```
//! `export` writes the vectors of a channel of the current bundle and those of 2,000 of its users;
//! `measure` prints one JSON object about such a folder (`items.f32`, `queries.f32`, `shape.json`).
//! Times are processor time of the one thread that searches.
#![allow(clippy::print_stdout)] // the figures are the purpose
#![allow(clippy::unwrap_used)] // a failure ends the measurement

use std::path::Path;

use foretaste_bundle::{
    Bundle, BundleContents, Channel, ChannelModel, ChannelScratch, GraphConfig, LoadedChannel,
    LowRank, Popularity, current, write,
};
use foretaste_core::{BitSet, Csr, Interactions, Item, ItemIdx, Matrix};
use serde_json::{Value, json};

const K: usize = 50;
const N_QUERIES: usize = 2000;
/// Searches that are timed together; the quickest of some rounds counts.
const ROUNDS: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["export", bundles, channel, to] => export(Path::new(bundles), channel, Path::new(to)),
        ["measure", folder] => println!("{}", measure(Path::new(folder))),
        _ => println!("usage: ann export BUNDLES CHANNEL DIR | ann measure DIR"),
    }
}

fn export(bundles: &Path, name: &str, to: &Path) {
    let bundle = Bundle::open(bundles, &current(bundles).unwrap().unwrap()).unwrap();
    let channel = bundle.channels().iter().find(|c| c.name() == name).unwrap();
    let vectors = channel.vectors().unwrap();
    let items: Vec<f32> =
        (0..bundle.n_items()).flat_map(|i| vectors.row(i as ItemIdx)).copied().collect();
    let (mut scratch, mut queries) = (ChannelScratch::default(), Vec::new());
    let step = (bundle.n_users() / N_QUERIES).max(1);
    for user in (0..bundle.n_users()).step_by(step).take(N_QUERIES) {
        let (items, weights, _) = bundle.history(user as u32);
        let past: Vec<_> = items.iter().copied().zip(weights.iter().copied()).collect();
        channel.prepare(&past, &mut scratch);
        queries.extend_from_slice(scratch.vector());
    }
    let n_queries = queries.len() / vectors.dims();
    let shape =
        json!({"n_items": bundle.n_items(), "dims": vectors.dims(), "n_queries": n_queries});
    fs_err::create_dir_all(to).unwrap();
    fs_err::write(to.join("items.f32"), bytemuck::cast_slice(&items)).unwrap();
    fs_err::write(to.join("queries.f32"), bytemuck::cast_slice(&queries)).unwrap();
    fs_err::write(to.join("shape.json"), shape.to_string()).unwrap();
}

fn measure(folder: &Path) -> Value {
    let shape = fs_err::read_to_string(folder.join("shape.json")).unwrap();
    let shape: Value = serde_json::from_str(&shape).unwrap();
    let [n, dims] = ["n_items", "dims"].map(|key| shape[key].as_u64().unwrap() as usize);
    let queries = floats(&folder.join("queries.f32"));
    let items = Matrix::from_data(n, dims, floats(&folder.join("items.f32")));
    let queries: Vec<&[f32]> = queries.chunks_exact(dims).take(N_QUERIES).collect();
    let scanned = opened(items.clone(), usize::MAX);
    let began = process_seconds();
    let walked = opened(items, 0);
    let build_cpu_s = process_seconds() - began;
    let [scan, walk] = [&scanned, &walked].map(|(_, bundle)| &bundle.channels()[0]);
    let truth = truth(scan, n, &queries);
    let of = |channel, ef| searched(channel, n, (&queries, ef), &truth);
    let breadths = [50, 60, 80, 100, 120, 160, 240, 390];
    json!({
        "shape": shape,
        "k": K,
        "scan": of(scan, 0),
        "walks": breadths.map(|ef| of(walk, ef)),
        "graph_cpu_s": build_cpu_s,
        "scan_bytes": scan.vectors().unwrap().index_bytes(),
        "graph_bytes": walk.vectors().unwrap().index_bytes(),
        "exact_rows_bytes": 4 * n * dims,
    })
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = fs_err::read(path).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn opened(items: Matrix, from_bytes: usize) -> (tempfile::TempDir, Bundle) {
    let n = items.n_rows;
    let model = ChannelModel::LowRank(LowRank { items, ..LowRank::default() });
    let contents = BundleContents {
        items: (0..n).map(|i| Item { item_id: i.to_string(), ..Item::default() }).collect(),
        histories: Interactions::untimed(Csr::empty(0, n)),
        popularity: Popularity::zeros(n),
        channels: vec![Channel { name: "only".into(), scale: 1.0, weight: 1.0, model }],
        graphs: GraphConfig { from_bytes, ..GraphConfig::default() },
        ..BundleContents::default()
    };
    let root = tempfile::tempdir().unwrap();
    let id = write(root.path(), &contents).unwrap();
    let bundle = Bundle::open(root.path(), &id).unwrap();
    (root, bundle)
}

/// The true best items of every query.
fn truth(channel: &LoadedChannel, n: usize, queries: &[&[f32]]) -> Vec<Vec<ItemIdx>> {
    let items: Vec<ItemIdx> = (0..n as ItemIdx).collect();
    let (mut scratch, mut scores) = (ChannelScratch::default(), vec![0.0; n]);
    let mut best = |query: &&[f32]| {
        scratch.set_vector(query);
        channel.score(&items, &scratch, &mut scores);
        let mut top = foretaste_core::topk::TopK::new(K);
        scores.iter().enumerate().for_each(|(item, &score)| top.push(item as ItemIdx, score));
        top.drain_sorted().map(|(item, _)| item).collect()
    };
    queries.iter().map(&mut best).collect()
}

fn searched(
    channel: &LoadedChannel,
    n: usize,
    (queries, ef): (&[&[f32]], usize),
    truth: &[Vec<ItemIdx>],
) -> Value {
    let (allowed, mut scratch, mut found) =
        (BitSet::full(n), ChannelScratch::default(), Vec::new());
    let mut search = |query: &[f32]| {
        scratch.set_vector(query);
        channel.search_broadly(&allowed, (K, ef), &mut scratch, &mut found);
        found.clone()
    };
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let began = thread_seconds();
        queries.iter().for_each(|query| drop(std::hint::black_box(search(query))));
        best = best.min(thread_seconds() - began);
    }
    let hits = queries.iter().zip(truth).map(|(query, truth)| {
        search(query).iter().filter(|(item, _)| truth.contains(item)).count()
    });
    let hits: usize = hits.sum();
    let recall = hits as f64 / (K * truth.len()) as f64;
    let qps = (queries.len() as f64 / best).round();
    json!({"ef": ef, "recall": (recall * 1e4).round() / 1e4, "qps": qps})
}

/// Processor time of this thread.
fn thread_seconds() -> f64 {
    let text = fs_err::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() * 1e-9
}

/// Processor time of this process.
fn process_seconds() -> f64 {
    let text = fs_err::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<f64> =
        text.rsplit(')').next().unwrap().split(' ').filter_map(|f| f.parse().ok()).collect();
    (fields[10] + fields[11]) / 100.0
}
