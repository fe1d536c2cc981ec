//! What users get wrong: every message says what, where and what to do, and nothing is lost.

use crate::program::{Place, lists};

#[test]
fn files_that_are_not_what_was_said() {
    let place = Place::new();
    place.refuses("import nothing.csv", &["there is no file or folder nothing.csv"]);
    assert!(!place.path("data").exists(), "a mistake leaves nothing behind");
    place.file("e.csv", "uid,sku,ts\nu1,a,1\n");
    place.refuses("import e.csv --map user=nope", &["\"nope\"", "uid, sku, ts"]);
    place.file("bad.csv", "user,item,time\nu1,a,never\nu2,,5\n");
    let said = ["2 of 2 rows are bad", "nothing was imported", "data/quarantine/"];
    place.refuses("import bad.csv", &said);
    let kept = fs_err::read_dir(place.path("data/quarantine")).unwrap().next().unwrap().unwrap();
    let kept = fs_err::read_to_string(kept.path()).unwrap();
    assert!(kept.contains("never") && kept.contains("bad_time"), "{kept}");
}

#[test]
fn commands_without_their_data() {
    let place = Place::new();
    place.refuses("train", &["data holds no data", "import"]);
    place.file("t.txt", &lists(20));
    place.run("import --format lists t.txt");
    for command in ["recommend u1", "recommend --all-users --output o.txt", "evaluate --bundle x"] {
        let error = place.fail(command);
        assert!(error.starts_with("foretaste: ") || error.starts_with("error: "), "{error}");
    }
    place.refuses("recommend u1", &["train"]);
    place.refuses("train --profile quick", &["quick", "fast", "accurate"]);
}

#[test]
fn settings_that_do_not_exist() {
    let place = Place::new();
    place.file("c.toml", "[serve]\nlistne = 3\n[train]\nthreads = \"two\"\n");
    let said = ["2 problem", "serve.listne", "did you mean `listen`", "train.threads"];
    place.refuses("--config c.toml train", &said);
}

#[test]
fn databases_that_are_not_there() {
    let place = Place::new();
    place.refuses("extract --once", &["no [[source]]", "docs/extraction.md"]);
    let table = "table = \"t\"\nentity = \"events\"\nkind = \"view\"\nid = [\"id\"]\n\
                 watermark = \"w\"\nfields = { user = \"u\", item = \"i\", time = \"t\" }\n";
    let of = |url: &str| format!("[[source]]\nname = \"x\"\n{url}\n[[source.tables]]\n{table}");
    place.file("env.toml", &of("url_env = \"FORETASTE_TEST_NO_SUCH_URL\""));
    place.refuses("--config env.toml extract --once", &["FORETASTE_TEST_NO_SUCH_URL", "set it"]);
    place.file("url", "mysql://root@127.0.0.1:1/x");
    place.file("file.toml", &of("url_file = \"url\""));
    let said = ["x/t", "cannot be reached"];
    place.refuses("--config file.toml extract --once", &said);
}
