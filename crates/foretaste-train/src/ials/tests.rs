use foretaste_core::{NoProgress, planted};

use super::*;

const SOLVERS: [Solver; 3] =
    [Solver::Cg { steps: 3 }, Solver::Block { size: 16 }, Solver::Cholesky];

fn small(solver: Solver) -> IalsConfig {
    IalsConfig { factors: 24, alpha: 10.0, reg: 1.0, iterations: 8, solver, ..Default::default() }
}

fn residual(model: &Ials, r: &Csr, users: &Matrix, u: usize) -> f32 {
    let (items, values) = r.row(u);
    let config = &model.config;
    let degree = items.len() as f32 / model.mean_user_degree;
    let reg = config.reg * degree.powf(config.reg_exponent);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let mut residual: Vec<f32> = users.row(u).iter().map(|v| -reg * v).collect();
    let add = |residual: &mut Vec<f32>, c: f32, y: &[f32]| {
        residual.iter_mut().zip(y).for_each(|(r, y)| *r += c * y);
    };
    for j in 0..model.items.n_rows {
        let y = model.items.row(j);
        add(&mut residual, -dot(y, users.row(u)), y);
    }
    for (&i, &v) in items.iter().zip(values) {
        let y = model.items.row(i as usize);
        let w = v * degree.powf(-config.user_exponent) * model.item_weights[i as usize];
        add(&mut residual, 1.0 + w - w * dot(y, users.row(u)), y);
    }
    residual.iter().map(|r| r.abs()).fold(0.0, f32::max)
}

#[test]
fn every_solver_recovers_the_checkerboard() {
    let r = planted::checkerboard(60, 50, 0.3, 1);
    for solver in SOLVERS {
        let config = IalsConfig { factors: 3, ..small(solver) };
        let model = fit(&r, &config, &NoProgress);
        let users = model.fold_in(&r, 10);
        for u in 0..60 {
            let seen = r.row(u).0;
            let score = |i: u32| -> f32 {
                model.items.row(i as usize).iter().zip(users.row(u)).map(|(a, b)| a * b).sum()
            };
            let best = (0..50u32)
                .filter(|i| !seen.contains(i))
                .max_by(|&a, &b| score(a).total_cmp(&score(b)));
            assert_eq!(best.unwrap() as usize % 2, u % 2, "{solver:?}, user {u}");
        }
    }
}

#[test]
fn folding_in_solves_the_normal_equations() {
    let r = planted::groups((40, 30, 3), (0.6, 0.1), 5);
    let model = fit(&r, &small(Solver::Cg { steps: 3 }), &NoProgress);
    let users = model.fold_in(&r, 40);
    for u in 0..40 {
        let left = residual(&model, &r, &users, u);
        assert!(left < 2e-2, "user {u}: residual {left}");
    }
}

#[test]
fn solvers_agree_when_they_converge() {
    let r = planted::groups((40, 30, 3), (0.6, 0.1), 6);
    let exact = fit(&r, &IalsConfig { iterations: 60, ..small(Solver::Cholesky) }, &NoProgress);
    for solver in [Solver::Cg { steps: 8 }, Solver::Block { size: 16 }] {
        let other = fit(&r, &IalsConfig { iterations: 60, ..small(solver) }, &NoProgress);
        let scores = |m: &Ials| crate::dense::times(&m.fold_in(&r, 40), &transposed(&m.items)).data;
        let (a, b) = (scores(&exact), scores(&other));
        let worst = a.iter().zip(&b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(worst < 0.05, "{solver:?} differs by {worst}");
    }
}

fn transposed(m: &Matrix) -> Matrix {
    let data = (0..m.n_cols).flat_map(|c| (0..m.n_rows).map(move |r| m.row(r)[c])).collect();
    Matrix::from_data(m.n_cols, m.n_rows, data)
}

#[test]
fn names_of_items_do_not_matter() {
    let r = planted::groups((40, 30, 3), (0.6, 0.1), 7);
    let mut permutation: Vec<u32> = (0..30).collect();
    Rng::new(3).shuffle(&mut permutation);
    let keys: Vec<u64> = (0..30).map(|i| 1000 + i).collect();
    let mut permuted_keys = vec![0; 30];
    permutation.iter().zip(&keys).for_each(|(&to, &key)| permuted_keys[to as usize] = key);
    let config = small(Solver::Cg { steps: 3 });
    let a = fit_keyed(&r, &config, Some(&keys), &NoProgress);
    let renamed = planted::permute_columns(&r, &permutation);
    let b = fit_keyed(&renamed, &config, Some(&permuted_keys), &NoProgress);
    for (i, &to) in permutation.iter().enumerate() {
        let pairs = a.items.row(i).iter().zip(b.items.row(to as usize));
        let worst = pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "item {i} moved by {worst}");
    }
}

#[test]
fn items_nobody_has_are_zero() {
    let mut r = planted::checkerboard(20, 10, 0.2, 2);
    r.n_cols = 12;
    let model = fit(&r, &small(Solver::Cg { steps: 2 }), &NoProgress);
    assert!(model.items.row(11).iter().all(|&v| v == 0.0) && model.items.is_finite());
}

#[test]
fn turned_items_are_scored_alike_and_have_a_diagonal_gram_matrix() {
    let r = planted::groups((40, 30, 3), (0.6, 0.1), 9);
    let model = fit(&r, &small(Solver::Cg { steps: 3 }), &NoProgress);
    let turned = Ials { items: model.turned_items().unwrap(), ..model.clone() };
    let gram = crate::dense::gram(&turned.items);
    let size = |i: usize| (gram.row(i)[i] + model.config.reg).sqrt();
    let beside = (0..24 * 24).map(|k| (k / 24, k % 24)).filter(|(i, j)| i != j);
    let worst = beside.map(|(i, j)| gram.row(i)[j].abs() / (size(i) * size(j))).fold(0.0, f32::max);
    assert!(worst < 1e-5, "{worst} beside the diagonal");
    let scores = |m: &Ials| crate::dense::times(&m.fold_in(&r, 40), &transposed(&m.items)).data;
    let pairs = scores(&model).into_iter().zip(scores(&turned));
    let worst = pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-3, "scores differ by {worst}");
}
