//! The rules of the house as a test: sizes, names, module documents, arrows between crates, where
//! `unsafe` may stand. Exceptions are listed in `tidy.toml`; one that is no longer needed is a
//! finding itself, so the list can only shrink.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

mod arrows;
mod source;

pub use source::check_source;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// File, relative to the root.
    pub path: String,
    /// 1-based line; 0 when the finding is about the whole file.
    pub line: usize,
    /// Short name of the rule, as in `tidy.toml`.
    pub rule: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} [{}]", self.path, self.line, self.message, self.rule)
    }
}

/// Checks the whole checkout below `root`.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in rust_files(&root.join("crates"))? {
        let text = fs_err::read_to_string(&path)?;
        findings.extend(check_source(&relative(root, &path), &text));
    }
    findings.extend(arrows::check(root)?);
    findings.extend(documents(root));
    let exceptions = read_exceptions(root)?;
    Ok(apply_exceptions(findings, &exceptions))
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

/// All that people write: not what cargo builds, nor what is made from a proto file.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("proto") {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Every document that the README promises is there, and ARCHITECTURE.md stays short.
fn documents(root: &Path) -> Vec<Finding> {
    const REQUIRED: [&str; 7] = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "docs/bundle-format.md",
        "docs/decisions",
    ];
    let finding = |path: &str, message: String| Finding {
        path: path.to_owned(),
        line: 0,
        rule: "documents",
        message,
    };
    let mut findings: Vec<_> = (REQUIRED.iter().filter(|p| !root.join(p).exists()))
        .map(|p| finding(p, "is missing".to_owned()))
        .collect();
    let lines = fs_err::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    if lines.lines().count() > 250 {
        findings.push(finding("ARCHITECTURE.md", "is longer than 250 lines".to_owned()));
    }
    findings
}

/// `rule path` pairs that are excused.
fn read_exceptions(root: &Path) -> Result<BTreeSet<(String, String)>> {
    let path = root.join("crates/xtask/tidy.toml");
    let table: toml::Table = fs_err::read_to_string(&path)?.parse().context("tidy.toml")?;
    let mut pairs = BTreeSet::new();
    for (rule, paths) in &table {
        for path in paths.as_array().into_iter().flatten().filter_map(|p| p.as_str()) {
            pairs.insert((rule.clone(), path.to_owned()));
        }
    }
    Ok(pairs)
}

fn apply_exceptions(
    findings: Vec<Finding>,
    exceptions: &BTreeSet<(String, String)>,
) -> Vec<Finding> {
    let key = |f: &Finding| (f.rule.to_owned(), f.path.clone());
    let used: BTreeSet<_> = findings.iter().map(key).collect();
    let mut open: Vec<_> = findings.into_iter().filter(|f| !exceptions.contains(&key(f))).collect();
    open.extend(exceptions.difference(&used).map(|(rule, path)| Finding {
        path: path.clone(),
        line: 0,
        rule: "stale-exception",
        message: format!("no longer breaks {rule}: remove it from tidy.toml"),
    }));
    open.sort();
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_checkout_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let findings = check(root).unwrap();
        let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "{}", lines.join("\n"));
    }

    #[test]
    fn an_exception_excuses_only_its_rule_and_must_be_needed() {
        let finding = |rule| Finding { path: "a.rs".into(), line: 1, rule, message: "m".into() };
        let excuse = |rule: &str| [(rule.to_owned(), "a.rs".to_owned())].into();
        assert!(apply_exceptions(vec![finding("width")], &excuse("width")).is_empty());
        assert_eq!(apply_exceptions(vec![finding("width")], &excuse("glob")).len(), 2);
    }
}
