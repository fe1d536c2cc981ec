//! The last events of every user, and the items that features of the moment look at: what is known
//! of a user's past before live events come to it.

use std::path::Path;
use std::sync::Arc;

use foretaste_bundle::{Column, FileKind, IdIndex, SectionReader, SectionWriter, TextColumn};
use foretaste_core::moment::MAX_STEPS;
use foretaste_core::{Error, IdTable, Result, TimeMs};

use crate::manifest::{Content, Manifest};
use crate::moment::Catalogue;

/// No category.
const NONE: u32 = u32::MAX;
/// Kinds of events at most, as everywhere.
const MOST_KINDS: usize = 256;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastEvent<'a> {
    /// What.
    pub item: &'a str,
    /// How.
    pub kind: &'a str,
    /// How much.
    pub value: f32,
    /// When.
    pub time_ms: TimeMs,
}

/// Last events before they are published. Users and the events of each come in ascending order.
#[derive(Debug, Default)]
pub struct LastEventsDraft {
    passive_kinds: Vec<String>,
    items: IdTable,
    categories: Vec<u32>,
    created_ms: Vec<TimeMs>,
    category_names: IdTable,
    users: IdTable,
    offsets: Vec<u64>,
    times: Vec<TimeMs>,
    event_items: Vec<u32>,
    kinds: Vec<u8>,
    values: Vec<f32>,
    kind_names: IdTable,
}

impl LastEventsDraft {
    /// Nothing yet; events of `passive_kinds` are not going to come.
    pub fn new(passive_kinds: Vec<String>) -> Self {
        Self { passive_kinds, ..Self::default() }
    }

    /// Adds an item of the catalogue.
    ///
    /// # Errors
    /// `Invalid` for an item that is there.
    pub fn item(&mut self, id: &str, category: Option<&str>, created_ms: TimeMs) -> Result<()> {
        let code = self.items.intern(id) as usize;
        if code < self.categories.len() {
            return Err(Error::invalid(format!("the catalogue has two items {id:?}")));
        }
        self.categories.push(category.map_or(NONE, |name| self.category_names.intern(name)));
        self.created_ms.push(created_ms);
        Ok(())
    }

    /// Adds an event of a user, in the order of users and time; all items of the catalogue have
    /// come before. Of a user with more events than are looked at, the oldest is left out.
    ///
    /// # Errors
    /// `Invalid` when it is out of order, `Exhausted` for too many kinds.
    pub fn event(&mut self, user: &str, event: LastEvent<'_>) -> Result<()> {
        let n_users = self.users.len();
        let code = self.users.intern(user) as usize;
        if code == n_users {
            self.offsets.push(self.times.len() as u64);
        } else if code + 1 != n_users {
            return Err(Error::invalid(format!("events of user {user:?} do not come together")));
        }
        let start = *self.offsets.last().unwrap_or(&0) as usize;
        if self.times[start..].last().is_some_and(|&last| last > event.time_ms) {
            let text = format!("events of user {user:?} are not in order of time");
            return Err(Error::invalid(text));
        }
        let kind = self.kind_names.intern(event.kind);
        let kind = u8::try_from(kind).map_err(|_| {
            let text = format!("more than {MOST_KINDS} kinds of events");
            Error::new(foretaste_core::ErrorKind::Exhausted, text)
        })?;
        let item = self.items.intern(event.item);
        if item as usize == self.categories.len() {
            self.categories.push(NONE);
            self.created_ms.push(0);
        }
        if self.times.len() - start == MAX_STEPS {
            // A user's events are the last ones: few move.
            self.times.remove(start);
            self.event_items.remove(start);
            self.kinds.remove(start);
            self.values.remove(start);
        }
        self.times.push(event.time_ms);
        self.event_items.push(item);
        self.kinds.push(kind);
        self.values.push(event.value);
        Ok(())
    }

    pub(crate) fn content(&self) -> Content {
        Content::LastEvents {
            passive_kinds: self.passive_kinds.clone(),
            users: self.users.len() as u64,
            events: self.times.len() as u64,
        }
    }

    pub(crate) fn write(&self, out: &mut SectionWriter) -> Result<()> {
        IdIndex::write(out, &self.items)?;
        out.put(&self.categories)?;
        out.put(&self.created_ms)?;
        TextColumn::write(out, self.category_names.iter())?;
        IdIndex::write(out, &self.users)?;
        let end = std::iter::once(self.times.len() as u64);
        out.put(&self.offsets.iter().copied().chain(end).collect::<Vec<_>>())?;
        out.put(&self.times)?;
        out.put(&self.event_items)?;
        out.put(&self.kinds)?;
        out.put(&self.values)?;
        TextColumn::write(out, self.kind_names.iter())
    }
}

/// Last events as they were published. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LastEvents {
    manifest: Arc<Manifest>,
    body: Arc<Body>,
}

#[derive(Debug)]
struct Body {
    items: IdIndex,
    categories: Column<u32>,
    created_ms: Column<i64>,
    category_names: TextColumn,
    users: IdIndex,
    offsets: Column<u64>,
    times: Column<i64>,
    event_items: Column<u32>,
    kinds: Column<u8>,
    values: Column<f32>,
    kind_names: TextColumn,
}

impl LastEvents {
    /// Maps the events that `manifest` names in `folder` and checks every byte of them.
    ///
    /// # Errors
    /// As [`crate::FeatureTable::open`].
    pub fn open(folder: &Path, manifest: Manifest) -> Result<Self> {
        let Content::LastEvents { users, events, .. } = manifest.content else {
            return Err(Error::corrupt(format!("{}: holds no last events", folder.display())));
        };
        let name = format!("{}/{}", manifest.set, manifest.file.name);
        let mut input =
            SectionReader::new(manifest.file.open(folder)?, &name, FileKind::LastEvents)?;
        let body = Body {
            items: IdIndex::read(&mut input)?,
            categories: input.take()?,
            created_ms: input.take()?,
            category_names: TextColumn::read(&mut input)?,
            users: IdIndex::read(&mut input)?,
            offsets: input.take()?,
            times: input.take()?,
            event_items: input.take()?,
            kinds: input.take()?,
            values: input.take()?,
            kind_names: TextColumn::read(&mut input)?,
        };
        input.finish()?;
        let counts = (body.users.len() as u64, body.times.get().len() as u64);
        if counts != (users, events) || !body.holds_together() {
            let text = "events, items or categories are out of range or order";
            return Err(Error::corrupt(format!("{name}: {text}")));
        }
        Ok(Self { manifest: Arc::new(manifest), body: Arc::new(body) })
    }

    /// The same events under another manifest that names the same file.
    pub(crate) fn renamed(&self, manifest: Manifest) -> Option<Self> {
        (self.manifest.file == manifest.file)
            .then(|| Self { manifest: Arc::new(manifest), body: Arc::clone(&self.body) })
    }

    /// What the events are.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether events of a kind are things that a user did.
    pub fn is_passive(&self, kind: &str) -> bool {
        match &self.manifest.content {
            Content::LastEvents { passive_kinds, .. } => passive_kinds.iter().any(|k| k == kind),
            Content::Values { .. } => false,
        }
    }

    /// The items that it knows.
    pub(crate) fn items(&self) -> &IdIndex {
        &self.body.items
    }

    /// The events of a user, oldest first, each with the number of its item.
    pub(crate) fn of(&self, user: &str) -> impl Iterator<Item = (u32, LastEvent<'_>)> {
        let body = &*self.body;
        let range = body.users.index_of(user).map_or(0..0, |user| {
            let offsets = body.offsets.get();
            offsets[user as usize] as usize..offsets[user as usize + 1] as usize
        });
        range.map(move |at| {
            let item = body.event_items.get()[at];
            let event = LastEvent {
                item: body.items.id(item),
                kind: body.kind_names.get(u32::from(body.kinds.get()[at])),
                value: body.values.get()[at],
                time_ms: body.times.get()[at],
            };
            (item, event)
        })
    }
}

impl Catalogue for LastEvents {
    fn index_of(&self, item: &str) -> Option<u32> {
        self.body.items.index_of(item)
    }

    fn category(&self, item: u32) -> Option<u32> {
        Some(self.body.categories.get()[item as usize]).filter(|&category| category != NONE)
    }

    fn created_ms(&self, item: u32) -> TimeMs {
        self.body.created_ms.get()[item as usize]
    }
}

impl Body {
    fn holds_together(&self) -> bool {
        let (n_items, n_events) = (self.items.len(), self.times.get().len());
        let lengths = [self.event_items.get().len(), self.kinds.get().len()];
        let offsets = self.offsets.get();
        lengths.iter().all(|&length| length == n_events)
            && self.values.get().len() == n_events
            && self.categories.get().len() == n_items
            && self.created_ms.get().len() == n_items
            && offsets.len() == self.users.len() + 1
            && offsets.first() == Some(&0)
            && offsets.last() == Some(&(n_events as u64))
            && offsets.windows(2).all(|w| w[0] <= w[1])
            && offsets.windows(2).all(|w| self.ascends(w[0] as usize..w[1] as usize))
            && self.event_items.get().iter().all(|&item| (item as usize) < n_items)
            && self.kinds.get().iter().all(|&kind| (kind as usize) < self.kind_names.len())
            && self.categories.get().iter().all(|&category| {
                category == NONE || (category as usize) < self.category_names.len()
            })
    }

    fn ascends(&self, range: std::ops::Range<usize>) -> bool {
        range.len() <= MAX_STEPS && self.times.get()[range].windows(2).all(|w| w[0] <= w[1])
    }
}
