//! Which crate may depend on which: the map in ARCHITECTURE.md, enforced.

use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;

/// A crate and all that it may name among the workspace's crates.
const ARROWS: [(&str, &[&str]); 21] = [
    ("foretaste-core", &[]),
    ("foretaste-bundle", &["core"]),
    ("foretaste-cache", &["core"]),
    ("foretaste-lake", &["core"]),
    ("foretaste-store", &["core", "lake"]),
    ("foretaste-ingest", &["core", "lake", "store"]),
    ("foretaste-online", &["core", "bundle"]),
    ("foretaste-features", &["core", "lake", "online"]),
    ("foretaste-cluster", &["core", "features"]),
    ("foretaste-generate", &["core", "lake"]),
    ("foretaste-train", &["core", "bundle"]),
    ("foretaste-pipeline", &["core", "bundle"]),
    ("foretaste-evaluate", &["core", "bundle", "pipeline", "report", "train"]),
    ("foretaste-alert", &["core"]),
    ("foretaste-report", &["core"]),
    ("foretaste-quality", &["core", "report"]),
    ("foretaste-proto", &[]),
    ("foretaste-serve", &["core", "bundle", "cache", "online", "pipeline", "proto", "store"]),
    ("foretaste-load", &["core", "report"]),
    ("foretaste", &ALL),
    ("xtask", &[]),
];

const ALL: [&str; 19] = [
    "core", "bundle", "online", "cache", "lake", "store", "ingest", "features", "cluster",
    "generate", "train", "pipeline", "evaluate", "alert", "report", "quality", "proto", "serve",
    "load",
];

/// Outside crates that may stand only in some of ours.
const CONFINED: [(&str, &[&str]); 13] = [
    ("arrow-array", &["foretaste-lake", "foretaste-ingest"]),
    ("parquet", &["foretaste-lake", "foretaste-ingest"]),
    ("ballista-core", &["foretaste-cluster"]),
    ("ballista-executor", &["foretaste-cluster"]),
    ("ballista-scheduler", &["foretaste-cluster"]),
    ("datafusion", &["foretaste-features", "foretaste-cluster"]),
    ("object_store", &["foretaste-features"]),
    ("rusqlite", &["foretaste-store"]),
    (
        "tokio",
        &[
            "foretaste-cache",
            "foretaste-cluster",
            "foretaste-ingest",
            "foretaste-serve",
            "foretaste-store",
            "foretaste",
        ],
    ),
    ("sqlx", &["foretaste-ingest", "foretaste-store"]),
    ("axum", &["foretaste-serve"]),
    ("ureq", &["foretaste-alert"]),
    ("clap", &["foretaste"]),
];

/// Checks the `[dependencies]` of every crate.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for entry in fs_err::read_dir(root.join("crates"))? {
        let folder = entry?.path();
        let manifest = folder.join("Cargo.toml");
        if !manifest.exists() {
            continue;
        }
        let table: toml::Table =
            fs_err::read_to_string(&manifest)?.parse().with_context(|| format!("{manifest:?}"))?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let dependencies = table.get("dependencies").and_then(|d| d.as_table());
        let names = dependencies.into_iter().flatten().map(|(name, _)| name.as_str());
        findings.extend(check_crate(&name, names));
    }
    Ok(findings)
}

fn check_crate<'a>(name: &str, dependencies: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let finding = |message: String| Finding {
        path: format!("crates/{name}/Cargo.toml"),
        line: 0,
        rule: "arrow",
        message,
    };
    let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
        return vec![finding("is not on the map: add it to ARCHITECTURE.md and arrows.rs".into())];
    };
    let mut findings = Vec::new();
    for dependency in dependencies {
        if let Some(ours) = dependency.strip_prefix("foretaste-")
            && !allowed.contains(&ours)
        {
            findings.push(finding(format!("must not know {dependency}")));
        }
        let confined = CONFINED.iter().find(|(outside, _)| *outside == dependency);
        if confined.is_some_and(|(_, homes)| !homes.contains(&name)) {
            findings.push(finding(format!("{dependency} does not belong here")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_arrows_are_found() {
        let count = |name, deps: &[&str]| check_crate(name, deps.iter().copied()).len();
        assert_eq!(count("foretaste-pipeline", &["foretaste-core", "serde"]), 0);
        assert_eq!(count("foretaste-pipeline", &["foretaste-train", "tokio"]), 2);
        assert_eq!(count("foretaste-unknown", &[]), 1);
    }
}
