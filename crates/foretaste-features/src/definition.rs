//! A feature set: one SQL query in a file whose leading comments say what it is.
//!
//! ```sql
//! -- feature: user_activity
//! -- entity: user
//! -- class: dynamic
//! -- ttl: 5m
//! -- window: 30d
//! -- description: How much a user has done lately.
//! -- column views_7d: Views of the last seven days, today so far included.
//! SELECT user_id, as_of, count(*) FILTER (WHERE kind = 'view' AND age_days < 7) AS views_7d
//! FROM history GROUP BY user_id, as_of
//! ```

use std::collections::HashSet;
use std::time::Duration;

use foretaste_core::feature::{Class, Entity};
use foretaste_core::{Error, ErrorKind, Result};
use serde::Serialize;

/// A column of a feature set, as its header describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeatureColumn {
    /// Its name, unique among all feature sets of a catalogue.
    pub name: String,
    /// What it means, with its unit.
    pub description: String,
}

/// One feature set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Definition {
    /// The file it stands in, for messages.
    pub file: String,
    /// Its name; the table of its values is `features_` and this.
    pub name: String,
    /// What its rows are about.
    pub entity: Entity,
    /// How fast its values change.
    pub class: Class,
    /// How old values may be before `build --due` computes them anew, in seconds.
    pub ttl_s: u64,
    /// Days of history that it looks at, today included; `None` for all.
    pub window_days: Option<u32>,
    /// What it is for.
    pub description: String,
    /// Its columns without the keys, in the order of the header.
    pub columns: Vec<FeatureColumn>,
    /// The query.
    #[serde(skip)]
    pub sql: String,
    /// Line of the file at which the query begins.
    #[serde(skip)]
    pub sql_line: usize,
}

impl Definition {
    /// Reads a definition; `file` stands in messages.
    ///
    /// # Errors
    /// `Config`, naming file and line: for an unknown or repeated key, a bad value, a column
    /// without a description, a missing header or a missing query.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let mut header = Header::default();
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let sql_line = loop {
            match lines.next() {
                None => return Err(wrong(file, text.lines().count(), "the query is missing")),
                Some((_, "" | "--")) => {}
                Some((at, line)) => match line.strip_prefix("--") {
                    Some(comment) => {
                        header.take(comment.trim()).map_err(|what| wrong(file, at, &what))?;
                    }
                    None => break at,
                },
            }
        };
        let sql = text.lines().skip(sql_line - 1).collect::<Vec<_>>().join("\n");
        let sql = sql.trim_end().trim_end_matches(';').to_owned();
        header.complete(file, sql, sql_line).map_err(|what| wrong(file, 1, &what))
    }

    /// Name of the table of its values.
    pub fn table(&self) -> String {
        format!("features_{}", self.name)
    }

    /// The file and the line where the query begins, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file, self.sql_line)
    }

    /// Digest of all that decides about the values.
    pub(crate) fn digest(&self) -> String {
        let keys = self.entity.keys().join(",");
        let columns: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        let text = format!("{keys}\n{:?}\n{}\n{}", self.window_days, columns.join(","), self.sql);
        blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
    }
}

fn wrong(file: &str, line: usize, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("{file}:{line}: {what}"))
}

/// What has been read of a header.
#[derive(Default)]
struct Header {
    seen: HashSet<String>,
    name: Option<String>,
    entity: Option<Entity>,
    class: Option<Class>,
    ttl: Option<Duration>,
    window_days: Option<u32>,
    description: Option<String>,
    columns: Vec<FeatureColumn>,
}

impl Header {
    /// One line of the header, without its dashes.
    fn take(&mut self, line: &str) -> Result<(), String> {
        let Some((key, value)) = line.split_once(':').map(|(k, v)| (k.trim(), v.trim())) else {
            return Err(format!("expected `-- key: value`, found {line:?}"));
        };
        if value.is_empty() {
            return Err(format!("{key} has no value"));
        }
        if !self.seen.insert(key.to_owned()) {
            return Err(format!("{key} stands twice"));
        }
        match key.split_once(' ') {
            Some(("column", name)) => return self.column(name.trim(), value),
            Some(_) => return Err(format!("{key:?} is not known")),
            None => {}
        }
        match key {
            "feature" if value == "now" => {
                return Err("now is the name of the features of the moment".to_owned());
            }
            "feature" => self.name = Some(name(value)?),
            "entity" => self.entity = Some(one_of(&Entity::ALL, key, value)?),
            "class" => self.class = Some(one_of(&Class::ALL, key, value)?),
            "ttl" => self.ttl = Some(duration(value)?),
            "window" => self.window_days = Some(days(value)?),
            "description" => self.description = Some(value.to_owned()),
            _ => {
                return Err(format!(
                    "{key:?} is not known; a header has feature, entity, class, ttl, window, \
                     description, column NAME"
                ));
            }
        }
        Ok(())
    }

    fn column(&mut self, column: &str, description: &str) -> Result<(), String> {
        let (name, description) = (name(column)?, description.to_owned());
        if matches!(column, "user_id" | "item_id" | "as_of") {
            return Err(format!("{column} is a key and no feature"));
        }
        self.columns.push(FeatureColumn { name, description });
        Ok(())
    }

    fn complete(self, file: &str, sql: String, sql_line: usize) -> Result<Definition, String> {
        let missing = |key: &str| format!("the header lacks `-- {key}: ...`");
        let class = self.class.ok_or_else(|| missing("class"))?;
        if self.columns.is_empty() {
            return Err(missing("column NAME"));
        }
        Ok(Definition {
            file: file.to_owned(),
            name: self.name.ok_or_else(|| missing("feature"))?,
            entity: self.entity.ok_or_else(|| missing("entity"))?,
            class,
            ttl_s: self.ttl.unwrap_or_else(|| class.ttl()).as_secs(),
            window_days: self.window_days,
            description: self.description.ok_or_else(|| missing("description"))?,
            columns: self.columns,
            sql,
            sql_line,
        })
    }
}

fn name(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && text.len() <= 63 && text.chars().all(is_fine) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is no name: use a-z, 0-9 and _, at most 63, a letter first"))
}

fn one_of<T: Copy>(all: &[(&str, T)], key: &str, value: &str) -> Result<T, String> {
    let known = || all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|(name, _)| *name == value);
    found.map(|&(_, t)| t).ok_or_else(|| format!("{key} is {value:?}; it can be {}", known()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix(|unit| "smhd".contains(unit)).and_then(|number| {
        let unit = match &text[number.len()..] {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => 86_400,
        };
        number.parse::<u64>().ok()?.checked_mul(unit).filter(|&seconds| seconds > 0)
    });
    let duration = seconds.map(Duration::from_secs);
    duration.ok_or_else(|| format!("{text:?} is no duration; write 30s, 5m, 12h or 7d"))
}

fn days(text: &str) -> Result<u32, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    let days = days.filter(|days| (1..=36_500).contains(days));
    days.ok_or_else(|| format!("window is {text:?}; write whole days, for instance 30d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
-- feature: f
-- entity: user_item
-- class: static
-- window: 30d
--
-- description: What: with a colon.
-- column n: Events.

SELECT user_id -- a comment of the query
FROM history;
";

    #[test]
    fn a_file_becomes_a_definition() {
        let found = Definition::parse("features/f.sql", GOOD).unwrap();
        assert_eq!((found.name.as_str(), found.entity), ("f", Entity::UserItem));
        assert_eq!((found.class, found.ttl_s), (Class::Static, 86_400));
        assert_eq!((found.window_days, found.sql_line), (Some(30), 9));
        assert_eq!(found.description, "What: with a colon.");
        assert_eq!(found.sql, "SELECT user_id -- a comment of the query\nFROM history");
        assert_eq!(found.table(), "features_f");
    }

    #[track_caller]
    fn refused(from: &str, to: &str, expected: &str) {
        assert!(GOOD.contains(from));
        let error = Definition::parse("f.sql", &GOOD.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn errors_name_file_and_line() {
        refused("feature: f", "feature: F", "f.sql:1: \"F\" is no name");
        refused("entity: user_item", "entity: shop", "f.sql:2: entity is \"shop\"; it can be user");
        refused("class: static", "class static", "f.sql:3: expected `-- key: value`");
        refused("window: 30d", "window: 0d", "f.sql:4: window is");
        refused("window: 30d", "ttl: 5x", "f.sql:4: \"5x\" is no duration");
        refused("window: 30d", "entity: user", "f.sql:4: entity stands twice");
        refused("window: 30d", "colour: red", "f.sql:4: \"colour\" is not known");
        refused("column n: Events.", "column n:", "f.sql:7: column n has no value");
        refused("column n:", "column as_of:", "f.sql:7: as_of is a key");
        refused("-- column n: Events.", "", "f.sql:1: the header lacks `-- column NAME");
        refused("-- class: static", "", "the header lacks `-- class");
        let no_query = "-- feature: f\n-- entity: user\n";
        let error = Definition::parse("f.sql", no_query).unwrap_err();
        assert!(error.to_string().contains("f.sql:2: the query is missing"), "{error}");
    }

    #[test]
    fn the_digest_follows_what_decides_about_values() {
        let of = |text: &str| Definition::parse("f.sql", text).unwrap().digest();
        assert_eq!(of(GOOD), of(&GOOD.replace("What", "Why")));
        assert_ne!(of(GOOD), of(&GOOD.replace("30d", "31d")));
        assert_ne!(of(GOOD), of(&GOOD.replace("FROM history", "FROM history LIMIT 1")));
    }
}
