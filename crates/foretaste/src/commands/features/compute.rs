//! `foretaste features build`: values of feature sets as of a time.

use anyhow::Result;
use foretaste_core::time::DAY_MS;
use foretaste_core::{Error, TimeMs};
use foretaste_features::lake::Inputs;
use foretaste_features::{Built, Checked, Mode, as_of, build};
use serde_json::json;

use super::args::BuildArgs;
use super::publish::{self, Line, Publication};
use super::{Work, sync, time, time_text};
use crate::run::{now_ms, shown};

/// What `--as-of` takes beside a time.
const LATEST: &str = "latest";

/// Fills the lake, then computes; a set whose values are made is kept whatever comes after it.
pub fn run(work: &Work<'_>, args: &BuildArgs) -> Result<()> {
    let catalogue = work.catalogue()?;
    let sets = catalogue.chosen(&args.names)?;
    let fixed_ms = args.as_of.as_ref().filter(|text| *text != LATEST).map(|text| time(text));
    let fixed_ms = fixed_ms.transpose()?;
    let began_ms = now_ms()?;
    let synced = (!args.no_sync).then(|| sync::sync(work)).transpose()?;
    let inputs = work.inputs()?;
    let as_of_ms = match (fixed_ms, &args.as_of) {
        (Some(ms), _) => ms,
        (None, Some(_)) => after_newest(&inputs)?,
        (None, None) => now_ms()?,
    };
    let sets = work.checked(&sets, &inputs)?;
    let chosen = sets.iter().map(|set| Ok((set, !args.due || is_due(work, set, as_of_ms)?)));
    let chosen = chosen.collect::<Result<Vec<_>>>()?;
    let sets: Vec<&Checked> = chosen.into_iter().filter_map(|(s, due)| due.then_some(s)).collect();
    let publication = match args.no_publish {
        true => None,
        false => Some(Publication::begin(work, synced.as_ref().map(|_| began_ms))?),
    };
    let (built, published) = compute(work, &sets, (&inputs, as_of_ms, publication.as_ref()))?;
    if let Some(publication) = publication {
        publication.tidy(&args.names, &catalogue.chosen(&[])?)?;
    }
    let value = json!({
        "synced": synced, "as_of_ms": as_of_ms, "sets": built, "published": published
    });
    work.run.print(&value, || {
        let synced = synced.as_ref().map(ToString::to_string).unwrap_or_default();
        let lines = built.iter().map(|built| format!("{:<20} {}\n", built.name, how(built)));
        let mut text = synced + &lines.collect::<String>();
        if !published.is_empty() {
            text += &publish::said(&published, &shown(&work.run.online()));
        }
        text + &stale(&sets, &inputs, as_of_ms).unwrap_or_default()
    });
    Ok(())
}

/// Computes each set and publishes it at once; last events come last.
fn compute(
    work: &Work<'_>,
    sets: &[&Checked],
    (inputs, as_of_ms, publication): (&Inputs, TimeMs, Option<&Publication<'_>>),
) -> Result<(Vec<Built>, Vec<Line>)> {
    let (engine, progress) = (work.engine()?, &work.run.progress);
    let (mut done, mut published) = (Vec::new(), Vec::new());
    for (at, set) in sets.iter().enumerate() {
        let task = format!("{} ({} of {})", set.definition.name, at + 1, sets.len());
        progress.start(&task, None, "rows");
        let built = work.runtime.block_on(build(&work.lake, &engine, set, (inputs, as_of_ms)));
        progress.finish();
        done.push(built?);
        published.extend(publication.map(|p| p.set(&set.definition)).transpose()?);
    }
    published.extend(publication.map(|p| p.last_events(inputs)).transpose()?);
    Ok((done, published))
}

fn is_due(work: &Work<'_>, set: &Checked, as_of_ms: TimeMs) -> Result<bool> {
    let ttl_ms = i64::try_from(set.definition.ttl_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let values = work.values(&set.definition)?;
    Ok(as_of(&values).is_none_or(|at| as_of_ms.saturating_sub(at) >= ttl_ms))
}

fn newest(inputs: &Inputs) -> Option<TimeMs> {
    inputs.events.files().iter().filter_map(|file| Some(file.times?.1)).max()
}

/// The first time at which all events are past.
fn after_newest(inputs: &Inputs) -> Result<TimeMs> {
    let text = "the lake holds no event, so there is no latest one; give a time";
    Ok(newest(inputs).map(|ms| ms.saturating_add(1)).ok_or_else(|| Error::invalid(text))?)
}

fn how(built: &Built) -> String {
    let rows = built.rows;
    match &built.mode {
        Mode::Full(why) => format!("{rows} rows, all computed: {why}"),
        Mode::Update(touched) => format!("{rows} rows, {touched} of them brought up to date"),
        Mode::Unchanged => format!("{rows} rows, unchanged"),
    }
}

/// A word about sets that look at days in which nothing has happened any more.
fn stale(sets: &[&Checked], inputs: &Inputs, as_of_ms: TimeMs) -> Option<String> {
    let newest_ms = newest(inputs)?;
    let days = as_of_ms.saturating_sub(newest_ms).div_euclid(DAY_MS);
    let is_empty = |set: &&&Checked| {
        set.uses_history && set.definition.window_days.is_some_and(|w| i64::from(w) < days)
    };
    let empty = sets.iter().filter(is_empty).count();
    (empty > 0).then(|| {
        format!(
            "the newest event is of {}, {days} days before {}, so {empty} sets with shorter \
             windows have no rows; --as-of latest computes them as of that event\n",
            time_text(newest_ms),
            time_text(as_of_ms)
        )
    })
}
