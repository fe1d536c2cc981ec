//! Queries that would look ahead, mix entities or depend on the clock are refused before they run.

use foretaste_core::ErrorKind;
use foretaste_features::{Catalogue, check};

async fn checked(entity: &str, sql: &str) -> foretaste_core::Result<bool> {
    let text = format!(
        "-- feature: f\n-- entity: {entity}\n-- class: static\n-- description: d\n\
         -- column x: x\n{sql}\n"
    );
    let catalogue = Catalogue::of([("f.sql", text.as_str())].into_iter())?;
    check(&catalogue.sets()[0], None, None).await.map(|set| set.uses_history)
}

async fn refused(sql: &str, expected: &str) {
    let error = checked("user", sql).await.expect_err(sql);
    assert_eq!(error.kind(), ErrorKind::Config, "{sql}");
    let text = error.to_string();
    assert!(text.starts_with("f.sql:6: ") && text.contains(expected), "{sql}: {text}");
}

const PER_USER: &str = "SELECT user_id, as_of, count(*) AS x FROM history GROUP BY user_id, as_of";

#[tokio::test]
async fn what_is_right_passes() {
    assert!(checked("user", PER_USER).await.unwrap());
    let pair = "SELECT user_id, item_id, as_of, max(value) AS x FROM history \
                GROUP BY user_id, item_id, as_of";
    assert!(checked("user_item", pair).await.unwrap());
    assert!(!checked("item", "SELECT item_id, price AS x FROM items").await.unwrap());
    let window = "SELECT user_id, as_of, max(n) AS x FROM (SELECT user_id, as_of, row_number() \
                  OVER (PARTITION BY user_id, as_of ORDER BY time_ms) AS n FROM history) \
                  GROUP BY user_id, as_of";
    assert!(checked("user", window).await.unwrap());
    let join = format!(
        "SELECT a.user_id, a.as_of, a.x + b.x AS x FROM ({PER_USER}) a JOIN ({PER_USER}) b \
         ON a.user_id = b.user_id AND a.as_of = b.as_of"
    );
    assert!(checked("user", &join).await.unwrap());
    let using =
        join.replace("ON a.user_id = b.user_id AND a.as_of = b.as_of", "USING (user_id, as_of)");
    assert!(checked("user", &using).await.unwrap());
}

#[tokio::test]
async fn what_would_look_ahead_or_mix_entities_is_refused() {
    refused("SELECT user_id, count(*) AS x FROM events GROUP BY user_id", "history, items").await;
    let all = "SELECT user_id, max(as_of) AS as_of, count(*) AS x FROM history GROUP BY user_id";
    refused(all, "GROUP BY must name user_id, as_of").await;
    let total = "SELECT h.user_id, h.as_of, t.n AS x FROM history h \
                 CROSS JOIN (SELECT count(*) AS n FROM history) t";
    refused(total, "are joined by user_id, as_of only").await;
    let window = "SELECT user_id, as_of, count(*) OVER (PARTITION BY user_id) AS x FROM history";
    refused(window, "PARTITION BY of every window must name").await;
    let join = format!(
        "SELECT a.user_id, a.as_of, b.x FROM ({PER_USER}) a JOIN ({PER_USER}) b \
         ON a.user_id = b.user_id"
    );
    refused(&join, "are joined by user_id, as_of only").await;
    refused(&format!("{PER_USER} LIMIT 5"), "LIMIT would take").await;
    let scalar = "SELECT user_id, as_of, (SELECT max(value) FROM history) AS x FROM history";
    refused(scalar, "").await;
    let within = "SELECT user_id, as_of, 1 AS x FROM history \
                  WHERE item_id IN (SELECT item_id FROM history)";
    refused(within, "a subquery in an expression cannot look at the history").await;
}

#[tokio::test]
async fn what_depends_on_the_clock_is_refused() {
    let age =
        "SELECT user_id, as_of, min(as_of - time_ms) AS x FROM history GROUP BY user_id, as_of";
    refused(age, "as_of can be selected and grouped by only").await;
    let alias = "SELECT user_id, t AS as_of, min(t) AS x FROM \
                 (SELECT user_id, as_of AS t FROM history) GROUP BY user_id, t";
    refused(alias, "").await;
    let now = "SELECT user_id, as_of, CAST(min(random()) AS DOUBLE) AS x FROM history \
               GROUP BY user_id, as_of";
    refused(now, "random() depends on when it is called").await;
}

#[tokio::test]
async fn what_the_header_does_not_say_is_refused() {
    refused(
        "SELECT user_id, as_of, count(*) AS y FROM history GROUP BY user_id, as_of",
        "the query gives (user_id, as_of, y), the header says (user_id, as_of, x)",
    )
    .await;
    refused("SELEC user_id", "SELEC").await;
    refused("DROP TABLE history", "").await;
    let list =
        "SELECT user_id, as_of, array_agg(item_id) AS x FROM history GROUP BY user_id, as_of";
    refused(list, "column x is a list").await;
}
