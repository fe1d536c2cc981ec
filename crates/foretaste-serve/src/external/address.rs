//! Where a channel is asked: an address with places for what is asked.

use std::fmt::Write as _;

use hyper::Uri;

/// What a place stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    User,
    Scene,
    N,
}

const PLACES: [(&str, Place); 3] =
    [("{user}", Place::User), ("{scene}", Place::Scene), ("{n}", Place::N)];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// An address with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl Template {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, and what is expected.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let place = PLACES.iter().find(|(name, _)| rest[at..].starts_with(name));
            let Some((name, place)) = place else {
                return Err("only {user}, {scene} and {n} may stand in braces".to_owned());
            };
            parts.push(Part::Text(rest[..at].to_owned()));
            parts.push(Part::Place(*place));
            rest = &rest[at + name.len()..];
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Self(parts);
        let uri = template.fill(Some("u"), "s", 1);
        let uri = uri.ok_or_else(|| "it is not an address".to_owned())?;
        let other = template.fill(Some("v"), "t", 2);
        let is_fixed = other.is_some_and(|other| other.authority() == uri.authority());
        match uri.scheme_str() {
            Some("http") if is_fixed => Ok(template),
            Some("https") => {
                Err("https is not spoken; ask a proxy on this host over http".to_owned())
            }
            _ => Err("it must begin with http:// and a fixed host".to_owned()),
        }
    }

    /// The address with its places filled; `None` where it needs a user and there is none.
    pub(super) fn fill(&self, user: Option<&str>, scene: &str, n: usize) -> Option<Uri> {
        let mut out = String::with_capacity(128);
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Place(Place::User) => encode(user?, &mut out),
                Part::Place(Place::Scene) => encode(scene, &mut out),
                Part::Place(Place::N) => encode(&n.to_string(), &mut out),
            }
        }
        out.parse().ok()
    }
}

/// All but unreserved characters as `%XX`, so that an id stays one segment or value.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_ids_cannot_leave_theirs() {
        let template = Template::parse("http://h:1/of/{user}?scene={scene}&n={n}").expect("valid");
        let fill = |user| template.fill(user, "home page", 7).map(|uri| uri.to_string());
        assert_eq!(fill(Some("u1")).as_deref(), Some("http://h:1/of/u1?scene=home%20page&n=7"));
        let odd = fill(Some("a/b?c&d#é")).expect("filled");
        assert_eq!(odd, "http://h:1/of/a%2Fb%3Fc%26d%23%C3%A9?scene=home%20page&n=7");
        assert_eq!(fill(None), None);
        let all = Template::parse("http://h/top").expect("valid");
        assert_eq!(all.fill(None, "s", 1).expect("filled"), "http://h/top");
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for (bad, why) in [
            ("https://h/", "proxy"),
            ("h:1/x", "address"),
            ("http://h{n}/x", "fixed host"),
            ("/x", "http://"),
            ("", "address"),
            ("http://h/{item}", "braces"),
            ("http://h/{user", "braces"),
            ("http://{user}/x", "fixed host"),
        ] {
            let said = Template::parse(bad).expect_err(bad);
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
