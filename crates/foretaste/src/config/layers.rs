//! Layers of settings: commented defaults, then a TOML file, then `FORETASTE__SECTION__KEY`.
//!
//! The defaults are the schema: a key or a type that they do not have is a problem, and all
//! problems are reported together. Tables named in `OPEN_TABLES` hold the user's own names.

use toml::{Table, Value};

/// Prefix of the environment's settings; `__` stands between the parts of a path.
pub const ENVIRONMENT_PREFIX: &str = "FORETASTE__";

/// Tables below which any key may stand; their content is checked when it is read.
const OPEN_TABLES: [&str; 6] = [
    "channels",
    "scenes",
    "events.kinds",
    "train.models",
    "quality.bounds.values",
    "alerts.labels",
];

/// Settings that have no default value.
const OPTIONAL: [&str; 2] = ["serve.admin_listen", "serve.grpc_listen"];

/// One thing that is wrong with the configuration, with the layer it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(pub String);

/// Lays `over` on `base`, both below `path`; `layer` names where `over` came from.
pub fn overlay(base: &mut Table, over: Table, layer: &str, problems: &mut Vec<Problem>) {
    overlay_at(base, over, &Place { layer, path: String::new() }, problems);
}

struct Place<'a> {
    layer: &'a str,
    path: String,
}

impl Place<'_> {
    fn below(&self, key: &str) -> Self {
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { layer: self.layer, path }
    }

    fn is_open(&self) -> bool {
        let is_below = |open: &str| {
            self.path == open || self.path.strip_prefix(open).is_some_and(|r| r.starts_with('.'))
        };
        OPEN_TABLES.iter().any(|open| is_below(open))
    }
}

fn overlay_at(base: &mut Table, over: Table, place: &Place<'_>, problems: &mut Vec<Problem>) {
    for (key, value) in over {
        let here = place.below(&key);
        match (base.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => {
                overlay_at(inner, over, &here, problems);
            }
            (Some(_), value) if place.is_open() => {
                base.insert(key, value);
            }
            (Some(old), value) => match fit(old, value) {
                Ok(fitted) => *old = fitted,
                Err(found) => problems.push(wrong_type(&here, old, &found)),
            },
            (None, value) if place.is_open() || OPTIONAL.contains(&here.path.as_str()) => {
                base.insert(key, value);
            }
            (None, _) => problems.push(unknown_key(&here, base)),
        }
    }
}

/// `value` as the type that `old` has; an integer may stand for a float.
fn fit(old: &Value, value: Value) -> Result<Value, Value> {
    match (old, &value) {
        (Value::Float(_), Value::Integer(i)) => Ok(Value::Float(*i as f64)),
        _ if old.same_type(&value) => Ok(value),
        _ => Err(value),
    }
}

fn wrong_type(place: &Place<'_>, old: &Value, found: &Value) -> Problem {
    let Place { layer, path } = place;
    Problem(format!(
        "{layer}: `{path}` must be {} like {old}, found {} {found}",
        with_article(old.type_str()),
        with_article(found.type_str())
    ))
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {noun}")
}

fn unknown_key(place: &Place<'_>, known: &Table) -> Problem {
    let Place { layer, path } = place;
    let key = path.rsplit('.').next().unwrap_or(path);
    let near = known.keys().min_by_key(|k| distance(k, key)).filter(|k| distance(k, key) <= 3);
    let advice = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    Problem(format!("{layer}: `{path}` is not a setting; {advice}"))
}

/// Levenshtein distance, for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let best = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

/// The layer of the environment: `FORETASTE__SERVE__LISTEN=...` sets `serve.listen`. A value is
/// read as TOML where it is TOML, else as text.
pub fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Table {
    let mut table = Table::new();
    let mut ours: Vec<_> = variables.filter(|(k, _)| k.starts_with(ENVIRONMENT_PREFIX)).collect();
    ours.sort();
    for (name, text) in ours {
        let path: Vec<String> =
            name[ENVIRONMENT_PREFIX.len()..].split("__").map(str::to_lowercase).collect();
        insert_at(&mut table, &path, parse_value(&text));
    }
    table
}

fn parse_value(text: &str) -> Value {
    let parsed = format!("v = {text}").parse::<Table>().ok();
    parsed.and_then(|mut t| t.remove("v")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn insert_at(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            table.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert_at(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Table {
        "[serve]\nlisten = \"a:1\"\nrate = 0.5\n[scenes.home]\nk = 10\n".parse().unwrap()
    }

    fn problems_of(over: &str) -> Vec<String> {
        let mut problems = Vec::new();
        overlay(&mut base(), over.parse().unwrap(), "file", &mut problems);
        problems.into_iter().map(|p| p.0).collect()
    }

    #[test]
    fn all_problems_are_reported_together_with_advice() {
        let found = problems_of("[serve]\nlissten = \"b:2\"\nrate = \"fast\"\n[server]\nx = 1\n");
        assert_eq!(found.len(), 3);
        assert!(found[0].contains("did you mean `listen`?"), "{found:?}");
        assert!(found[1].contains("`serve.rate` must be a float"), "{found:?}");
        assert!(found[2].contains("did you mean `serve`?"), "{found:?}");
    }

    #[test]
    fn integers_stand_for_floats_and_scenes_are_free() {
        assert!(problems_of("[serve]\nrate = 1\n[scenes.checkout]\nk = 3\n").is_empty());
    }

    #[test]
    fn the_environment_is_a_layer_of_paths() {
        let variables =
            [("FORETASTE__SERVE__LISTEN", "0.0.0.0:80"), ("FORETASTE__SERVE__RATE", "2.5")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()));
        let mut table = base();
        let mut problems = Vec::new();
        overlay(&mut table, from_environment(variables.into_iter()), "environment", &mut problems);
        assert!(problems.is_empty());
        assert_eq!(table["serve"]["listen"].as_str(), Some("0.0.0.0:80"));
        assert_eq!(table["serve"]["rate"].as_float(), Some(2.5));
    }
}
