//! The demand side: what a person is like, computed from the seed whenever it is needed, so that
//! a million users take no memory beyond their activity.

use foretaste_core::Rng;

use crate::Spec;
use crate::market::{Market, STYLE, streams, style};
use crate::vocabulary::{COUNTRIES, PLANS};

/// Tastes of a person at a time.
pub const TASTES: usize = 4;
/// Share of each taste, strongest first.
pub const TASTE_SHARES: [f32; TASTES] = [0.45, 0.28, 0.17, 0.10];

/// A person on a day.
#[derive(Clone, Debug)]
pub struct Person {
    /// Index into `COUNTRIES`.
    pub country: usize,
    /// Index into `PLANS`.
    pub plan: usize,
    /// Day of the window on which the person joined; negative when before it.
    pub joined: i32,
    /// How often the person visits, relative to others.
    pub activity: f32,
    /// Which items the person likes, apart from topics.
    pub style: [f32; STYLE],
    /// Topics of interest, strongest first.
    pub tastes: [u32; TASTES],
}

impl Person {
    /// Person `user` as they are on `day` of the window.
    pub fn on_day(market: &Market, user: u32, day: i32) -> Self {
        let mut rng = Rng::stream(market.spec.seed, streams::PEOPLE + u64::from(user));
        let mut person = Self::at_rest(&market.spec, &mut rng);
        person.style = style(&mut rng);
        person.tastes = std::array::from_fn(|slot| {
            let at_first = person.draw_taste(market, &mut rng);
            let period = 25.0 + 50.0 * rng.exp();
            let epoch = ((f64::from(day) + period * rng.f64()) / period) as u64;
            drifted(market, at_first, (user, slot as u64, epoch))
        });
        person
    }

    /// The part that is needed for everyone: country, plan, activity, join day. Cheap.
    pub fn at_rest(spec: &Spec, rng: &mut Rng) -> Self {
        let country = by_percent(COUNTRIES.map(|(_, _, share)| share), rng);
        let plan = by_percent(PLANS.map(|(_, share, _)| share), rng);
        let days = usize::from(spec.days);
        let joined =
            if rng.f64() < 0.2 { rng.below(days) as i32 } else { -1 - rng.below(600) as i32 };
        let activity = rng.normal().exp() as f32;
        Self { country, plan, joined, activity, style: [0.0; STYLE], tastes: [0; TASTES] }
    }

    /// Countries differ in which categories they like.
    fn draw_taste(&self, market: &Market, rng: &mut Rng) -> u32 {
        let liked =
            |topic: u32| (market.category_of(topic) as usize * 7 + self.country * 3) % 5 < 2;
        let first = market.draw_topic(rng);
        if liked(first) { first } else { market.draw_topic(rng) }
    }
}

/// The taste of a slot after `epoch` changes of mind: often the old one, often a neighbour.
fn drifted(market: &Market, at_first: u32, (user, slot, epoch): (u32, u64, u64)) -> u32 {
    if epoch == 0 {
        return at_first;
    }
    let place = u64::from(user) * TASTES as u64 + slot;
    let mut rng = Rng::stream(market.spec.seed ^ (epoch << 48), streams::DRIFT + place);
    match rng.f64() {
        p if p < 0.45 => at_first,
        p if p < 0.80 => market.draw_sibling(at_first, &mut rng),
        _ => market.draw_topic(&mut rng),
    }
}

fn by_percent<const N: usize>(shares: [u8; N], rng: &mut Rng) -> usize {
    let mut left = rng.below(100) as i32;
    let passed = |&share: &u8| {
        left -= i32::from(share);
        left < 0
    };
    shares.iter().position(passed).expect("shares add up to 100 percent")
}

/// Who visits next: users drawn in proportion to their activity, in constant time.
///
/// # Source
/// Walker's alias method, in Vose's form (IEEE TSE 17(9), 1991).
#[derive(Debug)]
pub struct Crowd {
    keep: Vec<f32>,
    alias: Vec<u32>,
    joined: Vec<i16>,
}

impl Crowd {
    /// Everybody.
    pub fn new(spec: &Spec) -> Self {
        let (mut weights, mut joined) = (Vec::new(), Vec::new());
        for user in 0..u64::from(spec.users) {
            let mut rng = Rng::stream(spec.seed, streams::PEOPLE + user);
            let person = Person::at_rest(spec, &mut rng);
            weights.push(person.activity);
            joined.push(person.joined.max(-1) as i16);
        }
        let (keep, alias) = alias_table(weights);
        Self { keep, alias, joined }
    }

    /// Someone who has joined by `day`; after many misses anyone.
    pub fn draw(&self, day: i32, rng: &mut Rng) -> u32 {
        let mut user = self.draw_any(rng);
        for _ in 0..64 {
            if i32::from(self.joined[user as usize]) < day.max(0) {
                break;
            }
            user = self.draw_any(rng);
        }
        user
    }

    fn draw_any(&self, rng: &mut Rng) -> u32 {
        let place = rng.below(self.keep.len());
        if rng.f32() < self.keep[place] { place as u32 } else { self.alias[place] }
    }
}

fn alias_table(mut keep: Vec<f32>) -> (Vec<f32>, Vec<u32>) {
    let mean = keep.iter().map(|&w| f64::from(w)).sum::<f64>() / keep.len() as f64;
    keep.iter_mut().for_each(|w| *w = (f64::from(*w) / mean) as f32);
    let mut alias: Vec<u32> = (0..keep.len() as u32).collect();
    let (mut small, mut large): (Vec<u32>, Vec<u32>) =
        alias.iter().partition(|&&i| keep[i as usize] < 1.0);
    while let (Some(&s), Some(&l)) = (small.last(), large.last()) {
        small.pop();
        alias[s as usize] = l;
        keep[l as usize] -= 1.0 - keep[s as usize];
        if keep[l as usize] < 1.0 {
            large.pop();
            small.push(l);
        }
    }
    small.iter().chain(&large).for_each(|&i| keep[i as usize] = 1.0);
    (keep, alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alias_table_draws_in_proportion() {
        let (keep, alias) = alias_table(vec![1.0, 2.0, 5.0]);
        let crowd = Crowd { keep, alias, joined: vec![-1; 3] };
        let mut rng = Rng::new(3);
        let mut counts = [0u32; 3];
        (0..80_000).for_each(|_| counts[crowd.draw(0, &mut rng) as usize] += 1);
        for (count, expected) in counts.iter().zip([10_000, 20_000, 50_000]) {
            assert!(count.abs_diff(expected) < 700, "{counts:?}");
        }
    }

    #[test]
    fn tastes_drift_but_most_stay_for_a_month() {
        let market = Market::new(&Spec::default());
        let same = |days: i32| {
            let share = |user| {
                let (a, b) =
                    (Person::on_day(&market, user, 0), Person::on_day(&market, user, days));
                (0..TASTES).filter(|&s| a.tastes[s] == b.tastes[s]).count()
            };
            (0..500).map(share).sum::<usize>() as f64 / (500 * TASTES) as f64
        };
        assert!((0.6..0.95).contains(&same(30)), "{}", same(30));
        assert!(same(89) < same(30));
    }
}
