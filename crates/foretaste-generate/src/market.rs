//! The supply side: topics and the traits of items that behaviour depends on.
//!
//! A topic is a group of items for one taste, finer than a category. An item's appeal is its
//! topic, its base popularity (Zipf within the topic), and a style vector that some users like.

use foretaste_core::Rng;

use crate::Spec;
use crate::vocabulary::{Shelf, shelves};

/// Dimensions of the style of items and people.
pub const STYLE: usize = 6;
/// Day of items that were there before the window.
pub const BEFORE: i32 = -1;

/// Streams of the seed, one for each use, so that no two uses share random numbers.
pub mod streams {
    /// Traits of items.
    pub const ITEMS: u64 = 1 << 40;
    /// Traits of people.
    pub const PEOPLE: u64 = 2 << 40;
    /// Changes of people's tastes.
    pub const DRIFT: u64 = 3 << 40;
    /// Sessions.
    pub const SESSIONS: u64 = 4 << 40;
    /// Texts of items.
    pub const TEXTS: u64 = 5 << 40;
    /// The assignment of items to topics.
    pub const MARKET: u64 = 6 << 40;
}

/// What behaviour depends on, per item.
#[derive(Clone, Debug)]
pub struct ItemTraits {
    /// Its topic.
    pub topic: u32,
    /// Popularity at rest.
    pub weight: f32,
    /// Day of the window on which it arrived, or [`BEFORE`]. It can be met from the next day on.
    pub arrival: i32,
    /// First day of the five on which it is talked about; beyond the window for most.
    pub trend_day: i32,
    /// Which people like it, apart from the topic.
    pub style: [f32; STYLE],
    /// In the marketplace's currency; 0 is free.
    pub price: f32,
}

/// All items and topics.
#[derive(Debug)]
pub struct Market {
    /// What was asked for.
    pub spec: Spec,
    /// Second-level categories; see [`Market::shelf_of`].
    pub shelves: Vec<Shelf>,
    /// Number of topics.
    pub n_topics: usize,
    /// Traits by item.
    pub items: Vec<ItemTraits>,
    /// Items grouped by topic.
    pub by_topic: Vec<u32>,
    /// Where each topic begins in `by_topic`; one more entry than topics.
    pub topic_start: Vec<u32>,
    /// Running sum of the popularity of topics.
    topic_cumulative: Vec<f32>,
}

impl Market {
    /// Draws the market of a spec.
    pub fn new(spec: &Spec) -> Self {
        let n_items = spec.items as usize;
        let n_topics = (n_items / 40).clamp(1, 1_500).max(n_items.min(24));
        let mut market = Self {
            spec: *spec,
            shelves: shelves(),
            n_topics,
            items: Vec::new(),
            by_topic: Vec::new(),
            topic_start: Vec::new(),
            topic_cumulative: running_sum(topic_weights(spec.seed, n_topics)),
        };
        market.place_items();
        market
    }

    fn place_items(&mut self) {
        let n = self.spec.items as usize;
        let mut order: Vec<u32> = (0..n as u32).collect();
        Rng::stream(self.spec.seed, streams::MARKET).shuffle(&mut order);
        let mut topic_of = vec![(0u32, 0u32); n];
        for (place, &item) in order.iter().enumerate() {
            let (topic, rank) = (place % self.n_topics, place / self.n_topics);
            topic_of[item as usize] = (topic as u32, rank as u32);
        }
        self.topic_start = (0..=self.n_topics).map(|t| self.first_of_topic(t)).collect();
        self.by_topic = vec![0; n];
        for (item, &(topic, rank)) in topic_of.iter().enumerate() {
            self.by_topic[(self.topic_start[topic as usize] + rank) as usize] = item as u32;
        }
        self.items = topic_of.iter().enumerate().map(|(i, &at)| self.draw_item(i, at)).collect();
    }

    /// Topics have equal numbers of items, the first ones one more where it does not divide.
    fn first_of_topic(&self, topic: usize) -> u32 {
        let n = self.spec.items as usize;
        (topic * (n / self.n_topics) + topic.min(n % self.n_topics)) as u32
    }

    fn draw_item(&self, item: usize, (topic, rank): (u32, u32)) -> ItemTraits {
        let mut rng = Rng::stream(self.spec.seed, streams::ITEMS + item as u64);
        let days = usize::from(self.spec.days);
        let arrival = if rng.f64() < 0.25 { rng.below(days) as i32 } else { BEFORE };
        let trend_day = if rng.f64() < 0.05 { rng.below(days) as i32 } else { i32::MAX };
        let zipf = (f64::from(rank) + 1.5).powf(-0.85) * (0.3 * rng.normal()).exp();
        let price = if rng.f64() < 0.25 { 0.0 } else { 10.0 * (3.0 + 1.2 * rng.normal()).exp() };
        ItemTraits {
            topic,
            weight: (zipf * f64::from(self.topic_weight(topic as usize))) as f32,
            arrival,
            trend_day,
            style: style(&mut rng),
            price: (price * 0.1).round() as f32,
        }
    }

    fn topic_weight(&self, topic: usize) -> f32 {
        let before = if topic == 0 { 0.0 } else { self.topic_cumulative[topic - 1] };
        self.topic_cumulative[topic] - before
    }

    /// A topic at random, popular ones more often.
    pub fn draw_topic(&self, rng: &mut Rng) -> u32 {
        pick(&self.topic_cumulative, rng.f32()) as u32
    }

    /// Another topic of the same first-level category as `topic`.
    pub fn draw_sibling(&self, topic: u32, rng: &mut Rng) -> u32 {
        let category = self.category_of(topic);
        let draws = (0..24).map(|_| self.draw_topic(rng));
        draws.into_iter().find(|&t| self.category_of(t) == category).unwrap_or(topic)
    }

    /// First-level category (a number) of a topic.
    pub fn category_of(&self, topic: u32) -> u32 {
        // Six shelves of the vocabulary make one first-level category.
        self.shelf_of(topic) as u32 / 6
    }

    /// Second-level category of a topic. The step spreads few topics over all categories.
    pub fn shelf_of(&self, topic: u32) -> usize {
        topic as usize * 7 % self.shelves.len()
    }

    /// How much a person's style likes an item's.
    pub fn likes(&self, style: &[f32; STYLE], item: u32) -> f32 {
        let other = &self.items[item as usize].style;
        style.iter().zip(other).map(|(a, b)| a * b).sum()
    }
}

/// A style vector of expected length 1.
pub fn style(rng: &mut Rng) -> [f32; STYLE] {
    let scale = (STYLE as f64).sqrt().recip();
    std::array::from_fn(|_| (rng.normal() * scale) as f32)
}

/// Running sums, for [`pick`].
pub fn running_sum(weights: impl IntoIterator<Item = f32>) -> Vec<f32> {
    let mut sum = 0f64;
    let add = |w: f32| {
        sum += f64::from(w);
        sum as f32
    };
    weights.into_iter().map(add).collect()
}

/// The first place whose running sum exceeds `share` (in [0, 1)) of the total.
///
/// # Panics
/// When there is no place.
pub fn pick(running: &[f32], share: f32) -> usize {
    let target = share * running[running.len() - 1];
    running.partition_point(|&sum| sum <= target).min(running.len() - 1)
}

fn topic_weights(seed: u64, n_topics: usize) -> Vec<f32> {
    let mut weights: Vec<f32> = (0..n_topics).map(|t| (t as f32 + 3.0).powf(-0.7)).collect();
    Rng::stream(seed, streams::MARKET + 1).shuffle(&mut weights);
    weights
}
