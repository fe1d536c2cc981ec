//! `foretaste extract`: rows of live databases into the store.
#![allow(clippy::print_stdout, clippy::print_stderr)] // results, and passes that failed

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use foretaste_core::{Error, ErrorKind};
use foretaste_ingest::tables::{KeptFigures, PresetConfig, SourceConfig};
use foretaste_store::{RowChanges, RowStore};

use crate::logging;
use crate::run::Run;

mod alarm;
pub mod args;
mod follow;
mod show;
mod stop;

use args::{ExtractArgs, ExtractCommand};
pub use follow::{Extraction, Reading, Witness};
pub use stop::Stop;

/// Extracts, previews or tells how far it is.
pub fn run(run: &Run, args: &ExtractArgs) -> Result<()> {
    if let Some(ExtractCommand::Status) = args.command {
        return show::status(run);
    }
    if let Some(name) = &args.print_preset {
        print!("{}", PresetConfig::Named(name.clone()).text()?);
        return Ok(());
    }
    logging::start(run.json);
    let sources = chosen(run, &args.sources)?;
    fs_err::create_dir_all(&run.data)?;
    let store = run.store_for_writing()?;
    let shown = Shown { run, store: store.clone() };
    let mut extraction = Extraction::new(run, sources, store, args.accept_schema);
    extraction.stop = Stop::on_signals()?;
    if args.dry_run {
        return extraction.each_table(|reader, table| {
            let key = format!("{}/{}", reader.source.name, table.name());
            show::preview(run, &key, &reader.preview(table, args.rows)?);
            Ok(())
        });
    }
    if args.follow {
        extraction.with_alarm(run)?.follow(&shown);
        return Ok(());
    }
    let failed = extraction.once(args.reconcile, &shown);
    if failed > 0 {
        bail!("{failed} of the tables could not be read; see above");
    }
    Ok(())
}

/// The sources of these names, or all, each with the URL of its database.
///
/// # Errors
/// `Config` for a name that is unknown and a URL that is not there.
pub fn chosen(run: &Run, names: &[String]) -> Result<Vec<(SourceConfig, String)>> {
    let all = &run.config.source;
    let known = || all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    if all.is_empty() {
        let text = "there is no [[source]] in the configuration; docs/extraction.md has examples";
        return Err(Error::new(ErrorKind::Config, text).into());
    }
    if let Some(name) = names.iter().find(|name| all.iter().all(|s| s.name != **name)) {
        let text = format!("there is no source {name:?}; there are: {}", known());
        return Err(Error::new(ErrorKind::Config, text).into());
    }
    let wanted = all.iter().filter(|s| names.is_empty() || names.contains(&s.name));
    wanted.map(|source| Ok((source.clone(), url_of(source)?))).collect()
}

#[allow(clippy::disallowed_methods)] // this is the binary
fn url_of(source: &SourceConfig) -> Result<String> {
    let name = &source.name;
    let url = match (&source.url_env, &source.url_file) {
        (Some(variable), _) => std::env::var(variable).map_err(|_| {
            let text = format!("source {name}: the environment has no {variable}; set it");
            Error::new(ErrorKind::Config, text)
        })?,
        (None, Some(path)) => fs_err::read_to_string(path).context(format!("source {name}"))?,
        (None, None) => unreachable!("checked when the configuration was loaded"),
    };
    Ok(url.trim().to_owned())
}

/// Shows on the terminal how it goes.
struct Shown<'a> {
    run: &'a Run,
    store: Arc<dyn RowStore>,
}

impl Shown<'_> {
    /// Moves a long log to long-term storage, as a server does; else every start would read it.
    fn seal(&self) -> foretaste_core::Result<()> {
        if self.store.log_events()? >= self.run.config.serve.seal_events {
            self.store.seal()?;
        }
        Ok(())
    }
}

impl Witness for Shown<'_> {
    fn listens(&self) -> bool {
        false
    }

    fn changed(&self, _: &RowChanges) {}

    fn connections(&self, _: &str, _: KeptFigures) {}

    fn read(&self, reading: &Reading<'_>) {
        let what = reading.what.name();
        match reading.done {
            Ok(report) => show::report(self.run, what, report, reading.note),
            Err(_) if self.run.json => println!("{}", reading.note),
            Err(error) if reading.is_news => eprintln!("{what} failed: {error}"),
            Err(_) => {}
        }
        // Whoever waits for these lines may read a pipe.
        let _ = std::io::stdout().flush();
        if let Err(error) = self.seal() {
            eprintln!("the log of events could not be moved to long-term storage: {error}");
        }
    }
}
