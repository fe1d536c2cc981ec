//! Results as one self-contained HTML page each, and as JSON beside it.
//!
//! The page loads nothing: plots are inline SVG, colours follow the reader's light or dark theme.

use std::path::{Path, PathBuf};

use foretaste_core::{Error, Result};
use serde::Serialize;

mod compare;
mod find_max;
mod run;
mod stress;
mod svg;
#[cfg(test)]
pub(crate) mod tests;

pub use compare::{compare_page, compare_text};
pub use find_max::{find_max_page, find_max_text};
pub use run::{run_page, run_text};
pub use stress::{stress_page, stress_text};

/// Writes `NAME.json` and `NAME.html` into a folder and returns both paths.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    folder: &Path,
    name: &str,
    value: &impl Serialize,
    html: &str,
) -> Result<(PathBuf, PathBuf)> {
    fs_err::create_dir_all(folder)?;
    let (json, page) = (folder.join(format!("{name}.json")), folder.join(format!("{name}.html")));
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::internal("the result has no JSON form").with_source(error))?;
    fs_err::write(&json, text + "\n")?;
    fs_err::write(&page, html)?;
    Ok((json, page))
}

/// Columns as wide as their widest cell: the first flush left, the others flush right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter().filter_map(|row| row.get(c)).map(|t| t.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, w)) in row.iter().zip(&widths).enumerate() {
            line += &if at == 0 { format!("{cell:<w$}") } else { format!("  {cell:>w$}") };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A time with as many digits as it is worth.
pub(crate) fn ms(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0} ms"),
        v if v >= 10.0 => format!("{v:.1} ms"),
        v => format!("{v:.2} ms"),
    }
}

/// A rate with as many digits as it is worth.
pub(crate) fn per_second(rate: f64) -> String {
    if rate >= 100.0 { format!("{rate:.0}/s") } else { format!("{rate:.1}/s") }
}
