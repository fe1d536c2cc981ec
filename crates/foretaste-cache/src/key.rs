//! Keys and dependencies.
//!
//! A key is a path of readable segments (kind, tenant, user, scene) followed by the inputs that
//! the value was made from. Two keys are the same only when all their bytes are: a hash never
//! decides whose value is given out.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

/// Ends a segment; twice in a row ends the path.
const END: u8 = 0;
/// Introduces an escaped byte of a segment.
const ESCAPE: u8 = 1;
/// What follows it for a byte that is [`END`], and in a segment without any byte.
const ESCAPED_END: u8 = 2;
const EMPTY: u8 = 3;

/// A key that the cache keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// All bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The segments of the path, and the inputs that follow; `None` where the path does not end.
    pub fn parts(&self) -> Option<(Vec<String>, &[u8])> {
        let (mut segments, mut segment, mut at) = (Vec::new(), Vec::new(), 0);
        loop {
            match self.0.get(at..)? {
                [END, rest @ ..] => {
                    segments.push(String::from_utf8(std::mem::take(&mut segment)).ok()?);
                    if let [END, inputs @ ..] = rest {
                        return Some((segments, inputs));
                    }
                    at += 1;
                }
                [ESCAPE, escaped, ..] => {
                    match *escaped {
                        ESCAPE => segment.push(ESCAPE),
                        ESCAPED_END => segment.push(END),
                        // The mark of an empty segment.
                        _ => {}
                    }
                    at += 2;
                }
                [byte, ..] => {
                    segment.push(*byte);
                    at += 1;
                }
                [] => return None,
            }
        }
    }
}

impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&KeyBuf> for Key {
    fn from(key: &KeyBuf) -> Self {
        Self(key.bytes.as_slice().into())
    }
}

/// A key being written; looking something up needs no more than this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyBuf {
    bytes: Vec<u8>,
}

impl KeyBuf {
    /// The beginning of all keys of a kind.
    pub fn new(kind: &str) -> Self {
        let mut key = Self { bytes: Vec::with_capacity(128) };
        key.segment(kind);
        key
    }

    /// Adds a segment of the path.
    pub fn segment(&mut self, text: &str) -> &mut Self {
        for &byte in text.as_bytes() {
            if byte <= ESCAPE {
                self.bytes.push(ESCAPE);
            }
            self.bytes.push(if byte == END { ESCAPED_END } else { byte });
        }
        if text.is_empty() {
            self.bytes.extend([ESCAPE, EMPTY]);
        }
        self.bytes.push(END);
        self
    }

    /// Ends the path; inputs follow. A key without this is the beginning of others.
    pub fn end_path(&mut self) -> &mut Self {
        self.bytes.push(END);
        self
    }

    /// Adds a number to the inputs.
    pub fn number(&mut self, n: u64) -> &mut Self {
        self.bytes.extend(n.to_le_bytes());
        self
    }

    /// Adds text to the inputs.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
        self
    }

    /// All bytes so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Something that entries depend on: an item, a user, a bundle, or another entry. Kept as a hash,
/// the same in every process; when two things share one, an entry too many is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dependency(pub(crate) u64);

impl Dependency {
    /// The thing `id` of a kind.
    pub fn new(kind: &str, id: &str) -> Self {
        let mut hash = Xxh3::new();
        hash.update(kind.as_bytes());
        hash.update(&[END]);
        hash.update(id.as_bytes());
        Self(hash.digest())
    }

    /// The entry under a key, for entries that were made from its value.
    pub fn entry(key: &[u8]) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&[END]);
        hash.update(key);
        Self(hash.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(segments: &[&str]) -> KeyBuf {
        let mut key = KeyBuf::new("kind");
        segments.iter().for_each(|s| {
            key.segment(s);
        });
        key.end_path();
        key
    }

    #[test]
    fn different_segments_never_make_the_same_bytes() {
        let texts = ["", "a", "ab", "b", "\0", "\u{1}", "\u{2}", "\u{3}", "\0\0", "a\0", "\0a"];
        let mut all = Vec::new();
        for a in texts {
            all.push(path(&[a]).bytes);
            all.extend(texts.iter().map(|b| path(&[a, b]).bytes));
        }
        let n = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), n);
    }

    #[test]
    fn a_key_gives_back_its_parts() {
        for text in ["", "a", "ü", "\0", "\u{1}", "\u{2}\u{3}", "a\0\u{1}"] {
            let key = Key::from(&*path(&[text, "b"]).number(7));
            let (segments, inputs) = key.parts().unwrap();
            assert_eq!(segments, ["kind", text, "b"]);
            assert_eq!(inputs, 7_u64.to_le_bytes());
        }
        assert_eq!(Key::from(&KeyBuf::new("kind")).parts(), None);
    }

    #[test]
    fn a_beginning_covers_its_keys_and_no_others() {
        let beginning = KeyBuf::new("r").segment("ann").clone();
        let starts = |key: &KeyBuf| key.as_bytes().starts_with(beginning.as_bytes());
        assert!(starts(KeyBuf::new("r").segment("ann").segment("x")));
        assert!(starts(KeyBuf::new("r").segment("ann").end_path().number(7)));
        assert!(!starts(KeyBuf::new("r").segment("anna").end_path()));
        assert!(!starts(KeyBuf::new("rr").segment("ann").end_path()));
    }

    #[test]
    fn dependencies_are_the_same_in_every_process() {
        assert_eq!(Dependency::new("item", "a"), Dependency::new("item", "a"));
        assert_ne!(Dependency::new("item", "a"), Dependency::new("user", "a"));
        assert_ne!(Dependency::new("item", "a"), Dependency::entry(b"item\0a"));
        assert_eq!(Dependency::new("item", "sku-17").0, 10_670_493_208_166_578_370);
    }
}
