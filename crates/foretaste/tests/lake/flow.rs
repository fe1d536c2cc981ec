//! From a store to values and training rows.

use serde_json::Value;

use crate::program::Place;
use crate::{NOON, json, marketplace};

/// `features build` of the sets in the folder `mine`.
#[track_caller]
fn build(place: &Place, args: &str) -> Value {
    json(place, &format!("--config foretaste.toml features build {args}"))
}

#[test]
fn values_follow_the_store_and_say_how_much_was_computed() {
    let place = marketplace();
    place.run("features init mine");
    assert!(place.fail("features init mine").contains("is there already"));
    place.file("foretaste.toml", "[features]\nfolder = \"mine\"\n");
    let first = build(&place, &format!("--as-of {NOON}"));
    let synced = &first["synced"];
    assert_eq!((&synced["events"], &synced["items"]), (&20_000.into(), &30.into()), "{first}");
    let sets = first["sets"].as_array().unwrap();
    assert_eq!(sets.len(), 10);
    assert!(sets.iter().all(|s| s["mode"]["full"] == "there are no values yet"), "{first}");

    // One event more, of a user that nobody knew.
    place.file("late.csv", "user,item,time,kind\nnew,i1,2026-05-31T11:00:00Z,order\n");
    place.run("import late.csv");
    let again = build(&place, &format!("--as-of {NOON} item_facts user_activity"));
    assert_eq!(again["synced"]["days_written"], 1, "{again}");
    let (facts, activity) = (&again["sets"][0], &again["sets"][1]);
    assert_eq!(facts["mode"], "unchanged", "items are as they were: {again}");
    let touched = activity["mode"]["update"].as_u64().unwrap();
    let rows = activity["rows"].as_u64().unwrap();
    assert!((1..rows).contains(&touched), "only users of that day are computed anew: {again}");
    let words = place.run(&format!("features build --as-of {NOON} user_activity"));
    assert!(words.contains("no day had changed") && words.contains("unchanged"), "{words}");

    let whole = marketplace();
    whole.file("late.csv", "user,item,time,kind\nnew,i1,2026-05-31T11:00:00Z,order\n");
    whole.run("import late.csv");
    whole.run(&format!("features build --as-of {NOON} user_activity"));
    let values = "--json features show user_activity --rows 1000";
    assert_eq!(place.run(values), whole.run(values), "an update gives what a full build gives");
}

#[test]
fn what_is_due_is_known_by_its_ttl() {
    let place = marketplace();
    place.run(&format!("features build --as-of {NOON}"));
    let due = json(&place, "features build --due --as-of 2026-05-31T13:00:00Z");
    let sets = due["sets"].as_array().unwrap().iter();
    let names: Vec<&str> = sets.map(|s| s["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"user_activity") && !names.contains(&"user_habits"), "{names:?}");
    let list = place.run("features list");
    assert!(list.contains("rows as of 2026-05-31T13:00:00"), "{list}");
    assert!(list.contains("rows as of 2026-05-31T12:00:00"), "{list}");
}

#[test]
fn old_events_are_pointed_out() {
    let place = marketplace();
    let said = place.run("features build --as-of 2027-01-01 user_activity");
    assert!(said.contains("0 rows") && said.contains("--as-of latest"), "{said}");
    let latest = json(&place, "features build --no-sync --as-of latest user_activity");
    assert!(latest["sets"][0]["rows"].as_u64().unwrap() > 50, "{latest}");
    assert!(latest["synced"].is_null(), "{latest}");
}

#[test]
fn training_rows_and_pairs_come_from_the_lake() {
    let place = marketplace();
    let synced = json(&place, "features sync");
    assert_eq!((&synced["days_written"], &synced["events"]), (&90.into(), &20_000.into()));
    assert_eq!(json(&place, "features sync")["days_written"], 0);
    assert!(place.run("features check").contains("10 feature sets with 89 columns are right"));
    let rows = "--output rows.parquet --since 2026-05-20 --as-of-each day user_taste item_trend";
    let rows = json(&place, &format!("features rows --where kind='order' {rows}"));
    assert!(rows["rows"].as_u64().unwrap() > 10 && rows["features"] == 28, "{rows}");
    assert!(place.path("rows.parquet").exists());
    assert!(json(&place, "features pairs --k 5")["rows"].as_u64().unwrap() > 30);
    let tidied = json(&place, "features tidy --keep-hours 0");
    let tables: Vec<&str> =
        tidied.as_array().unwrap().iter().map(|t| t["table"].as_str().unwrap()).collect();
    assert_eq!(tables, ["events", "item_pairs", "items", "users"]);
    assert_eq!(json(&place, "features sync")["days_written"], 0, "tidying loses nothing");
}

#[test]
fn a_set_is_shown_with_its_columns_and_values() {
    let place = marketplace();
    let before = place.run("features show item_activity");
    assert!(before.contains("no values yet") && before.contains("item_views_30d"), "{before}");
    place.run("features build --as-of latest item_activity");
    let shown = json(&place, "features show item_activity --rows 3");
    assert_eq!(shown["rows"].as_array().unwrap().len(), 3);
    assert!(shown["rows"][0]["item_views_30d"].as_f64().unwrap() > 0.0, "{shown}");
    assert!(place.run("features show now").contains("now_session_items"));
}
