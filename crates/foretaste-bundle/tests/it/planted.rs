//! Contents with every structure and every kind of channel, small and seeded.

use foretaste_bundle::{
    BundleContents, Channel, ChannelModel, GraphConfig, IalsModel, ItemItem, LowRank, ManifestHead,
    Popularity, Segment, UserUser,
};
use foretaste_core::{Csr, IdTable, Interactions, Item, Matrix, Rng, planted};

/// Items of the contents; not a multiple of 64, so that blocks end early.
pub const N_ITEMS: usize = 150;
/// Users of the contents.
pub const N_USERS: usize = 60;

/// Contents that follow from a seed.
pub fn contents(seed: u64) -> BundleContents {
    let mut rng = Rng::new(seed);
    let matrix = planted::groups((N_USERS, N_ITEMS, 3), (0.3, 0.02), seed);
    let mut histories = Interactions::untimed(matrix);
    histories.last_ms.iter_mut().enumerate().for_each(|(i, t)| *t = 1_000 + i as i64);
    let values = |n: usize, rng: &mut Rng| (0..n).map(|_| rng.f32()).collect::<Vec<_>>();
    let popularity = Popularity {
        total: values(N_ITEMS, &mut rng),
        hour: values(N_ITEMS, &mut rng),
        day: values(N_ITEMS, &mut rng),
        week: values(N_ITEMS, &mut rng),
    };
    BundleContents {
        manifest: ManifestHead {
            profile: "fast".into(),
            seed,
            as_of_ms: 1_700_000_000_000,
            window: (1_000, 1_700_000_000_000),
            n_events: histories.matrix.nnz() as u64,
            config_hash: "00".into(),
            config: serde_json::json!({ "k": 1 }),
            quality: serde_json::json!({}),
        },
        items: (0..N_ITEMS).map(item).collect(),
        users: (0..N_USERS).map(|u| format!("user-{u}")).collect::<IdTable>(),
        histories,
        popularity,
        segments: vec![Segment { key: "country=DE".into(), items: vec![(3, 2.0), (1, 1.0)] }],
        channels: channels(&mut rng),
        graphs: GraphConfig { from_bytes: 0, links: 4, ..GraphConfig::default() },
    }
}

fn item(i: usize) -> Item {
    Item {
        item_id: format!("item-{i}"),
        title: format!("Título {i} 数据"),
        categories: vec![format!("c{}", i % 4), format!("c{}/{}", i % 4, i % 8)],
        tags: vec![format!("t{}", i % 5)],
        price: (!i.is_multiple_of(3)).then_some(i as f64),
        attributes: [("seller".to_owned(), format!("s{}", i % 6))].into(),
        created_ms: i as i64,
        hidden: i == 7,
        ..Item::default()
    }
}

fn channels(rng: &mut Rng) -> Vec<Channel> {
    let channel =
        |name: &str, weight, model| Channel { name: name.into(), scale: 0.5, weight, model };
    vec![
        channel("knn", 1.0, ChannelModel::ItemItem(sparse(rng, 0.5))),
        channel("content", 0.2, ChannelModel::Content(sparse(rng, 0.0))),
        channel(
            "spectral",
            0.7,
            ChannelModel::LowRank(LowRank {
                items: matrix(24, rng),
                input: None,
                input_scale: positive(N_ITEMS, rng),
                factor_scale: positive(24, rng),
                output_scale: positive(N_ITEMS, rng),
                history_exponent: 0.0,
            }),
        ),
        channel(
            "embeddings",
            0.1,
            ChannelModel::LowRank(LowRank {
                items: matrix(70, rng),
                input: Some(matrix(70, rng)),
                history_exponent: 1.0,
                ..LowRank::default()
            }),
        ),
        channel("ials", 0.9, ChannelModel::Ials(ials(32, rng))),
        channel("ials_wide", 0.9, ChannelModel::Ials(ials(144, rng))),
        channel(
            "users",
            0.3,
            ChannelModel::UserUser(UserUser { neighbours: 9, ..UserUser::default() }),
        ),
    ]
}

/// The same, and models in the forms that training leaves them in.
pub fn as_trained(seed: u64) -> BundleContents {
    let mut rng = Rng::new(seed + 1);
    let channel = |name: &str, model| Channel { name: name.into(), scale: 0.5, weight: 0.4, model };
    let mut contents = contents(seed);
    let turned = ChannelModel::Ials(turned(ials(48, &mut rng)));
    let dense = ChannelModel::ItemItem(of_bytes(&mut rng));
    let whole = [ials(48, &mut rng), ials(48, &mut rng)];
    let mixed = ChannelModel::Ials(side_by_side(&whole));
    let both = [turned_ials(seed + 3), turned_ials(seed + 4), turned_ials(seed + 5)];
    let three = ChannelModel::Ials(side_by_side(&both));
    contents.channels.extend([channel("ials_turned", turned), channel("dense", dense)]);
    contents.channels.extend([channel("ials_mixed", mixed), channel("ials_three", three)]);
    contents
}

fn turned_ials(seed: u64) -> IalsModel {
    turned(ials(16, &mut Rng::new(seed)))
}

/// Models of one kind as one, with the settings of the first.
fn side_by_side(models: &[IalsModel]) -> IalsModel {
    let rows = (0..N_ITEMS).flat_map(|i| models.iter().flat_map(move |m| m.items.row(i)));
    let data: Vec<f32> = rows.copied().collect();
    let items = Matrix::from_data(N_ITEMS, data.len() / N_ITEMS, data);
    IalsModel { items, models: models.len(), ..models[0].clone() }
}

/// The same with factors whose columns are orthogonal, as training leaves them.
fn turned(mut model: IalsModel) -> IalsModel {
    let k = model.items.n_cols;
    let data = &mut model.items.data;
    for f in 0..k {
        for before in 0..f {
            let column = |data: &[f32], f: usize| -> Vec<f64> {
                data.iter().skip(f).step_by(k).map(|&v| f64::from(v)).collect()
            };
            let (a, b) = (column(data, before), column(data, f));
            let product: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            let part = product / a.iter().map(|a| a * a).sum::<f64>();
            let values = data.iter_mut().skip(f).step_by(k);
            values.zip(a).for_each(|(v, a)| *v -= (part * a) as f32);
        }
    }
    model
}

/// Weights of eight bits on columns of different scales, some of them below 0.
fn of_bytes(rng: &mut Rng) -> ItemItem {
    let mut model = sparse(rng, 0.0);
    for (column, value) in model.similar.indices.iter().zip(&mut model.similar.values) {
        *value = (rng.below(255) as f32 - 127.0) * 2f32.powi((column % 5) as i32 - 9);
    }
    model
}

fn ials(factors: usize, rng: &mut Rng) -> IalsModel {
    IalsModel {
        items: matrix(factors, rng),
        models: 1,
        alpha: 8.0,
        reg: 3.0,
        reg_exponent: 0.5,
        user_exponent: 0.25,
        mean_degree: 15.0,
        input_weight: positive(N_ITEMS, rng),
        output_scale: positive(N_ITEMS, rng),
    }
}

fn sparse(rng: &mut Rng, history_exponent: f32) -> ItemItem {
    let row = |i: usize, rng: &mut Rng| {
        let near = (0..N_ITEMS as u32).filter(|&j| j as usize != i && rng.f32() < 0.1);
        near.collect::<Vec<_>>().into_iter().map(|j| (j, rng.normal() as f32)).collect::<Vec<_>>()
    };
    let rows: Vec<_> = (0..N_ITEMS).map(|i| row(i, rng)).collect();
    ItemItem { similar: Csr::from_rows(N_ITEMS, rows), history_exponent }
}

fn matrix(factors: usize, rng: &mut Rng) -> Matrix {
    let data = (0..N_ITEMS * factors).map(|_| rng.normal() as f32 * 0.3).collect();
    Matrix::from_data(N_ITEMS, factors, data)
}

fn positive(n: usize, rng: &mut Rng) -> Vec<f32> {
    (0..n).map(|_| 0.5 + rng.f32()).collect()
}
