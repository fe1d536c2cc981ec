//! Activity per item, decayed exponentially over an hour, a day and a week, updated as events
//! arrive. Decay is applied forwards: a new event counts more than an old one by as much as the
//! old one has faded, so that nothing has to be touched when time passes.

use foretaste_core::{ItemIdx, TimeMs};

/// Time in which activity fades to 1/e, per window, in ms.
pub(crate) const FADE_MS: [f64; 3] = [3_600_000.0, 86_400_000.0, 7.0 * 86_400_000.0];
/// Growth exponent at which a window is brought back to its present scale; e^20 keeps seven
/// digits of f32 apart from what matters.
const MOST_GROWTH: f64 = 20.0;

/// Three windows of activity over the items of one bundle.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrendCounters {
    windows: [Window; 3],
    changed: bool,
}

#[derive(Clone, Debug, Default)]
struct Window {
    values: Vec<f32>,
    /// Time at which the values are true.
    at_ms: TimeMs,
}

impl TrendCounters {
    /// Counters that start from the values of `hour`, `day` and `week` at `at_ms`.
    pub(crate) fn new(values: [Vec<f32>; 3], at_ms: TimeMs) -> Self {
        Self { windows: values.map(|values| Window { values, at_ms }), changed: false }
    }

    /// Counts activity of `weight` on `item` at `time_ms`; a negative weight takes it back.
    pub(crate) fn add(&mut self, item: ItemIdx, weight: f32, time_ms: TimeMs) {
        for (window, fade_ms) in self.windows.iter_mut().zip(FADE_MS) {
            window.add(item as usize, weight, time_ms, fade_ms);
        }
        self.changed = true;
    }

    /// The values at `now_ms`, if any activity came since the last call.
    pub(crate) fn take_changed(&mut self, now_ms: TimeMs) -> Option<[Vec<f32>; 3]> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut fades = FADE_MS.into_iter();
        Some(self.windows.each_ref().map(|window| {
            let fade_ms = fades.next().unwrap_or(FADE_MS[2]);
            let factor = growth(now_ms - window.at_ms, -fade_ms).exp() as f32;
            window.values.iter().map(|v| v * factor).collect()
        }))
    }
}

impl Window {
    fn add(&mut self, item: usize, weight: f32, time_ms: TimeMs, fade_ms: f64) {
        if growth(time_ms - self.at_ms, fade_ms) > MOST_GROWTH {
            let factor = growth(time_ms - self.at_ms, -fade_ms).exp() as f32;
            self.values.iter_mut().for_each(|v| *v *= factor);
            self.at_ms = time_ms;
        }
        let gain = growth(time_ms - self.at_ms, fade_ms).exp() as f32;
        if let Some(value) = self.values.get_mut(item) {
            *value = (*value + weight * gain).max(0.0);
        }
    }
}

fn growth(elapsed_ms: TimeMs, fade_ms: f64) -> f64 {
    elapsed_ms as f64 / fade_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: TimeMs = 3_600_000;

    #[test]
    fn activity_fades_by_window() {
        let mut counters = TrendCounters::new([vec![0.0; 2], vec![0.0; 2], vec![0.0; 2]], 0);
        assert_eq!(counters.take_changed(1), None);
        counters.add(0, 1.0, HOUR);
        counters.add(1, 1.0, 2 * HOUR);
        let [hour, day, week] = counters.take_changed(2 * HOUR).expect("changed");
        assert!((hour[0] - (-1.0_f32).exp()).abs() < 1e-5 && (hour[1] - 1.0).abs() < 1e-5);
        assert!(day[0] > 0.95 && week[0] > 0.99);
        assert_eq!(counters.take_changed(2 * HOUR), None);
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let mut counters = TrendCounters::new([vec![0.0], vec![0.0], vec![0.5]], 0);
        for weight in [1.0, 3.0, -1.0, -3.0] {
            counters.add(0, weight, HOUR);
        }
        let [hour, day, week] = counters.take_changed(0).expect("changed");
        assert!(hour[0] < 1e-5 && day[0] < 1e-5 && (week[0] - 0.5).abs() < 1e-5);
        counters.add(0, -9.0, HOUR);
        assert_eq!(counters.take_changed(0).expect("changed").map(|w| w[0]), [0.0; 3]);
    }

    #[test]
    fn years_neither_overflow_nor_lose_the_order() {
        let mut counters = TrendCounters::new([vec![1.0; 3], vec![1.0; 3], vec![1.0; 3]], 0);
        for day in 0..2_000 {
            counters.add(1, 1.0, day * 24 * HOUR);
        }
        counters.add(2, 3.0, 2_000 * 24 * HOUR);
        let windows = counters.take_changed(2_000 * 24 * HOUR).expect("changed");
        for values in windows {
            assert!(values.iter().all(|v| v.is_finite()), "{values:?}");
            assert!(values[0] < values[1] && values[0] < 1e-6, "{values:?}");
        }
    }

    #[test]
    fn unknown_items_are_ignored() {
        let mut counters = TrendCounters::new([vec![0.0], vec![0.0], vec![0.0]], 0);
        counters.add(9, 1.0, 5);
        assert_eq!(counters.take_changed(5).expect("changed")[0], [0.0]);
    }
}
