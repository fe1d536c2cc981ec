//! Days and dates (UTC, proleptic Gregorian calendar).

/// A day (counted from 1970-01-01) as `YYYY-MM-DD`.
///
/// # Source
/// Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
pub fn date(day: i64) -> String {
    // Years that begin in March, so that the leap day is the last one.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let in_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
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
}
