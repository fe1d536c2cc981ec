//! What a training run hands over: everything that a bundle is made from, as owned values.
//!
//! Checked as a whole before anything is written ([`BundleContents::check`]), so that a writer can
//! only fail on I/O and a reader can be strict.

use foretaste_core::{
    Csr, Error, IdTable, Interactions, Item, ItemIdx, KindSets, Limits, Matrix, Result, TimeMs,
};

use crate::channel::GraphConfig;

/// Everything that goes into a bundle.
#[derive(Clone, Debug, Default)]
pub struct BundleContents {
    /// Where the bundle comes from.
    pub manifest: ManifestHead,
    /// The catalogue in order of [`ItemIdx`]. Descriptions and embeddings are not stored.
    pub items: Vec<Item>,
    /// Ids of the users in order of their index.
    pub users: IdTable,
    /// Users x items: the serving weight of each entry, and its last time.
    pub histories: Interactions,
    /// How much each item is used.
    pub popularity: Popularity,
    /// What users with an attribute like, for users without a past.
    pub segments: Vec<Segment>,
    /// The models, in order of importance.
    pub channels: Vec<Channel>,
    /// Which channels of vectors get a graph.
    pub graphs: GraphConfig,
}

/// Where a bundle comes from; becomes part of `manifest.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ManifestHead {
    /// Name of the training profile.
    pub profile: String,
    /// Seed of the training run.
    pub seed: u64,
    /// The moment that the data describe (not the wall clock): usually the last event.
    pub as_of_ms: TimeMs,
    /// First and last time of the events.
    pub window: (TimeMs, TimeMs),
    /// Number of events that were used.
    pub n_events: u64,
    /// Hash of the configuration.
    pub config_hash: String,
    /// The configuration as it was used.
    pub config: serde_json::Value,
    /// Figures of quality; `null` where nothing was evaluated.
    pub quality: serde_json::Value,
}

/// Activity per item: sums over events, decayed exponentially as of [`ManifestHead::as_of_ms`].
///
/// # Shapes
/// Each vector has one value per item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Popularity {
    /// Without decay.
    pub total: Vec<f32>,
    /// Decaying within about an hour.
    pub hour: Vec<f32>,
    /// Decaying within about a day.
    pub day: Vec<f32>,
    /// Decaying within about a week.
    pub week: Vec<f32>,
}

impl Popularity {
    /// No activity of `n_items` items.
    pub fn zeros(n_items: usize) -> Self {
        let zeros = vec![0.0; n_items];
        Self { total: zeros.clone(), hour: zeros.clone(), day: zeros.clone(), week: zeros }
    }
}

/// What users who share an attribute like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// The attribute as `key=value`.
    pub key: String,
    /// Items with a positive score, best first.
    pub items: Vec<(ItemIdx, f32)>,
}

/// A model with what is needed to compare its scores with those of others.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Unique within the bundle: `[a-z0-9_]`, at most 32 characters.
    pub name: String,
    /// RMS of its raw scores; the merged score is the sum of `weight * raw / scale`.
    pub scale: f32,
    /// Learned weight in the blend; 0 leaves the channel out unless a scene asks for it.
    pub weight: f32,
    /// The model.
    pub model: ChannelModel,
}

/// The kinds of models that a bundle can hold. `x` is the list of (item, weight) that a channel
/// is asked with: a user's past, or a session.
#[derive(Clone, Debug)]
pub enum ChannelModel {
    /// Sparse item-item weights.
    ItemItem(ItemItem),
    /// Linear through a low rank: spectral filters, SVD.
    LowRank(LowRank),
    /// Implicit-feedback factors with fold-in.
    Ials(IalsModel),
    /// Neighbours of the user, found at request time in the bundle's histories.
    UserUser(UserUser),
    /// As `ItemItem`, from what items are instead of who used them.
    Content(ItemItem),
}

/// `raw_j = |x|^-e * sum_i x_i * S[i, j]`, with `|x|` the number of entries.
#[derive(Clone, Debug, Default)]
pub struct ItemItem {
    /// Row `i` = items `j` to recommend because of `i`, in any order, each at most once.
    pub similar: Csr,
    /// The exponent `e`; 0 for none.
    pub history_exponent: f32,
}

/// `q = factor_scale * sum_i x_i * input_scale_i * in_i`, `raw_j = output_scale_j * q . out_j`.
#[derive(Clone, Debug, Default)]
pub struct LowRank {
    /// Output side, items x factors.
    pub items: Matrix,
    /// Input side, items x factors; `None`: the output side serves as input, too.
    pub input: Option<Matrix>,
    /// Per item; empty: all 1.
    pub input_scale: Vec<f32>,
    /// Per factor, may be negative; empty: all 1.
    pub factor_scale: Vec<f32>,
    /// Per item; empty: all 1.
    pub output_scale: Vec<f32>,
    /// Multiplies every score by `|x|^-e`; 0 for none.
    pub history_exponent: f32,
}

/// Factors with fold-in: with `n` entries in `x` and confidences
/// `c_i = alpha * x_i * input_weight_i * (n / mean_degree)^-user_exponent`,
/// `u = (Y'Y + sum_i c_i y_i y_i' + reg * (n / mean_degree)^reg_exponent I)^-1 sum_i (1 + c_i) y_i`
/// and `raw_j = output_scale_j * u . y_j`. With several `models`, a row of `items` is the vectors
/// of an item in each of them, one after the other; each gives the user a vector of its own, and
/// `raw_j` is the sum over all.
///
/// # Source
/// Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008.
#[derive(Clone, Debug)]
pub struct IalsModel {
    /// Items x (models * factors).
    pub items: Matrix,
    /// Models that stand side by side; divides the columns of `items`.
    pub models: usize,
    /// Weight of an observation of value 1 over the weight 1 of everything unobserved.
    pub alpha: f32,
    /// Regularisation of a user with `mean_degree` entries; positive.
    pub reg: f32,
    /// How regularisation grows with the number of entries; 0: not at all.
    pub reg_exponent: f32,
    /// How confidence falls with the number of entries; 0: not at all.
    pub user_exponent: f32,
    /// Mean number of entries of the users in training; positive.
    pub mean_degree: f32,
    /// Weight of an observation of each item, positive; empty: all 1.
    pub input_weight: Vec<f32>,
    /// Per item; empty: all 1.
    pub output_scale: Vec<f32>,
}

impl Default for IalsModel {
    fn default() -> Self {
        Self {
            items: Matrix::default(),
            models: 1,
            alpha: 1.0,
            reg: 1.0,
            reg_exponent: 0.0,
            user_exponent: 0.0,
            mean_degree: 1.0,
            input_weight: Vec::new(),
            output_scale: Vec::new(),
        }
    }
}

/// `sim(u, v) = d_v^-user_exponent * sum over shared items of x_i * d_i^-item_exponent`, with `d`
/// the numbers of entries in the histories; over the `neighbours` users with the largest
/// similarity `raw_j = d_j^-output_exponent * sum_v sim(u, v)^similarity_exponent * r_vj`. Users
/// whose whole history is in `x` have nothing to add and are passed over, which also keeps users
/// from being their own neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UserUser {
    /// Neighbours that vote.
    pub neighbours: usize,
    /// Discount of users with long histories.
    pub user_exponent: f32,
    /// Discount of popular items as evidence.
    pub item_exponent: f32,
    /// Contrast between near and far neighbours.
    pub similarity_exponent: f32,
    /// Discount of popular items as answers.
    pub output_exponent: f32,
    /// Whether `r_vj` is the stored weight; else 1.
    pub weighted: bool,
    /// Entries of histories read per request to find neighbours; the rarest items are read first.
    pub max_postings: usize,
}

impl Default for UserUser {
    fn default() -> Self {
        Self {
            neighbours: 300,
            user_exponent: 0.5,
            item_exponent: 0.5,
            similarity_exponent: 1.0,
            output_exponent: 0.2,
            weighted: true,
            max_postings: 500_000,
        }
    }
}

/// Factors that a matrix may have; keeps int8 sums within i32.
pub(crate) const MAX_FACTORS: usize = 4096;

impl BundleContents {
    /// Checks shapes, ranges and finiteness of everything.
    ///
    /// # Errors
    /// `Invalid`, naming the structure, what was expected and what was found.
    pub fn check(&self) -> Result<()> {
        let n = self.items.len();
        if n >= u32::MAX as usize {
            return Err(Error::invalid(format!(
                "bundle: {n} items, at most 2^32 - 2 are possible"
            )));
        }
        self.graphs.check()?;
        self.check_histories(n)?;
        self.popularity.check(n)?;
        self.segments.iter().try_for_each(|s| s.check(n))?;
        let mut names = std::collections::BTreeSet::new();
        for channel in &self.channels {
            channel.check(n).map_err(|e| e.context(format!("channel {:?}", channel.name)))?;
            if !names.insert(&channel.name) {
                return Err(invalid(format!("channel {:?}: the name is taken", channel.name)));
            }
        }
        Ok(())
    }

    fn check_kinds(&self) -> Result<()> {
        let KindSets { names, masks } = &self.histories.kinds;
        let distinct: IdTable = names.iter().collect();
        if names.len() > KindSets::MOST || distinct.len() != names.len() {
            return Err(invalid("histories: kinds are too many or not distinct".to_owned()));
        }
        if !masks.is_empty() {
            expect_len("histories: sets of kinds", masks.len(), self.histories.matrix.nnz())?;
        }
        match masks.iter().any(|m| u64::from(*m) >> names.len() != 0) {
            true => Err(invalid("histories: a set of kinds holds one without a name".to_owned())),
            false => Ok(()),
        }
    }

    fn check_histories(&self, n_items: usize) -> Result<()> {
        let m = &self.histories.matrix;
        expect_len("histories: rows", m.n_rows(), self.users.len())?;
        if m.n_rows() > 0 {
            check_sparse(m, "histories")?;
        }
        expect_len("histories: columns", m.n_cols, n_items)?;
        expect_len("histories: last times", self.histories.last_ms.len(), m.nnz())?;
        self.check_kinds()?;
        let ascends = |u: usize| m.row(u).0.windows(2).all(|w| w[0] < w[1]);
        match (0..m.n_rows()).find(|&u| !ascends(u)) {
            Some(u) => Err(invalid(format!("histories: items of user {u} do not ascend"))),
            None => Ok(()),
        }
    }
}

impl Popularity {
    fn check(&self, n_items: usize) -> Result<()> {
        let windows = [
            ("total", &self.total),
            ("hour", &self.hour),
            ("day", &self.day),
            ("week", &self.week),
        ];
        for (name, values) in windows {
            expect_len(&format!("popularity {name}"), values.len(), n_items)?;
            finite(&format!("popularity {name}"), values)?;
            if let Some(value) = values.iter().find(|v| **v < 0.0) {
                return Err(invalid(format!("popularity {name}: {value} is negative")));
            }
        }
        Ok(())
    }
}

impl Segment {
    fn check(&self, n_items: usize) -> Result<()> {
        if self.items.iter().any(|&(i, w)| i as usize >= n_items || !w.is_finite()) {
            let text = format!("segment {:?}: an item is out of range or not finite", self.key);
            return Err(Error::invalid(text));
        }
        Ok(())
    }
}

impl Channel {
    fn check(&self, n_items: usize) -> Result<()> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=32).contains(&self.name.len()) || !self.name.bytes().all(good) {
            return Err(invalid("a name is 1 to 32 characters of a-z, 0-9 and _".into()));
        }
        positive("scale", self.scale)?;
        if !self.weight.is_finite() || self.weight < 0.0 {
            return Err(invalid(format!("weight: {} is not 0 or more", self.weight)));
        }
        match &self.model {
            ChannelModel::ItemItem(m) | ChannelModel::Content(m) => m.check(n_items),
            ChannelModel::LowRank(m) => m.check(n_items),
            ChannelModel::Ials(m) => m.check(n_items),
            ChannelModel::UserUser(m) => m.check(),
        }
    }
}

impl ItemItem {
    fn check(&self, n_items: usize) -> Result<()> {
        expect_len("rows", self.similar.n_rows(), n_items)?;
        expect_len("columns", self.similar.n_cols, n_items)?;
        finite("history_exponent", &[self.history_exponent])?;
        if n_items == 0 { Ok(()) } else { check_sparse(&self.similar, "similar") }
    }
}

impl LowRank {
    fn check(&self, n_items: usize) -> Result<()> {
        check_matrix("items", &self.items, n_items)?;
        if let Some(input) = &self.input {
            check_matrix("input", input, n_items)?;
            expect_len("factors of the input side", input.n_cols, self.items.n_cols)?;
        }
        optional("input_scale", &self.input_scale, n_items)?;
        optional("output_scale", &self.output_scale, n_items)?;
        optional("factor_scale", &self.factor_scale, self.items.n_cols)?;
        finite("history_exponent", &[self.history_exponent])
    }
}

impl IalsModel {
    fn check(&self, n_items: usize) -> Result<()> {
        check_matrix("items", &self.items, n_items)?;
        if self.models == 0 || !self.items.n_cols.is_multiple_of(self.models) {
            let text =
                format!("{} factors cannot be those of {} models", self.items.n_cols, self.models);
            return Err(invalid(text));
        }
        optional("input_weight", &self.input_weight, n_items)?;
        optional("output_scale", &self.output_scale, n_items)?;
        self.input_weight.iter().try_for_each(|&w| positive("input_weight", w))?;
        finite("exponents", &[self.reg_exponent, self.user_exponent])?;
        let numbers = [("alpha", self.alpha), ("reg", self.reg), ("mean_degree", self.mean_degree)];
        numbers.into_iter().try_for_each(|(name, v)| positive(name, v))
    }
}

impl UserUser {
    fn check(&self) -> Result<()> {
        let most = 100 * Limits::DEFAULT.history_items;
        if !(1..=most).contains(&self.neighbours) || self.max_postings == 0 {
            return Err(invalid(format!("neighbours must be 1..={most}, max_postings at least 1")));
        }
        let exponents = [self.user_exponent, self.item_exponent, self.output_exponent];
        finite("exponents", &exponents)?;
        positive("similarity_exponent", self.similarity_exponent)
    }
}

fn invalid(text: String) -> Error {
    Error::invalid(text)
}

fn expect_len(name: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(invalid(format!("{name}: expected {expected}, found {found}")))
}

fn finite(name: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(invalid(format!("{name}: value {at} is {}", values[at]))),
        None => Ok(()),
    }
}

fn positive(name: &str, value: f32) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(invalid(format!("{name}: expected a positive number, found {value}")))
}

fn optional(name: &str, values: &[f32], n: usize) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    expect_len(name, values.len(), n)?;
    finite(name, values)
}

fn check_matrix(name: &str, m: &Matrix, n_items: usize) -> Result<()> {
    expect_len(&format!("{name}: rows"), m.n_rows, n_items)?;
    expect_len(&format!("{name}: values"), m.data.len(), n_items * m.n_cols)?;
    if !(1..=MAX_FACTORS).contains(&m.n_cols) {
        return Err(invalid(format!("{name}: {} factors, expected 1..={MAX_FACTORS}", m.n_cols)));
    }
    finite(name, &m.data)
}

fn check_sparse(m: &Csr, name: &str) -> Result<()> {
    m.view().check(name).map_err(|e| invalid(e.to_string()))
}
