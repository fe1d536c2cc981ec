//! `user item item ...` a line: the layout of research benchmarks. One event for each pair.

use foretaste_core::{Error, Result};

use crate::Reason;
use crate::cells::{Cell, Collector, Stop, id};
use crate::driver::Journey;
use crate::events::EventCollector;
use crate::input::open;
use crate::lines::Lines;

/// Bytes of a line; a line is a user's whole history.
const MAX_LINE_BYTES: usize = 16 << 20;

/// Reads the lines of a file. A line with a bad id is bad as a whole.
pub fn read(journey: &mut Journey<'_>, to: &mut EventCollector) -> Result<()> {
    to.columns(&["user".to_owned(), "item".to_owned()])?;
    let input = open(&journey.plan.path, journey.meter)?;
    let mut lines = Lines::new(input, &journey.plan.name(), MAX_LINE_BYTES);
    while let Some(line) = lines.next()? {
        if line.bytes.trim_ascii().is_empty() {
            continue;
        }
        let outcome = if line.huge { Err(Reason::HugeRow.into()) } else { take(line.bytes, to) };
        journey.quarantine.settle(line.number, line.bytes, outcome)?;
        journey.meter.report(journey.progress);
    }
    Ok(())
}

fn take(line: &[u8], to: &mut EventCollector) -> Result<(), Stop> {
    let words = || line.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
    let user: Cell<'_> = words().next().ok_or_else(|| Error::internal("a blank line"))?;
    id(user, Reason::MissingUser)?;
    words().skip(1).try_for_each(|item| id(item, Reason::MissingItem).map(|_| ()))?;
    words().skip(1).try_for_each(|item| to.take(&[user, item]))
}
