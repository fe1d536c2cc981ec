//! Answers requests of the users of a bundle, one after the other: what instruction counters and
//! profilers look at.
//!
//! `cargo run --release -p foretaste-pipeline --example requests -- DATA/bundles [REQUESTS]`
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;

use foretaste_bundle::{Bundle, current};
use foretaste_core::{Error, Result, UserIdx};
use foretaste_pipeline::{Query, Scenes, Scratch, Snapshot, run};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(root) = args.first().map(Path::new) else {
        println!("usage: requests BUNDLES [REQUESTS]");
        return Ok(());
    };
    let n: usize = args.get(1).and_then(|n| n.parse().ok()).unwrap_or(1000);
    let id = current(root)?.ok_or_else(|| Error::not_found("a current bundle"))?;
    let snapshot = Snapshot::new(Arc::new(Bundle::open(root, &id)?));
    let scenes = Scenes::built_in();
    let scene = scenes.get("evaluation").ok_or_else(|| Error::not_found("the scene"))?;
    let mut scratch = Scratch::default();
    let n_users = snapshot.bundle.n_users();
    let mut items = 0;
    for request in 0..n {
        // Spread over all users, who are ordered by their number of events.
        let user = (request * 7919 % n_users) as UserIdx;
        let query = Query::for_user(&snapshot.bundle, user, 20);
        items += run(&snapshot, scene, &query, &mut scratch).slate.len();
    }
    println!("{n} requests, {items} items");
    Ok(())
}
