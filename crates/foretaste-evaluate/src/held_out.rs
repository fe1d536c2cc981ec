//! Held-out items per user: what a recommendation is judged against.
//!
//! An item that the catalogue does not know keeps its place as an index at or beyond the number
//! of items: it can never be recommended, but it counts in the denominator of recall.

use std::collections::HashMap;

use foretaste_core::{ItemIdx, UserIdx};

/// Items per user, each row ascending and without duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOut {
    offsets: Vec<u64>,
    items: Vec<ItemIdx>,
}

impl Default for HeldOut {
    fn default() -> Self {
        Self { offsets: vec![0], items: Vec::new() }
    }
}

/// What a test file names that the training data does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unknown {
    /// Users without a row; they are not judged.
    pub users: usize,
    /// (user, item) pairs whose item has no index; they count as misses.
    pub pairs: usize,
}

impl HeldOut {
    /// Appends the row of the next user.
    pub fn push(&mut self, mut row: Vec<ItemIdx>) {
        row.sort_unstable();
        row.dedup();
        self.items.append(&mut row);
        self.offsets.push(self.items.len() as u64);
    }

    /// Items of a user, ascending; none for users beyond the last row.
    pub fn of(&self, user: UserIdx) -> &[ItemIdx] {
        let at = user as usize;
        match (self.offsets.get(at), self.offsets.get(at + 1)) {
            (Some(&from), Some(&to)) => &self.items[from as usize..to as usize],
            _ => &[],
        }
    }

    /// Number of rows.
    pub fn n_users(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of held-out pairs.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True when nothing is held out.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All held-out items, one per pair, user by user.
    pub fn into_items(self) -> Vec<ItemIdx> {
        self.items
    }

    /// The users with at least one item, ascending.
    pub fn users(&self) -> Vec<UserIdx> {
        let rows = self.offsets.windows(2).enumerate();
        rows.filter(|(_, w)| w[0] < w[1]).map(|(u, _)| u as UserIdx).collect()
    }

    /// Rows for `n_users` users from external ids, with a count of what is not known.
    ///
    /// Duplicate lines of one user are joined. `user` and `item` look an id up; `n_items` is the
    /// size of the catalogue.
    pub fn from_ids(
        lists: &[(String, Vec<String>)],
        (n_users, n_items): (usize, usize),
        user: impl Fn(&str) -> Option<UserIdx>,
        item: impl Fn(&str) -> Option<ItemIdx>,
    ) -> (Self, Unknown) {
        let mut unknown = Unknown::default();
        let mut strange: HashMap<&str, ItemIdx> = HashMap::new();
        let mut rows = vec![Vec::new(); n_users];
        for (user_id, items) in lists {
            let Some(row) = user(user_id).and_then(|u| rows.get_mut(u as usize)) else {
                unknown.users += 1;
                continue;
            };
            for id in items {
                row.push(item(id).unwrap_or_else(|| {
                    unknown.pairs += 1;
                    let next = (n_items + strange.len()) as ItemIdx;
                    *strange.entry(id).or_insert(next)
                }));
            }
        }
        (rows.into_iter().collect(), unknown)
    }
}

impl FromIterator<Vec<ItemIdx>> for HeldOut {
    fn from_iter<I: IntoIterator<Item = Vec<ItemIdx>>>(rows: I) -> Self {
        let mut out = Self::default();
        rows.into_iter().for_each(|row| out.push(row));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_users_without_items_are_left_out() {
        let held: HeldOut = [vec![3, 1, 3], vec![], vec![2]].into_iter().collect();
        assert_eq!((held.of(0), held.of(1), held.of(9)), (&[1, 3][..], &[][..], &[][..]));
        assert_eq!((held.users(), held.len(), held.n_users()), (vec![0, 2], 3, 3));
    }

    #[test]
    fn unknown_items_keep_their_place_and_unknown_users_are_counted() {
        let list = |u: &str, items: &[&str]| {
            (u.to_owned(), items.iter().map(|&i| i.to_owned()).collect::<Vec<_>>())
        };
        let lists = [list("a", &["x", "new"]), list("b", &["new", "newer"]), list("z", &["x"])];
        let user = |id: &str| ["a", "b"].iter().position(|&u| u == id).map(|u| u as u32);
        let item = |id: &str| (id == "x").then_some(0);
        let (held, unknown) = HeldOut::from_ids(&lists, (2, 5), user, item);
        assert_eq!((held.of(0), held.of(1)), (&[0, 5][..], &[5, 6][..]));
        assert_eq!(unknown, Unknown { users: 1, pairs: 3 });
    }
}
