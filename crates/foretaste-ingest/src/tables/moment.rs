//! Moments as PostgreSQL and MySQL send them, and as they write them when asked for a text.

use std::io::Write;

use foretaste_core::time;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL begins to count.
const PG_EPOCH_DAYS: i64 = 10_957;
const DAY_US: i64 = 86_400_000_000;

/// Microseconds since 2000 as PostgreSQL writes them (`DateStyle` ISO, time zone UTC).
pub fn write_pg(us: i64, zone: bool, out: &mut Vec<u8>) {
    match us {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let (year, month, day) = time::civil(us.div_euclid(DAY_US) + PG_EPOCH_DAYS);
    // There is no year 0: the year before 1 is 1 BC.
    let (shown, is_bc) = if year > 0 { (year, false) } else { (1 - year, true) };
    write_date((shown, month, day), out);
    let of_day = us.rem_euclid(DAY_US);
    out.push(b' ');
    write_clock(of_day / 1_000_000, out);
    write_fraction(of_day % 1_000_000, out);
    if zone {
        out.extend_from_slice(b"+00");
    }
    if is_bc {
        out.extend_from_slice(b" BC");
    }
}

/// A `datetime` of the binary protocol as MySQL writes it, with so many digits behind the seconds.
/// `None` when the bytes are none.
pub fn write_mysql(bytes: &[u8], digits: usize, out: &mut Vec<u8>) -> Option<()> {
    let (&n, rest) = bytes.split_first()?;
    let mut all = [0u8; 11];
    if usize::from(n) != rest.len() || !matches!(n, 0 | 4 | 7 | 11) {
        return None;
    }
    all[..rest.len()].copy_from_slice(rest);
    let year = u16::from_le_bytes([all[0], all[1]]);
    write_date((i64::from(year), all[2].into(), all[3].into()), out);
    out.push(b' ');
    let seconds = i64::from(all[4]) * 3600 + i64::from(all[5]) * 60 + i64::from(all[6]);
    write_clock(seconds, out);
    if digits > 0 {
        let us = u32::from_le_bytes([all[7], all[8], all[9], all[10]]);
        out.push(b'.');
        out.extend_from_slice(&micros(us.into())[..digits.min(6)]);
    }
    Some(())
}

/// Days since 1970 of the date with which the text of a moment begins, as the server counts them;
/// `None` for infinity and for dates that are none.
pub fn day_of(text: &str, is_mysql: bool) -> Option<i64> {
    let date = text.split(' ').next()?;
    let mut parts = date.split('-');
    let mut part = || parts.next()?.parse::<u32>().ok();
    let (year, month, day) = (i64::from(part()?), part()?, part()?);
    let shown = if text.ends_with(" BC") { 1 - year } else { year };
    let days = time::day_of(shown, month, day)?;
    // MySQL's year 0 has no 29th of February.
    Some(days + i64::from(is_mysql && year == 0 && month <= 2))
}

fn write_date((year, month, day): (i64, u32, u32), out: &mut Vec<u8>) {
    let ([e, f], [g, h]) = (two(month.into()), two(day.into()));
    if year < 10_000 {
        let ([a, b], [c, d]) = (two(year / 100), two(year % 100));
        out.extend_from_slice(&[a, b, c, d]);
    } else {
        let _ = write!(out, "{year}");
    }
    out.extend_from_slice(&[b'-', e, f, b'-', g, h]);
}

fn write_clock(seconds: i64, out: &mut Vec<u8>) {
    let [hours, minutes, seconds] = [seconds / 3600, seconds / 60 % 60, seconds % 60].map(two);
    let [[a, b], [c, d], [e, f]] = [hours, minutes, seconds];
    out.extend_from_slice(&[a, b, b':', c, d, b':', e, f]);
}

/// The last two digits of a number.
fn two(number: i64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// Without zeros at the end, and without a point when nothing else is left.
fn write_fraction(us: i64, out: &mut Vec<u8>) {
    if us == 0 {
        return;
    }
    let digits = micros(us);
    let n = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    out.push(b'.');
    out.extend_from_slice(&digits[..n]);
}

/// Six digits of a number below a million.
fn micros(us: i64) -> [u8; 6] {
    let [[a, b], [c, d], [e, f]] = [us / 10_000, us / 100 % 100, us % 100].map(two);
    [a, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn pg(us: i64, expected: &str) {
        let mut out = Vec::new();
        write_pg(us, true, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn moments_of_postgres() {
        pg(0, "2000-01-01 00:00:00+00");
        pg(-1, "1999-12-31 23:59:59.999999+00");
        pg(1_500_000, "2000-01-01 00:00:01.5+00");
        pg(i64::MAX, "infinity");
        // What the server says of 0044-03-15 BC, of the year 12345, and of 29 February 2024.
        pg(-64_464_508_800_000_000, "0044-03-15 00:00:00+00 BC");
        pg(326_461_795_201_000_000, "12345-03-01 00:00:01+00");
        pg(762_480_000_000_000, "2024-02-29 00:00:00+00");
    }

    #[test]
    fn moments_of_mysql() {
        let check = |bytes: &[u8], digits, expected: &str| {
            let mut out = Vec::new();
            assert_eq!(write_mysql(bytes, digits, &mut out).is_some(), !expected.is_empty());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(&[0], 0, "0000-00-00 00:00:00");
        check(&[4, 0xe4, 7, 0, 10], 3, "2020-00-10 00:00:00.000");
        check(&[7, 0xe4, 7, 2, 29, 23, 59, 7], 0, "2020-02-29 23:59:07");
        check(&[11, 0xe4, 7, 2, 29, 1, 2, 3, 0x20, 0xa1, 7, 0], 6, "2020-02-29 01:02:03.500000");
        check(&[7, 1, 2], 0, "");
        check(&[], 0, "");
    }

    #[test]
    fn days_are_those_of_the_servers() {
        let check = |text, is_mysql, day| assert_eq!(day_of(text, is_mysql), day, "{text}");
        check("1970-01-02 00:00:00+00", false, Some(1));
        check("1969-12-31 23:59:59.999999", false, Some(-1));
        check("2020-02-29", true, Some(18_321));
        check("9999-12-31 23:59:59", true, Some(2_932_896));
        check("0000-01-10 10:00:00", true, Some(-719_518));
        check("0044-03-15 00:00:00+00 BC", false, Some(-735_160));
        check("infinity", false, None);
        check("-infinity", false, None);
        check("2020-00-10 00:00:00", true, None);
        check("0000-00-00 00:00:00", true, None);
    }
}
