//! Conjugate gradients for the system of one user: what is there without a history, and a rank-one
//! term for each item of it. The whole solution is one kernel, because its parts are short.

use super::simd::{self, Kernel, LANES, Simd, vectorised};

/// Most steps; systems of any size stop long before.
const STEPS: usize = 48;
/// Squared relative residual at which the steps end: scores then are within 0.0005 of the largest
/// (on gowalla and ml-1m, 0.00005 on average), and the best 20 are those of an exact solution.
const TOLERANCE: f32 = 1e-8;
/// Rows between the one that is read first and the one that is fetched.
const AHEAD: usize = 8;

/// `ground + reg I + sum over the history of weight * y y'`.
#[derive(Clone, Copy)]
pub struct System<'a> {
    /// Vectors of all items, row-major; a row may have more numbers than the system.
    pub vectors: &'a [f32],
    /// Numbers from one row to the next.
    pub stride: usize,
    /// The history; its own weights are not read.
    pub items: &'a [(u32, f32)],
    /// Weight of each item of the history.
    pub weights: &'a [f32],
    /// What is there without a history.
    pub ground: Ground<'a>,
    /// Added to the diagonal.
    pub reg: f32,
}

/// A symmetric matrix.
#[derive(Clone, Copy)]
pub enum Ground<'a> {
    /// Its diagonal; there is nothing beside it.
    Diagonal(&'a [f32]),
    /// All of it, row-major.
    Whole(&'a [f32]),
}

/// Vectors that solutions reuse.
pub type Work = [Vec<f32>; 4];

/// Replaces `out` by the solution for the right side `sum over the history of (1 + weight) * y`.
///
/// # Shapes
/// `out` has the length of an item's vector.
///
/// # Cost
/// A step takes 4 flops for each number of the history's vectors, and 2 dims^2 where the ground is
/// whole. With a ground that is diagonal, 5 to 7 steps are usual.
///
/// # Panics
/// When the shapes disagree, or an item has no vector.
pub fn fold_in(system: &System<'_>, work: &mut Work, out: &mut [f32]) {
    system.check(out.len());
    vectorised(Solve { system, work, right: out, is_given: false });
}

/// Replaces `right` by the solution for it.
///
/// # Cost
/// As [`fold_in`].
///
/// # Panics
/// As [`fold_in`].
pub fn solve(system: &System<'_>, work: &mut Work, right: &mut [f32]) {
    system.check(right.len());
    vectorised(Solve { system, work, right, is_given: true });
}

impl<'a> System<'a> {
    fn check(&self, dims: usize) {
        assert_eq!(self.items.len(), self.weights.len(), "one weight per item");
        let (ground, expected) = match self.ground {
            Ground::Diagonal(ground) => (ground, dims),
            Ground::Whole(ground) => (ground, dims * dims),
        };
        assert!(ground.len() == expected && dims > 0, "a ground of the vectors' length");
    }

    #[inline(always)]
    fn row(&self, at: usize, dims: usize) -> &'a [f32] {
        &self.vectors[self.items[at].0 as usize * self.stride..][..dims]
    }

    /// `out = system * x`.
    #[inline(always)]
    fn apply<S: Simd>(&self, x: &[f32], out: &mut [f32]) {
        let dims = x.len();
        match self.ground {
            Ground::Diagonal(ground) => {
                for ((out, x), ground) in out.iter_mut().zip(x).zip(ground) {
                    *out = (ground + self.reg) * x;
                }
            }
            Ground::Whole(a) => {
                for (out, x) in out.iter_mut().zip(x) {
                    *out = self.reg * x;
                }
                add_product::<S>(a, x, out);
            }
        }
        let whole = if dims.is_multiple_of(LANES) { self.items.len() / 4 * 4 } else { 0 };
        for at in (0..whole).step_by(4) {
            let four = [
                self.row(at, dims),
                self.row(at + 1, dims),
                self.row(at + 2, dims),
                self.row(at + 3, dims),
            ];
            let (s, w) = (simd::dot4::<S>(four, x), &self.weights[at..at + 4]);
            simd::axpy4::<S>([w[0] * s[0], w[1] * s[1], w[2] * s[2], w[3] * s[3]], four, out);
        }
        for at in whole..self.items.len() {
            let row = self.row(at, dims);
            simd::axpy::<S>(self.weights[at] * simd::dot::<S>(row, x), row, out);
        }
    }

    /// The diagonal; and the right side of [`fold_in`] where there is none.
    #[inline(always)]
    fn diagonal<S: Simd>(&self, out: &mut [f32], mut right: Option<&mut [f32]>) {
        let dims = out.len();
        let at = |i: usize| match self.ground {
            Ground::Diagonal(ground) => ground[i],
            Ground::Whole(ground) => ground[i * dims + i],
        };
        for (i, out) in out.iter_mut().enumerate() {
            *out = at(i) + self.reg;
        }
        if let Some(right) = &mut right {
            right.fill(0.0);
        }
        for (n, &weight) in self.weights.iter().enumerate() {
            if n + AHEAD < self.items.len() {
                simd::prefetch(self.row(n + AHEAD, dims));
            }
            let row = self.row(n, dims);
            for (out, &y) in out.iter_mut().zip(row) {
                *out = S::fma(weight * y, y, *out);
            }
            if let Some(right) = &mut right {
                simd::axpy::<S>(1.0 + weight, row, right);
            }
        }
    }
}

/// `out += a x` for a symmetric matrix.
#[inline(always)]
fn add_product<S: Simd>(a: &[f32], x: &[f32], out: &mut [f32]) {
    let n = x.len();
    let whole = if n.is_multiple_of(LANES) { n / 4 * 4 } else { 0 };
    for i in (0..whole).step_by(4) {
        let four = [x[i], x[i + 1], x[i + 2], x[i + 3]];
        let (first, rest) = a[i * n..(i + 4) * n].split_at(n);
        let (second, rest) = rest.split_at(n);
        let (third, fourth) = rest.split_at(n);
        simd::axpy4::<S>(four, [first, second, third, fourth], out);
    }
    for i in whole..n {
        simd::axpy::<S>(x[i], &a[i * n..(i + 1) * n], out);
    }
}

struct Solve<'a> {
    system: &'a System<'a>,
    work: &'a mut Work,
    right: &'a mut [f32],
    /// Whether the right side is given; else it is that of a fold-in.
    is_given: bool,
}

impl Kernel for Solve<'_> {
    type Out = ();
    /// Jacobi-preconditioned conjugate gradients; `right` becomes the solution.
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { system, work, right, is_given } = self;
        let dims = right.len();
        let [residual, direction, image, inverse] = work;
        for vector in [&mut *residual, &mut *direction, &mut *image, &mut *inverse] {
            vector.clear();
            vector.resize(dims, 0.0);
        }
        let (residual, direction) = (&mut residual[..dims], &mut direction[..dims]);
        let (image, inverse) = (&mut image[..dims], &mut inverse[..dims]);
        system.diagonal::<S>(inverse, (!is_given).then_some(&mut *right));
        for v in inverse.iter_mut() {
            *v = 1.0 / *v;
        }
        residual.copy_from_slice(right);
        right.fill(0.0);
        for i in 0..dims {
            direction[i] = inverse[i] * residual[i];
        }
        let mut rho = simd::dot::<S>(residual, direction);
        let stop = TOLERANCE * rho;
        for _ in 0..STEPS {
            if rho.is_nan() || rho <= stop {
                break;
            }
            system.apply::<S>(direction, image);
            let step = rho / simd::dot::<S>(direction, image);
            simd::axpy::<S>(step, direction, right);
            simd::axpy::<S>(-step, image, residual);
            for i in 0..dims {
                image[i] = inverse[i] * residual[i];
            }
            let next = simd::dot::<S>(residual, image);
            let beta = next / rho;
            for i in 0..dims {
                direction[i] = S::fma(beta, direction[i], image[i]);
            }
            rho = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;
    use crate::kernels::levels;
    use crate::kernels::simd::vectorised_at;
    use crate::kernels::spd;

    /// Vectors, a history, its weights and a ground.
    struct Case {
        vectors: Vec<f32>,
        items: Vec<(u32, f32)>,
        weights: Vec<f32>,
        ground: Vec<f32>,
    }

    fn case(dims: usize, n: usize, is_whole: bool) -> Case {
        let mut rng = Rng::new((dims + n) as u64);
        let vectors: Vec<f32> = (0..dims * 50).map(|_| rng.normal() as f32).collect();
        let items: Vec<(u32, f32)> = (0..n).map(|i| ((i * 7 % 50) as u32, 9.0)).collect();
        let weights = items.iter().map(|_| 0.5 + rng.f32()).collect();
        let ground = (0..if is_whole { dims * dims } else { dims }).map(|k| match k {
            k if !is_whole || k / dims == k % dims => 5.0 + (k % 7) as f32,
            _ => 0.25,
        });
        Case { ground: ground.collect(), vectors, items, weights }
    }

    /// By a factored matrix.
    fn expected(case: &Case, dims: usize, reg: f32) -> Vec<f32> {
        let entry = |k: usize| match case.ground.len() == dims {
            true if k / dims == k % dims => case.ground[k % dims],
            true => 0.0,
            false => case.ground[k],
        };
        let mut a: Vec<f32> = (0..dims * dims).map(entry).collect();
        (0..dims).for_each(|i| a[i * dims + i] += reg);
        let row = |&(item, _): &(u32, f32)| &case.vectors[item as usize * dims..][..dims];
        let rows: Vec<&[f32]> = case.items.iter().map(row).collect();
        spd::add_outer(&mut a, dims, &rows, &case.weights);
        assert!(spd::cholesky(&mut a, dims));
        let mut right = vec![0.0; dims];
        for (row, weight) in rows.iter().zip(&case.weights) {
            right.iter_mut().zip(*row).for_each(|(r, y)| *r += (1.0 + weight) * y);
        }
        spd::solve(&a, dims, &mut right);
        right
    }

    #[test]
    fn every_level_solves_what_a_factored_system_solves() {
        for (dims, n) in [(1, 3), (16, 0), (20, 9), (64, 5), (64, 30), (96, 41)] {
            for is_whole in [false, true] {
                let case = case(dims, n, is_whole);
                let ground = match is_whole {
                    true => Ground::Whole(&case.ground),
                    false => Ground::Diagonal(&case.ground),
                };
                let (items, weights) = (&case.items[..], &case.weights[..]);
                let system = System {
                    vectors: &case.vectors,
                    stride: dims,
                    items,
                    weights,
                    ground,
                    reg: 2.0,
                };
                let expected = expected(&case, dims, 2.0);
                let mut found = Vec::new();
                for level in levels() {
                    let (mut work, mut out) = (Work::default(), vec![7.0; dims]);
                    let (work, right) = (&mut work, &mut out[..]);
                    let solve = Solve { system: &system, work, right, is_given: false };
                    vectorised_at(level, solve);
                    let worst = out.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                    let worst = worst.fold(0.0, f32::max);
                    assert!(worst < 1e-3, "{level:?} {dims} x {n} whole {is_whole}: {worst}");
                    found.push(out);
                }
                let fused = &found[1..];
                assert!(fused.iter().all(|f| *f == fused[0]), "{dims} x {n}: other bits");
            }
        }
    }

    #[test]
    fn a_given_right_side_is_kept() {
        let (dims, case) = (16, case(16, 4, false));
        let (ground, weights) = (Ground::Diagonal(&case.ground), &case.weights[..]);
        let system = System {
            vectors: &case.vectors,
            stride: dims,
            items: &case.items,
            weights,
            ground,
            reg: 1.0,
        };
        let x: Vec<f32> = (0..16).map(|i| i as f32 - 8.0).collect();
        let mut right = vec![0.0; 16];
        system.apply::<simd::Plain<false>>(&x, &mut right);
        solve(&system, &mut Work::default(), &mut right);
        assert!(right.iter().zip(&x).all(|(found, x)| (found - x).abs() < 1e-2), "{right:?}");
    }
}
