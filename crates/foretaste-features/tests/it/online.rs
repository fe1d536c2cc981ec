//! What requests read is what training rows hold: the same values, of the moment too.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use foretaste_core::moment::NAMES;
use foretaste_core::{ErrorKind, Event, Rng};
use foretaste_features::table::DAY_MS;
use foretaste_features::{
    Catalogue, Checked, Grid, RowsRequest, build, publish_last_events, publish_set,
};
use foretaste_online::{
    Asking, Block, FeatureReader, Follower, LiveEvent, PlannedColumn, Published, Publisher,
};

use crate::market::Market;
use crate::past::training_rows;

const PASSIVE: &str = "impression";

async fn publish(
    market: &Market,
    set: &Checked,
    publisher: &Publisher,
) -> foretaste_core::Result<Published> {
    let values = market.lake.table(&set.definition.table()).unwrap().state().await.unwrap();
    publish_set(&market.engine, (&set.definition, &values), (publisher, 1)).await
}

/// Publishes all sets as of a time, and the last events of the lake.
async fn published(
    market: &Market,
    sets: &[Checked],
    (publisher, as_of_ms): (&Publisher, i64),
) -> Vec<Published> {
    let inputs = market.inputs().await;
    let mut done = Vec::new();
    for set in sets {
        build(&market.lake, &market.engine, set, (&inputs, as_of_ms)).await.unwrap();
        done.push(publish(market, set, publisher).await.unwrap());
    }
    let passive = [PASSIVE.to_owned()];
    let last = (publisher, as_of_ms, 1);
    done.push(publish_last_events(&market.engine, (&inputs, &passive), last).await.unwrap());
    done
}

fn live(event: &Event) -> LiveEvent<'_> {
    let Event { item, kind, value, time_ms, .. } = event;
    LiveEvent { item, kind, value: *value, time_ms: *time_ms }
}

/// The values of a row by the names of its columns; none is a missing one.
fn read(
    reader: &FeatureReader,
    (user, item, at_ms): (&str, &str, i64),
    live: &[LiveEvent<'_>],
) -> BTreeMap<String, Option<f32>> {
    let mut block = Block::default();
    let (items, at_ms) = ([item], Some(at_ms));
    let asking = Asking { user: Some(user), items: &items, at_ms, live, ..Asking::default() };
    reader.read(reader.whole(), &asking, &mut block).unwrap();
    let named = |(column, value): (&PlannedColumn, &f32)| {
        (column.name.clone(), (!value.is_nan()).then_some(*value))
    };
    reader.whole().columns().iter().zip(block.row(0)).map(named).collect()
}

/// Sums of fractions differ in their last digits by the order of addition.
fn is_same(found: Option<f32>, expected: Option<f32>) -> bool {
    match (found, expected) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * b.abs().max(1e-6),
        (a, b) => a == b,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_requests_read_is_what_training_rows_hold() {
    for seed in [5, 6] {
        let market = Market::new(3_500, seed);
        market.put_catalogue().await;
        let last_ms = market.events.iter().map(|event| event.time_ms).max().unwrap();
        // The day before the last one, of which generated markets have more.
        let midnight = (last_ms.div_euclid(DAY_MS) - 1) * DAY_MS;
        let mut rng = Rng::stream(seed, 3);
        // The lake that is published from lacks most of what comes after midnight; all of it is live,
        // and some older events are, too.
        let is_late: Vec<bool> = market.events.iter().map(|_| rng.below(4) > 0).collect();
        let of_lake = market.events.iter().zip(&is_late);
        let of_lake = of_lake.filter(|(event, late)| event.time_ms < midnight || !**late);
        let of_lake: Vec<Event> = of_lake.map(|(event, _)| event.clone()).collect();
        market.put_events(&of_lake).await.unwrap();
        let (sets, folder) = (market.starter().await, tempfile::tempdir().unwrap());
        let publisher = Publisher::open(folder.path(), midnight).unwrap();
        published(&market, &sets, (&publisher, midnight)).await;
        let looked = Follower::new(folder.path()).look(&FeatureReader::default()).unwrap();
        let reader = looked.next.unwrap();
        assert_eq!(reader.whole().columns().len(), 89 + NAMES.len());

        market.put_events(&market.events).await.unwrap();
        let request = RowsRequest {
            events: Some("kind <> 'impression'".to_owned()),
            since_ms: midnight,
            until_ms: midnight + DAY_MS,
            grid: Grid::Day,
            passive_kinds: vec![PASSIVE.to_owned()],
        };
        let (mut compared, mut values) = (0, 0);
        for batch in training_rows(&market, &sets, &request).await {
            let text = |name: &str| {
                cast(batch.column_by_name(name).unwrap(), &DataType::Utf8View).unwrap()
            };
            let (users, items) = (text("user_id"), text("item_id"));
            let times = batch.column_by_name("time_ms").unwrap().as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let user = users.as_string_view().value(row);
                let item = items.as_string_view().value(row);
                let is_live = |(event, late): &(&Event, &bool)| {
                    event.user == user
                        && event.kind != PASSIVE
                        && (event.time_ms >= midnight - DAY_MS || **late)
                };
                let of_user = market.events.iter().zip(&is_late).filter(is_live);
                let live: Vec<LiveEvent<'_>> = of_user.map(|(event, _)| live(event)).collect();
                let found = read(&reader, (user, item, times.value(row)), &live);
                for (name, found) in found {
                    let column = batch.column_by_name(&name).unwrap();
                    let numbers = cast(column, &DataType::Float64).unwrap();
                    let of_row = numbers.as_primitive::<Float64Type>();
                    let expected = of_row.is_valid(row).then(|| of_row.value(row) as f32);
                    let expected = expected.filter(|value| value.is_finite());
                    assert!(is_same(found, expected), "{name}: {found:?}, {expected:?}");
                    values += usize::from(expected.is_some());
                }
                compared += 1;
            }
        }
        assert!(compared > 15 && values > compared * 60, "{compared} rows, {values} values");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_there_are_not_written_again_and_others_are_refused() {
    let market = Market::new(1_500, 7);
    market.put_catalogue().await;
    market.put_events(&market.events).await.unwrap();
    let (sets, folder) = (market.starter().await, tempfile::tempdir().unwrap());
    let afternoon = market.afternoon();
    let publisher = Publisher::open(folder.path(), afternoon).unwrap();
    let refused = publish(&market, &sets[0], &publisher).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
    assert!(refused.to_string().contains("has no values yet"), "{refused}");
    let first = published(&market, &sets, (&publisher, afternoon)).await;
    assert!(first.iter().all(|published| published.is_new), "{first:?}");
    let again = published(&market, &sets, (&publisher, afternoon + 1)).await;
    assert!(again.iter().all(|published| !published.is_new), "{again:?}");
    let as_of = |p: &Published| p.version.split('-').next().unwrap().parse::<i64>().unwrap();
    assert!(again.iter().all(|published| as_of(published) == afternoon + 1), "{again:?}");

    // Another definition: what is in the table is not what it says.
    let text = "-- feature: item_facts\n-- entity: item\n-- class: static\n-- description: D.\n\
                -- column item_price: Price.\nSELECT item_id, price + 1 AS item_price FROM items\n";
    let mine = tempfile::tempdir().unwrap();
    std::fs::write(mine.path().join("item_facts.sql"), text).unwrap();
    let changed = market.checked(&Catalogue::load(mine.path()).unwrap()).await;
    let refused = publish(&market, &changed[0], &publisher).await.unwrap_err();
    assert!(refused.to_string().contains("has been changed since"), "{refused}");
}

/// Texts, truth values and whole numbers of all widths become what requests read.
#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_a_column_is_published() {
    let text = "-- feature: types\n-- entity: item\n-- class: static\n-- description: D.\n\
                -- column a: A.\n-- column b: B.\n-- column c: C.\n-- column d: D.\n\
                -- column e: E.\n-- column f: F.\n\
                SELECT item_id, category AS a, hidden AS b, CAST(created_ms AS BIGINT UNSIGNED) AS c,\n\
                CAST(7 AS SMALLINT) AS d, CAST(NULL AS DOUBLE) AS e,\n\
                1.0 / nullif(price, price) AS f FROM items\n";
    let market = Market::new(500, 8);
    market.put_catalogue().await;
    market.put_events(&market.events).await.unwrap();
    let mine = tempfile::tempdir().unwrap();
    std::fs::write(mine.path().join("types.sql"), text).unwrap();
    let set = &market.checked(&Catalogue::load(mine.path()).unwrap()).await[0];
    let inputs = market.inputs().await;
    build(&market.lake, &market.engine, set, (&inputs, 5)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::open(folder.path(), 5).unwrap();
    publish(&market, set, &publisher).await.unwrap();
    let reader = Follower::new(folder.path()).look(&FeatureReader::default()).unwrap();
    let reader = reader.next.unwrap();
    let mut block = Block::default();
    for item in &market.items {
        let items = [item.item_id.as_str()];
        let asking = Asking { items: &items, ..Asking::default() };
        reader.read(reader.whole(), &asking, &mut block).unwrap();
        let row = block.row(0);
        let category = reader.text(reader.whole(), 0, row[0]);
        assert_eq!(category, item.categories.last().map(String::as_str));
        assert_eq!((row[1], row[3]), (f32::from(u8::from(item.hidden)), 7.0));
        assert_eq!(row[2], item.created_ms as f32);
        assert!(row[4].is_nan() && row[5].is_nan(), "{row:?}");
    }
}
