//! One visit: a person with a mood looks at slates and searches, opens some items and goes down
//! the funnel with a few of them.

use foretaste_core::{Rng, TimeMs};

use crate::day::Day;
use crate::market::Market;
use crate::people::{Person, TASTE_SHARES};
use crate::vocabulary::PLANS;

/// Names of kinds, by [`Happening::kind`].
pub const KINDS: [&str; 5] = ["impression", "view", "click", "favourite", "order"];
/// Names of scenes, by [`Happening::scene`].
pub const SCENES: [&str; 3] = ["homepage", "search", "category"];

const IMPRESSION: u8 = 0;
const VIEW: u8 = 1;
const CLICK: u8 = 2;
const FAVOURITE: u8 = 3;
const ORDER: u8 = 4;
const HOMEPAGE: u8 = 0;
const SLATE: usize = 8;
const MAX_STEPS: usize = 40;

/// An event before it has strings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Happening {
    /// When.
    pub time_ms: TimeMs,
    /// Who.
    pub user: u32,
    /// What.
    pub item: u32,
    /// In which visit.
    pub session: u32,
    /// How much.
    pub value: f32,
    /// 1-based position at which the item was shown; 0 when it was not in a list.
    pub position: u16,
    /// Index into [`KINDS`].
    pub kind: u8,
    /// Index into [`SCENES`].
    pub scene: u8,
}

/// A visit under way.
#[derive(Debug)]
pub struct Visit<'a> {
    market: &'a Market,
    day: &'a Day,
    rng: &'a mut Rng,
    person: Person,
    /// The taste of today.
    mood: u32,
    now: Happening,
}

impl<'a> Visit<'a> {
    /// `user` comes by.
    pub fn new(
        (market, day): (&'a Market, &'a Day),
        (user, session): (u32, u32),
        rng: &'a mut Rng,
    ) -> Self {
        let person = Person::on_day(market, user, day.number);
        let time_ms = day.draw_time(person.country, rng);
        let mood = draw_taste(&person, rng);
        let now = Happening {
            time_ms,
            user,
            item: 0,
            session,
            value: 1.0,
            position: 0,
            kind: 0,
            scene: 0,
        };
        Self { market, day, rng, person, mood, now }
    }

    /// Appends what happens in the visit, all of it within the day.
    pub fn run(mut self, out: &mut Vec<Happening>) {
        let first = out.len();
        for _ in 0..MAX_STEPS {
            self.step(out);
            if self.rng.f32() < 0.22 {
                break;
            }
        }
        let late = (self.now.time_ms + 1 - self.day.end_ms()).max(0);
        out[first..].iter_mut().for_each(|h| h.time_ms -= late);
    }

    fn step(&mut self, out: &mut Vec<Happening>) {
        self.now.time_ms += 1_000 + (self.rng.exp() * 15_000.0) as i64;
        if self.rng.f32() < 0.3 {
            self.look_at_slate(out);
        } else {
            let item = self.search();
            let position = 1 + (self.rng.exp() * 2.0) as u16;
            let scene = 1 + u8::from(self.rng.f32() < 0.4);
            self.open(item, (scene, position), out);
        }
    }

    /// The homepage of the past: popular items beside guesses at the person's tastes. One slate
    /// in five is logged with its impressions.
    fn look_at_slate(&mut self, out: &mut Vec<Happening>) {
        let slate = self.draw_slate();
        if self.rng.f32() < 0.2 {
            for (at, &item) in slate.iter().enumerate() {
                self.record(IMPRESSION, item, (HOMEPAGE, at as u16 + 1), out);
            }
        }
        for (at, &item) in slate.iter().enumerate() {
            let examined = 1.0 / (1.0 + 0.4 * at as f32);
            if self.rng.f32() < examined * sigmoid(self.appeal(item) - 0.8) {
                self.open(item, (HOMEPAGE, at as u16 + 1), out);
            }
        }
    }

    fn draw_slate(&mut self) -> Vec<u32> {
        let mut slate = Vec::with_capacity(SLATE);
        for _ in 0..SLATE {
            let item = if self.rng.f32() < 0.4 {
                self.day.draw_popular(self.market, self.rng)
            } else {
                let topic = draw_taste(&self.person, self.rng);
                self.day.draw_item(self.market, topic, self.rng)
            };
            if !slate.contains(&item) {
                slate.push(item);
            }
        }
        slate
    }

    /// The best of three for the person, mostly within the mood.
    fn search(&mut self) -> u32 {
        let topic = match self.rng.f32() {
            p if p < 0.70 => Some(self.mood),
            p if p < 0.92 => Some(draw_taste(&self.person, self.rng)),
            _ => None,
        };
        let mut best = (f32::NEG_INFINITY, 0);
        for _ in 0..3 {
            let item = match topic {
                Some(topic) => self.day.draw_item(self.market, topic, self.rng),
                None => self.day.draw_popular(self.market, self.rng),
            };
            let score = self.market.likes(&self.person.style, item) + 0.3 * self.rng.f32();
            if score > best.0 {
                best = (score, item);
            }
        }
        best.1
    }

    /// How much the person likes an item, as a log-odds: tastes, then style.
    fn appeal(&self, item: u32) -> f32 {
        let topic = self.market.items[item as usize].topic;
        let slot = self.person.tastes.iter().position(|&t| t == topic);
        let taste = slot.map_or(-2.0, |s| 0.5 + 2.0 * TASTE_SHARES[s]);
        taste + 2.0 * self.market.likes(&self.person.style, item)
    }

    fn open(&mut self, item: u32, place: (u8, u16), out: &mut Vec<Happening>) {
        let (appeal, wallet) = (self.appeal(item), PLANS[self.person.plan].2);
        self.now.time_ms += 1_000 + (self.rng.exp() * 25_000.0) as i64;
        self.record(VIEW, item, place, out);
        if self.rng.f32() < 0.8 * sigmoid(appeal - 0.6) {
            self.go_on(CLICK, item, place, out);
            if self.rng.f32() < 0.5 * sigmoid(appeal - 0.8) {
                self.go_on(FAVOURITE, item, place, out);
            }
            let free = self.market.items[item as usize].price == 0.0;
            if self.rng.f32() < 0.35 * if free { 1.0 } else { wallet.min(1.5) * 0.6 } {
                self.go_on(ORDER, item, place, out);
            }
        }
    }

    fn go_on(&mut self, kind: u8, item: u32, place: (u8, u16), out: &mut Vec<Happening>) {
        self.now.time_ms += 500 + (self.rng.exp() * 20_000.0) as i64;
        self.record(kind, item, place, out);
    }

    fn record(
        &mut self,
        kind: u8,
        item: u32,
        (scene, position): (u8, u16),
        out: &mut Vec<Happening>,
    ) {
        out.push(Happening { kind, item, scene, position, ..self.now });
    }
}

fn draw_taste(person: &Person, rng: &mut Rng) -> u32 {
    let mut left = rng.f32();
    for (&topic, share) in person.tastes.iter().zip(TASTE_SHARES) {
        left -= share;
        if left < 0.0 {
            return topic;
        }
    }
    person.tastes[0]
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
