use foretaste_core::ErrorKind;

use super::terms::words;
use super::*;

fn item(title: &str, tags: &[&str]) -> Item {
    let tags = tags.iter().map(|&t| t.to_owned()).collect();
    Item { title: title.to_owned(), tags, ..Item::default() }
}

fn split(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    words(text, usize::MAX, &mut |w| found.push(w.to_owned()));
    found
}

#[test]
fn words_and_pairs_of_characters() {
    assert_eq!(split("The Matrix (1999)"), ["the", "matrix", "1999"]);
    assert_eq!(split("無線耳機 Pro 新"), ["無線", "線耳", "耳機", "pro", "新"]);
    assert_eq!(split("Éclair-Café"), ["éclair", "café"]);
    assert!(split("  ,; ").is_empty());
}

#[test]
fn shared_rare_terms_make_items_similar() {
    let items = [
        item("red running shoes", &["sport"]),
        item("blue running shoes", &["sport"]),
        item("red wine", &["drink"]),
        item("無線降噪耳機", &[]),
        item("藍牙降噪耳機", &[]),
        item("", &[]),
    ];
    let similar = fit(&items, &ContentConfig::default()).unwrap();
    assert_eq!(similar.row(0).0[0], 1);
    assert_eq!((similar.row(3).0, similar.row(4).0), (&[4u32][..], &[3u32][..]));
    assert!(similar.row(5).0.is_empty());
    assert!(similar.values.iter().all(|&v| v > 0.0 && v <= 1.0001));
}

#[test]
fn the_work_bound_drops_the_most_frequent_terms() {
    let items: Vec<Item> = (0..200).map(|i| item(&format!("all pair{}", i / 2), &[])).collect();
    let config = ContentConfig { work: 10_000, ..Default::default() };
    let similar = fit(&items, &config).unwrap();
    for i in 0..200u32 {
        assert_eq!(similar.row(i as usize).0, [i ^ 1], "only the rare word is left");
    }
}

#[test]
fn embeddings_alone_and_beside_text() {
    let mut items = [item("alpha beta", &[]), item("alpha beta", &[]), item("gamma", &[])];
    items[0].embedding = Some(vec![1.0, 0.0]);
    items[1].embedding = Some(vec![0.0, 1.0]);
    items[2].embedding = Some(vec![2.0, 0.2]);
    let similar = fit(&items, &ContentConfig::default()).unwrap();
    assert_eq!(similar.row(2).0, [0, 1], "no shared word, so embeddings alone");
    let (near, values) = similar.row(0);
    assert!(near.len() == 2 && values.iter().all(|v| *v > 0.3), "{near:?} {values:?}");
}

#[test]
fn embeddings_that_disagree_are_refused() {
    let mut items = [item("a", &[]), item("b", &[])];
    items[0].embedding = Some(vec![1.0, 0.0]);
    items[1].embedding = Some(vec![1.0]);
    let error = fit(&items, &ContentConfig::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    items[1].embedding = Some(vec![1.0, f32::NAN]);
    assert!(fit(&items, &ContentConfig::default()).is_err());
}
