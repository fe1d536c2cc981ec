//! Reading a TOML table key by key: what is missing takes its default, what is wrong is noted, and
//! what is left over at the end is not a setting.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use toml::{Table, Value};

/// A table being read, and the problems found so far.
pub(super) struct Reader<'a> {
    path: String,
    table: Table,
    known: BTreeSet<&'static str>,
    problems: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(path: &str, table: Table, problems: &'a mut Vec<String>) -> Self {
        Self { path: path.to_owned(), table, known: BTreeSet::new(), problems }
    }

    /// Notes a problem of a key.
    pub(super) fn refuse(&mut self, key: &str, expected: &str) {
        let place = self.place(key);
        self.problems.push(format!("`{place}` must be {expected}"));
    }

    fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.insert(key);
        self.table.remove(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The table below a key, if there is one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Reader<'_>> {
        let value = self.take(key)?;
        let path = self.place(key);
        match value {
            Value::Table(table) => Some(Reader::new(&path, table, self.problems)),
            _ => {
                self.refuse(key, "a table");
                None
            }
        }
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Table> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Value::Array(values) = value else {
            self.refuse(key, &format!("an array of tables: [[{key}]]"));
            return Vec::new();
        };
        let all = values.len();
        let tables: Vec<Table> = values
            .into_iter()
            .filter_map(|value| if let Value::Table(table) = value { Some(table) } else { None })
            .collect();
        if tables.len() < all {
            self.refuse(key, &format!("an array of tables: [[{key}]]"));
        }
        tables
    }

    /// A reader of a table of an array.
    pub(super) fn inner(&mut self, name: &str, table: Table) -> Reader<'_> {
        Reader::new(name, table, self.problems)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) if !text.is_empty() => Some(text),
            _ => {
                self.refuse(key, "text");
                None
            }
        }
    }

    pub(super) fn text_or_empty(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.refuse(key, "text");
                None
            }
        }
    }

    /// A non-empty list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.take(key)?;
        let texts: Option<Vec<String>> = value
            .as_array()
            .and_then(|values| values.iter().map(|v| v.as_str().map(str::to_owned)).collect());
        let texts = texts.filter(|texts| !texts.is_empty());
        if texts.is_none() {
            self.refuse(key, "a list of texts that is not empty");
        }
        texts
    }

    /// All pairs of a table whose keys are the user's own.
    pub(super) fn pairs(&mut self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for (key, value) in std::mem::take(&mut self.table) {
            match value {
                Value::String(text) => pairs.push((key, text)),
                _ => self.refuse(&key, "text"),
            }
        }
        pairs
    }

    pub(super) fn flag(&mut self, key: &'static str) -> bool {
        match self.take(key) {
            None => false,
            Some(Value::Boolean(flag)) => flag,
            Some(_) => {
                self.refuse(key, "true or false");
                false
            }
        }
    }

    /// A number within bounds.
    pub(super) fn number(&mut self, key: &'static str, bounds: RangeInclusive<f64>) -> Option<f64> {
        let number = match self.take(key)? {
            Value::Float(number) => number,
            Value::Integer(number) => number as f64,
            _ => f64::NAN,
        };
        if !bounds.contains(&number) {
            let (least, most) = (bounds.start(), bounds.end());
            self.refuse(key, &format!("a number from {least} to {most}"));
            return None;
        }
        Some(number)
    }

    /// A whole number within bounds.
    pub(super) fn count(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let count = self.take(key)?.as_integer().and_then(|n| u64::try_from(n).ok());
        let count = count.filter(|count| bounds.contains(count));
        if count.is_none() {
            let (least, most) = (bounds.start(), bounds.end());
            self.refuse(key, &format!("a whole number from {least} to {most}"));
        }
        count
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let value = self.take(key)?;
        let found = words.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, t)| *t);
        if found.is_none() {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.refuse(key, &format!("one of {}", words.join(", ")));
        }
        found
    }

    /// Notes every key that nothing asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let place = self.place(key);
            let known: Vec<&str> = self.known.iter().copied().collect();
            let problem = format!("`{place}` is not a setting; known here: {}", known.join(", "));
            self.problems.push(problem);
        }
    }
}
