//! The columns of the tables of a source as they are on the server, and whether they are still
//! what they were.

use std::collections::BTreeMap;

use foretaste_core::{Error, ErrorKind, Result};

use super::config::TableConfig;
use super::connection::{Connection, Dialect, text};

/// Type by column, by lookup (`""` is the base table).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    tables: BTreeMap<String, BTreeMap<String, String>>,
}

/// How a type is compared, written down and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A moment or a day.
    Time,
    /// A whole number, perhaps unsigned.
    Integer,
    /// The number of a transaction.
    Transaction,
    /// Bytes that are no text.
    Binary,
    /// Several values in one.
    Array,
    /// Anything else, by its text.
    Text,
}

impl Schema {
    /// Reads the columns of the base table and of the lookups.
    ///
    /// # Errors
    /// `Conflict` naming a table that is not there.
    pub fn read(snapshot: &mut Connection, table: &TableConfig) -> Result<Self> {
        let mut schema = Self::default();
        let lookups = table.joins.iter().map(|join| (join.alias.as_str(), join.table.as_str()));
        for (alias, name) in [("", table.table.as_str())].into_iter().chain(lookups) {
            let columns = columns_of(snapshot, name)?;
            if columns.is_empty() {
                let text = format!("table `{name}` is gone, or the user may not read it");
                return Err(Error::new(ErrorKind::Conflict, text));
            }
            schema.tables.insert(alias.to_owned(), columns);
        }
        Ok(schema)
    }

    /// The type of `column` or `lookup.column`.
    ///
    /// # Errors
    /// `Conflict` naming the column when it is not there.
    pub fn type_of(&self, reference: &str) -> Result<&str> {
        let (alias, column) = reference.split_once('.').unwrap_or(("", reference));
        let found = self.tables.get(alias).and_then(|columns| columns.get(column));
        found.map(String::as_str).ok_or_else(|| {
            let text = format!(
                "column `{reference}` is gone or was renamed; correct the source's `fields` or \
                 bring the column back. The table is not read until then"
            );
            Error::new(ErrorKind::Conflict, text)
        })
    }

    /// Type of every column that `table` uses, for comparing with earlier passes.
    ///
    /// # Errors
    /// As [`Schema::type_of`].
    pub fn used(&self, table: &TableConfig) -> Result<BTreeMap<String, String>> {
        let on = table.joins.iter().flat_map(|join| {
            join.on.iter().flat_map(|(own, base)| [format!("{}.{own}", join.alias), base.clone()])
        });
        let fields = table.fields.values().flat_map(|field| field.columns()).cloned();
        let own = table.id.iter().chain([&table.watermark]).chain(&table.deleted);
        let all = own.chain(table.filter.keys()).cloned().chain(on).chain(fields);
        all.map(|name| Ok((name.clone(), self.type_of(&name)?.to_owned()))).collect()
    }
}

/// Compares with what the columns were.
///
/// # Errors
/// `Conflict` naming the first column whose type has changed.
pub fn check_drift(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Result<()> {
    for (column, was) in before {
        if let Some(is) = now.get(column)
            && is != was
        {
            let text = format!(
                "column `{column}` was {was} and is {is} now. The table is not read until \
                 `foretaste extract --accept-schema` says that its meaning is the same"
            );
            return Err(Error::new(ErrorKind::Conflict, text));
        }
    }
    Ok(())
}

/// The class of a type by its name on the server.
pub fn class_of(dialect: Dialect, name: &str) -> Class {
    let word = name.split(['(', ' ']).next().unwrap_or(name);
    if name.ends_with("[]") {
        return Class::Array;
    }
    match (dialect, word) {
        (_, "timestamp" | "datetime" | "date") => Class::Time,
        (_, "bigint" | "int" | "integer" | "smallint" | "mediumint" | "tinyint") => Class::Integer,
        (Dialect::Postgres, "xid8") => Class::Transaction,
        (Dialect::Postgres, "bytea") => Class::Binary,
        (Dialect::MySql, word) if word.ends_with("binary") || word.ends_with("blob") => {
            Class::Binary
        }
        _ => Class::Text,
    }
}

fn columns_of(snapshot: &mut Connection, name: &str) -> Result<BTreeMap<String, String>> {
    let rows = match snapshot.dialect() {
        Dialect::Postgres => {
            let sql = "SELECT CAST(attname AS text), format_type(atttypid, atttypmod)
                       FROM pg_attribute
                       WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
            snapshot.rows(sql, &[Dialect::Postgres.quoted_table(name)])?
        }
        Dialect::MySql => {
            let (schema, table) = name.split_once('.').unwrap_or(("", name));
            let sql = "SELECT CAST(column_name AS CHAR), CAST(column_type AS CHAR)
                       FROM information_schema.columns
                       WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE())
                         AND table_name = ?";
            snapshot.rows(sql, &[schema.to_owned(), table.to_owned()])?
        }
    };
    let pair = |row: &Vec<Option<Vec<u8>>>| {
        let word = |at| Ok::<_, Error>(text(row, at)?.unwrap_or_default().to_owned());
        Ok((word(0)?, word(1)?))
    };
    rows.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_classes() {
        let check = |dialect, name, class| assert_eq!(class_of(dialect, name), class, "{name}");
        check(Dialect::Postgres, "timestamp(3) with time zone", Class::Time);
        check(Dialect::Postgres, "text[]", Class::Array);
        check(Dialect::Postgres, "interval", Class::Text);
        check(Dialect::Postgres, "xid8", Class::Transaction);
        check(Dialect::MySql, "bigint(20) unsigned", Class::Integer);
        check(Dialect::MySql, "binary(8)", Class::Binary);
        check(Dialect::MySql, "datetime(6)", Class::Time);
        check(Dialect::MySql, "tinyblob", Class::Binary);
    }

    #[test]
    fn a_changed_type_is_named_and_a_new_column_is_fine() {
        let columns = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        let before = columns(&[("id", "bigint"), ("sku", "text")]);
        let wider = columns(&[("id", "bigint"), ("sku", "text"), ("x", "text")]);
        check_drift(&before, &wider).unwrap();
        let retyped = columns(&[("id", "bigint"), ("sku", "integer")]);
        let error = check_drift(&before, &retyped).unwrap_err().to_string();
        assert!(error.contains("`sku` was text and is integer"), "{error}");
    }
}
