//! The feature sets that come with the crate, for the events and catalogue that
//! `foretaste generate` makes.

use std::path::{Path, PathBuf};

use foretaste_core::{Error, ErrorKind, Result};

macro_rules! files {
    ($($name:literal),*) => {
        [$((concat!($name, ".sql"), include_str!(concat!("../features/", $name, ".sql")))),*]
    };
}

/// Names and texts of the files.
pub(crate) const FILES: [(&str, &str); 10] = files!(
    "item_activity",
    "item_appeal",
    "item_audience",
    "item_facts",
    "item_trend",
    "user_activity",
    "user_habits",
    "user_item",
    "user_recency",
    "user_taste"
);

/// Writes the starter set into `folder`, which is created; returns the files.
///
/// # Errors
/// `Conflict` when one of the files is there already, before anything is written; `Io`.
pub fn write_starter(folder: &Path) -> Result<Vec<PathBuf>> {
    fs_err::create_dir_all(folder)?;
    let paths: Vec<PathBuf> = FILES.iter().map(|(name, _)| folder.join(name)).collect();
    if let Some(taken) = paths.iter().find(|path| path.exists()) {
        let text = format!("{} is there already; choose another folder", taken.display());
        return Err(Error::new(ErrorKind::Conflict, text));
    }
    for (path, (_, text)) in paths.iter().zip(FILES) {
        fs_err::write(path, text)?;
    }
    Ok(paths)
}
