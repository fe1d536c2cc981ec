//! What each user did, as rows of (item, weight, last time), and who did something with each item.

use foretaste_core::{Error, Interactions, ItemIdx, Result, TimeMs, UserIdx};

use crate::format::{Column, SectionReader, SectionWriter};
use crate::text::check_lists;

/// Histories of all users and their transpose. Cloning is a few reference counts.
#[derive(Clone, Debug)]
pub struct Histories {
    offsets: Column<u64>,
    items: Column<u32>,
    weights: Column<f32>,
    last_ms: Column<i64>,
    user_offsets: Column<u64>,
    users: Column<u32>,
}

impl Histories {
    pub(crate) fn write(out: &mut SectionWriter, histories: &Interactions) -> Result<()> {
        let matrix = &histories.matrix;
        out.put(&matrix.indptr)?;
        out.put(&matrix.indices)?;
        out.put(&matrix.values)?;
        out.put(&histories.last_ms)?;
        let transposed = matrix.transpose();
        out.put(&transposed.indptr)?;
        out.put(&transposed.indices)
    }

    pub(crate) fn read(mut input: SectionReader, n_users: usize, n_items: usize) -> Result<Self> {
        let histories = Self {
            offsets: input.take()?,
            items: input.take()?,
            weights: input.take()?,
            last_ms: input.take()?,
            user_offsets: input.take()?,
            users: input.take()?,
        };
        let bad = |text: &str| Err(Error::corrupt(format!("{}: {text}", input.name())));
        let h = &histories;
        let nnz = h.items.get().len();
        if !check_lists(h.offsets.get(), h.items.get(), n_users, n_items)
            || !check_lists(h.user_offsets.get(), h.users.get(), n_items, n_users)
            || [h.weights.get().len(), h.last_ms.get().len(), h.users.get().len()] != [nnz; 3]
        {
            return bad("rows of histories are out of range or disagree");
        }
        let ascends = |u: u32| h.of_user(u).0.windows(2).all(|w| w[0] < w[1]);
        if !(0..n_users as u32).all(ascends) {
            return bad("the items of a user do not ascend");
        }
        if h.weights.get().iter().any(|w| !w.is_finite()) {
            return bad("a weight is not finite");
        }
        input.finish()?;
        Ok(histories)
    }

    /// Number of users.
    pub fn n_users(&self) -> usize {
        self.offsets.get().len() - 1
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.user_offsets.get().len() - 1
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.items.get().len()
    }

    /// Place of a user's first entry among all entries.
    pub(crate) fn start_of(&self, user: UserIdx) -> usize {
        self.offsets.get()[user as usize] as usize
    }

    /// Items, weights and last times of a user, ascending by item.
    #[inline]
    pub fn of_user(&self, user: UserIdx) -> (&[ItemIdx], &[f32], &[TimeMs]) {
        let offsets = self.offsets.get();
        let range = offsets[user as usize] as usize..offsets[user as usize + 1] as usize;
        (
            &self.items.get()[range.clone()],
            &self.weights.get()[range.clone()],
            &self.last_ms.get()[range],
        )
    }

    /// Users of an item, ascending.
    #[inline]
    pub fn users_of(&self, item: ItemIdx) -> &[UserIdx] {
        let offsets = self.user_offsets.get();
        &self.users.get()[offsets[item as usize] as usize..offsets[item as usize + 1] as usize]
    }
}
