//! Splits of behaviour into a part to learn from and held-out items to judge by.
//!
//! A split works on folded interactions (one entry per user and item) and moves whole entries, so
//! no item of a user is on both sides and none is lost. The same input and seed give the same
//! split. Which users take part can be limited, for validation on a sample.

use foretaste_core::{BitSet, Error, Interactions, ItemIdx, Result, Rng, TimeMs, UserIdx};
use serde::{Deserialize, Serialize};

use crate::held_out::HeldOut;

#[cfg(test)]
mod tests;

/// How to choose what is held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SplitMethod {
    /// One cut in time for all users: the latest `share` of the interactions is held out.
    Temporal {
        /// Share of the interactions, in (0, 1).
        share: f64,
    },
    /// One cut at a given moment: what happened later is held out.
    TemporalAt {
        /// The last moment that belongs to the training part.
        cut_ms: TimeMs,
    },
    /// The last `n` items of each user; at least one stays in the training part.
    LeaveLastOut {
        /// Items per user.
        n: usize,
    },
    /// The last share of each user's items (rounded up; one at least stays in the training part).
    LastShare {
        /// Share of a user's items, in (0, 1).
        share: f64,
    },
    /// A random share of each user's items (rounded up; one at least stays in the training part).
    Random {
        /// Share of a user's items, in (0, 1).
        share: f64,
        /// Seed of the choice.
        seed: u64,
    },
    /// A random share of each user's items, an item drawn with weight popularity^-exponent: for
    /// tests that are less popular (exponent > 0) than what was learned from.
    PopularityMatched {
        /// Share of a user's items, in (0, 1).
        share: f64,
        /// How strongly popular items are avoided; 0 is [`SplitMethod::Random`].
        exponent: f64,
        /// Seed of the choice.
        seed: u64,
    },
}

/// The two parts of a split.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// What may be learned from; as many users and items as before.
    pub train: Interactions,
    /// What is judged by.
    pub held_out: HeldOut,
}

impl SplitMethod {
    /// A line for reports.
    pub fn describe(&self) -> String {
        match self {
            Self::Temporal { share } => format!("temporal, latest {:.1}%", share * 100.0),
            Self::TemporalAt { cut_ms } => format!("temporal, after {cut_ms} ms"),
            Self::LeaveLastOut { n } => format!("last {n} of each user"),
            Self::LastShare { share } => format!("last {:.1}% of each user", share * 100.0),
            Self::Random { share, seed } => {
                format!("random {:.1}% of each user, seed {seed}", share * 100.0)
            }
            Self::PopularityMatched { share, exponent, seed } => format!(
                "{:.1}% of each user drawn by popularity^-{exponent:.2}, seed {seed}",
                share * 100.0
            ),
        }
    }

    fn check(&self) -> Result<()> {
        let share = match *self {
            Self::TemporalAt { .. } | Self::LeaveLastOut { .. } => return Ok(()),
            Self::Temporal { share }
            | Self::LastShare { share }
            | Self::Random { share, .. }
            | Self::PopularityMatched { share, .. } => share,
        };
        if share > 0.0 && share < 1.0 {
            return Ok(());
        }
        Err(Error::invalid(format!("split: the share {share} must lie between 0 and 1")))
    }
}

/// Splits `data`; users outside `among` (when given) keep everything in the training part.
///
/// # Errors
/// `Invalid` for a share outside (0, 1), and for a split by time of data without times.
pub fn split(data: &Interactions, method: &SplitMethod, among: Option<&BitSet>) -> Result<Split> {
    method.check()?;
    let takes_part = |user: usize| among.is_none_or(|set| set.contains(user as u32));
    let chooser = Chooser::new(data, method)?;
    let mut held_out = HeldOut::default();
    let mut kept = BitSet::full(data.matrix.nnz());
    for user in 0..data.matrix.n_rows() {
        let chosen = if takes_part(user) { chooser.choose(user) } else { Vec::new() };
        let start = data.matrix.indptr[user] as usize;
        let items = data.row(user).0;
        held_out.push(chosen.iter().map(|&at| items[at]).collect());
        chosen.iter().for_each(|&at| {
            kept.remove((start + at) as u32);
        });
    }
    let train = data.retain(|user, at| kept.contains(data.matrix.indptr[user] as u32 + at as u32));
    Ok(Split { train, held_out })
}

/// A given test: its pairs are taken out of `data` where they are in it.
pub fn given(data: &Interactions, test: HeldOut) -> Split {
    let train = data
        .retain(|user, at| test.of(user as UserIdx).binary_search(&data.row(user).0[at]).is_err());
    Split { train, held_out: test }
}

/// `n` users with at least `min_items` items each, drawn without replacement, as a set.
pub fn sample_users(data: &Interactions, n: usize, min_items: usize, seed: u64) -> BitSet {
    let n_users = data.matrix.n_rows();
    let enough = |&u: &u32| data.row(u as usize).0.len() >= min_items;
    let mut users: Vec<u32> = (0..n_users as u32).filter(enough).collect();
    Rng::new(seed).shuffle(&mut users);
    let mut set = BitSet::empty(n_users);
    users.iter().take(n).for_each(|&u| set.insert(u));
    set
}

/// The exponent of [`SplitMethod::PopularityMatched`] whose held-out items have, on average, the
/// log-popularity (in `data`) of the items in `target`, by bisection over [-2, 4].
///
/// # Errors
/// `Invalid` when `target` names no item of the data, or `share` lies outside (0, 1).
///
/// # Cost
/// Ten splits of the data.
pub fn matching_exponent(
    data: &Interactions,
    target: &[ItemIdx],
    (share, seed): (f64, u64),
) -> Result<f64> {
    let counts = data.matrix.col_counts();
    let known = target.iter().filter(|&&i| counts.get(i as usize).is_some_and(|&c| c > 0));
    let known: Vec<ItemIdx> = known.copied().collect();
    if known.is_empty() {
        return Err(Error::invalid("popularity-matched split: no target item is in the data"));
    }
    let wanted = mean_log_popularity(&counts, &known);
    let (mut low, mut high) = (-2.0, 4.0);
    for _ in 0..10 {
        let exponent = 0.5 * (low + high);
        let method = SplitMethod::PopularityMatched { share, exponent, seed };
        let held: Vec<ItemIdx> = split(data, &method, None)?.held_out.into_items();
        if mean_log_popularity(&counts, &held) > wanted {
            low = exponent;
        } else {
            high = exponent;
        }
    }
    Ok(0.5 * (low + high))
}

fn mean_log_popularity(counts: &[u32], items: &[ItemIdx]) -> f64 {
    let sum: f64 = items.iter().map(|&i| f64::from(counts[i as usize].max(1)).ln()).sum();
    sum / items.len().max(1) as f64
}

/// A method with what it needs to know of the whole data.
struct Chooser<'a> {
    data: &'a Interactions,
    rule: Rule,
}

enum Rule {
    After(TimeMs),
    Last(usize),
    LastShare(f64),
    Drawn { share: f64, seed: u64, weights: Vec<f32> },
}

impl<'a> Chooser<'a> {
    fn new(data: &'a Interactions, method: &SplitMethod) -> Result<Self> {
        let rule = match *method {
            SplitMethod::Temporal { share } => Rule::After(time_cut(data, share)?),
            SplitMethod::TemporalAt { cut_ms } => Rule::After(cut_ms),
            SplitMethod::LeaveLastOut { n } => Rule::Last(n),
            SplitMethod::LastShare { share } => Rule::LastShare(share),
            SplitMethod::Random { share, seed } => {
                Rule::Drawn { share, seed, weights: vec![1.0; data.matrix.n_cols] }
            }
            SplitMethod::PopularityMatched { share, exponent, seed } => {
                let weight = |&c: &u32| f64::from(c.max(1)).powf(-exponent) as f32;
                let weights = data.matrix.col_counts().iter().map(weight).collect();
                Rule::Drawn { share, seed, weights }
            }
        };
        Ok(Self { data, rule })
    }

    /// Positions within the user's row that are held out.
    fn choose(&self, user: usize) -> Vec<usize> {
        let (items, _, times) = self.data.row(user);
        let most = items.len().saturating_sub(1);
        let by_share = |share: f64| ((share * items.len() as f64 - 1e-9).ceil() as usize).min(most);
        match &self.rule {
            Rule::After(cut) => (0..items.len()).filter(|&at| times[at] > *cut).collect(),
            Rule::Last(n) => latest(times, (*n).min(most), user),
            Rule::LastShare(share) => latest(times, by_share(*share), user),
            Rule::Drawn { share, seed, weights } => {
                drawn(items, weights, by_share(*share), Rng::stream(*seed, user as u64))
            }
        }
    }
}

/// The time up to which all but the latest `share` of the timed entries happened.
fn time_cut(data: &Interactions, share: f64) -> Result<TimeMs> {
    let mut times: Vec<TimeMs> = data.last_ms.iter().copied().filter(|&t| t != 0).collect();
    if times.is_empty() {
        return Err(Error::invalid(
            "temporal split: no event has a time; choose a random or a leave-last-out split",
        ));
    }
    let at = (((1.0 - share) * times.len() as f64) as usize).min(times.len() - 1);
    Ok(*times.select_nth_unstable(at.saturating_sub(1)).1)
}

/// The `n` latest positions; equal times in seeded random order (ids must not decide).
fn latest(times: &[TimeMs], n: usize, user: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    Rng::stream(0, user as u64).shuffle(&mut order);
    order.sort_by_key(|&at| std::cmp::Reverse(times[at]));
    order.truncate(n);
    order
}

/// `n` positions drawn without replacement with probability proportional to the item's weight.
///
/// # Source
/// Efraimidis & Spirakis, "Weighted random sampling with a reservoir", 2006 (exponential keys).
fn drawn(items: &[ItemIdx], weights: &[f32], n: usize, mut rng: Rng) -> Vec<usize> {
    let key = |&i: &ItemIdx| rng.exp() / f64::from(weights[i as usize]).max(1e-30);
    let mut keys: Vec<(f64, usize)> = items.iter().map(key).zip(0..).collect();
    keys.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    keys.into_iter().take(n).map(|(_, at)| at).collect()
}
