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
    let blend = learn(&planted(&[(0.0, 1.0), (1.0, 1.0), (0.0, 50.0)], 1), &BlendConfig::default());
    assert_eq!(blend.weights, [0.0, 1.0, 0.0]);
    assert_eq!(blend.objective, blend.alone[1]);
}

#[test]
fn equally_good_channels_get_equal_weights_whatever_their_units() {
    let blend = learn(&planted(&[(1.0, 0.01), (1.0, 300.0)], 2), &BlendConfig::default());
    assert!(blend.weights.iter().all(|&w| w > 0.6), "{:?}", blend.weights);
    assert!(blend.objective > 1.2 * blend.alone[0]);
    assert!(blend.scales[1] > 1e4 * blend.scales[0]);
}

#[test]
fn a_better_channel_gets_more_weight() {
    let blend = learn(&planted(&[(0.6, 1.0), (1.8, 1.0)], 3), &BlendConfig::default());
    assert!(blend.weights[1] == 1.0 && blend.weights[0] < 0.7 && blend.weights[0] > 0.05);
}

#[test]
fn learning_is_deterministic_and_survives_empty_input() {
    let pool = planted(&[(1.0, 1.0), (0.7, 1.0)], 4);
    assert_eq!(learn(&pool, &BlendConfig::default()), learn(&pool, &BlendConfig::default()));
    assert_eq!(learn(&Pool::new(0), &BlendConfig::default()), Blend::default());
    assert_eq!(learn(&Pool::new(2), &BlendConfig::default()).objective, 0.0);
}
