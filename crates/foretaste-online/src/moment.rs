//! The features of the moment for a user and many items: published last events and live ones
//! become one past, which `foretaste_core::moment` turns into numbers.

use foretaste_bundle::ItemTable;
use foretaste_core::TimeMs;
use foretaste_core::moment::{Candidate, NAMES, Past, Step};

use crate::last_events::{LastEvent, LastEvents};

/// A live event: as in the published ones.
pub type LiveEvent<'a> = LastEvent<'a>;

/// What is known about items, by numbers that mean something here only.
pub trait Catalogue {
    /// The number of an item; none where it is not known.
    fn index_of(&self, item: &str) -> Option<u32>;
    /// The number of its category, the most special one; none without one.
    fn category(&self, item: u32) -> Option<u32>;
    /// When it became available; 0 where that is not known.
    fn created_ms(&self, item: u32) -> TimeMs;
}

impl Catalogue for ItemTable {
    fn index_of(&self, item: &str) -> Option<u32> {
        self.index_of(item)
    }

    fn category(&self, item: u32) -> Option<u32> {
        self.categories(item).last().copied()
    }

    fn created_ms(&self, item: u32) -> TimeMs {
        self.created_ms(item)
    }
}

/// A catalogue of nothing.
struct Unknown;

impl Catalogue for Unknown {
    fn index_of(&self, _: &str) -> Option<u32> {
        None
    }

    fn category(&self, _: u32) -> Option<u32> {
        None
    }

    fn created_ms(&self, _: u32) -> TimeMs {
        0
    }
}

/// Whose moment, and what is known of it.
pub(crate) struct Moment<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) now_ms: TimeMs,
    /// The user's events up to this time were erased.
    pub(crate) erased_ms: Option<TimeMs>,
    pub(crate) last: Option<&'a LastEvents>,
    /// What the user did lately, without kinds that are not things that a user does.
    pub(crate) live: &'a [LiveEvent<'a>],
    /// Where items are looked up while there are no published ones.
    pub(crate) otherwise: Option<&'a dyn Catalogue>,
}

impl Moment<'_> {
    /// Where items are looked up.
    pub(crate) fn catalogue(&self) -> &dyn Catalogue {
        match (self.last, self.otherwise) {
            (Some(last), _) => last,
            (None, Some(otherwise)) => otherwise,
            (None, None) => &Unknown,
        }
    }

    /// Shows the numbers of each item, in order; `known` are the items' numbers in the catalogue.
    ///
    /// # Cost
    /// A look at the user's last 256 events for each item.
    pub(crate) fn each(
        &self,
        items: &[&str],
        known: &[Option<u32>],
        mut found: impl FnMut(usize, &[Option<f32>]),
    ) {
        let mut numbers = Numbers { catalogue: self.catalogue(), strangers: Vec::new() };
        let steps = self.steps(&mut numbers);
        let past = Past::of(self.now_ms, &steps);
        for (at, (item, known)) in items.iter().zip(known).enumerate() {
            found(at, &past.beside(&numbers.candidate(item, *known)) as &[_; NAMES.len()]);
        }
    }

    /// The user's past, oldest first, of one time in the order of items: as training rows have it.
    fn steps<'s>(&'s self, numbers: &mut Numbers<'s>) -> Vec<Step<u32>> {
        let is_kept = |event: &LastEvent<'_>| {
            event.time_ms > 0 && self.erased_ms.is_none_or(|erased| event.time_ms > erased)
        };
        let published = self.last.zip(self.user).into_iter().flat_map(|(last, user)| last.of(user));
        let mut all: Vec<(u32, LastEvent<'s>)> = published.filter(|(_, e)| is_kept(e)).collect();
        let n_published = all.len();
        // An event that is published and live counts once: each published one takes one away.
        let mut is_taken = vec![false; n_published];
        for event in self.live.iter().filter(|event| is_kept(event)) {
            let start = all[..n_published].partition_point(|(_, e)| e.time_ms < event.time_ms);
            let of_time = all[start..n_published].iter();
            let same = of_time.take_while(|(_, e)| e.time_ms == event.time_ms).enumerate();
            let same = same.filter(|(at, (_, e))| !is_taken[start + at] && e == event);
            match same.map(|(at, _)| start + at).next() {
                Some(at) => is_taken[at] = true,
                None => all.push((numbers.of(event.item), *event)),
            }
        }
        if all.len() > n_published {
            all.sort_by(|(_, a), (_, b)| (a.time_ms, a.item).cmp(&(b.time_ms, b.item)));
        }
        let step = |(item, event): &(u32, LastEvent<'_>)| Step {
            time_ms: event.time_ms,
            item: *item,
            category: numbers.category(*item),
        };
        all.iter().map(step).collect()
    }
}

/// Numbers of items: the catalogue's, and from the top down those of strangers.
struct Numbers<'a> {
    catalogue: &'a dyn Catalogue,
    strangers: Vec<&'a str>,
}

impl<'a> Numbers<'a> {
    fn of(&mut self, item: &'a str) -> u32 {
        if let Some(known) = self.catalogue.index_of(item) {
            return known;
        }
        let at = self.strangers.iter().position(|s| *s == item).unwrap_or_else(|| {
            self.strangers.push(item);
            self.strangers.len() - 1
        });
        u32::MAX - at as u32
    }

    fn is_stranger(&self, item: u32) -> bool {
        (u32::MAX - item) < self.strangers.len() as u32
    }

    fn category(&self, item: u32) -> Option<u32> {
        if self.is_stranger(item) { None } else { self.catalogue.category(item) }
    }

    fn candidate(&self, item: &str, known: Option<u32>) -> Candidate<u32> {
        match known {
            Some(item) => Candidate {
                item,
                category: self.catalogue.category(item),
                created_ms: self.catalogue.created_ms(item),
            },
            None => {
                let stranger = self.strangers.iter().position(|s| *s == item);
                // One that the past has not is none of those: the next number is nobody's.
                let at = stranger.unwrap_or(self.strangers.len());
                Candidate { item: u32::MAX - at as u32, category: None, created_ms: 0 }
            }
        }
    }
}
