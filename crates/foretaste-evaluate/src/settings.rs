//! From a profile and what lies over it (configuration, `tune`) to the settings of a training run.

use foretaste_core::{Csr, Error, ErrorKind, Progress, Result};
use foretaste_train::{Resolved, TrainConfig, TrainInput, fit_channels};
use serde_json::{Value, json};

use crate::assemble::Assembled;
use crate::learn::Fit;
use crate::tune::{Parameter, Range, overlay};

/// The settings of a profile as they fit `r`, every table filled in, as JSON: the names are those
/// that configuration and `tune` use (`ials.alpha`).
///
/// # Errors
/// `Config` for an unknown profile.
pub fn of_profile(profile: &str, seed: u64, r: &Csr) -> Result<Value> {
    let bare = TrainConfig { seed, ..TrainConfig::profile(profile)? };
    let Resolved { channels, blend, item_item, ease, spectral, ials, user_user, content, .. } =
        bare.resolve(r)?;
    let full = TrainConfig {
        channels,
        blend,
        item_item: Some(item_item),
        ease: Some(ease),
        spectral: Some(spectral),
        ials: Some(ials),
        user_user: Some(user_user),
        content: Some(content),
        ..bare
    };
    serde_json::to_value(full)
        .map_err(|error| Error::internal("settings have no JSON form").with_source(error))
}

/// The settings of a profile with `over` laid on them.
///
/// # Errors
/// `Config` for an unknown profile, an unknown name in `over`, or a value of the wrong type.
pub fn resolve(profile: &str, seed: u64, over: &Value, r: &Csr) -> Result<TrainConfig> {
    let mut settings = of_profile(profile, seed, r)?;
    overlay(&mut settings, over);
    serde_json::from_value(settings).map_err(|error| {
        Error::new(ErrorKind::Config, format!("settings over profile {profile}: {error}"))
    })
}

/// The trainers of a profile with `over` laid on its settings, as [`crate::job::Job`] wants them.
/// Settings that a profile derives from the data are derived from the data that is fitted.
pub fn trainers<'a>(
    profile: &'a str,
    seed: u64,
    over: &'a Value,
    progress: &'a dyn Progress,
) -> Box<Fit<'a>> {
    Box::new(move |data: &Assembled| {
        let config = resolve(profile, seed, over, &data.interactions.matrix)?;
        let input =
            TrainInput { interactions: &data.interactions, items: &data.items, users: &data.users };
        fit_channels(&input, &config, progress)
    })
}

/// The parameters that `tune` varies by default: those of the channels that the profile trains,
/// around the defaults that fit the data.
///
/// # Errors
/// `Config` for an unknown profile.
pub fn space(profile: &str, seed: u64, r: &Csr) -> Result<Vec<Parameter>> {
    let settings = of_profile(profile, seed, r)?;
    let mut space = Vec::new();
    for channel in settings["channels"].as_array().into_iter().flatten() {
        let channel = channel.as_str().unwrap_or_default();
        for &(name, shape) in VARIED.iter().filter(|(name, _)| belongs(name, channel)) {
            let now = crate::tune::get(&settings, name).and_then(Value::as_f64);
            space.extend(now.map(|now| Parameter::new(name, shape.around(now))));
        }
    }
    Ok(space)
}

fn belongs(name: &str, channel: &str) -> bool {
    let channel_of = name.split('.').next().unwrap_or_default();
    channel_of == channel || (name == "ials_output_exponent" && channel == "ials")
}

/// How far a parameter is varied.
#[derive(Clone, Copy)]
enum Shape {
    /// By this factor both ways, evenly in the logarithm.
    Times(f64),
    /// By this much both ways.
    Plus(f64),
}

impl Shape {
    fn around(self, now: f64) -> Range {
        match self {
            Self::Times(factor) if now > 0.0 => {
                Range::Log { low: now / factor, high: now * factor }
            }
            Self::Times(_) => Range::Choice { values: vec![json!(0.0), json!(0.1), json!(1.0)] },
            Self::Plus(step) => Range::Linear { low: now - step, high: now + step },
        }
    }
}

const VARIED: [(&str, Shape); 14] = [
    ("item_item.weighting.normalised.a_user", Shape::Plus(0.4)),
    ("item_item.weighting.normalised.p_source", Shape::Plus(0.3)),
    ("item_item.weighting.normalised.q_target", Shape::Plus(0.3)),
    ("ease.lambda", Shape::Times(8.0)),
    ("ease.user_exponent", Shape::Plus(0.4)),
    ("ease.output_exponent", Shape::Plus(0.3)),
    ("spectral.user_exponent", Shape::Plus(0.3)),
    ("spectral.item_exponent", Shape::Plus(0.2)),
    ("spectral.output_exponent", Shape::Plus(0.3)),
    ("ials.alpha", Shape::Times(8.0)),
    ("ials.reg", Shape::Times(8.0)),
    ("ials.user_exponent", Shape::Plus(0.3)),
    ("ials_output_exponent", Shape::Plus(0.2)),
    ("user_user.output_exponent", Shape::Plus(0.3)),
];
