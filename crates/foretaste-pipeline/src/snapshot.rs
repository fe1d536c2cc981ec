//! What a request sees of the world: one bundle, what is hidden, what is trending. Nothing edits
//! a snapshot; live state publishes a new one, and a request pins the one it started with.

use std::sync::Arc;

use foretaste_bundle::{Bundle, LoadedChannel};
use foretaste_core::{BitSet, ItemIdx};
use serde::{Deserialize, Serialize};

use crate::outcome::{BuiltIn, ChannelId};
use crate::tables::{Ranked, Tables};

/// Windows of trends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrendWindow {
    /// Decays within about an hour.
    Hour,
    /// Decays within about a day.
    Day,
    /// Decays within about a week.
    Week,
}

impl TrendWindow {
    /// All of them, shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];
}

/// Exponentially decayed activity per item, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Trends {
    windows: [Ranked; 3],
}

impl Trends {
    /// Trends from their three windows.
    ///
    /// # Shapes
    /// Each vector has one value per item of the bundle; what is not a positive finite number
    /// counts as no activity.
    ///
    /// # Cost
    /// One pass over each window with a logarithm per active item: about 2 ms for three windows of
    /// 40,000 active items.
    pub fn new(hour: Vec<f32>, day: Vec<f32>, week: Vec<f32>) -> Self {
        Self { windows: [hour, day, week].map(Ranked::new) }
    }

    /// The trends that were true when the bundle was built.
    pub fn of_bundle(bundle: &Bundle) -> Self {
        let p = bundle.popularity();
        Self::new(p.hour.to_vec(), p.day.to_vec(), p.week.to_vec())
    }

    /// The activity of each item in a window.
    pub fn window(&self, window: TrendWindow) -> &[f32] {
        &self.table(window).values
    }

    pub(crate) fn table(&self, window: TrendWindow) -> &Ranked {
        &self.windows[window as usize]
    }
}

/// An immutable view that answers requests. Cloning is a few reference counts.
#[derive(Clone)]
pub struct Snapshot {
    /// The bundle.
    pub bundle: Arc<Bundle>,
    /// Items that are in no answer: those hidden in the bundle and those hidden since.
    pub hidden: Arc<BitSet>,
    /// Trends, live or of the bundle.
    pub trends: Arc<Trends>,
    /// Grows by one with each publication; names the snapshot in logs and cache keys.
    pub generation: u64,
    /// Names of the channels outside of the process.
    pub externals: Arc<[String]>,
    pub(crate) tables: Arc<Tables>,
}

impl Snapshot {
    /// The view of a bundle before anything has happened since it was built.
    ///
    /// # Cost
    /// O(n log n) once per bundle, for the orders by popularity and age.
    pub fn new(bundle: Arc<Bundle>) -> Self {
        let items = bundle.items();
        let mut hidden = BitSet::empty(bundle.n_items());
        (0..bundle.n_items() as ItemIdx)
            .filter(|&i| items.hidden(i))
            .for_each(|i| hidden.insert(i));
        let trends = Arc::new(Trends::of_bundle(&bundle));
        let tables = Arc::new(Tables::build(&bundle));
        let (hidden, externals) = (Arc::new(hidden), Arc::default());
        Self { bundle, hidden, trends, generation: 0, externals, tables }
    }

    /// The same view with channels outside of the process, which requests bring lists of.
    #[must_use]
    pub fn with_externals(self, externals: Arc<[String]>) -> Self {
        Self { externals, ..self }
    }

    /// The next view: the same bundle with another set of hidden items.
    ///
    /// # Panics
    /// When the set is not over the bundle's items.
    pub fn with_hidden(&self, hidden: Arc<BitSet>) -> Self {
        assert_eq!(hidden.len(), self.bundle.n_items(), "hidden items of another bundle");
        Self { hidden, generation: self.generation + 1, ..self.clone() }
    }

    /// The next view: the same bundle with newer trends.
    ///
    /// # Panics
    /// When a window does not have one value per item.
    pub fn with_trends(&self, trends: Arc<Trends>) -> Self {
        for window in TrendWindow::ALL {
            assert_eq!(
                trends.window(window).len(),
                self.bundle.n_items(),
                "trends of another bundle"
            );
        }
        Self { trends, generation: self.generation + 1, ..self.clone() }
    }

    /// The name of a channel, as scenes and answers write it.
    pub fn channel_name(&self, id: ChannelId) -> &str {
        match id {
            ChannelId::Bundle(i) => self.bundle.channels()[usize::from(i)].name(),
            ChannelId::BuiltIn(channel) => channel.name(),
            ChannelId::External(i) => &self.externals[usize::from(i)],
        }
    }

    /// The channel with a name: the bundle's own first, those outside of the process last.
    pub fn channel_named(&self, name: &str) -> Option<ChannelId> {
        let at = self.bundle.channels().iter().position(|c| c.name() == name);
        let external = || self.externals.iter().position(|external| external == name);
        at.map(|i| ChannelId::Bundle(i as u16))
            .or_else(|| BuiltIn::from_name(name).map(ChannelId::BuiltIn))
            .or_else(|| external().map(|i| ChannelId::External(i as u16)))
    }

    /// The bundle's channel with the largest learned weight; the first of equals.
    pub(crate) fn strongest_model(&self) -> Option<&LoadedChannel> {
        let stronger = |a: &LoadedChannel, b: &LoadedChannel| a.weight().total_cmp(&b.weight());
        self.bundle.channels().iter().rev().max_by(|a, b| stronger(a, b))
    }
}
