//! What searches of vectors cost and find: a scan, and walks through a graph of several breadths.
//!
//! ```text
//! cargo run --release -p foretaste-bundle --example ann -- export BUNDLES CHANNEL DIR
//! cargo run --release -p foretaste-bundle --example ann -- build DIR BUNDLES
//! cargo run --release -p foretaste-bundle --example ann -- recall DIR BUNDLES
//! cargo run --release -p foretaste-bundle --example ann -- time DIR BUNDLES [BREADTH...]
//! ```
//! `export` writes the vectors of a channel of the current bundle and those of 2,000 of its users
//! (`items.f32`, `queries.f32`, `shape.json`); `build` makes a bundle with a graph of such a folder.
//! `recall` looks for the least breadth with a recall of 0.95, `time` measures searches at some
//! breadths, 0 for a scan. Each prints one JSON object. Times are processor time.
#![allow(clippy::print_stdout)] // the figures are the purpose
#![allow(clippy::unwrap_used)] // a failure ends the measurement

use std::path::Path;
use std::time::Instant;

use foretaste_bundle::{
    Bundle, BundleContents, Channel, ChannelModel, ChannelScratch, GraphConfig, LoadedChannel,
    LowRank, Popularity, current, list, write,
};
use foretaste_core::{BitSet, Csr, Interactions, Item, ItemIdx, Matrix};
use serde_json::{Value, json};

const K: usize = 50;
const N_QUERIES: usize = 2000;
/// Searches that are timed together; the quickest of some rounds counts.
const ROUNDS: usize = 3;
/// Breadths that are tried, and the recall that is enough.
const BREADTHS: [usize; 25] = [
    10, 15, 20, 25, 30, 35, 40, 50, 60, 70, 80, 90, 100, 120, 140, 160, 200, 240, 300, 390, 500,
    600, 800, 1000, 1600,
];
const ENOUGH: f64 = 0.95;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["export", bundles, channel, to] => export(Path::new(bundles), channel, Path::new(to)),
        ["build", folder, bundles] => {
            println!("{}", build(Path::new(folder), Path::new(bundles)));
        }
        ["recall", folder, bundles] => println!("{}", recalls(&Searches::open(folder, bundles))),
        ["time", folder, bundles, breadths @ ..] => {
            let breadths = breadths.iter().map(|breadth| breadth.parse().unwrap());
            println!("{}", times(&Searches::open(folder, bundles), breadths.collect()));
        }
        _ => println!("usage: ann export|build|recall|time, see the top of the source"),
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

/// Vectors of items and of users, and a bundle with the items.
struct Searches {
    bundle: Bundle,
    queries: Vec<f32>,
}

impl Searches {
    fn open(folder: &str, bundles: &str) -> Self {
        let bundles = Path::new(bundles);
        let bundle = Bundle::open(bundles, &list(bundles).unwrap()[0]).unwrap();
        Self { bundle, queries: floats(&Path::new(folder).join("queries.f32")) }
    }

    fn channel(&self) -> &LoadedChannel {
        &self.bundle.channels()[0]
    }

    fn queries(&self) -> impl Iterator<Item = &[f32]> {
        self.queries.chunks_exact(self.channel().vectors().unwrap().dims()).take(N_QUERIES)
    }

    /// A breadth of 0 means a scan: no walk is broader than the catalogue.
    fn search(&self, query: &[f32], ef: usize, memory: &mut Memory) {
        let ef = if ef == 0 { self.bundle.n_items() } else { ef };
        memory.scratch.set_vector(query);
        let Memory { allowed, scratch, found } = memory;
        self.channel().search_broadly(allowed, (K, ef), scratch, found);
    }

    fn memory(&self) -> Memory {
        let allowed = BitSet::full(self.bundle.n_items());
        Memory { allowed, scratch: ChannelScratch::default(), found: Vec::new() }
    }
}

struct Memory {
    allowed: BitSet,
    scratch: ChannelScratch,
    found: Vec<(ItemIdx, f32)>,
}

fn build(folder: &Path, bundles: &Path) -> Value {
    let shape = fs_err::read_to_string(folder.join("shape.json")).unwrap();
    let shape: Value = serde_json::from_str(&shape).unwrap();
    let [n, dims] = ["n_items", "dims"].map(|key| shape[key].as_u64().unwrap() as usize);
    let items = Matrix::from_data(n, dims, floats(&folder.join("items.f32")));
    let (began, began_cpu) = (Instant::now(), process_seconds());
    let bundle = written(items, bundles);
    let (wall, cpu) = (began.elapsed().as_secs_f64(), process_seconds() - began_cpu);
    let vectors = bundle.channels()[0].vectors().unwrap();
    json!({
        "build_cpu_s": rounded(cpu, 10.0),
        "build_s": rounded(wall, 10.0),
        "bytes": vectors.index_bytes(),
        "exact_rows_bytes": 4 * n * dims,
    })
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = fs_err::read(path).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// A bundle with one channel of these vectors and their graph.
fn written(items: Matrix, bundles: &Path) -> Bundle {
    let n = items.n_rows;
    let model = ChannelModel::LowRank(LowRank { items, ..LowRank::default() });
    let contents = BundleContents {
        items: (0..n).map(|i| Item { item_id: i.to_string(), ..Item::default() }).collect(),
        histories: Interactions::untimed(Csr::empty(0, n)),
        popularity: Popularity::zeros(n),
        channels: vec![Channel { name: "only".into(), scale: 1.0, weight: 1.0, model }],
        graphs: GraphConfig { from_bytes: 0, ..GraphConfig::default() },
        ..BundleContents::default()
    };
    let id = write(bundles, &contents).unwrap();
    Bundle::open(bundles, &id).unwrap()
}

/// The true best items of every query.
fn truth(searches: &Searches) -> Vec<Vec<ItemIdx>> {
    let n = searches.bundle.n_items();
    let items: Vec<ItemIdx> = (0..n as ItemIdx).collect();
    let (mut scratch, mut scores) = (ChannelScratch::default(), vec![0.0; n]);
    let mut best = |query: &[f32]| {
        scratch.set_vector(query);
        searches.channel().score(&items, &scratch, &mut scores);
        let mut top = foretaste_core::topk::TopK::new(K);
        scores.iter().enumerate().for_each(|(item, &score)| top.push(item as ItemIdx, score));
        top.drain_sorted().map(|(item, _)| item).collect()
    };
    searches.queries().map(&mut best).collect()
}

/// Recalls at growing breadths, up to the first that is enough, and that of the scan.
fn recalls(searches: &Searches) -> Value {
    let (truth, mut memory, mut recalls) = (truth(searches), searches.memory(), Vec::new());
    let mut recall = |ef: usize| {
        let hits = searches.queries().zip(&truth).map(|(query, truth)| {
            searches.search(query, ef, &mut memory);
            memory.found.iter().filter(|(item, _)| truth.contains(item)).count()
        });
        hits.sum::<usize>() as f64 / (K * truth.len()) as f64
    };
    for ef in BREADTHS {
        let found = recall(ef);
        recalls.push(json!([ef, rounded(found, 1e4)]));
        if found >= ENOUGH {
            break;
        }
    }
    json!({"recalls": recalls, "scan_recall": rounded(recall(0), 1e4)})
}

fn times(searches: &Searches, breadths: Vec<usize>) -> Value {
    let mut memory = searches.memory();
    let mut qps = |ef: usize| {
        let mut round = || {
            let began = thread_seconds();
            searches.queries().for_each(|query| {
                searches.search(query, ef, &mut memory);
                std::hint::black_box(&memory.found);
            });
            thread_seconds() - began
        };
        let best = (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min);
        (searches.queries().count() as f64 / best).round()
    };
    let of = breadths.into_iter().map(|ef| (ef.to_string(), json!(qps(ef))));
    Value::Object(of.collect())
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
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
