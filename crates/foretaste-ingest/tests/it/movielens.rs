//! The layouts of MovieLens on fixtures of a few lines.

use foretaste_core::NoProgress;
use foretaste_ingest::{Entity, Format, ImportRequest, import};

use crate::Bench;

#[test]
fn the_million_with_its_double_colons_and_latin_1() {
    let bench = Bench::new();
    bench.file("ml/ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n");
    bench.file(
        "ml/movies.dat",
        b"1193::Mis\xe9rables, Les (1995)::Drama|Musical\n661::\"Great\" Cats::War\n",
    );
    bench.file("ml/users.dat", "1::F::1::10::48067\n");
    let report = bench.import(&bench.dir.path().join("ml")).unwrap();
    assert_eq!(bench.short(), ["1 1193 rating 5 978300760000", "1 661 rating 3 978302109000"]);
    let items = bench.items();
    assert_eq!((items[0].title.as_str(), items[0].categories.len()), ("Misérables, Les (1995)", 2));
    assert_eq!(items[1].title, "\"Great\" Cats");
    assert_eq!(bench.users()[0].attributes["gender"], "F");
    assert_eq!((report.sources.len(), report.n_bad()), (3, 0));
}

#[test]
fn the_hundred_thousand_with_its_flags() {
    let bench = Bench::new();
    bench.file("ml/u.data", "196\t242\t3\t881250949\n");
    bench.file(
        "ml/u.item",
        "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n",
    );
    bench.file("ml/u.user", "1|24|M|technician|85711\n");
    bench.import(&bench.dir.path().join("ml")).unwrap();
    assert_eq!(bench.short(), ["196 242 rating 3 881250949000"]);
    let item = &bench.items()[0];
    assert_eq!(item.categories, ["Animation", "Children's", "Comedy"]);
    assert_eq!(item.attributes["released"], "01-Jan-1995");
    assert_eq!(bench.users()[0].attributes["occupation"], "technician");
}

#[test]
fn the_csv_releases_with_tags() {
    let bench = Bench::new();
    bench.file("ml/ratings.csv", "userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n");
    bench.file(
        "ml/movies.csv",
        "movieId,title,genres\n296,\"American President, The (1995)\",Comedy|Drama\n",
    );
    bench.file(
        "ml/tags.csv",
        "userId,movieId,tag,timestamp\n3,296,Classic,1\n4,296,classic,2\n5,296,once,3\n",
    );
    let request = ImportRequest {
        format: Some(Format::MovieLens),
        ..bench.request(&bench.dir.path().join("ml"))
    };
    let report = import(&bench.store, &request, &NoProgress).unwrap();
    assert_eq!(report.accepted(Entity::Events), 1);
    let item = &bench.items()[0];
    assert_eq!(
        (item.title.as_str(), item.tags.as_slice()),
        ("American President, The (1995)", &["classic".to_owned()][..])
    );
    assert_eq!(bench.short(), ["1 296 rating 5 1147880044000"]);
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let bench = Bench::new();
    bench.file("other/notes.md", "nothing");
    let refused = bench.import(&bench.dir.path().join("other")).unwrap_err().to_string();
    assert!(refused.contains("ratings.dat"), "{refused}");
}
