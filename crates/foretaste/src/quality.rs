//! Data quality as `quality` and `train` share it: the measured store, its verdict, and the
//! profiles of accepted runs in `DIR/quality`.

use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Result;
use foretaste_quality::{Measure, Profile, Report, Verdict, check};
use foretaste_store::{Columns, Store};

use crate::run::{Run, read_whole};

pub mod alerting;
mod keep;
pub mod metrics;

pub use keep::Kept;

/// What one look at a store found.
pub struct Judged {
    /// What the store holds.
    pub profile: Profile,
    /// What it was compared with.
    pub accepted: Option<Profile>,
    /// The verdict.
    pub report: Report,
    kept: Kept,
}

/// Data that are not fit for what was asked.
#[derive(Debug)]
pub struct Refused {
    /// The exit code.
    pub code: u8,
    text: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

/// The beginning of a measuring of the store of this run.
pub fn measure(run: &Run) -> Result<Measure> {
    Ok(Measure::new(&run.config.quality, crate::run::now_ms()?))
}

/// Reads and measures a whole store.
pub fn measure_store(run: &Run, store: &dyn Store) -> Result<Profile> {
    read_whole(store, || measure_once(run, store))
}

fn measure_once(run: &Run, store: &dyn Store) -> Result<Profile> {
    let (mut measure, progress) = (measure(run)?, run.progress.as_ref());
    store.items(&mut |item| {
        measure.item(&item);
        Ok(())
    })?;
    store.users(&mut |user| {
        measure.user(&user);
        Ok(())
    })?;
    progress.start("reading events", Some(store.counts()?.events), "events");
    let read = store.read_events(Columns::NoContext, &mut |batch| {
        measure.events(&batch);
        progress.advance(batch.len() as u64);
        Ok(())
    });
    progress.finish();
    read?;
    Ok(measure.finish())
}

impl Judged {
    /// Compares with the last accepted run, and keeps the report for the server's metrics.
    pub fn new(run: &Run, profile: Profile) -> Result<Self> {
        let kept = run.quality();
        let accepted = kept.last_accepted()?;
        let quarantined = rows_in_quarantine(&run.data.join("quarantine"))?;
        let report = check(&profile, accepted.as_ref(), Some(quarantined), &run.config.quality);
        kept.keep_report(&report)?;
        Ok(Self { profile, accepted, report, kept })
    }

    /// Later runs are compared with this one.
    pub fn accept(&self, run: &Run) -> Result<()> {
        self.kept.accept(&self.profile, run.config.quality.keep)
    }

    /// Refuses data that fail a check.
    pub fn refuse(&self, code: u8, advice: &str) -> Result<(), Refused> {
        let failed: Vec<String> = self
            .report
            .with(Verdict::Fail)
            .map(|c| {
                let (value, limit) = (c.unit.show(c.value), c.unit.show(c.threshold()));
                format!("\n  {}: {value}, fails from {limit}. {}", c.name(), c.detail)
            })
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        let n = failed.len();
        let list = failed.concat();
        let text = format!("the data fail {n} check(s) of their quality{list}\n{advice}");
        Err(Refused { code, text })
    }
}

/// Lines of the files in a quarantine folder.
fn rows_in_quarantine(folder: &Path) -> Result<u64> {
    if !folder.exists() {
        return Ok(0);
    }
    let mut rows = 0;
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            rows += lines(BufReader::new(fs_err::File::open(&path)?))?;
        }
    }
    Ok(rows)
}

fn lines(mut file: impl BufRead) -> Result<u64> {
    let mut lines = 0;
    loop {
        let chunk = file.fill_buf()?;
        if chunk.is_empty() {
            return Ok(lines);
        }
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        let read = chunk.len();
        file.consume(read);
    }
}
