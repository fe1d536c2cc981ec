//! All columns of a table as they are on its server: what they hold, how they are asked for, and
//! how they are put back.

use std::collections::BTreeSet;

use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::value::Kind;
use crate::tables::connection::{Cells, Connection, Dialect, text};

/// Character sets whose every text comes back from UTF-8 as it was; of others the bytes are kept.
const CHARSETS: [&str; 5] = ["utf8mb4", "utf8mb3", "utf8", "ascii", "latin1"];
/// Types of MySQL whose values are sent as bytes.
const GEOMETRIES: [&str; 9] = [
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
];

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type on the server.
    pub sql_type: String,
    /// How it is kept.
    pub kind: Kind,
    /// Whether the server computes it, so that nobody else may set it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generated: bool,
    /// The character set of bytes that are text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
}

/// Reads the columns of a table in their order; those in `as_text` are text, whatever their type.
///
/// # Errors
/// `Conflict` when there is no such table.
pub fn columns_of(
    connection: &mut Connection,
    table: &str,
    as_text: &BTreeSet<String>,
) -> Result<Vec<Column>> {
    let dialect = connection.dialect();
    let rows = match dialect {
        Dialect::Postgres => {
            let sql = "SELECT CAST(attname AS text), format_type(atttypid, atttypmod),
                              CAST(attgenerated <> '' AS text), NULL
                       FROM pg_attribute
                       WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
                       ORDER BY attnum";
            connection.rows(sql, &[dialect.quoted_table(table)])?
        }
        Dialect::MySql => {
            let sql = "SELECT CAST(column_name AS CHAR), CAST(column_type AS CHAR),
                              IF(COALESCE(generation_expression, '') = '', 'false', 'true'),
                              CAST(character_set_name AS CHAR)
                       FROM information_schema.columns
                       WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE())
                         AND table_name = ?
                       ORDER BY ordinal_position";
            connection.rows(sql, &schema_and_name(table))?
        }
    };
    if rows.is_empty() {
        let text = format!("table `{table}` is gone, or the user may not read it");
        return Err(Error::new(ErrorKind::Conflict, text));
    }
    rows.iter().map(|row| Column::of(dialect, row, as_text)).collect()
}

/// The parts of a table's name; an empty schema is the one of the connection.
pub fn schema_and_name(table: &str) -> [String; 2] {
    let (schema, name) = table.split_once('.').unwrap_or(("", table));
    [schema.to_owned(), name.to_owned()]
}

impl Column {
    fn of(dialect: Dialect, row: &Cells, as_text: &BTreeSet<String>) -> Result<Self> {
        let own = |at| Ok::<_, Error>(text(row, at)?.unwrap_or_default().to_owned());
        let (name, sql_type) = (own(0)?, own(1)?);
        let charset = Some(own(3)?).filter(|set| !set.is_empty() && !CHARSETS.contains(&&**set));
        let kind = match dialect {
            Dialect::Postgres => of_postgres(&sql_type),
            Dialect::MySql if charset.is_some() => Kind::Bytes,
            Dialect::MySql => of_mysql(&sql_type),
        };
        let kind = if as_text.contains(&name) { Kind::Text } else { kind };
        Ok(Self { name, sql_type, kind, generated: own(2)? == "true", charset })
    }

    /// The expression that gives it as [`Kind::read`] wants it.
    pub fn select(&self, dialect: Dialect) -> String {
        let own = format!("base.{}", dialect.quoted(&self.name));
        if dialect == Dialect::Postgres {
            return format!("CAST({own} AS text)");
        }
        let word = word_of(&self.sql_type);
        match self.kind {
            Kind::Bytes if self.charset.is_some() => format!("CAST({own} AS BINARY)"),
            Kind::Bytes => own,
            // Else the server rounds to what it would show.
            Kind::Float | Kind::Double => format!("CAST({own} + 0E0 AS CHAR)"),
            Kind::Uint if word == "bit" => format!("CAST({own} + 0 AS CHAR)"),
            // A cast gives NULL for what exceeds the largest packet.
            Kind::Text if is_text(word) => own,
            _ => format!("CAST({own} AS CHAR)"),
        }
    }

    /// The expression that makes it of a text in the place `place`.
    pub fn restored(&self, dialect: Dialect, place: usize) -> String {
        if dialect == Dialect::Postgres {
            return format!("CAST(CAST(${place} AS text) AS {})", self.sql_type);
        }
        match (self.kind, &self.charset) {
            (Kind::Bytes, Some(charset)) => format!("CONVERT(UNHEX(?) USING {charset})"),
            (Kind::Bytes, None) => "UNHEX(?)".to_owned(),
            (Kind::Uint, _) => "CAST(? AS UNSIGNED)".to_owned(),
            (Kind::Int, _) => "CAST(? AS SIGNED)".to_owned(),
            _ => "?".to_owned(),
        }
    }
}

fn word_of(sql_type: &str) -> &str {
    sql_type.split(['(', ' ']).next().unwrap_or(sql_type)
}

fn is_text(word: &str) -> bool {
    matches!(word, "char" | "varchar" | "enum" | "set" | "json") || word.ends_with("text")
}

fn of_postgres(sql_type: &str) -> Kind {
    match sql_type {
        "smallint" | "integer" | "bigint" => Kind::Int,
        "real" => Kind::Float,
        "double precision" => Kind::Double,
        "boolean" => Kind::Bool,
        "bytea" => Kind::Hex,
        "date" => Kind::Day,
        _ if sql_type.ends_with("[]") => Kind::Text,
        _ if sql_type.starts_with("timestamp") => {
            Kind::Moment { digits: None, utc: sql_type.ends_with("with time zone") }
        }
        _ if sql_type.starts_with("numeric(") => decimal(sql_type),
        _ => Kind::Text,
    }
}

fn of_mysql(sql_type: &str) -> Kind {
    let word = word_of(sql_type);
    match word {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => {
            if sql_type.contains("unsigned") { Kind::Uint } else { Kind::Int }
        }
        "bit" => Kind::Uint,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "decimal" => decimal(sql_type),
        "date" => Kind::Day,
        "datetime" | "timestamp" => {
            let digits = numbers(sql_type).and_then(|(digits, _)| digits.try_into().ok());
            Kind::Moment { digits: Some(digits.unwrap_or(0)), utc: word == "timestamp" }
        }
        _ if word.ends_with("binary") || word.ends_with("blob") => Kind::Bytes,
        _ if GEOMETRIES.contains(&word) => Kind::Bytes,
        _ => Kind::Text,
    }
}

/// Arrow has decimals of up to 38 digits, and we none with zeros behind the point cut off.
fn decimal(sql_type: &str) -> Kind {
    match numbers(sql_type) {
        Some((precision @ 1..=38, scale)) if (0..=precision).contains(&scale) => {
            Kind::Decimal { precision: precision as u8, scale: scale as u8 }
        }
        _ => Kind::Text,
    }
}

/// The one or two numbers in brackets.
fn numbers(sql_type: &str) -> Option<(i32, i32)> {
    let inner = sql_type.split_once('(')?.1.split(')').next()?;
    let (first, second) = inner.split_once(',').unwrap_or((inner, "0"));
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// The statement that made the table, as far as the server tells, for people who read the files.
///
/// # Errors
/// What the server says.
pub fn definition(connection: &mut Connection, table: &str, columns: &[Column]) -> Result<String> {
    let dialect = connection.dialect();
    let quoted = dialect.quoted_table(table);
    if dialect == Dialect::MySql {
        let rows = connection.plain(&format!("SHOW CREATE TABLE {quoted}"))?;
        let shown = rows.first().map(|row| text(row, 1)).transpose()?.flatten();
        return Ok(shown.unwrap_or_default().to_owned());
    }
    let sql = "SELECT CAST(a.attname AS text), CAST(a.attnotnull AS text),
                      pg_get_expr(d.adbin, d.adrelid)
               FROM pg_attribute a
               LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
               WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
               ORDER BY a.attnum";
    let rows = connection.rows(sql, std::slice::from_ref(&quoted))?;
    let mut lines = Vec::new();
    for (row, column) in rows.iter().zip(columns) {
        let mut line = format!("  {} {}", dialect.quoted(&column.name), column.sql_type);
        match text(row, 2)? {
            Some(expression) if column.generated => {
                line.push_str(&format!(" GENERATED ALWAYS AS ({expression}) STORED"));
            }
            Some(expression) => line.push_str(&format!(" DEFAULT {expression}")),
            None => {}
        }
        line.push_str(if text(row, 1)? == Some("true") { " NOT NULL" } else { "" });
        lines.push(line);
    }
    let sql = "SELECT pg_get_constraintdef(oid) FROM pg_constraint
               WHERE conrelid = to_regclass($1) AND contype IN ('p', 'u', 'c', 'f')
               ORDER BY contype, conname";
    for row in connection.rows(sql, std::slice::from_ref(&quoted))? {
        lines.push(format!("  {}", text(&row, 0)?.unwrap_or_default()));
    }
    Ok(format!("CREATE TABLE {quoted} (\n{}\n)", lines.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_kinds() {
        let pg = |name, kind| assert_eq!(of_postgres(name), kind, "{name}");
        pg("numeric(10,2)", Kind::Decimal { precision: 10, scale: 2 });
        pg("numeric(39,2)", Kind::Text);
        pg("numeric(5,-2)", Kind::Text);
        pg("numeric", Kind::Text);
        pg("numeric(4,1)[]", Kind::Text);
        pg("timestamp(3) with time zone", Kind::Moment { digits: None, utc: true });
        pg("timestamp without time zone[]", Kind::Text);
        pg("jsonb", Kind::Text);
        let mysql = |name, kind| assert_eq!(of_mysql(name), kind, "{name}");
        mysql("bigint(20) unsigned", Kind::Uint);
        mysql("tinyint(1)", Kind::Int);
        mysql("decimal(65,30)", Kind::Text);
        mysql("decimal(12,4) unsigned", Kind::Decimal { precision: 12, scale: 4 });
        mysql("timestamp(3)", Kind::Moment { digits: Some(3), utc: true });
        mysql("datetime", Kind::Moment { digits: Some(0), utc: false });
        mysql("varbinary(16)", Kind::Bytes);
        mysql("point", Kind::Bytes);
        mysql("time(2)", Kind::Text);
        mysql("enum('a(b','c d')", Kind::Text);
    }
}
