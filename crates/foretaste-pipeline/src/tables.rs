//! What follows from a bundle alone and is needed by many requests: the orders by popularity and
//! age, and the thresholds behind the notes "popular", "popular in category", "trending".

use foretaste_bundle::{Bundle, ItemTable};
use foretaste_core::ItemIdx;
use foretaste_core::topk::{TopK, by_rank};

/// A note "popular" or "trending" is true for this many items at most.
const NOTED: usize = 20;
/// A note "popular in category" is true for this many items of a category at most, and for at
/// most a tenth of it.
const NOTED_IN_CATEGORY: usize = 10;

/// A measure of all items with the scores of its channel and the threshold of its best [`NOTED`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranked {
    /// One value per item: finite, not negative.
    pub values: Vec<f32>,
    /// ln(1 + value), relative to the best: within 0..=1.
    pub scores: Vec<f32>,
    /// Items with at least this value are among the best; infinite when nothing has a value.
    pub cut: f32,
}

impl Ranked {
    pub fn new(mut values: Vec<f32>) -> Self {
        values.iter_mut().filter(|v| !(v.is_finite() && **v > 0.0)).for_each(|v| *v = 0.0);
        let best = values.iter().copied().fold(0.0, f32::max);
        let cut = nth_best(values.iter().copied(), NOTED.min(values.len().div_ceil(10)));
        let score = |&v: &f32| if v > 0.0 { v.ln_1p() / best.ln_1p() } else { 0.0 };
        let scores = values.iter().map(score).collect();
        Self { values, scores, cut }
    }
}

/// The `n`-th best positive value, or the least one when there are fewer; infinite without any.
fn nth_best(values: impl Iterator<Item = f32>, n: usize) -> f32 {
    let mut top = TopK::new(n);
    values.filter(|&v| v > 0.0).for_each(|v| top.push(0, v));
    top.drain_sorted().next_back().map_or(f32::INFINITY, |(_, v)| v)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tables {
    /// Events per item over the data window.
    pub popular: Ranked,
    /// All items, most popular first, ties by index.
    pub by_popularity: Vec<ItemIdx>,
    /// Items with a known time of creation, newest first, ties by index.
    pub by_age: Vec<ItemIdx>,
    /// Per category code, the popularity from which an item is among its most popular.
    category_cut: Vec<f32>,
}

impl Tables {
    pub fn build(bundle: &Bundle) -> Self {
        let items = bundle.items();
        let popular = Ranked::new(bundle.popularity().total.to_vec());
        let mut by_popularity: Vec<ItemIdx> = (0..bundle.n_items() as ItemIdx).collect();
        let scored = |i: ItemIdx| (i, popular.scores[i as usize]);
        by_popularity.sort_unstable_by(|&a, &b| by_rank(&scored(a), &scored(b)));
        let category_cut = category_cuts(items, &popular.values);
        Self { popular, by_popularity, by_age: by_age(items), category_cut }
    }

    /// Whether an item with this popularity is among the most popular of the category.
    pub fn is_popular_in(&self, category: u32, popularity: f32) -> bool {
        self.category_cut.get(category as usize).is_some_and(|&cut| popularity >= cut)
    }
}

fn by_age(items: &ItemTable) -> Vec<ItemIdx> {
    let created = items.all_created_ms();
    let known = |i: &ItemIdx| created[*i as usize] > 0;
    let mut order: Vec<ItemIdx> = (0..created.len() as ItemIdx).filter(known).collect();
    order.sort_unstable_by_key(|&i| (std::cmp::Reverse(created[i as usize]), i));
    order
}

fn category_cuts(items: &ItemTable, popularity: &[f32]) -> Vec<f32> {
    let categories = items.category_vocabulary();
    let cut = |code: u32| {
        let members = categories.items(code);
        let values = members.iter().map(|&i| popularity[i as usize]);
        nth_best(values, NOTED_IN_CATEGORY.min(members.len() / 10))
    };
    (0..categories.len() as u32).map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_keeps_the_best_and_nothing_without_activity() {
        let ranked = Ranked::new((0..400).map(|i| i as f32).collect());
        assert_eq!((ranked.scores[399], ranked.cut), (1.0, 380.0));
        assert!(ranked.scores.is_sorted());
        let quiet = Ranked::new(vec![0.0, f32::NAN, -1.0]);
        assert_eq!(quiet.cut, f32::INFINITY);
        assert_eq!((quiet.values, quiet.scores), (vec![0.0; 3], vec![0.0; 3]));
    }
}
