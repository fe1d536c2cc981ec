//! No training row sees an event at or after its own time.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Int64Type};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use foretaste_core::moment::{Candidate, NAMES, Step, features};
use foretaste_core::{Event, Rng};
use foretaste_features::{Checked, Grid, RowsRequest, build, rows};

use crate::market::{Market, Values, assert_same, read};

pub async fn training_rows(
    market: &Market,
    sets: &[Checked],
    request: &RowsRequest,
) -> Vec<RecordBatch> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let inputs = market.inputs().await;
    let done = rows(&market.engine, &inputs, sets, (request, &path)).await.unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let found = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let found: Vec<RecordBatch> = found.map(Result::unwrap).collect();
    assert_eq!(found.iter().map(|b| b.num_rows() as u64).sum::<u64>(), done.rows);
    assert!(done.features >= 70);
    found
}

/// The rows before a time, as text, in order.
fn text(found: &[RecordBatch], before: i64) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in found {
        let columns: Vec<_> =
            batch.columns().iter().map(|c| cast(c, &DataType::Utf8).unwrap()).collect();
        let time = batch.schema().index_of("time_ms").unwrap();
        for row in 0..batch.num_rows() {
            let value = |at: usize| {
                let column = columns[at].as_string::<i32>();
                if column.is_null(row) { "-" } else { column.value(row) }
            };
            if value(time).parse::<i64>().unwrap() < before {
                lines.push((0..columns.len()).map(value).collect::<Vec<_>>().join(" "));
            }
        }
    }
    lines
}

fn request(until_ms: i64, grid: Grid) -> RowsRequest {
    let events = Some("kind IN ('click', 'order')".to_owned());
    let passive_kinds = vec!["impression".to_owned()];
    RowsRequest { events, since_ms: 0, until_ms, grid, passive_kinds }
}

/// Cuts, shuffles and invents the future of a random time; no row before it changes.
#[tokio::test(flavor = "multi_thread")]
async fn the_future_changes_no_row() {
    for (seed, grid) in [(1, Grid::Event), (2, Grid::Hour), (3, Grid::Day)] {
        let market = Market::new(2_500, seed);
        market.put_catalogue().await;
        market.put_events(&market.events).await.unwrap();
        let sets = market.starter().await;
        let mut rng = Rng::stream(seed, 9);
        let middle = market.events.len() / 2 + rng.below(market.events.len() / 4);
        let now = market.events[middle].time_ms;
        let expected = text(&training_rows(&market, &sets, &request(i64::MAX, grid)).await, now);
        assert!(expected.len() > 100, "{}", expected.len());
        let past = || market.events.iter().filter(|e| e.time_ms < now).cloned();
        let mut other: Vec<Event> = past().collect();
        let future: Vec<&Event> = market.events.iter().filter(|e| e.time_ms >= now).collect();
        for event in &future {
            let stranger = future[rng.below(future.len())];
            let time_ms = now + rng.below(20 * 86_400_000) as i64;
            let (item, kind) = (stranger.item.clone(), stranger.kind.clone());
            other.push(Event { item, kind, time_ms, ..(*event).clone() });
        }
        for events in [past().collect(), other] {
            market.put_events(&events).await.unwrap();
            let found = training_rows(&market, &sets, &request(now, grid)).await;
            let found = text(&found, now);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(close(found), close(expected), "{grid:?}");
            }
        }
    }
}

/// Sums of fractions depend on the order of addition in their last digits.
fn close(line: &str) -> Vec<String> {
    let rounded = |word: &str| match word.parse::<f64>() {
        Ok(number) if word.contains('.') => format!("{number:.9e}"),
        _ => word.to_owned(),
    };
    line.split(' ').map(rounded).collect()
}

/// The row of an event holds exactly what a build as of its time computes.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_holds_what_a_build_at_its_time_gives() {
    let market = Market::new(3_000, 4);
    market.put_catalogue().await;
    market.put_events(&market.events).await.unwrap();
    let (sets, inputs) = (market.starter().await, market.inputs().await);
    let found = training_rows(&market, &sets, &request(i64::MAX, Grid::Event)).await;
    let at = found.last().unwrap();
    let row = at.slice(at.num_rows() - 1, 1);
    let as_of = row.column_by_name("time_ms").unwrap();
    let as_of = as_of.as_primitive::<Int64Type>().value(0);
    for set in &sets {
        build(&market.lake, &market.engine, set, (&inputs, as_of)).await.unwrap();
        let built = market.values(set).await;
        let mut of_row = read(std::slice::from_ref(&row), set.definition.entity);
        let (key, columns) = of_row.pop_first().unwrap();
        let names: Vec<&str> = set.definition.columns.iter().map(|c| c.name.as_str()).collect();
        let columns = columns.into_iter().filter(|(name, _)| names.contains(&name.as_str()));
        let columns: Values = [(key.clone(), columns.collect())].into();
        let expected = built.get(&key).cloned().unwrap_or_default();
        assert_same(&columns, &[(key, expected)].into(), &set.definition.name);
    }
}

/// The features of the moment are those that a request with the same past would get.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_holds_the_moment_that_a_request_would_see() {
    let market = Market::new(3_000, 6);
    market.put_catalogue().await;
    market.put_events(&market.events).await.unwrap();
    let sets = market.starter().await;
    let found = training_rows(&market, &sets, &request(i64::MAX, Grid::Day)).await;
    let item = |id: &str| market.items.iter().find(|item| item.item_id == id).unwrap();
    let category = |id: &str| item(id).categories.last().cloned();
    let mut checked = 0;
    for batch in &found {
        let text = |name: &str| cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
        let (users, items, times) = (text("user_id"), text("item_id"), text("time_ms"));
        let of = |column: &ArrayRef, row: usize| column.as_string::<i32>().value(row).to_owned();
        for row in (0..batch.num_rows()).step_by(3) {
            let (user, candidate) = (of(&users, row), of(&items, row));
            let now: i64 = of(&times, row).parse().unwrap();
            let mut past: Vec<&Event> = market
                .events
                .iter()
                .filter(|e| e.user == user && e.kind != "impression" && e.time_ms < now)
                .collect();
            past.sort_by_key(|event| event.time_ms);
            let step = |e: &&Event| Step {
                time_ms: e.time_ms,
                item: e.item.clone(),
                category: category(&e.item),
            };
            let steps: Vec<Step<String>> = past.iter().map(step).collect();
            let created_ms = item(&candidate).created_ms;
            let candidate =
                Candidate { category: category(&candidate), item: candidate, created_ms };
            for (name, expected) in NAMES.iter().zip(features(now, &steps, &candidate)) {
                let column = batch.column_by_name(name).unwrap().as_primitive::<Float32Type>();
                let value = column.is_valid(row).then(|| column.value(row));
                assert_eq!(value, expected, "{name} of {user} at {now}");
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_leave_no_file() {
    let market = Market::new(500, 1);
    market.put_catalogue().await;
    market.put_events(&market.events).await.unwrap();
    let (sets, inputs) = (market.starter().await, market.inputs().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let check = async |condition: &str, expected: &str| {
        let request =
            RowsRequest { events: Some(condition.to_owned()), ..request(i64::MAX, Grid::Day) };
        let done = rows(&market.engine, &inputs, &sets, (&request, &path)).await;
        let error = done.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    };
    check("kind = 'nothing'", "no event is chosen").await;
    check("colour = 'red'", "colour").await;
    check("kind = ", "training rows").await;
}
