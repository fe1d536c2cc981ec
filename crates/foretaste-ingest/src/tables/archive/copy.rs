//! Old rows into a file: read in one snapshot, checked against the store row by row, written, read
//! back and compared.

use std::collections::{BTreeSet, HashMap};

use foretaste_core::{Error, ErrorKind, Limits, Result};
use foretaste_lake::durable;

use super::Archiver;
use super::columns::{Column, columns_of, definition};
use super::file::{Content, FileWriter, compare, digest_of, fingerprint, words};
use super::segment::{Buckets, Files, Segment, Stage};
use super::target::{Old, Target};
use super::value::Kind;
use crate::tables::connection::{Connection, number, text};
use crate::tables::digest::Digests;
use crate::tables::judge::{bucket_of, write_name};
use crate::tables::page::{Page, Row};
use crate::tables::schema::Schema;
use crate::tables::sql::Statement;

/// Rows and bytes of texts after which a file ends.
const FILE: (u64, u64) = (250_000, 512 << 20);
/// Rows that are read at once.
const PAGE_ROWS: u32 = 5_000;

/// What became of the rows that a file was made of.
pub struct Copied {
    /// The record, where a row was archived.
    pub segment: Option<Segment>,
    /// Rows that have to wait, as the store does not have them as they are.
    pub waiting: u64,
    /// Where the next file begins; `None` at the end.
    pub next: Option<Vec<String>>,
}

/// Makes the files of one run.
pub struct Copying<'a> {
    /// Whose run it is.
    pub archiver: &'a Archiver<'a>,
    /// The table.
    pub target: &'a Target<'a>,
    /// Where files go.
    pub files: &'a Files<'a>,
    /// The first day whose rows are too young.
    pub before: &'a str,
}

/// The table in a snapshot.
struct Scan<'a> {
    connection: Connection,
    target: &'a Target<'a>,
    schemas: Vec<Schema>,
    columns: Vec<Column>,
    /// Places of age and id among the columns.
    places: Vec<usize>,
    before: &'a str,
}

/// What has been gathered of a file.
#[derive(Default)]
struct Gathered {
    content: Content,
    bytes: u64,
    waiting: u64,
    scanned: u64,
    /// Sum of the first id column of all rows that were scanned, and of those that are in the file.
    sums: (i128, i128),
    first: Option<Vec<String>>,
    last: Option<Vec<String>>,
    readings: std::collections::BTreeMap<String, Buckets>,
}

/// By name of a row: its readings with bucket and digest; `None` when the store has another form.
type Known = HashMap<String, Option<Vec<(usize, i64, u64)>>>;

impl Copying<'_> {
    /// Makes the file `number` of old rows behind `after`, and its record.
    ///
    /// # Errors
    /// `Corrupt` when the server counts other rows than it gave or what is read back differs, `Io`
    /// naming the file. Nothing is left then.
    pub fn file(&self, number: u32, after: Option<Vec<String>>) -> Result<Copied> {
        let path = self.files.path(number).with_extension("tmp");
        let mut as_text = BTreeSet::new();
        loop {
            let done = self.attempt(number, after.clone(), &as_text);
            if path.exists() {
                // Of no use, and perhaps in the way of others.
                fs_err::remove_file(&path)?;
            }
            match done? {
                Ok(copied) => return Ok(copied),
                Err(column) if as_text.insert(column.clone()) => {}
                Err(column) => {
                    let text = format!("a row's column `{column}` is no text in UTF-8");
                    return Err(Error::invalid(text).context(self.target.table));
                }
            }
        }
    }

    /// The inner error is the column that does not fit its type.
    fn attempt(
        &self,
        number: u32,
        after: Option<Vec<String>>,
        as_text: &BTreeSet<String>,
    ) -> Result<Result<Copied, String>> {
        let mut scan = Scan::begin(self, as_text)?;
        let path = self.files.path(number).with_extension("tmp");
        let mut writer = FileWriter::create(&path, &scan.columns)?;
        let (mut gathered, mut place) = (Gathered::default(), after.clone());
        let is_end = loop {
            let sent = scan.page(place.as_deref())?;
            let n: usize = sent.iter().map(Page::len).sum();
            match self.take(&mut scan, &sent, place.take(), (&mut gathered, &mut writer))? {
                Ok(last) => place = last,
                Err(at) => return Ok(Err(scan.columns[at].name.clone())),
            }
            self.archiver.progress.advance(n as u64);
            let is_full = gathered.content.rows >= FILE.0 || gathered.bytes >= FILE.1;
            if n < PAGE_ROWS as usize || is_full {
                break n < PAGE_ROWS as usize;
            }
        };
        scan.check(&gathered, (after.as_deref(), place.as_deref()))?;
        let waiting = gathered.waiting;
        let segment = match gathered.content.rows {
            0 => None,
            _ => {
                writer.finish()?;
                Some(self.put(number, &mut scan, gathered)?)
            }
        };
        Ok(Ok(Copied { segment, waiting, next: place.filter(|_| !is_end) }))
    }

    /// Takes the rows of a page that are in the store as they are here; gives the place of the last
    /// row. The inner error is the place of a column that does not fit.
    fn take(
        &self,
        scan: &mut Scan<'_>,
        sent: &[Page],
        after: Option<Vec<String>>,
        (gathered, writer): (&mut Gathered, &mut FileWriter),
    ) -> Result<Result<Option<Vec<String>>, usize>> {
        let Some(last) = sent.last().and_then(|page| page.last()) else {
            return Ok(Ok(after));
        };
        let last = match words(&scan.columns, last) {
            Ok((_, page)) => scan.place(row_of(&page))?,
            Err(at) => return Ok(Err(at)),
        };
        let known = self.known(scan, (after.as_deref(), Some(&last)))?;
        let (mut name, mut scratch) = (String::new(), Vec::new());
        for row in sent.iter().flat_map(Page::rows) {
            let (values, page) = match words(&scan.columns, row) {
                Ok(both) => both,
                Err(at) => return Ok(Err(at)),
            };
            let own = row_of(&page);
            scan.name(own, &mut name)?;
            let key = scan.key(own)?;
            gathered.scanned += 1;
            gathered.sums.0 += key;
            let Some(Some(readings)) = known.get(&name) else {
                gathered.waiting += 1;
                continue;
            };
            for (at, bucket, digest) in readings {
                let key = &self.target.readings[*at].key;
                let buckets = gathered.readings.entry(key.clone()).or_default();
                let all = buckets.entry(*bucket).or_default();
                *all = (all.0 + 1, all.1 + i128::from(*digest));
            }
            gathered.sums.1 += key;
            gathered.content.add(&digest_of(own, &mut scratch));
            gathered.bytes += page.size_bytes() as u64;
            let place = scan.place(own)?;
            gathered.first.get_or_insert_with(|| place.clone());
            gathered.last = Some(place);
            writer.push(values, page.size_bytes())?;
        }
        Ok(Ok(Some(last)))
    }

    /// What the store knows of the rows between two places.
    fn known(
        &self,
        scan: &mut Scan<'_>,
        bounds: (Option<&[String]>, Option<&[String]>),
    ) -> Result<Known> {
        let mut known = Known::new();
        let store = self.archiver.store;
        for (at, reading) in self.target.readings.iter().enumerate() {
            let rows = scan.reading(at, bounds)?;
            for rows in rows.chunks(Limits::DEFAULT.batch_writes) {
                let names: Vec<&str> = rows.iter().map(|(name, ..)| name.as_str()).collect();
                let stored = store.row_digests(&reading.key, &names)?;
                for ((name, bucket, digest), stored) in rows.iter().zip(stored) {
                    let all = known.entry(name.clone()).or_insert_with(|| Some(Vec::new()));
                    match all {
                        Some(all) if stored == Some(*digest) => all.push((at, *bucket, *digest)),
                        _ => *all = None,
                    }
                }
            }
        }
        Ok(known)
    }

    /// Reads the file back, compares it, gives it its name and writes its record.
    fn put(&self, number: u32, scan: &mut Scan<'_>, gathered: Gathered) -> Result<Segment> {
        let path = self.files.path(number);
        let temporary = path.with_extension("tmp");
        let expected = (gathered.content.rows, gathered.content.digest());
        compare(&temporary, &scan.columns, &expected)?;
        let (bytes, blake3) = fingerprint(&temporary)?;
        let segment = Segment {
            version: Segment::VERSION,
            stage: Stage::Copied,
            source: self.archiver.source.name.clone(),
            table: self.target.table.to_owned(),
            database: database(&mut scan.connection)?,
            server: scan.connection.version()?,
            before: self.before.to_owned(),
            age: self.target.age.to_owned(),
            id: self.target.aged.id.clone(),
            definition: definition(&mut scan.connection, self.target.table, &scan.columns)?,
            columns: scan.columns.clone(),
            rows: expected.0,
            bytes,
            blake3,
            rows_blake3: expected.1,
            first: gathered.first.unwrap_or_default(),
            last: gathered.last.unwrap_or_default(),
            key_sum: scan.is_summed().then_some(gathered.sums.1),
            readings: gathered.readings,
        };
        fs_err::rename(&temporary, &path)?;
        durable::sync_dir(self.files.dir())?;
        self.files.save(number, &segment)?;
        Ok(segment)
    }
}

impl<'a> Scan<'a> {
    fn begin(copying: &Copying<'a>, as_text: &BTreeSet<String>) -> Result<Self> {
        let mut connection = copying.archiver.snapshot(copying.target)?;
        let target = copying.target;
        let schemas = target.schemas(&mut connection)?;
        let columns = columns_of(&mut connection, target.table, as_text)?;
        let places = target.places(&columns)?;
        Ok(Self { connection, target, schemas, columns, places, before: copying.before })
    }

    fn old(&self) -> Old<'_> {
        Old {
            target: self.target,
            schemas: &self.schemas,
            dialect: self.connection.dialect(),
            before: self.before,
        }
    }

    /// The next rows as they are sent.
    fn page(&mut self, after: Option<&[String]>) -> Result<Vec<Page>> {
        let statement = self.old().page(&self.columns, after, PAGE_ROWS)?;
        rows_of(&mut self.connection, &statement, &self.columns)
    }

    /// Name, bucket and digest of the rows of a reading.
    fn reading(
        &mut self,
        at: usize,
        bounds: (Option<&[String]>, Option<&[String]>),
    ) -> Result<Vec<(String, i64, u64)>> {
        let (statement, layout) = self.old().reading(at, bounds)?;
        let mut pages = Vec::new();
        self.connection.pages(&statement, (&layout, PAGE_ROWS as usize), &mut |page| {
            let next = page.next();
            pages.push(page);
            Some(next)
        })?;
        let table = self.target.readings[at].table;
        let dialect = self.connection.dialect();
        let writer = crate::tables::sql::Writer { dialect, table, schema: &self.schemas[at] };
        let kind = (writer.watermark_class()?, dialect);
        let mut digests = Digests::default();
        for row in pages.iter().flat_map(Page::rows) {
            let own = [row.cell(0), row.cell(layout.deleted())];
            digests.push(own.into_iter().chain(row.cells(layout.fields())));
        }
        let mut name = String::new();
        let row = |(row, digest): (Row<'_>, u64)| {
            write_name(table, row, &mut name)?;
            Ok((name.clone(), bucket_of(row.text(0)?, kind, table), digest))
        };
        pages.iter().flat_map(Page::rows).zip(digests.take()).map(row).collect()
    }

    /// Compares with what the server counts in the same snapshot.
    fn check(
        &mut self,
        gathered: &Gathered,
        bounds: (Option<&[String]>, Option<&[String]>),
    ) -> Result<()> {
        if gathered.scanned == 0 {
            return Ok(());
        }
        let statement = self.old().count(bounds, self.is_summed())?;
        let row = self.connection.row(&statement.sql, &statement.values)?;
        let counted: u64 = number(&row, 0)?.unwrap_or(0);
        let sum: i128 = number(&row, 1)?.unwrap_or(0);
        if (counted, sum) == (gathered.scanned, gathered.sums.0) {
            return Ok(());
        }
        let text = format!(
            "table {}: the server gave {} rows and counts {counted} in the same snapshot; nothing \
             is archived. Check the table and its indexes",
            self.target.table, gathered.scanned
        );
        Err(Error::corrupt(text))
    }

    fn is_summed(&self) -> bool {
        let first = &self.target.aged.id[0];
        let whole = |own: &&Column| matches!(own.kind, Kind::Int | Kind::Uint);
        self.columns.iter().filter(|own| own.name == *first).any(|own| whole(&own))
    }

    /// The number in the first id column, or 0.
    fn key(&self, row: Row<'_>) -> Result<i128> {
        let first = &self.target.aged.id[0];
        let place = self.columns.iter().position(|own| own.name == *first);
        match place.filter(|_| self.is_summed()) {
            Some(place) => Ok(row.text(place)?.parse().unwrap_or(0)),
            None => Ok(0),
        }
    }

    /// Age and id.
    fn place(&self, row: Row<'_>) -> Result<Vec<String>> {
        self.places.iter().map(|&place| row.text(place).map(str::to_owned)).collect()
    }

    fn name(&self, row: Row<'_>, name: &mut String) -> Result<()> {
        name_of(&self.columns, &self.target.aged.id, row, name)
    }
}

/// The name of a row of texts, as extraction writes it.
pub fn name_of(columns: &[Column], id: &[String], row: Row<'_>, name: &mut String) -> Result<()> {
    name.clear();
    for (at, own) in id.iter().enumerate() {
        let place = columns.iter().position(|column| column.name == *own);
        let place = place.ok_or_else(|| {
            let text = format!("the archive has no column `{own}`; restore it first");
            Error::new(ErrorKind::Conflict, text)
        })?;
        if at > 0 {
            name.push('\u{1f}');
        }
        name.push_str(row.text(place)?);
    }
    Ok(())
}

/// The rows of a statement that selects all columns, as texts or bytes.
pub fn rows_of(
    connection: &mut Connection,
    statement: &Statement,
    columns: &[Column],
) -> Result<Vec<Page>> {
    let mut pages = vec![Page::new(columns.len())];
    for row in connection.rows(&statement.sql, &statement.values)? {
        let page = pages.last_mut().expect("there is one at least");
        for cell in row {
            page.push(|out| {
                out.extend_from_slice(cell.as_deref().unwrap_or_default());
                Ok::<_, Error>(cell.is_some())
            })?;
        }
        if page.is_full(usize::MAX) {
            pages.push(Page::new(columns.len()));
        }
    }
    pages.retain(|page| page.len() > 0);
    Ok(pages)
}

/// The row of a page that has one.
pub fn row_of(page: &Page) -> Row<'_> {
    page.rows().next().expect("a page of one row")
}

/// The name of the database.
pub fn database(connection: &mut Connection) -> Result<String> {
    let sql = match connection.dialect() {
        crate::tables::connection::Dialect::Postgres => "SELECT CAST(current_database() AS text)",
        crate::tables::connection::Dialect::MySql => "SELECT CAST(DATABASE() AS CHAR)",
    };
    let row = connection.row(sql, &[])?;
    Ok(text(&row, 0)?.unwrap_or_default().to_owned())
}
