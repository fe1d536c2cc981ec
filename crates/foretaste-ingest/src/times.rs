//! Times as people write them.

use std::cell::Cell;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use foretaste_core::TimeMs;

/// The time in ms since the epoch: unix seconds, milliseconds, microseconds or nanoseconds (told
/// apart by magnitude; fractions allowed), RFC 3339, `YYYY-MM-DD HH:MM:SS[.fff]` or a date, both
/// taken as UTC. `None` when it is none of these, or outside the years 1 to 9999.
pub fn parse_time(text: &str) -> Option<TimeMs> {
    let text = text.trim();
    let bytes = text.as_bytes();
    if let Some(time) = plain(bytes) {
        return in_range(time);
    }
    if !bytes.is_empty() && bytes.len() <= 19 && bytes.iter().all(u8::is_ascii_digit) {
        return in_range(scale(text.parse().ok()?));
    }
    if bytes.len() >= 8 && bytes.get(4) == Some(&b'-') {
        return in_range(calendar(text)?);
    }
    let number: f64 = text.parse().ok().filter(|n: &f64| n.abs() < i64::MAX as f64)?;
    if number.abs() < SECONDS_BELOW as f64 {
        return in_range((number * 1e3).round() as i64);
    }
    in_range(scale(number as i64))
}

/// Reads times one after another, most of which are of the day of the one before.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// The date of the last one, and when that day began.
    last: Cell<Option<([u8; 10], TimeMs)>>,
}

impl Times {
    /// As [`parse_time`].
    pub(crate) fn parse(&self, text: &str) -> Option<TimeMs> {
        let date = text.as_bytes().first_chunk::<10>();
        let last = self.last.get().filter(|(last, _)| date == Some(last));
        if let Some((_, midnight)) = last
            && let Some(time) = clock(text.as_bytes())
        {
            return in_range(midnight + time);
        }
        let time = parse_time(text)?;
        if let Some((date, of_day)) = date.zip(clock(text.as_bytes())) {
            self.last.set(Some((*date, time - of_day)));
        }
        Some(time)
    }
}

/// `YYYY-MM-DD HH:MM:SS[.fff]`, as databases write it: a tenth of the time that a format takes.
fn plain(bytes: &[u8]) -> Option<TimeMs> {
    let of_day = clock(bytes)?;
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&bytes[..4])?, number(&bytes[5..7])?, number(&bytes[8..10])?);
    let date = NaiveDate::from_ymd_opt(year as i32, month, day)?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis() + of_day)
}

/// Milliseconds since midnight of a time as [`plain`] reads it, whatever its date.
fn clock(bytes: &[u8]) -> Option<TimeMs> {
    let (clock, fraction) = bytes.split_at_checked(19)?;
    if [clock[10], clock[13], clock[16]] != *b" ::" {
        return None;
    }
    let ms = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            number(digits)?;
            let mut three = [b'0'; 3];
            three.iter_mut().zip(digits).for_each(|(to, from)| *to = *from);
            number(&three)?
        }
        _ => return None,
    };
    let part = |from: usize| number(&clock[from..from + 2]);
    let (hour, minute, second) = (part(11)?, part(14)?, part(17)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(i64::from(((hour * 60 + minute) * 60 + second) * 1000 + ms))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |all, digit| {
        digit.is_ascii_digit().then(|| all * 10 + u32::from(digit - b'0'))
    })
}

/// A time as a text that [`parse_time`] reads back to the millisecond, whatever its magnitude.
pub fn exact_text(ms: TimeMs) -> Option<String> {
    DateTime::from_timestamp_millis(ms).map(|t| t.to_rfc3339())
}

/// Unix seconds below this (year 5138) are seconds; milliseconds from March 1973 are above it.
const SECONDS_BELOW: i64 = 100_000_000_000;
const YEAR_1_MS: i64 = -62_135_596_800_000;
const YEAR_10000_MS: i64 = 253_402_300_800_000;

fn scale(number: i64) -> TimeMs {
    match number.unsigned_abs() {
        n if n < SECONDS_BELOW as u64 => number * 1_000,
        n if n < SECONDS_BELOW as u64 * 1_000 => number,
        n if n < SECONDS_BELOW as u64 * 1_000_000 => number / 1_000,
        _ => number / 1_000_000,
    }
}

fn in_range(ms: TimeMs) -> Option<TimeMs> {
    (YEAR_1_MS..YEAR_10000_MS).contains(&ms).then_some(ms)
}

fn calendar(text: &str) -> Option<TimeMs> {
    if text.len() == 10 {
        let date: NaiveDate = text.parse().ok()?;
        return Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis());
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let read = |format| NaiveDateTime::parse_from_str(text, format).ok();
    let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    formats.into_iter().find_map(read).map(|t| t.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<TimeMs>) {
        assert_eq!(parse_time(text), expected, "{text}");
    }

    #[test]
    fn the_same_moment_in_every_form() {
        let moment = Some(978_300_019_000);
        let forms = [
            "978300019",
            "978300019000",
            "978300019000000",
            "978300019000000000",
            "978300019.0",
            "9.78300019e8",
            "2000-12-31T22:00:19Z",
            "2000-12-31T23:00:19+01:00",
            "2000-12-31 22:00:19",
            "2000-12-31 22:00:19.000",
            "2000-12-31T22:00:19",
            "2000-12-31 22:00:19 UTC",
            " 978300019 ",
        ];
        forms.iter().for_each(|f| check(f, moment));
        check("2000-12-31", Some(978_220_800_000));
        check("1970-01-01", Some(0));
        check("978300019.25", Some(978_300_019_250));
        check("2000-12-31 22:00:19.25", Some(978_300_019_250));
        check("2000-12-31 22:00:19.999999999", Some(978_300_019_999));
        check("2000-12-31 22:00:60", Some(978_300_060_000));
    }

    #[test]
    fn times_one_after_another_are_those_that_stand_alone() {
        let times = Times::default();
        let texts = [
            "2000-12-31 22:00:19",
            "2000-12-31 23:59:59.999999",
            "2000-12-31 24:00:00",
            "2000-12-31T22:00:19+01:00",
            "2000-12-31 22:00:19 UTC",
            "2000-12-31",
            "0000-00-00 00:00:00",
            "0000-00-00 00:00:01",
            "2000-02-30 00:00:00",
            "2000-02-30 00:00:01",
            "1969-12-31 00:00:00.25",
            "1969-12-31 23:59:59.75",
            "9999-12-31 00:00:00",
            "9783000199",
            "978300019900 12:00:00",
            "2000-12-31 22:00:1",
        ];
        for text in texts.iter().chain(&texts) {
            assert_eq!(times.parse(text), parse_time(text), "{text}");
        }
    }

    #[test]
    fn exact_texts_are_exact() {
        for ms in [1, 5, -86_400_000, 62_000_000_001, 978_300_019_250] {
            check(&exact_text(ms).unwrap(), Some(ms));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let bad = ["", "0000-00-00", "0000-00-00 00:00:00", "2000-13-01", "2000-02-30", "soon"];
        bad.iter().for_each(|b| check(b, None));
        ["NaN", "inf", "99999999999999999999", "2000-01-01 25:00:00"]
            .iter()
            .for_each(|b| check(b, None));
    }
}
