//! The search for the highest rate that is sustained: doubling until one is not, halving the
//! distance until it is small, then the same rate again until it has held often enough. Pure: it
//! says which rate to try and is told how it went.

use serde::{Deserialize, Serialize};

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchSettings {
    /// First rate to try.
    pub start: f64,
    /// Highest rate to try.
    pub most: f64,
    /// The distance to the lowest rate that failed, as a share, at which it is near enough.
    pub precision: f64,
    /// How often the answer must hold again.
    pub confirmations: usize,
    /// Rates tried in all.
    pub most_probes: usize,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self { start: 100.0, most: 1e6, precision: 0.03, confirmations: 3, most_probes: 40 }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Try this rate.
    Try(f64),
    /// It is over.
    Done(Finding),
}

/// What a search has found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Highest rate that held; absent where none did.
    pub rate: Option<f64>,
    /// Lowest rate that did not.
    pub failing: Option<f64>,
    /// Whether it held as often as wanted and its neighbour is near enough.
    pub is_confirmed: bool,
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    settings: SearchSettings,
    /// Rates that held, rising; the last is the candidate.
    held: Vec<f64>,
    failing: Option<f64>,
    /// How often the candidate has held again.
    confirmed: usize,
    probes: usize,
}

/// A rate this far below the first is as good as none.
const LEAST_SHARE: f64 = 1.0 / 1024.0;

impl Search {
    /// A search that has tried nothing.
    pub fn new(settings: SearchSettings) -> Self {
        Self { settings, held: Vec::new(), failing: None, confirmed: 0, probes: 0 }
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        let SearchSettings { start, most, precision, confirmations, most_probes } = self.settings;
        let candidate = self.held.last().copied();
        let found = |is_confirmed| {
            Next::Done(Finding { rate: candidate, failing: self.failing, is_confirmed })
        };
        if self.probes >= most_probes {
            return found(false);
        }
        match (candidate, self.failing) {
            (None, None) => Next::Try(start.min(most)),
            (None, Some(high)) if high / 2.0 < start * LEAST_SHARE => found(true),
            (None, Some(high)) => Next::Try(high / 2.0),
            (Some(low), None) if low < most => Next::Try((low * 2.0).min(most)),
            (Some(low), Some(high)) if high > low * (1.0 + precision) => {
                Next::Try((low + high) / 2.0)
            }
            (Some(low), _) if self.confirmed < confirmations => Next::Try(low),
            (Some(_), _) => found(true),
        }
    }

    /// How a try went.
    pub fn tell(&mut self, rate: f64, is_held: bool) {
        self.probes += 1;
        let is_again = self.held.last() == Some(&rate);
        match (is_held, is_again) {
            (true, true) => self.confirmed += 1,
            (true, false) => {
                self.held.push(rate);
                self.confirmed = 0;
            }
            (false, _) => {
                self.held.retain(|&held| held < rate);
                self.failing = Some(rate);
                self.confirmed = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(start: f64) -> SearchSettings {
        SearchSettings { start, ..SearchSettings::default() }
    }

    /// Searches with a judge; the finding and what was tried.
    fn search(start: f64, mut holds: impl FnMut(f64, usize) -> bool) -> (Finding, Vec<f64>) {
        let mut search = Search::new(settings(start));
        let mut tried = Vec::new();
        loop {
            match search.next() {
                Next::Done(finding) => return (finding, tried),
                Next::Try(rate) => {
                    search.tell(rate, holds(rate, tried.len()));
                    tried.push(rate);
                }
            }
        }
    }

    #[test]
    fn the_answer_is_below_the_truth_by_at_most_the_precision() {
        for truth in [3.0, 99.0, 101.0, 777.0, 54_321.0] {
            let (finding, tried) = search(100.0, |rate, _| rate <= truth);
            let rate = finding.rate.expect("some rate holds");
            assert!(rate <= truth && rate >= truth / 1.03, "{rate} for {truth}");
            assert!(finding.is_confirmed && finding.failing.is_some_and(|f| f > truth));
            assert_eq!(
                tried.iter().filter(|&&r| r == rate).count(),
                4,
                "once and three times more"
            );
            assert!(tried.len() < 30, "{tried:?}");
        }
    }

    #[test]
    fn it_doubles_first() {
        let (_, tried) = search(100.0, |rate, _| rate <= 500.0);
        assert_eq!(tried[..5], [100.0, 200.0, 400.0, 800.0, 600.0]);
    }

    #[test]
    fn an_answer_that_does_not_hold_again_is_given_up() {
        // 400 holds by luck, the first time only.
        let mut lucky = true;
        let (finding, _) =
            search(100.0, |rate, _| rate <= 300.0 || rate == 400.0 && std::mem::take(&mut lucky));
        let rate = finding.rate.expect("some rate holds");
        assert!((291.0..=300.0).contains(&rate), "{rate}");
    }

    #[test]
    fn nothing_may_hold_or_everything() {
        let (none, tried) = search(100.0, |_, _| false);
        assert_eq!((none.rate, none.is_confirmed), (None, true));
        assert!(tried.len() < 15);
        let (all, _) = search(100.0, |_, _| true);
        assert_eq!((all.rate, all.failing, all.is_confirmed), (Some(1e6), None, true));
    }

    #[test]
    fn a_judge_who_changes_his_mind_does_not_keep_it_going() {
        let (finding, tried) = search(100.0, |_, n| n % 3 != 2);
        assert_eq!(tried.len(), 40);
        assert!(!finding.is_confirmed);
    }
}
