//! Events and catalogue into the lake: only what has changed, and all that has.

use std::collections::HashSet;

use foretaste_core::Event;
use foretaste_features::table::DAY_MS;

use crate::market::Market;

async fn keys(market: &Market) -> Vec<(String, String, i64, String)> {
    let inputs = market.inputs().await;
    let session = market.engine.session(&[("e", &inputs.events)]).unwrap();
    let sql = "SELECT CAST(user_id AS VARCHAR), CAST(item_id AS VARCHAR), time_ms, \
               CAST(kind AS VARCHAR) FROM e";
    let found = session.sql(sql).await.unwrap().collect().await.unwrap();
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::{DataType, Int64Type};
    let mut keys = Vec::new();
    for batch in &found {
        let text = |at: usize| cast(batch.column(at), &DataType::Utf8).unwrap();
        let (users, items, kinds) = (text(0), text(1), text(3));
        let times = batch.column(2).as_primitive::<Int64Type>();
        keys.extend((0..batch.num_rows()).map(|row| {
            let of =
                |a: &datafusion::arrow::array::ArrayRef| a.as_string::<i32>().value(row).to_owned();
            (of(&users), of(&items), times.value(row), of(&kinds))
        }));
    }
    keys.sort_unstable();
    keys
}

fn expected(events: &[Event]) -> Vec<(String, String, i64, String)> {
    let mut seen = HashSet::new();
    let first = events.iter().filter(|event| seen.insert(event.key()));
    let key = |e: &Event| (e.user.clone(), e.item.clone(), e.time_ms, e.kind.clone());
    let mut keys: Vec<_> = first.map(key).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn the_lake_follows_the_store_day_by_day() {
    let market = Market::new(5_000, 1);
    let mut events = market.events.clone();
    events.extend_from_slice(&market.events[100..200]); // read twice by an interrupted extraction
    let first = market.put_events(&events).await.unwrap();
    assert_eq!((first.days, first.total), (40, expected(&events).len() as u64));
    assert_eq!(keys(&market).await, expected(&events));
    let nothing = market.put_events(&events).await.unwrap();
    assert_eq!((nothing.days, nothing.rows, nothing.total), (0, 0, first.total));
    let late = Event { time_ms: events[0].time_ms + 1, ..events[0].clone() };
    events.push(late);
    assert_eq!(market.put_events(&events).await.unwrap().days, 1);
    assert_eq!(keys(&market).await, expected(&events));
    let gone = events[0].user.clone();
    events.retain(|event| event.user != gone);
    market.put_events(&events).await.unwrap();
    assert_eq!(keys(&market).await, expected(&events));
    let day = events[0].time_ms.div_euclid(DAY_MS);
    events.retain(|event| event.time_ms.div_euclid(DAY_MS) != day);
    assert_eq!(market.put_events(&events).await.unwrap().days, 1);
    assert_eq!(keys(&market).await, expected(&events));
}

#[tokio::test]
async fn a_catalogue_is_written_when_it_has_changed() {
    let market = Market::new(100, 1);
    market.put_catalogue().await;
    let again = market.lake.put_items(&market.items).await.unwrap();
    assert_eq!((again.rows, again.changed), (40, false));
    let mut items = market.items.clone();
    items[3].attributes.insert("colour".to_owned(), "red".to_owned());
    items.pop();
    let put = market.lake.put_items(&items).await.unwrap();
    assert_eq!((put.rows, put.changed), (39, true));
    let inputs = market.inputs().await;
    assert!(inputs.items.columns().get("attr_colour").is_some_and(|c| c.nullable));
    assert!(inputs.users.columns().get("attr_plan").is_some());
}
