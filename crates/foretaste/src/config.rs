//! The configuration tree: layers in, checked settings out.

use std::collections::BTreeMap;
use std::path::Path;

use foretaste_bundle::GraphConfig;
use foretaste_cache::CacheConfig;
use foretaste_core::EventWeights;
use foretaste_ingest::tables::SourceConfig;
use foretaste_pipeline::{SceneConfig, Scenes};
use foretaste_quality::QualityConfig;
use foretaste_serve::{ExternalConfig, ServeConfig};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::alerting::AlertsConfig;

mod archive;
pub mod layers;
mod store;

pub use archive::ArchiveSection;
use layers::Problem;
pub use store::StoreSection;

/// The commented defaults, which are also the schema.
#[cfg(not(feature = "lake"))]
pub const DEFAULT: &str = include_str!("default.toml");
/// The commented defaults, which are also the schema.
#[cfg(feature = "lake")]
pub const DEFAULT: &str = concat!(include_str!("default.toml"), include_str!("lake.toml"));

/// All settings in force.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Databases to read.
    pub source: Vec<SourceConfig>,
    /// Where everything is kept.
    pub store: StoreSection,
    /// Where old events go.
    pub archive: ArchiveSection,
    /// Reading files.
    pub import: ImportConfig,
    /// What events mean.
    pub events: EventWeights,
    /// Learning.
    pub train: TrainSection,
    /// What is good enough to learn from.
    pub quality: QualityConfig,
    /// Whom to tell when something is wrong.
    pub alerts: AlertsConfig,
    /// Answering.
    pub serve: ServeConfig,
    /// Keeping answers.
    pub cache: CacheConfig,
    /// Channels outside of the process.
    pub channels: BTreeMap<String, ExternalConfig>,
    /// Placements.
    pub scenes: BTreeMap<String, SceneConfig>,
    /// Where the lake lies.
    #[cfg(feature = "lake")]
    pub lake: foretaste_features::PlaceConfig,
    /// Features in SQL.
    #[cfg(feature = "lake")]
    pub features: crate::commands::features::FeaturesConfig,
}

/// `[import]`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ImportConfig {
    /// Share of bad rows at which an import is aborted.
    pub max_bad_share: f64,
}

/// `[train]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// Which set of models.
    pub profile: String,
    /// Everything random follows from it.
    pub seed: u64,
    /// Threads; 0 = one per core.
    pub threads: usize,
    /// Bundles that are kept.
    pub keep_bundles: usize,
    /// Which of them are packed.
    pub packed_bundles: PackedBundles,
    /// Settings of single models, laid over the profile's.
    pub models: Table,
    /// Which channels of vectors get a graph.
    pub graph: GraphConfig,
}

/// `train.packed_bundles`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PackedBundles {
    /// None is packed by training.
    None,
    /// Those that are neither the current nor the previous nor the new one.
    Older,
    /// Every one.
    All,
}

/// Everything that is wrong with a configuration.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the configuration has {} problem(s)", self.0.len())?;
        self.0.iter().try_for_each(|Problem(text)| write!(f, "\n  {text}"))
    }
}

impl std::error::Error for Problems {}

impl Config {
    /// Defaults, then `file` (where it is given or found in `data`), then the environment.
    ///
    /// # Errors
    /// All problems of all layers together.
    pub fn load(
        data: &Path,
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut table: Table = DEFAULT.parse().expect("the defaults are checked by a test");
        if let Some((name, over)) = read_file(data, file, &mut problems) {
            layers::overlay(&mut table, over, &name, &mut problems);
        }
        let over = layers::from_environment(environment);
        layers::overlay(&mut table, over, "environment", &mut problems);
        let parsed = Self::from_table(table, &mut problems);
        match parsed {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(Problems(problems)),
        }
    }

    fn from_table(table: Table, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut config: Self = match Value::Table(table).try_into() {
            Ok(config) => config,
            Err(error) => {
                problems.push(Problem(error.to_string().trim().to_owned()));
                return None;
            }
        };
        config.serve.cache = config.cache.clone();
        config.serve.channels = config.channels.clone();
        let mut check = |outcome: Result<(), foretaste_core::Error>| {
            outcome.unwrap_or_else(|e| problems.push(Problem(e.to_string())));
        };
        check(config.store.check());
        check(config.archive.check());
        check(config.serve.check());
        #[cfg(feature = "lake")]
        {
            check(config.lake.check());
            check(config.features.check());
        }
        check(config.train.graph.check());
        check(config.quality.check());
        check(config.alerts.check());
        check(Scenes::new(config.scenes.clone()).map(|_| ()));
        for source in &mut config.source {
            check(source.expand());
            check(source.check());
        }
        for (at, source) in config.source.iter().enumerate() {
            if config.source[..at].iter().any(|other| other.name == source.name) {
                problems.push(Problem(format!("source {:?} stands twice", source.name)));
            }
        }
        if !(0.0..=1.0).contains(&config.import.max_bad_share) {
            problems.push(Problem("`import.max_bad_share` must be within 0 and 1".to_owned()));
        }
        Some(config)
    }

    /// The settings as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("settings have a TOML form")
    }
}

fn read_file(
    data: &Path,
    file: Option<&Path>,
    problems: &mut Vec<Problem>,
) -> Option<(String, Table)> {
    let usual = data.join("foretaste.toml");
    let path = match file {
        Some(path) => path,
        None if usual.exists() => &usual,
        None => return None,
    };
    let name = path.display().to_string();
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(Problem(error.to_string()));
            return None;
        }
    };
    match text.parse::<Table>() {
        Ok(table) => Some((name, table)),
        Err(error) => {
            problems.push(Problem(format!("{name}: {}", error.to_string().trim())));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<Config, Problems> {
        let variables = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Path::new("/nonexistent"), None, variables)
    }

    #[test]
    fn the_commented_defaults_are_the_defaults_of_the_code() {
        let config = load(&[]).unwrap();
        assert_eq!(config.events, EventWeights::default());
        let expected = ServeConfig { listen: config.serve.listen, ..ServeConfig::default() };
        assert_eq!(config.serve, expected);
        assert_eq!(config.cache, CacheConfig::default());
        assert_eq!(config.quality, QualityConfig::default());
        #[cfg(feature = "lake")]
        {
            assert_eq!(config.lake, Default::default());
            assert_eq!(config.features, Default::default());
        }
    }

    #[test]
    fn problems_of_all_sections_come_together() {
        let problems = load(&[
            ("FORETASTE__SERVE__LISSTEN", "x"),
            ("FORETASTE__TRAIN__SEED", "\"many\""),
            ("FORETASTE__IMPORT__MAX_BAD_SHARE", "7"),
        ]);
        assert_eq!(problems.unwrap_err().0.len(), 3);
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let config = load(&[("FORETASTE__SCENES__CART__K", "3")]).unwrap();
        let printed: Table = config.to_toml().parse().unwrap();
        let mut problems = Vec::new();
        assert_eq!(Config::from_table(printed, &mut problems).unwrap().scenes["cart"].k, 3);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn the_server_gets_the_cache_that_was_set() {
        let config = load(&[("FORETASTE__CACHE__ENABLED", "false")]).unwrap();
        assert!(!config.serve.cache.enabled);
        let problems = load(&[("FORETASTE__CACHE__TTL__JITTER", "0.9")]).unwrap_err();
        assert!(problems.to_string().contains("cache.ttl.jitter"), "{problems}");
    }

    #[test]
    fn the_server_gets_the_channels_outside_that_were_set() {
        let url = |url| load(&[("FORETASTE__CHANNELS__FAR__URL", url)]);
        let config = url("http://127.0.0.1:1/{user}").unwrap();
        assert_eq!(config.serve.channels["far"].budget_ms, 20);
        let printed: Table = config.to_toml().parse().unwrap();
        let again = Config::from_table(printed, &mut Vec::new()).unwrap();
        assert_eq!(again.channels, config.channels);
        let problems = url("https://127.0.0.1:1/{user}").unwrap_err();
        assert!(problems.to_string().contains("channels.far: url"), "{problems}");
    }

    #[test]
    fn sources_are_checked_with_all_else() {
        let source = |name: &str| {
            let fields = "{ item = \"sku\" }";
            let keys = format!("id = [\"id\"], watermark = \"at\", fields = {fields}");
            let table = format!("{{ table = \"t\", entity = \"items\", {keys} }}");
            format!("{{ name = {name:?}, url_env = \"X\", tables = [{table}] }}")
        };
        let two = format!("[{}, {}]", source("a"), source("b"));
        let config = load(&[("FORETASTE__SOURCE", &two)]).unwrap();
        assert_eq!(config.source[1].tables[0].lookback_s, 600);
        let printed: Table = config.to_toml().parse().unwrap();
        assert_eq!(Config::from_table(printed, &mut Vec::new()).unwrap().source, config.source);
        let bad = format!("[{0}, {0}, {1}]", source("a"), source("b c"));
        assert_eq!(load(&[("FORETASTE__SOURCE", &bad)]).unwrap_err().0.len(), 2);
    }

    #[test]
    fn limits_and_bounds_of_quality_are_checked_with_all_else() {
        let config = load(&[
            ("FORETASTE__QUALITY__LIMITS__DRIFT__WARN", "0.2"),
            ("FORETASTE__QUALITY__BOUNDS__VALUES__RATING", "[1.0, 5.0]"),
        ]);
        let quality = config.unwrap().quality;
        assert_eq!((quality.limits.drift.warn, quality.limits.drift.fail), (0.2, 0.25));
        assert_eq!(quality.bounds.values["rating"], [1.0, 5.0]);
        let problems = load(&[("FORETASTE__QUALITY__LIMITS__DRIFT__WARN", "2")]).unwrap_err();
        assert!(problems.to_string().contains("quality.limits.drift"), "{problems}");
        let problems = load(&[("FORETASTE__QUALITY__LIMITS__DRIVT__WARN", "2")]).unwrap_err();
        assert!(problems.to_string().contains("did you mean `drift`"), "{problems}");
    }

    #[cfg(feature = "lake")]
    #[test]
    fn a_cluster_needs_a_program_that_knows_clusters() {
        let with = |url| load(&[("FORETASTE__FEATURES__ENGINE__CLUSTER", url)]);
        let loaded = with("df://node:1");
        #[cfg(feature = "cluster")]
        {
            assert_eq!(loaded.unwrap().features.engine.cluster, "df://node:1");
            let problems = with("http://node:1").unwrap_err();
            assert!(problems.to_string().contains("write df://host:50050"), "{problems}");
        }
        #[cfg(not(feature = "cluster"))]
        {
            let problems = loaded.unwrap_err();
            assert!(problems.to_string().contains("cargo feature `cluster`"), "{problems}");
        }
        let problems = load(&[("FORETASTE__FEATURES__ENGINE__PARTS", "0")]).unwrap_err();
        assert!(problems.to_string().contains("parts"), "{problems}");
    }

    #[test]
    fn an_optional_key_may_be_set() {
        let config = load(&[("FORETASTE__SERVE__ADMIN_LISTEN", "127.0.0.1:1")]).unwrap();
        assert_eq!(config.serve.admin_listen.map(|a| a.port()), Some(1));
        let config = load(&[("FORETASTE__SERVE__GRPC_LISTEN", "127.0.0.1:2")]).unwrap();
        assert_eq!(config.serve.grpc_listen.map(|a| a.port()), Some(2));
    }
}
