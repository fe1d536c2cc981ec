//! Tables of well-known schemas, written down once. A preset is a piece of configuration with
//! parameters, so that what it does can be read, printed and changed.

use foretaste_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::config::{SourceConfig, TableConfig, is_identifier};

/// Every preset: its name, its text and the prefix of its tables.
const PRESETS: [(&str, &str, &str); 3] = [
    ("matomo", include_str!("presets/matomo.toml"), "matomo_"),
    ("matomo-pages", include_str!("presets/matomo-pages.toml"), "matomo_"),
    ("marketplace", include_str!("presets/marketplace.toml"), ""),
];

/// `preset = "matomo"`, or `preset = { name = "matomo", prefix = "piwik_", site = 2 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PresetConfig {
    /// As it is.
    Named(String),
    /// With its parameters.
    With(PresetOptions),
}

/// A preset and the values of its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetOptions {
    /// Its name.
    pub name: String,
    /// What the names of its tables begin with, instead of the preset's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Number of the site (Matomo).
    #[serde(default = "first_site")]
    pub site: u32,
}

/// The tables of a preset's text.
#[derive(Deserialize)]
struct Tables {
    tables: Vec<TableConfig>,
}

fn first_site() -> u32 {
    1
}

impl PresetConfig {
    /// Its text with the values of the parameters in it.
    ///
    /// # Errors
    /// `Config` for a name that is unknown and a prefix that is no name.
    pub fn text(&self) -> Result<String> {
        let wrong = |text: String| Error::new(ErrorKind::Config, text);
        let (name, prefix, site) = match self {
            Self::Named(name) => (name, None, first_site()),
            Self::With(options) => (&options.name, options.prefix.as_deref(), options.site),
        };
        let Some((_, text, own)) = PRESETS.iter().find(|(known, ..)| known == name) else {
            let known = PRESETS.map(|(known, ..)| known).join(", ");
            return Err(wrong(format!("there is no preset {name:?}; there are: {known}")));
        };
        let prefix = prefix.unwrap_or(own);
        if !prefix.is_empty()
            && !prefix.split('.').all(|part| part.is_empty() || is_identifier(part))
        {
            return Err(wrong(format!("the prefix {prefix:?} cannot begin a name of a table")));
        }
        Ok(text.replace("{prefix}", prefix).replace("{site}", &site.to_string()))
    }

    fn tables(&self) -> Result<Vec<TableConfig>> {
        let tables: Tables = toml::from_str(&self.text()?)
            .map_err(|e| Error::internal("a preset is not readable").with_source(e))?;
        Ok(tables.tables)
    }
}

impl SourceConfig {
    /// Puts the tables of the preset before the source's own. A table of the source's own takes
    /// the place of the preset's table of the same name.
    ///
    /// # Errors
    /// `Config` for a preset that is unknown.
    pub fn expand(&mut self) -> Result<()> {
        let Some(preset) = &self.preset else { return Ok(()) };
        let place = |e: Error| e.context(format!("source {}", self.name));
        let mut all = preset.tables().map_err(place)?;
        all.retain(|table| self.tables.iter().all(|own| own.name() != table.name()));
        all.append(&mut self.tables);
        self.tables = all;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(preset: &str, tables: &str) -> SourceConfig {
        let text = format!("name = \"s\"\nurl_env = \"X\"\npreset = {preset}\n{tables}");
        toml::from_str(&text).unwrap()
    }

    fn expanded(preset: &str, tables: &str) -> Result<SourceConfig> {
        let mut source = source(preset, tables);
        source.expand()?;
        source.check()?;
        Ok(source)
    }

    #[test]
    fn every_preset_is_a_valid_source() {
        for (name, ..) in PRESETS {
            let source = expanded(&format!("{name:?}"), "").unwrap();
            assert!(!source.tables.is_empty(), "{name}");
        }
    }

    #[test]
    fn parameters_are_put_in_and_checked() {
        let source =
            expanded("{ name = \"matomo\", prefix = \"stats.piwik_\", site = 7 }", "").unwrap();
        assert_eq!(source.tables[0].table, "stats.piwik_log_link_visit_action");
        assert!(source.tables.iter().all(|table| format!("{:?}", table.filter).contains('7')));
        for bad in ["\"unknown\"", "{ name = \"matomo\", prefix = \"a\\\"b\" }"] {
            assert_eq!(expanded(bad, "").unwrap_err().kind(), ErrorKind::Config, "{bad}");
        }
    }

    #[test]
    fn own_tables_take_the_place_of_the_presets() {
        let own = "[[tables]]\ntable = \"mine\"\nas = \"orders\"\nentity = \"items\"\n\
                   id = [\"id\"]\nwatermark = \"id\"\nfields = { item = \"sku\" }";
        let plain = expanded("\"matomo\"", "").unwrap();
        let mut source = expanded("\"matomo\"", own).unwrap();
        assert_eq!(source.tables.len(), plain.tables.len());
        let orders = source.tables.iter().find(|table| table.name() == "orders").unwrap();
        assert_eq!(orders.table, "mine");
        let before = source.clone();
        source.expand().unwrap();
        let names =
            |s: &SourceConfig| s.tables.iter().map(|t| t.name().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&source), names(&before), "once more changes nothing");
    }
}
