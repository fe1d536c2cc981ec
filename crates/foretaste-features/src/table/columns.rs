//! The columns of a table, and how they may change while files of older forms stay readable.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::failure;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Text.
    Text,
    /// Whole numbers of 16 bits without sign.
    Uint16,
    /// Whole numbers of 32 bits.
    Int32,
    /// Whole numbers of 64 bits.
    Int64,
    /// Whole numbers of 64 bits without sign.
    Uint64,
    /// Numbers of single precision.
    Float32,
    /// Numbers of double precision.
    Float64,
    /// True or false.
    Bool,
    /// Lists of text.
    Texts,
}

impl ColumnType {
    /// The type in memory.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8View,
            Self::Uint16 => DataType::UInt16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Uint64 => DataType::UInt64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Texts => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true)))
            }
        }
    }

    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Dictionary(_, value) => Self::of(value).filter(|&t| t == Self::Text)?,
            DataType::UInt8 | DataType::UInt16 => Self::Uint16,
            DataType::Int8 | DataType::Int16 | DataType::Int32 => Self::Int32,
            DataType::Int64 | DataType::UInt32 => Self::Int64,
            DataType::UInt64 => Self::Uint64,
            DataType::Float16 | DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Boolean => Self::Bool,
            DataType::List(field) => {
                Self::of(field.data_type()).filter(|&t| t == Self::Text).map(|_| Self::Texts)?
            }
            _ => return None,
        })
    }

    /// The narrowest type that holds all values of both, if one of the two does.
    fn union(self, other: Self) -> Option<Self> {
        let wider = |narrow, wide| match (narrow, wide) {
            (Self::Uint16, Self::Int32 | Self::Int64 | Self::Uint64)
            | (Self::Uint16, Self::Float32 | Self::Float64)
            | (Self::Int32, Self::Int64 | Self::Float64)
            | (Self::Float32, Self::Float64) => Some(wide),
            _ => None,
        };
        if self == other { Some(self) } else { wider(self, other).or_else(|| wider(other, self)) }
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether values may be missing.
    pub nullable: bool,
}

/// The columns of a table, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Columns(Vec<Column>);

impl Columns {
    /// The columns of an Arrow schema.
    ///
    /// # Errors
    /// `Invalid` naming a column of a type that tables do not hold.
    pub fn of(schema: &Schema) -> Result<Self> {
        let column = |field: &Arc<Field>| {
            let column_type = ColumnType::of(field.data_type()).ok_or_else(|| {
                Error::invalid(format!(
                    "column {} has the type {}, which tables do not hold; cast it to text, a \
                     number or a list of text",
                    field.name(),
                    field.data_type()
                ))
            })?;
            Ok(Column { name: field.name().clone(), column_type, nullable: field.is_nullable() })
        };
        Ok(Self(schema.fields().iter().map(column).collect::<Result<_>>()?))
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Column> {
        self.0.iter()
    }

    /// The column of this name.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.0.iter().find(|column| column.name == name)
    }

    /// The Arrow schema of all readers of the table, whatever the form of a file.
    pub fn schema(&self) -> SchemaRef {
        let field = |c: &Column| Field::new(&c.name, c.column_type.arrow(), c.nullable);
        Arc::new(Schema::new(self.0.iter().map(field).collect::<Vec<_>>()))
    }

    /// These columns, changed so that rows of `new` fit: a column that is new may be missing in
    /// older rows, one that `new` lacks is missing from now on, and a type grows wider.
    ///
    /// # Errors
    /// `Conflict` naming a column whose type would change to one that does not hold its values.
    pub fn evolve(&self, new: &Self) -> Result<Self> {
        if self.0.is_empty() {
            return Ok(new.clone());
        }
        let mut columns = Vec::new();
        for old in &self.0 {
            columns.push(match new.get(&old.name) {
                Some(column) => widened(old, column)?,
                None => Column { nullable: true, ..old.clone() },
            });
        }
        let added = new.0.iter().filter(|column| self.get(&column.name).is_none());
        columns.extend(added.map(|column| Column { nullable: true, ..column.clone() }));
        Ok(Self(columns))
    }

    /// Rows of an older form in this form: missing columns are null, narrower ones grow.
    ///
    /// # Errors
    /// `Invalid` when a column that must have values has none.
    pub fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |c: &Column| -> Result<ArrayRef> {
            let target = c.column_type.arrow();
            let array = match batch.column_by_name(&c.name) {
                Some(array) if *array.data_type() == target => Arc::clone(array),
                Some(array) => cast(array, &target).map_err(failure::arrow)?,
                None => new_null_array(&target, batch.num_rows()),
            };
            if !c.nullable && array.null_count() > 0 {
                return Err(Error::invalid(format!("column {} has missing values", c.name)));
            }
            Ok(array)
        };
        let arrays = self.0.iter().map(column).collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(self.schema(), arrays).map_err(failure::arrow)
    }
}

fn widened(old: &Column, new: &Column) -> Result<Column> {
    let Some(column_type) = old.column_type.union(new.column_type) else {
        let text = format!(
            "column {} holds {:?} and would have to hold {:?}; give the new one another name",
            old.name, old.column_type, new.column_type
        );
        return Err(Error::new(ErrorKind::Conflict, text));
    };
    Ok(Column { name: old.name.clone(), column_type, nullable: old.nullable || new.nullable })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(of: &[(&str, ColumnType, bool)]) -> Columns {
        let column = |&(name, column_type, nullable): &(&str, ColumnType, bool)| Column {
            name: name.to_owned(),
            column_type,
            nullable,
        };
        Columns(of.iter().map(column).collect())
    }

    #[test]
    fn columns_come_go_and_grow() {
        use ColumnType::{Bool, Float64, Int32, Int64, Text};
        let old = columns(&[("a", Int32, false), ("b", Text, false)]);
        let new = columns(&[("a", Int64, false), ("c", Bool, false)]);
        let both = columns(&[("a", Int64, false), ("b", Text, true), ("c", Bool, true)]);
        assert_eq!(old.evolve(&new).unwrap(), both);
        assert_eq!(Columns::default().evolve(&new).unwrap(), new);
        assert_eq!(both.evolve(&old).unwrap(), both);
        let error = new.evolve(&columns(&[("a", Float64, false)])).unwrap_err();
        assert!(error.to_string().contains("column a holds Int64"), "{error}");
    }
}
