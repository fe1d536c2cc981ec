//! Times one trainer on a data set in the lists format and prints the quality of its ranking.
//!
//! `cargo run --release -p foretaste-train --example fit -- gowalla item-item cosine 100`
#![allow(clippy::print_stdout)]

use std::time::Instant;

use foretaste_core::Csr;
use foretaste_train::item_item::{self, ItemItemConfig, Weighting};

#[path = "../tests/support/mod.rs"]
mod support;

use support::{Split, add_similar, quality};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [data, model, rest @ ..] = &args[..] else {
        println!("usage: fit DATA item-item|user-user|ials|spectral|svd|ease|local-ease [NUMBER]...");
        return;
    };
    let threads = std::env::var_os("THREADS").and_then(|t| t.to_str()?.parse().ok()).unwrap_or(2);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let Some(split) = support::load(data) else { return };
    let numbers: Vec<f32> = rest.iter().filter_map(|t| t.parse().ok()).collect();
    let words: Vec<&str> =
        rest.iter().map(String::as_str).filter(|t| t.parse::<f32>().is_err()).collect();
    let at = |i: usize, default: f32| numbers.get(i).copied().unwrap_or(default);
    pool.install(|| match model.as_str() {
        "item-item" => item_item(&split, words.first().copied(), &at),
        other => println!("no model {other}"),
    });
}

fn timed<T>(what: &str, mut f: impl FnMut() -> T) -> T {
    let mut best = f64::INFINITY;
    for _ in 0..2 {
        let start = Instant::now();
        f();
        best = best.min(start.elapsed().as_secs_f64());
    }
    let start = Instant::now();
    let result = f();
    println!("{what}: {:.3} s", best.min(start.elapsed().as_secs_f64()));
    result
}

fn show(name: &str, (recall, ndcg): (f64, f64)) {
    println!("{name}: Recall@20 {recall:.4} NDCG@20 {ndcg:.4}");
}

fn similar_quality(name: &str, split: &Split, similar: &Csr) {
    show(name, quality(split, 1, |u, scores| add_similar(&split.train, similar, u, scores)));
}

fn item_item(split: &Split, weighting: Option<&str>, at: &dyn Fn(usize, f32) -> f32) {
    let weighting = match weighting {
        Some("cosine") => Weighting::Cosine,
        Some("cooccurrence") => Weighting::Cooccurrence,
        Some("rp3beta") => Weighting::Rp3Beta { alpha: at(1, 1.0), beta: at(2, 0.5) },
        _ => Weighting::Normalised {
            a_user: at(1, 0.7),
            p_source: at(2, 0.6),
            q_target: at(3, 0.3),
        },
    };
    let config = ItemItemConfig { weighting, k: at(0, 100.0) as usize, ..Default::default() };
    let similar = timed("item-item", || item_item::fit(&split.train, &config));
    similar_quality(&format!("{config:?}"), split, &similar);
}
