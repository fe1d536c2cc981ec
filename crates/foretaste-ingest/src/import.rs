//! The import itself: check the catalogue files, store the events by one commit, then store the
//! catalogue. What fails fails before anything is visible.

use foretaste_core::{Error, Progress, Result};
use foretaste_store::{Source, Store};

use crate::catalogue::{ExtraTags, RecordCollector};
use crate::driver::{Journey, Layout, Plan};
use crate::events::{EventCollector, import_events};
use crate::input::{Meter, digest};
use crate::quarantine::Quarantine;
use crate::{
    Entity, ImportReport, ImportRequest, SourceReport, columnar, detect, lists, movielens,
};

/// Imports a file, or the files of a folder.
///
/// # Errors
/// `NotFound` without a file, `Invalid` when its layout is unclear, a needed column is missing or
/// too many rows are bad, `Corrupt` for broken files, and what the store returns. Nothing has been
/// stored then, except that the catalogue may be partly updated when the store itself fails.
///
/// # Cost
/// Files are read twice (once for the digest); memory for a few batches of 131,072 events.
pub fn import(
    store: &dyn Store,
    request: &ImportRequest,
    progress: &dyn Progress,
) -> Result<ImportReport> {
    let plans = detect::plans(request)?;
    let run = Run { store, request, progress };
    let (events, catalogue): (Vec<Plan>, Vec<Plan>) =
        plans.into_iter().partition(|p| p.entity == Entity::Events);
    for plan in &catalogue {
        run.catalogue(plan, None)?;
    }
    let mut report = ImportReport::default();
    for plan in &events {
        report.sources.push(run.events(plan)?);
    }
    for plan in &catalogue {
        report.sources.push(run.catalogue(plan, Some(store))?);
    }
    Ok(report)
}

struct Run<'a> {
    store: &'a dyn Store,
    request: &'a ImportRequest,
    progress: &'a dyn Progress,
}

impl Run<'_> {
    fn events(&self, plan: &Plan) -> Result<SourceReport> {
        let digest = self.digest(plan)?;
        let source = self.source(plan, &digest)?;
        let mut quarantine = self.quarantine(plan, &digest);
        if self.store.has_source(&source.digest)? {
            return Ok(SourceReport { skipped: true, ..summary(plan, 0, &quarantine) });
        }
        let how = (&self.request.mapping, self.request.kind.as_deref());
        let accepted = import_events(self.store, &source, how, |collector| {
            self.travel(plan, &mut quarantine, |journey| read_events(journey, collector))
        });
        let accepted = accepted.map_err(|e| e.context(plan.path.display()))?;
        Ok(summary(plan, accepted, &quarantine))
    }

    /// Without a store it only checks.
    fn catalogue(&self, plan: &Plan, store: Option<&dyn Store>) -> Result<SourceReport> {
        let tags = plan.tags.as_deref().map(movielens::read_tags).transpose()?;
        let tags: ExtraTags = tags.unwrap_or_default();
        if matches!(plan.layout, Layout::Lists) {
            return Err(Error::invalid("lists hold events; they cannot be read as a catalogue"));
        }
        let mut quarantine = self.quarantine(plan, &self.digest(plan)?);
        let mapping = &self.request.mapping;
        let mut collector = RecordCollector::new(plan.entity, mapping, &tags, store);
        self.travel(plan, &mut quarantine, |journey| journey.rows(&mut collector))
            .map_err(|e| e.context(plan.path.display()))?;
        Ok(summary(plan, collector.finish()?, &quarantine))
    }

    fn travel(
        &self,
        plan: &Plan,
        quarantine: &mut Quarantine,
        read: impl FnOnce(&mut Journey<'_>) -> Result<()>,
    ) -> Result<()> {
        let (meter, progress) = (&Meter::default(), self.progress);
        let total = fs_err::metadata(&plan.path)?.len();
        progress.start(&format!("importing {}", plan.name()), Some(total), "bytes");
        let done = read(&mut Journey { plan, quarantine, meter, progress });
        progress.finish();
        done?;
        quarantine.finish()
    }

    fn digest(&self, plan: &Plan) -> Result<String> {
        let ImportRequest { mapping, kind, .. } = self.request;
        digest(&plan.path, &format!("{} {mapping:?} {kind:?}", plan.settings()))
    }

    /// The identity of the import; asked to do it again, the first one that is not taken.
    fn source(&self, plan: &Plan, digest: &str) -> Result<Source> {
        let mut source = Source { name: plan.name(), digest: digest.to_owned() };
        for nth in 2.. {
            if !self.request.again || !self.store.has_source(&source.digest)? {
                break;
            }
            source.digest = format!("{digest}-{nth}");
        }
        Ok(source)
    }

    fn quarantine(&self, plan: &Plan, digest: &str) -> Quarantine {
        let file = format!("{}-{}.jsonl", plan.name(), &digest[..16]);
        Quarantine::new(self.request.quarantine.join(file), self.request.max_bad_share)
    }
}

fn read_events(journey: &mut Journey<'_>, collector: &mut EventCollector) -> Result<()> {
    match journey.plan.layout {
        Layout::Lists => lists::read(journey, collector),
        Layout::Native => columnar::read_native(journey, collector),
        _ => journey.rows(collector),
    }
}

fn summary(plan: &Plan, accepted: u64, quarantine: &Quarantine) -> SourceReport {
    SourceReport {
        name: plan.name(),
        entity: plan.entity,
        rows: quarantine.rows(),
        accepted,
        bad: quarantine.bad().clone(),
        quarantine: quarantine.written().map(std::path::Path::to_owned),
        skipped: false,
    }
}
