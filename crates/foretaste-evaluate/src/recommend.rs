//! Recommendations to every user of a bundle, for files that others judge or send.

use foretaste_core::{ItemIdx, UserIdx};
use foretaste_pipeline::{Query, Scene, Scratch, Snapshot};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

/// Users that are worked on together; bounds the memory of the iterator.
const BLOCK: usize = 4096;
/// Users that share one scratch.
const CHUNK: usize = 64;

/// The best `k` items for every user with a past, in order of the users; the work is done in
/// parallel, a block of users at a time.
///
/// # Cost
/// One [`foretaste_pipeline::run`] a user; memory for 4096 lists.
pub fn recommend_all<'a>(
    snapshot: &'a Snapshot,
    scene: &'a Scene,
    k: usize,
) -> impl Iterator<Item = (UserIdx, Vec<ItemIdx>)> + 'a {
    let n_users = snapshot.bundle.n_users();
    (0..n_users).step_by(BLOCK).flat_map(move |from| {
        let users = (from..n_users.min(from + BLOCK)).map(|u| u as UserIdx);
        let active: Vec<UserIdx> =
            users.filter(|&u| !snapshot.bundle.history(u).0.is_empty()).collect();
        block(snapshot, scene, k, &active)
    })
}

fn block(
    snapshot: &Snapshot,
    scene: &Scene,
    k: usize,
    users: &[UserIdx],
) -> Vec<(UserIdx, Vec<ItemIdx>)> {
    let one = |scratch: &mut Scratch, user: UserIdx| {
        let mut query = Query::for_user(&snapshot.bundle, user, k);
        query.own(&snapshot.bundle, user, scene);
        let outcome = foretaste_pipeline::run(snapshot, scene, &query, scratch);
        (user, outcome.slate.iter().map(|s| s.item).collect())
    };
    let chunk = |users: &[UserIdx]| {
        let mut scratch = Scratch::default();
        users.iter().map(|&user| one(&mut scratch, user)).collect::<Vec<_>>()
    };
    let chunks: Vec<&[UserIdx]> = users.chunks(CHUNK).collect();
    chunks.into_par_iter().map(chunk).collect::<Vec<_>>().into_iter().flatten().collect()
}

/// One line of a list file: `user item item ...`, external ids, best first.
pub fn line(snapshot: &Snapshot, user: UserIdx, items: &[ItemIdx]) -> String {
    let bundle = &snapshot.bundle;
    let mut out = bundle.users().id(user).to_owned();
    for &item in items {
        out.push(' ');
        out.push_str(bundle.items().id(item));
    }
    out
}
