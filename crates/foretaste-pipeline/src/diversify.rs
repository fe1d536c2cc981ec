//! Diversity of a slate as a pure function over candidates in rank order: maximal marginal
//! relevance, caps per attribute in any window of slots, and quotas of channels.
//!
//! It knows neither items nor channels, only positions in the candidate list. It loses nobody:
//! as long as a candidate is left, a slot is filled; a cap or quota that cannot be kept is relaxed
//! and counted.

use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// Diversity settings of a scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiversityConfig {
    /// Share of relevance against novelty within the slate, in 0..=1; 1 keeps the plain order.
    pub mmr_lambda: f32,
    /// What makes two items alike.
    pub similarity: Similarity,
    /// Limits per attribute value.
    pub caps: Vec<CapConfig>,
    /// How many times k candidates compete for the slate; the rest only fill it up.
    pub pool: usize,
}

/// What makes two items alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Similarity {
    /// Shared categories and tags (Jaccard index of the two sets).
    #[default]
    Labels,
    /// What the strongest channel of the bundle calls similar, relative to its nearest neighbour;
    /// where that is silent, labels.
    Channel,
}

/// At most `at_most` items with one value of `attribute` in any `window` slots in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapConfig {
    /// `category` (every category of an item counts), `leaf_category` (only the last, most
    /// specific one), `tag`, or the name of an attribute. Items without it are not capped.
    pub attribute: String,
    /// Items allowed.
    pub at_most: usize,
    /// Slots in a row.
    pub window: usize,
}

impl Default for DiversityConfig {
    fn default() -> Self {
        Self { mmr_lambda: 1.0, similarity: Similarity::Labels, caps: Vec::new(), pool: 3 }
    }
}

impl DiversityConfig {
    /// True when the slate is the plain order.
    pub fn is_off(&self) -> bool {
        self.mmr_lambda >= 1.0 && self.caps.is_empty()
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the setting and its bounds.
    pub fn check(&self) -> Result<()> {
        let bad = |text: &str| Err(Error::new(ErrorKind::Config, format!("diversity: {text}")));
        if !(0.0..=1.0).contains(&self.mmr_lambda) {
            return bad("mmr_lambda must be within 0..=1");
        }
        if self.pool == 0 || self.pool > 20 {
            return bad("pool must be within 1..=20 times k");
        }
        if self.caps.len() > 8 {
            return bad("at most 8 caps");
        }
        if self.caps.iter().any(|c| c.at_most == 0 || c.window < 2 || c.window > 500) {
            return bad("a cap needs at_most of at least 1 and a window within 2..=500");
        }
        Ok(())
    }
}

/// A cap with the values that each candidate has.
#[derive(Clone, Debug, Default)]
pub struct Cap {
    /// Items allowed per value in any `window` slots.
    pub at_most: usize,
    /// Slots in a row.
    pub window: usize,
    /// Codes of each candidate's values, by candidate position.
    pub codes: Vec<Vec<u32>>,
}

/// A quota with its members.
#[derive(Clone, Debug, Default)]
pub struct Quota {
    /// Slots that members must get, if there are as many members.
    pub at_least: usize,
    /// Whether each candidate is a member, by candidate position.
    pub members: Vec<bool>,
}

/// Everything that shapes one slate.
pub struct Shape<'a> {
    /// Relevance of each candidate, finite, not ascending: position 0 is the best.
    pub relevance: &'a [f32],
    /// See [`DiversityConfig::mmr_lambda`].
    pub lambda: f32,
    /// Caps.
    pub caps: &'a [Cap],
    /// Quotas.
    pub quotas: &'a [Quota],
    /// Slots.
    pub k: usize,
}

/// The chosen candidates and what had to be relaxed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Positions of the chosen candidates in slate order: min(k, candidates) distinct ones.
    pub picks: Vec<usize>,
    /// Slots whose item breaks at least one cap.
    pub caps_relaxed: usize,
    /// Members missing to each quota.
    pub quota_missing: Vec<usize>,
}

/// Chooses and orders the slate. Slot by slot it takes the candidate with the best
/// `lambda * relevance - (1 - lambda) * (largest similarity to a chosen one)`, relevance scaled
/// to 0..=1 over the candidates, among those that break the fewest caps; a quota that runs late
/// (fewer members than its share of the slots so far) restricts the slot to its members.
/// `similar(a, b)` is symmetric and within 0..=1; it is not called at lambda 1.
///
/// # Cost
/// O(k n) calls of `similar` and O(k n) cap checks for n candidates.
///
/// # Source
/// Carbonell & Goldstein, "The use of MMR, diversity-based reranking for reordering documents and
/// producing summaries", SIGIR 1998; caps and quotas are ours.
pub fn diversify(shape: &Shape<'_>, similar: &mut dyn FnMut(usize, usize) -> f32) -> Choice {
    let n = shape.relevance.len();
    let k = shape.k.min(n);
    let mut state = State {
        marginal: scaled(shape.relevance),
        nearest: vec![0.0; n],
        taken: vec![false; n],
        got: vec![0; shape.quotas.len()],
        choice: Choice { picks: Vec::with_capacity(k), ..Choice::default() },
    };
    for slot in 0..k {
        let eligible = state.late_quotas(shape, slot);
        let Some((pick, broken)) = state.best(shape, &eligible) else { break };
        state.take(shape, pick, broken, similar);
    }
    let missing = |(q, &got): (&Quota, &usize)| q.at_least.saturating_sub(got);
    state.choice.quota_missing = shape.quotas.iter().zip(&state.got).map(missing).collect();
    state.choice
}

/// Relevance mapped to 0..=1; all 1 when all are equal.
fn scaled(relevance: &[f32]) -> Vec<f32> {
    let (Some(&best), Some(&worst)) = (relevance.first(), relevance.last()) else {
        return Vec::new();
    };
    let span = best - worst;
    if span > 0.0 && span.is_finite() {
        relevance.iter().map(|r| (r - worst) / span).collect()
    } else {
        vec![1.0; relevance.len()]
    }
}

struct State {
    /// Scaled relevance.
    marginal: Vec<f32>,
    /// Largest similarity to a chosen candidate.
    nearest: Vec<f32>,
    taken: Vec<bool>,
    /// Members chosen, per quota.
    got: Vec<usize>,
    choice: Choice,
}

impl State {
    /// The quotas to one of which the next item must belong; empty when the slot is free.
    fn late_quotas(&self, shape: &Shape<'_>, slot: usize) -> Vec<usize> {
        let left = shape.k.min(self.taken.len()) - slot;
        let open = |q: usize| {
            let quota = &shape.quotas[q];
            self.got[q] < quota.at_least
                && quota.members.iter().zip(&self.taken).any(|(&m, &t)| m && !t)
        };
        let open: Vec<usize> = (0..shape.quotas.len()).filter(|&q| open(q)).collect();
        let owed: usize = open.iter().map(|&q| shape.quotas[q].at_least - self.got[q]).sum();
        if owed >= left {
            return open;
        }
        let due = |q: &usize| shape.quotas[*q].at_least * (slot + 1) / shape.k > self.got[*q];
        open.into_iter().filter(due).collect()
    }

    /// The best candidate of those that break the fewest caps, with the number of caps it breaks.
    fn best(&self, shape: &Shape<'_>, quotas: &[usize]) -> Option<(usize, usize)> {
        let eligible = |c: &usize| {
            !self.taken[*c]
                && (quotas.is_empty() || quotas.iter().any(|&q| shape.quotas[q].members[*c]))
        };
        let mut best: Option<(usize, usize, f32)> = None;
        for c in (0..self.taken.len()).filter(eligible) {
            if self.cannot_win(shape, c, best) {
                break;
            }
            let value = self.value(shape.lambda, c);
            if best.is_some_and(|(_, broken, v)| broken == 0 && value <= v) {
                continue;
            }
            let broken = shape.caps.iter().filter(|cap| self.breaks(cap, c)).count();
            if best.is_none_or(|(_, b, v)| broken < b || (broken == b && value > v)) {
                best = Some((c, broken, value));
            }
        }
        best.map(|(c, broken, _)| (c, broken))
    }

    /// Relevance only falls from here on, so a candidate without broken caps that is already
    /// better than pure relevance allows ends the search.
    fn cannot_win(&self, shape: &Shape<'_>, c: usize, best: Option<(usize, usize, f32)>) -> bool {
        best.is_some_and(|(_, broken, v)| broken == 0 && shape.lambda * self.marginal[c] <= v)
    }

    fn value(&self, lambda: f32, c: usize) -> f32 {
        lambda * self.marginal[c] - (1.0 - lambda) * self.nearest[c]
    }

    /// Whether putting `c` into the next slot gives one of its values more than the cap allows
    /// within the last `window` slots.
    fn breaks(&self, cap: &Cap, c: usize) -> bool {
        let picks = &self.choice.picks;
        let recent = &picks[picks.len().saturating_sub(cap.window - 1)..];
        let uses = |code: u32| recent.iter().filter(|&&p| cap.codes[p].contains(&code)).count();
        cap.codes[c].iter().any(|&code| uses(code) >= cap.at_most)
    }

    fn take(
        &mut self,
        shape: &Shape<'_>,
        pick: usize,
        broken: usize,
        similar: &mut dyn FnMut(usize, usize) -> f32,
    ) {
        self.taken[pick] = true;
        self.choice.picks.push(pick);
        self.choice.caps_relaxed += usize::from(broken > 0);
        for (got, quota) in self.got.iter_mut().zip(shape.quotas) {
            *got += usize::from(quota.members[pick]);
        }
        if shape.lambda < 1.0 {
            for other in (0..self.taken.len()).filter(|&o| !self.taken[o]) {
                self.nearest[other] = self.nearest[other].max(similar(pick, other));
            }
        }
    }
}

#[cfg(test)]
mod tests;
