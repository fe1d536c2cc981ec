//! All feature sets of a lake: the files of a folder, or the starter set that comes with the crate.

use std::collections::BTreeMap;
use std::path::Path;

use foretaste_core::{Error, ErrorKind, Result};

use crate::definition::Definition;
use crate::starter;

/// Feature sets, ascending by name.
#[derive(Clone, Debug)]
pub struct Catalogue {
    sets: Vec<Definition>,
}

impl Catalogue {
    /// The files `*.sql` of a folder.
    ///
    /// # Errors
    /// `NotFound` for a folder that is not there or has no such file; `Config` naming file and
    /// line for a file that is not right, and both files where names collide.
    pub fn load(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "sql") {
                files.push((path.display().to_string(), fs_err::read_to_string(&path)?));
            }
        }
        if files.is_empty() {
            return Err(Error::not_found(format!("{} holds no *.sql file", folder.display())));
        }
        Self::of(files.iter().map(|(file, text)| (file.as_str(), text.as_str())))
    }

    /// The starter set: features of a marketplace as `foretaste generate` makes it.
    ///
    /// # Errors
    /// None that a test of this crate has not seen.
    pub fn starter() -> Result<Self> {
        Self::of(starter::FILES.iter().copied())
    }

    /// Feature sets from texts, each with the name of its file.
    ///
    /// # Errors
    /// As [`Catalogue::load`].
    pub fn of<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let sets = files.map(|(file, text)| Definition::parse(file, text));
        let mut sets = sets.collect::<Result<Vec<_>>>()?;
        sets.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = sets.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(twice("feature", &pair[0].name, &pair[0], &pair[1]));
        }
        let mut columns = BTreeMap::new();
        for set in &sets {
            for column in &set.columns {
                if let Some(other) = columns.insert(column.name.as_str(), set) {
                    return Err(twice("column", &column.name, other, set));
                }
            }
        }
        Ok(Self { sets })
    }

    /// All feature sets.
    pub fn sets(&self) -> &[Definition] {
        &self.sets
    }

    /// The feature sets with these names; all of them where none is given.
    ///
    /// # Errors
    /// `Invalid` naming one that there is not, and those that there are.
    pub fn chosen(&self, names: &[String]) -> Result<Vec<&Definition>> {
        if names.is_empty() {
            return Ok(self.sets.iter().collect());
        }
        let find = |name: &String| {
            self.sets.iter().find(|set| set.name == *name).ok_or_else(|| {
                let known: Vec<&str> = self.sets.iter().map(|set| set.name.as_str()).collect();
                Error::invalid(format!("no feature set {name:?}; there are: {}", known.join(", ")))
            })
        };
        names.iter().map(find).collect()
    }
}

fn twice(what: &str, name: &str, a: &Definition, b: &Definition) -> Error {
    let text = format!("{what} {name} stands in {} and in {}; rename one", a.file, b.file);
    Error::new(ErrorKind::Config, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, column: &str) -> String {
        format!(
            "-- feature: {name}\n-- entity: user\n-- class: static\n-- description: d\n\
             -- column {column}: c\nSELECT 1\n"
        )
    }

    #[test]
    fn names_are_unique_over_all_files() {
        let of =
            |a: &str, b: &str| Catalogue::of([("a.sql", a), ("b.sql", b)].into_iter()).map(|_| ());
        of(&text("f", "x"), &text("g", "y")).unwrap();
        let error = of(&text("f", "x"), &text("f", "y")).unwrap_err().to_string();
        assert!(error.contains("feature f stands in a.sql and in b.sql"), "{error}");
        let error = of(&text("f", "x"), &text("g", "x")).unwrap_err().to_string();
        assert!(error.contains("column x stands in a.sql and in b.sql"), "{error}");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let text = text("f", "x");
        let catalogue = Catalogue::of([("a.sql", text.as_str())].into_iter()).unwrap();
        assert_eq!(catalogue.chosen(&[]).unwrap().len(), 1);
        let error = catalogue.chosen(&["g".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("there are: f"), "{error}");
    }
}
