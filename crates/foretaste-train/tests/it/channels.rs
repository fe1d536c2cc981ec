//! The whole of training on planted data.

use foretaste_bundle::{Channel, ChannelModel};
use foretaste_core::{Csr, IdTable, Interactions, Item, NoProgress, Rng, planted};
use foretaste_train::{TrainConfig, TrainInput, config, fit_channels};

const N_USERS: usize = 120;
const N_ITEMS: usize = 60;
const GROUPS: usize = 3;

struct Data {
    interactions: Interactions,
    items: Vec<Item>,
    users: IdTable,
}

fn data() -> Data {
    let matrix = planted::groups((N_USERS, N_ITEMS, GROUPS), (0.5, 0.03), 21);
    let items = (0..N_ITEMS).map(|i| Item {
        item_id: format!("item-{i}"),
        title: format!("thing of group{}", i % GROUPS),
        ..Item::default()
    });
    Data {
        interactions: Interactions::untimed(matrix),
        items: items.collect(),
        users: (0..N_USERS).map(|u| format!("user-{u}")).collect(),
    }
}

fn all_channels() -> TrainConfig {
    let mut all = TrainConfig::profile("accurate").unwrap();
    all.channels = config::CHANNELS.iter().map(|&c| c.to_owned()).collect();
    all.spectral = serde_json::from_str(r#"{"factors": 8}"#).unwrap();
    all.ials = serde_json::from_str(r#"{"factors": 8, "alpha": 10, "reg": 5}"#).unwrap();
    all
}

fn fit(data: &Data, threads: usize) -> Vec<Channel> {
    let input =
        TrainInput { interactions: &data.interactions, items: &data.items, users: &data.users };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| fit_channels(&input, &all_channels(), &NoProgress).unwrap())
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let data = data();
    let (one, two) = (fit(&data, 1), fit(&data, 2));
    assert_eq!(format!("{one:?}"), format!("{two:?}"));
    assert_eq!(one.len(), config::CHANNELS.len());
}

#[test]
fn every_sparse_channel_recovers_the_planted_groups() {
    for channel in fit(&data(), 2) {
        assert!(channel.scale > 0.0 && channel.scale.is_finite(), "{}", channel.name);
        let (ChannelModel::ItemItem(model) | ChannelModel::Content(model)) = &channel.model else {
            continue;
        };
        for i in 0..N_ITEMS {
            let best = model.similar.row(i).0[0] as usize;
            assert_eq!(best % GROUPS, i % GROUPS, "channel {}, item {i}", channel.name);
        }
    }
}

#[test]
fn accurate_sums_models_of_other_starts_and_the_first_is_that_of_one_alone() {
    let data = data();
    let input =
        TrainInput { interactions: &data.interactions, items: &data.items, users: &data.users };
    let models_of = |models| {
        let config = TrainConfig { channels: vec!["ials".to_owned()], ..all_channels() };
        let config = TrainConfig { ials_models: models, ..config };
        let channel = fit_channels(&input, &config, &NoProgress).unwrap().remove(0);
        let ChannelModel::Ials(model) = channel.model else { panic!("factors") };
        (model, channel.scale)
    };
    let ((one, scale), (three, sum_scale)) = (models_of(Some(1)), models_of(None));
    assert_eq!((one.models, three.models), (1, 3));
    assert_eq!(three.items.n_cols, 3 * one.items.n_cols);
    let k = one.items.n_cols;
    for i in 0..N_ITEMS {
        let parts: Vec<&[f32]> = three.items.row(i).chunks(k).collect();
        assert_eq!(parts[0], one.items.row(i));
        assert!(parts[1] != parts[0] && parts[2] != parts[1], "item {i}");
    }
    // All three say nearly the same, so the scale of the sum is about three times that of one.
    assert!((2.5..=3.1).contains(&(sum_scale / scale)), "{scale} {sum_scale}");
}

/// Users and items in another order, with their ids.
fn permuted(data: &Data, seed: u64) -> (Data, Vec<u32>) {
    let mut rng = Rng::new(seed);
    let mut columns: Vec<u32> = (0..N_ITEMS as u32).collect();
    let mut rows: Vec<usize> = (0..N_USERS).collect();
    rng.shuffle(&mut columns);
    rng.shuffle(&mut rows);
    let renamed = planted::permute_columns(&data.interactions.matrix, &columns);
    let mut items = vec![Item::default(); N_ITEMS];
    for (i, item) in data.items.iter().enumerate() {
        items[columns[i] as usize] = item.clone();
    }
    let mut matrix = Csr { n_cols: N_ITEMS, indptr: vec![0], ..Csr::default() };
    for &u in &rows {
        let (cols, vals) = renamed.row(u);
        matrix.push_row(cols.iter().copied().zip(vals.iter().copied()));
    }
    let users = rows.iter().map(|&u| data.users.get(u as u32)).collect();
    (Data { interactions: Interactions::untimed(matrix), items, users }, columns)
}

#[test]
fn names_and_order_change_nothing_beyond_rounding() {
    let original = data();
    let (other, columns) = permuted(&original, 5);
    for (a, b) in fit(&original, 2).iter().zip(fit(&other, 2)) {
        let name = &a.name;
        assert!((a.scale - b.scale).abs() < 1e-3 * a.scale, "{name}: {} {}", a.scale, b.scale);
        let (
            ChannelModel::ItemItem(x) | ChannelModel::Content(x),
            ChannelModel::ItemItem(y) | ChannelModel::Content(y),
        ) = (&a.model, &b.model)
        else {
            continue;
        };
        for i in 0..N_ITEMS {
            let (ours, theirs) = (x.similar.row(i), y.similar.row(columns[i] as usize));
            for (&j, &v) in ours.0.iter().zip(ours.1) {
                let at = theirs.0.iter().position(|&t| t == columns[j as usize]);
                // Content keeps 50 of many equally similar items: which ones is a matter of order.
                let Some(at) = at else {
                    assert!(name == "content" || v.abs() < 1e-3, "{name}: {i} lost {j} ({v})");
                    continue;
                };
                assert!((theirs.1[at] - v).abs() < 1e-3 * v.abs().max(1e-2), "{name}: {i}, {j}");
            }
        }
    }
}

#[test]
fn without_interactions_only_content_is_left() {
    let mut data = data();
    data.interactions = Interactions::untimed(Csr::empty(N_USERS, N_ITEMS));
    let channels = fit(&data, 2);
    assert_eq!(channels.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["content"]);
}
