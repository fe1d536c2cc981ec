//! `foretaste bundle`: what there is, whether it is whole, and which one serves.

use anyhow::Result;
use foretaste_bundle::{Bundle, BundleId, activate, current, list, rollback};
use serde_json::json;

use crate::cli::BundleCommand;
use crate::run::Run;

/// Does one of the bundle commands.
pub fn run(run: &Run, command: &BundleCommand) -> Result<()> {
    let root = run.bundles();
    match command {
        BundleCommand::List => show(run),
        BundleCommand::Verify { id } => verify(run, id.as_deref()),
        BundleCommand::Activate { id } => {
            let id = BundleId::new(id)?;
            // A bundle that does not open must not go into service.
            Bundle::open(&root, &id)?;
            activate(&root, &id)?;
            run.print(&json!({ "current": id.as_str() }), || format!("current bundle: {id}\n"));
            Ok(())
        }
        BundleCommand::Rollback => {
            let id = rollback(&root)?;
            run.print(&json!({ "current": id.as_str() }), || format!("current bundle: {id}\n"));
            Ok(())
        }
    }
}

fn show(run: &Run) -> Result<()> {
    let root = run.bundles();
    let now = current(&root)?;
    let ids = list(&root)?;
    let value = json!({
        "current": now.as_ref().map(BundleId::as_str),
        "bundles": ids.iter().map(BundleId::as_str).collect::<Vec<_>>(),
    });
    run.print(&value, || {
        let mark = |id: &BundleId| if Some(id) == now.as_ref() { "*" } else { " " };
        ids.iter().map(|id| format!("{} {id}\n", mark(id))).collect()
    });
    Ok(())
}

fn verify(run: &Run, id: Option<&str>) -> Result<()> {
    let id = match id {
        Some(id) => BundleId::new(id)?,
        None => run.current_bundle()?,
    };
    let bundle = Bundle::open(&run.bundles(), &id)?;
    let manifest = serde_json::to_value(bundle.manifest())?;
    run.print(&manifest, || {
        let counts = bundle.manifest().counts;
        let bytes: u64 = bundle.manifest().files.iter().map(|f| f.bytes).sum();
        let channels: Vec<_> = bundle
            .channels()
            .iter()
            .map(|c| format!("{} ({}, weight {:.3})", c.name(), c.kind(), c.weight()))
            .collect();
        format!(
            "{id}: whole; profile {}, {} items, {} users, {} interactions, {:.1} MB\n\
             channels: {}\n",
            bundle.manifest().profile,
            counts.items,
            counts.users,
            counts.interactions,
            bytes as f64 / 1e6,
            channels.join(", ")
        )
    });
    Ok(())
}
