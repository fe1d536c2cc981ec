//! What is trained and how: two profiles, and the rules that fit their numbers to the data.

use std::collections::BTreeMap;

use foretaste_core::{Csr, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::content::ContentConfig;
use crate::ease::{self, EaseConfig};
use crate::ials::IalsConfig;
use crate::item_item::ItemItemConfig;
use crate::spectral::SpectralConfig;
use crate::user_user::UserUserConfig;

/// Names of the channels that [`crate::fit_channels`] can train.
pub const CHANNELS: [&str; 6] = ["item_item", "ease", "spectral", "ials", "user_user", "content"];

/// Observations above which one model of iALS has to do.
const MOST_FOR_MODELS: usize = 5_000_000;
/// Density above which a matrix of interactions counts as dense.
const DENSE: f64 = 0.01;

/// Settings of a training run. A table that is left out is filled in by [`TrainConfig::resolve`]
/// from the profile and the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// `fast` or `accurate`.
    pub profile: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Channels to train, of [`CHANNELS`]; empty: those of the profile.
    pub channels: Vec<String>,
    /// Weight of each channel in the blend, by name; channels that are not named keep the
    /// profile's weight.
    pub blend: BTreeMap<String, f32>,
    /// Users whose scores are measured to make channels comparable.
    pub scale_users: usize,
    /// Item-item similarity.
    pub item_item: Option<ItemItemConfig>,
    /// EASE: dense up to 20,000 items, local above.
    pub ease: Option<EaseConfig>,
    /// The flat-spectrum filter.
    pub spectral: Option<SpectralConfig>,
    /// iALS.
    pub ials: Option<IalsConfig>,
    /// Models of iALS whose scores are summed, each from a random start of its own; 1 to 8.
    pub ials_models: Option<usize>,
    /// Score exponent of the item's degree on the output side of iALS.
    pub ials_output_exponent: f32,
    /// Neighbours of the user.
    pub user_user: Option<UserUserConfig>,
    /// Similarity of what items are.
    pub content: Option<ContentConfig>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            profile: "fast".to_owned(),
            seed: 0,
            channels: Vec::new(),
            blend: BTreeMap::new(),
            scale_users: 256,
            item_item: None,
            ease: None,
            spectral: None,
            ials: None,
            ials_models: None,
            ials_output_exponent: 0.0,
            user_user: None,
            content: None,
        }
    }
}

/// A configuration without gaps: what is trained on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// Channels in order of importance.
    pub channels: Vec<String>,
    /// Weight per channel.
    pub blend: BTreeMap<String, f32>,
    /// Item-item similarity.
    pub item_item: ItemItemConfig,
    /// EASE.
    pub ease: EaseConfig,
    /// Whether EASE is dense.
    pub ease_is_dense: bool,
    /// The flat-spectrum filter.
    pub spectral: SpectralConfig,
    /// iALS.
    pub ials: IalsConfig,
    /// Models of iALS.
    pub ials_models: usize,
    /// Output side of iALS.
    pub ials_output_exponent: f32,
    /// Neighbours of the user.
    pub user_user: UserUserConfig,
    /// Similarity of what items are.
    pub content: ContentConfig,
    /// Users whose scores are measured.
    pub scale_users: usize,
}

impl TrainConfig {
    /// The defaults of `fast` or `accurate`.
    ///
    /// # Errors
    /// `Config` for any other name.
    pub fn profile(name: &str) -> Result<Self> {
        match name {
            "fast" | "accurate" => Ok(Self { profile: name.to_owned(), ..Self::default() }),
            other => {
                let text = format!("profile {other:?}: expected \"fast\" or \"accurate\"");
                Err(Error::new(ErrorKind::Config, text))
            }
        }
    }

    /// Fills in what the configuration leaves to the profile and the data.
    ///
    /// # Errors
    /// `Config` for an unknown profile or channel.
    pub fn resolve(&self, r: &Csr) -> Result<Resolved> {
        let accurate = Self::profile(&self.profile)?.profile == "accurate";
        for name in self.channels.iter().chain(self.blend.keys()) {
            if !CHANNELS.contains(&name.as_str()) {
                let known = CHANNELS.join(", ");
                let text = format!("channel {name:?}: not one of {known}");
                return Err(Error::new(ErrorKind::Config, text));
            }
        }
        let mut blend = default_blend(accurate, r);
        blend.extend(self.blend.clone());
        let names = default_channels(accurate).iter().map(|&c| c.to_owned()).collect();
        let channels = if self.channels.is_empty() { names } else { self.channels.clone() };
        let ease_is_dense = r.n_cols <= ease::MAX_ITEMS;
        let seed = self.seed;
        let ials = IalsConfig { seed, ..self.ials.unwrap_or_else(|| default_ials(accurate, r)) };
        let models = self.ials_models.unwrap_or_else(|| default_models(accurate, r));
        Ok(Resolved {
            channels,
            blend,
            item_item: self.item_item.unwrap_or_default(),
            ease: self.ease.unwrap_or_else(|| default_ease(ease_is_dense)),
            ease_is_dense,
            spectral: SpectralConfig {
                seed,
                ..self.spectral.unwrap_or_else(|| default_spectral(accurate, r))
            },
            ials,
            ials_models: models.clamp(1, 8),
            ials_output_exponent: self.ials_output_exponent,
            user_user: self.user_user.unwrap_or_default(),
            content: ContentConfig { seed, ..self.content.unwrap_or_default() },
            scale_users: self.scale_users.max(1),
        })
    }
}

/// Neighbours of the user add nothing to the blend of the others on any set tried.
fn default_channels(accurate: bool) -> &'static [&'static str] {
    match accurate {
        true => &["spectral", "ease", "ials", "content"],
        false => &["spectral", "ials", "content"],
    }
}

/// Weights before anything has been learned on held-out data.
fn default_blend(accurate: bool, r: &Csr) -> BTreeMap<String, f32> {
    let (ease, ials) = match (accurate, is_dense(r)) {
        (true, true) => (1.0, 1.0),
        (true, false) => (0.3, 0.6),
        (false, true) => (1.0, 1.0),
        (false, false) => (0.3, 0.3),
    };
    let weights = [
        ("item_item", 0.3),
        ("ease", ease),
        ("spectral", 1.0),
        ("ials", ials),
        ("user_user", 0.1),
        ("content", 0.05),
    ];
    weights.into_iter().map(|(name, weight)| (name.to_owned(), weight)).collect()
}

/// Dense EASE profits from damping popular items, the local form does not.
fn default_ease(dense: bool) -> EaseConfig {
    let (output_exponent, k) = if dense { (-0.2, 400) } else { (0.0, 200) };
    EaseConfig { output_exponent, k, ..EaseConfig::default() }
}

/// One direction per 32 items of sparse data; of dense data the observations bound what can be
/// told apart. Between 32 and 512.
fn default_spectral(accurate: bool, r: &Csr) -> SpectralConfig {
    let directions = match is_dense(r) {
        true => ((r.nnz() as f64).sqrt() / 5.0) as usize,
        false => r.n_cols / 32,
    };
    let factors = directions.clamp(32, 512).next_multiple_of(16);
    let k = match (accurate, is_dense(r)) {
        (_, true) => 400,
        (true, false) => 1000,
        (false, false) => 200,
    };
    let output_exponent = if r.n_cols > ease::MAX_ITEMS { 0.4 } else { 0.3 };
    SpectralConfig { factors, output_exponent, k, ..SpectralConfig::default() }
}

fn is_dense(r: &Csr) -> bool {
    r.nnz() as f64 > DENSE * r.n_rows() as f64 * r.n_cols as f64
}

/// Dense matrices need less weight on observations and fewer factors, all the less the fewer
/// observations there are. The numbers come from held-out parts of the train sets of ml-1m
/// (0.8 million observations) and ml-100k, the powers from the line through both.
fn default_ials(accurate: bool, r: &Csr) -> IalsConfig {
    if !is_dense(r) {
        let factors = if accurate { 256 } else { 64 };
        return IalsConfig { factors, ..IalsConfig::default() };
    }
    let size = (r.nnz() as f32 / 8e5).clamp(0.05, 4.0);
    let most = if accurate { 128.0 } else { 64.0 };
    IalsConfig {
        factors: ((most * size.cbrt()) as usize).clamp(32, 256).next_multiple_of(16),
        alpha: 5.0 * size.powf(0.25),
        reg: 60.0 * size.cbrt(),
        user_exponent: 0.3,
        ..IalsConfig::default()
    }
}

/// Of dense data, factors of three random starts rank better together than any of them; of sparse
/// data their sum did not help the blend, and many observations leave little to chance.
fn default_models(accurate: bool, r: &Csr) -> usize {
    if accurate && is_dense(r) && r.nnz() <= MOST_FOR_MODELS { 3 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_and_their_rules() {
        let sparse = Csr::empty(10, 41_000);
        let accurate = TrainConfig::profile("accurate").unwrap().resolve(&sparse).unwrap();
        assert_eq!((accurate.spectral.factors, accurate.ials.factors), (512, 256));
        assert_eq!(accurate.ials_models, 1);
        assert!(!accurate.ease_is_dense && accurate.channels.len() == 4);
        let small = TrainConfig::profile("fast").unwrap().resolve(&Csr::empty(9, 3700)).unwrap();
        assert_eq!((small.spectral.factors, small.ials.factors), (128, 64));
        assert_eq!(small.ials_models, 1);
        assert!(small.ease_is_dense);
        let full = Csr::from_rows(40, vec![(0..40).map(|i| (i, 1.0)).collect(); 2_000]);
        let dense = TrainConfig::profile("accurate").unwrap().resolve(&full).unwrap();
        assert_eq!((dense.spectral.factors, dense.ials.factors), (64, 64));
        assert_eq!(dense.ials_models, 3);
        assert!((dense.ials.reg, dense.ials.alpha) < (30.0, 3.0));
        assert_eq!(TrainConfig::profile("best").unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn what_is_given_wins_and_unknown_names_are_errors() {
        let given: TrainConfig = serde_json::from_str(
            r#"{"seed": 7, "channels": ["ials"], "blend": {"ials": 0.9},
                "ials": {"factors": 8, "solver": {"block": {"size": 4}}}}"#,
        )
        .unwrap();
        let resolved = given.resolve(&Csr::empty(2, 3)).unwrap();
        assert_eq!((resolved.ials.factors, resolved.ials.seed), (8, 7));
        assert_eq!((resolved.channels, resolved.blend["ials"]), (vec!["ials".to_owned()], 0.9));
        assert!(serde_json::from_str::<TrainConfig>(r#"{"factors": 3}"#).is_err());
        let odd = TrainConfig { channels: vec!["magic".into()], ..Default::default() };
        assert_eq!(odd.resolve(&Csr::empty(2, 3)).unwrap_err().kind(), ErrorKind::Config);
    }
}
