//! The values of one set in a mapped file, checked as a whole before they are read.

use std::path::Path;
use std::sync::Arc;

use foretaste_bundle::{Column, FileKind, IdIndex, MappedFile, SectionReader, TextColumn};
use foretaste_core::feature::{Class, Entity};
use foretaste_core::{Error, Result, TimeMs};

use crate::manifest::{ColumnHead, ColumnKind, Content, Manifest};
use crate::values::MISSING_TEXT;

/// A set as it was published. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FeatureTable {
    manifest: Arc<Manifest>,
    body: Arc<Body>,
}

#[derive(Debug)]
struct Body {
    keys: Keys,
    cells: Column<u32>,
    /// The dictionary of each column of texts.
    texts: Vec<Option<TextColumn>>,
}

#[derive(Debug)]
enum Keys {
    One(IdIndex),
    Pair(Pairs),
}

/// Items of each user, ascending; a pair's place is its row.
#[derive(Debug)]
struct Pairs {
    users: IdIndex,
    items: IdIndex,
    offsets: Column<u64>,
    codes: Column<u32>,
}

impl FeatureTable {
    /// Maps the values that `manifest` names in `folder` and checks every byte of them.
    ///
    /// # Errors
    /// `NotFound` without the file, `Unsupported` for another format version, `Corrupt` naming the
    /// file, what was expected and what was found.
    ///
    /// # Cost
    /// One pass over the file.
    pub fn open(folder: &Path, manifest: Manifest) -> Result<Self> {
        let Content::Values { entity, columns, rows, .. } = &manifest.content else {
            return Err(Error::corrupt(format!("{}: holds no values", folder.display())));
        };
        let file = manifest.file.open(folder)?;
        let name = format!("{}/{}", manifest.set, manifest.file.name);
        let body = Body::read(file, &name, (*entity, columns, *rows))?;
        Ok(Self { manifest: Arc::new(manifest), body: Arc::new(body) })
    }

    /// The same values under another manifest that names the same file.
    pub(crate) fn renamed(&self, manifest: Manifest) -> Option<Self> {
        let same = |a: &Manifest, b: &Manifest| a.file == b.file && columns(a) == columns(b);
        same(&self.manifest, &manifest)
            .then(|| Self { manifest: Arc::new(manifest), body: Arc::clone(&self.body) })
    }

    /// What the values are.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its columns without the keys.
    pub fn columns(&self) -> &[ColumnHead] {
        columns(&self.manifest)
    }

    /// What a row is about.
    pub fn entity(&self) -> Entity {
        match self.manifest.content {
            Content::Values { entity, .. } => entity,
            Content::LastEvents { .. } => Entity::User,
        }
    }

    /// How fast values change.
    pub fn class(&self) -> Class {
        match self.manifest.content {
            Content::Values { class, .. } => class,
            Content::LastEvents { .. } => Class::Dynamic,
        }
    }

    /// How old the values are, in ms.
    pub fn age_ms(&self, now_ms: TimeMs) -> TimeMs {
        (now_ms - self.manifest.as_of_ms).max(0)
    }

    /// Whether they are older than they may be.
    pub fn is_stale(&self, now_ms: TimeMs) -> bool {
        self.age_ms(now_ms) as u64 > self.manifest.ttl_s.saturating_mul(1_000)
    }

    /// The row of a user; none for a set about pairs.
    pub(crate) fn row(&self, user: &str, hash: u64) -> Option<u32> {
        match &self.body.keys {
            Keys::One(ids) => ids.index_of_hashed(user, hash),
            Keys::Pair(_) => None,
        }
    }

    /// The items that rows are about, alone or with a user.
    pub(crate) fn items(&self) -> Option<&IdIndex> {
        match &self.body.keys {
            Keys::One(ids) if self.entity() == Entity::Item => Some(ids),
            Keys::One(_) => None,
            Keys::Pair(pairs) => Some(&pairs.items),
        }
    }

    /// Items of a user, ascending by their place among the items of pairs, and the row of the
    /// first.
    pub(crate) fn items_of(&self, user: &str) -> Option<(&[u32], u32)> {
        let Keys::Pair(pairs) = &self.body.keys else { return None };
        let user = pairs.users.index_of(user)? as usize;
        let offsets = pairs.offsets.get();
        let (start, end) = (offsets[user] as usize, offsets[user + 1] as usize);
        Some((&pairs.codes.get()[start..end], start as u32))
    }

    /// The cells of a row.
    #[inline]
    pub(crate) fn cells(&self, row: u32) -> &[u32] {
        let width = self.body.texts.len();
        &self.body.cells.get()[row as usize * width..][..width]
    }

    /// The text of a code in a column; none for numbers and codes that there are not.
    pub(crate) fn text(&self, column: usize, code: u32) -> Option<&str> {
        let texts = self.body.texts.get(column)?.as_ref()?;
        ((code as usize) < texts.len()).then(|| texts.get(code))
    }
}

fn columns(manifest: &Manifest) -> &[ColumnHead] {
    match &manifest.content {
        Content::Values { columns, .. } => columns,
        Content::LastEvents { .. } => &[],
    }
}

impl Body {
    fn read(
        file: Arc<MappedFile>,
        name: &str,
        (entity, columns, rows): (Entity, &[ColumnHead], u64),
    ) -> Result<Self> {
        let bad = |text: &str| Err(Error::corrupt(format!("{name}: {text}")));
        let is_pair = entity == Entity::UserItem;
        let kind = if is_pair { FileKind::FeaturePairs } else { FileKind::Features };
        let mut input = SectionReader::new(file, name, kind)?;
        let keys = match is_pair {
            false => Keys::One(IdIndex::read(&mut input)?),
            true => Keys::Pair(Pairs {
                users: IdIndex::read(&mut input)?,
                items: IdIndex::read(&mut input)?,
                offsets: input.take()?,
                codes: input.take()?,
            }),
        };
        let cells: Column<u32> = input.take()?;
        let is_text = |column: &ColumnHead| column.kind == ColumnKind::Text;
        let texts = columns.iter().map(|c| is_text(c).then(|| TextColumn::read(&mut input)));
        let texts = texts.map(Option::transpose).collect::<Result<Vec<_>>>()?;
        input.finish()?;
        if keys.rows() as u64 != rows || cells.get().len() != keys.rows() * columns.len() {
            return bad("rows and columns are not as many as the manifest says");
        }
        if !keys.hold_together() {
            return bad("the items of users are out of range or order");
        }
        let is_right = |(at, &cell): (usize, &u32)| match &texts[at % columns.len()] {
            Some(texts) => cell == MISSING_TEXT || (cell as usize) < texts.len(),
            None => !f32::from_bits(cell).is_infinite(),
        };
        if !cells.get().iter().enumerate().all(is_right) {
            return bad("a cell holds no finite number or no code of a text");
        }
        Ok(Self { keys, cells, texts })
    }
}

impl Keys {
    fn rows(&self) -> usize {
        match self {
            Self::One(ids) => ids.len(),
            Self::Pair(pairs) => pairs.codes.get().len(),
        }
    }

    fn hold_together(&self) -> bool {
        let Self::Pair(pairs) = self else { return true };
        let (offsets, codes) = (pairs.offsets.get(), pairs.codes.get());
        let ends = offsets.len() == pairs.users.len() + 1
            && offsets.first() == Some(&0)
            && offsets.last() == Some(&(codes.len() as u64))
            && offsets.windows(2).all(|w| w[0] <= w[1]);
        let ascend = |w: &[u64]| {
            let of_user = &codes[w[0] as usize..w[1] as usize];
            of_user.windows(2).all(|pair| pair[0] < pair[1])
        };
        let in_range = codes.iter().all(|&code| (code as usize) < pairs.items.len());
        ends && in_range && offsets.windows(2).all(ascend)
    }
}
