//! Days and months (UTC) as the names of partitions.

use foretaste_core::time::{DAY_MS, civil, date};

use super::manifest::Grain;

/// The partition of a time: `YYYY-MM-DD` or `YYYY-MM`.
pub(crate) fn partition(grain: Grain, time_ms: i64) -> String {
    let day = time_ms.div_euclid(DAY_MS);
    match grain {
        Grain::Day => date(day),
        Grain::Month => {
            let (year, month, _) = civil(day);
            format!("{year:04}-{month:02}")
        }
    }
}

/// A number that is equal for times of one partition and different for others.
pub(crate) fn number(grain: Grain, time_ms: i64) -> i64 {
    let day = time_ms.div_euclid(DAY_MS);
    match grain {
        Grain::Day => day,
        Grain::Month => {
            let (year, month, _) = civil(day);
            year * 12 + i64::from(month)
        }
    }
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
