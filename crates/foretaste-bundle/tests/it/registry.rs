//! Which bundle is current, which was before; names that are no names.

use foretaste_bundle::{BundleId, activate, current, list, previous, rollback, write};
use foretaste_core::ErrorKind;

use crate::planted::contents;

#[test]
fn current_and_previous_follow_activation_and_rollback() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert_eq!((current(root).unwrap(), list(root).unwrap().len()), (None, 0));
    let one = write(root, &contents(1)).unwrap();
    let two = write(root, &contents(2)).unwrap();
    assert_eq!(current(root).unwrap(), None);
    activate(root, &one).unwrap();
    assert_eq!(rollback(root).unwrap_err().kind(), ErrorKind::NotFound);
    activate(root, &two).unwrap();
    activate(root, &two).unwrap();
    assert_eq!(previous(root).unwrap(), Some(one.clone()));
    assert_eq!(rollback(root).unwrap(), one);
    assert_eq!((current(root).unwrap(), previous(root).unwrap()), (Some(one), Some(two)));
    let missing = BundleId::new("missing").unwrap();
    assert_eq!(activate(root, &missing).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn paths_are_no_ids() {
    let long = "x".repeat(65);
    for name in ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", "%2e%2e", ".hidden", &long, "ä"] {
        assert_eq!(BundleId::new(name).unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
    }
    assert!(BundleId::new("00001700000-ab.c_D").is_ok());
}
