//! How a value lies in the shared tier: typed, versioned, with the hash of the key it belongs to
//! and a checksum, so that bytes of another version, another key or another program are misses.
//!
//! ```text
//! "FTC" version:u8  class:u8 0 0 0  key_hash:16  created_unix_ms:i64
//! n_dependencies:u32  value_bytes:u32  dependency:u64 ...  value  xxh3:u64
//! ```
//! Numbers are little-endian; the last is the XXH3-64 of everything before it.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::entry::Class;
use crate::key::Dependency;

const MAGIC: [u8; 4] = *b"FTC\x01";
const HEAD_BYTES: usize = 40;
const CHECKSUM_BYTES: usize = 8;

/// A value with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) class: Class,
    /// When it was made, by the clock of who made it.
    pub(crate) created_unix_ms: i64,
    pub(crate) depends_on: Vec<Dependency>,
    pub(crate) value: Bytes,
}

/// The hash that names a key in the shared tier.
pub(crate) fn key_hash(key: &[u8]) -> [u8; 16] {
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::hash(key).as_bytes()[..16]);
    hash
}

impl Envelope {
    /// The bytes of this envelope under `key`.
    pub(crate) fn seal(&self, key: &[u8]) -> Vec<u8> {
        let n = HEAD_BYTES + 8 * self.depends_on.len() + self.value.len() + CHECKSUM_BYTES;
        let mut out = Vec::with_capacity(n);
        out.extend(MAGIC);
        out.extend([self.class as u8, 0, 0, 0]);
        out.extend(key_hash(key));
        out.extend(self.created_unix_ms.to_le_bytes());
        out.extend((self.depends_on.len() as u32).to_le_bytes());
        out.extend((self.value.len() as u32).to_le_bytes());
        self.depends_on.iter().for_each(|d| out.extend(d.0.to_le_bytes()));
        out.extend_from_slice(&self.value);
        out.extend(xxh3_64(&out).to_le_bytes());
        out
    }

    /// The envelope in `bytes`, if it is one and belongs to `key`.
    pub(crate) fn open(key: &[u8], bytes: &[u8]) -> Option<Self> {
        let (sealed, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
        let head = sealed.get(..HEAD_BYTES)?;
        let class = Class::from_byte(head[4])?;
        if head[..4] != MAGIC || head[8..24] != key_hash(key) {
            return None;
        }
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (n_dependencies, value_bytes) = (number(32) as usize, number(36) as usize);
        let dependency_bytes = n_dependencies.checked_mul(8)?;
        let expected = HEAD_BYTES.checked_add(dependency_bytes)?.checked_add(value_bytes)?;
        if sealed.len() != expected || xxh3_64(sealed) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let (dependencies, value) = sealed[HEAD_BYTES..].split_at(dependency_bytes);
        let dependency =
            |chunk: &[u8]| chunk.try_into().ok().map(|b| Dependency(u64::from_le_bytes(b)));
        Some(Self {
            class,
            created_unix_ms: i64::from_le_bytes(head[24..32].try_into().ok()?),
            depends_on: dependencies.chunks_exact(8).filter_map(dependency).collect(),
            value: Bytes::copy_from_slice(value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretaste_core::Rng;

    fn envelope(n: usize) -> Envelope {
        Envelope {
            class: Class::Hot,
            created_unix_ms: -7,
            depends_on: (0..n).map(|i| Dependency::new("item", &i.to_string())).collect(),
            value: Bytes::from(vec![b'v'; 10 * n]),
        }
    }

    #[test]
    fn what_was_sealed_comes_out_under_its_key_only() {
        for n in [0, 1, 20] {
            let bytes = envelope(n).seal(b"key");
            assert_eq!(Envelope::open(b"key", &bytes), Some(envelope(n)));
            assert_eq!(Envelope::open(b"other", &bytes), None);
        }
    }

    #[test]
    fn every_changed_byte_and_every_length_is_noticed() {
        let bytes = envelope(3).seal(b"key");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Envelope::open(b"key", &damaged), None, "byte {at}");
            assert_eq!(Envelope::open(b"key", &bytes[..at]), None, "{at} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Envelope::open(b"key", &longer), None);
    }

    #[test]
    fn bytes_of_other_programs_are_refused() {
        assert_eq!(Envelope::open(b"key", b"\x80\x04\x95pickle"), None);
        let mut rng = Rng::new(1);
        for n in 0..2_000 {
            let noise: Vec<u8> = (0..n % 200).map(|_| rng.next_u64() as u8).collect();
            assert_eq!(Envelope::open(b"key", &noise), None);
        }
    }
}
