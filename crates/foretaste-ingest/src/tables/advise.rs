//! Advice about a source's database: which index the queries of extraction and reconciliation
//! lack there, what they cost without it and with it, and which settings are in their way.
//!
//! Each query is explained on the live server as the steady state asks it: a pass that is up to
//! date reads its lookback. Whether an index is missing is decided by the list of indexes, as a
//! plan depends on statistics and on what is cached; the plan says what happens without it.

use foretaste_core::{Error, ErrorKind, Result};
use serde::Serialize;

use super::config::{SourceConfig, TableConfig};
use super::connection::{Connection, Dialect, Patience, number, text};
use super::open::Open;
use super::sql::{Range, Statement};

pub(super) mod index;
mod measure;
mod plan;
mod settings;

pub use measure::{Cost, Latency, WriterCost};
pub use plan::{Access, Plan};
pub use settings::Setting;

/// How long building an index may take.
const BUILD_S: u32 = 24 * 3600;
/// How long it may wait for transactions of others, who in turn wait for it.
const LOCK_S: u32 = 30;

/// What was found about one source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The name of the source.
    pub source: String,
    /// The server and its version.
    pub server: String,
    /// Its tables.
    pub tables: Vec<TableAdvice>,
    /// Indexes that are missing, each once.
    pub indexes: Vec<Proposal>,
    /// Settings that should be others.
    pub settings: Vec<Setting>,
}

/// What was found about one table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableAdvice {
    /// `source/table`.
    pub table: String,
    /// Its queries.
    pub queries: Vec<Query>,
    /// The index that pages can use.
    pub index: Option<String>,
    /// What the first page of a pass that is up to date costs; absent when it ran into the
    /// source's `statement_timeout_s`.
    pub page: Option<Cost>,
    /// Things to know, for people.
    pub notes: Vec<String>,
}

/// A query and how the server would answer it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Query {
    /// `page`, `next page`, `bucket` or `counts`.
    pub query: &'static str,
    /// What the server says.
    pub plan: Plan,
}

/// An index that is missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// The configured table, `source/table`, whose queries need it.
    pub needed_by: String,
    /// The table on the server that lacks it.
    pub table: String,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// Its name.
    pub name: String,
    /// The statement that builds it while others read and write.
    pub ddl: String,
    /// How that went, where it was asked for.
    pub applied: Option<Applied>,
}

/// An index that was built.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Applied {
    /// How long it took.
    pub seconds: f64,
    /// A page without it; absent when that ran into a timeout.
    pub before: Option<Cost>,
    /// The same page with it.
    pub after: Cost,
    /// What a writer felt, where that was asked for.
    pub writer: Option<WriterCost>,
}

/// How indexes are built.
#[derive(Clone, Copy, Debug)]
pub struct Building<'a> {
    /// The database, as a user that may create indexes.
    pub url: &'a str,
    /// Whether a writer's transactions are timed meanwhile.
    pub probe: bool,
}

/// Looks at the database of one source.
pub struct Advisor<'a> {
    /// What is read.
    pub source: &'a SourceConfig,
    /// Where the database is, with the password.
    pub url: &'a str,
}

impl Advisor<'_> {
    /// Explains every query and names what is missing. Changes nothing.
    ///
    /// # Errors
    /// `Unavailable` when the database is not there, `Conflict` naming a table or column that is
    /// gone.
    ///
    /// # Cost
    /// One page of each table, which without an index is a scan.
    pub fn advise(&self) -> Result<Advice> {
        let mut connection = Connection::snapshot(self.url, self.source.patience())?;
        let mut advice = Advice {
            source: self.source.name.clone(),
            server: connection.version()?,
            tables: Vec::new(),
            indexes: Vec::new(),
            settings: Vec::new(),
        };
        let mut found = settings::Found::ask(&mut connection)?;
        found.statement_timeout_s = self.source.statement_timeout_s.into();
        let mut names: Vec<&String> = Vec::new();
        for table in &self.source.tables {
            let key = format!("{}/{}", self.source.name, table.name());
            let (about, missing) = self.table(table).map_err(|e| e.context(&key))?;
            found.unused |= missing.is_empty() && about.ignores_its_index();
            advice.tables.push(about);
            for proposal in missing {
                if advice.indexes.iter().all(|other| other.name != proposal.name) {
                    advice.indexes.push(proposal);
                }
            }
            names.push(&table.table);
            names.extend(table.joins.iter().map(|join| &join.table));
        }
        names.sort();
        names.dedup();
        for name in names {
            found.add_table(&mut connection, name)?;
        }
        found.building = !advice.indexes.is_empty();
        advice.settings = found.settings(connection.dialect());
        Ok(advice)
    }

    /// Builds an index while others read and write, and says what that changed.
    ///
    /// # Errors
    /// What the server says; a half-built index is removed.
    pub fn apply(&self, proposal: &Proposal, building: Building<'_>) -> Result<Applied> {
        self.built(proposal, building).map_err(|e| e.context(&proposal.name))
    }

    fn table(&self, table: &TableConfig) -> Result<(TableAdvice, Vec<Proposal>)> {
        let mut open = self.open(table)?;
        let missing = self.missing(&mut open)?;
        let mut queries = Vec::new();
        let mut explain = |open: &mut Open<'_>, query, statement: &Statement| {
            let plan = Plan::of(&mut open.snapshot, statement)?;
            queries.push(Query { query, plan });
            Ok::<_, Error>(())
        };
        let range = open.range();
        let (page, _) = open.writer().page(&range, table.batch_rows)?;
        explain(&mut open, "page", &page)?;
        let all = open.writer().buckets(&Range { from: None, ..range.clone() })?;
        explain(&mut open, "counts", &all)?;
        let indexes = index::indexes_of(&mut open.snapshot, &table.table)?;
        let fitting = indexes.into_iter().find(|index| index::fits_pages(index, table));
        // A statement that runs into its timeout may end the transaction, so it comes last.
        let cost = measure::cost(&mut open.snapshot, &page);
        if cost.is_ok()
            && let Some((place, bucket)) = open.page_end(&range)?
        {
            let after = Some(place.0);
            let (next, _) = open.writer().page(&Range { after, ..range }, table.batch_rows)?;
            explain(&mut open, "next page", &next)?;
            let range = open.range_of(bucket)?;
            let (bucket, _) = open.writer().page(&range, table.batch_rows)?;
            explain(&mut open, "bucket", &bucket)?;
        }
        let mut about = TableAdvice {
            table: open.key.clone(),
            queries,
            index: fitting.map(|index| index.name),
            page: allowed(cost)?,
            notes: Vec::new(),
        };
        about.note(table, missing.is_empty());
        Ok((about, missing))
    }

    /// Opens a table as if it had been read to its end.
    fn open<'t>(&self, table: &'t TableConfig) -> Result<Open<'t>> {
        let mut open = Open::begin(self.source, (self.url, None), table)?;
        if open.snapshot.dialect() == Dialect::MySql {
            // Newer servers have two forms of EXPLAIN.
            let chosen =
                open.snapshot.plain("SHOW VARIABLES LIKE 'explain_json_format_version'")?;
            if !chosen.is_empty() {
                open.snapshot.execute("SET SESSION explain_json_format_version = 1")?;
            }
        }
        open.bound(String::new())?;
        let newest = open.writer().newest(&open.range())?;
        let newest = open.snapshot.row(&newest.sql, &newest.values)?;
        let newest = text(&newest, 0)?.unwrap_or_default().to_owned();
        open.bound(newest)?;
        Ok(open)
    }

    fn missing(&self, open: &mut Open<'_>) -> Result<Vec<Proposal>> {
        let mut missing = Vec::new();
        let table = open.table;
        let mut need = |open: &mut Open<'_>, name: &str, columns: Vec<String>| {
            let index = index::name_of(name, &columns);
            let ddl = index::online_ddl(open.snapshot.dialect(), name, (&index, &columns));
            missing.push(Proposal {
                needed_by: open.key.clone(),
                table: name.to_owned(),
                columns,
                name: index,
                ddl,
                applied: None,
            });
        };
        let own = index::indexes_of(&mut open.snapshot, &table.table)?;
        if !own.iter().any(|index| index::fits_pages(index, table)) && is_large(open, &table.table)?
        {
            need(open, &table.table, index::columns_for_pages(table));
        }
        for join in &table.joins {
            let own = index::indexes_of(&mut open.snapshot, &join.table)?;
            let fits = own.iter().any(|index| index::fits_lookup(index, join));
            if !fits && is_large(open, &join.table)? {
                need(open, &join.table, join.on.keys().cloned().collect());
            }
        }
        Ok(missing)
    }

    fn built(&self, proposal: &Proposal, building: Building<'_>) -> Result<Applied> {
        let key = |table: &&TableConfig| {
            format!("{}/{}", self.source.name, table.name()) == proposal.needed_by
        };
        let table = self.source.tables.iter().find(key);
        let table = table.ok_or_else(|| Error::not_found(proposal.needed_by.clone()))?;
        let before = allowed(self.page_cost(table))?;
        let patience = Patience { statement_s: BUILD_S, ..self.source.patience() };
        let mut builder = builder(building.url, patience)?;
        let mut build = || {
            let began = std::time::Instant::now();
            build(&mut builder, proposal)?;
            Ok(began.elapsed().as_secs_f64())
        };
        let write = if building.probe { measure::write_of(&mut self.open(table)?)? } else { None };
        let (seconds, writer) = match write {
            None => (build()?, None),
            Some(write) => {
                let other = Connection::open(building.url, patience)?;
                let (seconds, cost) = measure::beside_a_writer(other, &write, build)?;
                (seconds, Some(cost))
            }
        };
        Ok(Applied { seconds, before, after: self.page_cost(table)?, writer })
    }

    fn page_cost(&self, table: &TableConfig) -> Result<Cost> {
        let mut open = self.open(table)?;
        let (page, _) = open.writer().page(&open.range(), table.batch_rows)?;
        measure::cost(&mut open.snapshot, &page)
    }
}

impl TableAdvice {
    /// Whether pages could use an index and read the whole table all the same.
    fn ignores_its_index(&self) -> bool {
        let page = self.queries.iter().find(|query| query.query == "page");
        let base = page.and_then(|query| query.plan.access("base"));
        let examined = self.page.map_or(0, |cost| cost.examined);
        let given = self.page.map_or(0, |cost| cost.rows);
        self.index.is_some() && base.is_some_and(|base| base.whole) && examined > 2 * given + 1000
    }

    fn note(&mut self, table: &TableConfig, is_complete: bool) {
        if self.ignores_its_index() {
            let index = self.index.as_deref().unwrap_or_default();
            self.notes.push(format!(
                "the server reads the whole table though the index {index} fits; bring its \
                 statistics up to date: ANALYZE TABLE on MySQL and MariaDB, ANALYZE on PostgreSQL"
            ));
        }
        if self.index.is_none() && is_complete {
            let rows = table.batch_rows;
            self.notes.push(format!("at most {rows} rows, one page: it needs no index yet"));
        }
        if self.page.is_none() {
            let text = "a page runs into statement_timeout_s";
            self.notes.push(text.to_owned());
        }
    }
}

/// A cost, or none when the server ended the statement for its time.
fn allowed(cost: Result<Cost>) -> Result<Option<Cost>> {
    match cost {
        Ok(cost) => Ok(Some(cost)),
        Err(error) if error.kind() == ErrorKind::Unavailable => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a table has more rows than a page.
fn is_large(open: &mut Open<'_>, table: &str) -> Result<bool> {
    let dialect = open.snapshot.dialect();
    let (name, limit) = (dialect.quoted_table(table), u64::from(open.table.batch_rows));
    let count = match dialect {
        Dialect::Postgres => "CAST(COUNT(*) AS text)",
        Dialect::MySql => "CAST(COUNT(*) AS CHAR)",
    };
    let sql = format!("SELECT {count} FROM (SELECT 1 FROM {name} LIMIT {}) AS few", limit + 1);
    let row = open.snapshot.row(&sql, &[])?;
    Ok(number::<u64>(&row, 0)?.unwrap_or(0) > limit)
}

/// A connection for building: no statement ends for its time, but nobody waits long for a lock.
fn builder(url: &str, patience: Patience) -> Result<Connection> {
    let mut builder = Connection::open(url, patience)?;
    let settings: &[String] = match builder.dialect() {
        Dialect::Postgres => {
            &[format!("SET lock_timeout = '{LOCK_S}s'"), "SET statement_timeout = 0".to_owned()]
        }
        Dialect::MySql => &[format!("SET SESSION lock_wait_timeout = {LOCK_S}")],
    };
    for setting in settings {
        builder.execute(setting)?;
    }
    Ok(builder)
}

/// Builds an index and checks that queries can use it. What a build that failed has left behind
/// is removed, also that of an earlier one.
fn build(builder: &mut Connection, proposal: &Proposal) -> Result<()> {
    remove_unusable(builder, proposal)?;
    let done = builder.execute(&proposal.ddl);
    if let Err(error) = done {
        remove_unusable(builder, proposal)?;
        let text = format!(
            "it could not be built. It needs the right to create indexes, and that no transaction \
             of others stays open for {LOCK_S} s; `{}`",
            proposal.ddl
        );
        return Err(error.context(text));
    }
    let all = index::indexes_of(builder, &proposal.table)?;
    if all.iter().any(|index| index.name == proposal.name && index.usable) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, "the server built it, but queries cannot use it"))
}

fn remove_unusable(builder: &mut Connection, proposal: &Proposal) -> Result<()> {
    if builder.dialect() != Dialect::Postgres {
        return Ok(());
    }
    let all = index::indexes_of(builder, &proposal.table)?;
    if !all.iter().any(|index| index.name == proposal.name && !index.usable) {
        return Ok(());
    }
    let schema = proposal.table.split_once('.').map(|(schema, _)| format!("{schema}."));
    let name = format!("{}{}", schema.unwrap_or_default(), proposal.name);
    let name = Dialect::Postgres.quoted_table(&name);
    builder.execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"))
}
