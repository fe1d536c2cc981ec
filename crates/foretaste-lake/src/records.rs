//! Items and users as Parquet. Columns that a file lacks take their default values.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow_array::builder::{Float32Builder, ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use foretaste_core::{Error, ErrorKind, Item, Result, User};

use crate::file::ParquetFile;
use crate::parquet::refused;

/// Records of one row group.
const GROUP_ROWS: usize = 1 << 16;

/// Writes items to a new file and returns how many.
pub fn write_items(path: &Path, items: impl IntoIterator<Item = Item>) -> Result<u64> {
    write(path, items, encode_items)
}

/// Writes users to a new file and returns how many.
pub fn write_users(path: &Path, users: impl IntoIterator<Item = User>) -> Result<u64> {
    write(path, users, encode_users)
}

/// Reads the items of a file.
///
/// # Errors
/// `NotFound`, `Corrupt` naming the file, and what `sink` returns.
pub fn read_items(path: &Path, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
    read(path, &mut |rows| (0..rows.len).try_for_each(|i| sink(item(rows, i)?)))
}

/// Reads the users of a file.
///
/// # Errors
/// `NotFound`, `Corrupt` naming the file, and what `sink` returns.
pub fn read_users(path: &Path, sink: &mut dyn FnMut(User) -> Result<()>) -> Result<()> {
    read(path, &mut |rows| (0..rows.len).try_for_each(|i| sink(user(rows, i)?)))
}

fn write<T>(
    path: &Path,
    records: impl IntoIterator<Item = T>,
    encode: fn(&[T]) -> Result<RecordBatch>,
) -> Result<u64> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(3).expect("3 is a level of zstd"));
    let properties = WriterProperties::builder()
        .set_compression(zstd)
        .set_created_by("foretaste".to_owned())
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    let file = fs_err::File::create(path)?;
    let schema = encode(&[])?.schema();
    let writer = ArrowWriter::try_new(file, schema, Some(properties));
    let mut writer = writer.map_err(|e| refused(path, e))?;
    let (mut pending, mut count) = (Vec::with_capacity(GROUP_ROWS), 0);
    for record in records {
        pending.push(record);
        count += 1;
        if pending.len() == GROUP_ROWS {
            writer.write(&encode(&pending)?).map_err(|e| refused(path, e))?;
            pending.clear();
        }
    }
    writer.write(&encode(&pending)?).map_err(|e| refused(path, e))?;
    writer.into_inner().map_err(|e| refused(path, e))?.sync_all()?;
    Ok(count)
}

fn encode_items(items: &[Item]) -> Result<RecordBatch> {
    let words = |of: fn(&Item) -> &Vec<String>| -> ArrayRef {
        let mut lists = ListBuilder::new(StringBuilder::new());
        items.iter().for_each(|i| lists.append_value(of(i).iter().map(Some)));
        Arc::new(lists.finish())
    };
    let text = |of: fn(&Item) -> &String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(items.iter().map(of)))
    };
    let mut embeddings = ListBuilder::new(Float32Builder::new());
    let vectors = items.iter().map(|i| i.embedding.as_ref());
    vectors.for_each(|v| embeddings.append_option(v.map(|v| v.iter().copied().map(Some))));
    let attributes = items.iter().map(|i| json(&i.attributes)).collect::<Result<Vec<_>>>()?;
    let numbers = items.iter().map(|i| i.created_ms);
    let hidden: Vec<bool> = items.iter().map(|i| i.hidden).collect();
    let columns: [(&str, ArrayRef, bool); 10] = [
        ("item_id", text(|i| &i.item_id), false),
        ("title", text(|i| &i.title), false),
        ("description", text(|i| &i.description), false),
        ("categories", words(|i| &i.categories), false),
        ("tags", words(|i| &i.tags), false),
        ("price", Arc::new(items.iter().map(|i| i.price).collect::<Float64Array>()), true),
        ("attributes", Arc::new(StringArray::from(attributes)), false),
        ("created_ms", Arc::new(Int64Array::from_iter_values(numbers)), false),
        ("hidden", Arc::new(BooleanArray::from(hidden)), false),
        ("embedding", Arc::new(embeddings.finish()), true),
    ];
    record(columns)
}

fn encode_users(users: &[User]) -> Result<RecordBatch> {
    let attributes = users.iter().map(|u| json(&u.attributes)).collect::<Result<Vec<_>>>()?;
    let created = Int64Array::from_iter_values(users.iter().map(|u| u.created_ms));
    let ids = StringArray::from_iter_values(users.iter().map(|u| &u.user_id));
    let columns: [(&str, ArrayRef, bool); 3] = [
        ("user_id", Arc::new(ids), false),
        ("attributes", Arc::new(StringArray::from(attributes)), false),
        ("created_ms", Arc::new(created), false),
    ];
    record(columns)
}

fn record<const N: usize>(columns: [(&str, ArrayRef, bool); N]) -> Result<RecordBatch> {
    RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|e| Error::internal("columns of catalogue records disagree").with_source(e))
}

fn json(attributes: &BTreeMap<String, String>) -> Result<String> {
    serde_json::to_string(attributes)
        .map_err(|e| Error::internal("attributes do not become JSON").with_source(e))
}

/// One Arrow batch of records, asked by column name.
struct Rows<'a> {
    record: &'a RecordBatch,
    len: usize,
}

fn read(path: &Path, each: &mut dyn FnMut(&Rows<'_>) -> Result<()>) -> Result<()> {
    let file = ParquetFile::open(path)?;
    for group in 0..file.groups() {
        let Some(record) = file.record(group, &[])? else { continue };
        let rows = Rows { record: &record, len: record.num_rows() };
        each(&rows).map_err(|e| match e.kind() {
            ErrorKind::Corrupt => e.context(path.display()),
            _ => e,
        })?;
    }
    Ok(())
}

fn item(rows: &Rows<'_>, i: usize) -> Result<Item> {
    Ok(Item {
        item_id: rows.id("item_id", i)?,
        title: rows.text("title", i).unwrap_or_default(),
        description: rows.text("description", i).unwrap_or_default(),
        categories: rows.words("categories", i),
        tags: rows.words("tags", i),
        price: rows.price(i),
        attributes: rows.attributes(i)?,
        created_ms: rows.created(i),
        hidden: rows.hidden(i),
        embedding: rows.embedding(i),
    })
}

fn user(rows: &Rows<'_>, i: usize) -> Result<User> {
    let (attributes, created_ms) = (rows.attributes(i)?, rows.created(i));
    Ok(User { user_id: rows.id("user_id", i)?, attributes, created_ms })
}

impl Rows<'_> {
    fn cell(&self, name: &str, i: usize) -> Option<&ArrayRef> {
        self.record.column_by_name(name).filter(|column| column.is_valid(i))
    }

    fn text(&self, name: &str, i: usize) -> Option<String> {
        let column = self.cell(name, i)?.as_string_opt::<i32>()?;
        Some(column.value(i).to_owned())
    }

    fn id(&self, name: &str, i: usize) -> Result<String> {
        self.text(name, i)
            .ok_or_else(|| Error::corrupt(format!("row {i}: {name} is missing or not text")))
    }

    fn words(&self, name: &str, i: usize) -> Vec<String> {
        let list = self.cell(name, i).and_then(|c| c.as_list_opt::<i32>()).map(|c| c.value(i));
        let Some(list) = list else { return Vec::new() };
        let Some(words) = list.as_string_opt::<i32>() else { return Vec::new() };
        words.iter().flatten().map(str::to_owned).collect()
    }

    fn price(&self, i: usize) -> Option<f64> {
        Some(self.cell("price", i)?.as_primitive_opt::<Float64Type>()?.value(i))
    }

    fn created(&self, i: usize) -> i64 {
        let column = self.cell("created_ms", i).and_then(|c| c.as_primitive_opt::<Int64Type>());
        column.map_or(0, |c| c.value(i))
    }

    fn hidden(&self, i: usize) -> bool {
        let column = self.cell("hidden", i).and_then(|c| c.as_boolean_opt());
        column.is_some_and(|c| c.value(i))
    }

    fn embedding(&self, i: usize) -> Option<Vec<f32>> {
        let list = self.cell("embedding", i)?.as_list_opt::<i32>()?.value(i);
        Some(list.as_primitive_opt::<Float32Type>()?.values().to_vec())
    }

    fn attributes(&self, i: usize) -> Result<BTreeMap<String, String>> {
        let Some(text) = self.text("attributes", i) else { return Ok(BTreeMap::new()) };
        serde_json::from_str(&text)
            .map_err(|e| Error::corrupt(format!("row {i}: attributes are not JSON")).with_source(e))
    }
}
