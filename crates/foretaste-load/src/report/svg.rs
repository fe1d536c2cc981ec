//! Curves as SVG text over axes that may be linear, logarithmic or in nines. Colours come from
//! classes that the page's style sheet sets for light and dark.

use std::fmt::Write;

use foretaste_core::markup::escape;
use foretaste_report::svg::nice;

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Log,
    /// Shares below 1 by the number of nines: 0, 0.9, 0.99, ... at equal distances.
    Nines,
}

/// One axis.
pub(super) struct Axis {
    pub(super) scale: Scale,
    /// What it counts; stands at its end.
    pub(super) unit: &'static str,
}

/// One curve.
pub(super) struct Curve<'a> {
    pub(super) name: &'a str,
    pub(super) class: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 262.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 222.0;
/// Marks with a title are drawn on curves of at most so many points.
const MOST_MARKS: usize = 60;

/// Curves over two axes, with a dashed line at `limit` where there is one.
pub(super) fn curves(
    title: &str,
    axes: (&Axis, &Axis),
    all: &[Curve<'_>],
    limit: Option<f64>,
) -> String {
    let points = || all.iter().flat_map(|curve| curve.points.iter().copied());
    if points().next().is_none() {
        return "<p class=\"soft\">nothing to show</p>".to_owned();
    }
    let across = Ruler::new(axes.0.scale, points().map(|p| p.0), (LEFT, RIGHT));
    let up = Ruler::new(axes.1.scale, points().map(|p| p.1).chain(limit), (BOTTOM, TOP));
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(title)
    );
    grid(&mut out, &across, &up, (axes.0.unit, axes.1.unit));
    if let Some(y) = limit.map(|limit| up.place(limit)) {
        let _ = write!(
            out,
            "<line class=\"mark\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
        );
    }
    all.iter().for_each(|curve| draw(&mut out, curve, &across, &up));
    out + "</svg>" + &legend(all)
}

fn grid(out: &mut String, across: &Ruler, up: &Ruler, units: (&str, &str)) {
    for (value, label) in up.ticks() {
        let y = up.place(value);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            y + 4.0,
        );
    }
    for (value, label) in across.ticks() {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            across.place(value),
            BOTTOM + 17.0,
        );
    }
    let _ = write!(
        out,
        "<text x=\"{RIGHT}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <text x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
        BOTTOM + 34.0,
        escape(units.0),
        TOP - 3.0,
        escape(units.1),
    );
}

fn draw(out: &mut String, curve: &Curve<'_>, across: &Ruler, up: &Ruler) {
    let place = |&(x, y): &(f64, f64)| (across.place(x), up.place(y));
    let path: Vec<String> = curve
        .points
        .iter()
        .map(|point| {
            let (x, y) = place(point);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let _ = write!(out, "<polyline class=\"line {}\" points=\"{}\"/>", curve.class, path.join(" "));
    if curve.points.len() > MOST_MARKS {
        return;
    }
    for point in &curve.points {
        let (x, y) = place(point);
        let _ = write!(
            out,
            "<circle class=\"{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\">\
             <title>{} at {}: {}</title></circle>",
            curve.class,
            escape(curve.name),
            figure(point.0),
            figure(point.1),
        );
    }
}

fn legend(all: &[Curve<'_>]) -> String {
    let entry =
        |c: &Curve<'_>| format!("<li><i class=\"swatch {}\"></i>{}</li>", c.class, escape(c.name));
    format!("<ul class=\"legend\">{}</ul>", all.iter().map(entry).collect::<String>())
}

/// From values to places on the page.
struct Ruler {
    scale: Scale,
    low: f64,
    high: f64,
    ends: (f64, f64),
}

impl Ruler {
    fn new(scale: Scale, values: impl Iterator<Item = f64>, ends: (f64, f64)) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            let at = position(scale, value);
            (low, high) = (low.min(at), high.max(at));
        }
        if scale == Scale::Log {
            (low, high) = (low.floor(), high.ceil());
        } else {
            low = low.min(0.0);
        }
        if high - low < 1e-9 {
            high = low + 1.0;
        }
        if scale == Scale::Linear {
            let step = nice((high - low) / 5.0);
            high = (high / step - 1e-9).ceil() * step;
        }
        Self { scale, low, high, ends }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (position(self.scale, value) - self.low) / (self.high - self.low);
        self.ends.0 + (self.ends.1 - self.ends.0) * share.clamp(0.0, 1.0)
    }

    /// Where labels stand, and what they say.
    fn ticks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => {
                let step = nice((self.high - self.low) / 5.0);
                let n = ((self.high - self.low) / step + 1e-9).floor() as usize;
                let values = (0..=n).map(|i| self.low + i as f64 * step);
                values.map(|value| (value, figure(value))).collect()
            }
            Scale::Log => {
                let powers = self.low as i32..=self.high as i32;
                powers.map(|p| 10f64.powi(p)).map(|value| (value, figure(value))).collect()
            }
            Scale::Nines => (0..=self.high.ceil() as i32)
                .map(|nines| 1.0 - 10f64.powi(-nines))
                .filter(|share| position(Scale::Nines, *share) <= self.high + 1e-9)
                .map(|share| (share, format!("{}%", figure(100.0 * share))))
                .collect(),
        }
    }
}

fn position(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Log => value.max(1e-3).log10(),
        Scale::Nines => -(1.0 - value.min(1.0 - 1e-9)).log10(),
    }
}

/// A figure without digits that say nothing.
fn figure(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".to_owned() } else { text.to_owned() }
}
