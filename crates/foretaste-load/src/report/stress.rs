//! A stress test on a page and as text.

use foretaste_report::Page;

use super::find_max::{goals_text, probe_rows};
use super::run::{over_time, requests_over_time};
use super::{aligned, per_second};
use crate::stress::{Aftermath, StressResult};

const SUBTITLE: &str = "Rates rise until a goal is missed; then calm, twice the breaking rate, and \
    calm again in one run.";

/// A stress test as one HTML page.
pub fn stress_page(result: &StressResult) -> String {
    let mut page = Page::new(&format!("Stress: {}", result.scenario), SUBTITLE);
    for (class, text) in headlines(result) {
        page.banner(class, &text);
    }
    page.facts(&[
        ("Target", result.target.clone()),
        ("Good enough means", goals_text(result.goals)),
        ("Length of a step", format!("{} s", result.settings.step_seconds)),
        ("Overload", format!("{} s", result.settings.overload_seconds)),
    ]);
    if let Some(Aftermath { run, .. }) = &result.aftermath {
        page.figures(&[
            ("Latency through the overload", over_time(run)),
            ("Requests through the overload", requests_over_time(run)),
        ]);
        page.list("Why figures of the overload may not be the server's", &run.invalid_because);
    }
    page.table("Steps upwards", &probe_rows(&result.steps));
    page.finish()
}

/// A stress test for a terminal.
pub fn stress_text(result: &StressResult) -> String {
    let mut out = aligned(&probe_rows(&result.steps));
    out.push('\n');
    headlines(result).iter().for_each(|(_, line)| out += &format!("{line}\n"));
    if let Some(Aftermath { run, .. }) = &result.aftermath {
        run.invalid_because.iter().for_each(|why| out += &format!("NOT VALID: {why}\n"));
    }
    out
}

fn headlines(result: &StressResult) -> Vec<(&'static str, String)> {
    let Some(broke_at) = result.broke_at else {
        let most = result.steps.last().map_or(0.0, |step| step.rate);
        return vec![("good", format!("nothing broke up to {}", per_second(most)))];
    };
    let held = result.held.map_or("nothing".to_owned(), per_second);
    let why = result.broke_because.join("; ");
    let broke = format!("broke at {} (held: {held}): {why}", per_second(broke_at));
    let mut lines = vec![("warn", broke)];
    if let Some(after) = &result.aftermath {
        let goodput = format!(
            "at {} it still gave {} good answers, {:.0}% of what held",
            per_second(after.overload_rate),
            per_second(after.goodput_per_s),
            100.0 * after.goodput_share
        );
        lines.push(("warn", goodput));
        lines.push(match after.recovered_after_seconds {
            Some(0.0) => ("good", "it recovered within the first second".to_owned()),
            Some(s) => ("good", format!("it recovered {s:.0} s after the overload ended")),
            None => {
                let watched = result.settings.recovery_seconds;
                ("bad", format!("it had not recovered {watched:.0} s after the overload ended"))
            }
        });
    }
    lines
}
