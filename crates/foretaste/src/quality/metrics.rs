//! A report in the text form of Prometheus, for the textfile collector of a node exporter.

use std::fmt::Write;

use foretaste_quality::{Report, Verdict};

/// The figures of a report; names and labels are those of the server's metrics.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, value: f64| {
        let _ = writeln!(out, "# HELP foretaste_quality_{name} {help}");
        let _ = writeln!(out, "# TYPE foretaste_quality_{name} gauge");
        let _ = writeln!(out, "foretaste_quality_{name} {value}");
    };
    gauge("score", "Quality of the data, 0 to 100", report.score);
    let seconds = report.measured_ms as f64 / 1e3;
    gauge("last_run_timestamp_seconds", "When the data were measured", seconds);
    let _ = writeln!(out, "# HELP foretaste_quality_checks Checks by verdict");
    let _ = writeln!(out, "# TYPE foretaste_quality_checks gauge");
    for verdict in [Verdict::Ok, Verdict::Warn, Verdict::Fail] {
        let n = report.with(verdict).count();
        let _ = writeln!(out, "foretaste_quality_checks{{verdict=\"{}\"}} {n}", verdict.name());
    }
    let _ = writeln!(out, "# HELP foretaste_quality_check Verdict: 0 ok, 1 warn, 2 fail");
    let _ = writeln!(out, "# TYPE foretaste_quality_check gauge");
    for (check, verdict) in worst_by_check(report) {
        let _ = writeln!(out, "foretaste_quality_check{{check=\"{check}\"}} {}", verdict as u8);
    }
    out
}

/// The worst verdict of each check. Subjects hold names of the data, which are no labels.
pub fn worst_by_check(report: &Report) -> std::collections::BTreeMap<&str, Verdict> {
    let mut worst = std::collections::BTreeMap::new();
    for check in &report.checks {
        let verdict = worst.entry(check.check.as_str()).or_insert(check.verdict);
        *verdict = (*verdict).max(check.verdict);
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretaste_quality::{Profile, QualityConfig, check};

    #[test]
    fn the_text_names_every_check_once() {
        let profile = Profile { measured_ms: 5_000, ..Profile::default() };
        let text = text(&check(&profile, None, Some(3), &QualityConfig::default()));
        assert!(text.contains("foretaste_quality_last_run_timestamp_seconds 5\n"), "{text}");
        assert!(text.contains("foretaste_quality_check{check=\"quarantine\"} 1\n"), "{text}");
        assert_eq!(text.matches("{check=\"future\"}").count(), 1);
        let helps = text.lines().filter(|line| line.starts_with("# HELP")).count();
        assert_eq!(helps, text.lines().filter(|line| line.starts_with("# TYPE")).count());
    }
}
