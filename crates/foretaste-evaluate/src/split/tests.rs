use foretaste_core::{Csr, Interactions, planted};

use super::*;

/// 60 users x 40 items; times ascend with the position in the row, the same for all users.
fn data() -> Interactions {
    let matrix = planted::groups((60, 40, 4), (0.7, 0.1), 3);
    let times = (0..60).flat_map(|u| (0..matrix.row(u).0.len() as i64).map(|at| 1_000 + at));
    let last_ms = times.collect();
    Interactions { matrix, last_ms, ..Interactions::default() }
}

fn methods() -> Vec<SplitMethod> {
    vec![
        SplitMethod::Temporal { share: 0.2 },
        SplitMethod::TemporalAt { cut_ms: 1_005 },
        SplitMethod::LeaveLastOut { n: 2 },
        SplitMethod::LastShare { share: 0.3 },
        SplitMethod::Random { share: 0.25, seed: 7 },
        SplitMethod::PopularityMatched { share: 0.25, exponent: 1.0, seed: 7 },
    ]
}

#[test]
fn the_parts_are_disjoint_and_nothing_is_lost() {
    let data = data();
    for method in methods() {
        let Split { train, held_out } = split(&data, &method, None).unwrap();
        assert!(!held_out.is_empty(), "{method:?}");
        assert_eq!(held_out.n_users(), 60);
        for user in 0..60 {
            let mut all = train.row(user).0.to_vec();
            all.extend_from_slice(held_out.of(user as u32));
            all.sort_unstable();
            assert_eq!(all, data.row(user).0, "{method:?}, user {user}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_split_and_another_seed_another() {
    let data = data();
    for method in methods() {
        assert_eq!(split(&data, &method, None).unwrap(), split(&data, &method, None).unwrap());
    }
    let random = |seed| split(&data, &SplitMethod::Random { share: 0.25, seed }, None).unwrap();
    assert_ne!(random(1).held_out, random(2).held_out);
}

#[test]
fn a_temporal_cut_holds_for_all_users() {
    let data = data();
    let parts = split(&data, &SplitMethod::Temporal { share: 0.2 }, None).unwrap();
    let cut = parts.train.last_ms.iter().max().unwrap();
    for user in 0..60 {
        let (items, _, times) = data.row(user);
        for (item, time) in items.iter().zip(times) {
            let held = parts.held_out.of(user as u32).binary_search(item).is_ok();
            assert_eq!(held, time > cut);
        }
    }
}

#[test]
fn the_last_items_of_each_user_leave_at_least_one() {
    let mut data = data();
    data = data.retain(|user, at| user != 3 || at < 1);
    let parts = split(&data, &SplitMethod::LeaveLastOut { n: 2 }, None).unwrap();
    assert_eq!(parts.held_out.of(3), &[] as &[u32]);
    let items = data.row(0).0;
    assert_eq!(parts.held_out.of(0), &items[items.len() - 2..]);
}

#[test]
fn untimed_users_lose_random_items_not_the_ones_with_high_numbers() {
    let matrix = Csr::from_rows(20, (0..200).map(|_| (0..20).map(|i| (i, 1.0)).collect()));
    let data = Interactions::untimed(matrix);
    let parts = split(&data, &SplitMethod::LeaveLastOut { n: 1 }, None).unwrap();
    let mean = parts.held_out.into_items().iter().map(|&i| f64::from(i)).sum::<f64>() / 200.0;
    assert!((mean - 9.5).abs() < 1.5, "{mean}");
}

#[test]
fn avoiding_popular_items_makes_the_test_less_popular_and_the_exponent_is_found() {
    // Item i is liked by all but i of 40 users: popularity falls with the number.
    let rows = (0..40).map(|u: u32| (0..=u.min(29)).map(|i| (i, 1.0)).collect());
    let data = Interactions::untimed(Csr::from_rows(30, rows.collect::<Vec<Vec<_>>>()));
    let held = |exponent| {
        let method = SplitMethod::PopularityMatched { share: 0.3, exponent, seed: 1 };
        split(&data, &method, None).unwrap().held_out.into_items()
    };
    let mean = |items: &[u32]| items.iter().sum::<u32>() as f64 / items.len() as f64;
    assert!(mean(&held(1.5)) > mean(&held(0.0)) + 1.0);
    let found = matching_exponent(&data, &held(1.5), (0.3, 1)).unwrap();
    assert!((found - 1.5).abs() < 0.5, "{found}");
}

#[test]
fn only_the_users_among_a_sample_lose_items() {
    let data = data();
    let sample = sample_users(&data, 10, 5, 4);
    assert_eq!(sample.count(), 10);
    let method = SplitMethod::Random { share: 0.3, seed: 1 };
    let held = split(&data, &method, Some(&sample)).unwrap().held_out;
    assert_eq!(held.users(), sample.iter().collect::<Vec<_>>());
}

#[test]
fn given_pairs_leave_the_training_part() {
    let data = data();
    let (first, last) = (data.row(0).0[0], data.row(5).0[1]);
    let mut rows = vec![vec![]; 60];
    (rows[0], rows[5]) = (vec![first, 100], vec![last]);
    let parts = given(&data, rows.into_iter().collect());
    assert_eq!(parts.train.matrix.nnz(), data.matrix.nnz() - 2);
    assert_eq!(parts.held_out.of(0), &[first, 100]);
}

#[test]
fn wrong_shares_and_missing_times_are_refused() {
    let data = data();
    assert!(split(&data, &SplitMethod::Random { share: 1.0, seed: 0 }, None).is_err());
    let untimed = Interactions::untimed(data.matrix.clone());
    let error = split(&untimed, &SplitMethod::Temporal { share: 0.2 }, None).unwrap_err();
    assert!(error.to_string().contains("no event has a time"));
}
