//! What is written is what is read; the same contents give the same bytes.

use foretaste_bundle::{Bundle, BundleContents, FoundAt, write};
use foretaste_core::KindSets;

use crate::planted::{N_ITEMS, N_USERS, contents};

#[test]
fn what_one_bundle_remembers_another_does_not_believe() {
    let folder = tempfile::tempdir().unwrap();
    let open = |contents: &BundleContents| {
        let id = write(folder.path(), contents).unwrap();
        Bundle::open(folder.path(), &id).unwrap()
    };
    let mut contents = contents(1);
    let first = open(&contents);
    contents.manifest.seed += 1;
    let (last, other) = (N_ITEMS - 1, contents.items[0].item_id.clone());
    contents.items[0].item_id = contents.items[last].item_id.clone();
    contents.items[last].item_id = "new".into();
    let second = open(&contents);
    let (at, of_new) = (FoundAt::default(), FoundAt::default());
    for _ in 0..2 {
        assert_eq!(first.items().index_of_again(&other, &at), Some(0));
        assert_eq!(first.items().index_of_again("new", &of_new), None);
        for _ in 0..2 {
            assert_eq!(second.items().index_of_again(&other, &at.clone()), None);
            assert_eq!(second.items().index_of_again("new", &of_new), Some(last as u32));
        }
    }
}

#[test]
fn everything_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let contents = contents(1);
    let id = write(folder.path(), &contents).unwrap();
    let bundle = Bundle::open(folder.path(), &id).unwrap();
    assert_eq!((bundle.n_items(), bundle.n_users()), (N_ITEMS, N_USERS));
    let items = bundle.items();
    for (i, item) in contents.items.iter().enumerate() {
        let i = i as u32;
        assert_eq!((items.id(i), items.title(i)), (item.item_id.as_str(), item.title.as_str()));
        assert_eq!(items.index_of(&item.item_id), Some(i));
        let names: Vec<_> = items.categories(i).iter().map(|&c| items.category_name(c)).collect();
        assert_eq!(names, item.categories);
        let price = items.price(i);
        assert_eq!((!price.is_nan()).then_some(f64::from(price)), item.price);
        assert_eq!((items.hidden(i), items.created_ms(i)), (item.hidden, item.created_ms));
    }
    assert_eq!(items.items_in_category("c1").len(), N_ITEMS.div_ceil(4));
    assert_eq!(items.items_with_attribute("seller", "s0").first(), Some(&0));
    assert!(items.items_with_tag("none").is_empty() && items.index_of("item-150").is_none());
    for (u, id) in contents.users.iter().enumerate() {
        assert_eq!(bundle.users().index_of(id), Some(u as u32));
        assert_eq!(bundle.history(u as u32), contents.histories.row(u));
    }
    let transposed = contents.histories.matrix.transpose();
    assert!((0..N_ITEMS).all(|i| bundle.histories().users_of(i as u32) == transposed.row(i).0));
    assert_eq!(bundle.popularity().week, contents.popularity.week);
    assert_eq!(bundle.segment("country=DE"), Some((&[3u32, 1][..], &[2.0f32, 1.0][..])));
    assert_eq!(bundle.segment("country=FR"), None);
    assert_eq!(bundle.manifest().counts.interactions, contents.histories.matrix.nnz() as u64);
}

#[test]
fn the_same_contents_are_the_same_bundle_byte_for_byte() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let id = write(one.path(), &contents(2)).unwrap();
    assert_eq!(write(two.path(), &contents(2)).unwrap(), id);
    assert_eq!(write(one.path(), &contents(2)).unwrap(), id);
    assert_ne!(write(one.path(), &contents(3)).unwrap(), id);
    for entry in fs_err::read_dir(one.path().join(id.as_str())).unwrap() {
        let name = entry.unwrap().file_name();
        let bytes =
            |root: &std::path::Path| fs_err::read(root.join(id.as_str()).join(&name)).unwrap();
        assert!(bytes(one.path()) == bytes(two.path()), "{name:?} differs");
    }
}

/// Items of a user's entries with the kinds "order" and "gone".
fn ordered(contents: &foretaste_bundle::BundleContents, user: u32) -> Vec<u32> {
    let folder = tempfile::tempdir().unwrap();
    let id = write(folder.path(), contents).unwrap();
    let bundle = Bundle::open(folder.path(), &id).unwrap();
    let kinds = ["gone", "order"].map(str::to_owned);
    bundle.history_of_kinds(user, &kinds).map(|(item, _)| item).collect()
}

#[test]
fn what_users_did_comes_back_with_their_histories() {
    let mut contents = contents(4);
    let n = contents.histories.matrix.nnz();
    let all: Vec<u32> = contents.histories.row(5).0.to_vec();
    assert!(ordered(&contents, 5).is_empty(), "kinds are not known");
    let names = ["order", "view"].map(str::to_owned).to_vec();
    let masks: Vec<u32> = (0..n as u32).map(|at| 1 + at % 3).collect();
    contents.histories.kinds = KindSets { names, masks: masks.clone() };
    let start = contents.histories.matrix.indptr[5] as usize;
    let expected = all.iter().zip(&masks[start..]).filter(|(_, mask)| *mask & 1 != 0);
    assert_eq!(ordered(&contents, 5), expected.map(|(&item, _)| item).collect::<Vec<_>>());
    contents.histories.kinds = KindSets { names: vec!["order".to_owned()], masks: Vec::new() };
    assert_eq!(ordered(&contents, 5), all, "one kind only: every entry has it");
    contents.histories.kinds = KindSets { names: vec!["view".to_owned()], masks: Vec::new() };
    assert!(ordered(&contents, 5).is_empty());
}

#[test]
fn sets_of_kinds_that_fit_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let n = contents(1).histories.matrix.nnz();
    let (order, twice) = (vec!["order".to_owned()], vec!["order".to_owned(); 2]);
    for (names, masks) in
        [(order.clone(), vec![1; n - 1]), (order, vec![2; n]), (twice, vec![1; n])]
    {
        let mut bad = contents(1);
        bad.histories.kinds = KindSets { names, masks };
        assert!(write(folder.path(), &bad).is_err());
    }
}

#[test]
fn contents_that_contradict_each_other_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut bad = contents(1);
    bad.popularity.day.pop();
    assert!(write(folder.path(), &bad).is_err());
    let mut bad = contents(1);
    bad.popularity.day[3] = -1.0;
    assert!(write(folder.path(), &bad).is_err());
    let mut bad = contents(1);
    bad.channels[0].weight = -1.0;
    assert!(write(folder.path(), &bad).is_err());
    let mut bad = contents(1);
    bad.items[3].item_id = "item-4".into();
    assert!(write(folder.path(), &bad).is_err());
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn writing_the_same_contents_again_repairs_a_damaged_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let id = write(folder.path(), &contents(1)).unwrap();
    let file = folder.path().join(id.as_str()).join("items.bin");
    fs_err::remove_file(&file).unwrap();
    assert!(Bundle::open(folder.path(), &id).is_err());
    assert_eq!(write(folder.path(), &contents(1)).unwrap(), id);
    Bundle::open(folder.path(), &id).unwrap();
}
