use foretaste_core::NoProgress;

use super::*;

#[track_caller]
fn close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 1e-6, "{actual} is not {expected}");
}

#[test]
fn figures_equal_a_naive_computation() {
    let facts =
        ItemFacts::new(&[4, 2, 1, 1, 0], 4, vec![vec![1], vec![1], vec![2], vec![], vec![3]]);
    let held_out: HeldOut = [vec![0, 2], vec![3], vec![]].into_iter().collect();
    let lists: [&[u32]; 2] = [&[0, 1], &[4]];
    let histories: [&[u32]; 2] = [&[1], &[0, 1, 2, 3, 4]];
    let measure = Measure {
        facts: &facts,
        held_out: &held_out,
        users: &held_out.users(),
        history: Box::new(|u| histories[u as usize]),
        ks: &[1, 2],
        main_k: 2,
    };
    let rank = |_: &mut (), u: u32, list: &mut Vec<u32>| list.extend_from_slice(lists[u as usize]);
    let quality = measure.run(|| (), rank, &NoProgress);

    let at = quality.main().unwrap();
    close(at.recall.mean, 0.25);
    close(at.recall.se, 0.25);
    close(at.precision.mean, 0.25);
    close(at.ndcg.mean, 0.5 / (1.0 + 1.0 / 3f64.log2()));
    close(at.hit_rate.mean, 0.5);
    close(quality.at(1).unwrap().precision.mean, 0.5);
    close(quality.coverage, 3.0 / 5.0);
    close(quality.exposure_gini, metrics::gini(&[1, 1, 0, 0, 1]));
    close(quality.diversity.unwrap().mean, 0.0);
    assert_eq!(quality.diversity.unwrap().n, 1);
    close(quality.novelty.mean, (0.5 + 2.0) / 2.0);
    close(quality.popularity.mean, ((1.0 + 0.75) / 2.0 + 0.0) / 2.0);
    close(quality.history_popularity.mean, (0.75 + 0.5) / 2.0);
    assert_eq!(quality.short_lists, 1);
    let labels: Vec<&str> = quality.buckets.iter().map(|b| b.label.as_str()).collect();
    assert_eq!(labels, ["1-4", "5-9"]);
    close(quality.buckets[1].ndcg.mean, 0.0);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let facts = ItemFacts::new(&(1..101).collect::<Vec<_>>(), 1000, vec![vec![]; 100]);
    let held_out: HeldOut = (0..2_000).map(|u| vec![u % 100, (u * 7) % 100]).collect();
    let users = held_out.users();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let measure = Measure {
            facts: &facts,
            held_out: &held_out,
            users: &users,
            history: Box::new(|_| &[]),
            ks: &[5, 20],
            main_k: 20,
        };
        let rank = |_: &mut (), u: u32, list: &mut Vec<u32>| {
            list.extend((0..20).map(|i| (u + i * 3) % 100))
        };
        pool.install(|| measure.run(|| (), rank, &NoProgress))
    };
    assert_eq!(run(1), run(4));
}
