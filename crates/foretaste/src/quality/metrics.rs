//! A report as the figures of metrics, for the server and for the textfile collector of a node
//! exporter.

use std::collections::BTreeMap;

use foretaste_quality::{Report, Verdict};
use foretaste_serve::QualityFigures;

/// The figures of a report. Subjects of checks hold names of the data, which are no labels, so a
/// check shows the worst of its verdicts.
pub fn figures(report: &Report) -> QualityFigures {
    let mut worst = BTreeMap::new();
    for check in &report.checks {
        let verdict = worst.entry(check.check.as_str()).or_insert(check.verdict);
        *verdict = (*verdict).max(check.verdict);
    }
    let checks = worst.into_iter().map(|(check, verdict)| (check.to_owned(), verdict as u8));
    let verdicts = [Verdict::Ok, Verdict::Warn, Verdict::Fail];
    QualityFigures {
        score: report.score,
        measured_ms: report.measured_ms,
        checks: checks.collect(),
        verdicts: verdicts.map(|v| (v.name(), report.with(v).count())).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretaste_quality::{Profile, QualityConfig, check};

    #[test]
    fn the_text_names_every_check_once() {
        let profile = Profile { measured_ms: 5_000, ..Profile::default() };
        let report = check(&profile, None, Some(3), &QualityConfig::default());
        let text = figures(&report).exposition().expect("text");
        assert!(text.contains("foretaste_quality_last_run_timestamp_seconds 5.0\n"), "{text}");
        assert!(text.contains("foretaste_quality_check{check=\"quarantine\"} 1\n"), "{text}");
        assert_eq!(text.matches("{check=\"future\"}").count(), 1);
        let helps = text.lines().filter(|line| line.starts_with("# HELP")).count();
        assert_eq!(helps, text.lines().filter(|line| line.starts_with("# TYPE")).count());
    }
}
