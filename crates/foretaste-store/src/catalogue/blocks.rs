//! Blocks: the memory of rows that came in one load, in the order in which they were read. A block
//! is written once, in some blobs: digest and key of each row; buckets, by runs of rows; and their
//! names, as differences where all are whole numbers, else with a short hash of each to be found
//! by. A row that changes or goes moves out: it is marked here, and from then on `source_rows`
//! knows it.
//!
//! 17 bytes a row whose names are running numbers, else 24 and its name, against 100 bytes and a
//! dozen times the work in `source_rows`. A search reads a byte or four for each row of every block
//! whose range of names it touches. Nothing is sorted to be written.
//!
//! Blocks of versions 3 and 4 are read by [`old`].

mod block;
mod numbers;
mod old;
mod wanted;

use std::collections::HashMap;

use foretaste_core::ids::id_hash;
use foretaste_core::{IdTable, Result};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use self::wanted::Wanted;
use super::{Catalogue, Fault};
use crate::rows::RowLoad;
pub(crate) use block::Block;

/// The parts of a block; their numbers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Hashes, entries, names and places of older versions.
    OldHashes = 0,
    OldEntries = 1,
    /// The end of each name, then all of them.
    Names = 2,
    OldPlaces = 3,
    /// Digest and key of each row.
    Pairs = 4,
    /// Behind the last row of each run of rows of one bucket, and that bucket.
    Runs = 5,
    /// Names that are numbers.
    Numbers = 6,
    /// A short hash of each name.
    Short = 7,
}

/// Bytes of a row among the pairs.
const PAIR: usize = 16;
/// In a digest: the row is an event, and its key means something.
const IS_EVENT: u64 = 1 << 63;
/// Sums are kept in two halves, as a sum in SQLite must not leave 64 bits.
pub(super) const LOW_BITS: u32 = 30;

/// A row that a block knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) batch: i64,
    place: usize,
    bucket: i64,
    pub(super) digest: u64,
    pub(super) key: Option<u64>,
}

/// A load whose events are written but perhaps not part of the lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenLoad {
    /// Its table.
    tab: i64,
    batch: i64,
    /// The file of its events; empty when it has none.
    pub(crate) segment: String,
}

/// The order of names that blocks have ranges of: running numbers lie in their order.
fn rank(name: &str) -> (usize, &str) {
    (name.len(), name)
}

impl Catalogue {
    /// Notes a load that is about to be stored: its rows, its segment, and its watermark.
    pub(crate) fn note_load(
        &self,
        (table, batch): (&str, u64),
        block: &Block,
        (segment, watermark): (&str, Option<&str>),
    ) -> Result<()> {
        self.transaction(|t| {
            let (tab, batch) = (super::rows::table_id(t, table)?, batch as i64);
            t.execute(
                "INSERT INTO row_blocks (tab, batch, low, high, segment, watermark)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![tab, batch, block.low, block.high, segment, watermark],
            )?;
            let sql = "INSERT INTO row_block_parts (tab, batch, part, bytes)
                       VALUES (?1, ?2, ?3, ?4)";
            for (part, bytes) in &block.parts {
                t.execute(sql, params![tab, batch, *part as i64, bytes])?;
            }
            let sql = "INSERT INTO row_block_buckets (tab, batch, bucket, rows, low, high)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            for (bucket, (rows, sum)) in &block.buckets {
                let (low, high) = halves(*sum);
                t.prepare_cached(sql)?.execute(params![tab, batch, bucket, rows, low, high])?;
            }
            let sql = "UPDATE row_tables SET batch = ?2, open = ?2 WHERE id = ?1";
            t.execute(sql, [tab, batch])?;
            Ok(())
        })
    }

    /// Loads that were noted and not closed.
    pub(crate) fn open_loads(&self) -> Result<Vec<OpenLoad>> {
        let sql = "SELECT tab, batch, segment FROM row_blocks WHERE segment IS NOT NULL";
        let connection = super::lock(&self.reading);
        let found = super::prepared(&connection, sql, |s| {
            let load = |row: &rusqlite::Row<'_>| {
                Ok(OpenLoad { tab: row.get(0)?, batch: row.get(1)?, segment: row.get(2)? })
            };
            s.query_map([], load)?.collect()
        });
        self.named(found)
    }

    /// The events of a load are part of the lake for good, or never will be.
    pub(crate) fn close_load(&self, load: &OpenLoad, stored: bool) -> Result<()> {
        let key = [load.tab, load.batch];
        self.transaction(|t| {
            if stored {
                let sql = "UPDATE row_tables SET watermark = coalesce((
                             SELECT watermark FROM row_blocks WHERE tab = ?1 AND batch = ?2
                           ), watermark) WHERE id = ?1 AND open = ?2";
                t.execute(sql, key)?;
                let sql = "UPDATE row_blocks SET segment = NULL WHERE tab = ?1 AND batch = ?2";
                t.execute(sql, key)?;
            } else {
                for table in ["row_blocks", "row_block_parts", "row_block_buckets"] {
                    let sql = format!("DELETE FROM {table} WHERE tab = ?1 AND batch = ?2");
                    t.execute(&sql, key)?;
                }
            }
            t.execute("UPDATE row_tables SET open = 0 WHERE id = ?1 AND open = ?2", key)?;
            Ok(())
        })
    }

    /// Whether a step was interrupted: what it noted is not certain yet.
    pub(crate) fn is_step_open(&self, table: &str) -> Result<bool> {
        let sql = "SELECT open != 0 FROM row_tables WHERE name = ?1";
        let connection = super::lock(&self.reading);
        let found = super::prepared(&connection, sql, |s| {
            s.query_row([table], |row| row.get(0)).optional()
        });
        Ok(self.named(found)?.unwrap_or(false))
    }

    /// Which rows of a load are remembered already, ascending.
    pub(crate) fn known_rows(&self, table: &str, load: &RowLoad) -> Result<Vec<u32>> {
        let connection = super::lock(&self.reading);
        let found = || -> Result<Vec<u32>, Fault> {
            let Some(tab) = find_table(&connection, table)? else { return Ok(Vec::new()) };
            let names: Vec<&str> = load.names.iter().collect();
            let mut known: Vec<u32> = hits(&connection, tab, &names)?.into_keys().collect();
            let sql = "SELECT 1 FROM source_rows WHERE tab = ?1";
            if connection.prepare_cached(sql)?.exists([tab])? {
                known.extend(single_rows(&connection, tab, &names)?);
            }
            known.sort_unstable();
            Ok(known)
        };
        self.unfaulted(found())
    }
}

/// The places of the names that `source_rows` knows: its rows are read where they are fewer than
/// the names, else each name is looked up.
fn single_rows(connection: &Connection, tab: i64, names: &[&str]) -> rusqlite::Result<Vec<u32>> {
    let (Some(first), Some(last)) = (names.iter().min(), names.iter().max()) else {
        return Ok(Vec::new());
    };
    let sql = "SELECT count(*) FROM (SELECT 1 FROM source_rows
                                     WHERE tab = ?1 AND row BETWEEN ?3 AND ?4 LIMIT ?2)";
    let most = names.len() as i64;
    let n: i64 = connection.query_row(sql, params![tab, most, first, last], |row| row.get(0))?;
    if n as usize == names.len() {
        let sql = "SELECT 1 FROM source_rows WHERE tab = ?1 AND row = ?2";
        let mut select = connection.prepare_cached(sql)?;
        let exists = |(at, name)| Ok(select.exists(params![tab, name])?.then_some(at));
        return (0..).zip(names).map(exists).filter_map(Result::transpose).collect();
    }
    if n == 0 {
        return Ok(Vec::new());
    }
    let sql = "SELECT row FROM source_rows WHERE tab = ?1 AND row BETWEEN ?2 AND ?3";
    let mut select = connection.prepare_cached(sql)?;
    let (mut rows, mut known) = (select.query(params![tab, first, last])?, IdTable::new());
    while let Some(row) = rows.next()? {
        known.intern(row.get_ref(0)?.as_str()?);
    }
    let found = (0..).zip(names).filter(|(_, name)| known.index_of(name).is_some());
    Ok(found.map(|(at, _)| at).collect())
}

/// Names and digests of the rows of one bucket that are still in blocks.
pub(super) fn bucket(
    connection: &Connection,
    (table, bucket): (&str, i64),
) -> rusqlite::Result<Vec<(String, Option<u64>)>> {
    let Some(tab) = find_table(connection, table)? else { return Ok(Vec::new()) };
    let sql = "SELECT batch FROM row_block_buckets WHERE tab = ?1 AND bucket = ?2 AND rows > 0";
    let mut select = connection.prepare_cached(sql)?;
    let batches = select.query_map([tab, bucket], |row| row.get::<_, i64>(0))?;
    let mut rows = Vec::new();
    for batch in batches.collect::<rusqlite::Result<Vec<_>>>()? {
        let moved = moved(connection, tab, batch)?;
        let entries = Entries::read(connection, tab, batch)?;
        let names = Names::read(connection, (tab, batch), entries.len())?;
        for place in entries.of_bucket(bucket) {
            if moved.binary_search(&place).is_err() {
                rows.push((names.get(place), Some(entries.row(place).0 & !IS_EVENT)));
            }
        }
    }
    Ok(rows)
}

/// The rows among `names` that blocks know, by their place in `names`.
pub(super) fn hits(
    connection: &Connection,
    tab: i64,
    names: &[&str],
) -> rusqlite::Result<HashMap<u32, Hit>> {
    let mut found = HashMap::new();
    let sql = "SELECT batch, low, high FROM row_blocks WHERE tab = ?1";
    let mut select = connection.prepare_cached(sql)?;
    let blocks = select.query_map([tab], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    })?;
    let blocks = blocks.collect::<rusqlite::Result<Vec<_>>>()?;
    if blocks.is_empty() {
        return Ok(found);
    }
    let ranks = || names.iter().map(|name| rank(name));
    let (Some(lowest), Some(highest)) = (ranks().min(), ranks().max()) else { return Ok(found) };
    let mut search = Search::new(names);
    for (batch, low, high) in blocks {
        let range = rank(&low)..=rank(&high);
        let is_apart = lowest > *range.end() || highest < *range.start();
        if !is_apart && names.iter().any(|name| range.contains(&rank(name))) {
            search.in_block(connection, (tab, batch), &mut found)?;
        }
    }
    Ok(found)
}

/// Names that are looked for.
struct Search<'n> {
    names: &'n [&'n str],
    /// The names by what blocks have of them, as soon as one has it.
    numbers: Option<Wanted>,
    short: Option<Wanted>,
    hashes: Option<Vec<(u64, u32)>>,
}

impl<'n> Search<'n> {
    fn new(names: &'n [&'n str]) -> Self {
        Self { names, numbers: None, short: None, hashes: None }
    }

    /// Adds the rows of a block that have not moved and whose names are wanted.
    fn in_block(
        &mut self,
        connection: &Connection,
        (tab, batch): (i64, i64),
        found: &mut HashMap<u32, Hit>,
    ) -> rusqlite::Result<()> {
        let pairs = self.places(connection, (tab, batch))?;
        if pairs.is_empty() {
            return Ok(());
        }
        let moved = moved(connection, tab, batch)?;
        let entries = Entries::read(connection, tab, batch)?;
        let own = Names::read(connection, (tab, batch), entries.len())?;
        let here = pairs.into_iter().filter(|(place, _)| moved.binary_search(place).is_err());
        for (place, at) in here.filter(|&(place, at)| own.is(place, self.names[at as usize])) {
            let (digest, key, bucket) = entries.row(place);
            let key = (digest & IS_EVENT != 0).then_some(key);
            found.insert(at, Hit { batch, place, bucket, digest: digest & !IS_EVENT, key });
        }
        Ok(())
    }

    /// Places in a block that may be those of names.
    fn places(
        &mut self,
        connection: &Connection,
        (tab, batch): (i64, i64),
    ) -> rusqlite::Result<Vec<(usize, u32)>> {
        let names = || (0..).zip(self.names);
        let numbers = self.numbers.get_or_insert_with(|| {
            let numbers = names().filter_map(|(at, name)| Some((numbers::parse(name)? as u64, at)));
            Wanted::new(numbers.collect())
        });
        let found = part(connection, (tab, batch, Part::Numbers), |steps| {
            numbers.among(numbers::decode(steps).map(|number| number as u64))
        });
        if let Some(found) = found.optional()? {
            return Ok(found);
        }
        let short_of = |name: &str| u64::from(short(id_hash(name)));
        let short = self.short.get_or_insert_with(|| {
            Wanted::new(names().map(|(at, name)| (short_of(name), at)).collect())
        });
        let found = part(connection, (tab, batch, Part::Short), |hashes| {
            let hashes = hashes.as_chunks::<4>().0.iter();
            short.among(hashes.map(|hash| u64::from(u32::from_le_bytes(*hash))))
        });
        if let Some(found) = found.optional()? {
            return Ok(found);
        }
        let hashes = self.hashes.get_or_insert_with(|| old::by_hash(self.names));
        old::places(connection, (tab, batch), hashes)
    }
}

/// What a search goes by first.
fn short(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Digest, key and bucket of each row of a block.
enum Entries {
    Old(Vec<u8>),
    Pairs(Vec<u8>, Vec<(usize, i64)>),
}

impl Entries {
    fn read(connection: &Connection, tab: i64, batch: i64) -> rusqlite::Result<Self> {
        let pairs = part(connection, (tab, batch, Part::Pairs), <[u8]>::to_vec).optional()?;
        let Some(pairs) = pairs else {
            return part(connection, (tab, batch, Part::OldEntries), <[u8]>::to_vec).map(Self::Old);
        };
        let runs = part(connection, (tab, batch, Part::Runs), |runs| {
            let run = |run: &[u8; 16]| {
                let half = |at: usize| number(run, at);
                (half(0) as usize, half(1) as i64)
            };
            runs.as_chunks::<16>().0.iter().map(run).collect()
        })?;
        Ok(Self::Pairs(pairs, runs))
    }

    fn len(&self) -> usize {
        match self {
            Self::Old(entries) => entries.len() / old::ENTRY,
            Self::Pairs(pairs, _) => pairs.len() / PAIR,
        }
    }

    /// Digest with its flag, key, bucket.
    fn row(&self, place: usize) -> (u64, u64, i64) {
        match self {
            Self::Old(entries) => old::entry(entries, place),
            Self::Pairs(pairs, runs) => {
                let run = runs.partition_point(|&(end, _)| end <= place);
                (number(pairs, place * 2), number(pairs, place * 2 + 1), runs[run].1)
            }
        }
    }

    fn of_bucket(&self, bucket: i64) -> Vec<usize> {
        match self {
            Self::Old(_) => (0..self.len()).filter(|&at| self.row(at).2 == bucket).collect(),
            Self::Pairs(_, runs) => {
                let froms = std::iter::once(0).chain(runs.iter().map(|run| run.0));
                let own = froms.zip(runs).filter(|(_, run)| run.1 == bucket);
                own.flat_map(|(from, run)| from..run.0).collect()
            }
        }
    }
}

/// The names of a block.
enum Names {
    Numbers(Vec<i64>),
    /// Of so many.
    Texts(Vec<u8>, usize),
}

impl Names {
    fn read(connection: &Connection, (tab, batch): (i64, i64), n: usize) -> rusqlite::Result<Self> {
        let numbers = |steps: &[u8]| numbers::decode(steps).collect();
        let numbers = part(connection, (tab, batch, Part::Numbers), numbers).optional()?;
        match numbers {
            Some(numbers) => Ok(Self::Numbers(numbers)),
            None => {
                let texts = part(connection, (tab, batch, Part::Names), <[u8]>::to_vec)?;
                Ok(Self::Texts(texts, n))
            }
        }
    }

    fn get(&self, place: usize) -> String {
        match self {
            Self::Numbers(numbers) => numbers[place].to_string(),
            Self::Texts(names, n) => name_at(names, *n, place).to_owned(),
        }
    }

    fn is(&self, place: usize, name: &str) -> bool {
        match self {
            Self::Numbers(numbers) => numbers::parse(name) == Some(numbers[place]),
            Self::Texts(names, n) => name_at(names, *n, place) == name,
        }
    }
}

/// A row leaves its block.
pub(super) fn move_out(t: &Transaction<'_>, tab: i64, hit: &Hit) -> rusqlite::Result<()> {
    let sql = "INSERT INTO row_moved (tab, batch, place) VALUES (?1, ?2, ?3)";
    t.prepare_cached(sql)?.execute(params![tab, hit.batch, hit.place as i64])?;
    let (low, high) = halves(i128::from(hit.digest));
    let sql = "UPDATE row_block_buckets SET rows = rows - 1, low = low - ?4, high = high - ?5
               WHERE tab = ?1 AND batch = ?2 AND bucket = ?3";
    t.prepare_cached(sql)?.execute(params![tab, hit.batch, hit.bucket, low, high])?;
    Ok(())
}

pub(super) fn find_table(connection: &Connection, table: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT id FROM row_tables WHERE name = ?1";
    connection.prepare_cached(sql)?.query_row([table], |row| row.get(0)).optional()
}

fn halves(sum: i128) -> (i64, i64) {
    ((sum & ((1 << LOW_BITS) - 1)) as i64, (sum >> LOW_BITS) as i64)
}

/// Places of the rows that have left a block, ascending.
fn moved(connection: &Connection, tab: i64, batch: i64) -> rusqlite::Result<Vec<usize>> {
    let sql = "SELECT place FROM row_moved WHERE tab = ?1 AND batch = ?2 ORDER BY place";
    let mut select = connection.prepare_cached(sql)?;
    let places = select.query_map([tab, batch], |row| row.get::<_, i64>(0))?;
    places.map(|place| Ok(place? as usize)).collect()
}

fn part<T>(
    connection: &Connection,
    (tab, batch, part): (i64, i64, Part),
    read: impl FnOnce(&[u8]) -> T,
) -> rusqlite::Result<T> {
    let sql = "SELECT bytes FROM row_block_parts WHERE tab = ?1 AND batch = ?2 AND part = ?3";
    let mut select = connection.prepare_cached(sql)?;
    select.query_row([tab, batch, part as i64], |row| Ok(read(row.get_ref(0)?.as_blob()?)))
}

/// Number `at` of some, eight bytes each.
fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("eight bytes"))
}

/// Name `place` of `n`: the ends of all names, then the names.
fn name_at(names: &[u8], n: usize, place: usize) -> &str {
    let end = |at: usize| {
        u32::from_le_bytes(names[at * 4..at * 4 + 4].try_into().expect("four bytes")) as usize
    };
    let from = place.checked_sub(1).map_or(0, end);
    let range = n * 4 + from..n * 4 + end(place);
    std::str::from_utf8(&names[range]).expect("names were written as whole texts")
}
