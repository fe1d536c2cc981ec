//! The values of a feature set before they are published, and their form in a file.
//!
//! Rows stand in the order of their keys and dictionaries in the order of their texts, so the same
//! values give the same bytes in whatever order they came.

use foretaste_bundle::{FileKind, IdIndex, SectionWriter, TextColumn};
use foretaste_core::feature::Entity;
use foretaste_core::{Error, ErrorKind, IdTable, Result};

use crate::manifest::{ColumnHead, ColumnKind};

/// A cell without a value: no number, and no code of a dictionary.
pub(crate) const MISSING_NUMBER: u32 = f32::NAN.to_bits();
/// The code of a text that is missing.
pub(crate) const MISSING_TEXT: u32 = u32::MAX;
/// Texts of one column at most: codes must be exact as numbers of single precision.
const MOST_TEXTS: usize = 1 << 24;
/// Columns of texts in one set at most: a file has a bounded number of arrays.
const MOST_TEXT_COLUMNS: usize = 12;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// There is none.
    Missing,
    /// A number; what is not finite in single precision is missing.
    Number(f64),
    /// A text.
    Text(&'a str),
}

/// Rows of one set, in memory.
///
/// # Cost
/// 4 bytes a value, and 12 and their text for each id.
#[derive(Debug)]
pub struct ValuesDraft {
    entity: Entity,
    columns: Vec<ColumnHead>,
    users: IdTable,
    items: IdTable,
    /// User and item of each row; what the entity has none of is 0.
    rows: Vec<(u32, u32)>,
    cells: Vec<u32>,
    texts: Vec<IdTable>,
    not_finite: u64,
}

impl ValuesDraft {
    /// No rows yet.
    ///
    /// # Errors
    /// `Invalid` without columns or with too many columns of texts.
    pub fn new(entity: Entity, columns: Vec<ColumnHead>) -> Result<Self> {
        let n_texts = columns.iter().filter(|c| c.kind == ColumnKind::Text).count();
        if columns.is_empty() || n_texts > MOST_TEXT_COLUMNS {
            let text = format!("{} columns, {n_texts} of them texts", columns.len());
            return Err(Error::invalid(format!(
                "{text}; at most {MOST_TEXT_COLUMNS} can be texts"
            )));
        }
        Ok(Self {
            entity,
            texts: vec![IdTable::new(); columns.len()],
            columns,
            users: IdTable::new(),
            items: IdTable::new(),
            rows: Vec::new(),
            cells: Vec::new(),
            not_finite: 0,
        })
    }

    /// Adds a row: its keys in the order of the entity's, and a cell for each column.
    ///
    /// # Errors
    /// `Invalid` for another number of keys or cells, or a value of another kind than its column's;
    /// `Exhausted` for too many texts.
    pub fn push<'a>(&mut self, keys: &[&str], cells: impl Iterator<Item = Cell<'a>>) -> Result<()> {
        let row = match (self.entity, keys) {
            (Entity::User, [user]) => (self.users.intern(user), 0),
            (Entity::Item, [item]) => (0, self.items.intern(item)),
            (Entity::UserItem, [user, item]) => (self.users.intern(user), self.items.intern(item)),
            _ => {
                let (n, entity) = (keys.len(), self.entity.name());
                return Err(Error::invalid(format!("{n} keys for a row about {entity}")));
            }
        };
        let before = self.cells.len();
        for (at, cell) in cells.enumerate() {
            let encoded = self.encoded(at, cell)?;
            self.cells.push(encoded);
        }
        if self.cells.len() != before + self.columns.len() {
            let n = self.cells.len() - before;
            self.cells.truncate(before);
            return Err(Error::invalid(format!("{n} values for {} columns", self.columns.len())));
        }
        self.rows.push(row);
        Ok(())
    }

    fn encoded(&mut self, at: usize, cell: Cell<'_>) -> Result<u32> {
        let column = self.columns.get(at).ok_or_else(|| Error::invalid("too many values"))?;
        Ok(match (column.kind, cell) {
            (ColumnKind::Number, Cell::Missing) => MISSING_NUMBER,
            (ColumnKind::Text, Cell::Missing) => MISSING_TEXT,
            (ColumnKind::Number, Cell::Number(number)) => {
                let single = number as f32;
                if !single.is_finite() {
                    self.not_finite += 1;
                    return Ok(MISSING_NUMBER);
                }
                single.to_bits()
            }
            (ColumnKind::Text, Cell::Text(text)) => {
                let texts = &mut self.texts[at];
                if texts.len() >= MOST_TEXTS && texts.index_of(text).is_none() {
                    let text = format!("column {} has more than {MOST_TEXTS} texts", column.name);
                    return Err(Error::new(ErrorKind::Exhausted, text));
                }
                texts.intern(text)
            }
            (kind, _) => {
                let text = format!("column {} holds {kind:?} and got another value", column.name);
                return Err(Error::invalid(text));
            }
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without a row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn entity(&self) -> Entity {
        self.entity
    }

    pub(crate) fn columns(&self) -> &[ColumnHead] {
        &self.columns
    }

    pub(crate) fn not_finite(&self) -> u64 {
        self.not_finite
    }

    pub(crate) fn file_kind(&self) -> FileKind {
        match self.entity {
            Entity::User | Entity::Item => FileKind::Features,
            Entity::UserItem => FileKind::FeaturePairs,
        }
    }

    /// Appends all arrays of the file.
    ///
    /// # Errors
    /// `Invalid` for two rows of one entity.
    pub(crate) fn write(&self, out: &mut SectionWriter) -> Result<()> {
        let (users, user_rank) = sorted(&self.users);
        let (items, item_rank) = sorted(&self.items);
        let rank = |ranks: &[u32], at: u32| ranks.get(at as usize).copied().unwrap_or(0);
        let key = |row: &usize| {
            let (user, item) = self.rows[*row];
            (rank(&user_rank, user), rank(&item_rank, item))
        };
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_unstable_by_key(key);
        if let Some(twice) = order.windows(2).find(|w| key(&w[0]) == key(&w[1])) {
            let (user, item) = self.rows[twice[0]];
            let name = |ids: &IdTable, at| (!ids.is_empty()).then(|| ids.get(at).to_owned());
            let names = [name(&self.users, user), name(&self.items, item)];
            let names = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
            let text = format!("there are two rows for {names}; check the joins of the query");
            return Err(Error::invalid(text));
        }
        match self.entity {
            Entity::User => IdIndex::write(out, &users)?,
            Entity::Item => IdIndex::write(out, &items)?,
            Entity::UserItem => {
                IdIndex::write(out, &users)?;
                IdIndex::write(out, &items)?;
                let keys: Vec<(u32, u32)> = order.iter().map(key).collect();
                let start = |user: u32| keys.partition_point(|&(u, _)| u < user) as u64;
                out.put(&(0..=users.len() as u32).map(start).collect::<Vec<_>>())?;
                out.put(&keys.iter().map(|&(_, item)| item).collect::<Vec<_>>())?;
            }
        }
        self.write_cells(out, &order)
    }

    fn write_cells(&self, out: &mut SectionWriter, order: &[usize]) -> Result<()> {
        let width = self.columns.len();
        let dictionaries: Vec<(IdTable, Vec<u32>)> = self.texts.iter().map(sorted).collect();
        let mut cells = Vec::with_capacity(self.cells.len());
        for &row in order {
            let of_row = &self.cells[row * width..][..width];
            for ((cell, column), (_, ranks)) in of_row.iter().zip(&self.columns).zip(&dictionaries)
            {
                let is_code = column.kind == ColumnKind::Text && *cell != MISSING_TEXT;
                cells.push(if is_code { ranks[*cell as usize] } else { *cell });
            }
        }
        out.put(&cells)?;
        for (column, (texts, _)) in self.columns.iter().zip(&dictionaries) {
            if column.kind == ColumnKind::Text {
                TextColumn::write(out, texts.iter())?;
            }
        }
        Ok(())
    }
}

/// The same ids in ascending order, and for each old number the new one.
fn sorted(ids: &IdTable) -> (IdTable, Vec<u32>) {
    let mut order: Vec<u32> = (0..ids.len() as u32).collect();
    order.sort_unstable_by_key(|&at| ids.get(at));
    let mut ranks = vec![0; ids.len()];
    for (rank, &at) in order.iter().enumerate() {
        ranks[at as usize] = rank as u32;
    }
    (order.iter().map(|&at| ids.get(at)).collect(), ranks)
}
