//! One run of the program: what every command shares.
#![allow(clippy::print_stdout)] // results are what this program is for

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use foretaste_bundle::{Bundle, BundleId};
use foretaste_core::Progress;
use foretaste_ingest::tables::archive::ArchiveFolder;
use foretaste_pipeline::{Scene, Scenes, Snapshot};
use foretaste_store::{
    EmbeddedOptions, EmbeddedStore, RowStore, ServerOptions, ServerStore, Store,
};

use crate::cli::{Cli, Command};
use crate::commands;
use crate::config::Config;
use crate::quality::Kept;

/// The globals of a run.
pub struct Run {
    /// Folder of everything.
    pub data: PathBuf,
    /// Settings in force.
    pub config: Config,
    /// JSON instead of tables.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
    /// Where progress is shown.
    pub progress: Box<dyn Progress + Send>,
}

impl Run {
    /// Does what the command line says.
    pub fn start(cli: Cli) -> Result<()> {
        if let Command::Config(command) = cli.command
            && let Some(done) = commands::config::without_loading(command)
        {
            return done;
        }
        let config = Config::load(&cli.data, cli.config.as_deref(), std::env::vars())?;
        start_threads(config.train.threads)?;
        let run = Self {
            progress: crate::progress::of(cli.quiet),
            data: cli.data,
            config,
            json: cli.json,
            quiet: cli.quiet,
        };
        match &cli.command {
            Command::Demo(args) => commands::demo::run(run, args),
            Command::Generate(args) => commands::generate::run(&run, args),
            Command::Import(args) => commands::import::run(&run, args),
            Command::Extract(args) => commands::extract::run(&run, args),
            Command::Advise(args) => commands::advise::run(&run, args),
            Command::Archive(args) => commands::archive::run(&run, args),
            Command::Quality(args) => commands::quality::run(&run, args),
            #[cfg(feature = "lake")]
            Command::Features(command) => commands::features::run(&run, command),
            #[cfg(feature = "cluster")]
            Command::Cluster(command) => commands::cluster::run(&run, command),
            Command::Train(args) => commands::train::run(&run, args),
            Command::Evaluate(args) => commands::evaluate::run(&run, args),
            Command::Tune(args) => commands::tune::run(&run, args),
            Command::Recommend(args) => commands::recommend::run(&run, args),
            Command::Similar(args) => commands::similar::run(&run, args),
            Command::Bundle(command) => commands::bundle::run(&run, command),
            Command::Serve(args) => commands::serve::run(run, args),
            Command::Load(command) => commands::load::run(&run, command),
            Command::Config(command) => commands::config::run(&run, *command),
        }
    }

    /// Folder of the bundles.
    pub fn bundles(&self) -> PathBuf {
        self.data.join("bundles")
    }

    /// Folder of published features.
    pub fn online(&self) -> PathBuf {
        let folder = &self.config.serve.features.folder;
        if folder.as_os_str().is_empty() { self.data.join("online") } else { folder.clone() }
    }

    /// Folder of evaluation and tuning reports.
    pub fn reports(&self) -> PathBuf {
        self.data.join("reports")
    }

    /// What is kept about the quality of the data.
    pub fn quality(&self) -> Kept {
        Kept::new(self.data.join("quality"))
    }

    /// Settings that `tune` found.
    pub fn tuned_path(&self) -> PathBuf {
        self.data.join("tuned.json")
    }

    /// The store, for reading beside whoever writes.
    pub fn store_for_reading(&self) -> Result<Arc<dyn RowStore>> {
        match self.store_on_server()? {
            Some(store) => {
                crate::logging::start_warnings(self.json);
                Ok(Arc::new(store))
            }
            None => Ok(Arc::new(EmbeddedStore::open_reader(&self.data)?)),
        }
    }

    /// The store, for writing.
    pub fn store_for_writing(&self) -> Result<Arc<dyn RowStore>> {
        match self.store_on_server()? {
            Some(store) => Ok(Arc::new(store)),
            None => Ok(Arc::new(EmbeddedStore::open(&self.data, EmbeddedOptions::default())?)),
        }
    }

    /// The store on a database's server, where that is what the configuration says.
    pub fn store_on_server(&self) -> Result<Option<ServerStore>> {
        let Some(options) = self.config.store.server()? else { return Ok(None) };
        let archive = self.config.archive.folder();
        Ok(Some(ServerStore::open(ServerOptions { archive, ..options })?))
    }

    /// Where rows of sources are archived. What is noted of them lies beside the store: with its
    /// files, or in its tables.
    pub fn archive_of_sources(&self) -> ArchiveFolder {
        let folder = self.config.archive.folder().unwrap_or_else(|| self.data.join("archive"));
        let is_shared = self.config.store.is_on_server();
        ArchiveFolder { folder, notes: (!is_shared).then(|| self.data.join("archived")) }
    }

    /// The id of the current bundle.
    pub fn current_bundle(&self) -> Result<BundleId> {
        let id = foretaste_bundle::current(&self.bundles())?;
        id.with_context(|| {
            let data = self.data.display();
            format!("{data} has no bundle yet; run `foretaste --data {data} train` first")
        })
    }

    /// The current bundle as a snapshot.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let bundle = Bundle::open(&self.bundles(), &self.current_bundle()?)?;
        Ok(Snapshot::new(Arc::new(bundle)))
    }

    /// A scene by name.
    pub fn scene(&self, name: &str) -> Result<Scene> {
        let scenes = Scenes::new(self.config.scenes.clone())?;
        let known = || scenes.iter().map(Scene::name).collect::<Vec<_>>().join(", ");
        let scene = scenes.get(name).cloned();
        scene.with_context(|| format!("there is no scene `{name}`; there are: {}", known()))
    }

    /// Prints a value as JSON when that was asked for, else whatever `text` gives.
    pub fn print(&self, value: &serde_json::Value, text: impl FnOnce() -> String) {
        if self.json {
            println!("{value:#}");
        } else {
            print!("{}", text());
        }
    }
}

fn start_threads(threads: usize) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().context("starting worker threads")
}

/// Reads a store, and once more when its replica broke the reading off: what had been read by then
/// is dropped, as two servers together might show what neither of them ever was.
pub fn read_whole<T>(store: &dyn Store, mut read: impl FnMut() -> Result<T>) -> Result<T> {
    let broken_off = || store.reads().map_or(0, |reads| reads.broken_off());
    let before = broken_off();
    match read() {
        Err(_) if broken_off() > before => read(),
        done => done,
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> Result<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(i64::try_from(since.as_millis())?)
}

/// A path as people write it.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}
