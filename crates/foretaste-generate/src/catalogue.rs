//! Records of items and users, with texts a person can read, one at a time.

use std::collections::BTreeMap;

use foretaste_core::{Item, Rng, TimeMs, User};

use crate::market::{BEFORE, Market, streams};
use crate::people::Person;
use crate::stream::{item_id, user_id};
use crate::vocabulary::{
    ANGLES, CADENCES, COUNTRIES, FORMATS, LICENCES, PLANS, REGIONS, Shelf, USES,
};
use crate::{DAY_MS, Spec};

/// All items, by number.
pub fn items(spec: &Spec) -> impl Iterator<Item = Item> {
    let market = Market::new(spec);
    (0..spec.items).map(move |item| describe(&market, item))
}

/// All users, by number.
pub fn users(spec: &Spec) -> impl Iterator<Item = User> {
    let spec = *spec;
    (0..spec.users).map(move |user| {
        let mut rng = Rng::stream(spec.seed, streams::PEOPLE + u64::from(user));
        let person = Person::at_rest(&spec, &mut rng);
        let attributes = [("country", COUNTRIES[person.country].0), ("plan", PLANS[person.plan].0)];
        User {
            user_id: user_id(user),
            attributes: named(attributes.map(|(k, v)| (k, v.to_owned()))),
            created_ms: day_ms(&spec, person.joined),
        }
    })
}

/// What the text of an item is made of.
struct Words {
    shelf: Shelf,
    angle: (&'static str, &'static str),
    region: (&'static str, &'static str),
    cadence: (&'static str, &'static str),
    purpose: (&'static str, &'static str),
    format: &'static str,
    first: &'static str,
    second: &'static str,
    edition: usize,
}

fn describe(market: &Market, item: u32) -> Item {
    let traits = &market.items[item as usize];
    let mut rng = Rng::stream(market.spec.seed, streams::TEXTS + u64::from(item));
    let words = Words::draw(market, traits.topic, &mut rng);
    let chinese = rng.f64() < 0.2;
    let seller = 1 + (rng.f64().powi(2) * (f64::from(market.spec.items) / 25.0)) as u32;
    let language = if chinese { "zh" } else { "en" };
    let attributes = [
        ("seller", format!("seller-{seller}")),
        ("format", words.format.to_owned()),
        ("licence", LICENCES[rng.below(LICENCES.len())].to_owned()),
        ("language", language.to_owned()),
    ];
    let created_day = match traits.arrival {
        BEFORE => -1 - rng.below(700) as i32,
        day => day,
    };
    let (title, description) = if chinese { words.chinese() } else { words.english() };
    Item {
        item_id: item_id(item),
        title,
        description,
        categories: vec![words.shelf.top.to_owned(), words.shelf.name.to_owned()],
        tags: words.tags(),
        price: Some(f64::from(traits.price)),
        attributes: named(attributes),
        created_ms: day_ms(&market.spec, created_day) + rng.below(DAY_MS as usize) as i64,
        hidden: false,
        embedding: None,
    }
}

impl Words {
    /// Angle and keywords belong to the topic, the rest to the item.
    fn draw(market: &Market, topic: u32, rng: &mut Rng) -> Self {
        let shelf = market.shelves[market.shelf_of(topic)];
        let nth = topic as usize / market.shelves.len();
        let first = nth % 6;
        let second = (first + 1 + nth / 6 % 5) % 6;
        Self {
            shelf,
            angle: ANGLES[(nth * 5 + topic as usize * 3) % ANGLES.len()],
            region: REGIONS[rng.below(REGIONS.len())],
            cadence: CADENCES[rng.below(CADENCES.len())],
            purpose: USES[rng.below(USES.len())],
            format: FORMATS[rng.below(FORMATS.len())],
            first: shelf.keywords[first],
            second: shelf.keywords[second],
            edition: 2018 + rng.below(9),
        }
    }

    fn english(&self) -> (String, String) {
        let Self { shelf, angle, region, cadence, purpose, format, first, second, edition } = self;
        let spoken = first.replace('-', " ");
        let title = format!("{} {} {spoken} for {}, {edition}", angle.0, shelf.name, region.0);
        let description = format!(
            "{} {spoken} and {} for {} since {edition}, updated {}. Delivered as {format}; made \
             for {}.",
            angle.0,
            second.replace('-', " "),
            region.0,
            cadence.0,
            purpose.0,
        );
        (title, description)
    }

    fn chinese(&self) -> (String, String) {
        let Self { shelf, angle, region, cadence, purpose, format, first, second, edition } = self;
        let title = format!("{}{}{}数据集（{first}，{edition}）", region.1, angle.1, shelf.chinese);
        let description = format!(
            "自{edition}年以来{}的{}{}数据，包含{first}与{second}，{}更新，以{format}格式交付，适用于{}。",
            region.1, angle.1, shelf.chinese, cadence.1, purpose.1,
        );
        (title, description)
    }

    fn tags(&self) -> Vec<String> {
        let words = [self.first, self.second, self.format, self.angle.0];
        words.iter().map(|w| w.to_lowercase()).collect()
    }
}

fn day_ms(spec: &Spec, day: i32) -> TimeMs {
    spec.start_ms() + TimeMs::from(day) * DAY_MS
}

fn named<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
