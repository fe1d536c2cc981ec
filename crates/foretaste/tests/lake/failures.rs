//! What goes wrong: every message says what, where and what to do, and nothing is lost.

use std::path::Path;
use std::process::Stdio;

use crate::program::disk::SmallDisk;
use crate::program::{Place, text};
use crate::{NOON, json, marketplace};

#[test]
fn commands_without_data() {
    let place = Place::new();
    place.refuses("features build", &["data holds no data", "import"]);
    assert!(!place.path("data").exists(), "a mistake leaves nothing behind");
    let place = marketplace();
    for command in ["check", "rows --output r.parquet", "build --no-sync"] {
        place.refuses(&format!("features {command}"), &["is empty", "`foretaste features sync`"]);
    }
    place.refuses("features build --as-of soon", &["\"soon\" is no time", "2026-06-01"]);
    place.refuses("features build nothing", &["\"nothing\"", "there are: item_activity"]);
    place.refuses("features show nothing", &["\"nothing\"", "there are: item_activity"]);
}

#[test]
fn feature_sets_that_are_wrong_are_named_by_file_and_line() {
    let place = marketplace();
    place.run("features sync");
    fs_err::create_dir(place.path("mine")).unwrap();
    let config = place.file("foretaste.toml", "[features]\nfolder = \"mine\"\n");
    let with = |command: &str| format!("--config {} features {command}", config.display());
    place.refuses(&with("check"), &["mine holds no *.sql file", "features init"]);
    place.file("mine/f.sql", "-- feature: f\n-- entity: house\n");
    place.refuses(&with("check"), &["mine/f.sql:2: entity is \"house\""]);
    let head = "-- feature: f\n-- entity: user\n-- class: static\n-- description: d\n\
                -- column views: Views.\n";
    place.file("mine/f.sql", &format!("{head}SELECT user_id, as_of, nothing FROM history\n"));
    for command in ["check", "build", "rows --output r.parquet"] {
        place.refuses(&with(command), &["mine/f.sql:6", "nothing"]);
    }
    let all =
        "SELECT user_id, max(as_of) AS as_of, count(*) AS views FROM history GROUP BY user_id";
    place.file("mine/f.sql", &format!("{head}{all}\n"));
    place.refuses(&with("build"), &["mine/f.sql:6", "GROUP BY must name user_id, as_of"]);
    assert!(!place.path("data/tables/features_f").exists(), "nothing was computed");
}

#[test]
fn a_bucket_that_cannot_be_asked() {
    let place = marketplace();
    let with = |text: &str| {
        let config = place.file("c.toml", &format!("[lake]\nurl = \"s3://bucket/lake\"\n{text}"));
        format!("--config {} features build", config.display())
    };
    let build = with("access_key_env = \"FORETASTE_TEST_NO_KEY\"\n");
    place.refuses(&build, &["the environment has no FORETASTE_TEST_NO_KEY", "lake.keys_file"]);
    place.file("keys", "only-one\n");
    place.refuses(&with("keys_file = \"keys\"\n"), &["keys must hold two lines"]);
    place.file("keys", "access\nsecret\n");
    // Nobody listens at port 1.
    let nobody = "keys_file = \"keys\"\nendpoint = \"http://127.0.0.1:1\"\n";
    place.refuses(&with(nobody), &["lake.endpoint is http", "lake.allow_http"]);
    let build = with(&format!("{nobody}allow_http = true\n"));
    place.refuses(&build, &["s3://bucket/lake", "is the endpoint right?"]);
    place.file("g.toml", "[lake]\nurl = \"gs://bucket/lake\"\n");
    place.refuses("--config g.toml features build", &["gs:// is not known", "s3://"]);
}

/// Number of files below a folder.
fn files(folder: &Path) -> usize {
    let Ok(entries) = fs_err::read_dir(folder) else { return 0 };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

/// Kills the program as soon as it has written so many files more. True when it was killed.
fn killed_after(place: &Place, args: &str, more: usize) -> bool {
    let tables = place.path("data/tables");
    let end = files(&tables) + more;
    let mut child = place.command(args).stdout(Stdio::null()).spawn().unwrap();
    while files(&tables) < end {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
    }
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

#[test]
fn killed_at_any_file_the_next_build_is_right() {
    // Sets of counts: sums of fractions differ with the order in which they are added.
    let sets = ["user_activity", "item_audience", "user_item"];
    let build = format!("features build --as-of {NOON} {}", sets.join(" "));
    let values =
        |place: &Place, set: &str| place.run(&format!("--json features show {set} --rows 10000"));
    let whole = marketplace();
    whole.run(&build);
    let place = marketplace();
    let mut kills = 0;
    for more in [1, 40, 90, 1, 1, 1, 1, 2, 3] {
        kills += usize::from(killed_after(&place, &build, more));
        let list = place.command("--json features list").output().unwrap();
        assert!(list.status.success(), "after {kills} kills: {}", text(&list.stderr));
    }
    assert!(kills >= 4, "only {kills} builds were killed");
    assert_eq!(json(&place, &build)["synced"]["events"], 20_000);
    let same = |set: &&str| values(&place, set) == values(&whole, set);
    assert_eq!(sets.iter().filter(|set| same(set)).count(), 3, "values of all sets are right");
    place.run("features tidy --keep-hours 0");
    assert_eq!(sets.iter().filter(|set| same(set)).count(), 3, "and tidying leaves them");
}

#[test]
fn a_full_disk_loses_nothing() {
    let place = marketplace();
    let Some(disk) = SmallDisk::mount(place.path("small"), "2m") else { return };
    let config = place.file("c.toml", "[lake]\nurl = \"small/tables\"\n");
    let with = |command: &str| format!("--config {} {command}", config.display());
    place.run(&with("features sync"));
    place.run(&with(&format!("features build --no-sync --as-of {NOON} user_activity")));
    let show = with("--json features show user_activity --rows 1000");
    let values = place.run(&show);
    let filler = disk.0.join("filler");
    // As much as there is: the write ends with an error.
    let _ = fs_err::write(&filler, vec![0; 4 << 20]);
    let build = with("features build --no-sync --as-of 2026-06-01T12:00:00Z user_activity");
    place.refuses(&build, &["small/tables/features_user_activity", "check free space"]);
    assert_eq!(place.run(&show), values, "the values are as they were");
    place.file("late.csv", "user,item,time,kind\nnew,i1,2026-05-31T11:00:00Z,order\n");
    place.run("import late.csv");
    place.refuses(&with("features sync"), &["small/tables/events", "check free space"]);
    fs_err::remove_file(&filler).unwrap();
    assert_eq!(json(&place, &with("features sync"))["events"], 20_001);
    place.run(&build);
}
