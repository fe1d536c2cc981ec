//! What a source is: where its database is, and what the rows of its tables mean.

use std::collections::BTreeMap;
use std::fmt;

use foretaste_core::{Error, ErrorKind, Limits, Result};
use serde::{Deserialize, Serialize};

use super::connection::Patience;
use super::preset::PresetConfig;
use crate::Entity;

/// One database, a `[[source]]` of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// The name used on the command line, in reports and in the quarantine.
    pub name: String,
    /// Environment variable that holds the URL: `postgres://...`, `mysql://...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_env: Option<String>,
    /// File that holds the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_file: Option<String>,
    /// Seconds that connecting may take.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout_s: u32,
    /// A connection is closed rather than left idle for longer than so many seconds.
    #[serde(default = "default_idle_timeout")]
    pub idle_timeout_s: u32,
    /// A connection that is so many seconds old is not used again.
    #[serde(default = "default_max_lifetime")]
    pub max_lifetime_s: u32,
    /// Seconds after which the server ends a statement.
    #[serde(default = "default_statement_timeout")]
    pub statement_timeout_s: u32,
    /// Statements that take longer than so many milliseconds are logged; 0 = none is.
    #[serde(default = "default_slow_statement")]
    pub slow_statement_ms: u32,
    /// Seconds between two passes of `--follow`.
    #[serde(default = "default_interval")]
    pub interval_s: u32,
    /// Seconds between two reconciliations of `--follow`; 0 = never.
    #[serde(default = "default_reconcile")]
    pub reconcile_s: u32,
    /// A replica that is further behind than so many seconds is not read.
    #[serde(default = "default_lag")]
    pub max_lag_s: u32,
    /// Tables of a well-known schema, read before the source's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PresetConfig>,
    /// What is read.
    #[serde(default)]
    pub tables: Vec<TableConfig>,
}

/// One table and what its rows are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// Its name, `schema.table` where it needs one.
    pub table: String,
    /// What its rows are called where the same table is read twice; else the table's name.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `events`, `items` or `users`.
    pub entity: String,
    /// Columns that identify a row and never change: its primary key.
    pub id: Vec<String>,
    /// Column that grows with every change: a time, or a running number.
    pub watermark: String,
    /// Whether the watermark is the number of the transaction that wrote the row last (`xid8` on
    /// PostgreSQL): then no late commit is missed, without lookback.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// Seconds before the watermark that are read again (watermarks that are times).
    #[serde(default = "default_lookback")]
    pub lookback_s: u32,
    /// Numbers before the watermark that are read again (watermarks that are numbers).
    #[serde(default = "default_lookback_ids")]
    pub lookback_ids: u32,
    /// Numbers that are counted together when reconciling (watermarks that are numbers).
    #[serde(default = "default_bucket_ids")]
    pub bucket_ids: u32,
    /// Rows younger than so many seconds are left to the next pass.
    #[serde(default = "default_settle")]
    pub settle_s: u32,
    /// Rows of one page and of one step.
    #[serde(default = "default_batch")]
    pub batch_rows: u32,
    /// Column that marks a row as deleted: set, and neither 0 nor false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// Column that says how old a row is when it is archived; else the watermark does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_by: Option<String>,
    /// Kind of all events, where no field says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only rows whose columns have these values.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub filter: BTreeMap<String, Condition>,
    /// Tables that are looked up, one row each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<Join>,
    /// What each field is made of.
    pub fields: BTreeMap<String, Field>,
}

/// A lookup: columns of the row of `table` whose columns equal those of the base row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Its name.
    pub table: String,
    /// The name before the dot in fields: `sku.name`.
    #[serde(rename = "as")]
    pub alias: String,
    /// Its columns and those of the base table (or of an earlier lookup) that they equal.
    pub on: BTreeMap<String, String>,
}

/// What a field is made of; columns are `column` or `lookup.column`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Field {
    /// A column.
    Column(String),
    /// The same text for all rows.
    Constant(Constant),
    /// The first of the columns that is not NULL.
    Coalesce(Coalesce),
    /// The bytes of a column in hexadecimal.
    Hex(Hex),
    /// Another text for each text of a column.
    Case(Case),
}

/// `{ const = "text" }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The text.
    #[serde(rename = "const")]
    pub text: String,
}

/// `{ coalesce = ["a", { hex = "b" }] }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coalesce {
    /// In the order of preference.
    #[serde(rename = "coalesce")]
    pub fields: Vec<Field>,
}

/// `{ hex = "column" }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hex {
    /// The column.
    #[serde(rename = "hex")]
    pub column: String,
}

/// `{ case = "column", when = { "0" = "order" }, else = "goal" }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The column.
    #[serde(rename = "case")]
    pub column: String,
    /// Its texts and what becomes of them.
    pub when: BTreeMap<String, String>,
    /// What becomes of every other text; without it, nothing.
    #[serde(default, rename = "else", skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

/// What `where` asks of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Condition {
    /// To have this value.
    Is(Scalar),
    /// To have any value, or none.
    Present(Present),
}

/// `{ present = true }`: not NULL; `{ present = false }`: NULL.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Present {
    /// Whether there must be a value.
    pub present: bool,
}

/// A value in `where`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A number.
    Integer(i64),
    /// `true` or `false`.
    Bool(bool),
    /// A text.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

fn default_connect_timeout() -> u32 {
    15
}
fn default_idle_timeout() -> u32 {
    300
}
fn default_max_lifetime() -> u32 {
    1_800
}
fn default_statement_timeout() -> u32 {
    300
}
fn default_slow_statement() -> u32 {
    1_000
}
fn default_interval() -> u32 {
    30
}
fn default_reconcile() -> u32 {
    86_400
}
fn default_lag() -> u32 {
    60
}
fn default_lookback() -> u32 {
    600
}
fn default_lookback_ids() -> u32 {
    10_000
}
fn default_bucket_ids() -> u32 {
    100_000
}
fn default_settle() -> u32 {
    2
}
fn default_batch() -> u32 {
    5_000
}

/// Fields that an event may have.
const EVENT_FIELDS: [&str; 9] =
    ["user", "item", "kind", "value", "time", "session", "scene", "position", "request_id"];

impl SourceConfig {
    /// Checks everything that can be known without the database.
    ///
    /// # Errors
    /// `Config` naming the source, the table and the key.
    pub fn check(&self) -> Result<()> {
        let wrong = |text: String| Error::new(ErrorKind::Config, text);
        if !is_name(&self.name) {
            let text = "`name` must be 1 to 32 letters, digits, `-` or `_`";
            return Err(wrong(format!("source {:?}: {text}", self.name)));
        }
        if self.url_env.is_some() == self.url_file.is_some() {
            return Err(wrong(format!("source {}: give `url_env` or `url_file`", self.name)));
        }
        if self.tables.is_empty() {
            let text = "it reads nothing; give [[source.tables]] or a `preset`";
            return Err(wrong(format!("source {}: {text}", self.name)));
        }
        for (at, table) in self.tables.iter().enumerate() {
            let place =
                |e: Error| e.context(format!("source {}, table {}", self.name, table.name()));
            table.check().map_err(place)?;
            if self.name.len() + 1 + table.name().len() > Limits::DEFAULT.name_bytes {
                return Err(place(wrong(
                    "the names are too long; give a short one by `as`".into(),
                )));
            }
            if self.tables[..at].iter().any(|other| other.name() == table.name()) {
                return Err(place(wrong("stands twice; tell them apart by `as`".into())));
            }
        }
        if [self.connect_timeout_s, self.statement_timeout_s, self.interval_s].contains(&0) {
            let text = "connect_timeout_s, statement_timeout_s and interval_s must be at least 1";
            return Err(wrong(format!("source {}: {text}", self.name)));
        }
        Ok(())
    }

    /// How long its database may take.
    pub(super) fn patience(&self) -> Patience {
        Patience { connect_s: self.connect_timeout_s, statement_s: self.statement_timeout_s }
    }
}

impl TableConfig {
    /// What its rows are called.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.table)
    }

    /// Watermark and ids: the order of pages.
    pub(super) fn key(&self) -> impl Iterator<Item = &String> {
        let ids = self.id.iter().filter(|id| **id != self.watermark);
        std::iter::once(&self.watermark).chain(ids)
    }

    /// What its rows are.
    ///
    /// # Errors
    /// `Invalid` for a word that is none of the three.
    pub fn entity(&self) -> Result<Entity> {
        self.entity.parse()
    }

    fn check(&self) -> Result<()> {
        let wrong = |text: String| Error::new(ErrorKind::Config, text);
        let entity = self.entity().map_err(|e| wrong(e.to_string()))?;
        if self.id.is_empty() {
            return Err(wrong("`id` names no column; give the primary key".into()));
        }
        let limit = Limits::DEFAULT.batch_writes as u32;
        if self.batch_rows == 0 || self.batch_rows > limit || self.bucket_ids == 0 {
            return Err(wrong(format!("batch_rows must be 1 to {limit}, bucket_ids at least 1")));
        }
        let needed: &[&str] = match entity {
            Entity::Events => &["user", "item", "time"],
            Entity::Items => &["item"],
            Entity::Users => &["user"],
        };
        if let Some(field) = needed.iter().find(|f| !self.fields.contains_key(**f)) {
            return Err(wrong(format!("`fields` lacks `{field}`, which {entity} need")));
        }
        if entity == Entity::Events {
            let unknown = self.fields.keys().find(|f| !EVENT_FIELDS.contains(&f.as_str()));
            if let Some(field) = unknown {
                let known = EVENT_FIELDS.join(", ");
                return Err(wrong(format!("events have no field `{field}`; they have {known}")));
            }
            if self.kind.is_some() == self.fields.contains_key("kind") {
                return Err(wrong("give `kind` or a field `kind`".into()));
            }
        }
        self.check_names()
    }

    /// Names are checked before they come near SQL, though they are quoted, too.
    fn check_names(&self) -> Result<()> {
        let joins = self.joins.iter().flat_map(|j| [&j.table, &j.alias].into_iter());
        let on = self.joins.iter().flat_map(|j| j.on.iter().flat_map(|(a, b)| [a, b]));
        let own = [&self.table, &self.watermark].into_iter().chain(&self.deleted).chain(&self.id);
        let own = own.chain(&self.archive_by);
        let fields = self.fields.values().flat_map(Field::columns);
        let filter = self.filter.keys();
        let names = own.chain(joins).chain(on).chain(filter).chain(fields);
        for name in names {
            if !name.split('.').all(is_identifier) || name.split('.').count() > 2 {
                let text = "letters, digits, `_` and `$`, at most 63, with at most one dot";
                let text = format!("{name:?} is no name of a table or column: {text}");
                return Err(Error::new(ErrorKind::Config, text));
            }
        }
        Ok(())
    }
}

impl Field {
    /// The columns that it reads.
    pub fn columns(&self) -> Vec<&String> {
        match self {
            Self::Column(column) => vec![column],
            Self::Constant(_) => Vec::new(),
            Self::Coalesce(all) => all.fields.iter().flat_map(Self::columns).collect(),
            Self::Hex(hex) => vec![&hex.column],
            Self::Case(case) => vec![&case.column],
        }
    }
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=32).contains(&text.len()) && text.chars().all(good)
}

/// Whether a part of a name of a table or column may stand in SQL.
pub(super) fn is_identifier(part: &str) -> bool {
    let first = part.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    first && part.len() <= 63 && part.chars().all(good)
}

#[cfg(test)]
mod tests;
