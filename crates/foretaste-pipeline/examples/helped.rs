//! What a helping thread does for the time of one answer: every user alone, then helped, in turn.
//!
//! `cargo run --release -p foretaste-pipeline --example helped -- DATA/bundles [USERS]`
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use foretaste_bundle::{Bundle, current};
use foretaste_core::{Error, Result, UserIdx};
use foretaste_pipeline::{Executor, Query, Scenes, Scratch, Snapshot, run};

/// Rounds per user; the quickest counts, which a busy machine disturbs least.
const ROUNDS: usize = 9;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(root) = args.first().map(Path::new) else {
        println!("usage: helped BUNDLES [USERS]");
        return Ok(());
    };
    let n_users = args.get(1).and_then(|n| n.parse().ok()).unwrap_or(400);
    let id = current(root)?.ok_or_else(|| Error::not_found("a current bundle"))?;
    let snapshot = Snapshot::new(Arc::new(Bundle::open(root, &id)?));
    let scenes = Scenes::built_in();
    let scene = scenes.get("evaluation").ok_or_else(|| Error::not_found("the scene"))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| Error::internal("a pool of one thread").with_source(e))?;
    let (mut alone, mut helped) = (Scratch::default(), Scratch::default());
    helped.set_executor(Executor::helped_by(Arc::new(pool)));
    let step = (snapshot.bundle.n_users() / n_users).max(1);
    let (mut times, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    for user in (0..snapshot.bundle.n_users()).step_by(step) {
        let query = Query::for_user(&snapshot.bundle, user as UserIdx, 20);
        let mut best = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            for (best, scratch) in best.iter_mut().zip([&mut alone, &mut helped]) {
                let began = Instant::now();
                std::hint::black_box(run(&snapshot, scene, &query, scratch));
                *best = best.min(began.elapsed().as_secs_f64());
            }
        }
        times.iter_mut().zip(best).for_each(|(times, best)| times.push(best));
        ratios.push(best[1] / best[0]);
    }
    let n = ratios.len();
    let [alone, helped] = times.map(median);
    println!(
        "alone {:.3} ms, helped {:.3} ms, helped / alone {:.3} (medians over {n} users)",
        alone * 1e3,
        helped * 1e3,
        median(ratios),
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
