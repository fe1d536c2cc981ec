//! Days and dates (UTC, proleptic Gregorian calendar).
//!
//! # Source
//! Howard Hinnant, "chrono-compatible low-level date algorithms": years that begin in March end
//! with their leap day, so the days before a year and before a month are short formulas.

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// Days from 0000-03-01 to 1970-01-01.
const MARCH_0: i64 = 719_468;
/// Years after which the calendar repeats itself, and their days.
const CYCLE: (i64, i64) = (400, 146_097);

/// Year (0 is 1 BC), month (1 to 12) and day (1 to 31) of a day counted from 1970-01-01.
///
/// # Panics
/// Where arithmetic is checked, for days beyond those that milliseconds of 64 bits reach.
pub fn civil(day: i64) -> (i64, u32, u32) {
    let since = day + MARCH_0;
    let (cycle, in_cycle) = (since.div_euclid(CYCLE.1), since.rem_euclid(CYCLE.1));
    // Without the leap days that went by, a year is 365 days.
    let leap_days = in_cycle / 1_460 - in_cycle / 36_524 + in_cycle / 146_096;
    let year = (in_cycle - leap_days) / 365;
    let in_year = in_cycle - before_year(year);
    let month = (5 * in_year + 2) / 153;
    let in_month = in_year - before_month(month) + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycle * CYCLE.0 + year + i64::from(month <= 2), month as u32, in_month as u32)
}

/// The day, counted from 1970-01-01, of a year (0 is 1 BC), month and day; `None` where there is no
/// such date.
pub fn day_of(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) {
        return None;
    }
    let march_year = year - i64::from(month <= 2);
    let (cycle, year_of_cycle) = (march_year.div_euclid(CYCLE.0), march_year.rem_euclid(CYCLE.0));
    let in_year = before_month(i64::from((month + 9) % 12)) + i64::from(day) - 1;
    let found = cycle * CYCLE.1 + before_year(year_of_cycle) + in_year - MARCH_0;
    (civil(found) == (year, month, day)).then_some(found)
}

/// Days of a cycle before one of its years.
fn before_year(year: i64) -> i64 {
    365 * year + year / 4 - year / 100
}

/// Days of a year before the month that is so many after March: of five months there are 153.
fn before_month(month: i64) -> i64 {
    (153 * month + 2) / 5
}

/// A day (counted from 1970-01-01) as `YYYY-MM-DD`.
pub fn date(day: i64) -> String {
    let (year, month, in_month) = civil(day);
    format!("{year:04}-{month:02}-{in_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days_and_centuries() {
        assert_eq!(
            [0, 59, 789, 11_016, 20_605, -1].map(date),
            ["1970-01-01", "1970-03-01", "1972-02-29", "2000-02-29", "2026-06-01", "1969-12-31"]
        );
    }

    #[test]
    fn days_follow_each_other_and_are_found_again() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let from = day_of(-401, 1, 1).unwrap();
        let mut expected = (-401, 1, 1);
        for day in from..from + 3 * CYCLE.1 {
            assert_eq!(civil(day), expected);
            let (year, month, in_month) = expected;
            assert_eq!(day_of(year, month, in_month), Some(day));
            let length = lengths[month as usize - 1] + u32::from(month == 2 && is_leap(year));
            expected = match (month, in_month == length) {
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
                (_, false) => (year, month, in_month + 1),
            };
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for (year, month, day) in
            [(2023, 2, 29), (1900, 2, 29), (2024, 4, 31), (2024, 0, 1), (2024, 13, 1), (2024, 1, 0)]
        {
            assert_eq!(day_of(year, month, day), None, "{year}-{month}-{day}");
        }
        assert_eq!(day_of(2024, 1, u32::MAX), None);
    }

    #[test]
    fn all_times_have_a_date() {
        for time_ms in [i64::MIN, i64::MAX] {
            let day = time_ms.div_euclid(DAY_MS);
            let (year, month, in_month) = civil(day);
            assert_eq!(day_of(year, month, in_month), Some(day));
        }
    }
}
