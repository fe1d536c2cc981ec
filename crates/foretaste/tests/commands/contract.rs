//! The lines that scripts of others rely on.

use std::collections::{HashMap, HashSet};

use crate::program::{Place, lines, lists};

fn imported() -> Place {
    let place = Place::new();
    place.file("train.txt", &lists(120));
    place.run("import --format lists train.txt");
    place
}

/// Trains, recommends to all users, and checks what anybody may expect of the file.
fn recommended(place: &Place, profile: &str) -> HashMap<String, Vec<String>> {
    place.run(&format!("train --profile {profile} --seed 7"));
    place.run("recommend --all-users --k 20 --scene evaluation --output out.txt");
    let mut seen: HashMap<String, HashSet<String>> = HashMap::new();
    for line in lines(&place.path("train.txt")) {
        seen.entry(line[0].clone()).or_default().extend(line[1..].iter().cloned());
    }
    let mut found = HashMap::new();
    for line in lines(&place.path("out.txt")) {
        let items = &line[1..];
        assert_eq!(items.len(), 20, "{line:?}");
        assert_eq!(items.iter().collect::<HashSet<_>>().len(), 20, "{line:?}");
        assert!(items.iter().all(|i| !seen[&line[0]].contains(i)), "seen items in {line:?}");
        assert!(found.insert(line[0].clone(), items.to_vec()).is_none(), "{} twice", line[0]);
    }
    assert_eq!(found.len(), seen.len(), "a list for every user");
    found
}

#[test]
fn every_user_gets_the_rest_of_the_own_group_first_with_both_profiles() {
    let place = imported();
    for profile in ["fast", "accurate"] {
        let lists = recommended(&place, profile);
        let group = |id: &str| id[1..].parse::<usize>().unwrap() % 4;
        let own = |(user, items): (&String, &Vec<String>)| {
            items[..2].iter().filter(|item| group(item) == group(user)).count()
        };
        let right: usize = lists.iter().map(own).sum();
        assert!(right * 10 >= 2 * lists.len() * 9, "{profile}: {right} of {}", 2 * lists.len());
    }
}

#[test]
fn the_same_seed_gives_the_same_bundle_and_the_same_lists() {
    let (one, two) = (imported(), imported());
    assert_eq!(recommended(&one, "fast"), recommended(&two, "fast"));
    assert_eq!(one.run("bundle list"), two.run("bundle list"));
    let before = one.run("bundle list");
    one.run("import --format lists train.txt");
    one.run("train --profile fast --seed 7");
    assert_eq!(one.run("bundle list"), before, "an import again changes nothing");
}

/// What a program does not have, it does not speak of.
#[cfg(not(feature = "lake"))]
#[test]
fn without_the_lake_there_is_no_word_of_it() {
    let place = Place::new();
    assert!(!place.run("--help").contains("features"));
    assert!(!place.run("config default").contains("[lake]"));
    assert!(place.fail("features list").contains("unrecognized subcommand"));
    place.file("c.toml", "[lake]\nurl = \"tables\"\n");
    assert!(place.fail("--config c.toml config check").contains("`lake`"));
}
