//! The scenes as they are served when the workers are pressed.

use std::collections::BTreeMap;

use foretaste_core::Result;
use foretaste_pipeline::diversify::DiversityConfig;
use foretaste_pipeline::{ChannelConfig, Scene, SceneConfig, Scenes};

use crate::pressure::Rung;

/// A leaner scene proposes this much less.
const LEANER: usize = 4;

/// Every scene's cheaper twins.
pub(crate) struct Ladder {
    lean: BTreeMap<String, Scene>,
    popular: BTreeMap<String, Scene>,
}

impl Ladder {
    /// # Errors
    /// Those of a scene that is not valid; twins of valid scenes are.
    pub(crate) fn of(scenes: &Scenes) -> Result<Self> {
        let twins = |how: fn(&SceneConfig) -> SceneConfig| {
            let twin = |scene: &Scene| {
                let name = scene.name();
                Ok((name.to_owned(), how(scene.config()).resolve(name)?))
            };
            scenes.iter().map(twin).collect::<Result<_>>()
        };
        Ok(Self { lean: twins(lean)?, popular: twins(popular)? })
    }

    /// The scene to serve instead of `scene`, and the word that says so in the answer.
    pub(crate) fn instead<'a>(
        &'a self,
        scene: &'a Scene,
        rung: Rung,
    ) -> (&'a Scene, Option<&'static str>) {
        let (twins, word) = match rung {
            Rung::Whole | Rung::Refused => return (scene, None),
            Rung::Lean => (&self.lean, "pressure_lean"),
            Rung::Popular => (&self.popular, "pressure_popular"),
        };
        twins.get(scene.name()).map_or((scene, None), |twin| (twin, Some(word)))
    }
}

/// Fewer candidates, no diversity; filters and quotas stay.
fn lean(scene: &SceneConfig) -> SceneConfig {
    let candidates = (scene.candidates / LEANER).max(scene.k).min(scene.candidates);
    SceneConfig { candidates, diversity: DiversityConfig::default(), ..scene.clone() }
}

/// What is popular and not filtered out.
fn popular(scene: &SceneConfig) -> SceneConfig {
    let only = ChannelConfig { weight: Some(1.0), quota: 0, ..Default::default() };
    let channels = [("popular".to_owned(), only)].into();
    SceneConfig { bundle_channels: false, channels, ..lean(scene) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scene_has_twins_that_filter_alike() {
        let scenes = Scenes::built_in();
        let ladder = Ladder::of(&scenes).expect("valid twins");
        for scene in scenes.iter() {
            assert!(std::ptr::eq(ladder.instead(scene, Rung::Whole).0, scene));
            for rung in [Rung::Lean, Rung::Popular] {
                let (twin, word) = ladder.instead(scene, rung);
                assert!(word.is_some() && twin.config().candidates < scene.config().candidates);
                assert_eq!(twin.config().filters, scene.config().filters);
                assert_eq!(twin.config().k, scene.config().k);
            }
        }
    }
}
