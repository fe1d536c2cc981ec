//! A segment of one row group, written at once from columns whose ids are numbered already.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use ::parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use ::parquet::data_type::{FloatType, Int32Type, Int64Type};
use ::parquet::errors::Result as ParquetResult;
use ::parquet::file::properties::WriterPropertiesPtr;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::types::SchemaDescriptor;
use foretaste_core::{EventBatch, IdTable, Result};

use crate::chunk::{ChunkWriter, Values};
use crate::columns::{Keys, event_schema};
use crate::encode::properties;
use crate::parquet::refused;

/// With more distinct values than this, they are stored one by one.
const MANY_VALUES: usize = 1 << 16;
/// Values that were met last are found without a search.
const RECENT: usize = 256;

/// Writes files of one row group. Its memory is used again from file to file.
pub struct GroupWriter {
    schema: SchemaDescriptor,
    properties: WriterPropertiesPtr,
    chunks: ChunkWriter,
    /// The distinct values of the column in hand, their numbers by those of the batch, and the
    /// numbers of all its values.
    distinct: Vec<u8>,
    renumbered: Vec<u32>,
    numbers: Vec<u32>,
    levels: Vec<u32>,
}

impl GroupWriter {
    /// Without memory yet.
    ///
    /// # Errors
    /// `Io` when there is no memory for compression.
    pub fn new() -> Result<Self> {
        let schema = event_schema(Keys::Stored);
        let mut properties = properties();
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let converted = ArrowSchemaConverter::new().convert(&schema);
        Ok(Self {
            schema: converted.map_err(|e| refused(Path::new("a segment"), e))?,
            properties: Arc::new(properties),
            chunks: ChunkWriter::new()?,
            distinct: Vec::new(),
            renumbered: Vec::new(),
            numbers: Vec::new(),
            levels: Vec::new(),
        })
    }

    /// Writes all events of `batch`, which has their keys, into `sink`.
    pub(crate) fn write<W: Write + Send>(
        &mut self,
        sink: W,
        batch: &EventBatch,
    ) -> ParquetResult<W> {
        let (root, properties) = (self.schema.root_schema_ptr(), Arc::clone(&self.properties));
        let mut file = SerializedFileWriter::new(sink, root, properties)?;
        let mut group = file.next_row_group()?;
        self.ids(&mut group, (0, &batch.users), batch.user.iter().copied())?;
        self.ids(&mut group, (1, &batch.items), batch.item.iter().copied())?;
        self.ids(&mut group, (2, &batch.kinds), batch.kind.iter().map(|&kind| kind.into()))?;
        self.values(&mut group, &batch.value)?;
        numbers(&mut group, &batch.time_ms)?;
        let keys: Vec<i64> = batch.key.iter().map(|&key| key as i64).collect();
        numbers(&mut group, &keys)?;
        self.contexts(&mut group, batch)?;
        group.close()?;
        file.into_inner()
    }

    /// A column of ids, those of the table that it uses.
    fn ids<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        (column, table): (usize, &IdTable),
        own: impl Iterator<Item = u32>,
    ) -> ParquetResult<()> {
        let Self { distinct, renumbered, numbers, .. } = self;
        distinct.clear();
        numbers.clear();
        renumbered.clear();
        renumbered.resize(table.len(), u32::MAX);
        let mut n = 0;
        numbers.extend(own.map(|id| {
            let number = &mut renumbered[id as usize];
            if *number == u32::MAX {
                *number = n;
                n += 1;
                push_text(table.get(id), distinct);
            }
            *number
        }));
        self.chunk(group, (column, n as usize), false)
    }

    /// Writes the column that `distinct`, `numbers` and perhaps `levels` are.
    fn chunk<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        (column, n_distinct): (usize, usize),
        leveled: bool,
    ) -> ParquetResult<()> {
        let values = Values {
            distinct: (&self.distinct, n_distinct),
            numbers: &self.numbers,
            levels: leveled.then_some(&self.levels[..]),
        };
        let (bytes, closed) = self.chunks.encode(self.schema.column(column), &values)?;
        group.append_column(&bytes, closed)
    }

    fn values<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        values: &[f32],
    ) -> ParquetResult<()> {
        if let Some(n) = self.number_values(values) {
            return self.chunk(group, (3, n), false);
        }
        let Some(mut column) = group.next_column()? else { return Ok(()) };
        column.typed::<FloatType>().write_batch(values, None, None)?;
        column.close()
    }

    /// Numbers the distinct values and says how many they are; `None`: too many.
    fn number_values(&mut self, values: &[f32]) -> Option<usize> {
        let Self { distinct, numbers, .. } = self;
        distinct.clear();
        numbers.clear();
        let mut known: HashMap<u32, u32> = HashMap::new();
        let mut recent = [(0, u32::MAX); RECENT];
        for value in values {
            let bits = value.to_bits();
            let seen = &mut recent[bits.wrapping_mul(0x9e37_79b1) as usize >> 24];
            if seen.1 == u32::MAX || seen.0 != bits {
                let next = known.len() as u32;
                *seen = (bits, *known.entry(bits).or_insert(next));
                if seen.1 == next {
                    distinct.extend_from_slice(&bits.to_le_bytes());
                }
                if known.len() > MANY_VALUES {
                    return None;
                }
            }
            numbers.push(seen.1);
        }
        Some(known.len())
    }

    fn contexts<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        batch: &EventBatch,
    ) -> ParquetResult<()> {
        let rows = || batch.context.iter().map(Option::as_ref);
        self.words(group, (6, batch.len()), rows().map(|c| c?.session.as_deref()))?;
        self.words(group, (7, batch.len()), rows().map(|c| c?.scene.as_deref()))?;
        if batch.context.is_empty() {
            self.words(group, (8, batch.len()), std::iter::empty())?;
        } else {
            positions(group, rows().map(|c| c?.position))?;
        }
        self.words(group, (9, batch.len()), rows().map(|c| c?.request_id.as_deref()))
    }

    /// A column of texts that many rows do not have; rows behind the last have none.
    fn words<'t, W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        (column, n_rows): (usize, usize),
        own: impl Iterator<Item = Option<&'t str>>,
    ) -> ParquetResult<()> {
        let Self { distinct, numbers, levels, .. } = self;
        distinct.clear();
        numbers.clear();
        levels.clear();
        let mut known = IdTable::new();
        levels.extend(
            own.map(|word| u32::from(word.map(|w| numbers.push(known.intern(w))).is_some())),
        );
        levels.resize(n_rows, 0);
        known.iter().for_each(|word| push_text(word, distinct));
        self.chunk(group, (column, known.len()), true)
    }
}

impl std::fmt::Debug for GroupWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupWriter").finish_non_exhaustive()
    }
}

/// A text in Parquet's plain form.
fn push_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn numbers<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    numbers: &[i64],
) -> ParquetResult<()> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    column.typed::<Int64Type>().write_batch(numbers, None, None)?;
    column.close()
}

fn positions<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    own: impl Iterator<Item = Option<u16>>,
) -> ParquetResult<()> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    let (mut positions, mut levels) = (Vec::new(), Vec::new());
    levels.extend(own.map(|own| i16::from(own.map(|p| positions.push(i32::from(p))).is_some())));
    column.typed::<Int32Type>().write_batch(&positions, Some(&levels), None)?;
    column.close()
}
