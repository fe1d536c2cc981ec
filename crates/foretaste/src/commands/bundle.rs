//! `foretaste bundle`: what there is, whether it is whole, and which one serves.

use anyhow::Result;
use clap::Subcommand;
use foretaste_bundle::{
    Bundle, BundleId, Form, activate, bytes_on_disk, current, list, previous, reform, rollback,
};
use serde_json::json;

use crate::run::Run;

/// What can be done with bundles.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// All bundles, newest last, with the current one marked
    List,
    /// Check every size, checksum, index and number of a bundle [default: the current one]
    Verify {
        /// Id as `list` prints it
        id: Option<String>,
    },
    /// Make a bundle the current one; a running server takes it up within a second
    Activate {
        /// Id as `list` prints it
        id: String,
    },
    /// Make the bundle before the current one current again
    Rollback,
    /// Make bundles three fifths smaller on disk, or more; whoever loads one unpacks it into memory
    #[command(after_help = "\
It stays the same bundle: id, checks and answers do not change, and a server that has it loaded goes
on. `train` packs bundles older than the previous one (train.packed_bundles).

Examples:
  foretaste bundle pack
  foretaste bundle pack 01764547200-8c1f0e2a9b7d")]
    Pack {
        /// Ids as `list` prints them [default: all but the current and the previous one]
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
    /// Give packed bundles back the form that is mapped when it is loaded
    Unpack {
        /// Ids as `list` prints them
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

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
        BundleCommand::Pack { ids } if ids.is_empty() => {
            let ids = older(run, None)?;
            give_form(run, &ids, Form::Packed)
        }
        BundleCommand::Pack { ids } => give_form(run, &named(ids)?, Form::Packed),
        BundleCommand::Unpack { ids } => give_form(run, &named(ids)?, Form::Plain),
    }
}

fn named(ids: &[String]) -> Result<Vec<BundleId>> {
    Ok(ids.iter().map(|id| BundleId::new(id)).collect::<Result<_, _>>()?)
}

/// Bundles that are not the current one, the one before it or `new`, oldest first.
pub fn older(run: &Run, new: Option<&BundleId>) -> Result<Vec<BundleId>> {
    let root = run.bundles();
    let kept = [current(&root)?, previous(&root)?, new.cloned()];
    let mut ids = list(&root)?;
    ids.retain(|id| !kept.contains(&Some(id.clone())));
    Ok(ids)
}

fn give_form(run: &Run, ids: &[BundleId], form: Form) -> Result<()> {
    let root = run.bundles();
    let mut changed = Vec::new();
    for id in ids {
        let (before, after) = reform(&root, id, form)?;
        changed.push((id, before, after));
    }
    let value = changed.iter().map(
        |(id, before, after)| json!({ "bundle": id.as_str(), "before": before, "after": after }),
    );
    let value: Vec<_> = value.collect();
    run.print(&json!({ "bundles": value }), || {
        if changed.is_empty() {
            return "there is no bundle older than the previous one; name those you mean\n".into();
        }
        let mb = |bytes: &u64| *bytes as f64 / 1e6;
        let line = |(id, before, after): &(&BundleId, u64, u64)| {
            format!("{id}: {:.1} MB, was {:.1} MB\n", mb(after), mb(before))
        };
        changed.iter().map(line).collect()
    });
    Ok(())
}

fn show(run: &Run) -> Result<()> {
    let root = run.bundles();
    let now = current(&root)?;
    let ids = list(&root)?;
    // A damaged one is listed, too; `verify` says what is wrong.
    let sizes: Vec<Option<u64>> = ids.iter().map(|id| bytes_on_disk(&root, id).ok()).collect();
    let value = json!({
        "current": now.as_ref().map(BundleId::as_str),
        "bundles": ids.iter().map(BundleId::as_str).collect::<Vec<_>>(),
        "bytes": sizes,
    });
    run.print(&value, || {
        let mark = |id: &BundleId| if Some(id) == now.as_ref() { "*" } else { " " };
        let size = |bytes: &Option<u64>| match bytes {
            Some(bytes) => format!("{:.1} MB", *bytes as f64 / 1e6),
            None => "damaged".to_owned(),
        };
        let line = |(id, bytes)| format!("{} {id}  {}\n", mark(id), size(bytes));
        ids.iter().zip(&sizes).map(line).collect()
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
