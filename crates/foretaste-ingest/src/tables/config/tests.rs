use super::*;

const GOOD: &str = r#"
name = "shop"
url_env = "SHOP_URL"
[[tables]]
table = "order_tab"
entity = "events"
kind = "order"
id = ["id"]
watermark = "updated_at"
where = { site = 1 }
joins = [{ table = "skus", as = "sku", on = { id = "sku_id" } }]
[tables.fields]
user = { coalesce = ["user_id", { hex = "visitor" }] }
item = "sku.name"
time = "created_at"
value = { case = "state", when = { "2" = "3.5" }, else = "1" }
scene = { const = "shop" }
"#;

fn source(text: &str) -> SourceConfig {
    toml::from_str(text).unwrap()
}

#[test]
fn a_source_is_read_with_its_expressions() {
    let source = source(GOOD);
    source.check().unwrap();
    let table = &source.tables[0];
    assert_eq!((table.lookback_s, table.settle_s, table.batch_rows), (600, 2, 5_000));
    assert_eq!(table.fields["user"].columns(), ["user_id", "visitor"]);
    assert!(matches!(&table.fields["value"], Field::Case(case) if case.when["2"] == "3.5"));
    assert_eq!(table.filter["site"], Condition::Is(Scalar::Integer(1)));
}

#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from), "{from}");
    let error = source(&GOOD.replace(from, to)).check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn what_is_wrong_is_named() {
    check("\"shop\"\nurl", "\"my shop\"\nurl", "`name` must be");
    check("url_env = \"SHOP_URL\"", "", "give `url_env` or `url_file`");
    check("\"events\"", "\"things\"", "use events, items or users");
    check("item = ", "things = ", "lacks `item`");
    check("scene = ", "place = ", "no field `place`");
    check("kind = \"order\"", "", "give `kind` or a field `kind`");
    check("[\"id\"]", "[]", "names no column");
    check("kind = \"order\"", "kind = \"order\"\nbatch_rows = 10001", "batch_rows");
}

#[test]
fn names_that_are_none_never_reach_the_database() {
    let bad = ["users; DROP TABLE x", "a`b", "a\\\"b", "a\\u0000", "\\u0430bc", "a.b.c", "", "1a"];
    for name in bad {
        check("\"order_tab\"", &format!("\"{name}\""), "is no name");
        check("\"created_at\"", &format!("\"{name}\""), "is no name");
        check("\"updated_at\"", &format!("\"{name}\""), "is no name");
        check("{ site = 1 }", &format!("{{ \"{name}\" = 1 }}"), "is no name");
        check("{ hex = \"visitor\" }", &format!("{{ hex = \"{name}\" }}"), "is no name");
    }
}
