//! Delimited text, JSON lines and lists, on hand-written files.

use std::io::Write;

use foretaste_core::NoProgress;
use foretaste_ingest::{Entity, Format, ImportRequest, import};

use crate::Bench;

/// The two events that most files below say.
const TWO: [&str; 2] = ["a x view 2 1000000000000", "b y order 1 1000000001000"];

#[track_caller]
fn check(name: &str, content: &str) {
    let bench = Bench::new();
    let report = bench.import_text(name, content);
    assert_eq!(bench.short(), TWO, "{name}");
    assert_eq!((report.accepted(Entity::Events), report.n_bad()), (2, 0));
}

#[test]
fn text_with_a_header_in_many_dialects() {
    check(
        "e.csv",
        "user_id,item_id,kind,value,timestamp\na,x,view,2,1000000000\nb,y,order,1,1000000001\n",
    );
    check(
        "e.csv",
        "ts;userId;event_type;SKU;Value\r\n1000000000;a;view;x;2\r\n1000000001000;b;order;y;\r\n",
    );
    check(
        "e.tsv",
        "Item\tUser\tKind\tScore\tDateTime\nx\ta\tview\t2\t2001-09-09 01:46:40\ny\tb\torder\t1\t2001-09-09T01:46:41Z",
    );
    check(
        "e.csv",
        "user,item,kind,value,time\n\"a\",\"x\",view,2,1e9\nb, y ,order,NULL,1000000001.0\n",
    );
    check(
        "e.txt",
        "user|item|kind|value|time|comment\na|x|view|2|1000000000|\nb|y|order|1|1000000001|\n"
            .replace('|', "\t")
            .as_str(),
    );
}

#[test]
fn text_without_a_header_is_taken_in_the_usual_order() {
    let bench = Bench::new();
    bench.import_text("e.csv", "1,10,4.5,978300019\n2,20,3,978300020\n");
    assert_eq!(bench.short(), ["1 10 rating 4.5 978300019000", "2 20 rating 3 978300020000"]);
    let bench = Bench::new();
    bench.import_text("e.tsv", "1\t10\t978300019\n");
    assert_eq!(bench.short(), ["1 10 interaction 1 978300019000"]);
    let bench = Bench::new();
    bench.import_text("e.csv", "1,10\n2,20\n");
    assert_eq!(bench.short(), ["1 10 interaction 1 0", "2 20 interaction 1 0"]);
}

#[test]
fn columns_can_be_mapped_by_name_and_by_number() {
    let bench = Bench::new();
    let path = bench.file("e.csv", "who,what,how\na,x,3\n");
    let with = |mapping: &str| ImportRequest {
        mapping: mapping.parse().unwrap(),
        kind: Some("view".to_owned()),
        ..bench.request(&path)
    };
    import(&bench.store, &with("user=who,item=what,value=how"), &NoProgress).unwrap();
    assert_eq!(bench.short(), ["a x view 3 0"]);

    let wrong = import(&bench.store, &with("user=whom,item=what"), &NoProgress).unwrap_err();
    assert!(wrong.to_string().contains("whom") && wrong.to_string().contains("who, what"));
    let unmapped = bench.import(&path).unwrap_err().to_string();
    assert!(unmapped.contains("user=COLUMN"), "{unmapped}");

    let numbered = Bench::new();
    let path = numbered.file("e.csv", "7,b,1,y\n");
    let mapping = "user=2,item=4".parse().unwrap();
    let request = ImportRequest { mapping, header: Some(false), ..numbered.request(&path) };
    import(&numbered.store, &request, &NoProgress).unwrap();
    assert_eq!(numbered.short(), ["b y interaction 1 0"]);
}

#[test]
fn the_same_request_reads_any_delimiter() {
    let bench = Bench::new();
    let path = bench.file("e.csv", "user~item\na~x\n");
    let request = ImportRequest { delimiter: Some(b'~'), ..bench.request(&path) };
    import(&bench.store, &request, &NoProgress).unwrap();
    assert_eq!(bench.short(), ["a x interaction 1 0"]);
}

#[test]
fn objects_line_by_line() {
    check(
        "e.jsonl",
        "{\"user\":\"a\",\"item\":\"x\",\"kind\":\"view\",\"value\":2,\"time\":1000000000}\n\n\
         {\"time\":\"2001-09-09T01:46:41Z\",\"item\":\"y\",\"kind\":\"order\",\"user\":\"b\"}\n",
    );
    let bench = Bench::new();
    let path = bench.file("e.jsonl", "{\"u\":{\"id\":7},\"i\":8}\n");
    let mapping = "user=u.id,item=i".parse().unwrap();
    let request = ImportRequest { mapping, ..bench.request(&path) };
    import(&bench.store, &request, &NoProgress).unwrap();
    assert_eq!(bench.short(), ["7 8 interaction 1 0"]);
}

#[test]
fn the_situation_of_an_event_and_its_id_are_kept() {
    let bench = Bench::new();
    let head = "event_id,user,item,session,scene,position,request_id\n";
    bench
        .import_text("e.csv", format!("{head}1,a,x,s9,home,3,r1\n1,a,x,s9,home,3,r1\n2,a,x,,,,\n"));
    let events = bench.events();
    assert_eq!(events.len(), 2, "events of one id are one event");
    let context = events.iter().find_map(|e| e.context.clone()).unwrap();
    assert_eq!((context.session.as_deref(), context.scene.as_deref()), (Some("s9"), Some("home")));
    assert_eq!((context.position, context.request_id.as_deref()), (Some(3), Some("r1")));
}

#[test]
fn lists_are_one_event_for_each_pair() {
    let bench = Bench::new();
    let path = bench.file("train.txt", "0 5 6\n1 5\n2\n\n");
    let request = ImportRequest { format: Some(Format::Lists), ..bench.request(&path) };
    let report = import(&bench.store, &request, &NoProgress).unwrap();
    assert_eq!(
        bench.short(),
        ["0 5 interaction 1 0", "0 6 interaction 1 0", "1 5 interaction 1 0"]
    );
    assert_eq!((report.accepted(Entity::Events), report.sources[0].rows), (3, 3));
}

#[test]
fn gzip_is_seen_through() {
    let bench = Bench::new();
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(b"user,item\na,x\n").unwrap();
    bench.import_text("e.csv.gz", zip.finish().unwrap());
    assert_eq!(bench.short(), ["a x interaction 1 0"]);
}

#[test]
fn catalogues_of_items_and_users() {
    let bench = Bench::new();
    let items = "item_id,title,genres,tags,price,created_at,colour\n\
                 x,\"A, \"\"quoted\"\"\ntitle\",Drama|War,old|slow,9.5,2020-01-01,red\n\
                 y,Plain,(no genres listed),,,,\n";
    let report = bench.import_text("items.csv", items);
    assert_eq!((report.accepted(Entity::Items), report.n_bad()), (2, 0));
    let stored = bench.items();
    assert_eq!(stored[0].title, "A, \"quoted\"\ntitle");
    assert_eq!((stored[0].categories.len(), stored[0].tags.len()), (2, 2));
    assert_eq!((stored[0].price, stored[0].created_ms), (Some(9.5), 1_577_836_800_000));
    assert_eq!(stored[0].attributes["colour"], "red");
    assert!(stored[1].categories.is_empty() && stored[1].attributes.is_empty());

    let path = bench.file(
        "people.jsonl",
        "{\"id\":1,\"country\":\"DE\",\"attributes\":{\"plan\":\"team\"},\"created\":\"2020-01-01\"}\n",
    );
    let request = ImportRequest { entity: Some(Entity::Users), ..bench.request(&path) };
    import(&bench.store, &request, &NoProgress).unwrap();
    let user = &bench.users()[0];
    assert_eq!((user.user_id.as_str(), user.created_ms), ("1", 1_577_836_800_000));
    assert_eq!(
        (user.attributes["country"].as_str(), user.attributes["plan"].as_str()),
        ("DE", "team")
    );
}

#[test]
fn objects_with_embeddings_and_lists_become_items() {
    let bench = Bench::new();
    let object =
        "{\"item_id\":\"x\",\"categories\":[\"a\",\"b\"],\"embedding\":[0.5,-1],\"hidden\":true}";
    bench.import_text("catalogue.jsonl", object);
    let item = &bench.items()[0];
    assert_eq!(item.categories, ["a", "b"]);
    assert_eq!((item.embedding.as_deref(), item.hidden), (Some(&[0.5, -1.0][..]), true));
}

#[test]
fn a_file_that_says_nothing_is_refused_with_advice() {
    let bench = Bench::new();
    for (name, content) in [("x.csv", ""), ("x.bin", "word"), ("x.parquet", "no parquet at all")] {
        assert!(bench.import(&bench.file(name, content)).is_err(), "{name}");
    }
    assert!(bench.import(&bench.dir.path().join("absent.csv")).is_err());
}
