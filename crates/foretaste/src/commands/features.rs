//! `foretaste features`: the lake, feature sets in SQL, their values and training rows.

use std::path::Path;

use anyhow::{Context, Result};
use foretaste_core::{Error, ErrorKind, TimeMs, moment};
use foretaste_features::lake::Inputs;
use foretaste_features::{
    Catalogue, Checked, Definition, Engine, EngineConfig, FeatureColumn, FeatureLake, Place,
    TableState, as_of, check, write_starter,
};
use foretaste_ingest::{exact_text, parse_time};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::run::{Run, shown};

pub mod args;
mod compute;
pub mod keys;
mod publish;
mod rows;
mod sync;
mod tidy;

use args::{FeaturesCommand, InitArgs, ShowArgs};

/// Under which name the features of the moment are shown.
const MOMENT: &str = "now";

/// `[features]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesConfig {
    /// Folder of the feature sets; empty for the starter set.
    pub folder: String,
    /// What the SQL engine may use.
    pub engine: EngineConfig,
}

impl FeaturesConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// `Config`, naming the setting.
    pub fn check(&self) -> Result<(), Error> {
        if !cfg!(feature = "cluster") && !self.engine.cluster.is_empty() {
            let text = "features.engine.cluster needs a program that is built with the cargo \
                        feature `cluster`: cargo build --release -p foretaste --features cluster";
            return Err(Error::new(ErrorKind::Config, text));
        }
        self.engine.check()
    }
}

/// Does what was asked for.
pub fn run(run: &Run, command: &FeaturesCommand) -> Result<()> {
    match command {
        FeaturesCommand::Init(args) => init(run, args),
        FeaturesCommand::Sync => sync::run(&Work::start(run)?),
        FeaturesCommand::List => Work::start(run)?.list(),
        FeaturesCommand::Check => Work::start(run)?.check(),
        FeaturesCommand::Build(args) => compute::run(&Work::start(run)?, args),
        FeaturesCommand::Publish(args) => publish::run(&Work::start(run)?, args),
        FeaturesCommand::Show(args) if args.name == MOMENT => {
            show_moment(run);
            Ok(())
        }
        FeaturesCommand::Show(args) => Work::start(run)?.show(args),
        FeaturesCommand::Rows(args) => rows::run(&Work::start(run)?, args),
        FeaturesCommand::Pairs(args) => rows::pairs(&Work::start(run)?, args),
        FeaturesCommand::Tidy(args) => tidy::run(&Work::start(run)?, args),
    }
}

fn init(run: &Run, args: &InitArgs) -> Result<()> {
    let files = write_starter(&args.folder)?;
    run.print(&json!({ "files": files }), || {
        let folder = shown(&args.folder);
        format!("wrote {} files; set features.folder to {folder:?} to use them\n", files.len())
    });
    Ok(())
}

/// What every command on a lake needs.
struct Work<'a> {
    run: &'a Run,
    runtime: Runtime,
    lake: FeatureLake,
}

impl<'a> Work<'a> {
    fn start(run: &'a Run) -> Result<Self> {
        let config = &run.config.lake;
        if config.url.is_empty() && !run.data.exists() {
            let text = format!("{} holds no data; import some first", shown(&run.data));
            return Err(Error::not_found(text).into());
        }
        let keys = config.is_bucket().then(|| keys::read(config)).transpose()?;
        let place = Place::open(config, &run.data.join("tables"), keys)?;
        let runtime = Runtime::new().context("starting the runtime")?;
        Ok(Self { run, runtime, lake: FeatureLake::new(&place) })
    }

    fn catalogue(&self) -> Result<Catalogue> {
        let folder = &self.run.config.features.folder;
        if folder.is_empty() {
            return Ok(Catalogue::starter()?);
        }
        let loaded = Catalogue::load(Path::new(folder));
        let is_missing = loaded.as_ref().is_err_and(|e| e.kind() == ErrorKind::NotFound);
        let advice = "features.folder; `foretaste features init DIR` writes a set to begin with";
        if is_missing { loaded.context(advice) } else { Ok(loaded?) }
    }

    fn engine(&self) -> Result<Engine> {
        let config = &self.run.config.features.engine;
        let engine = Engine::new(self.lake.place(), config)?;
        #[cfg(feature = "cluster")]
        if !config.cluster.is_empty() {
            let cluster = foretaste_cluster::Cluster::new(&config.cluster, config.parts)?;
            return Ok(engine.elsewhere(std::sync::Arc::new(cluster)));
        }
        Ok(engine)
    }

    /// The state of the lake, which must have been filled.
    fn inputs(&self) -> Result<Inputs> {
        let inputs = self.runtime.block_on(self.lake.inputs())?;
        if inputs.events.generation() == 0 {
            let text = format!("the lake at {} is empty", self.lake.place().name());
            let text = text + "; fill it from the store with `foretaste features sync`";
            return Err(Error::new(ErrorKind::NotFound, text).into());
        }
        Ok(inputs)
    }

    fn checked(&self, sets: &[&Definition], inputs: &Inputs) -> Result<Vec<Checked>> {
        let check = |set: &&Definition| {
            let (items, users) = (inputs.items.schema(), inputs.users.schema());
            Ok(self.runtime.block_on(check(set, Some(items), Some(users)))?)
        };
        sets.iter().map(check).collect()
    }

    /// The values that a set has now.
    fn values(&self, set: &Definition) -> Result<TableState> {
        Ok(self.runtime.block_on(self.lake.table(&set.table())?.state())?)
    }

    fn list(&self) -> Result<()> {
        let catalogue = self.catalogue()?;
        let with_values = |set| self.values(set).map(|values| (set, values));
        let found = catalogue.sets().iter().map(with_values).collect::<Result<Vec<_>>>()?;
        let value = found.iter().map(|(set, values)| {
            let (rows, bytes) = (values.rows(), values.bytes());
            json!({ "set": set, "as_of_ms": as_of(values), "rows": rows, "bytes": bytes })
        });
        self.run.print(&value.collect(), || {
            found.iter().map(|(set, values)| line(set, values)).collect()
        });
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let (catalogue, inputs) = (self.catalogue()?, self.inputs()?);
        let sets = self.checked(&catalogue.chosen(&[])?, &inputs)?;
        let columns: usize = sets.iter().map(|set| set.definition.columns.len()).sum();
        let hashes = sets.iter().map(|set| {
            Ok(json!({ "name": set.definition.name, "schema_hash": set.schema_hash()? }))
        });
        let value = hashes.collect::<Result<serde_json::Value>>()?;
        let text = || format!("{} feature sets with {columns} columns are right\n", sets.len());
        self.run.print(&value, text);
        Ok(())
    }

    fn show(&self, args: &ShowArgs) -> Result<()> {
        let catalogue = self.catalogue()?;
        let set = catalogue.chosen(std::slice::from_ref(&args.name))?[0];
        let values = self.values(set)?;
        let engine = self.engine()?;
        let rows = self.runtime.block_on(engine.first_rows(&values, args.rows as usize))?;
        let value = json!({ "set": set, "as_of_ms": as_of(&values), "rows": rows });
        self.run.print(&value, || {
            let mut text = format!("{}  {}\n", line(set, &values), set.description);
            let column = |c: &FeatureColumn| format!("\n  {:<28} {}", c.name, c.description);
            text.extend(set.columns.iter().map(column));
            text.push('\n');
            text.extend(rows.iter().map(|row| format!("{row}\n")));
            text
        });
        Ok(())
    }
}

/// What a set is and which values it has.
fn line(set: &Definition, values: &TableState) -> String {
    let (name, entity, columns) = (&set.name, set.entity.name(), set.columns.len());
    let window = set.window_days.map_or_else(|| "all".to_owned(), |days| format!("{days}d"));
    let rows = |ms| format!("{} rows as of {}", values.rows(), time_text(ms));
    let values = as_of(values).map_or_else(|| "no values yet".to_owned(), rows);
    format!("{name:<20} {entity:<10} {columns:>3} columns  window {window:<5} {values}\n")
}

/// The features that training rows and requests get from one function.
fn show_moment(run: &Run) {
    let columns = || moment::NAMES.iter().zip(moment::DESCRIPTIONS);
    let value = columns().map(|(name, text)| json!({ "name": name, "description": text }));
    run.print(&json!({ "columns": value.collect::<Vec<_>>() }), || {
        let head = "of the moment, in training rows and requests; they have no table\n".to_owned();
        columns().fold(head, |all, (name, text)| format!("{all}  {name:<28} {text}\n"))
    });
}

fn time(text: &str) -> Result<TimeMs> {
    let wrong = || Error::invalid(format!("{text:?} is no time; write 2026-06-01T12:00:00Z"));
    Ok(parse_time(text).ok_or_else(wrong)?)
}

fn end(text: Option<&String>, otherwise: TimeMs) -> Result<TimeMs> {
    text.map_or(Ok(otherwise), |text| time(text))
}

fn time_text(ms: TimeMs) -> String {
    exact_text(ms).unwrap_or_else(|| ms.to_string())
}
