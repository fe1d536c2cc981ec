use super::*;
use crate::quality::{AtK, Bucket, Estimate};

fn estimate(mean: f64) -> Estimate {
    Estimate { mean, se: mean / 20.0, n: 400 }
}

fn system(name: &str, kind: SystemKind, recall: f64) -> System {
    let at = |k: usize| {
        let r = estimate(recall * (k as f64 / 20.0).sqrt());
        AtK {
            k,
            recall: r,
            precision: r,
            ndcg: estimate(recall * 0.8),
            mrr: r,
            map: r,
            hit_rate: r,
        }
    };
    let bucket = |label: &str, factor: f64| Bucket {
        label: label.to_owned(),
        recall: estimate(recall * factor),
        ndcg: estimate(recall * factor * 0.8),
    };
    let quality = Quality {
        at: [5, 10, 20, 50].map(at).into(),
        main_k: 20,
        coverage: 0.4312,
        exposure_gini: 0.71,
        diversity: (kind != SystemKind::Baseline).then(|| estimate(0.62)),
        novelty: estimate(9.87),
        popularity: estimate(0.93),
        history_popularity: estimate(0.88),
        buckets: vec![bucket("1-4", 1.3), bucket("5-9", 1.1), bucket("100+", 0.7)],
        short_lists: 0,
    };
    let weight = (kind == SystemKind::Channel).then_some(0.5);
    System { name: name.to_owned(), kind, weight, quality }
}

fn report() -> Report {
    Report {
        title: "Evaluation of <market> & co".into(),
        bundle: "20260101T000000-abc".into(),
        profile: "fast".into(),
        split: "random 20.0% of each user, seed 1".into(),
        counts: Counts { users: 500, items: 90, judged_users: 400, ..Counts::default() },
        learned: None,
        systems: vec![
            system("blend", SystemKind::Blend, 0.2345),
            system("item_item", SystemKind::Channel, 0.1987),
            system("a\"channel<script>", SystemKind::Channel, 0.1),
            system("popular", SystemKind::Baseline, 0.0416),
            system("random", SystemKind::Baseline, 0.0005),
        ],
    }
}

/// Checks that tags are closed in order, attributes are quoted and text has no stray `<`.
fn check_well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html.strip_prefix("<!doctype html>\n").expect("has a doctype");
    while let Some(at) = rest.find('<') {
        let end = rest[at..].find('>').expect("a tag ends") + at;
        let tag = &rest[at + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "unquoted: {tag}");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().expect("a name");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "stray <: {tag:.40}");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closing order");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert_eq!(open, Vec::<&str>::new(), "tags left open");
}

#[test]
fn the_page_is_well_formed_and_shows_the_figures() {
    let html = report().to_html();
    check_well_formed(&html);
    for text in ["0.2345", "0.1987", "0.0416", "43.1%", "9.87 bit", "Recall@20", "100+", "0.710"] {
        assert!(html.contains(text), "{text} is missing");
    }
    assert_eq!(html.matches("<svg").count(), 8);
}

#[test]
fn names_cannot_break_out_of_the_page() {
    let html = report().to_html();
    assert!(!html.contains("<script") && html.contains("&lt;market&gt; &amp; co"));
}

#[test]
fn the_page_loads_nothing() {
    let html = report().to_html();
    for reference in ["http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!html.contains(reference), "{reference}");
    }
}

#[test]
fn an_empty_report_is_still_a_page() {
    check_well_formed(&Report::default().to_html());
}

#[test]
fn json_gives_the_report_back_and_both_files_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = report().write(&folder.path().join("reports"), "report").unwrap();
    let back: Report = serde_json::from_str(&fs_err::read_to_string(json).unwrap()).unwrap();
    assert_eq!((back.systems.len(), back.counts), (5, report().counts));
    let recall = |r: &Report| r.system("blend").unwrap().quality.main().unwrap().recall.mean;
    assert!((recall(&back) - recall(&report())).abs() < 1e-12);
    assert_eq!(fs_err::read_to_string(html).unwrap(), report().to_html());
}

#[test]
fn the_text_table_is_aligned() {
    let text = report().to_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[1].starts_with("blend") && lines[1].contains("0.2345 ±0.0117"));
    let width = |l: &str| l.chars().count();
    assert!(lines[1..].iter().all(|l| width(l) == width(lines[1])));
}
