//! The table that is archived: which rows are old, by which column, and which readings of the
//! configuration must have them before they go.

use foretaste_core::{Error, ErrorKind, Result};

use super::columns::Column;
use crate::Entity;
use crate::tables::config::{SourceConfig, TableConfig};
use crate::tables::connection::{Connection, Dialect};
use crate::tables::layout::Layout;
use crate::tables::schema::{Class, Schema};
use crate::tables::sql::{Range, Statement, Writer};

/// A table of a source, with all that is read from it.
pub struct Target<'a> {
    /// Its name on the server.
    pub table: &'a str,
    /// The column that says how old a row is.
    pub age: &'a str,
    /// What is read from it.
    pub readings: Vec<Reading<'a>>,
    /// The order of age and id, as if age were the watermark.
    pub aged: TableConfig,
}

/// One `[[source.tables]]` of the table.
pub struct Reading<'a> {
    /// `source/table`, as the store knows its rows.
    pub key: String,
    /// What is read.
    pub table: &'a TableConfig,
}

impl<'a> Target<'a> {
    /// The tables of events of a source, each once.
    pub fn names(source: &'a SourceConfig) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for table in &source.tables {
            let is_new = !names.contains(&table.table.as_str());
            if is_new && table.entity().is_ok_and(|entity| entity == Entity::Events) {
                names.push(&table.table);
            }
        }
        names
    }

    /// The table `name` of a source.
    ///
    /// # Errors
    /// `Config` when its rows must not go.
    pub fn new(source: &'a SourceConfig, name: &str) -> Result<Self> {
        let wrong = |text: String| {
            let place = format!("source {}, table {name}", source.name);
            Err(Error::new(ErrorKind::Config, format!("{place}: {text}")))
        };
        let named = |table: &&TableConfig| table.table == name || table.name() == name;
        let Some(first) = source.tables.iter().find(named) else {
            let known = Self::names(source).join(", ");
            return wrong(format!("it is not read; tables of events are: {known}"));
        };
        let all: Vec<_> = source.tables.iter().filter(|t| t.table == first.table).collect();
        if all.iter().any(|table| !matches!(table.entity(), Ok(Entity::Events))) {
            return wrong("items and users are what is true now; only events are archived".into());
        }
        let looks_up = |t: &&TableConfig| t.joins.iter().any(|join| join.table == first.table);
        if let Some(reader) = source.tables.iter().find(looks_up) {
            let reader = reader.name();
            return wrong(format!("{reader} looks its rows up, so they must stay"));
        }
        if let Some(other) = all.iter().find(|table| table.id != first.id) {
            let (a, b) = (first.name(), other.name());
            return wrong(format!("{a} and {b} are the same table with different `id`"));
        }
        let mut ages = all.iter().filter_map(|table| table.archive_by.as_deref());
        let age = ages.next().unwrap_or(&first.watermark);
        if let Some(other) = ages.find(|other| *other != age) {
            return wrong(format!("`archive_by` is {age} in one place and {other} in another"));
        }
        let aged = TableConfig {
            watermark: age.to_owned(),
            exact: false,
            deleted: None,
            joins: Vec::new(),
            filter: Default::default(),
            fields: Default::default(),
            ..first.clone()
        };
        let reading = |table: &'a TableConfig| Reading {
            key: format!("{}/{}", source.name, table.name()),
            table,
        };
        let readings = all.into_iter().map(reading).collect();
        Ok(Self { table: &first.table, age, readings, aged })
    }

    /// The columns of the table and of all lookups, by reading.
    ///
    /// # Errors
    /// `Conflict` naming a table or column that is gone, `Config` when the age is no time.
    pub fn schemas(&self, connection: &mut Connection) -> Result<Vec<Schema>> {
        let mut schemas = Vec::new();
        for reading in &self.readings {
            schemas.push(Schema::read(connection, reading.table)?);
        }
        let dialect = connection.dialect();
        let writer = Writer { dialect, table: &self.aged, schema: &schemas[0] };
        if writer.watermark_class().ok() != Some(Class::Time) {
            let (age, own) = (self.age, schemas[0].type_of(self.age)?);
            let text = format!(
                "table {}: `{age}` is {own}, which does not say how old a row is; name a column \
                 that is a time by `archive_by`",
                self.table
            );
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(schemas)
    }

    /// Places of age and id columns among all columns.
    ///
    /// # Errors
    /// `Conflict` naming a column that is gone.
    pub fn places(&self, columns: &[Column]) -> Result<Vec<usize>> {
        let place = |name: &String| {
            let found = columns.iter().position(|column| column.name == *name);
            found.ok_or_else(|| {
                let text = format!("table {} has no column `{name}` any more", self.table);
                Error::new(ErrorKind::Conflict, text)
            })
        };
        self.aged.key().map(place).collect()
    }
}

/// Rows behind a place, and not behind another one.
type Bounds<'b> = (Option<&'b [String]>, Option<&'b [String]>);

/// Writes the statements of a target.
pub struct Old<'a> {
    /// The table.
    pub target: &'a Target<'a>,
    /// The columns by reading.
    pub schemas: &'a [Schema],
    /// Which SQL.
    pub dialect: Dialect,
    /// The first day whose rows are too young.
    pub before: &'a str,
}

impl<'a> Old<'a> {
    /// For statements by age and id.
    pub fn aged(&self) -> Writer<'a> {
        Writer { dialect: self.dialect, table: &self.target.aged, schema: &self.schemas[0] }
    }

    /// Rows that are old and behind `after`, but not behind `last`. Those whose age is unknown are
    /// none of them.
    fn conditions(
        &self,
        (after, last): (Option<&[String]>, Option<&[String]>),
        out: &mut Statement,
    ) -> Result<String> {
        let aged = self.aged();
        let below = Some(self.before.to_owned());
        // The last age alone, so that an index finds the end.
        let to = last.map(|last| last[0].clone());
        let range = Range { below, to, after: after.map(<[_]>::to_vec), ..Range::default() };
        let mut all = aged.conditions(&range, out)?;
        all.push_str(&format!(" AND {} IS NOT NULL", aged.bucket()?));
        if let Some(last) = last {
            let key: Vec<&String> = self.target.aged.key().collect();
            all.push_str(&format!(" AND NOT ({})", aged.after((&key, last), out)?));
        }
        Ok(all)
    }

    /// What is known of any reading's rows without lookups: rows that fail it in all of them need
    /// not be looked at.
    fn wanted(&self, out: &mut Statement) -> Result<String> {
        let mut any = Vec::new();
        for (reading, schema) in self.target.readings.iter().zip(self.schemas) {
            let own = reading.table.filter.iter().filter(|(column, _)| !column.contains('.'));
            let filter = own.map(|(column, wanted)| (column.clone(), wanted.clone())).collect();
            let table = TableConfig { filter, ..self.target.aged.clone() };
            let writer = Writer { dialect: self.dialect, table: &table, schema };
            any.push(format!("(1 = 1{})", writer.filter(out)?));
        }
        Ok(format!(" AND ({})", any.join(" OR ")))
    }

    /// A page of whole rows, in the order of age and id.
    pub fn page(
        &self,
        columns: &[Column],
        after: Option<&[String]>,
        rows: u32,
    ) -> Result<Statement> {
        let mut out = Statement::default();
        let aged = self.aged();
        let select: Vec<_> = columns.iter().map(|own| own.select(self.dialect)).collect();
        let order: Vec<_> = self.target.aged.key().map(|name| aged.quoted(name)).collect();
        let conditions = self.conditions((after, None), &mut out)?;
        let wanted = self.wanted(&mut out)?;
        out.sql = format!(
            "SELECT {} {} WHERE {conditions}{wanted} ORDER BY {} LIMIT {rows}",
            select.join(", "),
            aged.from(None)?,
            order.join(", ")
        );
        Ok(out)
    }

    /// What reading `at` reads of the rows of a page.
    pub fn reading(&self, at: usize, bounds: Bounds<'_>) -> Result<(Statement, Layout)> {
        let mut out = Statement::default();
        let layout = self.write_reading(at, bounds, &mut out)?;
        if self.dialect == Dialect::Postgres {
            let mut whole = Statement::whole();
            self.write_reading(at, bounds, &mut whole)?;
            out.copy = Some(whole.copied());
        }
        Ok((out, layout))
    }

    fn write_reading(&self, at: usize, bounds: Bounds<'_>, out: &mut Statement) -> Result<Layout> {
        let (table, schema) = (self.target.readings[at].table, &self.schemas[at]);
        let writer = Writer { dialect: self.dialect, table, schema };
        let layout = writer.layout(out)?;
        let from = writer.from(None)?;
        let conditions = self.conditions(bounds, out)?;
        let filter = writer.filter(out)?;
        out.sql = format!("SELECT {} {from} WHERE {conditions}{filter}", layout.select.join(", "));
        Ok(layout)
    }

    /// Count of the rows between two places, and the sum of the first id column where `summed`.
    pub fn count(
        &self,
        bounds: (Option<&[String]>, Option<&[String]>),
        summed: bool,
    ) -> Result<Statement> {
        let mut out = Statement::default();
        let aged = self.aged();
        let id = aged.quoted(&self.target.aged.id[0]);
        let count = aged.as_text("COUNT(*)");
        let sum = if summed { aged.as_text(&format!("SUM({id})")) } else { "NULL".to_owned() };
        let conditions = self.conditions(bounds, &mut out)?;
        let wanted = self.wanted(&mut out)?;
        out.sql = format!("SELECT {count}, {sum} {} WHERE {conditions}{wanted}", aged.from(None)?);
        Ok(out)
    }

    /// Day and count of all old rows.
    pub fn days(&self) -> Result<Statement> {
        let mut out = Statement::default();
        let aged = self.aged();
        let (day, count) = (aged.as_text(&aged.bucket()?), aged.as_text("COUNT(*)"));
        let conditions = self.conditions((None, None), &mut out)?;
        let wanted = self.wanted(&mut out)?;
        let from = aged.from(None)?;
        out.sql = format!("SELECT {day}, {count} {from} WHERE {conditions}{wanted} GROUP BY 1");
        Ok(out)
    }
}
