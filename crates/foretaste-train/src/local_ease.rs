//! Local EASE: for each item, the least-squares weights of its nearest items only. The sparse form
//! of [`crate::ease`], for catalogues of any size.
//!
//! The small system of a target is built from the rows of the users who have any of its
//! candidates; no co-occurrence matrix of the catalogue is ever held.

use foretaste_bundle::kernels::simd::{Kernel, LANES, Simd, axpy, dot, vectorised};
use foretaste_core::Csr;
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use crate::ease::{EaseConfig, System};
use crate::item_item::{self, ItemItemConfig, Weighting, capped};
use crate::product;

/// Targets per task.
const TARGETS_PER_TASK: usize = 16;
/// Entries of a user that take part.
const MAX_USER_ITEMS: usize = 1000;
/// Steps of the conjugate gradient at most, and the residual (relative, squared) that ends it.
const STEPS: usize = 30;
const ENOUGH: f32 = 1e-7;

/// Weights from `r` (users x items, values > 0); `config.k` candidates per target.
///
/// # Shapes
/// As [`crate::ease::fit`]: row `i` holds the weights of item `i` in the scores of items `j`,
/// ordered by descending value. Every column has at most `config.k` entries.
///
/// # Cost
/// Per target: the entries of its candidates, the pairs of candidates that users share, and 30
/// products with a k x k matrix. Memory: the result twice, three copies of `r`, and per thread
/// k^2 + users floats.
///
/// # Source
/// Own combination: Steck 2019 (see [`crate::ease::fit`]) restricted to the `k` nearest items by
/// the normalised similarity (exponents 0.5, 0.5, 0.5), as in SLIM with neighbourhood selection
/// (Ning & Karypis, "SLIM: sparse linear methods for top-N recommender systems", ICDM 2011,
/// fsSLIM).
pub fn fit(r: &Csr, config: &EaseConfig) -> Csr {
    let r = &capped(r, MAX_USER_ITEMS);
    let weighting = Weighting::Normalised { a_user: 0.5, p_source: 0.5, q_target: 0.5 };
    let near = ItemItemConfig { weighting, k: config.k, ..Default::default() };
    let candidates = item_item::fit(r, &near);
    let system = System::new(r, config);
    let (plain, weighted) = (r.transpose(), system.weighted.transpose());
    let n = r.n_cols;
    let parts: Vec<Csr> = (0..n.div_ceil(TARGETS_PER_TASK))
        .into_par_iter()
        .map_init(
            || Local::new(r.n_rows()),
            |local, task| {
                let mut part = Csr { n_cols: n, indptr: vec![0], ..Csr::default() };
                for j in task * TARGETS_PER_TASK..n.min((task + 1) * TARGETS_PER_TASK) {
                    local.members.clear();
                    local.members.extend_from_slice(candidates.row(j).0);
                    local.members.push(j as u32);
                    local.collect_users(&plain, &weighted);
                    local.build(&system.lambda);
                    vectorised(Solve(local));
                    let scale = system.output[j];
                    let each = local.members.iter().zip(&local.x[..local.members.len() - 1]);
                    let kept = each.map(|(&i, &w)| (i, w * scale));
                    part.push_row(kept.filter(|w| w.1 != 0.0 && w.1.is_finite()));
                }
                part
            },
        )
        .collect();
    by_value(&product::concat(n, &parts).transpose())
}

/// Each row in order of descending value.
fn by_value(m: &Csr) -> Csr {
    let mut out = Csr { n_cols: m.n_cols, indptr: vec![0], ..Csr::default() };
    let mut row: Vec<(u32, f32)> = Vec::new();
    for i in 0..m.n_rows() {
        let (cols, vals) = m.row(i);
        row.clear();
        row.extend(cols.iter().copied().zip(vals.iter().copied()));
        row.sort_unstable_by(foretaste_core::topk::by_rank);
        out.push_row(row.iter().copied());
    }
    out
}

/// The system of one target; the target is the last member.
struct Local {
    members: Vec<u32>,
    /// Entries per user among the members, then the next free place of the user's list.
    place: Vec<u32>,
    users: Vec<u32>,
    /// (member, value, weighted value), user by user.
    entries: Vec<(u32, f32, f32)>,
    ends: Vec<u32>,
    /// Lower triangle, then the whole matrix; row length `stride`.
    h: Vec<f32>,
    stride: usize,
    b: Vec<f32>,
    x: Vec<f32>,
    work: [Vec<f32>; 4],
}

impl Local {
    fn new(n_users: usize) -> Self {
        Self {
            members: Vec::new(),
            place: vec![0; n_users],
            users: Vec::new(),
            entries: Vec::new(),
            ends: Vec::new(),
            h: Vec::new(),
            stride: 0,
            b: Vec::new(),
            x: Vec::new(),
            work: Default::default(),
        }
    }

    /// Lists what each user has among the members, by counting sort.
    fn collect_users(&mut self, plain: &Csr, weighted: &Csr) {
        self.users.clear();
        for &m in &self.members {
            for &u in plain.row(m as usize).0 {
                if self.place[u as usize] == 0 {
                    self.users.push(u);
                }
                self.place[u as usize] += 1;
            }
        }
        let mut total = 0;
        self.ends.clear();
        for &u in &self.users {
            let count = std::mem::replace(&mut self.place[u as usize], total);
            total += count;
            self.ends.push(total);
        }
        self.entries.resize(total as usize, (0, 0.0, 0.0));
        for (a, &m) in self.members.iter().enumerate() {
            let (users, values) = plain.row(m as usize);
            let (_, weights) = weighted.row(m as usize);
            for ((&u, &value), &weight) in users.iter().zip(values).zip(weights) {
                let place = &mut self.place[u as usize];
                self.entries[*place as usize] = (a as u32, value, weight);
                *place += 1;
            }
        }
        self.users.iter().for_each(|&u| self.place[u as usize] = 0);
    }

    /// Fills `h` (candidates x candidates, regularised) and `b` (candidates x target).
    fn build(&mut self, lambda: &[f32]) {
        let all = self.members.len();
        let (n, stride) = (all - 1, all.next_multiple_of(LANES));
        self.stride = stride;
        self.h.clear();
        self.h.resize(all * stride, 0.0);
        let mut start = 0;
        for &end in &self.ends {
            let list = &self.entries[start..end as usize];
            start = end as usize;
            for (at, &(row, _, weight)) in list.iter().enumerate() {
                let sums = &mut self.h[row as usize * stride..][..stride];
                for &(col, value, _) in &list[..=at] {
                    sums[col as usize] += weight * value;
                }
            }
        }
        self.b.clear();
        self.b.extend_from_slice(&self.h[n * stride..n * stride + n]);
        self.b.resize(stride, 0.0);
        for i in 0..n {
            self.h[i * stride + i] += lambda[self.members[i] as usize];
            for j in 0..i {
                self.h[j * stride + i] = self.h[i * stride + j];
            }
        }
    }
}

/// Conjugate gradient with diagonal preconditioner: `x = h^-1 b`.
struct Solve<'a>(&'a mut Local);

impl Kernel for Solve<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let Local { members, h, stride, b, x, work, .. } = self.0;
        let (n, stride) = (members.len() - 1, *stride);
        let [r, p, q, d] = work;
        for v in [&mut *r, &mut *p, &mut *q, &mut *d, &mut *x] {
            v.clear();
            v.resize(stride, 0.0);
        }
        for i in 0..n {
            d[i] = 1.0 / h[i * stride + i];
            r[i] = b[i];
            p[i] = d[i] * r[i];
        }
        let mut rz = dot::<S>(r, p);
        let enough = rz * ENOUGH;
        for _ in 0..STEPS {
            if rz <= enough || rz <= 0.0 {
                break;
            }
            for i in 0..n {
                q[i] = dot::<S>(&h[i * stride..(i + 1) * stride], p);
            }
            let step = rz / dot::<S>(p, q);
            axpy::<S>(step, p, x);
            axpy::<S>(-step, q, r);
            let mut next = 0.0;
            for i in 0..n {
                next = S::fma(r[i] * d[i], r[i], next);
            }
            let turn = next / rz;
            for i in 0..n {
                p[i] = S::fma(turn, p[i], r[i] * d[i]);
            }
            rz = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::planted;

    use super::*;
    use crate::ease;

    #[test]
    fn with_all_items_as_candidates_it_is_ease() {
        let r = planted::groups((200, 30, 3), (0.5, 0.1), 12);
        let config = EaseConfig { lambda: 1.0, k: 29, ..Default::default() };
        let (local, whole) = (fit(&r, &config), ease::fit(&r, &config).unwrap());
        for i in 0..30 {
            let (js, vs) = whole.row(i);
            for (j, v) in js.iter().zip(vs) {
                let (ks, ws) = local.row(i);
                let found = ks.iter().position(|k| k == j).map_or(0.0, |at| ws[at]);
                assert!((found - v).abs() < 2e-3, "{i} to {j}: {found} is not {v}");
            }
        }
    }

    #[test]
    fn items_without_users_have_no_weights() {
        let mut r = planted::checkerboard(20, 10, 0.2, 3);
        r.n_cols = 12;
        let weights = fit(&r, &EaseConfig { k: 5, ..Default::default() });
        assert!(weights.row(11).0.is_empty() && weights.n_rows() == 12);
    }
}
