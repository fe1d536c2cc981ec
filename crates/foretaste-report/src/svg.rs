//! Three kinds of plots as SVG text. Colours come from classes that the page's style sheet sets
//! for light and dark; every mark carries a title with its figure.

use std::fmt::Write;

use foretaste_core::markup::escape;

/// One horizontal bar.
pub struct Bar<'a> {
    /// What it stands for.
    pub label: &'a str,
    /// Its length.
    pub value: f64,
    /// Half length of the whisker; 0 for none.
    pub error: f64,
    /// Class of the colour.
    pub class: &'a str,
    /// The figure as text.
    pub text: String,
}

/// One curve or one group of columns.
pub struct Series<'a> {
    /// What it stands for.
    pub name: &'a str,
    /// Class of the colour.
    pub class: &'static str,
    /// One value per tick, and the half length of its whisker; `None` where there is none.
    pub values: Vec<Option<(f64, f64)>>,
}

const WIDTH: f64 = 520.0;
const ROW: f64 = 26.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 74.0;

/// Horizontal bars, one per row, from 0 to the largest value.
pub fn bars(title: &str, bars: &[Bar<'_>]) -> String {
    let reach = bars.iter().map(|b| b.value + b.error).fold(0.0, f64::max).max(1e-12);
    let height = ROW * bars.len() as f64 + 8.0;
    let scale = (WIDTH - LEFT - RIGHT) / reach;
    let mut out = open(title, height);
    for (row, bar) in bars.iter().enumerate() {
        let (y, length) = (4.0 + ROW * row as f64, bar.value.max(0.0) * scale);
        let middle = y + ROW / 2.0;
        let label = shortened(bar.label, 18);
        let _ = write!(
            out,
            "<g><title>{}: {}</title>\
             <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" rx=\"2\"/>",
            escape(bar.label),
            escape(&bar.text),
            LEFT - 8.0,
            middle + 4.0,
            escape(&label),
            bar.class,
            y + 4.0,
            ROW - 8.0,
        );
        if bar.error > 0.0 {
            let (from, to) = (length - bar.error * scale, length + bar.error * scale);
            whisker(&mut out, (LEFT + from.max(0.0), middle), (LEFT + to, middle));
        }
        let x = LEFT + length + bar.error * scale + 6.0;
        let _ = write!(
            out,
            "<text class=\"figure\" x=\"{x:.1}\" y=\"{:.1}\">{}</text></g>",
            middle + 4.0,
            escape(&bar.text)
        );
    }
    out + "</svg>"
}

/// Geometry of a plot with a vertical axis.
struct Axes {
    reach: f64,
    step: f64,
}

const TOP: f64 = 10.0;
const BOTTOM: f64 = 230.0;
const AXIS: f64 = 52.0;
const END: f64 = WIDTH - 12.0;

impl Axes {
    fn new(series: &[Series<'_>]) -> Self {
        let values = series.iter().flat_map(|s| s.values.iter().flatten());
        let most = values.map(|(v, e)| v + e).fold(0.0, f64::max).max(1e-9);
        let step = nice(most / 4.0);
        Self { reach: (most / step).ceil() * step, step }
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * value / self.reach
    }

    fn draw(&self, out: &mut String, ticks: &[(f64, String)]) {
        let n = (self.reach / self.step).round() as usize;
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        for i in 0..=n {
            let value = i as f64 * self.step;
            let y = self.y(value);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{AXIS}\" x2=\"{END}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.decimals$}</text>",
                AXIS - 6.0,
                y + 4.0,
            );
        }
        for (x, label) in ticks {
            let _ = write!(
                out,
                "<text class=\"label\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 18.0,
                escape(label)
            );
        }
    }
}

/// Curves over evenly spaced ticks.
pub fn lines(title: &str, ticks: &[String], series: &[Series<'_>]) -> String {
    let axes = Axes::new(series);
    let gap = (END - AXIS - 40.0) / (ticks.len().max(2) - 1) as f64;
    let x = |at: usize| AXIS + 20.0 + gap * at as f64;
    let mut out = open(title, BOTTOM + 26.0);
    axes.draw(
        &mut out,
        &ticks.iter().enumerate().map(|(i, t)| (x(i), t.clone())).collect::<Vec<_>>(),
    );
    for one in series {
        let present = || one.values.iter().enumerate().filter_map(|(i, v)| v.map(|v| (i, v)));
        let path: Vec<String> =
            present().map(|(i, (v, _))| format!("{:.1},{:.1}", x(i), axes.y(v))).collect();
        let _ =
            write!(out, "<polyline class=\"line {}\" points=\"{}\"/>", one.class, path.join(" "));
        for (i, (value, error)) in present() {
            let _ = write!(
                out,
                "<circle class=\"{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{} at {}: {value:.4} ±{error:.4}</title></circle>",
                one.class,
                x(i),
                axes.y(value),
                escape(one.name),
                escape(&ticks[i]),
            );
        }
    }
    out + "</svg>" + &legend(series)
}

/// Columns side by side, one group per tick.
pub fn columns(title: &str, ticks: &[String], series: &[Series<'_>]) -> String {
    let axes = Axes::new(series);
    let group = (END - AXIS) / ticks.len().max(1) as f64;
    let width = (group * 0.8 / series.len().max(1) as f64).min(46.0);
    let first = |at: usize| AXIS + group * (at as f64 + 0.5) - width * series.len() as f64 / 2.0;
    let mut out = open(title, BOTTOM + 26.0);
    let centre = |i: usize| AXIS + group * (i as f64 + 0.5);
    axes.draw(
        &mut out,
        &ticks.iter().enumerate().map(|(i, t)| (centre(i), t.clone())).collect::<Vec<_>>(),
    );
    for (n, one) in series.iter().enumerate() {
        let present = one.values.iter().enumerate().filter_map(|(i, v)| v.map(|v| (i, v)));
        for (i, (value, error)) in present {
            let (x, y) = (first(i) + width * n as f64, axes.y(value));
            let _ = write!(
                out,
                "<g><title>{}, {}: {value:.4} ±{error:.4}</title>\
                 <rect class=\"{}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"/>",
                escape(one.name),
                escape(&ticks[i]),
                one.class,
                x + 1.0,
                width - 2.0,
                BOTTOM - y,
            );
            let middle = x + width / 2.0;
            let (low, high) = (axes.y((value - error).max(0.0)), axes.y(value + error));
            whisker(&mut out, (middle, low), (middle, high));
            out.push_str("</g>");
        }
    }
    out + "</svg>" + &legend(series)
}

fn open(title: &str, height: f64) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{}\">",
        escape(title)
    )
}

fn whisker(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = write!(
        out,
        "<line class=\"whisker\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn legend(series: &[Series<'_>]) -> String {
    let entry =
        |s: &Series<'_>| format!("<li><i class=\"swatch {}\"></i>{}</li>", s.class, escape(s.name));
    format!("<ul class=\"legend\">{}</ul>", series.iter().map(entry).collect::<String>())
}

/// The next of 1, 2, 5 x 10^n at or above `x`.
pub fn nice(x: f64) -> f64 {
    let power = 10f64.powf(x.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|f| f * power);
    steps.into_iter().find(|&s| s >= x * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
