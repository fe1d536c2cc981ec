//! Compressed answers: which form a client takes, and making it.

use std::io::Write;

use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, HeaderValue};

/// Shorter bodies are sent as they are: the head weighs as much.
pub(crate) const LEAST_BYTES: usize = 1_000;

/// A compressed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Zstd,
    Brotli,
    Gzip,
}

impl Encoding {
    /// Ours in the order of preference: the cheapest to make first.
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// The form that the client likes best, of equals the first of ours; `None`: as it is.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        Self::liked(headers.get(ACCEPT_ENCODING)?.to_str().ok()?)
    }

    /// The same for the header's text.
    pub(crate) fn liked(accepts: &str) -> Option<Self> {
        let liking = |encoding: &Self| liking(accepts, encoding.token());
        let mut best = None;
        for encoding in Self::ALL {
            let likes = liking(&encoding);
            if likes > 0.0 && best.is_none_or(|(most, _)| likes > most) {
                best = Some((likes, encoding));
            }
        }
        best.map(|(_, encoding)| encoding)
    }

    fn token(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// As `Content-Encoding` says it.
    pub(crate) fn name(self) -> HeaderValue {
        HeaderValue::from_static(self.token())
    }

    /// As keys of kept answers say it.
    pub(crate) fn number(self) -> u64 {
        self as u64 + 1
    }

    /// Appends `body` in this form.
    ///
    /// # Cost
    /// 10 to 100 us for 3 kB; the answer is kept in this form, so it is paid once.
    pub(crate) fn compress(self, body: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Self::Zstd => zstd::stream::copy_encode(body, out, 3),
            Self::Brotli => {
                let params = BrotliEncoderParams { quality: 4, lgwin: 18, ..Default::default() };
                brotli::BrotliCompress(&mut &*body, out, &params).map(drop)
            }
            Self::Gzip => {
                let mut writer = GzEncoder::new(out, Compression::new(5));
                writer.write_all(body)?;
                writer.finish().map(drop)
            }
        }
    }
}

/// How much a client likes a form, from 0 to 1; `*` stands for all it does not name.
fn liking(accepts: &str, token: &str) -> f32 {
    let mut any = 0.0;
    for part in accepts.split(',') {
        let mut parts = part.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let q = parts.find_map(|p| p.trim().strip_prefix("q="));
        let q = q.map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
        if name.eq_ignore_ascii_case(token) {
            return q;
        }
        if name == "*" {
            any = q;
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[track_caller]
    fn check(accepts: &'static str, expected: Option<Encoding>) {
        let pair = (ACCEPT_ENCODING, HeaderValue::from_static(accepts));
        assert_eq!(Encoding::accepted(&HeaderMap::from_iter([pair])), expected, "{accepts}");
    }

    #[test]
    fn the_client_chooses_and_of_equals_we_do() {
        check("gzip, deflate, br, zstd", Some(Encoding::Zstd));
        check("gzip, br", Some(Encoding::Brotli));
        check("GZIP;q=1.0, br;q=0.5", Some(Encoding::Gzip));
        check("*", Some(Encoding::Zstd));
        check("zstd;q=0, *;q=0.1", Some(Encoding::Brotli));
        check("gzip;q=0", None);
        check("identity", None);
        check("gzip;q=much", None);
        assert_eq!(Encoding::accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn every_form_is_smaller_and_comes_back() {
        let body = br#"{"item_id":"item-1","score":0.5}"#.repeat(50);
        for encoding in Encoding::ALL {
            let mut small = Vec::new();
            encoding.compress(&body, &mut small).expect("in memory");
            assert!(small.len() < body.len() / 5, "{encoding:?}: {}", small.len());
            let mut back = Vec::new();
            match encoding {
                Encoding::Zstd => back = zstd::decode_all(&small[..]).expect("zstd"),
                Encoding::Brotli => {
                    let mut reader = brotli::Decompressor::new(&small[..], 4_096);
                    reader.read_to_end(&mut back).expect("br");
                }
                Encoding::Gzip => {
                    let mut reader = flate2::read::GzDecoder::new(&small[..]);
                    reader.read_to_end(&mut back).expect("gzip");
                }
            }
            assert_eq!(back, body, "{encoding:?}");
        }
    }
}
