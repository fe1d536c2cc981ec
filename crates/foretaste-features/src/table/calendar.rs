//! Days and months (UTC) as the names of partitions.

use chrono::{DateTime, Datelike, NaiveDate};

use super::manifest::Grain;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// The partition of a time: `YYYY-MM-DD` or `YYYY-MM`.
pub(crate) fn partition(grain: Grain, time_ms: i64) -> String {
    let date = date(time_ms);
    match grain {
        Grain::Day => format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()),
        Grain::Month => format!("{:04}-{:02}", date.year(), date.month()),
    }
}

/// A number that is equal for times of one partition and different for others.
pub(crate) fn number(grain: Grain, time_ms: i64) -> i64 {
    match grain {
        Grain::Day => time_ms.div_euclid(DAY_MS),
        Grain::Month => {
            let date = date(time_ms);
            i64::from(date.year()) * 12 + i64::from(date.month())
        }
    }
}

/// Times beyond 262,000 years from now share the last day that the calendar has.
fn date(time_ms: i64) -> NaiveDate {
    let edge = if time_ms < 0 { NaiveDate::MIN } else { NaiveDate::MAX };
    DateTime::from_timestamp_millis(time_ms).map_or(edge, |time| time.date_naive())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(time_ms: i64, day: &str) {
        assert_eq!(partition(Grain::Day, time_ms), day);
        assert_eq!(partition(Grain::Month, time_ms), day[..7]);
    }

    #[test]
    fn days_have_their_names() {
        check(0, "1970-01-01");
        check(-1, "1969-12-31");
        check(951_782_400_000, "2000-02-29");
        check(951_868_800_000, "2000-03-01");
        check(20_605 * DAY_MS - 1, "2026-05-31");
        check(20_605 * DAY_MS, "2026-06-01");
    }

    #[test]
    fn numbers_and_names_change_together() {
        for grain in [Grain::Day, Grain::Month] {
            let of = |day: i64| (number(grain, day * DAY_MS), partition(grain, day * DAY_MS));
            for day in -800..30_000 {
                let ((n, name), (next, next_name)) = (of(day), of(day + 1));
                assert_eq!(n == next, name == next_name, "{name}");
            }
        }
    }
}
