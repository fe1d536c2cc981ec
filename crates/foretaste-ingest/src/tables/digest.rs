//! Digests of rows: 60 bits of the MD5 of everything that is read of a row, as
//! [`super::sql::Writer::buckets`] has the server compute it.
//!
//! One MD5 after another leaves most of a processor idle, as each of its steps waits for the one
//! before: a seventh of all that a first reading cost. Here a step is taken for several rows at
//! once, which the compiler turns into instructions for vectors, as wide as the processor has them.
//! Long rows go the usual way.

use std::sync::LazyLock;

use md5::{Digest, Md5};

/// The separator of the parts of a digest, and what stands for NULL.
const UNIT: u8 = 31;
const NULL: u8 = 30;

/// Rows whose digests are computed at once; with fewer, the compiler unrolls their loop instead of
/// making vectors of it.
const LANES: usize = 32;
/// Bytes that MD5 takes in at a time.
const BLOCK: usize = 64;
/// Longer rows are not held up by their neighbours' end.
const SHORT: usize = 16 * BLOCK;

type Lanes = [u32; LANES];

/// Computes the digests of many rows.
#[derive(Debug, Default)]
pub struct Digests {
    /// The rows in hand, padded as MD5 wants them.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    done: Vec<u64>,
}

impl Digests {
    /// Adds a row of these cells.
    pub fn push<'a>(&mut self, cells: impl Iterator<Item = Option<&'a [u8]>>) {
        let from = self.bytes.len();
        for (at, cell) in cells.enumerate() {
            if at > 0 {
                self.bytes.push(UNIT);
            }
            match cell {
                Some(text) => self.bytes.extend_from_slice(text),
                None => self.bytes.push(NULL),
            }
        }
        let length = self.bytes.len() - from;
        if length > SHORT {
            self.flush_before(from);
            let md5 = Md5::digest(&self.bytes);
            self.done.push(top(u64::from_be_bytes(md5[..8].try_into().expect("sixteen bytes"))));
            self.bytes.clear();
            return;
        }
        self.bytes.push(0x80);
        self.bytes.resize(from + (length + 9).next_multiple_of(BLOCK) - 8, 0);
        self.bytes.extend_from_slice(&(length as u64 * 8).to_le_bytes());
        self.ends.push(self.bytes.len());
        if self.ends.len() == LANES {
            self.flush_before(self.bytes.len());
        }
    }

    /// The digests of all rows that were pushed, in their order.
    pub fn take(&mut self) -> Vec<u64> {
        self.flush_before(self.bytes.len());
        std::mem::take(&mut self.done)
    }

    /// Computes those of the rows in hand, which end before `end`, and forgets their bytes.
    fn flush_before(&mut self, end: usize) {
        let mut from = 0;
        let rows = self.ends.iter().map(|&end| {
            let row = &self.bytes[from..end];
            from = end;
            row.as_chunks::<BLOCK>().0
        });
        let mut lanes: [&[[u8; BLOCK]]; LANES] = [&[]; LANES];
        lanes.iter_mut().zip(rows).for_each(|(lane, row)| *lane = row);
        let digests = md5(lanes).into_iter().take(self.ends.len());
        self.done.extend(digests);
        self.ends.clear();
        self.bytes.drain(..end);
    }
}

/// The upper 60 bits.
fn top(first: u64) -> u64 {
    first >> 4
}

/// Some texts, padded as MD5 wants them.
type Padded<'a> = [&'a [[u8; BLOCK]]; LANES];

/// The first half of the MD5 of each text.
#[allow(unsafe_code, reason = "functions for processors of which the build knows nothing")]
fn md5(texts: Padded<'_>) -> [u64; LANES] {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the processor has what the function is compiled for.
            return unsafe { md5_avx512(texts) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { md5_avx2(texts) };
        }
    }
    md5_of(texts)
}

/// Rotates in one instruction, and mixes in one.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
fn md5_avx512(texts: Padded<'_>) -> [u64; LANES] {
    md5_of(texts)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn md5_avx2(texts: Padded<'_>) -> [u64; LANES] {
    md5_of(texts)
}

#[inline(always)]
fn md5_of(texts: Padded<'_>) -> [u64; LANES] {
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476].map(|word| [word; LANES]);
    let blocks = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    for at in 0..blocks {
        let mut words = [[0; LANES]; 16];
        for (lane, block) in texts.iter().enumerate().filter_map(|(l, t)| Some((l, t.get(at)?))) {
            for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
                word[lane] = u32::from_le_bytes(*bytes);
            }
        }
        let next = compressed(state, &words);
        for (own, next) in state.iter_mut().zip(next) {
            for lane in 0..LANES {
                // A text that has ended keeps its state.
                own[lane] = if at < texts[lane].len() { next[lane] } else { own[lane] };
            }
        }
    }
    let word = |at: usize, lane: usize| u64::from(state[at][lane].swap_bytes());
    std::array::from_fn(|lane| top(word(0, lane) << 32 | word(1, lane)))
}

/// The state after another block, by the algorithm of RFC 1321.
#[inline(always)]
fn compressed(state: [Lanes; 4], words: &[Lanes; 16]) -> [Lanes; 4] {
    let sines = &*SINES;
    let mut now = state;
    round::<7, 12, 17, 22>((words, &sines[0]), (0, 1), |b, c, d| d ^ (b & (c ^ d)), &mut now);
    round::<5, 9, 14, 20>((words, &sines[1]), (1, 5), |b, c, d| c ^ (d & (b ^ c)), &mut now);
    round::<4, 11, 16, 23>((words, &sines[2]), (5, 3), |b, c, d| b ^ c ^ d, &mut now);
    round::<6, 10, 15, 21>((words, &sines[3]), (0, 7), |b, c, d| c ^ (b | !d), &mut now);
    std::array::from_fn(|at| std::array::from_fn(|l| state[at][l].wrapping_add(now[at][l])))
}

/// Sixteen steps with one function; step `at` takes word `first + at * stride`.
#[inline(always)]
fn round<const P: u32, const Q: u32, const R: u32, const S: u32>(
    (words, sines): (&[Lanes; 16], &[u32; 16]),
    (first, stride): (usize, usize),
    mix: impl Fn(u32, u32, u32) -> u32,
    [a, b, c, d]: &mut [Lanes; 4],
) {
    for at in (0..16).step_by(4) {
        let own = |at: usize| (&words[(first + at * stride) % 16], sines[at]);
        step::<P>(a, (b, c, d), own(at), &mix);
        step::<Q>(d, (a, b, c), own(at + 1), &mix);
        step::<R>(c, (d, a, b), own(at + 2), &mix);
        step::<S>(b, (c, d, a), own(at + 3), &mix);
    }
}

/// A step of every lane. The shift has to be a constant for the loop to become vectors.
#[inline(always)]
fn step<const SHIFT: u32>(
    a: &mut Lanes,
    (b, c, d): (&Lanes, &Lanes, &Lanes),
    (word, sine): (&Lanes, u32),
    mix: &impl Fn(u32, u32, u32) -> u32,
) {
    for l in 0..LANES {
        let sum = a[l].wrapping_add(mix(b[l], c[l], d[l])).wrapping_add(word[l]).wrapping_add(sine);
        a[l] = b[l].wrapping_add(sum.rotate_left(SHIFT));
    }
}

/// What the steps of each round add: the RFC defines it by sines.
static SINES: LazyLock<[[u32; 16]; 4]> = LazyLock::new(|| {
    let sine = |step: usize| (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
    std::array::from_fn(|round| std::array::from_fn(|at| sine(round * 16 + at)))
});

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;

    #[test]
    fn digests_are_those_of_the_servers() {
        // SELECT CAST(CAST('x' || left(md5(concat_ws(chr(31), 'ab', chr(30), '')), 15) AS bit(60))
        //        AS bigint)
        let mut digests = Digests::default();
        digests.push([Some(&b"ab"[..]), None, Some(b"")].into_iter());
        assert_eq!(digests.take(), [755_074_871_239_638_944]);
        assert_eq!(digests.take(), [0; 0]);
    }

    #[test]
    fn all_processors_have_the_same_digests() {
        let rows: Vec<[[u8; BLOCK]; 2]> =
            (0..LANES as u8).map(|n| [[n; BLOCK], [!n; BLOCK]]).collect();
        let texts = std::array::from_fn(|lane| &rows[lane][..1 + lane % 2]);
        assert_eq!(md5(texts), md5_of(texts));
    }

    #[test]
    fn digests_are_those_of_the_library() {
        let (mut rng, mut digests, mut expected) = (Rng::new(7), Digests::default(), Vec::new());
        // All lengths around the ends of blocks, then a mixture with long ones.
        let lengths = (0..3 * BLOCK).chain((0..2_000).map(|_| match rng.below(50) {
            0 => SHORT - 2 + rng.below(5),
            1 => 5_000,
            _ => rng.below(300),
        }));
        for (at, length) in lengths.collect::<Vec<_>>().into_iter().enumerate() {
            let text: Vec<u8> = (0..length).map(|_| rng.below(256) as u8).collect();
            digests.push([Some(&text[..])].into_iter());
            let md5 = Md5::digest(&text);
            expected.push(u64::from_be_bytes(md5[..8].try_into().unwrap()) >> 4);
            if at % 97 == 0 {
                assert_eq!(digests.take(), std::mem::take(&mut expected));
            }
        }
        assert_eq!(digests.take(), expected);
    }
}
