//! One JSON object a line. Nested objects become columns `outer.inner`, lists of scalars become
//! one cell with `|` between.

use foretaste_core::Result;
use serde_json::Value;

use crate::Reason;
use crate::cells::{Cell, Collector, Stop};
use crate::delimited::MAX_ROW_BYTES;
use crate::driver::Journey;
use crate::input::open;
use crate::lines::Lines;

/// Distinct keys of one file.
const MAX_KEYS: usize = 1_000;
/// Lines that are looked at to find out the keys.
const SAMPLE_LINES: usize = 100;

/// Reads the rows of a file.
pub fn read(names: &[String], journey: &mut Journey<'_>, to: &mut dyn Collector) -> Result<()> {
    let mut row = Row { names: names.to_vec(), cells: Vec::new() };
    to.columns(&row.names)?;
    let input = open(&journey.plan.path, journey.meter)?;
    let mut lines = Lines::new(input, &journey.plan.name(), MAX_ROW_BYTES);
    while let Some(line) = lines.next()? {
        if line.bytes.trim_ascii().is_empty() {
            continue;
        }
        let outcome =
            if line.huge { Err(Reason::HugeRow.into()) } else { take(line.bytes, &mut row, to) };
        journey.quarantine.settle(line.number, line.bytes, outcome)?;
        if line.number.is_multiple_of(1 << 12) {
            journey.meter.report(journey.progress);
        }
    }
    Ok(())
}

/// The keys of the first objects of a file.
pub fn sample_keys(lines: &mut Lines) -> Result<Vec<String>> {
    let mut row = Row::default();
    for _ in 0..SAMPLE_LINES {
        let Some(line) = lines.next()? else { break };
        // Bad lines are dealt with when the file is read.
        let _ = row.fill(line.bytes);
    }
    Ok(row.names)
}

fn take(line: &[u8], row: &mut Row, to: &mut dyn Collector) -> Result<(), Stop> {
    let known = row.names.len();
    row.fill(line)?;
    if row.names.len() > known {
        to.columns(&row.names)?;
    }
    let cells: Vec<Cell<'_>> = row.cells.iter().map(String::as_bytes).collect();
    to.take(&cells)
}

/// Names of all keys so far, and the texts of one object.
#[derive(Default)]
struct Row {
    names: Vec<String>,
    cells: Vec<String>,
}

impl Row {
    fn fill(&mut self, line: &[u8]) -> Result<(), Reason> {
        self.cells.iter_mut().for_each(String::clear);
        self.cells.resize(self.names.len(), String::new());
        let text = std::str::from_utf8(line).map_err(|_| Reason::BadUtf8)?;
        let Ok(Value::Object(object)) = serde_json::from_str(text) else {
            return Err(Reason::BadJson);
        };
        let mut guess = 0;
        for (key, value) in object {
            match value {
                Value::Object(inner) => inner
                    .into_iter()
                    .try_for_each(|(k, v)| self.set(&format!("{key}.{k}"), v, &mut guess))?,
                value => self.set(&key, value, &mut guess)?,
            }
        }
        Ok(())
    }

    /// Keys mostly come in the same order, so the next one is tried first.
    fn set(&mut self, key: &str, value: Value, guess: &mut usize) -> Result<(), Reason> {
        let next = self.names.get(*guess).is_some_and(|n| n == key).then_some(*guess);
        let place = next.or_else(|| self.names.iter().position(|n| n == key));
        let place = match place {
            Some(place) => place,
            None if self.names.len() >= MAX_KEYS => return Err(Reason::WrongColumns),
            None => {
                self.names.push(key.to_owned());
                self.cells.push(String::new());
                self.names.len() - 1
            }
        };
        *guess = place + 1;
        self.cells[place] = cell_text(value)?;
        Ok(())
    }
}

fn cell_text(value: Value) -> Result<String, Reason> {
    Ok(match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(list) => {
            list.into_iter().map(cell_text).collect::<Result<Vec<_>, _>>()?.join("|")
        }
        Value::Object(_) => return Err(Reason::BadJson),
    })
}
