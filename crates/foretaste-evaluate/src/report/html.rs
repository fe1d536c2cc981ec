//! The page: heading, plots, tables.

use std::fmt::Write;

use foretaste_core::markup::escape;
use foretaste_report::svg::{Bar, Series, bars, columns, lines};

use super::{Report, System, SystemKind};
use crate::quality::{AtK, Bucket, Estimate, Quality};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let title = escape(&report.title);
    let k = report.systems.first().map_or(0, |s| s.quality.main_k);
    let body = [heading(report), plots(report, k), table(report, k), by_cut(report), notes(k)];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <title>{title}</title><style>{STYLE}</style></head><body>{}</body></html>\n",
        body.concat()
    )
}

fn heading(report: &Report) -> String {
    let counts = &report.counts;
    let facts = [
        ("Held out", report.split.clone()),
        ("Profile", report.profile.clone()),
        ("Users judged", format!("{} of {}", counts.judged_users, counts.users)),
        ("Items", counts.items.to_string()),
        ("Pairs learned from", counts.train_pairs.to_string()),
        ("Pairs held out", counts.held_out_pairs.to_string()),
        ("Unknown users / pairs", format!("{} / {}", counts.unknown.users, counts.unknown.pairs)),
        ("Bundle", report.bundle.clone()),
    ];
    let mut out =
        format!("<h1>{}</h1><p class=\"soft\">{}</p><dl>", escape(&report.title), SUBTITLE);
    for (name, value) in facts {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    out + "</dl>"
}

const SUBTITLE: &str = "Held-out items replayed through the pipeline that serves: the whole \
    catalogue is ranked, items that the user had before are left out.";

fn plots(report: &Report, k: usize) -> String {
    let figures = [
        (format!("Recall@{k}"), accuracy_bars(report, &format!("Recall@{k}"), |at| at.recall)),
        (format!("NDCG@{k}"), accuracy_bars(report, &format!("NDCG@{k}"), |at| at.ndcg)),
        ("Recall by length of the list".into(), curves(report, "Recall", |at| at.recall)),
        ("NDCG by length of the list".into(), curves(report, "NDCG", |at| at.ndcg)),
        (
            format!("Recall@{k} by items in the user's past"),
            activity(report, "Recall by activity", |b| b.recall),
        ),
        (
            format!("NDCG@{k} by items in the user's past"),
            activity(report, "NDCG by activity", |b| b.ndcg),
        ),
        ("Coverage of the catalogue".into(), plain_bars(report, "Coverage", coverage)),
        ("Novelty".into(), plain_bars(report, "Novelty", novelty)),
    ];
    let figure = |(caption, plot): &(String, String)| {
        format!("<figure><figcaption>{}</figcaption>{plot}</figure>", escape(caption))
    };
    format!("<div class=\"plots\">{}</div>", figures.iter().map(figure).collect::<String>())
}

fn class(kind: SystemKind) -> &'static str {
    match kind {
        SystemKind::Blend => "blend",
        SystemKind::Channel => "channel",
        SystemKind::Baseline => "baseline",
    }
}

fn accuracy_bars(report: &Report, title: &str, pick: fn(&AtK) -> Estimate) -> String {
    let bar = |system: &System| {
        let Estimate { mean, se, .. } = system.quality.main().map(pick).unwrap_or_default();
        (mean, se, format!("{mean:.4}"))
    };
    plain_bars(report, title, bar)
}

fn coverage(system: &System) -> (f64, f64, String) {
    let coverage = system.quality.coverage;
    (coverage, 0.0, format!("{:.1}%", 100.0 * coverage))
}

fn novelty(system: &System) -> (f64, f64, String) {
    let Estimate { mean, se, .. } = system.quality.novelty;
    (mean, se, format!("{mean:.2} bit"))
}

fn plain_bars(
    report: &Report,
    title: &str,
    pick: impl Fn(&System) -> (f64, f64, String),
) -> String {
    let bar = |system| {
        let (value, error, text) = pick(system);
        Bar { label: &system.name, value, error, class: class(system.kind), text }
    };
    bars(title, &report.systems.iter().map(bar).collect::<Vec<_>>())
}

/// The blend, the best channel alone and all baselines.
fn compared(report: &Report) -> Vec<(&System, &'static str)> {
    let of = |kind| report.systems.iter().filter(move |s| s.kind == kind);
    let recall = |s: &System| s.quality.main().map_or(0.0, |at| at.recall.mean);
    let best = of(SystemKind::Channel).max_by(|a, b| recall(a).total_cmp(&recall(b)));
    let mut out: Vec<(&System, &'static str)> =
        of(SystemKind::Blend).map(|s| (s, "blend")).collect();
    out.extend(best.map(|s| (s, "channel")));
    out.extend(of(SystemKind::Baseline).zip(["baseline", "other"]));
    out
}

fn curves(report: &Report, title: &str, pick: fn(&AtK) -> Estimate) -> String {
    let ticks: Vec<String> = report
        .systems
        .first()
        .map_or(vec![], |s| s.quality.at.iter().map(|a| a.k.to_string()).collect());
    let value = |at: &AtK| Some((pick(at).mean, pick(at).se));
    let one =
        |(system, class): (&System, _)| (system.quality.at.iter().map(value).collect(), class);
    series(report, title, &ticks, one, lines)
}

fn activity(report: &Report, title: &str, pick: fn(&Bucket) -> Estimate) -> String {
    let labels = |q: &Quality| q.buckets.iter().map(|b| b.label.clone()).collect::<Vec<_>>();
    let ticks = report.systems.first().map_or(vec![], |s| labels(&s.quality));
    let one = |(system, class): (&System, _)| {
        let find = |label: &String| system.quality.buckets.iter().find(|b| &b.label == label);
        let value = |label| find(label).map(pick).map(|e| (e.mean, e.se));
        (ticks.iter().map(value).collect(), class)
    };
    series(report, title, &ticks, one, columns)
}

fn series<'a>(
    report: &'a Report,
    title: &str,
    ticks: &[String],
    one: impl Fn((&'a System, &'static str)) -> (Vec<Option<(f64, f64)>>, &'static str),
    draw: fn(&str, &[String], &[Series<'_>]) -> String,
) -> String {
    let all = compared(report).into_iter().map(|(system, class)| {
        let (values, class) = one((system, class));
        Series { name: &system.name, class, values }
    });
    draw(title, ticks, &all.collect::<Vec<_>>())
}

fn table(report: &Report, k: usize) -> String {
    let head = [
        "",
        "Weight",
        "Recall",
        "NDCG",
        "Precision",
        "MRR",
        "MAP",
        "Hit rate",
        "Coverage",
        "Gini",
        "Diversity",
        "Novelty",
        "Popularity",
        "Past",
    ];
    let mut out = format!("<h2>All figures at {k}</h2><div class=\"scroll\"><table><tr>");
    head.iter().for_each(|h| out.push_str(&format!("<th>{h}</th>")));
    out.push_str("</tr>");
    for system in &report.systems {
        let (q, at) = (&system.quality, system.quality.main().cloned().unwrap_or_default());
        let _ =
            write!(out, "<tr class=\"{}\"><td>{}</td>", class(system.kind), escape(&system.name));
        let weight = system.weight.map_or("–".into(), |w| format!("{w:.3}"));
        let _ = write!(out, "<td>{weight}</td>");
        for estimate in [at.recall, at.ndcg, at.precision, at.mrr, at.map, at.hit_rate] {
            let Estimate { mean, se, .. } = estimate;
            let _ = write!(out, "<td>{mean:.4} <small>±{se:.4}</small></td>");
        }
        let diversity = q.diversity.map_or("–".into(), |d| format!("{:.3}", d.mean));
        let _ = write!(
            out,
            "<td>{:.1}%</td><td>{:.3}</td><td>{diversity}</td><td>{:.2}</td><td>{:.3}</td><td>{:.3}</td></tr>",
            100.0 * q.coverage,
            q.exposure_gini,
            q.novelty.mean,
            q.popularity.mean,
            q.history_popularity.mean,
        );
    }
    out + "</table></div>"
}

fn by_cut(report: &Report) -> String {
    let cuts: Vec<usize> =
        report.systems.first().map_or(vec![], |s| s.quality.at.iter().map(|a| a.k).collect());
    let mut out =
        String::from("<h2>By length of the list</h2><div class=\"scroll\"><table><tr><th></th>");
    cuts.iter().for_each(|k| out.push_str(&format!("<th>Recall@{k}</th><th>NDCG@{k}</th>")));
    out.push_str("</tr>");
    for system in &report.systems {
        let _ =
            write!(out, "<tr class=\"{}\"><td>{}</td>", class(system.kind), escape(&system.name));
        for at in &system.quality.at {
            let _ = write!(out, "<td>{:.4}</td><td>{:.4}</td>", at.recall.mean, at.ndcg.mean);
        }
        out.push_str("</tr>");
    }
    out + "</table></div>"
}

fn notes(k: usize) -> String {
    format!(
        "<h2>How to read it</h2><p class=\"soft\">Means over users, ± one standard error. Recall: \
         found share of a user's held-out items. NDCG: the same with early places worth more, 1 for \
         a perfect list. MRR: 1 / place of the first hit. Coverage: share of the catalogue in at \
         least one list of {k}. Gini: how unevenly items are shown, 0 evenly. Diversity: mean distance \
         of the labels within a list. Novelty: mean surprise in bits. Popularity: mean popularity \
         percentile of what is recommended, beside that of the user's past.</p>"
    )
}
