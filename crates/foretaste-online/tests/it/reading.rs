//! One read against values that are known.

use std::collections::BTreeMap;

use foretaste_core::feature::{Class, Entity};
use foretaste_core::{ErrorKind, Rng};
use foretaste_online::{
    Asking, Block, Cell, ColumnKind, FeatureReader, LastEvent, LastEventsDraft, MOMENT, Plan,
    Publisher, Stale, ValuesDraft,
};
use tempfile::tempdir;

use crate::world::{NOW, columns, head, numbered, publish, reader};

/// Key, with parts joined by a space, and column → value.
type Known = BTreeMap<(String, String), f32>;

/// A set of three columns with planted values, a third of them missing.
fn planted(set: &str, entity: Entity, known: &mut Known, rng: &mut Rng) -> ValuesDraft {
    let names: Vec<String> = (0..3).map(|c| format!("{set}_{c}")).collect();
    let kinds: Vec<(&str, ColumnKind)> =
        names.iter().map(|name| (name.as_str(), ColumnKind::Number)).collect();
    let mut draft = ValuesDraft::new(entity, columns(&kinds)).unwrap();
    let mut keys: Vec<Vec<String>> = match entity {
        Entity::User => (0..50).map(|u| vec![format!("u{u}")]).collect(),
        Entity::Item => (0..70).map(|i| vec![format!("i{i}")]).collect(),
        Entity::UserItem => {
            let of =
                |u: usize| (0..u % 9).map(move |n| vec![format!("u{u}"), format!("i{}", n * 7)]);
            (0..50).flat_map(of).collect()
        }
    };
    rng.shuffle(&mut keys);
    for key in keys {
        let values: Vec<Option<f64>> =
            (0..3).map(|_| (rng.below(3) > 0).then(|| f64::from(rng.f32()) * 100.0)).collect();
        for (name, value) in names.iter().zip(&values) {
            if let Some(value) = value {
                known.insert((key.join(" "), name.clone()), *value as f32);
            }
        }
        let parts: Vec<&str> = key.iter().map(String::as_str).collect();
        draft.push(&parts, values.iter().map(|v| v.map_or(Cell::Missing, Cell::Number))).unwrap();
    }
    draft
}

#[test]
fn every_value_that_was_published_is_read_and_no_other() {
    let folder = tempdir().unwrap();
    let (mut known, mut rng) = (Known::new(), Rng::new(11));
    let sets = [
        ("a_user", Entity::User),
        ("b_item", Entity::Item),
        ("c_pair", Entity::UserItem),
        ("d_item", Entity::Item),
    ];
    for (set, entity) in sets {
        let draft = planted(set, entity, &mut known, &mut rng);
        publish(folder.path(), &head(set, NOW), &draft);
    }
    let reader = reader(folder.path());
    let plan = Plan::new(&reader, &sets.map(|(set, _)| set.to_owned()), &[]).unwrap();
    let (mut block, mut read) = (Block::default(), 0);
    for user in (0..52).map(|u| format!("u{u}")).map(Some).chain([None]) {
        let items: Vec<String> = (0..40).map(|_| format!("i{}", rng.below(75))).collect();
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        let asking = Asking { user: user.as_deref(), items: &items, now_ms: NOW, ..asking() };
        reader.read(&plan, &asking, &mut block).unwrap();
        assert_eq!((block.height(), block.width()), (40, 12));
        for (row, item) in items.iter().enumerate() {
            for (column, value) in plan.columns().iter().zip(block.row(row)) {
                let name = user.as_deref().unwrap_or("nobody");
                let key = match column.entity {
                    Entity::User => name.to_owned(),
                    Entity::Item => (*item).to_owned(),
                    Entity::UserItem => format!("{name} {item}"),
                };
                let expected = known.get(&(key, column.name.clone())).copied();
                assert_eq!((!value.is_nan()).then_some(*value), expected, "{column:?} of {item}");
                read += usize::from(expected.is_some());
            }
        }
        let found: Vec<usize> = block.sets().iter().map(|set| set.found).collect();
        let is_known = user.as_deref().is_some_and(|u| u[1..].parse::<u32>().unwrap() < 50);
        assert_eq!(found[0], usize::from(is_known), "{found:?}");
    }
    assert!(read > 5_000, "{read} values");
}

fn asking() -> Asking<'static> {
    Asking { now_ms: NOW, ..Asking::default() }
}

#[test]
fn texts_and_numbers_that_are_none() {
    let folder = tempdir().unwrap();
    let kinds = [("brand", ColumnKind::Text), ("price", ColumnKind::Number)];
    let mut draft = ValuesDraft::new(Entity::Item, columns(&kinds)).unwrap();
    let rows = [
        ("a", Cell::Text("zeta"), Cell::Number(f64::NAN)),
        ("b", Cell::Missing, Cell::Number(1e300)),
        ("c", Cell::Text("alpha"), Cell::Number(16_777_217.0)),
        ("d", Cell::Text(""), Cell::Missing),
    ];
    for (id, brand, price) in rows {
        draft.push(&[id], [brand, price].into_iter()).unwrap();
    }
    publish(folder.path(), &head("facts", NOW), &draft);
    let reader = reader(folder.path());
    let plan = Plan::new(&reader, &[], &["price".into(), "brand".into(), "price".into()]).unwrap();
    let mut block = Block::default();
    let asking = Asking { items: &["a", "b", "c", "d", "e"], ..asking() };
    reader.read(&plan, &asking, &mut block).unwrap();
    assert_eq!(plan.columns().len(), 2, "each column once");
    let brand = |row: usize| reader.text(&plan, 1, block.row(row)[1]);
    assert_eq!([0, 1, 2, 3, 4].map(brand), [Some("zeta"), None, Some("alpha"), Some(""), None]);
    let prices = [0, 1, 2, 3].map(|row| block.row(row)[0]);
    assert!(prices[0].is_nan() && prices[1].is_nan() && prices[3].is_nan(), "{prices:?}");
    assert_eq!(prices[2], 16_777_216.0, "single precision");
    assert_eq!(reader.text(&plan, 0, 1.0), None, "a number has no text");
    let published = &reader.tables()[0].manifest().content;
    assert!(format!("{published:?}").contains("not_finite: 2"), "{published:?}");
}

#[test]
fn without_items_there_is_one_row_of_the_user() {
    let folder = tempdir().unwrap();
    publish(folder.path(), &head("u", NOW), &numbered(Entity::User, "of_user", (3, 0.5)));
    publish(folder.path(), &head("i", NOW), &numbered(Entity::Item, "of_item", (3, 0.0)));
    let reader = reader(folder.path());
    let mut block = Block::default();
    reader.read(reader.whole(), &Asking { user: Some("2"), ..asking() }, &mut block).unwrap();
    assert_eq!((block.height(), block.width()), (1, 15));
    let value = |name: &str| {
        let at = reader.whole().columns().iter().position(|c| c.name == name).unwrap();
        block.row(0)[at]
    };
    assert_eq!(value("of_user"), 2.5);
    assert!(value("of_item").is_nan());
}

#[test]
fn stale_values_are_named_and_given_or_missing() {
    let folder = tempdir().unwrap();
    let fresh = head("fresh", NOW - 300_000);
    publish(folder.path(), &fresh, &numbered(Entity::Item, "young", (3, 0.0)));
    let old = head("old", NOW - 300_001);
    publish(folder.path(), &old, &numbered(Entity::Item, "aged", (3, 0.0)));
    let reader = reader(folder.path());
    let plan = Plan::new(&reader, &[], &["young".into(), "aged".into()]).unwrap();
    let read = |stale| {
        let mut block = Block::default();
        let asking = Asking { items: &["1"], stale, ..asking() };
        reader.read(&plan, &asking, &mut block).unwrap();
        block
    };
    let served = read(Stale::Serve);
    assert_eq!(served.row(0), [1.0, 1.0]);
    let flags =
        |b: &Block| b.sets().iter().map(|s| (s.is_stale, s.is_withheld)).collect::<Vec<_>>();
    assert_eq!(flags(&served), [(false, false), (true, false)]);
    let missing = read(Stale::Missing);
    assert_eq!(flags(&missing), [(false, false), (true, true)]);
    assert!(missing.row(0)[0] == 1.0 && missing.row(0)[1].is_nan());
    assert_eq!(missing.sets()[1].age_ms, 300_001);
}

#[test]
fn what_was_made_before_an_erasure_is_withheld_of_that_user() {
    let folder = tempdir().unwrap();
    publish(folder.path(), &head("u", NOW), &numbered(Entity::User, "of_user", (3, 0.0)));
    publish(folder.path(), &head("i", NOW), &numbered(Entity::Item, "of_item", (3, 0.0)));
    let reader = reader(folder.path());
    let plan = Plan::new(&reader, &["u".into(), "i".into()], &[]).unwrap();
    for (erased_ms, is_given) in [(None, true), (Some(NOW - 1), true), (Some(NOW), false)] {
        let mut block = Block::default();
        let asking = Asking { user: Some("1"), items: &["2"], erased_ms, ..asking() };
        reader.read(&plan, &asking, &mut block).unwrap();
        assert_eq!(!block.row(0)[0].is_nan(), is_given, "{erased_ms:?}");
        assert_eq!(block.row(0)[1], 2.0, "what is about items stays");
    }
}

#[test]
fn names_that_there_are_not_are_refused() {
    let folder = tempdir().unwrap();
    publish(folder.path(), &head("u", NOW), &numbered(Entity::User, "of_user", (3, 0.0)));
    let reader = reader(folder.path());
    let refused = |sets: &[String], columns: &[String]| {
        let error = Plan::new(&reader, sets, columns).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    };
    assert!(refused(&["x".into()], &[]).contains("there are: u, now"));
    assert!(refused(&[], &["of_user".into(), "x".into()]).contains("columns.1"));
    let both = Plan::new(&reader, &[MOMENT.into()], &["now_hour".into(), "of_user".into()]);
    assert_eq!(both.unwrap().columns().len(), 14);
    assert_eq!(reader.tables()[0].class(), Class::Dynamic);
    let other = FeatureReader::default();
    let error = other.read(reader.whole(), &asking(), &mut Block::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "a plan belongs to its reader");
}

/// Sets know different items, in the order of ids or not; each item has the values of its own row.
#[test]
fn items_that_only_some_sets_know_are_found_in_each() {
    let folder = tempdir().unwrap();
    let all: Vec<String> = (0..60).map(|n| format!("i{n}")).collect();
    let steps = [1, 2, 3, 7];
    for step in steps {
        let name = format!("every_{step}");
        let kinds = columns(&[(&name, ColumnKind::Number)]);
        let mut draft = ValuesDraft::new(Entity::Item, kinds).unwrap();
        for (n, id) in all.iter().enumerate().skip(step).step_by(step) {
            let value = (n * 10 + step) as f64;
            draft.push(&[id], std::iter::once(Cell::Number(value))).unwrap();
        }
        publish(folder.path(), &head(&name, NOW), &draft);
    }
    // Items of events that no catalogue has are not in the order of ids.
    let mut last = LastEventsDraft::new(Vec::new());
    for item in ["i9", "i0", "stranger", "i30"] {
        last.event("u", LastEvent { item, kind: "view", value: 1.0, time_ms: NOW - 5 }).unwrap();
    }
    let publisher = Publisher::open(folder.path(), NOW).unwrap();
    publisher.last_events(&head(MOMENT, NOW), &last).unwrap();
    let reader = reader(folder.path());
    let mut items: Vec<&str> = all.iter().map(String::as_str).collect();
    items.extend(["stranger", "nobody"]);
    let names = steps.map(|step| format!("every_{step}"));
    let plan = Plan::new(&reader, &[], &[&names[..], &["now_item_events".into()]].concat());
    let plan = plan.unwrap();
    let mut block = Block::default();
    let asking = Asking { user: Some("u"), items: &items, ..asking() };
    reader.read(&plan, &asking, &mut block).unwrap();
    for (n, item) in items.iter().enumerate() {
        for (at, step) in steps.iter().enumerate() {
            let is_there = n < 60 && n >= *step && n.is_multiple_of(*step);
            let expected = is_there.then_some((n * 10 + step) as f32);
            let found = block.row(n)[at];
            assert_eq!((!found.is_nan()).then_some(found), expected, "{item} in every_{step}");
        }
        let met = ["i9", "i0", "stranger", "i30"].contains(item);
        assert_eq!(block.row(n)[4], f32::from(u8::from(met)), "{item}");
    }
}

#[test]
fn a_name_that_two_sets_have_is_that_of_the_one_published_last() {
    let folder = tempdir().unwrap();
    for (set, plus, at) in [("a", 1.0, 2), ("b", 5.0, 1)] {
        let publisher = Publisher::open(folder.path(), NOW + at).unwrap();
        let draft = numbered(Entity::Item, "x", (3, plus));
        publisher.values(&head(set, NOW), &draft).unwrap();
    }
    let reader = reader(folder.path());
    let mut block = Block::default();
    let asking = Asking { items: &["2"], ..asking() };
    let mut read = |plan: &Plan| {
        reader.read(plan, &asking, &mut block).unwrap();
        block.values().to_vec()
    };
    assert_eq!(read(&Plan::new(&reader, &[], &["x".into()]).unwrap()), [3.0]);
    assert_eq!(read(&Plan::new(&reader, &["b".into()], &[]).unwrap()), [0.0; 0]);
    assert_eq!(reader.whole().columns().len(), 14, "and is there once");
}
