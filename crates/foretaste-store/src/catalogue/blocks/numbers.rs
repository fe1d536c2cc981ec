//! Names that are whole numbers, as most primary keys are: kept as the difference of each to the
//! one before, so that running ones take a byte each.

use crate::rows::Texts;

/// The number whose text `name` is, to the byte.
pub(super) fn parse(name: &str) -> Option<i64> {
    let (negative, digits) = name.strip_prefix('-').map_or((false, name), |rest| (true, rest));
    let is_plain = digits == "0" && !negative || matches!(digits.as_bytes(), [b'1'..=b'9', ..]);
    if !is_plain || digits.len() > 18 {
        // 19 digits may be too many.
        return is_plain.then(|| name.parse().ok()).flatten();
    }
    let number = digits.bytes().try_fold(0i64, |all, digit| {
        digit.is_ascii_digit().then(|| all * 10 + i64::from(digit - b'0'))
    })?;
    Some(if negative { -number } else { number })
}

/// Appends the numbers that some names are; false when one is no number.
pub(super) fn parse_all((names, rows): (&Texts, &[u32]), out: &mut Vec<i64>) -> bool {
    out.reserve(rows.len());
    rows.iter().all(|&at| {
        let number = parse(names.get(at as usize));
        out.extend(number);
        number.is_some()
    })
}

/// Appends each number's difference to the one before.
pub(super) fn encode(numbers: &[i64], out: &mut Vec<u8>) {
    let mut last = 0i64;
    for &number in numbers {
        let step = number.wrapping_sub(last);
        last = number;
        // The sign goes to the lowest bit, so that short numbers of both signs are short.
        let mut rest = (step << 1 ^ step >> 63) as u64;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
}

/// The numbers that [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> impl Iterator<Item = i64> {
    let (mut bytes, mut last) = (bytes.iter(), 0i64);
    std::iter::from_fn(move || {
        let (mut step, mut shift) = (0u64, 0);
        loop {
            let byte = *bytes.next()?;
            step |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 || shift > 63 {
                break;
            }
        }
        last = last.wrapping_add((step >> 1) as i64 ^ -((step & 1) as i64));
        Some(last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_number_is_written_as_is_one() {
        for number in [0, 7, -7, 10, 999_999_999_999_999_999, i64::MAX, i64::MIN] {
            assert_eq!(parse(&number.to_string()), Some(number));
        }
        for text in ["", "-", "-0", "00", "01", "+1", "1 ", "1a", "a", "9223372036854775808"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_encoded_comes_back() {
        let numbers = [0, 1, 2, 3, 200, 199, -1, i64::MAX, i64::MIN, i64::MAX, 0, 1 << 40];
        let mut out = Vec::new();
        encode(&numbers, &mut out);
        assert_eq!(decode(&out).collect::<Vec<_>>(), numbers);
        out.clear();
        encode(&(5_000..6_000).collect::<Vec<_>>(), &mut out);
        assert_eq!(out.len(), 1_001, "a byte each");
    }
}
