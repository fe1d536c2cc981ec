//! The `foretaste` program: reads argv and the environment, wires the crates together, prints.
//!
//! Everything it can do is a library call; what stands here is order, messages and exit codes.

use std::process::ExitCode;

use clap::Parser;
use foretaste_core::ErrorKind;

mod alerting;
mod cli;
mod commands;
mod config;
mod learning;
mod logging;
mod progress;
mod quality;
mod run;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match run::Run::start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

#[allow(clippy::print_stderr)] // the one place where errors are shown
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("foretaste: {error:#}");
    let library = error.chain().find_map(|e| e.downcast_ref::<foretaste_core::Error>());
    let is_config = error.chain().any(|e| e.is::<config::Problems>());
    let unfit = error.chain().find_map(|e| e.downcast_ref::<commands::load::Unfit>());
    let refused = error.chain().find_map(|e| e.downcast_ref::<quality::Refused>());
    ExitCode::from(match library.map(foretaste_core::Error::kind) {
        _ if is_config => 2,
        _ if let Some(unfit) = unfit => unfit.code,
        _ if let Some(refused) = refused => refused.code,
        Some(ErrorKind::Config) => 2,
        Some(ErrorKind::Invalid) => 3,
        _ => 1,
    })
}
