//! Items and users into the lake, as tables of one row each, with a column for each attribute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::builder::{ListBuilder, StringViewBuilder};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use foretaste_core::{Error, ErrorKind, Item, Result, User};

use super::{FeatureLake, ITEMS, USERS};
use crate::failure;
use crate::table::{Change, ColumnType, Removal, TableWriter};

/// Most attributes that become columns.
const MAX_ATTRIBUTES: usize = 200;
/// Records of one batch.
const CHUNK: usize = 8_192;
/// The mark that holds the digest of the records.
const DIGEST: &str = "digest";

/// What a copy of a catalogue did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records in the lake now.
    pub rows: u64,
    /// Whether they differed from what was there.
    pub changed: bool,
}

impl FeatureLake {
    /// Makes the items of the lake those of `items`.
    ///
    /// # Errors
    /// `Exhausted` for more than 200 different attributes, `Invalid` for two that would share a
    /// column.
    pub async fn put_items(&self, items: &[Item]) -> Result<Copied> {
        let attributes = Attributes::of(items.iter().map(|item| &item.attributes))?;
        let record = |chunk: &[Item]| item_record(chunk, &attributes);
        self.put(ITEMS, digest(items)?, items, &record).await
    }

    /// Makes the users of the lake those of `users`.
    ///
    /// # Errors
    /// As [`FeatureLake::put_items`].
    pub async fn put_users(&self, users: &[User]) -> Result<Copied> {
        let attributes = Attributes::of(users.iter().map(|user| &user.attributes))?;
        let record = |chunk: &[User]| user_record(chunk, &attributes);
        self.put(USERS, digest(users)?, users, &record).await
    }

    async fn put<T: Sync>(
        &self,
        name: &str,
        digest: String,
        records: &[T],
        record: &(dyn Fn(&[T]) -> Result<RecordBatch> + Sync),
    ) -> Result<Copied> {
        let table = self.table(name)?;
        let state = table.state().await?;
        if state.marks().get(DIGEST) == Some(&digest) {
            return Ok(Copied { rows: state.rows(), changed: false });
        }
        let mut writer = TableWriter::anew(&state, &record(&[])?.schema())?;
        for chunk in records.chunks(CHUNK) {
            writer.write(&record(chunk)?).await?;
        }
        let (add, columns) = writer.finish().await?;
        let marks = BTreeMap::from([(DIGEST.to_owned(), Some(digest))]);
        let change = Change { add, columns, marks, remove: Removal::All, expected: None };
        let state = table.commit(&change).await?;
        Ok(Copied { rows: state.rows(), changed: true })
    }
}

fn digest<T: serde::Serialize>(records: &[T]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for record in records {
        serde_json::to_writer(&mut hasher, record)
            .map_err(|e| Error::internal("a record has no JSON form").with_source(e))?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The attributes of all records, with the columns they become.
struct Attributes(Vec<(String, String)>);

impl Attributes {
    fn of<'a>(records: impl Iterator<Item = &'a BTreeMap<String, String>>) -> Result<Self> {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for record in records {
            names.extend(record.keys().map(String::as_str));
            if names.len() > MAX_ATTRIBUTES {
                let text = format!("more than {MAX_ATTRIBUTES} different attributes");
                return Err(Error::new(ErrorKind::Exhausted, text));
            }
        }
        let mut columns: BTreeMap<String, &str> = BTreeMap::new();
        for name in names {
            if let Some(other) = columns.insert(column_name(name), name) {
                let text = format!("attributes {other:?} and {name:?} need different names");
                return Err(Error::invalid(text + " in SQL: they differ by signs or case only"));
            }
        }
        Ok(Self(columns.into_iter().map(|(column, name)| (column, name.to_owned())).collect()))
    }

    fn fields(&self) -> impl Iterator<Item = Field> {
        self.0.iter().map(|(column, _)| field(column, ColumnType::Text, true))
    }

    fn arrays<'a>(
        &'a self,
        of: impl Fn(usize) -> Option<&'a BTreeMap<String, String>>,
    ) -> impl Iterator<Item = ArrayRef> {
        self.0.iter().map(move |(_, name)| {
            let values = (0..).map_while(&of).map(|attributes| attributes.get(name));
            Arc::new(values.collect::<StringViewArray>()) as ArrayRef
        })
    }
}

fn column_name(attribute: &str) -> String {
    let sign = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("attr_{}", attribute.chars().map(sign).collect::<String>())
}

fn field(name: &str, column_type: ColumnType, nullable: bool) -> Field {
    Field::new(name, column_type.arrow(), nullable)
}

fn texts<'a>(values: impl Iterator<Item = &'a String>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

/// The columns of items that every lake has.
pub(crate) fn item_fields() -> Vec<Field> {
    vec![
        field("item_id", ColumnType::Text, false),
        field("title", ColumnType::Text, false),
        field("description", ColumnType::Text, false),
        field("category", ColumnType::Text, true),
        field("categories", ColumnType::Texts, false),
        field("tags", ColumnType::Texts, false),
        field("price", ColumnType::Float64, true),
        field("created_ms", ColumnType::Int64, false),
        field("hidden", ColumnType::Bool, false),
    ]
}

/// The columns of users that every lake has.
pub(crate) fn user_fields() -> Vec<Field> {
    vec![field("user_id", ColumnType::Text, false), field("created_ms", ColumnType::Int64, false)]
}

fn item_record(items: &[Item], attributes: &Attributes) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = vec![
        texts(items.iter().map(|i| &i.item_id)),
        texts(items.iter().map(|i| &i.title)),
        texts(items.iter().map(|i| &i.description)),
        Arc::new(items.iter().map(|i| i.categories.last()).collect::<StringViewArray>()),
        lists(items.iter().map(|i| &i.categories)),
        lists(items.iter().map(|i| &i.tags)),
        Arc::new(items.iter().map(|i| i.price).collect::<Float64Array>()),
        Arc::new(Int64Array::from_iter_values(items.iter().map(|i| i.created_ms))),
        Arc::new(items.iter().map(|i| Some(i.hidden)).collect::<BooleanArray>()),
    ];
    columns.extend(attributes.arrays(|at| items.get(at).map(|i| &i.attributes)));
    record(item_fields().into_iter().chain(attributes.fields()), columns)
}

fn user_record(users: &[User], attributes: &Attributes) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = vec![
        texts(users.iter().map(|u| &u.user_id)),
        Arc::new(Int64Array::from_iter_values(users.iter().map(|u| u.created_ms))),
    ];
    columns.extend(attributes.arrays(|at| users.get(at).map(|u| &u.attributes)));
    record(user_fields().into_iter().chain(attributes.fields()), columns)
}

fn record(fields: impl Iterator<Item = Field>, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns).map_err(failure::arrow)
}

fn lists<'a>(values: impl Iterator<Item = &'a Vec<String>>) -> ArrayRef {
    let entry = Arc::new(Field::new_list_field(DataType::Utf8View, true));
    let mut builder = ListBuilder::new(StringViewBuilder::new()).with_field(entry);
    values.for_each(|list| builder.append_value(list.iter().map(Some)));
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> BTreeMap<String, String> {
        names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect()
    }

    #[test]
    fn attributes_become_columns_or_are_refused() {
        let (a, b) = (named(&["Size (cm)"]), named(&["colour"]));
        let found = Attributes::of([&a, &b].into_iter()).unwrap();
        let columns: Vec<&str> = found.0.iter().map(|(column, _)| column.as_str()).collect();
        assert_eq!(columns, ["attr_colour", "attr_size__cm_"]);
        let clash = named(&["a b", "a-b"]);
        let error = Attributes::of([&clash].into_iter()).err().unwrap();
        assert!(error.to_string().contains("\"a b\" and \"a-b\""), "{error}");
        let many: Vec<_> = (0..201).map(|n| named(&[&format!("n{n}")])).collect();
        let error = Attributes::of(many.iter()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Exhausted);
    }
}
