//! Which columns a read is about, found by their names once for all items.

use foretaste_core::feature::Entity;
use foretaste_core::moment::NAMES;
use foretaste_core::{Error, Result};

use crate::manifest::ColumnKind;
use crate::reader::FeatureReader;

/// The name under which features of the moment are asked for and last events are published.
pub const MOMENT: &str = "now";

/// Where the values of one column of a read come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedColumn {
    /// Its name.
    pub name: String,
    /// What it is about; a feature of the moment is about a user and an item.
    pub entity: Entity,
    /// What it holds.
    pub kind: ColumnKind,
    /// The set's place among the reader's, and the column's in the set; for features of the moment
    /// no set.
    pub(crate) place: (Option<usize>, usize),
}

/// The columns of a read, bound to the sets of one reader.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    columns: Vec<PlannedColumn>,
    pub(crate) parts: Vec<Part>,
    /// Feature of the moment and column of the read.
    pub(crate) moment: Vec<(usize, usize)>,
    pub(crate) key: u64,
}

/// What a read takes from one set.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) table: usize,
    pub(crate) numbers: Vec<Run>,
    /// Column of the set and column of the read.
    pub(crate) texts: Vec<(usize, usize)>,
}

/// Columns of numbers that stand side by side in the set and in the read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) len: usize,
}

impl Part {
    fn add_number(&mut self, column: usize, at: usize) {
        match self.numbers.last_mut() {
            Some(run) if run.from + run.len == column && run.to + run.len == at => run.len += 1,
            _ => self.numbers.push(Run { from: column, to: at, len: 1 }),
        }
    }
}

impl Plan {
    /// All columns, or those of the sets and of the names given, each once, in the order in which
    /// they are named; sets come first.
    ///
    /// # Errors
    /// `Invalid` naming sets or columns that there are not.
    pub fn new(reader: &FeatureReader, sets: &[String], columns: &[String]) -> Result<Self> {
        let mut plan = Self { key: reader.key(), ..Self::default() };
        if sets.is_empty() && columns.is_empty() {
            (0..reader.tables().len()).for_each(|table| plan.add_set(reader, table));
            plan.add_moment();
            return Ok(plan);
        }
        for set in sets {
            match reader.tables().iter().position(|table| table.manifest().set == *set) {
                Some(table) => plan.add_set(reader, table),
                None if set == MOMENT => plan.add_moment(),
                None => return Err(unknown_set(reader)),
            }
        }
        for (at, name) in columns.iter().enumerate() {
            match (reader.place_of(name), NAMES.iter().position(|n| n == name)) {
                (Some(place), _) => plan.add(reader, place),
                (None, Some(feature)) => plan.add_feature(feature),
                (None, None) => {
                    let text = "no published set has it; GET /v1/features shows what there is";
                    return Err(Error::invalid(format!("columns.{at}: {text}")));
                }
            }
        }
        Ok(plan)
    }

    /// The columns of a row, in order.
    pub fn columns(&self) -> &[PlannedColumn] {
        &self.columns
    }

    fn add_set(&mut self, reader: &FeatureReader, table: usize) {
        let n = reader.tables()[table].columns().len();
        (0..n).for_each(|column| self.add(reader, (table, column)));
    }

    fn add(&mut self, reader: &FeatureReader, (table, column): (usize, usize)) {
        let of = &reader.tables()[table];
        let head = &of.columns()[column];
        // A name that two sets have is that of one of them.
        let is_owner = reader.place_of(&head.name) == Some((table, column));
        if !is_owner || self.columns.iter().any(|c| c.place == (Some(table), column)) {
            return;
        }
        let at = self.columns.len();
        self.columns.push(PlannedColumn {
            name: head.name.clone(),
            entity: of.entity(),
            kind: head.kind,
            place: (Some(table), column),
        });
        let known = self.parts.iter().position(|part| part.table == table);
        let part = known.unwrap_or_else(|| {
            self.parts.push(Part { table, numbers: Vec::new(), texts: Vec::new() });
            self.parts.len() - 1
        });
        match head.kind {
            ColumnKind::Number => self.parts[part].add_number(column, at),
            ColumnKind::Text => self.parts[part].texts.push((column, at)),
        }
    }

    fn add_moment(&mut self) {
        (0..NAMES.len()).for_each(|feature| self.add_feature(feature));
    }

    fn add_feature(&mut self, feature: usize) {
        if self.moment.iter().all(|(known, _)| *known != feature) {
            self.moment.push((feature, self.columns.len()));
            self.columns.push(PlannedColumn {
                name: NAMES[feature].to_owned(),
                entity: Entity::UserItem,
                kind: ColumnKind::Number,
                place: (None, feature),
            });
        }
    }
}

fn unknown_set(reader: &FeatureReader) -> Error {
    let names = reader.tables().iter().map(|table| table.manifest().set.as_str());
    let names: Vec<&str> = names.chain([MOMENT]).collect();
    Error::invalid(format!("unknown feature set; there are: {}", names.join(", ")))
}
