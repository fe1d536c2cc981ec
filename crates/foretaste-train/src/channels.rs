//! One call from interactions and catalogue to the channels of a bundle.

use std::ops::Range;

use foretaste_bundle::{Channel, ChannelModel, IalsModel, ItemItem, LowRank, UserUser};
use foretaste_core::event::id_key;
use foretaste_core::{Csr, IdTable, Interactions, Item, Matrix, Progress, Result};

use crate::config::{Resolved, TrainConfig};
use crate::ials::{Ials, IalsConfig};
use crate::scale::Sample;
use crate::{content, dense, ease, ials, item_item, local_ease, rounding, spectral, user_user};

/// Up to this the whole spectral filter is computed and pruned (minutes on two cores).
const WHOLE_FILTER_FLOPS: f64 = 3e13;
/// From the seed of one model to that of the next.
const OTHER_START: u64 = 0x9E37_79B9_7F4A_7C15;

/// What channels are trained from.
#[derive(Clone, Copy, Debug)]
pub struct TrainInput<'a> {
    /// Users x items.
    pub interactions: &'a Interactions,
    /// The catalogue, in order of the columns.
    pub items: &'a [Item],
    /// Ids of the users, in order of the rows.
    pub users: &'a IdTable,
}

/// Trains the channels of `config` and measures their scales. Channels that the data say nothing
/// about (no interactions, no text) are left out. Of catalogues too large for the whole filter of
/// [`crate::spectral`] its parts become two channels, `spectral` and `spectral_near`, of one scale
/// and one weight: they are one model.
///
/// # Errors
/// `Config` for an unknown profile or channel; what the trainers return.
///
/// # Cost
/// The sum of the trainers'; `progress` counts channels.
pub fn fit_channels(
    input: &TrainInput<'_>,
    config: &TrainConfig,
    progress: &dyn Progress,
) -> Result<Vec<Channel>> {
    let resolved = config.resolve(&input.interactions.matrix)?;
    let task = Task::new(input, &resolved);
    let mut channels = Vec::new();
    for name in &resolved.channels {
        progress.start(&format!("channel {name}"), Some(1), "channels");
        if name == "content" || task.r.nnz() > 0 {
            channels.extend(task.fit(name, progress)?);
        }
        progress.advance(1);
        progress.finish();
    }
    Ok(channels)
}

struct Task<'a> {
    r: &'a Csr,
    items: &'a [Item],
    config: &'a Resolved,
    keys: Vec<u64>,
    degrees: Vec<f32>,
    sample: Sample,
}

impl<'a> Task<'a> {
    fn new(input: &TrainInput<'a>, config: &'a Resolved) -> Self {
        let r = &input.interactions.matrix;
        let key = |item: &Item| id_key("", &item.item_id);
        Self {
            r,
            items: input.items,
            config,
            keys: input.items.iter().map(key).collect(),
            degrees: r.col_counts().into_iter().map(|d| d.max(1) as f32).collect(),
            sample: Sample::new(r, input.users, config.scale_users),
        }
    }

    fn fit(&self, name: &str, progress: &dyn Progress) -> Result<Vec<Channel>> {
        Ok(match name {
            "item_item" => vec![self.sparse(name, item_item::fit(self.r, &self.config.item_item))],
            "ease" if self.config.ease_is_dense => {
                vec![self.sparse(name, ease::fit(self.r, &self.config.ease)?)]
            }
            "ease" => vec![self.sparse(name, local_ease::fit(self.r, &self.config.ease))],
            "spectral" => self.spectral()?,
            "ials" => vec![self.ials(progress)?],
            "user_user" => vec![self.user_user()],
            _ => self.content()?.into_iter().collect(),
        })
    }

    /// Adds the scores of a sparse item-item model for some rows of the sample.
    fn add_sparse(&self, similar: &Csr, rows: Range<usize>, scores: &mut [f32]) {
        for (row, scores) in rows.zip(scores.chunks_exact_mut(similar.n_cols)) {
            let (items, values) = self.sample.rows.row(row);
            for (&i, &x) in items.iter().zip(values) {
                let (js, vs) = similar.row(i as usize);
                js.iter().zip(vs).for_each(|(&j, &v)| scores[j as usize] += x * v);
            }
        }
    }

    fn channel(&self, name: &str, scale: f32, model: ChannelModel) -> Channel {
        let weight = self.config.blend.get(name).copied().unwrap_or(0.0);
        Channel { name: name.to_owned(), scale, weight, model }
    }

    fn sparse(&self, name: &str, similar: Csr) -> Channel {
        let scale = self.sample.rms(|rows, scores| self.add_sparse(&similar, rows, scores));
        let model = ItemItem { similar, history_exponent: 0.0 };
        self.channel(name, scale, ChannelModel::ItemItem(model))
    }

    fn content(&self) -> Result<Option<Channel>> {
        let similar = content::fit(self.items, &self.config.content)?;
        if similar.nnz() == 0 {
            return Ok(None);
        }
        let scale = self.sample.rms(|rows, scores| self.add_sparse(&similar, rows, scores));
        let model = ItemItem { similar, history_exponent: 0.0 };
        Ok(Some(self.channel("content", scale, ChannelModel::Content(model))))
    }

    fn spectral(&self) -> Result<Vec<Channel>> {
        let config = &self.config.spectral;
        let work = spectral::FLOPS * (self.r.n_cols as f64).powi(2) * config.factors as f64;
        if work > WHOLE_FILTER_FLOPS {
            return self.spectral_parts();
        }
        let mut similar = spectral::fit(self.r, config, Some(&self.keys))?;
        rounding::round_where_dense(&mut similar);
        Ok(vec![self.sparse("spectral", similar)])
    }

    fn spectral_parts(&self) -> Result<Vec<Channel>> {
        let model = spectral::fit_parts(self.r, &self.config.spectral, Some(&self.keys))?;
        let (input, output) = model.factors();
        let queries = crate::svd::multiply(&self.sample.rows, &input);
        let scale = self.sample.rms(|rows, scores| {
            self.add_sparse(&model.similar, rows.clone(), scores);
            add_products(&output, (&queries, rows), scores);
        });
        let low_rank = LowRank {
            items: model.vectors,
            input: None,
            input_scale: model.input_scale,
            factor_scale: model.factor_scale,
            output_scale: model.output_scale,
            history_exponent: 0.0,
        };
        let near = ItemItem { similar: model.similar, history_exponent: 0.0 };
        let low_rank = self.channel("spectral", scale, ChannelModel::LowRank(low_rank));
        let near = self.channel("spectral_near", scale, ChannelModel::ItemItem(near));
        Ok(vec![Channel { weight: low_rank.weight, ..near }, low_rank])
    }

    /// One channel of as many models as the configuration says. They differ in their random start
    /// alone, and their sum in less than each of them from what any start would give.
    fn ials(&self, progress: &dyn Progress) -> Result<Channel> {
        let config = &self.config.ials;
        let start = |at: usize| IalsConfig {
            seed: config.seed.wrapping_add((at as u64).wrapping_mul(OTHER_START)),
            ..*config
        };
        let fit = |at| ials::fit_keyed(self.r, &start(at), Some(&self.keys), progress);
        let models: Vec<Ials> = (0..self.config.ials_models).map(fit).collect();
        let exponent = self.config.ials_output_exponent;
        let output_scale: Vec<f32> = self.degrees.iter().map(|d| d.powf(exponent)).collect();
        let vectors: Vec<Matrix> =
            models.iter().map(|m| m.fold_in(&self.sample.rows, 12)).collect();
        let scale = self.sample.rms(|rows, scores| {
            for (model, vectors) in models.iter().zip(&vectors) {
                add_products(&model.items, (vectors, rows.clone()), scores);
            }
            for scores in scores.chunks_exact_mut(output_scale.len()) {
                scores.iter_mut().zip(&output_scale).for_each(|(s, o)| *s *= o);
            }
        });
        let turned: Vec<Matrix> = models.iter().map(Ials::turned_items).collect::<Result<_>>()?;
        let first = &models[0];
        let model = IalsModel {
            items: side_by_side(&turned),
            models: models.len(),
            alpha: config.alpha,
            reg: config.reg,
            reg_exponent: config.reg_exponent,
            user_exponent: config.user_exponent,
            mean_degree: first.mean_user_degree,
            input_weight: first.item_weights.iter().map(|w| w / config.alpha).collect(),
            output_scale: if exponent == 0.0 { Vec::new() } else { output_scale },
        };
        Ok(self.channel("ials", scale, ChannelModel::Ials(model)))
    }

    fn user_user(&self) -> Channel {
        let config = &self.config.user_user;
        let near = user_user::fit_some(self.r, &self.sample.users, config);
        let degrees = self.r.col_counts();
        let scale = self.sample.rms(|rows, scores| {
            for (row, scores) in rows.zip(scores.chunks_exact_mut(degrees.len())) {
                user_user::add_votes(self.r, near.row(row), &degrees, (config, scores));
            }
        });
        let model = UserUser {
            neighbours: config.neighbours,
            user_exponent: config.user_exponent,
            item_exponent: config.item_exponent,
            similarity_exponent: 1.0,
            output_exponent: config.output_exponent,
            weighted: false,
            ..UserUser::default()
        };
        self.channel("user_user", scale, ChannelModel::UserUser(model))
    }
}

/// Matrices of equally many rows as one, columns after columns.
fn side_by_side(parts: &[Matrix]) -> Matrix {
    let n_rows = parts.first().map_or(0, |m| m.n_rows);
    let rows = (0..n_rows).flat_map(|i| parts.iter().flat_map(move |m| m.row(i)));
    let n_cols = parts.iter().map(|m| m.n_cols).sum();
    Matrix::from_data(n_rows, n_cols, rows.copied().collect())
}

/// Adds inner products of some rows of `queries` with all rows of `items`.
fn add_products(items: &Matrix, (queries, rows): (&Matrix, Range<usize>), scores: &mut [f32]) {
    let some = &queries.data[rows.start * queries.n_cols..rows.end * queries.n_cols];
    dense::add_products(items, some, scores);
}
