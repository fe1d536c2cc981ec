//! The table of trials: one JSON object a line, appended and synced as trials end.

use std::io::Write;
use std::path::{Path, PathBuf};

use foretaste_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Figures;

/// One line of the table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trial {
    /// Which search it belongs to; trials of other searches are left alone.
    pub search: String,
    /// Number within the search, from 0.
    pub number: usize,
    /// What was tried, by dotted name.
    pub settings: Map<String, Value>,
    /// What is maximised; absent when the trial failed.
    pub objective: Option<f64>,
    /// Other figures.
    pub figures: Map<String, Value>,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed.
    pub error: Option<String>,
}

impl Trial {
    pub(super) fn new(
        number: usize,
        settings: Map<String, Value>,
        outcome: Result<Figures>,
        seconds: f64,
    ) -> Self {
        let (objective, figures, error) = match outcome {
            Ok(f) if f.objective.is_finite() => (Some(f.objective), f.others, None),
            Ok(f) => (None, f.others, Some("the objective is not a finite number".to_owned())),
            Err(error) => (None, Map::new(), Some(error.to_string())),
        };
        Self { search: String::new(), number, settings, objective, figures, seconds, error }
    }

    /// The settings as a nested fragment, to be laid over the defaults.
    pub fn fragment(&self) -> Value {
        super::settings::nested(&self.settings)
    }
}

/// The trials of one search, in memory and in a file.
pub struct TrialTable {
    path: Option<PathBuf>,
    search: String,
    trials: Vec<Trial>,
}

impl TrialTable {
    /// A table that is not saved.
    pub fn in_memory() -> Self {
        Self { path: None, search: String::new(), trials: Vec::new() }
    }

    /// Opens or creates the table in `path` and takes up the trials of `search`: a text that
    /// names data, split, space and base settings, so that figures of one search are comparable.
    /// A torn last line is cut off.
    ///
    /// # Errors
    /// When the file cannot be read or written, and `Corrupt` when a line before the last is not
    /// a trial.
    pub fn open(path: &Path, search: &str) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let text = match fs_err::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            let file = fs_err::OpenOptions::new().write(true).open(path)?;
            file.set_len(whole as u64)?;
        }
        let mut trials = Vec::new();
        for (at, line) in text[..whole].lines().enumerate() {
            let trial: Trial = serde_json::from_str(line).map_err(|error| {
                Error::corrupt(format!("{}, line {}: not a trial", path.display(), at + 1))
                    .with_source(error)
            })?;
            if trial.search == search {
                trials.push(trial);
            }
        }
        Ok(Self { path: Some(path.to_owned()), search: search.to_owned(), trials })
    }

    /// Trials of this search, in order.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// The trial with the highest objective, the earliest among equals.
    pub fn best(&self) -> Option<&Trial> {
        let done = self.trials.iter().filter(|t| t.objective.is_some());
        done.max_by(|a, b| {
            let objective = |t: &Trial| t.objective.unwrap_or(f64::NEG_INFINITY);
            objective(a).total_cmp(&objective(b)).then(b.number.cmp(&a.number))
        })
    }

    pub(super) fn append(&mut self, mut trial: Trial) -> Result<()> {
        trial.search.clone_from(&self.search);
        if let Some(path) = &self.path {
            let mut line = serde_json::to_string(&trial)
                .map_err(|error| Error::internal("a trial has no JSON form").with_source(error))?;
            line.push('\n');
            let mut file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
            file.write_all(line.as_bytes())?;
            file.sync_data()?;
        }
        self.trials.push(trial);
        Ok(())
    }
}
