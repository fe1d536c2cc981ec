//! `cargo xtask`: the checks that CI runs, as code. It builds and tests; it never times.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for a terminal

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

mod tidy;

const USAGE: &str = "usage: cargo xtask COMMAND

  ci     fmt, clippy, tidy, tests, docs: what has to be green before a commit
  tidy   only the rules of the house (sizes, names, arrows between crates, unsafe, documents)";

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let outcome = match command.as_str() {
        "ci" => ci(),
        "tidy" => run_tidy(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root, two folders above this crate. `cargo run` says where that is now: with a
/// target directory that checkouts share, this program may have been built for another of them.
#[allow(clippy::disallowed_methods)] // this is a program
fn root() -> PathBuf {
    let built_for = || PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(built_for, PathBuf::from);
    here.ancestors().nth(2).expect("crates/xtask lies two folders below the root").to_owned()
}

fn ci() -> Result<()> {
    cargo("format", &["fmt", "--all", "--check"], &[])?;
    println!("== tidy");
    run_tidy()?;
    let lints = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    cargo("lints", &lints, &[])?;
    let docs = ["doc", "--locked", "--workspace", "--no-deps", "--document-private-items", "-q"];
    cargo("documents", &docs, &[("RUSTDOCFLAGS", "-D warnings")])?;
    cargo("tests", &["test", "--locked", "--workspace"], &[])?;
    with_lake()
}

/// The program as it is with its cargo features `lake` and `cluster`. The whole workspace is
/// selected, because cargo unites the features of what is selected: so dependencies are those of
/// the steps before, and only the program and its tests of the lake are built for this. All tests
/// of `lake` are tests of `cluster`, too, so the form without a cluster is linted only.
fn with_lake() -> Result<()> {
    let selected = |feature| ["--locked", "--workspace", "--features", feature];
    let targets = ["--bin", "foretaste", "--test", "lake"];
    let strict = ["--", "-D", "warnings"];
    for feature in ["foretaste/lake", "foretaste/cluster"] {
        let lints = [&["clippy"], &selected(feature)[..], &targets, &strict].concat();
        cargo(&format!("lints with {feature}"), &lints, &[])?;
    }
    let tests = [&["test"], &selected("foretaste/cluster")[..], &targets].concat();
    cargo("tests with the lake and a cluster", &tests, &[])
}

fn run_tidy() -> Result<()> {
    let findings = tidy::check(&root())?;
    findings.iter().for_each(|f| println!("{f}"));
    if findings.is_empty() {
        println!("tidy: nothing to report");
        return Ok(());
    }
    bail!("tidy has {} findings", findings.len())
}

fn cargo(what: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    println!("== {what}: cargo {}", arguments.join(" "));
    let mut command = Command::new(env!("CARGO"));
    told_by_cargo().for_each(|name| {
        command.env_remove(name);
    });
    command.args(arguments).current_dir(root()).envs(environment.iter().copied());
    if !command.status()?.success() {
        bail!("{what} failed");
    }
    Ok(())
}

/// What `cargo run` tells this program of itself. Build scripts of dependencies watch these
/// variables (ring's does), so handing them on would build those, and all above them, anew whenever
/// cargo is called by hand in between. Settings (`CARGO_HOME`, `CARGO_TARGET_DIR`) stay.
#[allow(clippy::disallowed_methods)] // this is a program
fn told_by_cargo() -> impl Iterator<Item = OsString> {
    const TOLD: [&str; 5] = [
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_BIN_",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
    ];
    let told =
        |name: &OsString| TOLD.iter().any(|t| name.as_encoded_bytes().starts_with(t.as_bytes()));
    std::env::vars_os().map(|(name, _)| name).filter(move |name| told(name))
}
