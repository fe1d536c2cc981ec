//! Bundles that are kept: which, how large, and in which form.

use std::path::PathBuf;

use serde_json::Value;

use crate::program::{Place, lists};

/// Ids and bytes of all bundles, oldest first, and the current one.
fn listed(place: &Place) -> (Vec<(String, u64)>, String) {
    let list: Value = serde_json::from_str(&place.run("--json bundle list")).unwrap();
    let of = |key: &str| list[key].as_array().unwrap().clone();
    let ids = of("bundles").into_iter().map(|id| id.as_str().unwrap().to_owned());
    let sizes = of("bytes").into_iter().map(|bytes| bytes.as_u64().unwrap());
    (ids.zip(sizes).collect(), list["current"].as_str().unwrap().to_owned())
}

/// Data of which `n` bundles were trained, with seeds from 1 on. Returns their ids in that order.
fn trained(n: usize) -> (Place, Vec<String>) {
    let place = Place::new();
    place.file("train.txt", &lists(120));
    place.run("import --format lists train.txt");
    let ids = (1..=n).map(|seed| {
        place.run(&format!("train --seed {seed}"));
        listed(&place).1
    });
    let ids = ids.collect();
    (place, ids)
}

fn folder(place: &Place, id: &str) -> PathBuf {
    place.path("data/bundles").join(id)
}

fn is_packed(place: &Place, id: &str) -> bool {
    let packed = folder(place, id).join("items.bin.packed").exists();
    assert_ne!(packed, folder(place, id).join("items.bin").exists(), "{id}");
    packed
}

fn recommended(place: &Place) -> String {
    place.run("recommend --all-users --k 20 --scene evaluation --output out.txt");
    fs_err::read_to_string(place.path("out.txt")).unwrap()
}

#[test]
fn training_keeps_five_and_packs_those_older_than_the_previous_one() {
    let (place, ids) = trained(7);
    let (bundles, current) = listed(&place);
    assert_eq!((bundles.len(), &current), (5, &ids[6]));
    let kept = |id: &String| bundles.iter().any(|(listed, _)| listed == id);
    assert!(kept(&ids[6]) && kept(&ids[5]));
    for (id, bytes) in &bundles {
        let is_old = *id != ids[6] && *id != ids[5];
        assert_eq!(is_packed(&place, id), is_old, "{id}");
        assert!(is_old == (*bytes * 10 < bundles_of(&bundles, &ids[6]) * 6), "{bundles:?}");
    }
    let text = place.run("bundle list");
    assert!(text.lines().count() == 5 && text.contains(" MB"), "{text}");

    place.file("foretaste.toml", "[train]\npacked_bundles = \"all\"\n");
    place.run("--config foretaste.toml train --seed 8");
    assert!(listed(&place).0.iter().all(|(id, _)| is_packed(&place, id)));
    place.file("foretaste.toml", "[train]\npacked_bundles = \"some\"\n");
    place.refuses("--config foretaste.toml train", &["packed_bundles"]);
}

fn bundles_of(bundles: &[(String, u64)], id: &str) -> u64 {
    bundles.iter().find(|(listed, _)| listed == id).unwrap().1
}

#[test]
fn a_packed_bundle_answers_as_before_and_goes_live_in_a_server() {
    let (place, ids) = trained(2);
    let lists = recommended(&place);
    let server = place.serve();
    let answer = |id: &str| {
        let answer = server.get("/v1/recommend/u1?k=5");
        assert_eq!(answer["bundle"], *id, "{answer}");
        answer["items"].clone()
    };
    let before = answer(&ids[1]);
    let (first, second) = (&ids[0], &ids[1]);
    let said = place.run(&format!("bundle pack {first} {second}"));
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(is_packed(&place, first) && is_packed(&place, second));
    place.run(&format!("bundle verify {second}"));
    assert_eq!(recommended(&place), lists);
    for (id, path) in [(first, "promote"), (second, "promote"), (first, "rollback")] {
        let body = if path == "rollback" { String::new() } else { format!("{{\"id\":\"{id}\"}}") };
        let (status, said) = server.ask("POST", &format!("/v1/admin/bundles:{path}"), &body);
        assert_eq!(status, 200, "{said}");
        let items = answer(id);
        assert!(id != second || items == before, "{items}");
    }
    place.run(&format!("bundle unpack {first} {second}"));
    assert!(!is_packed(&place, first) && !is_packed(&place, second));
    assert!(place.run("bundle pack").contains("no bundle older"));
    place.refuses("bundle pack 1234", &["1234"]);
    place.refuses("bundle unpack ../x", &["a bundle id is"]);
}

#[test]
fn a_full_disk_leaves_bundles_as_they_are() {
    let (place, ids) = trained(1);
    let lists = recommended(&place);
    let here = folder(&place, &ids[0]);
    let Some(disk) = place.on_small_disk(&here, "2m") else { return };
    let filler = disk.0.join("filler");
    let _ = fs_err::write(&filler, vec![0; 4 << 20]);
    place.refuses(&format!("bundle pack {}", ids[0]), &["No space left"]);
    assert_eq!(recommended(&place), lists);
    fs_err::remove_file(&filler).unwrap();
    place.run(&format!("bundle pack {}", ids[0]));
    let names = fs_err::read_dir(&here).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with(".tmp")));
    assert_eq!(recommended(&place), lists);
}
