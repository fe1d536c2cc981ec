//! The ids of a run: all of them in memory once, drawn by rank, written in the form that a path or
//! a JSON text needs.

use std::io::Write;
use std::path::Path;

use foretaste_core::rng::Rng;
use foretaste_core::{Error, ErrorKind, Result};

use crate::scenario::{LIMITS, Population, Source};
use crate::zipf::Zipf;

/// A population that can be drawn from.
#[derive(Clone, Debug)]
pub struct Ids {
    names: Names,
    law: Zipf,
}

#[derive(Clone, Debug)]
enum Names {
    Numbered { prefix: String, first: u64 },
    Listed(Vec<String>),
}

impl Ids {
    /// The ids of a population; reads its file where it has one.
    ///
    /// # Errors
    /// `NotFound` or `Io` for the file, `Config` where it holds no id or one that is too long.
    pub fn load(population: &Population) -> Result<Self> {
        let (names, n) = match &population.source {
            Source::Numbered { prefix, first, count } => {
                (Names::Numbered { prefix: prefix.clone(), first: *first }, *count)
            }
            Source::File(path) => listed(read(path)?, &path.display().to_string())?,
            Source::Given(ids) => listed(ids.clone(), "the given ids")?,
        };
        Ok(Self { names, law: Zipf::new(n, population.zipf) })
    }

    /// Draws one of them.
    pub fn draw(&self, rng: &mut Rng) -> usize {
        self.law.draw(rng)
    }

    /// Writes the id of a rank, percent-encoded for a path.
    pub fn write_path(&self, rank: usize, out: &mut Vec<u8>) {
        match &self.names {
            Names::Listed(ids) => percent_encode(&ids[rank], out),
            Names::Numbered { prefix, first } => {
                percent_encode(prefix, out);
                number(first + rank as u64, out);
            }
        }
    }

    /// Writes the id of a rank as a JSON text, quotation marks included.
    pub fn write_json(&self, rank: usize, out: &mut Vec<u8>) {
        match &self.names {
            Names::Listed(ids) => json_text(&ids[rank], out),
            Names::Numbered { prefix, first } => {
                json_text(prefix, out);
                out.pop();
                number(first + rank as u64, out);
                out.push(b'"');
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<String>> {
    let text = fs_err::read_to_string(path)?;
    Ok(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect())
}

fn listed(ids: Vec<String>, origin: &str) -> Result<(Names, usize)> {
    let wrong = |text: String| Error::new(ErrorKind::Config, format!("{origin}: {text}"));
    if ids.is_empty() {
        return Err(wrong("holds no id; expected one a line".to_owned()));
    }
    let most = LIMITS.id_bytes;
    if let Some(at) = ids.iter().position(|id| id.len() > most) {
        let bytes = ids[at].len();
        return Err(wrong(format!("id {} has {bytes} bytes, {most} are allowed", at + 1)));
    }
    let n = ids.len();
    Ok((Names::Listed(ids), n))
}

/// Writes a number in decimal.
pub(crate) fn number(n: u64, out: &mut Vec<u8>) {
    write!(out, "{n}").expect("a vector takes all bytes");
}

/// Writes text with everything but unreserved characters as %XX.
pub(crate) fn percent_encode(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Writes a JSON text.
pub(crate) fn json_text(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|c| c >= 32 && c != b'"' && c != b'\\') {
        out.push(b'"');
        out.extend(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("a vector takes all bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(source: Source) -> Result<Ids> {
        Ids::load(&Population { source, zipf: 0.0, new_share: 0.0 })
    }

    #[track_caller]
    fn writes(source: Source, rank: usize, path: &str, json: &str) {
        let ids = ids(source).expect("sound");
        let (mut a, mut b) = (Vec::new(), Vec::new());
        ids.write_path(rank, &mut a);
        ids.write_json(rank, &mut b);
        assert_eq!(
            (String::from_utf8(a).unwrap(), String::from_utf8(b).unwrap()),
            (path.into(), json.into())
        );
    }

    #[test]
    fn ids_are_written_for_paths_and_for_json() {
        let numbered = Source::Numbered { prefix: "shop/".into(), first: 10, count: 5 };
        writes(numbered, 2, "shop%2F12", "\"shop/12\"");
        let given = Source::Given(vec!["a".into(), "é \"x\"".into()]);
        writes(given.clone(), 0, "a", "\"a\"");
        writes(given, 1, "%C3%A9%20%22x%22", "\"é \\\"x\\\"\"");
    }

    #[test]
    fn a_file_holds_one_id_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.txt");
        fs_err::write(&path, "a\n\n b \r\nc").unwrap();
        writes(Source::File(path.clone()), 1, "b", "\"b\"");
        fs_err::write(&path, "\n").unwrap();
        assert!(ids(Source::File(path)).unwrap_err().to_string().contains("holds no id"));
    }

    #[test]
    fn an_id_that_no_server_takes_is_refused() {
        let given = |n| ids(Source::Given(vec!["a".into(), "x".repeat(n)]));
        assert!(given(128).is_ok());
        assert!(given(129).unwrap_err().to_string().contains("id 2 has 129 bytes"));
    }
}
