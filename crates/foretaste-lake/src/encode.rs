//! Columns of events to Arrow, and how Parquet is to store them.

use std::sync::Arc;

use ::parquet::basic::{Compression, Encoding, ZstdLevel};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use ::parquet::schema::types::ColumnPath;
use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::UInt32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float32Array, Int64Array, RecordBatch, StringArray, UInt16Array,
    UInt32Array, UInt64Array, new_null_array,
};
use arrow_schema::DataType;
use foretaste_core::{Error, EventBatch, EventContext, IdTable, Result};

use crate::columns::{DICTIONARIES, KEY, Keys, TIME, VALUE, dictionary, event_schema};

/// Rows of one row group: the unit of reading, and with it of memory.
pub(crate) const GROUP_ROWS: usize = 1 << 20;

/// How hard zstd tries.
pub(crate) const ZSTD_LEVEL: i32 = 1;

/// A dictionary may grow to this before ids are stored plainly (slow to read, still right).
const DICTIONARY_BYTES: usize = 256 << 20;

/// How files of events are stored.
///
/// Ids repeat: dictionaries without a limit that matters. Times mostly ascend: deltas. Keys are
/// noise: neither dictionary nor compression. Only times need statistics.
pub(crate) fn properties() -> WriterProperties {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).expect("a level of zstd"));
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by("foretaste".to_owned())
        .set_compression(zstd)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(GROUP_ROWS / 8)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_column_statistics_enabled(TIME.into(), EnabledStatistics::Chunk)
        .set_column_encoding(TIME.into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(VALUE.into(), true)
        .set_column_compression(KEY.into(), Compression::UNCOMPRESSED);
    for name in DICTIONARIES {
        builder = builder
            .set_column_dictionary_enabled(ColumnPath::from(name), true)
            .set_column_dictionary_page_size_limit(ColumnPath::from(name), DICTIONARY_BYTES);
    }
    builder.build()
}

/// A batch whose id tables are already in Arrow's form, to be cut into pieces.
pub(crate) struct Encoder<'a> {
    batch: &'a EventBatch,
    users: StringArray,
    items: StringArray,
    kinds: StringArray,
    keys: Keys,
}

impl<'a> Encoder<'a> {
    /// Prepares the id tables of `batch`.
    pub(crate) fn new(batch: &'a EventBatch, keys: Keys) -> Self {
        let strings = |table: &IdTable| StringArray::from_iter_values(table.iter());
        let (users, items) = (strings(&batch.users), strings(&batch.items));
        Self { batch, users, items, kinds: strings(&batch.kinds), keys }
    }

    /// Rows `from..to` as an Arrow batch.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Result<RecordBatch> {
        let batch = self.batch;
        let kinds = batch.kind[from..to].iter().map(|&kind| u32::from(kind)).collect();
        let mut columns: Vec<ArrayRef> = vec![
            indexed(batch.user[from..to].to_vec(), &self.users)?,
            indexed(batch.item[from..to].to_vec(), &self.items)?,
            indexed(kinds, &self.kinds)?,
            Arc::new(Float32Array::from(batch.value[from..to].to_vec())),
            Arc::new(Int64Array::from(batch.time_ms[from..to].to_vec())),
        ];
        if self.keys == Keys::Stored {
            columns.push(Arc::new(UInt64Array::from(batch.key[from..to].to_vec())));
        }
        columns.extend(self.context(from, to));
        RecordBatch::try_new(event_schema(self.keys), columns)
            .map_err(|e| Error::internal("columns of an event batch disagree").with_source(e))
    }

    fn context(&self, from: usize, to: usize) -> [ArrayRef; 4] {
        let Some(context) = self.batch.context.get(from..to) else {
            let none = |of: &DataType| new_null_array(of, to - from);
            let (text, number) = (none(&dictionary()), none(&DataType::UInt16));
            return [text.clone(), text.clone(), number, text];
        };
        let rows: Vec<Option<&EventContext>> = context.iter().map(Option::as_ref).collect();
        let text = |of: fn(&EventContext) -> Option<&String>| -> ArrayRef {
            let mut builder = StringDictionaryBuilder::<UInt32Type>::new();
            let values = rows.iter().map(|row| row.and_then(of));
            values.for_each(|value| builder.append_option(value));
            Arc::new(builder.finish())
        };
        let position: UInt16Array = rows.iter().map(|row| row.and_then(|c| c.position)).collect();
        [
            text(|c| c.session.as_ref()),
            text(|c| c.scene.as_ref()),
            Arc::new(position),
            text(|c| c.request_id.as_ref()),
        ]
    }
}

fn indexed(keys: Vec<u32>, values: &StringArray) -> Result<ArrayRef> {
    let values = Arc::new(values.clone());
    let array = DictionaryArray::<UInt32Type>::try_new(UInt32Array::from(keys), values);
    Ok(Arc::new(array.map_err(|e| Error::internal("index beyond its id table").with_source(e))?))
}
