use std::path::Path;

use foretaste_core::ErrorKind;

use super::{Ask, Pace, SHIPPED, Scenario, Source};

fn parse(text: &str) -> foretaste_core::Result<Scenario> {
    Scenario::parse(text, "test", Path::new("folder"))
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let error = parse(text).expect_err(text);
    assert_eq!(error.kind(), ErrorKind::Config);
    let message = error.to_string();
    for part in expected {
        assert!(message.contains(part), "{part} is not in:\n{message}");
    }
    assert!(message.contains(&format!("{} problem(s)", expected.len())), "{message}");
}

#[test]
fn shipped_scenarios_are_sound() {
    for (name, _) in SHIPPED {
        let scenario = Scenario::open(name).expect(name);
        assert_eq!(scenario.name, name);
        assert!(!scenario.about.is_empty());
    }
}

#[test]
fn what_is_left_out_has_a_default() {
    let scenario = parse("[[request]]\nkind = \"popular\"\n").expect("minimal");
    assert!(matches!(scenario.pace, Pace::Open(open) if open.rate == 100.0));
    assert_eq!(scenario.transport.connections, 256);
    assert_eq!(scenario.requests[0].name, "popular");
    assert!((scenario.requests[0].weight - 1.0).abs() < 1e-12);
}

#[test]
fn all_problems_are_reported_together() {
    refused(
        "
        speed = 3
        [open]
        rate = -1
        arrivals = \"random\"
        [users]
        zipf = \"one\"
        [[request]]
        kind = \"recommend\"
        window = \"1h\"
        [[request]]
        kind = \"recomend\"
        [[request]]
        kind = \"recommend\"
        k = 501
        ",
        &[
            "`speed` is not a setting; known here: about,",
            "`open.rate` must be a number from 0.01",
            "`open.arrivals` must be one of \"poisson\", \"constant\"",
            "`users.zipf` must be a number",
            "`request[0].window` is not a setting; known here: k, kind, name,",
            "`request[1].kind` must be one of \"recommend\"",
            "`request[2].k` must be a whole number from 1 to 500",
            "`request[2].name` must be a name that no other request has",
        ],
    );
}

#[test]
fn contradictions_are_refused() {
    let request = "[[request]]\nkind = \"popular\"\n";
    refused(&format!("[open]\n[closed]\n{request}"), &["`closed` must be left out"]);
    refused(
        &format!("[users]\nfile = \"a\"\ncount = 3\n{request}"),
        &["`users.count` is not a setting; known here: file, new_share, zipf"],
    );
    refused("seed = 2\n", &["`request` must be given at least once"]);
    refused(
        &format!("[headers]\nhost = \"x\"\n\"a b\" = \"x\"\nx-key = \"a\\nb\"\n{request}"),
        &["`headers.host` must be left out", "`headers.a b` must be", "`headers.x-key` must be"],
    );
    refused(
        "[[request]]\nkind = \"path\"\npath = \"a b\"\n",
        &["`request[0].path` must be a path that begins with /"],
    );
}

#[test]
fn files_are_looked_for_beside_the_scenario() {
    let scenario = parse("[users]\nfile = \"ids.txt\"\n[[request]]\nkind = \"popular\"\n");
    let source = scenario.expect("sound").users.source;
    assert_eq!(source, Source::File(Path::new("folder/ids.txt").to_owned()));
}

#[test]
fn values_of_headers_are_in_no_report() {
    let text = "[headers]\nauthorization = \"secret\"\n[[request]]\nkind = \"popular\"\n";
    let scenario = parse(text).expect("sound");
    assert_eq!(scenario.headers[0].1, "secret");
    assert!(!serde_json::to_string(&scenario).expect("JSON").contains("secret"));
}

#[test]
fn every_kind_can_be_asked_for() {
    let text = "
        [[request]]\nkind = \"session\"\nitems = 5\nscene = \"cart\"\nreasons = true
        [[request]]\nkind = \"batch\"\nusers = 7\nk = 3
        [[request]]\nkind = \"events\"\nrecords = 9\nkinds = [\"a\"]
        [[request]]\nkind = \"path\"\npath = \"/health/live\"
        [[request]]\nkind = \"latest\"\n[[request]]\nkind = \"explain\"";
    let asks: Vec<Ask> = parse(text).expect("sound").requests.into_iter().map(|r| r.ask).collect();
    assert!(matches!(&asks[0], Ask::Session { items: 5, options } if options.reasons));
    assert!(matches!(&asks[1], Ask::Batch { users: 7, options } if options.k == Some(3)));
    assert!(matches!(&asks[2], Ask::Events { records: 9, .. }));
    assert_eq!(asks.len(), 6);
}

#[test]
fn a_name_that_is_not_shipped_is_explained() {
    let error = Scenario::open("recomend").expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("shipped: recommend, mixed"), "{error}");
}
