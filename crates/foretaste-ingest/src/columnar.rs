//! Parquet of anybody: columns of any physical type as texts, which then are checked like those
//! of every other layout. Parquet that Foretaste wrote takes a shorter way.

use std::path::Path;

use foretaste_core::{Error, EventBatch, Result};
use foretaste_lake::Columns;
use foretaste_lake::parquet::read_events;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::cells::{Cell, Collector};
use crate::detect::NATIVE_COLUMNS;
use crate::driver::Journey;
use crate::events::EventCollector;
use crate::texts::{Texts, time_text};

const BATCH_ROWS: usize = 1 << 14;

/// Reads the rows of a file.
pub fn read(journey: &mut Journey<'_>, to: &mut dyn Collector) -> Result<()> {
    let path = journey.plan.path.as_path();
    let builder = open(path)?;
    let share = Share::of(path, builder.metadata().file_metadata().num_rows())?;
    to.columns(&column_names(path)?)?;
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|e| broken(path, e))?;
    let mut row = 0;
    for batch in reader {
        let batch = batch.map_err(|e| broken(path, e))?;
        let columns: Vec<Texts> = batch.columns().iter().map(Texts::of).collect::<Result<_>>()?;
        for at in 0..batch.num_rows() {
            let cells: Vec<Cell<'_>> = columns.iter().map(|c| c.cell(at)).collect();
            let outcome = to.take(&cells);
            row += 1;
            let raw = if outcome.is_err() { cells.join(&b","[..]) } else { Vec::new() };
            journey.quarantine.settle(row, &raw, outcome)?;
        }
        journey.progress.advance(share.bytes(batch.num_rows() as u64));
    }
    Ok(())
}

/// Parquet is not read from front to back, so rows stand for bytes.
struct Share {
    bytes: u64,
    rows: u64,
}

impl Share {
    fn of(path: &Path, rows: i64) -> Result<Self> {
        Ok(Self { bytes: fs_err::metadata(path)?.len(), rows: rows.max(1) as u64 })
    }

    fn bytes(&self, rows: u64) -> u64 {
        (u128::from(rows) * u128::from(self.bytes) / u128::from(self.rows)) as u64
    }
}

/// Names of the columns of a file.
pub fn column_names(path: &Path) -> Result<Vec<String>> {
    Ok(open(path)?.schema().fields().iter().map(|f| f.name().clone()).collect())
}

/// Reads events that Foretaste wrote: whole batches where they are good.
pub fn read_native(journey: &mut Journey<'_>, to: &mut EventCollector) -> Result<()> {
    let path = journey.plan.path.clone();
    to.columns(&NATIVE_COLUMNS.map(str::to_owned))?;
    let share = Share::of(&path, open(&path)?.metadata().file_metadata().num_rows())?;
    let mut first = 1;
    read_events(&path, Columns::All, &mut |batch| {
        let n = batch.len() as u64;
        match to.take_batch(batch)? {
            None => journey.quarantine.settle_good(n),
            Some(batch) => row_by_row(&batch, first, journey, to)?,
        }
        first += n;
        journey.progress.advance(share.bytes(n));
        Ok(())
    })
}

fn row_by_row(
    batch: &EventBatch,
    first: u64,
    journey: &mut Journey<'_>,
    to: &mut EventCollector,
) -> Result<()> {
    for at in 0..batch.len() {
        let event = batch.get(at);
        let context = event.context.unwrap_or_default();
        let row = [
            event.user,
            event.item,
            event.kind,
            event.value.to_string(),
            time_text(Some(event.time_ms)),
            context.session.unwrap_or_default(),
            context.scene.unwrap_or_default(),
            context.position.map(|p| p.to_string()).unwrap_or_default(),
            context.request_id.unwrap_or_default(),
        ];
        let cells: Vec<Cell<'_>> = row.iter().map(String::as_bytes).collect();
        let outcome = to.take(&cells);
        journey.quarantine.settle(first + at as u64, &cells.join(&b","[..]), outcome)?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<std::fs::File>> {
    let file = fs_err::File::open(path)?.into_parts().0;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| broken(path, e))
}

fn broken(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let text = format!("{} cannot be read as Parquet", path.display());
    Error::corrupt(text).with_source(Box::new(error) as Box<dyn std::error::Error + Send + Sync>)
}
