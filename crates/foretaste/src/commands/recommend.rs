//! `foretaste recommend`: one user on the terminal, or everyone into a file.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use foretaste_evaluate::recommend::{line, recommend_all};
use foretaste_pipeline::{Query, Scene, Scratch, Snapshot};
use serde_json::json;

use super::slate;
use crate::cli::RecommendArgs;
use crate::run::{Run, shown};

/// Recommends from the current bundle.
pub fn run(run: &Run, args: &RecommendArgs) -> Result<()> {
    let snapshot = run.snapshot()?;
    let scene = run.scene(&args.scene)?;
    match (&args.user, &args.output) {
        (Some(user), _) => one(run, &snapshot, &scene, (user, args.k)),
        (None, Some(output)) => all(run, &snapshot, &scene, (output, args.k)),
        (None, None) => anyhow::bail!("--all-users needs --output FILE"),
    }
}

fn one(run: &Run, snapshot: &Snapshot, scene: &Scene, (user, k): (&str, usize)) -> Result<()> {
    let mut query = Query { k, ..Query::default() };
    if let Some(index) = snapshot.bundle.users().index_of(user) {
        query = Query::for_user(&snapshot.bundle, index, k);
        query.own(&snapshot.bundle, index, scene);
    }
    query.want_reasons = true;
    let outcome = foretaste_pipeline::run(snapshot, scene, &query, &mut Scratch::default());
    run.print(&slate::to_json(snapshot, &outcome), || slate::to_text(snapshot, &outcome));
    Ok(())
}

fn all(run: &Run, snapshot: &Snapshot, scene: &Scene, (output, k): (&Path, usize)) -> Result<()> {
    let temporary = output.with_extension("part");
    let file = fs_err::File::create(&temporary)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut n_lists = 0u64;
    run.progress.start("recommending", Some(snapshot.bundle.n_users() as u64), "users");
    for (user, items) in recommend_all(snapshot, scene, k) {
        writeln!(out, "{}", line(snapshot, user, &items)).context("writing the lists")?;
        run.progress.advance(1);
        n_lists += 1;
    }
    out.flush().context("writing the lists")?;
    // The rename makes a half-written file impossible to mistake for a whole one.
    fs_err::rename(&temporary, output)?;
    run.progress.finish();
    let path = shown(output);
    run.print(&json!({ "lists": n_lists, "file": path }), || {
        format!("{path}: the best {k} items for each of {n_lists} users\n")
    });
    Ok(())
}
