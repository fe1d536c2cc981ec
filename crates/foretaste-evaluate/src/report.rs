//! The result of an evaluation as JSON and as one self-contained HTML page.
//!
//! The page loads nothing: plots are inline SVG, colours follow the reader's light or dark theme.

use std::path::{Path, PathBuf};

use foretaste_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::held_out::Unknown;
use crate::learn::Learned;
use crate::quality::Quality;

mod html;
#[cfg(test)]
mod tests;

/// Everything that one evaluation found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was evaluated, for the heading.
    pub title: String,
    /// Id of the bundle.
    pub bundle: String,
    /// Training profile.
    pub profile: String,
    /// How items were held out, in words.
    pub split: String,
    /// Size of the data.
    pub counts: Counts,
    /// What was learned about the channels; absent where weights were not learned.
    pub learned: Option<Learned>,
    /// The blend first, then channels alone, then baselines.
    pub systems: Vec<System>,
}

/// Size of the data of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Users of the bundle.
    pub users: usize,
    /// Items of the bundle.
    pub items: usize,
    /// (user, item) pairs learned from.
    pub train_pairs: usize,
    /// (user, item) pairs held out.
    pub held_out_pairs: usize,
    /// Users that were judged.
    pub judged_users: usize,
    /// What the test named and the training part did not know.
    pub unknown: Unknown,
}

/// One way to recommend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// Name of the channel, or `blend`, `popular`, `random`.
    pub name: String,
    /// What it is.
    pub kind: SystemKind,
    /// Its weight in the blend, for channels.
    pub weight: Option<f32>,
    /// What was measured.
    pub quality: Quality,
}

/// What a system is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemKind {
    /// All channels with their weights: what is served.
    #[default]
    Blend,
    /// One channel alone.
    Channel,
    /// Something that anyone could do without a model.
    Baseline,
}

impl Report {
    /// The system with a name.
    pub fn system(&self, name: &str) -> Option<&System> {
        self.systems.iter().find(|s| s.name == name)
    }

    /// The report as pretty-printed JSON.
    ///
    /// # Errors
    /// Never for figures that are finite.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|error| Error::internal("the report has no JSON form").with_source(error))
    }

    /// The report as one HTML page.
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// The main figures as a table for a terminal, one line per system.
    pub fn to_text(&self) -> String {
        let k = self.systems.first().map_or(0, |s| s.quality.main_k);
        let recall = format!("Recall@{k}");
        let ndcg = format!("NDCG@{k}");
        let header = ["", &recall, &ndcg, "MRR", "hit rate", "coverage", "novelty"];
        let mut rows = vec![header.map(str::to_owned)];
        for system in &self.systems {
            let Some(at) = system.quality.main() else { continue };
            let name = match system.weight {
                Some(weight) => format!("{} (weight {weight:.2})", system.name),
                None => system.name.clone(),
            };
            rows.push([
                name,
                format!("{:.4} ±{:.4}", at.recall.mean, at.recall.se),
                format!("{:.4} ±{:.4}", at.ndcg.mean, at.ndcg.se),
                format!("{:.4}", at.mrr.mean),
                format!("{:.4}", at.hit_rate.mean),
                format!("{:.1}%", 100.0 * system.quality.coverage),
                format!("{:.2} bit", system.quality.novelty.mean),
            ]);
        }
        aligned(&rows)
    }

    /// Writes `NAME.json` and `NAME.html` into `folder` and returns both paths.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        fs_err::create_dir_all(folder)?;
        let (json, html) =
            (folder.join(format!("{name}.json")), folder.join(format!("{name}.html")));
        fs_err::write(&json, self.to_json()?)?;
        fs_err::write(&html, self.to_html())?;
        Ok((json, html))
    }
}

/// Columns as wide as their widest cell: the first flush left, the others flush right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |c: usize| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = format!("{:<w$}", row[0], w = widths[0]);
        for (cell, w) in row.iter().zip(&widths).skip(1) {
            line.push_str(&format!("  {cell:>w$}"));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
