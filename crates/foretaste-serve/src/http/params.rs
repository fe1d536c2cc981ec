//! Query strings, read against a declared list: the same list checks, parses and documents.

use foretaste_core::Limits;

use super::problem::Problem;

const LIMITS: Limits = Limits::DEFAULT;

/// A query parameter that a route knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    #[cfg_attr(not(test), allow(dead_code, reason = "for the description"))]
    pub(crate) about: &'static str,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A whole number from 1 to the bound.
    Count { most: usize },
    /// `true` or `false`.
    Flag,
    /// Text of at most so many bytes.
    Text { most_bytes: usize },
    /// One of these words.
    Word(&'static [&'static str]),
    /// An id or name that may be given several times, at most so often.
    Repeated { most: usize, most_bytes: usize },
}

impl Param {
    pub(crate) const fn new(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self { name, shape, about }
    }
}

impl Shape {
    fn check(self, name: &str, value: &str) -> Result<(), Problem> {
        let expected = match self {
            Self::Count { most } => match value.parse::<usize>() {
                Ok(n) if n >= 1 && n <= most => return Ok(()),
                _ => format!("a whole number from 1 to {most}"),
            },
            Self::Flag if matches!(value, "true" | "false") => return Ok(()),
            Self::Flag => "true or false".to_owned(),
            Self::Text { most_bytes } | Self::Repeated { most_bytes, .. } => {
                if !value.is_empty() && value.len() <= most_bytes {
                    return Ok(());
                }
                format!("1 to {most_bytes} bytes of text")
            }
            Self::Word(words) if words.contains(&value) => return Ok(()),
            Self::Word(words) => format!("one of {}", words.join(", ")),
        };
        Err(Problem::invalid(format!("query parameter {name}: expected {expected}")))
    }
}

/// The parameters of one request, checked.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(&'static str, String)>,
}

impl Params {
    /// Reads `query` against what the route knows.
    ///
    /// # Errors
    /// 400 for an unknown name, a wrong value, or a value given too often.
    pub(crate) fn parse(query: Option<&str>, known: &[Param]) -> Result<Self, Problem> {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let Some(param) = known.iter().find(|p| p.name == name) else {
                let names: Vec<&str> = known.iter().map(|p| p.name).collect();
                let names = names.join(", ");
                return Err(Problem::invalid(format!(
                    "unknown query parameter; this route knows: {names}"
                )));
            };
            param.shape.check(param.name, &value)?;
            let most = if let Shape::Repeated { most, .. } = param.shape { most } else { 1 };
            if pairs.iter().filter(|(n, _)| *n == param.name).count() == most {
                let text = format!("query parameter {}: given more than {most} times", param.name);
                return Err(Problem::invalid(text));
            }
            pairs.push((param.name, value.into_owned()));
        }
        Ok(Self { pairs })
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn count(&self, name: &str) -> Option<usize> {
        self.text(name)?.parse().ok()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    pub(crate) fn repeated(&self, name: &str) -> Vec<String> {
        self.pairs.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.clone()).collect()
    }
}

/// How many items.
pub(crate) const K: Param =
    Param::new("k", Shape::Count { most: LIMITS.k }, "Items wanted; default: the scene's");
/// Which scene.
pub(crate) const SCENE: Param = Param::new(
    "scene",
    Shape::Text { most_bytes: LIMITS.name_bytes },
    "Placement whose settings apply; default: the server's default scene",
);
/// Whether to say why.
pub(crate) const REASONS: Param =
    Param::new("reasons", Shape::Flag, "Adds the items of the user's past that led to each item");
/// What to leave out.
pub(crate) const EXCLUDE: Param = Param::new(
    "exclude",
    Shape::Repeated { most: LIMITS.exclude, most_bytes: LIMITS.id_bytes },
    "Item id to leave out; may be repeated",
);
/// What to keep.
pub(crate) const CATEGORY: Param = Param::new(
    "category",
    Shape::Repeated { most: 20, most_bytes: 256 },
    "Only items of this category; repeated: of any of them",
);

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Param; 3] = [K, REASONS, EXCLUDE];

    #[track_caller]
    fn refused(query: &str, why: &str) {
        let problem = Params::parse(Some(query), &KNOWN).expect_err(query);
        assert!(problem.detail.contains(why), "{problem:?}");
    }

    #[test]
    fn values_are_decoded_and_typed() {
        let params = Params::parse(Some("k=7&exclude=a%2Fb&exclude=c+d&reasons=true"), &KNOWN)
            .expect("well-formed");
        assert_eq!((params.count("k"), params.flag("reasons")), (Some(7), true));
        assert_eq!(params.repeated("exclude"), ["a/b", "c d"]);
    }

    #[test]
    fn k_is_checked_at_its_limit() {
        for (k, ok) in [(0, false), (1, true), (499, true), (500, true), (501, false)] {
            assert_eq!(Params::parse(Some(&format!("k={k}")), &KNOWN).is_ok(), ok, "k={k}");
        }
    }

    #[test]
    fn exclude_is_counted() {
        for (n, ok) in [(999, true), (1000, true), (1001, false)] {
            let query = vec!["exclude=x"; n].join("&");
            assert_eq!(Params::parse(Some(&query), &KNOWN).is_ok(), ok, "{n} times");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_without_an_echo() {
        refused("kk=1", "this route knows: k, reasons, exclude");
        refused("k=many", "a whole number");
        refused("k=1&k=2", "more than 1 times");
        refused("reasons=yes", "true or false");
        refused(&format!("exclude={}", "x".repeat(129)), "128 bytes");
        let problem = Params::parse(Some("<script>=1"), &KNOWN).expect_err("unknown");
        assert!(!problem.detail.contains("script"));
    }
}
