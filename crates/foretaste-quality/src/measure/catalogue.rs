//! Records of items and users: which fields are there, how new they are, what they cost.

use std::collections::BTreeMap;

use foretaste_core::ids::id_hash;
use foretaste_core::{Item, TimeMs};

use super::sample::{MOST, Sample};
use super::{Times, When};
use crate::QualityConfig;
use crate::profile::{Catalogue, Field, Numbers};

/// Names of attributes that are told apart; further ones are not looked at.
const ATTRIBUTES: usize = 64;
/// Categories that are told apart while counting.
const CATEGORIES: usize = 10_000;
/// Categories that a profile names.
const NAMED_CATEGORIES: usize = 200;

/// The records of one table.
pub(super) struct Records {
    times: Times,
    found: Catalogue,
    pub(super) known: Sample<()>,
    n_attributes: usize,
}

impl Records {
    pub(super) fn new(times: Times) -> Self {
        let found = Catalogue::default();
        let mut records = Self { times, found, known: Sample::new(MOST), n_attributes: 0 };
        records.has("created_ms", false);
        records
    }

    /// Takes the id and the time of creation of a record.
    pub(super) fn add(&mut self, id: &str, created_ms: TimeMs) {
        self.found.rows += 1;
        let _ = self.known.entry(id_hash(id), || ());
        self.has("created_ms", created_ms != 0);
        match self.times.of(created_ms) {
            When::Known => self.found.newest_ms = self.found.newest_ms.max(created_ms),
            When::Future => self.found.future += 1,
            When::Unknown | When::Ancient => {}
        }
    }

    /// Takes the attributes of a record.
    pub(super) fn attributes(&mut self, attributes: &BTreeMap<String, String>) {
        for (name, value) in attributes {
            let name = format!("attributes.{name}");
            if !self.found.fields.contains_key(&name) {
                if self.n_attributes == ATTRIBUTES {
                    continue;
                }
                self.n_attributes += 1;
            }
            self.has(&name, !value.is_empty());
        }
    }

    fn has(&mut self, name: &str, is_present: bool) {
        if !self.found.fields.contains_key(name) {
            self.found.fields.insert(name.to_owned(), Field::default());
        }
        let field = self.found.fields.get_mut(name).expect("put above");
        field.present += u64::from(is_present);
    }

    pub(super) fn finish(self) -> Catalogue {
        self.found
    }
}

/// The catalogue of items.
pub(super) struct ItemTable {
    pub(super) records: Records,
    categories: BTreeMap<String, u64>,
    other_categories: u64,
    prices: Counter,
}

impl ItemTable {
    pub(super) fn new(times: Times, config: &QualityConfig) -> Self {
        Self {
            records: Records::new(times),
            categories: BTreeMap::new(),
            other_categories: 0,
            prices: Counter::new(config.price()),
        }
    }

    pub(super) fn add(&mut self, item: &Item) {
        let records = &mut self.records;
        records.add(&item.item_id, item.created_ms);
        records.has("title", !item.title.is_empty());
        records.has("description", !item.description.is_empty());
        records.has("categories", item.categories.iter().any(|c| !c.is_empty()));
        records.has("tags", !item.tags.is_empty());
        records.has("price", item.price.is_some_and(f64::is_finite));
        records.has("embedding", item.embedding.as_ref().is_some_and(|e| !e.is_empty()));
        records.attributes(&item.attributes);
        if let Some(price) = item.price.filter(|p| p.is_finite()) {
            self.prices.add(price as f32);
        }
        if let Some(category) = item.categories.first() {
            let is_known = self.categories.contains_key(category);
            if is_known || self.categories.len() < CATEGORIES {
                *self.categories.entry(category.clone()).or_default() += 1;
            } else {
                self.other_categories += 1;
            }
        }
    }

    /// Items by first category, and prices.
    pub(super) fn finish(&self) -> (BTreeMap<String, u64>, Numbers) {
        let mut by_size: Vec<_> = self.categories.iter().collect();
        by_size.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        let rare = by_size.split_off(by_size.len().min(NAMED_CATEGORIES));
        let other = rare.iter().map(|(_, n)| **n).sum::<u64>() + self.other_categories;
        let mut named: BTreeMap<_, _> = by_size.into_iter().map(|(c, n)| (c.clone(), *n)).collect();
        if other > 0 {
            *named.entry(String::new()).or_default() += other;
        }
        (named, self.prices.finish())
    }
}

/// Counts numbers by cell.
pub(super) struct Counter {
    cells: Vec<u64>,
    bounds: Option<(f64, f64)>,
    outside: u64,
    rows: u64,
    min: f32,
    max: f32,
}

impl Counter {
    pub(super) fn new(bounds: Option<(f64, f64)>) -> Self {
        let (min, max) = (f32::INFINITY, f32::NEG_INFINITY);
        Self { cells: vec![0; 1 << 12], bounds, outside: 0, rows: 0, min, max }
    }

    #[inline]
    pub(super) fn add(&mut self, number: f32) {
        self.cells[usize::from(Numbers::cell(number))] += 1;
        self.rows += 1;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        if let Some((low, high)) = self.bounds {
            self.outside += u64::from(!(low..=high).contains(&f64::from(number)));
        }
    }

    pub(super) fn finish(&self) -> Numbers {
        let cells = (0u16..).zip(&self.cells).filter(|(_, n)| **n > 0);
        Numbers {
            cells: cells.map(|(cell, &n)| (cell, n)).collect(),
            rows: self.rows,
            outside: self.bounds.map(|_| self.outside),
            min: if self.rows > 0 { f64::from(self.min) } else { 0.0 },
            max: if self.rows > 0 { f64::from(self.max) } else { 0.0 },
        }
    }
}
