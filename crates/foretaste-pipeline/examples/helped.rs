//! What a helping thread does for the time of one answer, and of its recall stage: every user alone,
//! then helped, in turn.
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
    let mut stages = [Stage::new("recall"), Stage::new("answer")];
    for user in (0..snapshot.bundle.n_users()).step_by(step) {
        let query = Query::for_user(&snapshot.bundle, user as UserIdx, 20);
        let mut best = [[f64::INFINITY; 2]; 2];
        for _ in 0..ROUNDS {
            for (at, scratch) in [&mut alone, &mut helped].into_iter().enumerate() {
                let began = Instant::now();
                std::hint::black_box(run(&snapshot, scene, &query, scratch));
                let took = [scratch.recall_time(), began.elapsed()];
                for (best, took) in best.iter_mut().zip(took) {
                    best[at] = best[at].min(took.as_secs_f64());
                }
            }
        }
        stages.iter_mut().zip(best).for_each(|(stage, best)| stage.note(best));
    }
    stages.into_iter().for_each(Stage::print);
    Ok(())
}

/// Times of one part of the work: alone, helped, and their ratios.
struct Stage {
    name: &'static str,
    times: [Vec<f64>; 2],
    ratios: Vec<f64>,
}

impl Stage {
    fn new(name: &'static str) -> Self {
        Self { name, times: [Vec::new(), Vec::new()], ratios: Vec::new() }
    }

    fn note(&mut self, times: [f64; 2]) {
        self.times.iter_mut().zip(times).for_each(|(all, time)| all.push(time));
        self.ratios.push(times[1] / times[0]);
    }

    fn print(self) {
        let (name, n) = (self.name, self.ratios.len());
        let [alone, helped] = self.times.map(|times| median(times) * 1e3);
        let ratio = median(self.ratios);
        println!(
            "{name}: alone {alone:.3} ms, helped {helped:.3} ms, helped / alone {ratio:.3} \
             (medians over {n} users)"
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
