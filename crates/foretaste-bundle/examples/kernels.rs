//! What inference costs, beside what the machine could do: times of fold-in, int8 scan, item-item
//! and user-user on a made-up catalogue, with the flops or bytes that each must touch.
//!
//! `cargo run --release -p foretaste-bundle --example kernels -- [fold-in|scan|item-item|user-user]`
#![allow(clippy::print_stdout)] // the figures are the purpose
#![allow(clippy::unwrap_used)] // a failure ends the measurement

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use foretaste_bundle::kernels::{axpy, dot_i8, level, padded_len};
use foretaste_bundle::{
    Bundle, BundleContents, Channel, ChannelModel, ChannelScratch, IalsModel, ItemItem, LowRank,
    Popularity, UserUser, write,
};
use foretaste_core::{BitSet, Csr, IdTable, Interactions, Item, ItemIdx, Matrix, Rng};

const N_ITEMS: usize = 41_000;
const N_USERS: usize = 30_000;
const PER_USER: usize = 27;
const K: usize = 500;
const PROPOSED: usize = 300;

fn main() {
    println!("level {:?}, {N_ITEMS} items, {N_USERS} users x {PER_USER}", level());
    let root = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(1);
    let (flops, bytes) = machine();
    println!("reached here: {flops:.0} Gflop/s in f32, {bytes:.0} GB/s of int8 dots from cache\n");
    println!("{:<34} {:>9} {:>9}  what it must do", "median", "us", "bound us");
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    for dims in [64, 128, 256].into_iter().filter(|_| wanted("fold-in")) {
        fold_in(root.path(), dims, flops, &mut rng);
    }
    for dims in [64, 128, 512, 768].into_iter().filter(|_| wanted("scan")) {
        scan(root.path(), dims, bytes, &mut rng);
    }
    if wanted("item-item") {
        sparse(root.path(), &mut rng);
    }
    if wanted("user-user") {
        neighbours(root.path(), &mut rng);
    }
}

/// Median of repeated runs, in us.
fn median(runs: usize, mut work: impl FnMut()) -> f64 {
    (0..runs / 10 + 1).for_each(|_| work());
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}

/// What the kernels reach on data in the first and second level cache: Gflop/s and GB/s.
fn machine() -> (f64, f64) {
    let (x, mut y) = (vec![1.0f32; 1024], vec![0.0f32; 1024]);
    let flops = median(200, || (0..100).for_each(|_| axpy(1e-3, black_box(&x), &mut y)));
    let (query, rows) = (vec![1i8; 512], vec![1i8; 512 * 512]);
    let (sums, mut out) = (vec![512i32; 512], vec![0i32; 512]);
    let scan = median(200, || dot_i8(black_box(&query), &rows, &sums, &mut out));
    (2.0 * 1024.0 * 100.0 / flops / 1e3, rows.len() as f64 / scan / 1e3)
}

fn row(what: &str, us: f64, bound: f64, must: &str) {
    println!("{what:<34} {us:>9.1} {bound:>9.1}  {must}");
}

fn past(n: usize, rng: &mut Rng) -> Vec<(ItemIdx, f32)> {
    let mut items: Vec<ItemIdx> = (0..n).map(|_| rng.below(N_ITEMS) as ItemIdx).collect();
    items.sort_unstable();
    items.dedup();
    items.into_iter().map(|i| (i, 1.0)).collect()
}

fn normal(dims: usize, rng: &mut Rng) -> Matrix {
    let data = (0..N_ITEMS * dims).map(|_| 0.1 * rng.normal() as f32).collect();
    Matrix::from_data(N_ITEMS, dims, data)
}

fn open(root: &Path, model: ChannelModel, histories: Csr) -> Bundle {
    let contents = BundleContents {
        items: (0..N_ITEMS).map(|i| Item { item_id: i.to_string(), ..Item::default() }).collect(),
        users: (0..histories.n_rows()).map(|u| u.to_string()).collect::<IdTable>(),
        histories: Interactions::untimed(histories),
        popularity: Popularity::zeros(N_ITEMS),
        channels: vec![Channel { name: "only".into(), scale: 1.0, weight: 1.0, model }],
        ..BundleContents::default()
    };
    let id = write(root, &contents).unwrap();
    Bundle::open(root, &id).unwrap()
}

fn fold_in(root: &Path, dims: usize, flops: f64, rng: &mut Rng) {
    let items = normal(dims, rng);
    let model = IalsModel { items, alpha: 30.0, reg: 50.0, ..IalsModel::default() };
    let bundle = open(root, ChannelModel::Ials(model), Csr::empty(0, N_ITEMS));
    let (channel, mut scratch) = (&bundle.channels()[0], ChannelScratch::default());
    let past = past(50, rng);
    let us = median(2000, || channel.prepare(black_box(&past), &mut scratch));
    let (n, k) = (past.len() as f64, dims as f64);
    // Above 128 factors conjugate gradients are used, whose number of steps depends on the data.
    let (least, what) = match dims {
        ..=128 => (n * k * k + k * k * k / 3.0, "to build and factor k x k"),
        _ => (2.0 * k * k + 4.0 * n * k, "in each step of conjugate gradients (bound: one step)"),
    };
    let must = format!("{:.2} Mflop {what}", least / 1e6);
    row(&format!("fold-in, {dims} dims, 50 events"), us, least / flops / 1e3, &must);
}

fn scan(root: &Path, dims: usize, bytes: f64, rng: &mut Rng) {
    let model = LowRank { items: normal(dims, rng), ..LowRank::default() };
    let bundle = open(root, ChannelModel::LowRank(model), Csr::empty(0, N_ITEMS));
    let (channel, mut scratch) = (&bundle.channels()[0], ChannelScratch::default());
    channel.prepare(&past(50, rng), &mut scratch);
    let (allowed, mut out) = (BitSet::full(N_ITEMS), Vec::new());
    let us = median(500, || channel.search(&allowed, PROPOSED, &mut scratch, &mut out));
    let touched = (N_ITEMS * padded_len(dims)) as f64;
    let must = format!("{:.1} MB of codes, then {PROPOSED} exact", touched / 1e6);
    row(&format!("int8 search, {dims} dims"), us, touched / bytes / 1e3, &must);
}

fn sparse(root: &Path, rng: &mut Rng) {
    let rows = (0..N_ITEMS)
        .map(|_| (0..K).map(|_| (rng.below(N_ITEMS) as u32, rng.f32())).collect::<Vec<_>>());
    let similar = Csr::from_rows(N_ITEMS, rows.collect::<Vec<_>>());
    let model = ItemItem { similar, history_exponent: 0.0 };
    let bundle = open(root, ChannelModel::ItemItem(model), Csr::empty(0, N_ITEMS));
    let (channel, mut scratch) = (&bundle.channels()[0], ChannelScratch::default());
    // Another user each time: the rows of one and the same would stay in the cache.
    let pasts: Vec<_> = (0..500).map(|_| past(PER_USER, rng)).collect();
    let mut turn = pasts.iter().cycle();
    let us = median(2000, || channel.prepare(turn.next().unwrap(), &mut scratch));
    let adds = (PER_USER * K) as f64;
    row("item-item accumulate, 27 x 500", us, adds / 1e3, "13.5k scattered adds, 1 ns each");
    let (allowed, mut out) = (BitSet::full(N_ITEMS), Vec::new());
    let us = median(2000, || channel.search(&allowed, PROPOSED, &mut scratch, &mut out));
    row("item-item search", us, N_ITEMS as f64 * 4.0 / 30e3, "0.16 MB of sums at 30 GB/s");
}

fn neighbours(root: &Path, rng: &mut Rng) {
    // Popularity falls with the rank, so that some items have many users.
    let item = |rng: &mut Rng| ((rng.f64().powi(3)) * N_ITEMS as f64) as u32;
    let rows = (0..N_USERS).map(|_| (0..PER_USER).map(|_| (item(rng), 1.0)).collect::<Vec<_>>());
    let histories = Csr::from_rows(N_ITEMS, rows.collect::<Vec<_>>());
    let pasts: Vec<Vec<(ItemIdx, f32)>> =
        (0..500).map(|u| histories.row(u).0.iter().map(|&i| (i, 1.0)).collect()).collect();
    let bundle = open(root, ChannelModel::UserUser(UserUser::default()), histories);
    let (channel, mut scratch) = (&bundle.channels()[0], ChannelScratch::default());
    let degrees = |p: &Vec<(ItemIdx, f32)>| -> usize {
        p.iter().map(|&(i, _)| bundle.histories().users_of(i).len()).sum()
    };
    let postings = pasts.iter().map(degrees).sum::<usize>() / pasts.len();
    let adds = (postings + 300 * PER_USER) as f64;
    let mut turn = pasts.iter().cycle();
    let us = median(1000, || channel.prepare(turn.next().unwrap(), &mut scratch));
    let must = format!("{:.1}k scattered adds, 1 ns each", adds / 1e3);
    row("user-user prepare, 300 neighbours", us, adds / 1e3, &must);
}
