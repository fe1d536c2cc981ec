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
    /// All users.
    everyone: BitSet,
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
            everyone: BitSet::full(histories.n_users()),
            settings,
            histories,
        })
    }

    /// Leaves the history items that take part in `order`, ascending, each with its part in
    /// similarities: the rarest, until `max_postings` would be passed. Returns their postings.
    fn choose_items(&self, history: &[(ItemIdx, f32)], order: &mut Vec<(ItemIdx, f32)>) -> usize {
        let postings = |item: ItemIdx| self.histories.users_of(item).len();
        order.clear();
        order.extend_from_slice(history);
        order.sort_unstable_by_key(|&(item, _)| (postings(item), item));
        let (mut total, mut taken) = (0, 0);
        for &(item, _) in order.iter() {
            if total + postings(item) > self.settings.max_postings {
                break;
            }
            total += postings(item);
            taken += 1;
        }
        order.truncate(taken);
        order.sort_unstable_by_key(|&(item, _)| item);
        order.iter_mut().for_each(|(item, part)| *part *= self.item_factors[*item as usize]);
        total
    }

    /// Postings read, and as much again for the neighbours' rows.
    pub(crate) fn work(&self) -> usize {
        8 * self.settings.max_postings
    }

    pub(crate) fn prepare(&self, history: &[(ItemIdx, f32)], scratch: &mut ChannelScratch) {
        self.find_neighbours(history, scratch);
        let votes = |&(user, _): &(UserIdx, f32)| self.histories.of_user(user).0.len();
        let additions = scratch.neighbours.iter().map(votes).sum();
        scratch.scores.reset(self.histories.n_items(), additions);
        for &(user, vote) in &scratch.neighbours {
            let (items, weights, _) = self.histories.of_user(user);
            if self.settings.weighted {
                scratch.scores.add_scaled(items, weights, vote);
            } else {
                scratch.scores.add_each(items, vote);
            }
        }
    }

    /// Leaves similarities in `users` and (user, vote) in `neighbours`.
    fn find_neighbours(&self, history: &[(ItemIdx, f32)], scratch: &mut ChannelScratch) {
        let additions = self.choose_items(history, &mut scratch.order);
        let users = &mut scratch.users;
        users.reset(self.histories.n_users(), additions);
        for &(item, part) in &scratch.order {
            users.add_each(self.histories.users_of(item), part);
        }
        scratch.top.reset(self.settings.neighbours + SPARE_NEIGHBOURS);
        users.select(&self.everyone, &self.user_factors, &mut scratch.top);
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

    /// What scores are multiplied by, per item.
    pub(crate) fn output_scale(&self) -> &[f32] {
        &self.output_scale
    }

    /// A neighbour's vote is shared among the history items that made it a neighbour, by their
    /// part in the similarity. Reads what `prepare` left and changes none of it.
    ///
    /// # Cost
    /// A binary search per neighbour; the items of the neighbours that have the item.
    pub(crate) fn contributions(
        &self,
        item: ItemIdx,
        scratch: &ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        let scale = scale_of(&self.output_scale, item);
        out.extend(scratch.order.iter().map(|&(source, _)| (source, 0.0)));
        for &(user, vote) in &scratch.neighbours {
            let (items, weights, _) = self.histories.of_user(user);
            let Ok(at) = items.binary_search(&item) else { continue };
            let weight = if self.settings.weighted { weights[at] } else { 1.0 };
            let per_part = vote * weight * scale / scratch.users.get(user);
            let mut rest = items;
            for (&(source, part), (_, sum)) in scratch.order.iter().zip(&mut *out) {
                rest = &rest[rest.partition_point(|&i| i < source)..];
                if rest.first() == Some(&source) {
                    *sum += part * per_part;
                }
            }
        }
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
