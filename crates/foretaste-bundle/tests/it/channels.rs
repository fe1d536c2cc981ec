//! Every channel against a naive computation in f64 from the contents it was written from.

use foretaste_bundle::{
    Bundle, BundleContents, ChannelModel, ChannelScratch, GraphConfig, IalsModel, ItemItem,
    LowRank, Summing, UserUser, write,
};
use foretaste_core::{BitSet, ItemIdx, Rng, topk::by_rank};

use crate::planted::{N_ITEMS, as_trained};

type History = Vec<(ItemIdx, f32)>;

fn histories() -> Vec<History> {
    let mut rng = Rng::new(11);
    let mut all: Vec<History> = vec![vec![(5, 1.0)]];
    for n in [3, 17, 40] {
        let mut items: Vec<ItemIdx> = (0..N_ITEMS as ItemIdx).collect();
        rng.shuffle(&mut items);
        all.push(items[..n].iter().map(|&i| (i, 0.5 + rng.f32())).collect());
    }
    all
}

fn naive(contents: &BundleContents, model: &ChannelModel, x: &History) -> Vec<f64> {
    match model {
        ChannelModel::ItemItem(m) | ChannelModel::Content(m) => naive_item_item(m, x),
        ChannelModel::LowRank(m) => naive_low_rank(m, x),
        ChannelModel::Ials(m) => naive_models(m, x),
        ChannelModel::UserUser(m) => naive_user_user(contents, m, x),
    }
}

fn naive_item_item(m: &ItemItem, x: &History) -> Vec<f64> {
    let mut scores = vec![0f64; N_ITEMS];
    for &(i, w) in x {
        let (columns, values) = m.similar.row(i as usize);
        for (&j, &v) in columns.iter().zip(values) {
            scores[j as usize] += f64::from(w) * f64::from(v);
        }
    }
    let factor = (x.len() as f64).powf(-f64::from(m.history_exponent));
    scores.into_iter().map(|s| s * factor).collect()
}

fn or_one(values: &[f32], i: usize) -> f64 {
    values.get(i).map_or(1.0, |&v| f64::from(v))
}

fn naive_low_rank(m: &LowRank, x: &History) -> Vec<f64> {
    let k = m.items.n_cols;
    let input = m.input.as_ref().unwrap_or(&m.items);
    let mut q = vec![0f64; k];
    for &(i, w) in x {
        let scale = f64::from(w) * or_one(&m.input_scale, i as usize);
        (0..k).for_each(|f| q[f] += scale * f64::from(input.row(i as usize)[f]));
    }
    let factor = (x.len() as f64).powf(-f64::from(m.history_exponent));
    (0..k).for_each(|f| q[f] *= factor * or_one(&m.factor_scale, f));
    let score = |j: usize| -> f64 {
        let row = m.items.row(j).iter().zip(&q).map(|(y, q)| f64::from(*y) * q);
        row.sum::<f64>() * or_one(&m.output_scale, j)
    };
    (0..N_ITEMS).map(score).collect()
}

/// The sum over models that stand side by side.
fn naive_models(m: &IalsModel, x: &History) -> Vec<f64> {
    let width = m.items.n_cols / m.models;
    let each = (0..m.models).map(|at| naive_ials(m, (at * width, width), x));
    let sum = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).map(|(a, b)| a + b).collect();
    each.reduce(sum).unwrap()
}

fn naive_ials(m: &IalsModel, (first, k): (usize, usize), x: &History) -> Vec<f64> {
    let y = |j: usize, f: usize| f64::from(m.items.row(j)[first + f]);
    let relative = x.len() as f64 / f64::from(m.mean_degree);
    let mut a = vec![vec![0f64; k + 1]; k];
    for (f, row) in a.iter_mut().enumerate() {
        for g in 0..k {
            row[g] = (0..N_ITEMS).map(|j| y(j, f) * y(j, g)).sum();
        }
        row[f] += f64::from(m.reg) * relative.powf(f64::from(m.reg_exponent));
    }
    for &(i, w) in x {
        let i = i as usize;
        let c = f64::from(m.alpha)
            * f64::from(w)
            * or_one(&m.input_weight, i)
            * relative.powf(-f64::from(m.user_exponent));
        for f in 0..k {
            for g in 0..k {
                a[f][g] += c * y(i, f) * y(i, g);
            }
            a[f][k] += (1.0 + c) * y(i, f);
        }
    }
    let u = gauss(a);
    let dot = |j: usize| (0..k).map(|f| u[f] * y(j, f)).sum::<f64>();
    (0..N_ITEMS).map(|j| dot(j) * or_one(&m.output_scale, j)).collect()
}

/// Solves an augmented system by elimination with pivots.
fn gauss(mut a: Vec<Vec<f64>>) -> Vec<f64> {
    let n = a.len();
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs())).unwrap();
        a.swap(k, pivot);
        for i in k + 1..n {
            let factor = a[i][k] / a[k][k];
            for j in k..=n {
                a[i][j] -= factor * a[k][j];
            }
        }
    }
    let mut x = vec![0f64; n];
    for k in (0..n).rev() {
        let known: f64 = (k + 1..n).map(|j| a[k][j] * x[j]).sum();
        x[k] = (a[k][n] - known) / a[k][k];
    }
    x
}

fn naive_user_user(contents: &BundleContents, m: &UserUser, x: &History) -> Vec<f64> {
    let r = &contents.histories.matrix;
    let degrees = r.col_counts();
    let power = |n: u32, e: f32| f64::from(n.max(1)).powf(-f64::from(e));
    let weight_of = |item: u32| x.iter().find(|(i, _)| *i == item).map(|(_, w)| f64::from(*w));
    let mut similar: Vec<(usize, f64)> = Vec::new();
    for v in 0..r.n_rows() {
        let (items, _) = r.row(v);
        let shared = items
            .iter()
            .filter_map(|&i| Some(weight_of(i)? * power(degrees[i as usize], m.item_exponent)));
        let sum: f64 = shared.sum::<f64>() * power(items.len() as u32, m.user_exponent);
        if sum > 0.0 && !items.iter().all(|&i| weight_of(i).is_some()) {
            similar.push((v, sum));
        }
    }
    similar.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut scores = vec![0f64; N_ITEMS];
    for &(v, s) in similar.iter().take(m.neighbours) {
        let (items, values) = r.row(v);
        for (&j, &value) in items.iter().zip(values) {
            let vote = if m.weighted { f64::from(value) } else { 1.0 };
            scores[j as usize] += s.powf(f64::from(m.similarity_exponent)) * vote;
        }
    }
    let scale = |j: usize| power(degrees[j], m.output_exponent);
    (0..N_ITEMS).map(|j| scores[j] * scale(j)).collect()
}

fn opened(contents: &BundleContents) -> (tempfile::TempDir, Bundle) {
    let folder = tempfile::tempdir().unwrap();
    let id = write(folder.path(), contents).unwrap();
    let bundle = Bundle::open(folder.path(), &id).unwrap();
    (folder, bundle)
}

#[track_caller]
fn close(found: f32, expected: f64, what: &str) {
    let error = (f64::from(found) - expected).abs();
    assert!(error <= 2e-3 * (1.0 + expected.abs()), "{what}: {found} is not {expected}");
}

#[test]
fn scores_are_what_the_model_says() {
    let contents = as_trained(3);
    let (_folder, bundle) = opened(&contents);
    let all: Vec<ItemIdx> = (0..N_ITEMS as ItemIdx).collect();
    let mut scratch = ChannelScratch::default();
    for (channel, owned) in bundle.channels().iter().zip(&contents.channels) {
        for x in histories() {
            let expected = naive(&contents, &owned.model, &x);
            channel.prepare(&x, &mut scratch);
            let mut found = vec![0f32; N_ITEMS];
            channel.score(&all, &scratch, &mut found);
            for j in 0..N_ITEMS {
                let what = format!("{} with {} items, item {j}", channel.name(), x.len());
                close(found[j], expected[j], &what);
            }
        }
    }
}

#[test]
fn search_gives_the_best_allowed_in_order() {
    let contents = as_trained(4);
    let (_folder, bundle) = opened(&contents);
    let all: Vec<ItemIdx> = (0..N_ITEMS as ItemIdx).collect();
    let mut scratch = ChannelScratch::default();
    let mut allowed = BitSet::full(N_ITEMS);
    (0..N_ITEMS as u32).filter(|i| i % 3 == 1).for_each(|i| {
        allowed.remove(i);
    });
    for channel in bundle.channels() {
        for x in histories() {
            channel.prepare(&x, &mut scratch);
            let mut scores = vec![0f32; N_ITEMS];
            channel.score(&all, &scratch, &mut scores);
            let known = all.iter().filter(|&&i| allowed.contains(i) && scores[i as usize] != 0.0);
            let mut expected: Vec<_> = known.map(|&i| (i, scores[i as usize])).collect();
            expected.sort_by(by_rank);
            expected.truncate(10);
            let mut found = Vec::new();
            channel.search(&allowed, 10, &mut scratch, &mut found);
            let ids = |v: &[(u32, f32)]| v.iter().map(|p| p.0).collect::<Vec<_>>();
            assert_eq!(ids(&found), ids(&expected), "{}", channel.name());
            assert!(found.iter().all(|(i, s)| scores[*i as usize] == *s), "{}", channel.name());
        }
    }
}

#[test]
fn contributions_sum_to_the_score() {
    let contents = as_trained(5);
    let (_folder, bundle) = opened(&contents);
    let mut scratch = ChannelScratch::default();
    let mut parts = Vec::new();
    for channel in bundle.channels() {
        for x in histories() {
            for item in [0, 42, 149] {
                channel.prepare(&x, &mut scratch);
                let mut score = [0f32];
                channel.score(&[item], &scratch, &mut score);
                channel.contributions(item, &x, &mut scratch, &mut parts);
                let sum: f32 = parts.iter().map(|p| p.1).sum();
                // Parts of both signs cancel: the error is measured against their size.
                let size: f32 = parts.iter().map(|p| p.1.abs()).sum();
                let error = (sum - score[0]).abs();
                assert!(error <= 1e-2 * size, "{}: {sum} {}", channel.name(), score[0]);
                assert!(parts.iter().all(|p| x.iter().any(|h| h.0 == p.0)));
            }
        }
    }
}

#[test]
fn sums_of_many_are_those_of_one() {
    let (_folder, bundle) = opened(&as_trained(12));
    let all: Vec<ItemIdx> = (0..N_ITEMS as ItemIdx).collect();
    let mut histories = histories();
    histories.push((0..30).map(|i| (3 * i, 1.0)).collect());
    histories.push(vec![(7, 1.0), (8, 0.5), (90, 1.5)]);
    let channel = bundle.channels().iter().find(|c| c.name() == "dense").unwrap();
    let panelled = channel.panelled().expect("weights of eight bits");
    let mut users: Vec<Summing> = histories.iter().map(|_| Summing::default()).collect();
    let wanted = || (0..N_ITEMS as ItemIdx).rev().filter(|i| i % 4 != 1);
    users.iter_mut().zip(&histories).for_each(|(user, x)| user.ask(x, 9, wanted()));
    let mut allowed = BitSet::full(N_ITEMS);
    (0..N_ITEMS as u32).filter(|i| i % 5 == 0).for_each(|i| assert!(allowed.remove(i)));
    panelled.search(&mut users, &vec![allowed.clone(); histories.len()]);
    let mut n_asked = 0;
    for (user, x) in users.iter().zip(&histories).filter(|(user, _)| user.is_asked()) {
        let (mut scratch, mut found) = (ChannelScratch::default(), Vec::new());
        channel.prepare(x, &mut scratch);
        channel.search(&allowed, 9, &mut scratch, &mut found);
        assert_eq!(user.found, found, "{} items", x.len());
        let mut scores = [vec![0.0; N_ITEMS], vec![0.0; N_ITEMS]];
        channel.score(&all, &scratch, &mut scores[0]);
        panelled.score(user, &all, &mut scores[1]);
        assert_eq!(scores[0], scores[1], "{} items", x.len());
        n_asked += 1;
    }
    assert_eq!(n_asked, 3, "one item, equal weights, weights of halves; not weights of any size");
    let other = bundle.channels().iter().find(|c| c.name() == "knn").unwrap();
    assert!(other.panelled().is_none());
}

#[test]
fn an_empty_history_proposes_nothing() {
    let (_folder, bundle) = opened(&as_trained(6));
    let mut scratch = ChannelScratch::default();
    let mut found = vec![(1, 1.0)];
    for channel in bundle.channels() {
        channel.prepare(&[], &mut scratch);
        channel.search(&BitSet::full(N_ITEMS), 5, &mut scratch, &mut found);
        assert!(found.is_empty(), "{}", channel.name());
    }
}

#[test]
fn similar_leaves_the_item_itself_out() {
    let (_folder, bundle) = opened(&as_trained(7));
    let mut scratch = ChannelScratch::default();
    let mut found = Vec::new();
    for channel in bundle.channels() {
        channel.similar(12, &BitSet::full(N_ITEMS), 8, &mut scratch, &mut found);
        assert!(!found.is_empty() && found.len() <= 8, "{}", channel.name());
        assert!(found.iter().all(|&(i, _)| i != 12), "{}", channel.name());
    }
}

#[test]
fn a_scan_in_ranges_finds_what_a_search_finds() {
    let contents = BundleContents { graphs: GraphConfig::default(), ..as_trained(8) };
    let (_folder, bundle) = opened(&contents);
    let (mut scratch, mut shared) = (ChannelScratch::default(), ChannelScratch::default());
    let (mut found, mut together) = (Vec::new(), vec![(0, 9.0)]);
    let mut allowed = BitSet::full(N_ITEMS);
    (0..N_ITEMS as u32).filter(|i| i % 5 == 2).for_each(|i| assert!(allowed.remove(i)));
    for channel in bundle.channels().iter().filter(|channel| channel.shareable_work() > 0) {
        for (x, n) in histories().iter().zip([1, 5, 40, 200]) {
            channel.prepare(x, &mut scratch);
            channel.search(&allowed, n, &mut scratch, &mut found);
            for n_ranges in [1, 2, 3, 50] {
                channel.prepare(x, &mut shared);
                let scan = channel.scan(&allowed, n, &mut shared).unwrap();
                let mut ranges: Vec<_> = scan.ranges(n_ranges).collect();
                assert!(ranges.len() <= n_ranges);
                ranges.reverse();
                ranges.into_iter().for_each(|range| scan.run(range));
                scan.finish(&mut together);
                assert_eq!(together, found, "{}, {n_ranges} ranges", channel.name());
            }
        }
    }
    let shareable = bundle.channels().iter().filter(|c| c.shareable_work() > 0).count();
    assert_eq!(shareable, 7, "every channel of vectors");
}
