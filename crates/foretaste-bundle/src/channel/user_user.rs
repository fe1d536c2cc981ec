//! Neighbouring users, found at request time through the users of the history's items, so that
//! nothing is stored per user beyond the histories.

use foretaste_core::{BitSet, Error, ItemIdx, Result, UserIdx};

use super::ChannelScratch;
use super::item_item::scale_of;
use crate::contents::UserUser;
use crate::format::{Column, SectionReader, SectionWriter};
use crate::histories::Histories;

/// Users that are looked at beyond the wanted neighbours, because some may have nothing to add.
const SPARE_NEIGHBOURS: usize = 16;

/// See [`UserUser`].
#[derive(Debug)]
pub(crate) struct LoadedUserUser {
    settings: UserUser,
    /// d_j^-output_exponent.
    output_scale: Vec<f32>,
    /// d_i^-item_exponent.
    item_factors: Vec<f32>,
    /// d_v^-user_exponent.
    user_factors: Vec<f32>,
    histories: Histories,
}

impl LoadedUserUser {
    pub(crate) fn write(out: &mut SectionWriter, model: &UserUser) -> Result<()> {
        let m = model;
        out.put(&[m.neighbours as u64, m.max_postings as u64, u64::from(m.weighted)])?;
        out.put(&[m.user_exponent, m.item_exponent, m.similarity_exponent, m.output_exponent])
    }

    pub(crate) fn read(mut input: SectionReader, histories: Histories) -> Result<Self> {
        let name = input.name().to_owned();
        let (bounds, exponents): (Column<u64>, Column<f32>) = (input.take()?, input.take()?);
        input.finish()?;
        let settings = settings(bounds.get(), exponents.get())
            .ok_or_else(|| Error::corrupt(format!("{name}: impossible settings")))?;
        let item_power = |exponent: f32| {
            let degrees = (0..histories.n_items() as u32).map(|i| histories.users_of(i).len());
            degrees.map(|d| (d.max(1) as f32).powf(-exponent)).collect::<Vec<_>>()
        };
        let user_degrees = (0..histories.n_users() as u32).map(|u| histories.of_user(u).0.len());
        let user_factors =
            user_degrees.map(|d| (d.max(1) as f32).powf(-settings.user_exponent)).collect();
        Ok(Self {
            output_scale: item_power(settings.output_exponent),
            item_factors: item_power(settings.item_exponent),
            user_factors,
            settings,
            histories,
        })
    }

    /// Calls `visit` with each history item that takes part, rarest first, until `max_postings`
    /// would be passed.
    fn each_item(
        &self,
        history: &[(ItemIdx, f32)],
        order: &mut Vec<(ItemIdx, f32)>,
        mut visit: impl FnMut(ItemIdx, f32),
    ) {
        order.clear();
        order.extend_from_slice(history);
        order.sort_unstable_by_key(|&(item, _)| (self.histories.users_of(item).len(), item));
        let mut left = self.settings.max_postings;
        for &(item, weight) in order.iter() {
            let n = self.histories.users_of(item).len();
            if n > left {
                break;
            }
            left -= n;
            visit(item, weight * self.item_factors[item as usize]);
        }
    }

    pub(crate) fn prepare(&self, history: &[(ItemIdx, f32)], scratch: &mut ChannelScratch) {
        self.find_neighbours(history, scratch);
        scratch.scores.reset(self.histories.n_items());
        for &(user, vote) in &scratch.neighbours {
            let (items, weights, _) = self.histories.of_user(user);
            if self.settings.weighted {
                scratch.scores.add_scaled(items, weights, vote);
            } else {
                items.iter().for_each(|&item| scratch.scores.add(item, vote));
            }
        }
    }

    /// Leaves similarities in `users` and (user, vote) in `neighbours`.
    fn find_neighbours(&self, history: &[(ItemIdx, f32)], scratch: &mut ChannelScratch) {
        let users = &mut scratch.users;
        users.reset(self.histories.n_users());
        self.each_item(history, &mut scratch.order, |item, part| {
            for &user in self.histories.users_of(item) {
                users.add(user, part * self.user_factors[user as usize]);
            }
        });
        scratch.top.reset(self.settings.neighbours + SPARE_NEIGHBOURS);
        scratch.users.select_all(&mut scratch.top);
        scratch.neighbours.clear();
        scratch.neighbours.extend(scratch.top.drain_sorted());
        let has = |item: &ItemIdx| history.iter().any(|(i, _)| i == item);
        let most = history.len();
        scratch.neighbours.retain(|&(user, _)| {
            let items = self.histories.of_user(user).0;
            items.len() > most || !items.iter().all(has)
        });
        scratch.neighbours.truncate(self.settings.neighbours);
        if self.settings.similarity_exponent != 1.0 {
            let exponent = self.settings.similarity_exponent;
            scratch.neighbours.iter_mut().for_each(|(_, s)| *s = s.powf(exponent));
        }
    }

    pub(crate) fn search(
        &self,
        allowed: &BitSet,
        n: usize,
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        scratch.top.reset(n);
        scratch.scores.select(allowed, &self.output_scale, &mut scratch.top);
        out.extend(scratch.top.drain_sorted());
    }

    pub(crate) fn score(&self, items: &[ItemIdx], scratch: &ChannelScratch, out: &mut [f32]) {
        for (&item, out) in items.iter().zip(out) {
            *out = scratch.scores.get(item) * scale_of(&self.output_scale, item);
        }
    }

    /// A neighbour's vote is shared among the history items that made it a neighbour, by their
    /// part in the similarity.
    pub(crate) fn contributions(
        &self,
        item: ItemIdx,
        history: &[(ItemIdx, f32)],
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        self.find_neighbours(history, scratch);
        let votes = |user: UserIdx| {
            let (items, weights, _) = self.histories.of_user(user);
            let at = items.binary_search(&item).ok()?;
            Some(if self.settings.weighted { weights[at] } else { 1.0 })
        };
        // Vote per unit of similarity of every neighbour that has the item, by user.
        scratch.scores.reset(self.histories.n_users());
        for &(user, vote) in &scratch.neighbours {
            if let Some(weight) = votes(user) {
                let similarity = scratch.users.get(user);
                scratch.scores.add(user, vote * weight / similarity);
            }
        }
        let scale = scale_of(&self.output_scale, item);
        let (scores, order) = (&scratch.scores, &mut scratch.order);
        self.each_item(history, order, |source, part| {
            let users = self.histories.users_of(source).iter();
            let sum: f32 =
                users.map(|&v| scores.get(v) * self.user_factors[v as usize]).sum::<f32>();
            out.push((source, part * sum * scale));
        });
        out.retain(|&(_, part)| part != 0.0);
    }
}

fn settings(bounds: &[u64], exponents: &[f32]) -> Option<UserUser> {
    let (&[neighbours, max_postings, weighted], &[user, item, similarity, output]) =
        (bounds, exponents)
    else {
        return None;
    };
    let good = exponents.iter().all(|e| e.is_finite()) && (1..=1_000_000).contains(&neighbours);
    (good && weighted <= 1).then_some(UserUser {
        neighbours: neighbours as usize,
        user_exponent: user,
        item_exponent: item,
        similarity_exponent: similarity,
        output_exponent: output,
        weighted: weighted == 1,
        max_postings: max_postings as usize,
    })
}
