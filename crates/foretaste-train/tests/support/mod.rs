//! Real data sets in the lists format and plain quality of rankings, for tests and the example.
#![allow(dead_code)]

use std::path::PathBuf;

use foretaste_bundle::kernels::simd::{Kernel, Simd, dot, dot4_any, vectorised};
use foretaste_core::topk::TopK;
use foretaste_core::{Csr, Matrix, metrics};
use rayon::prelude::{ParallelIterator, ParallelSlice};

/// A train matrix and the test items of each user, ascending.
pub struct Split {
    pub train: Csr,
    pub test: Vec<Vec<u32>>,
}

/// The data set `name`, or `None` with a line that says where it was looked for.
pub fn load(name: &str) -> Option<Split> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("FORETASTE_TEST_DATA").map_or_else(beside, PathBuf::from);
    let folder = root.join(name);
    let read = |file: &str| fs_err::read_to_string(folder.join(file)).ok().map(|text| lists(&text));
    let (Some(train), Some(test)) = (read("train.txt"), read("test.txt")) else {
        println!("skipped: no data set at {}", folder.display());
        return None;
    };
    let n_users = 1 + train.iter().chain(&test).map(|l| l.0).max()?;
    let n_items = 1 + train.iter().chain(&test).flat_map(|l| &l.1).copied().max()? as usize;
    let rows = |lists: Vec<(usize, Vec<u32>)>| {
        let mut rows = vec![Vec::new(); n_users];
        lists.into_iter().for_each(|(user, items)| rows[user] = items);
        rows.iter_mut().for_each(|r| {
            r.sort_unstable();
            r.dedup();
        });
        rows
    };
    let entries = rows(train).into_iter().map(|r| r.into_iter().map(|i| (i, 1.0)).collect());
    Some(Split { train: Csr::from_rows(n_items, entries), test: rows(test) })
}

fn lists(text: &str) -> Vec<(usize, Vec<u32>)> {
    let line = |l: &str| {
        let mut numbers =
            l.split_ascii_whitespace().map(|t| t.parse().expect("a list holds numbers"));
        numbers.next().map(|user: u32| (user as usize, numbers.collect()))
    };
    text.lines().filter_map(line).collect()
}

/// Mean Recall@20 and NDCG@20 over every `step`-th user with test items; `score` adds the scores of
/// all items for each of some users, row by row.
pub fn quality(
    split: &Split,
    step: usize,
    score: impl Fn(&[usize], &mut [f32]) + Sync,
) -> (f64, f64) {
    let n_items = split.train.n_cols;
    let users: Vec<usize> =
        (0..split.test.len()).step_by(step).filter(|&u| !split.test[u].is_empty()).collect();
    let each: Vec<(f64, f64)> = users
        .par_chunks(64)
        .flat_map_iter(|users| {
            let mut scores = vec![0f32; users.len() * n_items];
            score(users, &mut scores);
            let rows = users.iter().zip(scores.chunks_mut(n_items));
            rows.map(|(&u, row)| of_user(split, u, row)).collect::<Vec<_>>()
        })
        .collect();
    let sum = each.iter().fold((0.0, 0.0), |s, e| (s.0 + e.0, s.1 + e.1));
    (sum.0 / users.len() as f64, sum.1 / users.len() as f64)
}

fn of_user(split: &Split, u: usize, scores: &mut [f32]) -> (f64, f64) {
    let mut top = TopK::new(20);
    split.train.row(u).0.iter().for_each(|&i| scores[i as usize] = f32::NAN);
    for (i, &s) in scores.iter().enumerate() {
        if s >= top.threshold() {
            top.push(i as u32, s);
        }
    }
    let ranked: Vec<u32> = top.drain_sorted().map(|(i, _)| i).collect();
    let relevant = &split.test[u];
    (metrics::recall(&ranked, relevant, 20), metrics::ndcg(&ranked, relevant, 20))
}

/// Adds the scores of an item-item model.
pub fn add_similar(train: &Csr, similar: &Csr, users: &[usize], scores: &mut [f32]) {
    for (&u, scores) in users.iter().zip(scores.chunks_mut(similar.n_cols)) {
        let (items, weights) = train.row(u);
        for (&i, &w) in items.iter().zip(weights) {
            let (js, vs) = similar.row(i as usize);
            js.iter().zip(vs).for_each(|(&j, &v)| scores[j as usize] += w * v);
        }
    }
}

/// Adds inner products of the users' vectors with all items.
pub fn add_products(items: &Matrix, vectors: &Matrix, users: &[usize], scores: &mut [f32]) {
    for (&user, scores) in users.iter().zip(scores.chunks_exact_mut(items.n_rows)) {
        vectorised(Products { items, vector: vectors.row(user), scores });
    }
}

struct Products<'a> {
    items: &'a Matrix,
    vector: &'a [f32],
    scores: &'a mut [f32],
}

impl Kernel for Products<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { items, vector, scores } = self;
        let (groups, rest) = scores.as_chunks_mut::<4>();
        let first = groups.len() * 4;
        for (group, scores) in groups.iter_mut().enumerate() {
            let row = |r: usize| items.row(4 * group + r);
            let products = dot4_any::<S>([row(0), row(1), row(2), row(3)], vector);
            for (score, product) in scores.iter_mut().zip(products) {
                *score += product;
            }
        }
        for (i, score) in rest.iter_mut().enumerate() {
            *score += dot::<S>(items.row(first + i), vector);
        }
    }
}
