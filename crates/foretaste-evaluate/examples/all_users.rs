//! Times the best 20 items for every user of the current bundle of a data folder, in memory.
//!
//! `cargo run --release -p foretaste-evaluate --example all_users -- DIR [THREADS]`
#![allow(clippy::print_stdout)] // the figures are the purpose

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use foretaste_bundle::{Bundle, current};
use foretaste_evaluate::recommend::recommend_all;
use foretaste_pipeline::{Scenes, Snapshot};

fn main() -> foretaste_core::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "foretaste-data".to_owned());
    let threads = args.next().and_then(|t| t.parse().ok()).unwrap_or(2);
    let root = Path::new(&folder).join("bundles");
    let Some(id) = current(&root)? else {
        println!("no current bundle in {}", root.display());
        return Ok(());
    };
    let snapshot = Snapshot::new(Arc::new(Bundle::open(&root, &id)?));
    let scenes = Scenes::built_in();
    let scene = scenes.get("evaluation").expect("a built-in scene");
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    let (start, cpu) = (Instant::now(), processor_seconds());
    let lists: Vec<_> = pool.install(|| recommend_all(&snapshot, scene, 20).collect());
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), processor_seconds() - cpu);
    let weights: Vec<String> = (snapshot.bundle.channels().iter())
        .map(|c| format!("{} {:.3} ({})", c.name(), c.weight(), c.kind()))
        .collect();
    let users = lists.len();
    println!(
        "{}",
        serde_json::json!({
            "users": users, "seconds": seconds, "cpu_seconds": cpu, "threads": threads,
            "us_per_user": 1e6 * cpu / users.max(1) as f64, "channels": weights,
        })
    );
    Ok(())
}

/// User and system time of this process so far, where Linux tells it; 0 elsewhere.
fn processor_seconds() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}
