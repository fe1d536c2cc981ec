//! A generated marketplace as a folder of Parquet files that `foretaste import` reads whole.

use std::path::Path;

use foretaste_core::{Error, Progress, Result};
use foretaste_lake::parquet::{EventWriter, write_items, write_users};

use crate::{Spec, generate, items, users};

/// Name of the file of events.
pub const EVENTS_FILE: &str = "events.parquet";
/// Name of the file of items.
pub const ITEMS_FILE: &str = "items.parquet";
/// Name of the file of users.
pub const USERS_FILE: &str = "users.parquet";
/// Name of the file that says what was generated.
pub const SPEC_FILE: &str = "spec.json";

/// Writes events, items, users and the spec itself into `dir`, replacing what is there. The spec
/// comes last: a folder that has one is complete.
///
/// # Errors
/// `Invalid` for a spec out of bounds, `Io` when the disk refuses.
///
/// # Cost
/// About one processor second per million events; memory for one day of events.
pub fn write_parquet(spec: &Spec, dir: &Path, progress: &dyn Progress) -> Result<()> {
    spec.check()?;
    fs_err::create_dir_all(dir)?;
    let spec_path = dir.join(SPEC_FILE);
    if spec_path.exists() {
        fs_err::remove_file(&spec_path)?;
    }
    write_items(&dir.join(ITEMS_FILE), items(spec))?;
    write_users(&dir.join(USERS_FILE), users(spec))?;
    write_events(spec, &dir.join(EVENTS_FILE), progress)?;
    let text = serde_json::to_string_pretty(spec)
        .map_err(|e| Error::internal("a spec has no JSON form").with_source(e))?;
    fs_err::write(spec_path, text + "\n")?;
    Ok(())
}

fn write_events(spec: &Spec, path: &Path, progress: &dyn Progress) -> Result<()> {
    let mut writer = EventWriter::create(path)?;
    progress.start("generating events", Some(spec.events), "events");
    let done = generate(spec, &mut |batch| {
        progress.advance(batch.len() as u64);
        writer.write(&batch)
    });
    progress.finish();
    done?;
    writer.finish().map(|_| ())
}
