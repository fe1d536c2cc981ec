//! Pairs of items in SQL are those of the trainer's kernel.

use std::collections::BTreeMap;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use foretaste_core::{Csr, IdTable};
use foretaste_features::{PairsRequest, pairs};
use foretaste_train::item_item::{ItemItemConfig, Weighting, fit};

use crate::market::Market;

type Pairs = BTreeMap<(String, String), i64>;

async fn by_sql(market: &Market, request: &PairsRequest) -> Pairs {
    let inputs = market.inputs().await;
    let rows = pairs(&market.lake, &market.engine, (&inputs, request)).await.unwrap();
    let state = market.lake.table("item_pairs").unwrap().state().await.unwrap();
    let session = market.engine.session(&[("p", &state)]).unwrap();
    let found = session.sql("SELECT * FROM p").await.unwrap().collect().await.unwrap();
    let mut all = Pairs::new();
    for batch in &found {
        let text = |at: usize| cast(batch.column(at), &DataType::Utf8).unwrap();
        let (items, others) = (text(0), text(1));
        let users = batch.column(2).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let of = |column: &datafusion::arrow::array::ArrayRef| {
                column.as_string::<i32>().value(row).to_owned()
            };
            all.insert((of(&items), of(&others)), users.value(row));
        }
    }
    assert_eq!(all.len() as u64, rows);
    all
}

fn by_kernel(market: &Market, until_ms: i64) -> Pairs {
    let (mut users, mut items) = (IdTable::default(), IdTable::default());
    let mut rows: BTreeMap<u32, BTreeMap<u32, f32>> = BTreeMap::new();
    for event in &market.events {
        if event.kind != "impression" && event.time_ms < until_ms {
            let item = items.intern(&event.item);
            rows.entry(users.intern(&event.user)).or_default().insert(item, 1.0);
        }
    }
    let rows = rows.into_values().map(|row| row.into_iter().collect::<Vec<_>>());
    let matrix = Csr::from_rows(items.len(), rows);
    let config = ItemItemConfig { weighting: Weighting::Cooccurrence, ..Default::default() };
    let found = fit(&matrix, &config);
    let row = |item: usize| {
        let (others, counts) = found.row(item);
        let pairs: Vec<_> = others.iter().zip(counts).map(|(&o, &n)| (o, n)).collect();
        pairs.into_iter().map(move |(other, n)| (item as u32, other, n))
    };
    let name = |item: u32| items.get(item).to_owned();
    (0..items.len()).flat_map(row).map(|(a, b, n)| ((name(a), name(b)), n as i64)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_and_kernel_count_the_same_users() {
    let market = Market::new(6_000, 8);
    market.put_events(&market.events).await.unwrap();
    let request = PairsRequest {
        until_ms: market.afternoon(),
        passive_kinds: vec!["impression".to_owned()],
        max_user_items: 1_000,
        k: 400,
    };
    let found = by_sql(&market, &request).await;
    assert_eq!(found, by_kernel(&market, request.until_ms));
    assert!(found.len() > 500, "{}", found.len());
    let few = PairsRequest { k: 3, max_user_items: 5, ..request };
    let few = by_sql(&market, &few).await;
    let mut of_item: BTreeMap<&str, usize> = BTreeMap::new();
    few.keys().for_each(|(item, _)| *of_item.entry(item).or_default() += 1);
    assert_eq!(of_item.values().max(), Some(&3));
    assert!(few.iter().all(|(pair, users)| found[pair] >= *users));
}
