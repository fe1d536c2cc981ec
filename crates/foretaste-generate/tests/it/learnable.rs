//! Personalised models beat popularity by a wide margin, and popularity beats chance: measured
//! with a plain item-item cosine written here, apart from the product's trainers.

use std::collections::{BTreeMap, BTreeSet};

use foretaste_core::metrics::recall;
use foretaste_core::topk::TopK;
use foretaste_core::{Csr, IdTable};
use foretaste_generate::Spec;

use crate::{batches, small};

/// Items met before and after `split`, per user (the later ones without the earlier).
struct Split {
    before: Csr,
    after: Vec<Vec<u32>>,
}

fn split(spec: &Spec, last_days: i64) -> Split {
    let at = spec.end_ms - last_days * 86_400_000;
    let (mut users, mut items) = (IdTable::new(), IdTable::new());
    let mut rows: Vec<[BTreeSet<u32>; 2]> = Vec::new();
    for batch in batches(spec) {
        for i in 0..batch.len() {
            let event = batch.get(i);
            let (user, item) = (users.intern(&event.user), items.intern(&event.item));
            rows.resize_with(users.len(), Default::default);
            if event.kind != "impression" {
                rows[user as usize][usize::from(event.time_ms >= at)].insert(item);
            }
        }
    }
    let after = rows.iter().map(|[old, new]| new.difference(old).copied().collect()).collect();
    let before = rows.iter().map(|[old, _]| old.iter().map(|&i| (i, 1.0)).collect::<Vec<_>>());
    Split { before: Csr::from_rows(items.len(), before.collect::<Vec<_>>()), after }
}

/// Mean Recall@20 over users with something on both sides of the split.
fn mean_recall(split: &Split, mut score: impl FnMut(&[u32]) -> Vec<f32>) -> f64 {
    let (mut sum, mut n) = (0.0, 0);
    for (user, relevant) in split.after.iter().enumerate() {
        let (seen, _) = split.before.row(user);
        if relevant.is_empty() || seen.is_empty() {
            continue;
        }
        let mut scores = score(seen);
        seen.iter().for_each(|&i| scores[i as usize] = f32::NEG_INFINITY);
        let mut top = TopK::new(20);
        scores.iter().enumerate().for_each(|(i, &s)| top.push(i as u32, s));
        let ranked: Vec<u32> = top.drain_sorted().map(|(i, _)| i).collect();
        sum += recall(&ranked, relevant, 20);
        n += 1;
    }
    sum / f64::from(n)
}

fn cosine(before: &Csr) -> Vec<BTreeMap<u32, f32>> {
    let degree = before.col_counts();
    let mut similar = vec![BTreeMap::new(); before.n_cols];
    for user in 0..before.n_rows() {
        let (items, _) = before.row(user);
        for &a in items {
            for &b in items.iter().filter(|&&b| b != a) {
                let norm = (degree[a as usize] as f32 * degree[b as usize] as f32).sqrt();
                *similar[a as usize].entry(b).or_insert(0.0) += 1.0 / norm;
            }
        }
    }
    similar
}

#[test]
fn neighbours_beat_popularity_and_popularity_beats_chance() {
    let spec = small();
    let split = split(&spec, 14);
    let popular: Vec<f32> = split.before.col_counts().iter().map(|&c| c as f32).collect();
    let similar = cosine(&split.before);
    let by_popularity = mean_recall(&split, |_| popular.clone());
    let by_neighbours = mean_recall(&split, |seen| {
        let mut scores = vec![0.0; popular.len()];
        for &i in seen {
            similar[i as usize].iter().for_each(|(&j, &s)| scores[j as usize] += s);
        }
        scores
    });
    let by_chance = 20.0 / f64::from(spec.items);
    println!("chance {by_chance:.4}, popularity {by_popularity:.4}, kNN {by_neighbours:.4}");
    assert!(by_neighbours > 2.0 * by_popularity, "{by_neighbours} {by_popularity}");
    assert!(by_popularity > 2.0 * by_chance, "{by_popularity} {by_chance}");
}
