//! Parquet's hybrid of runs and packed bits, in which indices into dictionaries and levels stand.

/// Values are packed so many at a time.
const GROUP: usize = 8;
/// From so many equal values on, a run is shorter than packed bits whatever their width.
const RUN: usize = 2 * GROUP;

/// Bits that the numbers below `n` need.
pub(crate) fn width_of(n: usize) -> u32 {
    usize::BITS - n.saturating_sub(1).leading_zeros()
}

/// Appends `values`, each of at most `width` bits.
pub(crate) fn encode(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut at, mut packed) = (0, 0);
    while at < values.len() {
        let run = run_at(&values[at..]);
        if run < RUN {
            // Runs begin where packed values may end.
            at += GROUP.min(values.len() - at);
            continue;
        }
        pack(&values[packed..at], width, out);
        number((run as u64) << 1, out);
        out.extend_from_slice(&values[at].to_le_bytes()[..width.div_ceil(8) as usize]);
        at += run;
        packed = at;
    }
    pack(&values[packed..], width, out);
}

/// How many values are equal to the first.
fn run_at(values: &[u32]) -> usize {
    let first = values[0];
    values.iter().position(|&value| value != first).unwrap_or(values.len())
}

/// The bits of the values one after another, zeros behind the last.
fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(GROUP);
    number((groups as u64) << 1 | 1, out);
    let end = out.len() + groups * width as usize;
    let (mut bits, mut n_bits) = (0u64, 0);
    for &value in values {
        bits |= u64::from(value) << n_bits;
        n_bits += width;
        if n_bits >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            n_bits -= 32;
        }
    }
    out.extend_from_slice(&bits.to_le_bytes());
    out.resize(end, 0);
}

/// A number in groups of seven bits, the lowest first.
fn number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use foretaste_core::Rng;

    use super::*;

    /// The values of `bytes`, as the format's definition has them.
    fn decode(mut bytes: &[u8], width: u32, n: usize) -> Vec<u32> {
        let mut values = Vec::new();
        while values.len() < n {
            let (mut header, mut shift) = (0u64, 0);
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            let count = (header >> 1) as usize;
            if header & 1 == 0 {
                let (value, rest) = bytes.split_at(width.div_ceil(8) as usize);
                let value = value.iter().rev().fold(0, |all, &byte| all << 8 | u32::from(byte));
                values.extend(vec![value; count]);
                bytes = rest;
                continue;
            }
            let (packed, rest) = bytes.split_at(count * width as usize);
            let bit = |at: usize| u32::from(packed[at / 8] >> (at % 8) & 1);
            let value =
                |at: usize| (0..width as usize).map(move |b| bit(at * width as usize + b) << b);
            values.extend((0..count * GROUP).map(|at| value(at).sum::<u32>()));
            bytes = rest;
        }
        assert!(bytes.is_empty(), "{} bytes are left", bytes.len());
        values.truncate(n);
        values
    }

    #[test]
    fn widths() {
        let widths = [0, 1, 2, 3, 4, 5, 256, 257, 1 << 31].map(width_of);
        assert_eq!(widths, [0, 0, 1, 2, 2, 3, 8, 9, 31]);
    }

    #[test]
    fn what_is_encoded_comes_back() {
        let mut rng = Rng::new(3);
        for width in 0..=32 {
            let mut values = Vec::new();
            for _ in 0..rng.below(40) {
                let value = (rng.next_u64() & ((1u64 << width) - 1)) as u32;
                let lengths = [1, 2, 7, 8, 9, 15, 16, 17, 500];
                values.extend(vec![value; lengths[rng.below(lengths.len())]]);
            }
            let mut out = Vec::new();
            encode(&values, width, &mut out);
            assert_eq!(decode(&out, width, values.len()), values, "{width} bits");
        }
    }

    #[test]
    fn a_run_is_short() {
        let mut out = Vec::new();
        encode(&[5; 100_000], 3, &mut out);
        assert_eq!(out, [0xc0, 0x9a, 0x0c, 5]);
        encode(&[], 3, &mut out);
        assert_eq!(out.len(), 4);
    }
}
