//! All published sets as one request sees them. A reader never changes: what is published later is
//! in the next one.

use std::collections::HashMap;

use foretaste_bundle::IdIndex;
use foretaste_core::feature::Entity;
use foretaste_core::ids::id_hash;
use foretaste_core::{Error, Result, TimeMs};

use crate::block::{Block, SetRead};
use crate::directory::{Directory, NOWHERE};
use crate::last_events::LastEvents;
use crate::manifest::ColumnKind;
use crate::moment::{Catalogue, LiveEvent, Moment};
use crate::plan::{Part, Plan};
use crate::table::FeatureTable;
use crate::values::MISSING_TEXT;

/// What becomes of values that are older than they may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stale {
    /// They are given, and named.
    #[default]
    Serve,
    /// They are missing.
    Missing,
}

/// Who asks for what.
#[derive(Clone, Copy, Default)]
pub struct Asking<'a> {
    /// The user; none for somebody unknown.
    pub user: Option<&'a str>,
    /// The items.
    pub items: &'a [&'a str],
    /// The present time, from which ages are.
    pub now_ms: TimeMs,
    /// The moment of features of the moment, where it is not the present one.
    pub at_ms: Option<TimeMs>,
    /// The user's events up to this time were erased.
    pub erased_ms: Option<TimeMs>,
    /// What becomes of stale values.
    pub stale: Stale,
    /// What the user did lately, without kinds that are not things that a user does.
    pub live: &'a [LiveEvent<'a>],
    /// Where categories of items come from while none are published.
    pub otherwise: Option<&'a dyn Catalogue>,
}

impl std::fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (user, n_items, n_live) = (self.user, self.items.len(), self.live.len());
        write!(f, "Asking({user:?}, {n_items} items, {n_live} events, at {})", self.now_ms)
    }
}

/// All sets, fixed for as long as the reader is held.
#[derive(Debug)]
pub struct FeatureReader {
    tables: Vec<FeatureTable>,
    last: Option<LastEvents>,
    places: HashMap<String, (usize, usize)>,
    whole: Plan,
    /// Where items stand in the sets about items or pairs, in their order, and in the last events.
    items: Directory,
    key: u64,
}

/// Nothing is published: there are features of the moment alone.
impl Default for FeatureReader {
    fn default() -> Self {
        Self::new(Vec::new(), None)
    }
}

impl FeatureReader {
    /// A reader of these sets. A column whose name two sets have is that of the one published last.
    pub fn new(mut tables: Vec<FeatureTable>, last: Option<LastEvents>) -> Self {
        tables.sort_by(|a, b| a.manifest().set.cmp(&b.manifest().set));
        let mut places: HashMap<String, (usize, usize)> = HashMap::new();
        let mut names = blake3::Hasher::new();
        for (table, of) in tables.iter().enumerate() {
            let head = of.manifest();
            names.update(format!("{} {}\n", head.set, head.version).as_bytes());
            for (column, about) in of.columns().iter().enumerate() {
                let place = places.entry(about.name.clone()).or_insert((table, column));
                if tables[place.0].manifest().published_ms < head.published_ms {
                    *place = (table, column);
                }
            }
        }
        let last_version = last.as_ref().map_or("", |last| &last.manifest().version);
        names.update(last_version.as_bytes());
        let key = *names.finalize().as_bytes().first_chunk().expect("a digest has 32 bytes");
        let key = u64::from_le_bytes(key);
        let (whole, items) = (Plan::default(), Directory::default());
        let mut reader = Self { tables, last, places, whole, items, key };
        reader.items = Directory::new(&reader.indexes());
        reader.whole = Plan::new(&reader, &[], &[]).unwrap_or_default();
        reader
    }

    /// The sets with values, by name.
    pub fn tables(&self) -> &[FeatureTable] {
        &self.tables
    }

    /// The last events of users, where they are published.
    pub fn last_events(&self) -> Option<&LastEvents> {
        self.last.as_ref()
    }

    /// Names the versions of all sets, in every process alike: part of every key under which
    /// something made from features is kept.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// All columns of all sets, then the features of the moment.
    pub fn whole(&self) -> &Plan {
        &self.whole
    }

    /// All indexes of items, in the order of the directory.
    fn indexes(&self) -> Vec<&IdIndex> {
        let of_tables = self.tables.iter().filter_map(FeatureTable::items);
        of_tables.chain(self.last.as_ref().map(LastEvents::items)).collect()
    }

    /// The place of a set's items in the directory.
    fn column_of(&self, table: usize) -> usize {
        self.tables[..table].iter().filter(|table| table.items().is_some()).count()
    }

    pub(crate) fn place_of(&self, column: &str) -> Option<(usize, usize)> {
        self.places.get(column).copied()
    }

    /// The text behind a value of a column of texts.
    pub fn text(&self, plan: &Plan, column: usize, value: f32) -> Option<&str> {
        let planned = plan.columns().get(column).filter(|c| c.kind == ColumnKind::Text)?;
        let (table, of) = planned.place;
        if value.is_nan() { None } else { self.tables[table?].text(of, value as u32) }
    }

    /// Reads all columns of `plan` for a user and all items: the one read of a request.
    ///
    /// # Errors
    /// `Internal` for a plan of another reader.
    ///
    /// # Cost
    /// A lookup for each item, a row for each item and set, and writing the block; for features of
    /// the moment a look at 256 events for each item.
    pub fn read(&self, plan: &Plan, asking: &Asking<'_>, block: &mut Block) -> Result<()> {
        if plan.key != self.key {
            return Err(Error::internal("a plan of other versions of the feature sets"));
        }
        let (width, height) = (plan.columns().len(), asking.items.len().max(1));
        block.width = width;
        block.sets.clear();
        block.values.clear();
        if width == 0 {
            return Ok(()); // All its names are those of sets published later.
        }
        let mut first = vec![f32::NAN; width];
        for part in self.parts_about(plan, Entity::User) {
            self.read_user(part, asking, (&mut first, &mut block.sets));
        }
        block.values.reserve(width * height);
        (0..height).for_each(|_| block.values.extend_from_slice(&first));
        block.places.clear();
        let indexes = self.indexes();
        for id in asking.items {
            self.items.add(&indexes, (id, id_hash(id)), &mut block.places);
        }
        for part in self.parts_about(plan, Entity::Item) {
            self.read_items(part, asking, block);
        }
        for part in self.parts_about(plan, Entity::UserItem) {
            self.read_pairs(part, asking, block);
        }
        self.read_moment(plan, asking, block);
        Ok(())
    }

    fn parts_about<'a>(&'a self, plan: &'a Plan, entity: Entity) -> impl Iterator<Item = &'a Part> {
        plan.parts.iter().filter(move |part| self.tables[part.table].entity() == entity)
    }

    /// What a read of a set comes to before any row is looked for.
    fn begin(&self, part: &Part, asking: &Asking<'_>) -> SetRead {
        let table = &self.tables[part.table];
        let is_of_user = table.entity() != Entity::Item;
        let is_stale = table.is_stale(asking.now_ms);
        let erased = asking.erased_ms.filter(|_| is_of_user);
        let is_erased = erased.is_some_and(|erased| table.manifest().synced_ms <= erased);
        SetRead {
            table: part.table,
            wanted: 0,
            found: 0,
            age_ms: table.age_ms(asking.now_ms),
            is_stale,
            is_withheld: is_erased || is_stale && asking.stale == Stale::Missing,
        }
    }

    fn read_user(
        &self,
        part: &Part,
        asking: &Asking<'_>,
        (row, sets): (&mut [f32], &mut Vec<SetRead>),
    ) {
        let mut seen = self.begin(part, asking);
        let table = &self.tables[part.table];
        seen.wanted = usize::from(asking.user.is_some());
        let user = asking.user.filter(|_| !seen.is_withheld);
        if let Some(at) = user.and_then(|user| table.row(user, id_hash(user))) {
            seen.found = 1;
            part.copy(table.cells(at), row);
        }
        sets.push(seen);
    }

    fn read_items(&self, part: &Part, asking: &Asking<'_>, block: &mut Block) {
        let mut seen = self.begin(part, asking);
        seen.wanted = asking.items.len();
        if !seen.is_withheld {
            let (table, column) = (&self.tables[part.table], self.column_of(part.table));
            let Block { places, values, width, .. } = block;
            let rows = places.chunks_exact(self.items.width()).map(|places| places[column]);
            for (out, row) in values.chunks_exact_mut(*width).zip(rows) {
                if row != NOWHERE {
                    seen.found += 1;
                    part.copy(table.cells(row), out);
                }
            }
        }
        block.sets.push(seen);
    }

    fn read_pairs(&self, part: &Part, asking: &Asking<'_>, block: &mut Block) {
        let mut seen = self.begin(part, asking);
        let (table, column) = (&self.tables[part.table], self.column_of(part.table));
        seen.wanted = if asking.user.is_some() { asking.items.len() } else { 0 };
        let user = asking.user.filter(|_| !seen.is_withheld);
        if let Some((of_user, first)) = user.and_then(|user| table.items_of(user)) {
            let Block { places, values, width, .. } = block;
            let items = places.chunks_exact(self.items.width()).map(|places| places[column]);
            for (out, item) in values.chunks_exact_mut(*width).zip(items) {
                if let Ok(at) = of_user.binary_search(&item) {
                    seen.found += 1;
                    part.copy(table.cells(first + at as u32), out);
                }
            }
        }
        block.sets.push(seen);
    }

    fn read_moment(&self, plan: &Plan, asking: &Asking<'_>, block: &mut Block) {
        if plan.moment.is_empty() {
            return;
        }
        let moment = Moment {
            user: asking.user,
            now_ms: asking.at_ms.unwrap_or(asking.now_ms),
            erased_ms: asking.erased_ms,
            last: self.last.as_ref(),
            live: asking.live,
            otherwise: asking.otherwise,
        };
        let Block { values, width, places, .. } = block;
        // The last events' index is the last one.
        let published = places.chunks_exact(self.items.width().max(1));
        let published = published.map(|places| places.last().copied().filter(|&p| p != NOWHERE));
        let known: Vec<Option<u32>> = match &self.last {
            Some(_) => published.collect(),
            None => asking.items.iter().map(|item| moment.catalogue().index_of(item)).collect(),
        };
        moment.each(asking.items, &known, |at, numbers| {
            let out = &mut values[at * *width..][..*width];
            for &(feature, column) in &plan.moment {
                out[column] = numbers[feature].unwrap_or(f32::NAN);
            }
        });
    }
}

impl Part {
    /// Takes over what the read wants of a row.
    #[inline]
    fn copy(&self, cells: &[u32], out: &mut [f32]) {
        for run in &self.numbers {
            let (from, to) = (&cells[run.from..][..run.len], &mut out[run.to..][..run.len]);
            to.iter_mut().zip(from).for_each(|(to, &bits)| *to = f32::from_bits(bits));
        }
        for &(column, at) in &self.texts {
            let code = cells[column];
            out[at] = if code == MISSING_TEXT { f32::NAN } else { code as f32 };
        }
    }
}
