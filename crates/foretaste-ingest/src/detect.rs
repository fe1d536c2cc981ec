//! Finding out what a file is: by the request, else by its name, else by its first line.

use std::path::Path;

use foretaste_core::{Error, Result};

use crate::cells::find;
use crate::columnar::column_names;
use crate::delimited::{Delimited, MAX_ROW_BYTES, split_text};
use crate::driver::{Layout, Plan};
use crate::events::{ITEM, USER};
use crate::input::{Meter, open};
use crate::jsonl::sample_keys;
use crate::lines::Lines;
use crate::movielens;
use crate::{Entity, Format, ImportRequest, parse_time};

/// Files of a folder that a generator wrote.
const NATIVE: [(&str, Entity); 3] = [
    ("items.parquet", Entity::Items),
    ("users.parquet", Entity::Users),
    ("events.parquet", Entity::Events),
];
/// Columns by which Parquet of Foretaste is known.
pub const NATIVE_COLUMNS: [&str; 9] = [
    "user_id",
    "item_id",
    "kind",
    "value",
    "time_ms",
    "session",
    "scene",
    "position",
    "request_id",
];

/// What to import, in which layout.
///
/// # Errors
/// `NotFound` without a file, `Invalid` when its layout cannot be found out.
pub fn plans(request: &ImportRequest) -> Result<Vec<Plan>> {
    let path = request.path.as_path();
    fs_err::metadata(path)?;
    let movielens = request.format == Some(Format::MovieLens)
        || request.format.is_none() && movielens::is_known(path);
    if path.is_dir() && !movielens {
        return folder(path, request);
    }
    if movielens { movielens::plans(path) } else { Ok(vec![file(path, request)?]) }
}

fn folder(path: &Path, request: &ImportRequest) -> Result<Vec<Plan>> {
    let native = NATIVE.iter().map(|(name, entity)| (path.join(name), *entity));
    let native: Vec<_> = native.filter(|(path, _)| path.exists()).collect();
    if native.is_empty() {
        return movielens::plans(path).map_err(|e| {
            e.context(
                "a folder must hold items.parquet, users.parquet, events.parquet or MovieLens",
            )
        });
    }
    let with = |entity| ImportRequest { entity: Some(entity), ..request.clone() };
    native.iter().map(|(path, entity)| file(path, &with(*entity))).collect()
}

fn file(path: &Path, request: &ImportRequest) -> Result<Plan> {
    let format = match request.format {
        Some(format) => format,
        None => by_name(path).map_or_else(|| by_first_line(path), Ok)?,
    };
    let (layout, names) = match format {
        Format::Csv => delimited(path, request, b',')?,
        Format::Tsv => delimited(path, request, b'\t')?,
        Format::Jsonl => {
            let names = sample_keys(&mut lines(path)?)?;
            (Layout::Jsonl(names.clone()), names)
        }
        Format::Parquet => {
            let names = column_names(path)?;
            let native = names == NATIVE_COLUMNS && request.mapping.pairs.is_empty();
            (if native { Layout::Native } else { Layout::Parquet }, names)
        }
        Format::Lists => (Layout::Lists, vec!["user".to_owned(), "item".to_owned()]),
        Format::MovieLens => return Err(Error::internal("MovieLens is planned elsewhere")),
    };
    let entity = request.entity.map_or_else(|| entity(&names, request), Ok)?;
    Ok(Plan { path: path.to_owned(), entity, layout, tags: None })
}

fn by_name(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    Some(match name.rsplit_once('.')?.1 {
        "csv" => Format::Csv,
        "tsv" | "tab" => Format::Tsv,
        "jsonl" | "ndjson" => Format::Jsonl,
        "parquet" | "pq" => Format::Parquet,
        _ => return None,
    })
}

fn by_first_line(path: &Path) -> Result<Format> {
    let line = first_line(path)?;
    let has = |byte| line.contains(&byte);
    Ok(match line.first() {
        Some(b'{') => Format::Jsonl,
        _ if line.starts_with(b"PAR1") => Format::Parquet,
        _ if has(b'\t') => Format::Tsv,
        _ if has(b',') || has(b';') => Format::Csv,
        _ if line.split(|b| *b == b' ').count() >= 2 => Format::Lists,
        _ => {
            let text = format!("{}: the layout cannot be told from its first line", path.display());
            return Err(Error::invalid(format!("{text}; name the format")));
        }
    })
}

fn entity(names: &[String], request: &ImportRequest) -> Result<Entity> {
    let has =
        |field, expected| find(field, expected, (names, &request.mapping)).map(|p| p.is_some());
    Ok(match (has("user", USER)?, has("item", ITEM)?) {
        (false, true) => Entity::Items,
        (true, false) => Entity::Users,
        _ => Entity::Events,
    })
}

fn delimited(path: &Path, request: &ImportRequest, usual: u8) -> Result<(Layout, Vec<String>)> {
    let first = first_line(path)?;
    let count = |byte: u8| first.iter().filter(|&&b| b == byte).count();
    let others = [usual, b';', b'\t', b'|', b','];
    let best = || others.into_iter().rev().max_by_key(|&b| count(b)).unwrap_or(usual);
    let guessed = if count(usual) > 0 { usual } else { best() };
    let separator = request.delimiter.unwrap_or(guessed);
    let mut how = Delimited::new(&[separator], Vec::new());
    let cells = split_text(&first, &how);
    how.skip_first = match request.header {
        Some(header) => header,
        None => is_header(&cells, request)?,
    };
    how.names = if how.skip_first { cells } else { positional(&cells, request) };
    let names = how.names.clone();
    Ok((Layout::Delimited(how), names))
}

/// A line that names a user or item column is a header; one without any digit is, too.
fn is_header(cells: &[String], request: &ImportRequest) -> Result<bool> {
    let named = |column: &String| cells.contains(column);
    if request
        .mapping
        .pairs
        .iter()
        .any(|(_, column)| named(column) && column.parse::<u32>().is_err())
    {
        return Ok(true);
    }
    let plain = ImportRequest { mapping: crate::Mapping::default(), ..request.clone() };
    let known =
        |field, expected| find(field, expected, (cells, &plain.mapping)).map(|p| p.is_some());
    let id = known("id", &["id"])? && request.entity.is_some_and(|e| e != Entity::Events);
    let digits = cells.iter().any(|c| c.contains(|c: char| c.is_ascii_digit()));
    Ok(known("user", USER)? || known("item", ITEM)? || id || !digits)
}

/// Names of columns without a header: numbers when there is a mapping, else the usual order.
fn positional(cells: &[String], request: &ImportRequest) -> Vec<String> {
    let number = |at: usize| (at + 1).to_string();
    if !request.mapping.pairs.is_empty() {
        return (0..cells.len()).map(number).collect();
    }
    let third_is_time = cells.get(2).is_some_and(|c| looks_like_time(c));
    let usual = match request.entity {
        Some(Entity::Items) => ["item_id", "title", "categories", "tags"],
        Some(Entity::Users) => ["user_id", "2", "3", "4"],
        _ if third_is_time => ["user_id", "item_id", "time", "value"],
        _ => ["user_id", "item_id", "rating", "time"],
    };
    (0..cells.len())
        .map(|at| usual.get(at).map_or_else(|| number(at), |n| (*n).to_owned()))
        .collect()
}

fn looks_like_time(cell: &str) -> bool {
    let number = cell.parse::<f64>();
    number.map_or_else(|_| parse_time(cell).is_some(), |n| n >= 1e8)
}

fn first_line(path: &Path) -> Result<Vec<u8>> {
    let mut lines = lines(path)?;
    let line = lines.next()?;
    let line = line.ok_or_else(|| Error::invalid(format!("{} is empty", path.display())))?;
    Ok(line.bytes.to_vec())
}

fn lines(path: &Path) -> Result<Lines> {
    let input = open(path, &Meter::default())?;
    Ok(Lines::new(input, &path.display().to_string(), MAX_ROW_BYTES))
}
