use foretaste_core::Rng;

use super::*;

/// 600 users, 60 candidates each, 3 of them held out. A channel is `strength * truth + noise`,
/// times its own unit.
fn planted(channels: &[(f32, f32)], seed: u64) -> Pool {
    let mut rng = Rng::new(seed);
    let mut pool = Pool::new(channels.len());
    let items: Vec<u32> = (0..60).collect();
    for _ in 0..600 {
        let relevant: Vec<u32> = {
            let mut shuffled = items.clone();
            rng.shuffle(&mut shuffled);
            shuffled.truncate(3);
            shuffled.sort_unstable();
            shuffled
        };
        let mut column = |&(strength, unit): &(f32, f32)| {
            let truth = |i: &u32| f32::from(u8::from(relevant.contains(i)));
            let score = |i| unit * (strength * truth(i) + rng.normal() as f32);
            items.iter().map(score).collect::<Vec<f32>>()
        };
        let columns: Vec<Vec<f32>> = channels.iter().map(&mut column).collect();
        pool.push(&items, &columns, &relevant);
    }
    pool.finish();
    pool
}

#[test]
fn noise_gets_weight_zero() {
    let blend =
        learn(&planted(&[(0.0, 1.0), (1.0, 1.0), (0.0, 50.0)], 1), &[], &BlendConfig::default());
    assert_eq!(blend.weights, [0.0, 1.0, 0.0]);
    assert_eq!(blend.objective, blend.alone[1]);
}

#[test]
fn equally_good_channels_get_equal_weights_whatever_their_units() {
    let blend = learn(&planted(&[(1.0, 0.01), (1.0, 300.0)], 2), &[], &BlendConfig::default());
    assert!(blend.weights.iter().all(|&w| w > 0.6), "{:?}", blend.weights);
    assert!(blend.objective > 1.2 * blend.alone[0]);
    assert!(blend.scales[1] > 1e4 * blend.scales[0]);
}

#[test]
fn a_better_channel_gets_more_weight() {
    let blend = learn(&planted(&[(0.6, 1.0), (1.8, 1.0)], 3), &[], &BlendConfig::default());
    assert!(blend.weights[1] == 1.0 && blend.weights[0] < 0.7 && blend.weights[0] > 0.05);
}

#[test]
fn learning_is_deterministic_and_survives_empty_input() {
    let pool = planted(&[(1.0, 1.0), (0.7, 1.0)], 4);
    assert_eq!(
        learn(&pool, &[], &BlendConfig::default()),
        learn(&pool, &[], &BlendConfig::default())
    );
    assert_eq!(learn(&Pool::new(0), &[], &BlendConfig::default()), Blend::default());
    assert_eq!(learn(&Pool::new(2), &[], &BlendConfig::default()).objective, 0.0);
}

#[test]
fn channels_of_equal_worth_keep_the_proposed_weights() {
    let pool = planted(&[(1.0, 1.0), (1.0, 20.0)], 5);
    let free = learn(&pool, &[], &BlendConfig::default());
    // Raw weights for the units above: 1 : 0.9 once both are scaled.
    let proposed = [1.0 / pool.scales()[0], 0.9 / pool.scales()[1]];
    let near = learn(&pool, &proposed, &BlendConfig::default());
    let off = |weights: &[f32]| (weights[1] / weights[0] - 0.9).abs();
    assert!(off(&near.weights) < 1e-3 && off(&free.weights) > 0.01, "{near:?} {free:?}");
    assert!(near.objective > 0.97 * free.objective);
}

#[test]
fn a_proposal_against_the_evidence_is_not_followed() {
    let pool = planted(&[(0.4, 1.0), (1.8, 1.0)], 6);
    let proposed = [1.0, 0.1];
    let near = learn(&pool, &proposed, &BlendConfig::default());
    assert!(near.weights[0] < near.weights[1], "{near:?}");
    let free = learn(&pool, &[], &BlendConfig::default());
    assert!(near.objective > 0.97 * free.objective);
}

#[test]
fn a_proposed_channel_of_noise_still_gets_weight_zero() {
    let blend =
        learn(&planted(&[(0.0, 1.0), (1.0, 1.0)], 8), &[0.05, 1.0], &BlendConfig::default());
    assert_eq!(blend.weights, [0.0, 1.0], "{blend:?}");
}
