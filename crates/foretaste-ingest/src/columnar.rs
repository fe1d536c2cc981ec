//! Parquet of anybody: columns of any physical type as texts, which then are checked like those
//! of every other layout. Parquet that Foretaste wrote takes a shorter way.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, StringArray};
use arrow_schema::{DataType, TimeUnit};
use foretaste_core::{Error, EventBatch, Result};
use foretaste_lake::Columns;
use foretaste_lake::parquet::read_events;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::cells::{Cell, Collector};
use crate::detect::NATIVE_COLUMNS;
use crate::driver::Journey;
use crate::events::EventCollector;
use crate::times::exact_text;

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
        let columns: Vec<Texts> = batch.columns().iter().map(texts).collect::<Result<_>>()?;
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

/// A column as texts.
enum Texts {
    Text(StringArray),
    Bytes(BinaryArray),
    Own(Vec<String>),
}

impl Texts {
    fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Text(column) if column.is_valid(row) => column.value(row).as_bytes(),
            Self::Bytes(column) if column.is_valid(row) => column.value(row),
            Self::Own(column) => column[row].as_bytes(),
            _ => b"",
        }
    }
}

fn texts(column: &ArrayRef) -> Result<Texts> {
    match column.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            Ok(Texts::Bytes(cast(column, &DataType::Binary)?.as_binary::<i32>().clone()))
        }
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            let moments = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
            let moments = cast(&moments, &DataType::Int64)?;
            let texts = moments.as_primitive::<Int64Type>().iter().map(time_text);
            Ok(Texts::Own(texts.collect()))
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let column = cast(column, &DataType::Utf8)?;
            let short = |t: Option<&str>| t.map(|t| t.strip_suffix(".0").unwrap_or(t).to_owned());
            let texts = column.as_string::<i32>().iter().map(|t| short(t).unwrap_or_default());
            Ok(Texts::Own(texts.collect()))
        }
        DataType::List(_) | DataType::LargeList(_) => lists(column),
        // What has no text (structs, maps) is left out.
        _ => text(column).or_else(|_| Ok(Texts::Own(vec![String::new(); column.len()]))),
    }
}

/// A time that is known to be in ms must not be guessed at by its magnitude; 0 is not known.
fn time_text(ms: Option<i64>) -> String {
    ms.filter(|&ms| ms != 0).and_then(exact_text).unwrap_or_default()
}

fn text(column: &ArrayRef) -> Result<Texts> {
    Ok(Texts::Text(cast(column, &DataType::Utf8)?.as_string::<i32>().clone()))
}

fn lists(column: &ArrayRef) -> Result<Texts> {
    let list = match column.data_type() {
        DataType::LargeList(field) => cast(column, &DataType::List(field.clone()))?,
        _ => column.clone(),
    };
    let list = list.as_list::<i32>();
    let values = text(list.values())?;
    let joined = |row: usize| {
        let offsets = list.value_offsets();
        let range = if list.is_valid(row) { offsets[row]..offsets[row + 1] } else { 0..0 };
        let words = range.map(|at| String::from_utf8_lossy(values.cell(at as usize)).into_owned());
        words.collect::<Vec<_>>().join("|")
    };
    Ok(Texts::Own((0..list.len()).map(joined).collect()))
}

fn cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    arrow_cast::cast(column, to).map_err(|e| {
        Error::invalid(format!("a column of type {} has no text", column.data_type()))
            .with_source(e)
    })
}
