use foretaste_core::Rng;

use super::*;

/// A random problem: relevance, caps, quotas, group of each candidate (for similarity).
struct Problem {
    relevance: Vec<f32>,
    lambda: f32,
    caps: Vec<Cap>,
    quotas: Vec<Quota>,
    k: usize,
    group: Vec<u32>,
}

impl Problem {
    fn plain(relevance: &[f32], k: usize) -> Self {
        let group = vec![0; relevance.len()];
        let relevance = relevance.to_vec();
        Self { relevance, lambda: 1.0, caps: Vec::new(), quotas: Vec::new(), k, group }
    }

    fn random(rng: &mut Rng) -> Self {
        let n = rng.below(40);
        let mut relevance: Vec<f32> = (0..n).map(|_| rng.below(12) as f32 - 4.0).collect();
        relevance.sort_by(|a, b| b.total_cmp(a));
        let group: Vec<u32> = (0..n).map(|_| rng.below(5) as u32).collect();
        let caps = (0..rng.below(3)).map(|_| random_cap(rng, n)).collect();
        let quotas = (0..rng.below(3)).map(|_| random_quota(rng, n)).collect();
        let lambda = [0.0, 0.3, 0.7, 1.0][rng.below(4)];
        Self { relevance, lambda, caps, quotas, k: 6 + rng.below(20), group }
    }

    fn solve(&self) -> Choice {
        let shape = Shape {
            relevance: &self.relevance,
            lambda: self.lambda,
            caps: &self.caps,
            quotas: &self.quotas,
            k: self.k,
        };
        let same = |a: usize, b: usize| f32::from(u8::from(self.group[a] == self.group[b]));
        diversify(&shape, &mut |a, b| same(a, b))
    }

    fn slots(&self) -> usize {
        self.k.min(self.relevance.len())
    }
}

fn random_cap(rng: &mut Rng, n: usize) -> Cap {
    let values = |rng: &mut Rng| (0..rng.below(3)).map(|_| rng.below(4) as u32).collect();
    let codes = (0..n).map(|_| values(rng)).collect();
    Cap { at_most: 1 + rng.below(3), window: 2 + rng.below(8), codes }
}

fn random_quota(rng: &mut Rng, n: usize) -> Quota {
    Quota { at_least: rng.below(4), members: (0..n).map(|_| rng.below(3) == 0).collect() }
}

/// Slots whose item has a value more often within its window than a cap allows.
fn slots_over_cap(caps: &[Cap], picks: &[usize]) -> usize {
    let over = |cap: &Cap, slot: usize| {
        let window = &picks[(slot + 1).saturating_sub(cap.window)..=slot];
        let uses = |code: u32| window.iter().filter(|&&p| cap.codes[p].contains(&code)).count();
        cap.codes[picks[slot]].iter().any(|&code| uses(code) > cap.at_most)
    };
    (0..picks.len()).filter(|&slot| caps.iter().any(|cap| over(cap, slot))).count()
}

#[test]
fn nobody_is_lost_or_doubled_and_every_slot_is_filled() {
    for seed in 0..3000 {
        let problem = Problem::random(&mut Rng::new(seed));
        let mut picks = problem.solve().picks;
        assert_eq!(picks.len(), problem.slots(), "seed {seed}");
        picks.sort_unstable();
        picks.dedup();
        assert_eq!(picks.len(), problem.slots(), "seed {seed}");
        assert!(picks.last().is_none_or(|&p| p < problem.relevance.len()), "seed {seed}");
    }
}

#[test]
fn a_broken_cap_is_always_counted() {
    let mut relaxed = 0;
    for seed in 0..3000 {
        let problem = Problem::random(&mut Rng::new(seed));
        let choice = problem.solve();
        let over = slots_over_cap(&problem.caps, &choice.picks);
        assert_eq!(choice.caps_relaxed, over, "seed {seed}");
        relaxed += over;
    }
    assert!(relaxed > 0, "the random problems must contain impossible ones");
}

#[test]
fn a_quota_is_met_whenever_members_and_slots_allow() {
    for seed in 0..3000 {
        let mut problem = Problem::random(&mut Rng::new(seed));
        problem.quotas.truncate(1);
        let choice = problem.solve();
        for (quota, &missing) in problem.quotas.iter().zip(&choice.quota_missing) {
            let members = quota.members.iter().filter(|&&m| m).count();
            let chosen = choice.picks.iter().filter(|&&p| quota.members[p]).count();
            let possible = quota.at_least.min(members).min(problem.slots());
            assert!(chosen >= possible, "seed {seed}: {chosen} of {possible}");
            assert_eq!(missing, quota.at_least.saturating_sub(chosen), "seed {seed}");
        }
    }
}

#[test]
fn disjoint_quotas_are_all_met() {
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let mut problem = Problem::random(&mut rng);
        let n = problem.relevance.len();
        let side: Vec<usize> = (0..n).map(|_| rng.below(3)).collect();
        let quota = |s: usize, at_least| Quota {
            at_least,
            members: side.iter().map(|&x| x == s).collect::<Vec<_>>(),
        };
        problem.quotas = vec![quota(0, 3), quota(1, 3)];
        let enough = |q: &Quota| q.members.iter().filter(|&&m| m).count() >= 3;
        if problem.quotas.iter().all(enough) {
            assert_eq!(problem.solve().quota_missing, [0, 0], "seed {seed}");
        }
    }
}

#[test]
fn lambda_one_without_caps_is_the_plain_order() {
    for seed in 0..500 {
        let mut problem = Problem::random(&mut Rng::new(seed));
        (problem.lambda, problem.caps, problem.quotas) = (1.0, Vec::new(), Vec::new());
        assert_eq!(problem.solve().picks, (0..problem.slots()).collect::<Vec<_>>());
    }
}

#[test]
fn the_first_pick_is_the_most_relevant_at_any_lambda() {
    for lambda in [0.0, 0.5, 1.0] {
        let problem = Problem { lambda, ..Problem::plain(&[3.0, 2.0, 1.0], 2) };
        assert_eq!(problem.solve().picks[0], 0);
    }
}

#[test]
fn mmr_follows_its_formula() {
    // Scaled relevance 1, .9, .5, 0; groups a a b b; lambda .6.
    let problem = Problem {
        lambda: 0.6,
        group: vec![0, 0, 1, 1],
        ..Problem::plain(&[10.0, 9.0, 5.0, 0.0], 4)
    };
    // After 0: 1 has .54 - .4 = .14, 2 has .30; after 2: 1 has .14, 3 has -.4.
    assert_eq!(problem.solve().picks, [0, 2, 1, 3]);
}

#[test]
fn caps_interleave_and_relax_only_when_nothing_else_is_left() {
    let mut problem = Problem::plain(&[6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 6);
    let codes = [0, 0, 0, 0, 1, 1].map(|c| vec![c]).to_vec();
    problem.caps = vec![Cap { at_most: 1, window: 2, codes }];
    let choice = problem.solve();
    assert_eq!(choice.picks, [0, 4, 1, 5, 2, 3]);
    assert_eq!(choice.caps_relaxed, 1);
}

#[test]
fn a_quota_is_spread_over_the_slate() {
    let mut problem = Problem::plain(&[9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0], 6);
    problem.quotas = vec![Quota { at_least: 2, members: (0..8).map(|c| c >= 6).collect() }];
    assert_eq!(problem.solve().picks, [0, 1, 6, 2, 3, 7]);
}

#[test]
fn degenerate_problems_have_their_answers() {
    assert_eq!(Problem::plain(&[], 5).solve(), Choice::default());
    assert_eq!(Problem::plain(&[1.0, 1.0], 0).solve().picks, Vec::<usize>::new());
    let equal = Problem { lambda: 0.5, ..Problem::plain(&[1.0; 3], 3) };
    assert_eq!(equal.solve().picks, [0, 1, 2]);
    let hopeless = Quota { at_least: 2, members: vec![false; 3] };
    let problem = Problem { quotas: vec![hopeless], ..Problem::plain(&[3.0, 2.0, 1.0], 2) };
    let choice = problem.solve();
    assert_eq!((choice.picks, choice.quota_missing), (vec![0, 1], vec![2]));
}

#[test]
fn settings_out_of_bounds_are_refused() {
    let bad = [
        DiversityConfig { mmr_lambda: f32::NAN, ..Default::default() },
        DiversityConfig { pool: 0, ..Default::default() },
        DiversityConfig {
            caps: vec![CapConfig { attribute: "a".into(), at_most: 0, window: 3 }],
            ..Default::default()
        },
    ];
    assert!(bad.iter().all(|config| config.check().is_err()));
    assert!(DiversityConfig::default().check().is_ok());
}
