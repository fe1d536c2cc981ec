//! The layouts in which MovieLens is distributed: 100k (`u.*`), 1M and 10M (`*.dat`), and the
//! CSV releases (20M, 25M, latest).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use foretaste_core::{Error, Result};

use crate::Entity;
use crate::catalogue::{ExtraTags, FLAG_PREFIX};
use crate::delimited::{Delimited, split_text};
use crate::driver::{Layout, Plan};
use crate::input::{Meter, open};
use crate::lines::Lines;

const GENRES: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];
/// Tags of one movie that are kept, most frequent first.
const TAGS: usize = 10;
const FILES: [&str; 8] = [
    "movies.dat",
    "users.dat",
    "ratings.dat",
    "u.item",
    "u.user",
    "u.data",
    "movies.csv",
    "ratings.csv",
];

/// The files of a folder, or the one file.
///
/// # Errors
/// `NotFound` when there is none with a name that MovieLens uses.
pub fn plans(path: &Path) -> Result<Vec<Plan>> {
    let candidates: Vec<PathBuf> = if path.is_dir() {
        FILES.iter().map(|f| path.join(f)).filter(|p| p.exists()).collect()
    } else {
        vec![path.to_owned()]
    };
    let plans: Vec<Plan> = candidates.iter().filter_map(|p| plan(p)).collect();
    if plans.is_empty() {
        let text = format!("{} holds none of {}", path.display(), FILES.join(", "));
        return Err(Error::not_found(text));
    }
    Ok(plans)
}

/// True when the name of a file is one that only MovieLens uses.
pub fn is_known(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    FILES[..6].contains(&name.as_str())
}

fn plan(path: &Path) -> Option<Plan> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let (entity, how) = match name.strip_suffix(".gz").unwrap_or(&name) {
        "ratings.dat" => (Entity::Events, latin1(b"::", "user_id item_id rating timestamp")),
        "movies.dat" => (Entity::Items, latin1(b"::", "item_id title genres")),
        "users.dat" => (Entity::Users, latin1(b"::", "user_id gender age occupation zip")),
        "u.data" => (Entity::Events, latin1(b"\t", "user_id item_id rating timestamp")),
        "u.user" => (Entity::Users, latin1(b"|", "user_id age gender occupation zip")),
        "u.item" => (Entity::Items, u_item()),
        "ratings.csv" => (Entity::Events, csv("userId movieId rating timestamp")),
        "movies.csv" => (Entity::Items, csv("movieId title genres")),
        _ => return None,
    };
    let tags = path.with_file_name("tags.csv");
    let tags = (entity == Entity::Items && tags.exists()).then_some(tags);
    Some(Plan { path: path.to_owned(), entity, layout: Layout::Delimited(how), tags })
}

fn names(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

fn latin1(separator: &[u8], columns: &str) -> Delimited {
    let how = Delimited::new(separator, names(columns));
    Delimited { latin1: true, quotes: false, ..how }
}

fn csv(columns: &str) -> Delimited {
    Delimited { skip_first: true, ..Delimited::new(b",", names(columns)) }
}

fn u_item() -> Delimited {
    let mut how = latin1(b"|", "item_id title released video_released url");
    how.names.extend(GENRES.map(|g| format!("{FLAG_PREFIX}{g}")));
    how
}

/// The most frequent tags of each movie that at least two people gave.
pub fn read_tags(path: &Path) -> Result<ExtraTags> {
    let mut lines = Lines::new(open(path, &Meter::default())?, "tags.csv", 1 << 16);
    let how = csv("userId movieId tag timestamp");
    let mut counts: HashMap<String, HashMap<String, u32>> = HashMap::new();
    while let Some(line) = lines.next()? {
        let cells = split_text(line.bytes, &how);
        let [_, movie, tag, _] = cells.as_slice() else { continue };
        *counts.entry(movie.clone()).or_default().entry(tag.to_lowercase()).or_default() += 1;
    }
    Ok(counts.into_iter().map(|(movie, tags)| (movie, most_frequent(tags))).collect())
}

fn most_frequent(tags: HashMap<String, u32>) -> Vec<String> {
    let mut tags: Vec<(String, u32)> = tags.into_iter().filter(|(_, n)| *n >= 2).collect();
    tags.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    tags.into_iter().take(TAGS).map(|(tag, _)| tag).collect()
}
