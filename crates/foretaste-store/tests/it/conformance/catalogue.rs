//! Checks of items, users and control state.

use foretaste_core::{ErrorKind, Item, Limits, Result, User};
use foretaste_store::Store;

fn item(id: &str) -> Item {
    Item { item_id: id.to_owned(), title: format!("title of {id}"), ..Item::default() }
}

fn ids(store: &dyn Store) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    store.items(&mut |item| {
        ids.push(item.item_id);
        Ok(())
    })?;
    Ok(ids)
}

pub(super) fn items(store: &dyn Store) -> Result<()> {
    let full = Item {
        item_id: "商品-é".to_owned(),
        title: "Größe \"quoted\"\nline".to_owned(),
        description: "d".to_owned(),
        categories: vec!["a".to_owned(), "b".to_owned()],
        tags: vec!["t".to_owned()],
        price: Some(0.1),
        attributes: [("brand".to_owned(), "X".to_owned())].into(),
        created_ms: 42,
        hidden: false,
        embedding: Some(vec![0.5, -1.25, f32::MIN_POSITIVE]),
    };
    store.put_items(&[item("b"), full.clone(), item("a")])?;
    assert_eq!(store.item("商品-é")?, Some(full));
    assert_eq!(store.item("nobody")?, None);
    let newer = Item { title: "new".to_owned(), ..item("a") };
    store.put_items(&[Item::clone(&newer), newer.clone()])?;
    assert_eq!(store.item("a")?, Some(newer), "a later put replaces");
    assert_eq!(ids(store)?, ["a", "b", "商品-é"]);
    assert_eq!(store.counts()?.items, 3);
    Ok(())
}

pub(super) fn users(store: &dyn Store) -> Result<()> {
    let user = |id: &str, country: &str| User {
        user_id: id.to_owned(),
        attributes: [("country".to_owned(), country.to_owned())].into(),
        created_ms: 7,
    };
    store.put_users(&[user("b", "DE"), user("a", "CN")])?;
    store.put_users(&[user("a", "FR")])?;
    assert_eq!(store.user("a")?, Some(user("a", "FR")));
    let mut all = Vec::new();
    store.users(&mut |user| {
        all.push(user);
        Ok(())
    })?;
    assert_eq!(all, [user("a", "FR"), user("b", "DE")]);
    assert!(store.delete_user("a")? && !store.delete_user("a")?);
    assert_eq!((store.user("a")?, store.counts()?.users), (None, 1));
    Ok(())
}

pub(super) fn hidden(store: &dyn Store) -> Result<()> {
    let shown = |store: &dyn Store, id: &str| -> Result<Option<bool>> {
        Ok(store.item(id)?.map(|item| !item.hidden))
    };
    store.put_items(&[item("a"), item("b"), Item { hidden: true, ..item("c") }])?;
    assert!(store.set_hidden("a", true)? && !store.set_hidden("a", true)?);
    assert!(store.set_hidden("no record", true)?, "an id without a record can be hidden");
    assert_eq!(store.hidden()?, ["a", "c", "no record"]);
    store.put_items(&[item("a")])?;
    assert_eq!(shown(store, "a")?, Some(false), "a put does not show what was hidden");
    assert!(store.set_hidden("a", false)? && !store.set_hidden("a", false)?);
    assert!(store.set_hidden("c", false)?, "the record's own flag counts, too");
    assert_eq!((shown(store, "a")?, shown(store, "c")?), (Some(true), Some(true)));
    assert!(store.delete_item("b")? && !store.delete_item("b")?);
    assert_eq!((shown(store, "b")?, store.hidden()?), (None, strings(&["b", "no record"])));
    store.put_items(&[item("b")])?;
    assert_eq!((shown(store, "b")?, store.hidden()?), (Some(true), strings(&["no record"])));
    assert!(!store.delete_item("never seen")?);
    assert_eq!(store.counts()?.hidden, 1);
    Ok(())
}

fn strings(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

pub(super) fn limits(store: &dyn Store) -> Result<()> {
    let limits = Limits::DEFAULT;
    let refused = |item: Item| {
        let outcome = store.put_items(&[Item { item_id: "fine".to_owned(), ..item.clone() }, item]);
        assert_eq!(outcome.err().map(|e| e.kind()), Some(ErrorKind::Invalid));
    };
    refused(item(""));
    refused(item(&"x".repeat(limits.id_bytes + 1)));
    store.put_items(&[item(&"x".repeat(limits.id_bytes))])?;
    for bad in [
        Item { description: "x".repeat(limits.text_bytes + 1), ..item("a") },
        Item { price: Some(f64::NAN), ..item("a") },
        Item { embedding: Some(vec![f32::INFINITY]), ..item("a") },
    ] {
        assert_eq!(
            store.put_items(&[item("b"), bad]).err().map(|e| e.kind()),
            Some(ErrorKind::Invalid)
        );
    }
    assert_eq!(ids(store)?.len(), 1, "nothing of a refused put is stored");
    let nobody = User::default();
    assert_eq!(store.put_users(&[nobody]).err().map(|e| e.kind()), Some(ErrorKind::Invalid));
    Ok(())
}

pub(super) fn control(store: &dyn Store) -> Result<()> {
    assert_eq!(store.control("k")?, None);
    store.set_control("k", Some("1"))?;
    store.set_control("k", Some("2"))?;
    assert_eq!(store.control("k")?.as_deref(), Some("2"));
    store.set_control("k", None)?;
    assert_eq!(store.control("k")?, None);
    Ok(())
}
