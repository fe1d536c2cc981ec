//! `foretaste features publish`, and the end of every `build`: values become files that a server
//! reads without a SQL engine.

use anyhow::Result;
use foretaste_bundle::Form;
use foretaste_core::{ErrorKind, TimeMs};
use foretaste_features::lake::Inputs;
use foretaste_features::{Definition, Engine, publish_last_events, publish_set};
use foretaste_online::{MOMENT, Published, Publisher};
use serde::Serialize;
use serde_json::json;

use super::Work;
use super::args::PublishArgs;
use super::rows::passive_kinds;
use crate::run::{now_ms, shown};

/// What became of one set.
#[derive(Debug, Serialize)]
pub struct Line {
    set: String,
    version: String,
    rows: u64,
    bytes: u64,
    written: bool,
}

impl Line {
    fn new(set: &str, published: Published) -> Self {
        let Published { version, bytes, rows, is_new } = published;
        Self { set: set.to_owned(), version, rows, bytes, written: is_new }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { set, version, rows, bytes, written } = self;
        let how = if *written { "" } else { ", as before" };
        writeln!(f, "{set:<20} {rows} rows, {bytes} bytes{how}; version {version}")
    }
}

/// Publishes values that are there already.
pub fn run(work: &Work<'_>, args: &PublishArgs) -> Result<()> {
    let catalogue = work.catalogue()?;
    let sets = catalogue.chosen(&args.names)?;
    let inputs = work.inputs()?;
    let publication = Publication::begin(work, None)?;
    let mut lines = Vec::new();
    let mut left = Vec::new();
    for &set in &sets {
        match publication.set(set) {
            Ok(line) => lines.push(line),
            Err(e) if args.names.is_empty() && is_not_built(&e) => left.push(set.name.clone()),
            Err(e) => return Err(e),
        }
    }
    lines.push(publication.last_events(&inputs)?);
    let gone = publication.tidy(&args.names, &catalogue.chosen(&[])?)?;
    let folder = shown(&work.run.online());
    let value = json!({ "folder": folder, "sets": lines, "not_built": left, "taken_back": gone });
    work.run.print(&value, || {
        let mut text: String = lines.iter().map(ToString::to_string).collect();
        if !left.is_empty() {
            text += &format!("not published, as they are not built: {}\n", left.join(", "));
        }
        if !gone.is_empty() {
            text += &format!("taken back, as there are no such sets: {}\n", gone.join(", "));
        }
        text + &format!("published to {folder}\n")
    });
    Ok(())
}

fn is_not_built(error: &anyhow::Error) -> bool {
    let ours = error.downcast_ref::<foretaste_core::Error>();
    ours.is_some_and(|e| e.kind() == ErrorKind::NotFound)
}

/// A publication under way; nobody else publishes to the folder meanwhile.
pub struct Publication<'a> {
    work: &'a Work<'a>,
    engine: Engine,
    publisher: Publisher,
    /// When the lake was last filled by this run.
    synced_ms: Option<TimeMs>,
    began_ms: TimeMs,
}

impl<'a> Publication<'a> {
    /// Waits for nobody: a folder that is being published to is an error.
    pub fn begin(work: &'a Work<'a>, synced_ms: Option<TimeMs>) -> Result<Self> {
        let began_ms = now_ms()?;
        let form = match work.run.config.serve.features.packed {
            true => Form::Packed,
            false => Form::Plain,
        };
        let publisher = Publisher::open(&work.run.online(), began_ms)?.with_form(form);
        Ok(Self { engine: work.engine()?, work, publisher, synced_ms, began_ms })
    }

    /// Publishes the present values of a set.
    pub fn set(&self, set: &Definition) -> Result<Line> {
        let values = self.work.values(set)?;
        let to = (&self.publisher, self.synced_ms(&set.name));
        let publishing = publish_set(&self.engine, (set, &values), to);
        Ok(Line::new(&set.name, self.work.runtime.block_on(publishing)?))
    }

    /// Publishes the last events of all users.
    pub fn last_events(&self, inputs: &Inputs) -> Result<Line> {
        let kinds = passive_kinds(self.work);
        self.work.run.progress.start("last events of users", None, "events");
        let to = (&self.publisher, self.began_ms, self.synced_ms(MOMENT));
        let publishing = publish_last_events(&self.engine, (inputs, &kinds), to);
        let published = self.work.runtime.block_on(publishing);
        self.work.run.progress.finish();
        Ok(Line::new(MOMENT, published?))
    }

    /// Takes back sets that are no longer defined, unless only some were `named`.
    pub fn tidy(&self, named: &[String], all: &[&Definition]) -> Result<Vec<String>> {
        if !named.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = all.iter().map(|set| set.name.as_str()).collect();
        Ok(self.publisher.keep_only(&names)?)
    }

    /// When the copy of the events began that values come from: this run's, or at least that of the
    /// version before.
    fn synced_ms(&self, set: &str) -> TimeMs {
        let before = || self.publisher.present(set).map_or(0, |present| present.synced_ms);
        self.synced_ms.unwrap_or_else(before)
    }
}

/// What `build` says about what it published to `folder`.
pub fn said(lines: &[Line], folder: &str) -> String {
    let written = lines.iter().filter(|line| line.written).count();
    let (n, bytes) = (lines.len(), lines.iter().map(|line| line.bytes).sum::<u64>());
    format!("published {n} files to {folder}, {written} of them written; {bytes} bytes\n")
}
