//! Recommendations to every user of a bundle, for files that others judge or send.

use std::ops::RangeInclusive;

use foretaste_core::{ItemIdx, UserIdx};
use foretaste_pipeline::{Batch, Query, Scene, Scratch, Snapshot};
use rayon::prelude::{ParallelIterator, ParallelSlice};

/// Users that are worked on together; bounds the memory of the iterator.
const BLOCK: usize = 4096;
/// Users of one task, where there are enough for all threads.
const CHUNK: RangeInclusive<usize> = 32..=256;

/// The best `k` items for every user with a past, in order of the users; the work is done in
/// parallel, a block of users at a time.
///
/// The lists are those that [`foretaste_pipeline::run`] gives to each user alone.
///
/// # Cost
/// That of [`Batch::items`]; memory for 4096 lists and for weights and vectors as bytes.
pub fn recommend_all<'a>(
    snapshot: &'a Snapshot,
    scene: &'a Scene,
    k: usize,
) -> impl Iterator<Item = (UserIdx, Vec<ItemIdx>)> + 'a {
    let n_users = snapshot.bundle.n_users();
    let batch = Batch::new(snapshot, scene);
    (0..n_users).step_by(BLOCK).flat_map(move |from| {
        let users = (from..n_users.min(from + BLOCK)).map(|u| u as UserIdx);
        let active: Vec<UserIdx> =
            users.filter(|&u| !snapshot.bundle.history(u).0.is_empty()).collect();
        block(&batch, (snapshot, scene), k, &active)
    })
}

fn block(
    batch: &Batch<'_>,
    (snapshot, scene): (&Snapshot, &Scene),
    k: usize,
    users: &[UserIdx],
) -> Vec<(UserIdx, Vec<ItemIdx>)> {
    let query = |&user: &UserIdx| {
        let mut query = Query::for_user(&snapshot.bundle, user, k);
        query.own(&snapshot.bundle, user, scene);
        query
    };
    let chunk = |scratch: &mut Scratch, users: &[UserIdx]| {
        let queries: Vec<Query> = users.iter().map(query).collect();
        let lists = batch.items(&queries, scratch);
        users.iter().copied().zip(lists).collect::<Vec<_>>()
    };
    let evenly = users.len().div_ceil(4 * rayon::current_num_threads());
    let chunks = users.par_chunks(evenly.clamp(*CHUNK.start(), *CHUNK.end()));
    let chunks = chunks.map_init(Scratch::default, chunk);
    chunks.collect::<Vec<_>>().into_iter().flatten().collect()
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
