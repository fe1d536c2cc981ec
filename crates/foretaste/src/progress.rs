//! Progress on a terminal: a bar with rate and time left, or lines where there is no terminal.
#![allow(clippy::print_stderr)] // this is the part of the program that talks to people

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use foretaste_core::Progress;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Shows tasks one after the other on standard error.
#[derive(Default)]
pub struct Terminal {
    bar: Mutex<Option<ProgressBar>>,
}

/// The progress of a run: none when it should be quiet.
pub fn of(quiet: bool) -> Box<dyn Progress + Send> {
    if quiet { Box::new(foretaste_core::NoProgress) } else { Box::<Terminal>::default() }
}

impl Terminal {
    fn with(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        // A poisoned bar is still a bar.
        act(&mut self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Progress for Terminal {
    fn start(&self, task: &str, total: Option<u64>, unit: &str) {
        if !std::io::stderr().is_terminal() {
            eprintln!("{task} ...");
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total).with_style(counted(unit)),
            None => ProgressBar::new_spinner().with_style(uncounted(unit)),
        };
        bar.set_message(task.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.with(|slot| *slot = Some(bar));
    }

    fn advance(&self, n: u64) {
        self.with(|slot| slot.iter().for_each(|bar| bar.inc(n)));
    }

    fn finish(&self) {
        self.with(|slot| {
            if let Some(bar) = slot.take() {
                let (task, took) = (bar.message(), HumanDuration(bar.elapsed()));
                bar.finish_and_clear();
                if std::io::stderr().is_terminal() {
                    eprintln!("{task}: {took:#}");
                }
            }
        });
    }
}

fn counted(unit: &str) -> ProgressStyle {
    let template =
        format!("{{msg}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{per_sec}} left {{eta}}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn uncounted(unit: &str) -> ProgressStyle {
    let template = format!("{{msg}} {{spinner}} {{human_pos}} {unit} {{elapsed}}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
