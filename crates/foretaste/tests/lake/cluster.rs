//! A scheduler and executors as processes of their own: what they compute is what one process does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use foretaste_features::{Engine, EngineConfig, FeatureLake};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::program::{Place, text};
use crate::s3::S3;
use crate::{NOON, json, marketplace};

/// A part of a cluster; killed with SIGKILL when it goes out of scope.
struct Part(Child);

impl Part {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Tells it to stop, and waits for its exit code.
    fn stop(&mut self) -> Option<i32> {
        let told = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(told.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two ports one after the other that nobody listens at.
fn ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

struct Cluster {
    scheduler: Part,
    executors: Vec<Part>,
    port: u16,
}

/// Starts a part: `foretaste --config CONFIG cluster ARGS`. Its log goes to `name.log`, and what it
/// keeps into the folder `name`, for the test to look at.
fn start(place: &Place, name: &str, args: &str) -> Part {
    let log = fs_err::File::create(place.path(&format!("{name}.log"))).unwrap().into_parts().0;
    let mut command = place.command(args);
    command.env("FORETASTE__FEATURES__ENGINE__SPILL_DIR", place.path(name));
    Part(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

fn log(place: &Place, name: &str) -> String {
    fs_err::read_to_string(place.path(&format!("{name}.log"))).unwrap()
}

fn executor(place: &Place, name: &str) -> Part {
    let listen = format!("cluster executor --listen 127.0.0.1:{}", ports());
    start(place, name, &format!("--config cluster.toml {listen}"))
}

impl Cluster {
    /// A scheduler and two executors over the lake of `place`, and `cluster.toml` for clients.
    fn start(place: &Place) -> Self {
        let port = ports();
        let engine = format!("cluster = \"df://127.0.0.1:{port}\"\nparts = 4\nthreads = 2\n");
        place.file("cluster.toml", &format!("[features.engine]\n{engine}"));
        let listen = format!("--listen 127.0.0.1:{port} --executor-timeout 5");
        let scheduler = start(place, "scheduler", &format!("cluster scheduler {listen}"));
        let executors = vec![executor(place, "one"), executor(place, "two")];
        let cluster = Self { scheduler, executors, port };
        cluster.wait_for(place, 2);
        cluster
    }

    fn readiness(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: it\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Until so many executors are there.
    #[track_caller]
    fn wait_for(&self, place: &Place, executors: usize) {
        let expected = format!("ready: {executors} executors");
        for _ in 0..600 {
            if self.readiness().is_ok_and(|answer| answer.contains(&expected)) {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("{:?}\n{}", self.readiness(), log(place, "scheduler"));
    }
}

/// A command whose queries go to the cluster.
fn there(command: &str) -> String {
    format!("--config cluster.toml features {command}")
}

/// Rows of a set, with fractions as close as another order of addition leaves them.
#[track_caller]
fn assert_same(found: &Value, expected: &Value, what: &str) {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{what}: {a}, expected {b}");
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{what}");
            a.iter().zip(b).enumerate().for_each(|(at, (a, b))| {
                assert_same(a, b, &format!("{what}, {at}"));
            });
        }
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{what}");
            a.iter().for_each(|(key, a)| assert_same(a, &b[key], &format!("{what}, {key}")));
        }
        _ => assert_eq!(found, expected, "{what}"),
    }
}

/// All sets of the starter, by name.
fn names(place: &Place) -> Vec<String> {
    let list = json(place, "features list");
    let names = list.as_array().unwrap().iter().map(|l| l["set"]["name"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

fn values(place: &Place, set: &str) -> Value {
    json(place, &format!("features show {set} --rows 10000"))["rows"].clone()
}

/// An engine of this process over the lake of a place, to look at tables with.
fn engine(place: &Place) -> (FeatureLake, Engine) {
    let lake = foretaste_features::Place::folder(&place.path("data/tables")).unwrap();
    let engine = Engine::new(&lake, &EngineConfig::default()).unwrap();
    (FeatureLake::new(&lake), engine)
}

fn pairs(place: &Place) -> Value {
    let (lake, engine) = engine(place);
    let rows = async {
        let state = lake.table("item_pairs").unwrap().state().await.unwrap();
        engine.first_rows(&state, 10_000).await.unwrap()
    };
    let rows = Runtime::new().unwrap().block_on(rows);
    assert!(rows.len() > 100, "{}", rows.len());
    rows.into()
}

/// The rows of a Parquet file, each a list of numbers and texts.
fn parquet(place: &Place, name: &str) -> Value {
    let session = engine(place).1.session(&[]).unwrap();
    let path = place.path(name).display().to_string();
    let read = async {
        let frame = session.read_parquet(path, Default::default()).await.unwrap();
        frame.to_string().await.unwrap()
    };
    let table = Runtime::new().unwrap().block_on(read);
    let cell = |text: &str| text.trim().parse::<f64>().map_or_else(|_| text.into(), Value::from);
    let row = |line: &str| line.split('|').map(cell).collect::<Value>();
    table.lines().filter(|line| line.starts_with('|')).map(row).collect()
}

/// Number of files below a folder that are larger than a lock.
fn files(folder: &Path) -> usize {
    let Ok(entries) = fs_err::read_dir(folder) else { return 0 };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let of = |path: PathBuf| match path.metadata() {
        Ok(meta) if meta.is_dir() => files(&path),
        Ok(meta) => usize::from(meta.len() > 0),
        Err(_) => 0,
    };
    paths.map(of).sum()
}

/// One more event, of a user that nobody knew.
fn one_more(place: &Place) {
    place.file("late.csv", "user,item,time,kind\nnew,i1,2026-05-31T11:00:00Z,order\n");
    place.run("import late.csv");
}

const ROWS: &str = "--since 2026-05-25 --where kind='order'";

#[test]
fn a_cluster_computes_what_one_process_does() {
    let (here, place) = (marketplace(), marketplace());
    here.run("features sync");
    place.run("features sync");
    let mut cluster = Cluster::start(&place);
    let build = format!("build --as-of {NOON}");
    here.run(&format!("features {build}"));
    let built = json(&place, &there(&build));
    assert_eq!(built["sets"].as_array().unwrap().len(), 10, "{built}");
    let sets = names(&place);
    let same = |what: &str| {
        for set in &sets {
            let expected = values(&here, set);
            assert!(expected.as_array().unwrap().len() > 20, "{set}");
            assert_same(&values(&place, set), &expected, &format!("{what}: {set}"));
        }
    };
    same("full");
    one_more(&here);
    one_more(&place);
    here.run(&format!("features {build}"));
    let built = json(&place, &there(&build));
    let updated = built["sets"].as_array().unwrap().iter();
    let updated = updated.filter(|set| set["mode"]["update"].as_u64().is_some_and(|n| n > 0));
    assert_eq!(updated.count(), 9, "all sets with a history: {built}");
    same("updated");

    here.run("features pairs --k 5");
    place.run(&there("pairs --k 5"));
    here.run(&format!("features rows --output rows.parquet {ROWS}"));
    let rows = json(&place, &there(&format!("rows --output rows.parquet {ROWS}")));
    assert!(rows["rows"].as_u64().unwrap() > 10, "{rows}");
    assert_same(&parquet(&place, "rows.parquet"), &parquet(&here, "rows.parquet"), "rows");
    assert_same(&pairs(&place), &pairs(&here), "pairs");
    let shown = json(&place, &there("show user_taste --rows 7"));
    assert_same(&shown["rows"], &json(&here, "features show user_taste --rows 7")["rows"], "shown");
    assert!(place.run(&there("check")).contains("10 feature sets"));

    // What the executors did lies in their folders while they run, and not any longer.
    assert!(files(&place.path("one")) + files(&place.path("two")) > 2, "executors did the work");
    assert_eq!(cluster.executors[0].stop(), Some(0), "{}", log(&place, "one"));
    assert_eq!(files(&place.path("one")), 0);
    assert_eq!(cluster.scheduler.stop(), Some(0), "{}", log(&place, "scheduler"));
    let code = cluster.executors[1].0.wait().unwrap().code();
    assert_eq!(code, Some(1), "an executor says that its scheduler went away");
    assert!(log(&place, "two").contains("went away"), "{}", log(&place, "two"));
}

#[test]
fn an_executor_that_is_killed_in_the_middle_changes_nothing() {
    let place = Place::new();
    place.run("generate --users 2000 --items 300 --events 400000 --output market");
    place.run("import market");
    place.run("features sync");
    let count = format!("build --no-sync --as-of {NOON} user_item");
    place.run(&format!("features {count}"));
    let expected = values(&place, "user_item");
    fs_err::remove_dir_all(place.path("data/tables/features_user_item")).unwrap();
    let mut cluster = Cluster::start(&place);
    let mut command = place.command(&there(&count));
    let mut building = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Its part of the first stage is done, and the second reads it.
    while files(&place.path("one")) == 0 {
        assert!(building.try_wait().unwrap().is_none(), "it ended before it could be disturbed");
        sleep(Duration::from_millis(5));
    }
    cluster.executors[0].kill();
    assert!(building.try_wait().unwrap().is_none(), "it ended before it could be disturbed");
    let done = building.wait_with_output().unwrap();
    assert!(done.status.success(), "{}\n{}", text(&done.stderr), log(&place, "scheduler"));
    assert_same(&values(&place, "user_item"), &expected, "after the loss of an executor");

    // What it left goes with the next one there.
    assert!(files(&place.path("one")) > 0);
    cluster.executors[0] = executor(&place, "one");
    cluster.wait_for(&place, 2);
    assert_eq!(files(&place.path("one")), 0);
}

#[test]
fn a_cluster_that_is_not_there_is_named() {
    let place = marketplace();
    place.run("features sync");
    let nobody = ports();
    let with = |port: u16, command: &str| {
        let engine = format!("[features.engine]\ncluster = \"df://127.0.0.1:{port}\"\n");
        place.file("cluster.toml", &engine);
        format!("--config cluster.toml {command}")
    };
    let build = "features build --no-sync --as-of latest user_activity";
    let said = ["no scheduler answers at df://127.0.0.1", "`foretaste cluster scheduler`"];
    place.refuses(&with(nobody, build), &said);
    place.refuses(&with(nobody, "cluster executor --listen 127.0.0.1:0"), &["and the next one"]);
    place.file("odd.toml", "[features.engine]\ncluster = \"http://127.0.0.1:1\"\n");
    place.refuses(&format!("--config odd.toml {build}"), &["write df://host:50050"]);

    let port = ports();
    let listen = format!("cluster scheduler --listen 127.0.0.1:{port}");
    let scheduler = start(&place, "scheduler", &listen);
    let cluster = Cluster { scheduler, executors: Vec::new(), port };
    while cluster.readiness().is_err() {
        sleep(Duration::from_millis(50));
    }
    place.refuses(&with(port, build), &["has no executors", "`foretaste cluster executor`"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("cluster executor --listen {}", taken.local_addr().unwrap());
    place.refuses(&with(port, &taken), &["cannot listen on", "is it taken?"]);
    let engine = format!("[features.engine]\ncluster = \"df://127.0.0.1:{port}\"\n");
    place.file("other.toml", &format!("[lake]\nurl = \"other\"\n{engine}"));
    let other = format!("--config other.toml cluster executor --listen 127.0.0.1:{}", ports());
    place.refuses(&other, &["there is no lake at other", "lake.url"]);
    place.refuses("cluster executor", &["needs its scheduler", "--scheduler"]);

    // An executor of another lake: its tasks do not find the files.
    fs_err::create_dir(place.path("other")).unwrap();
    let _executor = start(&place, "other-executor", &other);
    cluster.wait_for(&place, 1);
    place.refuses(&with(port, build), &["does not find a file of the lake", "[lake]"]);
}

#[test]
fn executors_read_a_bucket_with_keys_of_their_own() {
    let storage = S3::start();
    let place = marketplace();
    let port = ports();
    let at = format!("url = \"s3://lake/market\"\nendpoint = \"{}\"", storage.endpoint());
    let config = |name: &str, keys: &str, cluster: &str| {
        let lake = format!("[lake]\n{at}\nallow_http = true\nkeys_file = \"{keys}\"\n");
        place.file(name, &format!("{lake}[features.engine]\ncluster = \"{cluster}\"\n"));
    };
    place.file("keys", "key\nsecret\n");
    place.file("wrong-keys", "key\nguessed\n");
    let there = format!("df://127.0.0.1:{port}");
    config("here.toml", "keys", "");
    config("cluster.toml", "keys", &there);
    config("wrong.toml", "wrong-keys", &there);
    let listen = format!("cluster scheduler --listen 127.0.0.1:{port}");
    let scheduler = start(&place, "scheduler", &listen);
    let executors = vec![executor(&place, "one")];
    let cluster = Cluster { scheduler, executors, port };
    cluster.wait_for(&place, 1);
    let wrong = format!("cluster executor --listen 127.0.0.1:{}", ports());
    place.refuses(&format!("--config wrong.toml {wrong}"), &["s3://lake", "refuses these keys"]);

    let build = format!("features build --as-of {NOON} user_taste");
    let show = "--json features show user_taste --rows 10000";
    place.run(&format!("--config cluster.toml {build}"));
    let shown = place.run(&format!("--config here.toml {show}"));
    let there = serde_json::from_str::<Value>(&shown).unwrap()["rows"].clone();
    assert!(there.as_array().unwrap().len() > 50, "{there}");
    place.run("features sync");
    place.run(&build);
    assert_same(&there, &values(&place, "user_taste"), "a bucket");
}
