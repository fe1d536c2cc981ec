//! What a load test shows while it runs: a bar with rate, latency, failures and what is under way,
//! renewed four times a second; lines where there is no terminal.
#![allow(clippy::print_stderr)] // this is the part of the program that talks to people

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::Instant;

use foretaste_load::record::Tick;
use foretaste_load::run::{NoWatch, Watch};
use indicatif::{ProgressBar, ProgressStyle};

/// The display of a run: none when it should be quiet.
pub fn of(quiet: bool) -> Box<dyn Watch> {
    if quiet { Box::new(NoWatch) } else { Box::<Live>::default() }
}

#[derive(Default)]
struct Live {
    bar: RefCell<Option<ProgressBar>>,
}

impl Watch for Live {
    fn begin(&self, part: &str, seconds: f64, _: Instant) {
        if !std::io::stderr().is_terminal() {
            eprintln!("{part} ...");
        }
        let template = "{prefix:<9} {wide_bar} {elapsed}/{len} s\n{msg}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(seconds.ceil() as u64).with_style(style);
        bar.set_prefix(part.to_owned());
        *self.bar.borrow_mut() = Some(bar);
    }

    fn tick(&self, at: f64, seconds: f64, tick: &Tick) {
        if let Some(bar) = self.bar.borrow().as_ref() {
            bar.set_position(at as u64);
            bar.set_message(line(seconds, tick));
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}

/// The last moments in one line.
fn line(seconds: f64, tick: &Tick) -> String {
    let per_second = |n: u64| n as f64 / seconds;
    let [hits, asked] = tick.hits;
    let cache = match asked {
        0 => String::new(),
        _ => format!("  cache {:.0}%", 100.0 * hits as f64 / asked as f64),
    };
    format!(
        "{:.0}/s sent  {:.0}/s answered  {:.0}/s failed  p50 {:.2} ms  p99 {:.2} ms  \
         {} under way{cache}",
        per_second(tick.offered),
        per_second(tick.ok),
        per_second(tick.failed),
        tick.latency.quantile_ms(0.5),
        tick.latency.quantile_ms(0.99),
        tick.outstanding,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_happens() {
        let tick = Tick { offered: 50, ok: 48, failed: 2, hits: [24, 48], ..Tick::new(0) };
        let line = line(0.25, &tick);
        assert!(line.starts_with("200/s sent  192/s answered  8/s failed"), "{line}");
        assert!(line.ends_with("0 under way  cache 50%"), "{line}");
    }
}
