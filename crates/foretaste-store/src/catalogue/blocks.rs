//! Blocks: the memory of rows that came in one load. A block is written once, in four blobs: the
//! hashes of its rows' names, ascending; digest, key and bucket of each row; names; and the place
//! among those two of the row of each hash. Blocks of older versions, which were sorted as a whole,
//! have no fourth. A row that changes or goes moves out: it is marked here, and from then on
//! `source_rows` knows it.
//!
//! 40 bytes a row and its name, against 100 bytes and a dozen times the work in `source_rows`. A
//! search reads 8 bytes for each row of every block whose range of names it touches.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use foretaste_core::ids::id_hash;
use foretaste_core::{IdTable, Result};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Catalogue, Fault};
use crate::rows::{RowLoad, Texts};

/// The parts of a block.
const HASHES: i64 = 0;
const ENTRIES: i64 = 1;
const NAMES: i64 = 2;
const PLACES: i64 = 3;

/// Bytes of one row among the entries: digest, key, bucket.
const ENTRY: usize = 24;
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

/// A block as it is written.
pub(crate) struct Block {
    parts: Vec<Vec<u8>>,
    low: String,
    high: String,
    /// Rows and digests by bucket.
    buckets: Buckets,
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

impl Block {
    /// Of the rows `rows` of a load, ascending, whose events have their keys.
    ///
    /// # Errors
    /// `Invalid` when a name stands twice.
    pub(crate) fn of(load: &RowLoad, rows: &[u32]) -> Result<Self> {
        let mut some = Texts::default();
        let names = if rows.len() == load.len() {
            &load.names
        } else {
            rows.iter().for_each(|&at| some.push(load.names.get(at as usize)));
            &some
        };
        let mut order: Vec<(u64, u32)> = names.iter().map(id_hash).zip(0..).collect();
        order.sort_unstable();
        refuse_twice(&order, names)?;
        let hashes = order.iter().flat_map(|(hash, _)| hash.to_le_bytes()).collect();
        let places = order.iter().flat_map(|(_, place)| place.to_le_bytes()).collect();
        let (entries, buckets) = entries_of(load, rows);
        let (ends, text) = names.parts();
        let mut named: Vec<u8> = Vec::with_capacity(ends.len() * 4 + text.len());
        ends.iter().for_each(|end| named.extend_from_slice(&end.to_le_bytes()));
        named.extend_from_slice(text.as_bytes());
        let extreme = |name: Option<&str>| name.unwrap_or_default().to_owned();
        let low = extreme(names.iter().min_by_key(|name| rank(name)));
        let high = extreme(names.iter().max_by_key(|name| rank(name)));
        Ok(Self { parts: vec![hashes, entries, named, places], low, high, buckets })
    }
}

#[cfg(test)]
impl Block {
    /// As older versions wrote it: sorted as a whole.
    pub(crate) fn without_places(mut self) -> Self {
        let places = self.parts.pop().expect("four parts");
        let (entries, names) = (&self.parts[1], &self.parts[2]);
        let (mut sorted, mut ends, mut text) = (Vec::new(), Vec::new(), Vec::new());
        for place in places.as_chunks::<4>().0 {
            let place = u32::from_le_bytes(*place) as usize;
            sorted.extend_from_slice(&entries[place * ENTRY..(place + 1) * ENTRY]);
            text.extend_from_slice(name_at(names, entries.len() / ENTRY, place).as_bytes());
            ends.extend_from_slice(&(text.len() as u32).to_le_bytes());
        }
        ends.extend(text);
        (self.parts[1], self.parts[2]) = (sorted, ends);
        self
    }
}

type Buckets = BTreeMap<i64, (i64, i128)>;

/// The entries of some rows of a load, and what they are by bucket.
fn entries_of(load: &RowLoad, rows: &[u32]) -> (Vec<u8>, Buckets) {
    let (mut entries, mut buckets) = (Vec::with_capacity(rows.len() * ENTRY), Buckets::new());
    for rows in rows.chunk_by(|&a, &b| load.bucket[a as usize] == load.bucket[b as usize]) {
        let bucket = load.bucket[rows[0] as usize];
        let mut sum = 0;
        for at in rows.iter().map(|&at| at as usize) {
            let digest = load.digest[at];
            let key = load.event[at].map(|event| load.events.key[event as usize]);
            let flagged = digest | if key.is_some() { IS_EVENT } else { 0 };
            entries.extend_from_slice(&flagged.to_le_bytes());
            entries.extend_from_slice(&key.unwrap_or(0).to_le_bytes());
            entries.extend_from_slice(&bucket.to_le_bytes());
            sum += i128::from(digest);
        }
        let all = buckets.entry(bucket).or_default();
        *all = (all.0 + rows.len() as i64, all.1 + sum);
    }
    (entries, buckets)
}

fn refuse_twice(order: &[(u64, u32)], names: &Texts) -> Result<()> {
    let name = |at: u32| names.get(at as usize);
    // Names of one hash stand together, though perhaps not next to their equals.
    let groups = order.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1);
    for group in groups {
        let mut all: Vec<_> = group.iter().map(|(_, at)| name(*at)).collect();
        all.sort_unstable();
        if let Some(pair) = all.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(crate::rows::twice(pair[0], "load"));
        }
    }
    Ok(())
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
            for (part, bytes) in (HASHES..).zip(&block.parts) {
                t.execute(sql, params![tab, batch, part, bytes])?;
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

    /// Which rows of a load are remembered already, ascending.
    pub(crate) fn known_rows(&self, table: &str, load: &RowLoad) -> Result<Vec<u32>> {
        let connection = super::lock(&self.reading);
        let found = || -> Result<Vec<u32>, Fault> {
            let Some(tab) = find_table(&connection, table)? else { return Ok(Vec::new()) };
            let names: Vec<&str> = load.names.iter().collect();
            let mut known: Vec<u32> = hits(&connection, tab, &names)?.into_keys().collect();
            known.extend(single_rows(&connection, tab, &names)?);
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

/// Hash and place of each name, ascending.
fn by_hash(names: &[&str]) -> Vec<(u64, u32)> {
    let mut sorted: Vec<_> = (0..).zip(names).map(|(at, name)| (id_hash(name), at)).collect();
    sorted.sort_unstable();
    sorted
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
        let (entries, names) = rest(connection, tab, batch)?;
        let inside =
            (0..entries.len() / ENTRY).filter(|&at| number(&entries, at, 2) == bucket as u64);
        for place in inside.filter(|place| moved.binary_search(place).is_err()) {
            let digest = number(&entries, place, 0) & !IS_EVENT;
            rows.push((name_at(&names, entries.len() / ENTRY, place).to_owned(), Some(digest)));
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
    let ranks = || names.iter().map(|name| rank(name));
    let (Some(lowest), Some(highest)) = (ranks().min(), ranks().max()) else { return Ok(found) };
    let mut sorted: Vec<(u64, u32)> = Vec::new();
    for (batch, low, high) in blocks.collect::<rusqlite::Result<Vec<_>>>()? {
        let range = rank(&low)..=rank(&high);
        let is_apart = lowest > *range.end() || highest < *range.start();
        if is_apart || !names.iter().any(|name| range.contains(&rank(name))) {
            continue;
        }
        if sorted.is_empty() {
            sorted = by_hash(names);
        }
        in_block(connection, (tab, batch), (names, &sorted), &mut found)?;
    }
    Ok(found)
}

/// Adds the rows of a block that have not moved and whose names are among `names`, of which
/// `sorted` has the hashes.
fn in_block(
    connection: &Connection,
    (tab, batch): (i64, i64),
    (names, sorted): (&[&str], &[(u64, u32)]),
    found: &mut HashMap<u32, Hit>,
) -> rusqlite::Result<()> {
    let pairs = part(connection, (tab, batch, HASHES), |hashes| equal_hashes(hashes, sorted))?;
    if pairs.is_empty() {
        return Ok(());
    }
    let pairs = placed(connection, (tab, batch), pairs)?;
    let moved = moved(connection, tab, batch)?;
    let (entries, own) = rest(connection, tab, batch)?;
    let here = pairs.into_iter().filter(|(place, _)| moved.binary_search(place).is_err());
    for (place, at) in here {
        if names[at as usize] != name_at(&own, entries.len() / ENTRY, place) {
            continue;
        }
        let digest = number(&entries, place, 0);
        let key = (digest & IS_EVENT != 0).then(|| number(&entries, place, 1));
        let bucket = number(&entries, place, 2) as i64;
        found.insert(at, Hit { batch, place, bucket, digest: digest & !IS_EVENT, key });
    }
    Ok(())
}

/// With the places of rows instead of those of their hashes.
fn placed(
    connection: &Connection,
    (tab, batch): (i64, i64),
    mut pairs: Vec<(usize, u32)>,
) -> rusqlite::Result<Vec<(usize, u32)>> {
    let found = part(connection, (tab, batch, PLACES), |places| {
        let place = |at: usize| u32::from_le_bytes(places.as_chunks::<4>().0[at]);
        pairs.iter_mut().for_each(|(at, _)| *at = place(*at) as usize);
    });
    found.optional()?;
    Ok(pairs)
}

/// Places of equal hashes in a block and in `sorted`.
fn equal_hashes(hashes: &[u8], sorted: &[(u64, u32)]) -> Vec<(usize, u32)> {
    let mut pairs = Vec::new();
    let mut wanted = sorted;
    for (place, hash) in hashes.as_chunks::<8>().0.iter().enumerate() {
        let hash = u64::from_le_bytes(*hash);
        while wanted.first().is_some_and(|(own, _)| *own < hash) {
            wanted = &wanted[1..];
        }
        let equal = wanted.iter().take_while(|(own, _)| *own == hash);
        pairs.extend(equal.map(|(_, at)| (place, *at)));
    }
    pairs
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

/// Entries and names of a block.
fn rest(connection: &Connection, tab: i64, batch: i64) -> rusqlite::Result<(Vec<u8>, Vec<u8>)> {
    let entries = part(connection, (tab, batch, ENTRIES), <[u8]>::to_vec)?;
    Ok((entries, part(connection, (tab, batch, NAMES), <[u8]>::to_vec)?))
}

fn part<T>(
    connection: &Connection,
    (tab, batch, part): (i64, i64, i64),
    read: impl FnOnce(&[u8]) -> T,
) -> rusqlite::Result<T> {
    let sql = "SELECT bytes FROM row_block_parts WHERE tab = ?1 AND batch = ?2 AND part = ?3";
    let mut select = connection.prepare_cached(sql)?;
    select.query_row([tab, batch, part], |row| Ok(read(row.get_ref(0)?.as_blob()?)))
}

/// Number `field` of entry `place`.
fn number(entries: &[u8], place: usize, field: usize) -> u64 {
    let from = place * ENTRY + field * 8;
    u64::from_le_bytes(entries[from..from + 8].try_into().expect("eight bytes"))
}

/// Name `place` of `n`: the ends of all names, then the names.
fn name_at(names: &[u8], n: usize, place: usize) -> &str {
    let end = |at: usize| {
        u32::from_le_bytes(names[at * 4..at * 4 + 4].try_into().expect("four bytes")) as usize
    };
    let from = place.checked_sub(1).map_or(0, end);
    let range: Range<usize> = n * 4 + from..n * 4 + end(place);
    std::str::from_utf8(&names[range]).expect("names were written as whole texts")
}
