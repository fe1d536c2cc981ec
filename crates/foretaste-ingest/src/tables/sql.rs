//! The statements of a table, in the dialect of its server.
//!
//! Names were checked against a pattern and against the server's own list before they come here,
//! and are quoted all the same; values are parameters, or quoted as the server's own
//! `quote_literal` does where there can be none.

use foretaste_core::{Error, ErrorKind, Limits, Result};

use super::config::{Condition, Field, TableConfig};
use super::connection::Dialect;
use super::layout::Layout;
use super::schema::{Class, Schema, class_of};

/// One more than any text may have, so that longer ones are noticed without being fetched.
pub(super) const TEXT_CHARS: usize = Limits::DEFAULT.text_bytes + 1;

/// The last transaction before which all have ended and are seen, as text.
const FINISHED: &str = "CAST(CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) \
                        - 1 AS text)";

/// Which rows a page holds.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// Watermarks from here on.
    pub from: Option<String>,
    /// Watermarks up to here.
    pub to: Option<String>,
    /// Watermarks below this.
    pub below: Option<String>,
    /// Watermarks above this.
    pub above: Option<String>,
    /// Only rows that are in no bucket.
    pub undated: bool,
    /// Rows after this watermark and these ids.
    pub after: Option<Vec<String>>,
    /// The index by which they are to be found (MySQL only, which else sorts for large pages).
    pub index: Option<String>,
    /// In the order of the ids alone.
    pub by_id: bool,
    /// Rows after these ids.
    pub after_ids: Option<Vec<String>>,
}

/// A statement and its parameters, in the order in which they stand in it.
#[derive(Debug, Default)]
pub struct Statement {
    /// The text.
    pub sql: String,
    /// The values.
    pub values: Vec<String>,
    /// The same as a `COPY` (PostgreSQL only), which knows no parameters.
    pub copy: Option<String>,
    /// Values stand in the text, quoted, instead of in `values`.
    is_whole: bool,
}

impl Statement {
    /// One whose values will stand in its text.
    pub(super) fn whole() -> Self {
        Self { is_whole: true, ..Self::default() }
    }

    /// Such a one as a `COPY`.
    pub(super) fn copied(&self) -> String {
        format!("COPY ({}) TO STDOUT (FORMAT binary)", self.sql)
    }
}

/// Makes the statements of one table.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// Which SQL.
    pub dialect: Dialect,
    /// What is read.
    pub table: &'a TableConfig,
    /// The columns on the server.
    pub schema: &'a Schema,
}

impl Writer<'_> {
    /// Whether watermarks are times, numbers or transactions.
    ///
    /// # Errors
    /// `Config` when the watermark column is none of these, or not what `exact` says.
    pub fn watermark_class(&self) -> Result<Class> {
        let name = self.schema.type_of(&self.table.watermark)?;
        let wanted = match (class_of(self.dialect, name), self.table.exact) {
            (class @ (Class::Time | Class::Integer), false) => return Ok(class),
            (class @ Class::Transaction, true) => return Ok(class),
            (_, true) => "xid8 on PostgreSQL, as `exact` is set",
            (Class::Transaction, false) => "read with `exact = true`",
            (_, false) => "a time or integer",
        };
        let column = &self.table.watermark;
        let text = format!("watermark `{column}` is {name}; it must be {wanted}");
        Err(Error::new(ErrorKind::Config, text))
    }

    /// One page of rows, in the order of watermark and ids.
    pub fn page(&self, range: &Range, limit: u32) -> Result<(Statement, Layout)> {
        let mut out = Statement::default();
        let layout = self.write_page((range, limit), &mut out)?;
        if self.dialect == Dialect::Postgres {
            let mut whole = Statement::whole();
            self.write_page((range, limit), &mut whole)?;
            out.copy = Some(whole.copied());
        }
        Ok((out, layout))
    }

    fn write_page(&self, (range, limit): (&Range, u32), out: &mut Statement) -> Result<Layout> {
        let layout = self.layout(out)?;
        let from = self.from(range.index.as_deref())?;
        let ids = self.table.id.iter().collect();
        let order: Vec<&String> = if range.by_id { ids } else { self.table.key().collect() };
        let order: Vec<_> = order.into_iter().map(|name| self.quoted(name)).collect();
        let conditions = self.conditions(range, out)?;
        out.sql = format!(
            "SELECT {} {from} WHERE {conditions} ORDER BY {} LIMIT {limit}",
            layout.select.join(", "),
            order.join(", ")
        );
        Ok(layout)
    }

    /// Bucket, number of rows and sum of digests, for all rows of the range.
    pub fn buckets(&self, range: &Range) -> Result<Statement> {
        let mut out = Statement::default();
        let bucket = self.as_text(&self.bucket()?);
        let digest = self.digest(&mut out)?;
        let (count, sum) = (self.as_text("COUNT(*)"), self.as_text(&format!("SUM({digest})")));
        let from = self.from(None)?;
        let conditions = self.conditions(range, &mut out)?;
        out.sql = format!("SELECT {bucket}, {count}, {sum} {from} WHERE {conditions} GROUP BY 1");
        Ok(out)
    }

    /// Number of rows that no pass can read: without a watermark or an id.
    pub fn unreadable(&self) -> Result<Statement> {
        let mut out = Statement::default();
        let null: Vec<_> =
            self.table.key().map(|name| format!("{} IS NULL", self.quoted(name))).collect();
        let filter = self.filter(&mut out)?;
        let (count, from) = (self.as_text("COUNT(*)"), self.from(None)?);
        let null = null.join(" OR ");
        out.sql = format!("SELECT {count} {from} WHERE ({null}){filter}");
        Ok(out)
    }

    /// The watermark of `at` less the lookback, the highest watermark to read, and the later of
    /// that and `at`; `behind_s` is how far a replica lags.
    pub fn bounds(&self, at: Option<&str>, behind_s: u64) -> Result<Statement> {
        let mut out = Statement::default();
        let own = self.schema.type_of(&self.table.watermark)?.to_owned();
        let lookback = self.table.lookback_s;
        let settle = u64::from(self.table.settle_s) + behind_s;
        let highest = match self.watermark_class()? {
            Class::Integer => Some(self.as_text(&self.highest()?)),
            Class::Transaction => Some(FINISHED.to_owned()),
            _ => None,
        };
        if let Some(highest) = highest {
            out.sql = format!("SELECT NULL, {highest}, NULL");
            return Ok(out);
        }
        let now = match self.dialect {
            Dialect::Postgres => {
                format!("CAST(clock_timestamp() - make_interval(secs => {settle}) AS {own})")
            }
            Dialect::MySql => format!("UTC_TIMESTAMP(6) - INTERVAL {settle} SECOND"),
        };
        let Some(at) = at else {
            out.sql = format!("SELECT NULL, {0}, {0}", self.as_text(&now));
            return Ok(out);
        };
        let value = self.value(&self.table.watermark, at, &mut out)?;
        let low = match self.dialect {
            Dialect::Postgres => {
                format!("CAST({value} - make_interval(secs => {lookback}) AS {own})")
            }
            Dialect::MySql => format!("{value} - INTERVAL {lookback} SECOND"),
        };
        let again = self.value(&self.table.watermark, at, &mut out)?;
        let later = self.as_text(&format!("GREATEST({again}, {now})"));
        out.sql = format!("SELECT {}, {}, {later}", self.as_text(&low), self.as_text(&now));
        Ok(out)
    }

    /// The highest watermark within the range, of whichever row.
    pub fn newest(&self, range: &Range) -> Result<Statement> {
        let mut out = Statement::default();
        let (table, column) =
            (self.quoted_table(&self.table.table), self.quoted(&self.table.watermark));
        if self.watermark_class()? == Class::Transaction {
            // Not every version has a MAX of it; the last one that ended is new enough.
            out.sql = format!("SELECT {FINISHED}");
            return Ok(out);
        }
        let mut condition = format!("{column} IS NOT NULL");
        if let Some(to) = &range.to {
            let value = self.value(&self.table.watermark, to, &mut out)?;
            condition.push_str(&format!(" AND {column} <= {value}"));
        }
        let newest = self.as_text(&format!("MAX({column})"));
        out.sql = format!("SELECT {newest} FROM {table} AS base WHERE {condition}");
        Ok(out)
    }

    /// Makes the watermark of the row with these ids a little later.
    pub fn touch(&self, ids: &[String]) -> Result<Statement> {
        let mut out = Statement::default();
        let (table, column) =
            (self.quoted_table(&self.table.table), self.quoted(&self.table.watermark));
        let later = match (self.watermark_class()?, self.dialect) {
            (Class::Integer, _) => format!("{column} + 1"),
            (Class::Transaction, _) => "pg_current_xact_id()".to_owned(),
            (_, Dialect::Postgres) => format!("{column} + interval '1 second'"),
            (_, Dialect::MySql) => format!("{column} + INTERVAL 1 SECOND"),
        };
        let pairs = self.table.id.iter().zip(ids);
        let same: Result<Vec<_>> = pairs
            .map(|(id, value)| {
                Ok(format!("{} = {}", self.quoted(id), self.value(id, value, &mut out)?))
            })
            .collect();
        let (own, same) = (self.name(&self.table.watermark), same?.join(" AND "));
        out.sql = format!("UPDATE {table} AS base SET {own} = {later} WHERE {same}");
        Ok(out)
    }

    fn highest(&self) -> Result<String> {
        let table = self.quoted_table(&self.table.table);
        let column = self.quoted(&self.table.watermark);
        Ok(format!("(SELECT MAX({column}) FROM {table} AS base)"))
    }

    pub(super) fn conditions(&self, range: &Range, out: &mut Statement) -> Result<String> {
        let watermark = self.quoted(&self.table.watermark);
        let mut all: Vec<String> =
            self.table.key().map(|name| format!("{} IS NOT NULL", self.quoted(name))).collect();
        let bounds =
            [(">=", &range.from), ("<=", &range.to), ("<", &range.below), (">", &range.above)];
        for (sign, bound) in bounds {
            if let Some(bound) = bound {
                let value = self.value(&self.table.watermark, bound, out)?;
                all.push(format!("{watermark} {sign} {value}"));
            }
        }
        if range.undated {
            all.push(format!("{} IS NULL", self.bucket()?));
        }
        if let Some(after) = &range.after {
            all.push(self.after((&self.table.key().collect::<Vec<_>>(), after), out)?);
        }
        if let Some(after) = &range.after_ids {
            all.push(self.after((&self.table.id.iter().collect::<Vec<_>>(), after), out)?);
        }
        let filter = self.filter(out)?;
        Ok(all.join(" AND ") + &filter)
    }

    /// Rows behind the last one of a page. MySQL finds its place in an index only when the first
    /// column stands alone as well.
    pub(super) fn after(
        &self,
        (names, after): (&[&String], &[String]),
        out: &mut Statement,
    ) -> Result<String> {
        let columns: Vec<_> = names.iter().map(|name| self.quoted(name)).collect();
        if self.dialect == Dialect::Postgres {
            let pairs = names.iter().zip(after);
            let values: Result<Vec<_>> = pairs.map(|(n, v)| self.value(n, v, out)).collect();
            return Ok(format!("({}) > ({})", columns.join(", "), values?.join(", ")));
        }
        let first = self.value(names[0], &after[0], out)?;
        let mut steps = Vec::new();
        for last in 0..names.len() {
            let mut parts = Vec::new();
            for at in 0..=last {
                let sign = if at == last { ">" } else { "=" };
                let value = self.value(names[at], &after[at], out)?;
                parts.push(format!("{} {sign} {value}", columns[at]));
            }
            steps.push(format!("({})", parts.join(" AND ")));
        }
        Ok(format!("{} >= {first} AND ({})", columns[0], steps.join(" OR ")))
    }

    pub(super) fn filter(&self, out: &mut Statement) -> Result<String> {
        let mut all = String::new();
        for (column, wanted) in &self.table.filter {
            let name = self.quoted(column);
            let condition = match wanted {
                Condition::Is(value) => {
                    format!("{name} = {}", self.value(column, &value.to_string(), out)?)
                }
                Condition::Present(wanted) if wanted.present => format!("{name} IS NOT NULL"),
                Condition::Present(_) => format!("{name} IS NULL"),
            };
            all.push_str(&format!(" AND {condition}"));
        }
        Ok(all)
    }

    pub(super) fn from(&self, index: Option<&str>) -> Result<String> {
        let mut from = format!("FROM {} AS base", self.quoted_table(&self.table.table));
        if let Some(index) = index {
            from.push_str(&format!(" FORCE INDEX ({})", self.name(index)));
        }
        for join in &self.table.joins {
            let pair = |(own, base): (&String, &String)| {
                let own = self.quoted(&format!("{}.{own}", join.alias));
                format!("{own} = {}", self.quoted(base))
            };
            let on: Vec<_> = join.on.iter().map(pair).collect();
            let (table, alias) = (self.quoted_table(&join.table), self.name(&join.alias));
            from.push_str(&format!(" LEFT JOIN {table} AS {alias} ON {}", on.join(" AND ")));
        }
        Ok(from)
    }

    pub(super) fn deleted(&self) -> Result<String> {
        let Some(column) = &self.table.deleted else { return Ok("'0'".to_owned()) };
        let text = self.text(column)?;
        let none = "'', '0', 'false', 'f', '0000-00-00', '0000-00-00 00:00:00'";
        Ok(format!("CASE WHEN {text} IS NULL OR {text} IN ({none}) THEN '0' ELSE '1' END"))
    }

    pub(super) fn bucket(&self) -> Result<String> {
        let column = self.quoted(&self.table.watermark);
        let size = self.table.bucket_ids;
        Ok(match (self.watermark_class()?, self.dialect) {
            (Class::Integer, Dialect::Postgres) => format!("({column} / {size})"),
            (Class::Transaction, _) => {
                format!("(CAST(CAST({column} AS text) AS bigint) / {size})")
            }
            (Class::Integer, Dialect::MySql) => format!("({column} DIV {size})"),
            (_, Dialect::Postgres) => format!(
                "(CASE WHEN isfinite({column}) \
                 THEN CAST(floor(extract(epoch FROM {column}) / 86400) AS bigint) END)"
            ),
            (_, Dialect::MySql) => format!("DATEDIFF({column}, '1970-01-01')"),
        })
    }

    /// 60 bits of the MD5 of everything that is read of a row: [`super::digest::Digests`].
    fn digest(&self, out: &mut Statement) -> Result<String> {
        let (unit, null) = match self.dialect {
            Dialect::Postgres => ("chr(31)", "chr(30)"),
            Dialect::MySql => ("CHAR(31)", "CHAR(30)"),
        };
        let mut parts = vec![self.raw_text(&self.table.watermark)?, self.deleted()?];
        for field in self.table.fields.values() {
            parts.push(self.field(field, out)?);
        }
        let parts: Vec<_> = parts.iter().map(|p| format!("COALESCE({p}, {null})")).collect();
        let whole = format!("concat_ws({unit}, {})", parts.join(", "));
        Ok(match self.dialect {
            // In the encoding in which texts are sent, whatever the database's own is.
            Dialect::Postgres => format!(
                "CAST(CAST('x' || left(md5(convert_to({whole}, 'UTF8')), 15) AS bit(60)) AS bigint)"
            ),
            Dialect::MySql => {
                format!("CAST(CONV(LEFT(md5({whole}), 15), 16, 10) AS UNSIGNED)")
            }
        })
    }

    pub(super) fn field(&self, field: &Field, out: &mut Statement) -> Result<String> {
        Ok(match field {
            Field::Column(column) => self.text(column)?,
            Field::Constant(constant) => self.literal(&constant.text, out),
            Field::Coalesce(all) => {
                let parts: Result<Vec<_>> = all.fields.iter().map(|f| self.field(f, out)).collect();
                format!("COALESCE({})", parts?.join(", "))
            }
            Field::Hex(hex) => self.hex(&hex.column),
            Field::Case(case) => {
                let mut text = format!("CASE {}", self.text(&case.column)?);
                for (from, to) in &case.when {
                    let from = self.literal(from, out);
                    text.push_str(&format!(" WHEN {from} THEN {}", self.literal(to, out)));
                }
                if let Some(otherwise) = &case.otherwise {
                    text.push_str(&format!(" ELSE {}", self.literal(otherwise, out)));
                }
                text + " END"
            }
        })
    }

    /// A column as text, cut where it is longer than any text may be.
    pub(super) fn text(&self, reference: &str) -> Result<String> {
        let column = self.quoted(reference);
        let name = self.schema.type_of(reference)?;
        let text = match (self.dialect, class_of(self.dialect, name)) {
            (Dialect::Postgres, Class::Array) => format!("array_to_string({column}, '|')"),
            (Dialect::Postgres, Class::Time) if name.ends_with("with time zone") => {
                format!("CAST({column} AT TIME ZONE 'UTC' AS text)")
            }
            (Dialect::MySql, Class::Binary) => column,
            _ => self.as_text(&column),
        };
        Ok(format!("LEFT({text}, {TEXT_CHARS})"))
    }

    /// A column as a text that [`Writer::value`] turns back.
    pub(super) fn raw_text(&self, reference: &str) -> Result<String> {
        let name = self.schema.type_of(reference)?;
        let column = self.quoted(reference);
        Ok(match (self.dialect, class_of(self.dialect, name)) {
            (Dialect::MySql, Class::Binary) => format!("HEX({column})"),
            _ => self.as_text(&column),
        })
    }

    /// A parameter of the type of a column.
    pub(super) fn value(
        &self,
        reference: &str,
        value: &str,
        out: &mut Statement,
    ) -> Result<String> {
        let name = self.schema.type_of(reference)?;
        let place = self.bind(value, out);
        Ok(match (self.dialect, class_of(self.dialect, name)) {
            (Dialect::Postgres, _) => format!("CAST({place} AS {name})"),
            (Dialect::MySql, Class::Time) => format!("CAST({place} AS DATETIME(6))"),
            (Dialect::MySql, Class::Integer) if name.contains("unsigned") => {
                format!("CAST({place} AS UNSIGNED)")
            }
            (Dialect::MySql, Class::Integer) => format!("CAST({place} AS SIGNED)"),
            (Dialect::MySql, Class::Binary) => format!("UNHEX({place})"),
            (Dialect::MySql, _) => place,
        })
    }

    fn bind(&self, value: &str, out: &mut Statement) -> String {
        if out.is_whole {
            return format!("CAST({} AS text)", quoted(value));
        }
        out.values.push(value.to_owned());
        match self.dialect {
            Dialect::Postgres => format!("CAST(${} AS text)", out.values.len()),
            Dialect::MySql => "?".to_owned(),
        }
    }

    /// A text of the configuration. Its type is said, as MariaDB 10.11 crashes when it sorts many
    /// rows that hold a CASE over parameters without one.
    fn literal(&self, value: &str, out: &mut Statement) -> String {
        let place = self.bind(value, out);
        self.as_text(&place)
    }

    fn hex(&self, reference: &str) -> String {
        let column = self.quoted(reference);
        match self.dialect {
            Dialect::Postgres => format!("upper(encode({column}, 'hex'))"),
            Dialect::MySql => format!("HEX({column})"),
        }
    }

    pub(super) fn as_text(&self, expression: &str) -> String {
        match self.dialect {
            Dialect::Postgres => format!("CAST({expression} AS text)"),
            Dialect::MySql => format!("CAST({expression} AS CHAR)"),
        }
    }

    pub(super) fn quoted(&self, reference: &str) -> String {
        let (alias, column) = reference.split_once('.').unwrap_or(("base", reference));
        format!("{}.{}", self.name(alias), self.name(column))
    }

    fn quoted_table(&self, table: &str) -> String {
        self.dialect.quoted_table(table)
    }

    fn name(&self, part: &str) -> String {
        self.dialect.quoted(part)
    }
}

/// A text as it stands in SQL of PostgreSQL, whatever `standard_conforming_strings` is.
fn quoted(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') {
        return format!("E'{}'", doubled.replace('\\', "\\\\"));
    }
    format!("'{doubled}'")
}
