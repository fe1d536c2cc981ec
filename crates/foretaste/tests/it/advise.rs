//! `foretaste advise` as it is typed.

use serde_json::Value;

use crate::program::Program;
use crate::servers::{Kind, Server};

const SHOP: &str = r#"
[[source]]
name = "shop"
url_env = "FORETASTE_TEST_SHOP"
[[source.tables]]
table = "ev"
entity = "events"
kind = "order"
id = ["id"]
watermark = "ts"
batch_rows = 2
fields = { user = "who", item = "sku", time = "ts" }
"#;

#[test]
fn it_names_the_index_builds_it_and_is_silent_then() {
    let Some(server) = Server::start(Kind::MariaDb) else { return };
    server.create_ev();
    server.run("DROP INDEX ev_ts ON ev");
    let at = server.now(-90);
    server.run(&format!("INSERT INTO ev (ts) VALUES ({at}), ({at}), ({at})"));
    let program = Program::new(&server.url, SHOP);
    let text = program.run("advise");
    let ddl = "ALTER TABLE `ev` ADD INDEX `foretaste_ev_ts_id` (`ts`, `id`), \
               ALGORITHM=INPLACE, LOCK=NONE";
    assert!(text.contains(ddl), "{text}");
    assert!(!text.contains("root@"), "{text}");
    let applied: Value =
        serde_json::from_str(&program.run("--json advise shop --apply --probe-writes")).unwrap();
    let index = &applied[0]["indexes"][0];
    assert_eq!(index["ddl"], ddl);
    assert!(index["applied"]["seconds"].is_f64(), "{index}");
    assert_eq!(index["applied"]["writer"]["after"]["writes"], 50);
    assert!(program.run("advise").contains("nothing to change"));
}
