//! Replay and recommendations on a bundle whose every score is known.

use std::sync::Arc;

use foretaste_bundle::{Bundle, Channel, ChannelModel, ItemItem};
use foretaste_core::{Csr, IdTable, Interactions, Item, NoProgress, metrics};
use foretaste_evaluate::assemble::Assembled;
use foretaste_evaluate::held_out::HeldOut;
use foretaste_evaluate::recommend::{line, recommend_all};
use foretaste_evaluate::replay::{ReplayConfig, replay};
use foretaste_evaluate::{contents, report::SystemKind};
use foretaste_pipeline::{SceneConfig, Snapshot};

/// Three users, six items; item i leads to i + 1 (strongly) and i + 2.
fn snapshot() -> (tempfile::TempDir, Snapshot) {
    let next = |i: u32| [(i + 1, 1.0f32), (i + 2, 0.5)].into_iter().filter(|n| n.0 < 6).collect();
    let similar = Csr::from_rows(6, (0..6).map(next).collect::<Vec<Vec<_>>>());
    let channel = Channel {
        name: "item_item".into(),
        scale: 1.0,
        weight: 1.0,
        model: ChannelModel::ItemItem(ItemItem { similar, history_exponent: 0.0 }),
    };
    let rows = vec![vec![(0, 1.0)], vec![(1, 1.0), (2, 1.0)], vec![(0, 1.0), (3, 1.0)]];
    let data = Assembled {
        items: (0..6).map(|i| Item { item_id: format!("i{i}"), ..Item::default() }).collect(),
        users: ["a", "b", "c"].iter().collect::<IdTable>(),
        interactions: Interactions::untimed(Csr::from_rows(6, rows)),
        ..Assembled::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let id = foretaste_bundle::write(
        folder.path(),
        &contents::of(data, vec![channel], Default::default()),
    )
    .unwrap();
    let bundle = Arc::new(Bundle::open(folder.path(), &id).unwrap());
    (folder, Snapshot::new(bundle))
}

#[test]
fn figures_equal_a_naive_computation() {
    let (_folder, snapshot) = snapshot();
    let held_out: HeldOut = [vec![2], vec![0, 4], vec![]].into_iter().collect();
    let config = ReplayConfig { ks: vec![1, 2], main_k: 2, ..ReplayConfig::default() };
    let systems = replay(&snapshot, &held_out, &config, &NoProgress).unwrap();
    let names: Vec<&str> = systems.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["blend", "item_item", "popular", "random"]);

    // a had 0: 1 (1.0), 2 (0.5). b had 1 and 2: 3 (0.5 + 1.0), 4 (0.5).
    let lists: [&[u32]; 2] = [&[1, 2], &[3, 4]];
    let naive = |metric: fn(&[u32], &[u32], usize) -> f64, k| {
        (0..2).map(|u| metric(lists[u], held_out.of(u as u32), k)).sum::<f64>() / 2.0
    };
    for system in &systems[..2] {
        for at in &system.quality.at {
            for (found, metric) in [
                (at.recall, metrics::recall as fn(&[u32], &[u32], usize) -> f64),
                (at.ndcg, metrics::ndcg),
                (at.precision, metrics::precision),
                (at.mrr, metrics::reciprocal_rank),
                (at.map, metrics::average_precision),
                (at.hit_rate, metrics::hit_rate),
            ] {
                assert!((found.mean - naive(metric, at.k)).abs() < 1e-12, "{}", system.name);
                assert_eq!(found.n, 2);
            }
        }
        assert!((system.quality.coverage - 4.0 / 6.0).abs() < 1e-12);
    }
    assert_eq!((systems[0].kind, systems[1].weight), (SystemKind::Blend, Some(1.0)));
    // Of the six items, 0 is the most popular (two users), then 1, 2, 3: a gets 1, 2 and b 0, 3.
    assert!((systems[2].quality.main().unwrap().recall.mean - 0.75).abs() < 1e-12);
}

#[test]
fn unusable_cuts_and_empty_tests_are_refused() {
    let (_folder, snapshot) = snapshot();
    let held_out: HeldOut = [vec![2]].into_iter().collect();
    let none: HeldOut = [vec![]].into_iter().collect();
    let with = |ks: &[usize]| ReplayConfig { ks: ks.into(), main_k: 2, ..ReplayConfig::default() };
    for ks in [&[][..], &[1], &[2, 1], &[0, 2], &[2, 501]] {
        assert!(replay(&snapshot, &held_out, &with(ks), &NoProgress).is_err(), "{ks:?}");
    }
    assert!(replay(&snapshot, &none, &with(&[2]), &NoProgress).is_err());
}

#[test]
fn lists_for_all_users_are_in_order_and_leave_out_what_was_seen() {
    let (_folder, snapshot) = snapshot();
    let scene = SceneConfig::evaluation().resolve("evaluation").unwrap();
    let lines: Vec<String> = recommend_all(&snapshot, &scene, 2)
        .map(|(user, items)| line(&snapshot, user, &items))
        .collect();
    assert_eq!(lines, ["a i1 i2", "b i3 i4", "c i1 i4"]);
}
