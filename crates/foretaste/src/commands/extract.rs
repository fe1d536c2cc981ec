//! `foretaste extract`: rows of live databases into the store.
#![allow(clippy::print_stdout, clippy::print_stderr)] // results, and passes that failed

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use foretaste_core::{Error, ErrorKind};
use foretaste_ingest::tables::{Reader, SourceConfig, TableConfig, TableReport};
use foretaste_store::{EmbeddedStore, Store};
use tokio::signal::unix::{SignalKind, signal};

use crate::run::Run;

pub mod args;
mod show;

use args::{ExtractArgs, ExtractCommand};

/// Extracts, previews or tells how far it is.
pub fn run(run: &Run, args: &ExtractArgs) -> Result<()> {
    if let Some(ExtractCommand::Status) = args.command {
        return show::status(run);
    }
    let sources = chosen(run, &args.sources)?;
    fs_err::create_dir_all(&run.data)?;
    let store = run.store_for_writing()?;
    let stopping = Stopping::on_signals()?;
    let mut extraction = Extraction { run, args, store: &store, stopping: &stopping };
    if args.dry_run {
        return sources.iter().try_for_each(|(source, url)| extraction.preview(source, url));
    }
    if args.follow {
        return extraction.follow(&sources);
    }
    let mut failed = 0;
    for (source, url) in &sources {
        failed += extraction.source(source, url, args.reconcile)?;
    }
    if failed > 0 {
        bail!("{failed} of the tables could not be read; see above");
    }
    Ok(())
}

/// A source and the URL of its database.
type Chosen<'a> = (&'a SourceConfig, String);

fn chosen<'a>(run: &'a Run, names: &[String]) -> Result<Vec<Chosen<'a>>> {
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
    wanted.map(|source| Ok((source, url_of(source)?))).collect()
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

struct Extraction<'a> {
    run: &'a Run,
    args: &'a ExtractArgs,
    store: &'a EmbeddedStore,
    stopping: &'a Stopping,
}

impl Extraction<'_> {
    fn with_reader<T>(
        &self,
        (source, url): (&SourceConfig, &str),
        work: impl FnOnce(&Reader<'_>) -> foretaste_core::Result<T>,
    ) -> foretaste_core::Result<T> {
        let stop = || self.stopping.asked();
        work(&Reader {
            store: self.store,
            source,
            url,
            quarantine: self.run.data.join("quarantine"),
            max_bad_share: self.run.config.import.max_bad_share,
            accept_schema: self.args.accept_schema,
            stop: &stop,
        })
    }

    fn preview(&self, source: &SourceConfig, url: &str) -> Result<()> {
        for table in &source.tables {
            let rows = |reader: &Reader<'_>| reader.preview(table, self.args.rows);
            let rows = self.with_reader((source, url), rows)?;
            show::preview(self.run, &format!("{}/{}", source.name, table.name()), &rows);
        }
        Ok(())
    }

    /// One pass over all tables of a source; a table that fails does not stop the others.
    /// Returns how many failed.
    fn source(&mut self, source: &SourceConfig, url: &str, reconcile: bool) -> Result<usize> {
        let mut failed = 0;
        for table in &source.tables {
            let done = self.with_reader((source, url), |reader| reader.pass(table));
            failed += usize::from(!self.note(source, table, "pass", done)?);
            if reconcile && !self.stopping.asked() {
                let done = self.with_reader((source, url), |reader| reader.reconcile(table));
                failed += usize::from(!self.note(source, table, "reconcile", done)?);
            }
            if self.stopping.asked() {
                break;
            }
        }
        Ok(failed)
    }

    /// Shows and remembers how it went; true when it went well.
    fn note(
        &self,
        source: &SourceConfig,
        table: &TableConfig,
        what: &str,
        done: foretaste_core::Result<TableReport>,
    ) -> Result<bool> {
        let key = format!("{}/{}", source.name, table.name());
        let note = show::to_json(&key, what, &done);
        self.store.set_control(&format!("extract.{what}.{key}"), Some(&note.to_string()))?;
        match &done {
            Ok(report) => show::report(self.run, what, report, &note),
            Err(_) if self.run.json => println!("{note}"),
            Err(error) => eprintln!("{what} failed: {error}"),
        }
        // Whoever waits for these lines may read a pipe.
        let _ = std::io::stdout().flush();
        Ok(done.is_ok())
    }

    fn follow(&mut self, sources: &[Chosen<'_>]) -> Result<()> {
        let mut next: Vec<Times> = sources.iter().map(|_| Times::now()).collect();
        while !self.stopping.asked() {
            for ((source, url), times) in sources.iter().zip(&mut next) {
                if times.pass > Instant::now() || self.stopping.asked() {
                    continue;
                }
                let every = Duration::from_secs(source.reconcile_s.into());
                let reconcile = !every.is_zero() && times.reconciled.elapsed() >= every;
                self.source(source, url, reconcile)?;
                if reconcile {
                    times.reconciled = Instant::now();
                }
                times.pass = Instant::now() + Duration::from_secs(source.interval_s.into());
            }
            let soonest = next.iter().map(|times| times.pass).min();
            let wait = soonest.map(|at| at.saturating_duration_since(Instant::now()));
            self.stopping.wait(wait.unwrap_or_default());
        }
        Ok(())
    }
}

/// When a source is read next, and when it was reconciled last.
struct Times {
    pass: Instant,
    reconciled: Instant,
}

impl Times {
    fn now() -> Self {
        Self { pass: Instant::now(), reconciled: Instant::now() }
    }
}

/// Whether SIGTERM or Ctrl-C came.
struct Stopping {
    asked: Arc<AtomicBool>,
    woken: Receiver<()>,
}

impl Stopping {
    fn on_signals() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let (waker, woken) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut terminate = {
            let _inside = runtime.enter();
            signal(SignalKind::terminate()).context("waiting for SIGTERM")?
        };
        let flag = Arc::clone(&asked);
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
            });
            flag.store(true, Ordering::Release);
            let _ = waker.try_send(());
            // The channel stays open: a closed one would wake everybody at once.
            loop {
                std::thread::park();
            }
        });
        Ok(Self { asked, woken })
    }

    fn asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    fn wait(&self, time: Duration) {
        if let Err(RecvTimeoutError::Disconnected) = self.woken.recv_timeout(time) {
            self.asked.store(true, Ordering::Release);
        }
    }
}
