//! Times one trainer on a data set in the lists format and prints the quality of its ranking.
//!
//! `cargo run --release -p foretaste-train --example fit -- gowalla item-item cosine 100`
#![allow(clippy::print_stdout)]

use std::time::Instant;

use foretaste_core::{Csr, NoProgress};
use foretaste_train::ease::{self, EaseConfig};
use foretaste_train::ials::{self, IalsConfig, Solver};
use foretaste_train::item_item::{self, ItemItemConfig, Weighting};
use foretaste_train::local_ease;
use foretaste_train::spectral::{self, SpectralConfig};

#[path = "../tests/support/mod.rs"]
mod support;

use support::{Split, add_products, add_similar, quality};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [data, model, rest @ ..] = &args[..] else {
        println!(
            "usage: fit DATA item-item|user-user|ials|spectral|svd|ease|local-ease [NUMBER]..."
        );
        return;
    };
    let threads = std::env::var_os("THREADS").and_then(|t| t.to_str()?.parse().ok()).unwrap_or(2);
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    let Some(split) = support::load(data) else { return };
    let numbers: Vec<f32> = rest.iter().filter_map(|t| t.parse().ok()).collect();
    let words: Vec<&str> =
        rest.iter().map(String::as_str).filter(|t| t.parse::<f32>().is_err()).collect();
    let at = |i: usize, default: f32| numbers.get(i).copied().unwrap_or(default);
    pool.install(|| match model.as_str() {
        "item-item" => item_item(&split, words.first().copied(), &at),
        "ials" => factors(&split, words.first().copied(), &at),
        "ease" | "local-ease" => ease(&split, model == "ease", &at),
        "spectral" => spectral(&split, &at),
        other => println!("no model {other}"),
    });
}

/// Runs `f` as often as `REPEAT` says (once if it does not) and prints the best wall time with the
/// processor time of that run.
fn timed<T>(what: &str, mut f: impl FnMut() -> T) -> T {
    let repeat = std::env::var_os("REPEAT").and_then(|t| t.to_str()?.parse().ok()).unwrap_or(1);
    let mut best = (f64::INFINITY, 0.0);
    for _ in 1..repeat {
        best = once(&mut f).0.min_wall(best);
    }
    let (time, result) = once(&mut f);
    let (wall, cpu) = time.min_wall(best);
    println!("{what}: {wall:.3} s ({cpu:.2} s of processor time)");
    result
}

struct Time(f64, f64);

impl Time {
    fn min_wall(self, other: (f64, f64)) -> (f64, f64) {
        if self.0 < other.0 { (self.0, self.1) } else { other }
    }
}

fn once<T>(f: &mut impl FnMut() -> T) -> (Time, T) {
    let (start, cpu) = (Instant::now(), processor_seconds());
    let result = f();
    (Time(start.elapsed().as_secs_f64(), processor_seconds() - cpu), result)
}

/// User and system time of this process so far, where Linux tells it; 0 elsewhere.
fn processor_seconds() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn show(name: &str, (recall, ndcg): (f64, f64)) {
    println!("{name}: Recall@20 {recall:.4} NDCG@20 {ndcg:.4}");
}

fn similar_quality(name: &str, split: &Split, similar: &Csr) {
    show(name, quality(split, 1, |us, scores| add_similar(&split.train, similar, us, scores)));
}

fn item_item(split: &Split, weighting: Option<&str>, at: &dyn Fn(usize, f32) -> f32) {
    let weighting = match weighting {
        Some("cosine") => Weighting::Cosine,
        Some("cooccurrence") => Weighting::Cooccurrence,
        Some("rp3beta") => Weighting::Rp3Beta { alpha: at(1, 1.0), beta: at(2, 0.5) },
        _ => {
            Weighting::Normalised { a_user: at(1, 0.7), p_source: at(2, 0.6), q_target: at(3, 0.3) }
        }
    };
    let config = ItemItemConfig { weighting, k: at(0, 100.0) as usize, ..Default::default() };
    let similar = timed("item-item", || item_item::fit(&split.train, &config));
    similar_quality(&format!("{config:?}"), split, &similar);
}

fn factors(split: &Split, solver: Option<&str>, at: &dyn Fn(usize, f32) -> f32) {
    let solver = match solver {
        Some("cholesky") => Solver::Cholesky,
        Some("block") => Solver::Block { size: 32 },
        _ => Solver::Cg { steps: 3 },
    };
    let config = IalsConfig {
        factors: at(0, 64.0) as usize,
        iterations: at(1, 10.0) as usize,
        alpha: at(2, 30.0),
        reg: at(3, 50.0),
        reg_exponent: at(4, 0.5),
        user_exponent: at(5, 0.0),
        item_exponent: at(6, 0.0),
        solver,
        start: at(8, 0.1),
        seed: at(7, 0.0) as u64,
    };
    let model = timed("ials", || ials::fit(&split.train, &config, &NoProgress));
    let trained = |us: &[usize], s: &mut [f32]| add_products(&model.items, &model.users, us, s);
    show(&format!("{config:?} trained users"), quality(split, 1, trained));
    let users = model.fold_in(&split.train, 8);
    let folded = |us: &[usize], s: &mut [f32]| add_products(&model.items, &users, us, s);
    show("folded-in users", quality(split, 1, folded));
}

fn ease(split: &Split, whole: bool, at: &dyn Fn(usize, f32) -> f32) {
    let defaults = EaseConfig::default();
    let config = EaseConfig {
        k: at(0, 200.0) as usize,
        lambda: at(1, defaults.lambda),
        output_exponent: at(2, defaults.output_exponent),
        user_exponent: at(3, defaults.user_exponent),
        reg_exponent: at(4, defaults.reg_exponent),
    };
    let weights = timed("ease", || match whole {
        true => ease::fit(&split.train, &config).expect("EASE"),
        false => local_ease::fit(&split.train, &config),
    });
    similar_quality(&format!("{config:?}, {} weights", weights.nnz()), split, &weights);
}

fn spectral(split: &Split, at: &dyn Fn(usize, f32) -> f32) {
    let defaults = SpectralConfig::default();
    let config = SpectralConfig {
        factors: at(0, 512.0) as usize,
        k: at(1, 1000.0) as usize,
        user_exponent: at(2, defaults.user_exponent),
        item_exponent: at(3, defaults.item_exponent),
        output_exponent: at(4, defaults.output_exponent),
        ..defaults
    };
    let weights =
        timed("spectral", || spectral::fit(&split.train, &config, None).expect("the filter"));
    for k in [100, 200, 400, 1000] {
        let mut pruned = Csr { n_cols: weights.n_cols, indptr: vec![0], ..Csr::default() };
        for i in 0..weights.n_rows() {
            let (js, vs) = weights.row(i);
            pruned.push_row(js.iter().copied().zip(vs.iter().copied()).take(k));
        }
        similar_quality(&format!("{config:?} pruned to {k}"), split, &pruned);
    }
}
