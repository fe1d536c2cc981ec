//! Every feature of the starter set against a computation of its own, event by event.

use std::collections::{BTreeMap, BTreeSet};

use foretaste_core::{Event, Item};
use foretaste_features::table::DAY_MS;
use foretaste_features::{Entity, build};

use crate::market::{Market, Values, assert_same};

/// An event of an entity's past, with its age in days.
struct Past<'a> {
    event: &'a Event,
    age: i64,
    item: Option<&'a Item>,
}

impl Past<'_> {
    fn is(&self, kind: &str) -> bool {
        self.event.kind == kind
    }

    fn scene(&self) -> &str {
        self.event.context.as_ref().and_then(|c| c.scene.as_deref()).unwrap_or("")
    }

    fn position(&self) -> Option<f64> {
        self.event.context.as_ref()?.position.map(f64::from)
    }
}

type Feature = (&'static str, Box<dyn Fn(&[Past<'_>]) -> Option<f64>>);

fn feature(name: &'static str, of: impl Fn(&[Past<'_>]) -> Option<f64> + 'static) -> Feature {
    (name, Box::new(of))
}

fn n(past: &[Past<'_>], test: impl Fn(&Past<'_>) -> bool) -> f64 {
    past.iter().filter(|p| test(p)).count() as f64
}

fn count(name: &'static str, kind: &'static str, days: i64) -> Feature {
    feature(name, move |past| Some(n(past, |p| p.is(kind) && p.age < days)))
}

fn rate(name: &'static str, of: &'static str, to: &'static str, days: i64) -> Feature {
    feature(name, move |past| {
        let in_window = |kind| n(past, |p| p.is(kind) && p.age < days);
        (in_window(to) > 0.0).then(|| in_window(of) / in_window(to))
    })
}

fn share(name: &'static str, test: impl Fn(&Past<'_>) -> bool + 'static) -> Feature {
    feature(name, move |past| Some(n(past, &test) / past.len() as f64))
}

fn decayed(name: &'static str, kind: &'static str, half_life: f64) -> Feature {
    feature(name, move |past| {
        let of_kind = past.iter().filter(|p| p.is(kind));
        Some(of_kind.map(|p| 0.5_f64.powf(p.age as f64 / half_life)).sum())
    })
}

fn different<T: Ord>(past: &[Past<'_>], of: impl Fn(&Past<'_>) -> Option<T>) -> Option<f64> {
    Some(past.iter().filter_map(of).collect::<BTreeSet<T>>().len() as f64)
}

fn ages(past: &[Past<'_>], kind: Option<&str>) -> Vec<i64> {
    past.iter().filter(|p| kind.is_none_or(|k| p.is(k))).map(|p| p.age).collect()
}

fn youngest(name: &'static str, kind: Option<&'static str>) -> Feature {
    feature(name, move |past| ages(past, kind).into_iter().min().map(|age| age as f64))
}

fn oldest(name: &'static str) -> Feature {
    feature(name, |past| ages(past, None).into_iter().max().map(|age| age as f64))
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn positions(past: &[Past<'_>], kind: &str) -> Vec<f64> {
    past.iter().filter(|p| p.is(kind)).filter_map(Past::position).collect()
}

fn session(p: &Past<'_>) -> Option<String> {
    p.event.context.as_ref()?.session.clone()
}

/// A feature set: which events count (whether impressions do, how many days), and its features.
struct Expected {
    set: &'static str,
    entity: Entity,
    impressions: bool,
    days: i64,
    features: Vec<Feature>,
}

fn user_activity() -> Vec<Feature> {
    vec![
        count("user_impressions_1d", "impression", 1),
        count("user_impressions_7d", "impression", 7),
        count("user_impressions_30d", "impression", 30),
        count("user_views_1d", "view", 1),
        count("user_views_7d", "view", 7),
        count("user_views_30d", "view", 30),
        count("user_clicks_1d", "click", 1),
        count("user_clicks_7d", "click", 7),
        count("user_clicks_30d", "click", 30),
        count("user_favourites_7d", "favourite", 7),
        count("user_favourites_30d", "favourite", 30),
        count("user_orders_7d", "order", 7),
        count("user_orders_30d", "order", 30),
        feature("user_active_days_7d", |past| different(past, |p| (p.age < 7).then_some(p.age))),
        feature("user_active_days_30d", |past| different(past, |p| Some(p.age))),
    ]
}

fn user_habits() -> Vec<Feature> {
    let hour = |p: &Past<'_>| p.event.time_ms / 3_600_000 % 24;
    let weekday = |p: &Past<'_>| (p.event.time_ms / DAY_MS + 3) % 7; // 0 is Monday
    vec![
        rate("user_view_rate", "view", "impression", 90),
        rate("user_click_rate", "click", "view", 90),
        rate("user_favourite_rate", "favourite", "click", 90),
        rate("user_order_rate", "order", "click", 90),
        share("user_weekend_share", move |p| weekday(p) >= 5),
        share("user_night_share", move |p| hour(p) >= 22 || hour(p) < 6),
        share("user_search_share", |p| p.scene() == "search"),
        share("user_category_page_share", |p| p.scene() == "category"),
        feature("user_mean_click_position", |past| mean(&positions(past, "click"))),
        feature("user_events_per_day", |past| {
            Some(past.len() as f64 / different(past, |p| Some(p.age))?)
        }),
    ]
}

fn user_recency() -> Vec<Feature> {
    vec![
        oldest("user_days_known"),
        youngest("user_days_since_event", None),
        youngest("user_days_since_click", Some("click")),
        youngest("user_days_since_order", Some("order")),
        decayed("user_views_decayed_3d", "view", 3.0),
        decayed("user_views_decayed_14d", "view", 14.0),
        decayed("user_orders_decayed_30d", "order", 30.0),
    ]
}

fn user_taste() -> Vec<Feature> {
    let prices = |past: &[Past<'_>], test: &dyn Fn(&Past<'_>) -> bool| -> Vec<f64> {
        past.iter().filter(|p| test(p)).filter_map(|p| p.item?.price).collect()
    };
    let category = |p: &Past<'_>| p.item.and_then(|item| item.categories.last().cloned());
    let item = |p: &Past<'_>| Some(p.event.item.clone());
    vec![
        feature("user_items_30d", move |past| different(past, item)),
        feature("user_categories_30d", move |past| different(past, category)),
        feature("user_top_category_share", move |past| {
            let mut counts: BTreeMap<_, f64> = BTreeMap::new();
            past.iter().for_each(|p| *counts.entry(category(p)).or_default() += 1.0);
            Some(counts.into_values().fold(0.0, f64::max) / past.len() as f64)
        }),
        feature("user_mean_price", move |past| mean(&prices(past, &|_| true))),
        feature("user_max_price", move |past| prices(past, &|_| true).into_iter().reduce(f64::max)),
        feature("user_mean_order_price", move |past| mean(&prices(past, &|p| p.is("order")))),
        feature("user_repeat_share", move |past| {
            Some(1.0 - different(past, item)? / past.len() as f64)
        }),
    ]
}

fn item_activity() -> Vec<Feature> {
    vec![
        count("item_impressions_1d", "impression", 1),
        count("item_impressions_7d", "impression", 7),
        count("item_impressions_30d", "impression", 30),
        count("item_views_1d", "view", 1),
        count("item_views_7d", "view", 7),
        count("item_views_30d", "view", 30),
        count("item_clicks_1d", "click", 1),
        count("item_clicks_7d", "click", 7),
        count("item_clicks_30d", "click", 30),
        count("item_favourites_7d", "favourite", 7),
        count("item_favourites_30d", "favourite", 30),
        count("item_orders_7d", "order", 7),
        count("item_orders_30d", "order", 30),
        feature("item_order_value_30d", |past| {
            Some(past.iter().filter(|p| p.is("order")).map(|p| f64::from(p.event.value)).sum())
        }),
        feature("item_active_days_30d", |past| different(past, |p| Some(p.age))),
    ]
}

fn item_appeal() -> Vec<Feature> {
    vec![
        rate("item_view_rate_7d", "view", "impression", 7),
        rate("item_view_rate_30d", "view", "impression", 30),
        rate("item_click_rate_30d", "click", "view", 30),
        rate("item_favourite_rate_30d", "favourite", "click", 30),
        rate("item_order_rate_30d", "order", "click", 30),
        feature("item_mean_position", |past| mean(&positions(past, "impression"))),
        feature("item_best_position", |past| {
            positions(past, "impression").into_iter().reduce(f64::min)
        }),
        share("item_search_share", |p| p.scene() == "search"),
        share("item_homepage_share", |p| p.scene() == "homepage"),
    ]
}

fn item_trend() -> Vec<Feature> {
    vec![
        oldest("item_days_since_first"),
        youngest("item_days_since_event", None),
        youngest("item_days_since_order", Some("order")),
        decayed("item_views_decayed_1d", "view", 1.0),
        decayed("item_views_decayed_7d", "view", 7.0),
        decayed("item_views_decayed_30d", "view", 30.0),
        decayed("item_orders_decayed_30d", "order", 30.0),
        feature("item_view_momentum", |past| {
            let views = |from, to| n(past, |p| p.is("view") && (from..=to).contains(&p.age));
            (views(4, 6) > 0.0).then(|| views(1, 3) / views(4, 6))
        }),
    ]
}

fn item_audience() -> Vec<Feature> {
    let user = |p: &Past<'_>| Some(p.event.user.clone());
    vec![
        feature("item_users_7d", move |past| different(past, |p| user(p).filter(|_| p.age < 7))),
        feature("item_users_30d", move |past| different(past, user)),
        feature("item_sessions_30d", |past| different(past, session)),
        feature("item_events_per_user", move |past| {
            Some(past.len() as f64 / different(past, user)?)
        }),
    ]
}

fn user_item() -> Vec<Feature> {
    vec![
        count("pair_impressions_30d", "impression", 30),
        count("pair_views_30d", "view", 30),
        count("pair_clicks_30d", "click", 30),
        count("pair_favourites_30d", "favourite", 30),
        count("pair_orders_30d", "order", 30),
        youngest("pair_days_since_event", None),
        oldest("pair_days_since_first"),
        feature("pair_unanswered", |past| {
            let answered: BTreeSet<i64> =
                past.iter().filter(|p| !p.is("impression")).map(|p| p.age).collect();
            Some(n(past, |p| !answered.contains(&p.age)))
        }),
    ]
}

fn expected() -> Vec<Expected> {
    let of = |set, entity, (impressions, days), features| Expected {
        set,
        entity,
        impressions,
        days,
        features,
    };
    let all = i64::MAX;
    vec![
        of("item_activity", Entity::Item, (true, 30), item_activity()),
        of("item_appeal", Entity::Item, (true, 30), item_appeal()),
        of("item_audience", Entity::Item, (false, 30), item_audience()),
        of("item_trend", Entity::Item, (false, all), item_trend()),
        of("user_activity", Entity::User, (true, 30), user_activity()),
        of("user_habits", Entity::User, (true, 90), user_habits()),
        of("user_item", Entity::UserItem, (true, 30), user_item()),
        of("user_recency", Entity::User, (true, all), user_recency()),
        of("user_taste", Entity::User, (false, 30), user_taste()),
    ]
}

impl Expected {
    fn values(&self, market: &Market, as_of: i64) -> Values {
        let items: BTreeMap<&str, &Item> =
            market.items.iter().map(|item| (item.item_id.as_str(), item)).collect();
        let mut pasts: BTreeMap<String, Vec<Past<'_>>> = BTreeMap::new();
        for event in market.events.iter().filter(|event| event.time_ms < as_of) {
            let age = as_of.div_euclid(DAY_MS) - event.time_ms.div_euclid(DAY_MS);
            if age >= self.days || event.kind == "impression" && !self.impressions {
                continue;
            }
            let key = match self.entity {
                Entity::User => event.user.clone(),
                Entity::Item => event.item.clone(),
                Entity::UserItem => format!("{} {}", event.user, event.item),
            };
            let item = items.get(event.item.as_str()).copied();
            pasts.entry(key).or_default().push(Past { event, age, item });
        }
        let columns = |past: Vec<Past<'_>>| {
            let value = |(name, of): &Feature| Some(((*name).to_owned(), of(&past)?));
            self.features.iter().filter_map(value).collect()
        };
        pasts.into_iter().map(|(key, past)| (key, columns(past))).collect()
    }
}

/// The features of the catalogue alone.
fn item_facts(items: &[Item]) -> Values {
    let of = |item: &Item| {
        let others: Vec<&Item> =
            items.iter().filter(|o| o.categories.last() == item.categories.last()).collect();
        let prices: Vec<f64> = others.iter().filter_map(|o| o.price).collect();
        let price = item.price.unwrap();
        let cheaper = prices.iter().filter(|&&p| p < price).count() as f64;
        let rank = if others.len() > 1 { cheaper / (others.len() - 1) as f64 } else { 0.0 };
        let mean = mean(&prices).filter(|mean| *mean > 0.0);
        let columns = [
            ("item_price", Some(price)),
            ("item_price_to_category", mean.map(|mean| price / mean)),
            ("item_price_rank", Some(rank)),
            ("item_title_length", Some(item.title.chars().count() as f64)),
            ("item_description_length", Some(item.description.chars().count() as f64)),
            ("item_category_size", Some(others.len() as f64)),
        ];
        let present = |(name, value): (&str, Option<f64>)| Some((name.to_owned(), value?));
        let columns = columns.into_iter().filter_map(present);
        (item.item_id.clone(), columns.collect())
    };
    items.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_feature_is_what_its_description_says() {
    let market = Market::new(30_000, 7);
    market.put_catalogue().await;
    market.put_events(&market.events).await.unwrap();
    let as_of = market.afternoon();
    let (sets, inputs) = (market.starter().await, market.inputs().await);
    let (mut features, mut same) = (0, Vec::new());
    for set in &sets {
        let built = build(&market.lake, &market.engine, set, (&inputs, as_of)).await.unwrap();
        let found = market.values(set).await;
        assert_eq!(built.rows, found.len() as u64);
        let expected = match expected().iter().find(|e| e.set == set.definition.name) {
            Some(expected) => {
                let names: Vec<&str> = expected.features.iter().map(|(name, _)| *name).collect();
                let columns = &set.definition.columns;
                assert_eq!(names, columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>());
                expected.values(&market, as_of)
            }
            None => item_facts(&market.items),
        };
        assert!(expected.len() >= 40, "{} has few rows", set.definition.name);
        assert_same(&found, &expected, &set.definition.name);
        for column in &set.definition.columns {
            let values: BTreeSet<u64> = found
                .values()
                .filter_map(|columns| columns.get(&column.name))
                .map(|value| value.to_bits())
                .collect();
            if values.len() < 2 {
                same.push(column.name.clone());
            }
        }
        features += set.definition.columns.len();
    }
    assert!(same.is_empty(), "these tell no two entities apart: {same:?}");
    assert!(features >= 70, "{features}");
}
