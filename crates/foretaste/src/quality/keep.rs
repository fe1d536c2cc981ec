//! Files below `DIR/quality`: profiles of accepted runs, the last report, what was told. A file is
//! whole or not there; a profile that cannot be read gives way to the one before it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use foretaste_alert::Ledger;
use foretaste_quality::{Profile, Report};

const REPORT: &str = "last.json";
const PREFIX: &str = "accepted-";
/// Beginning of the names of files that are being written.
const PART: &str = ".part-";

/// The folder.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// The folder at this path, which need not be there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The profile of the last accepted run that this build can read.
    pub fn last_accepted(&self) -> Result<Option<Profile>> {
        for path in self.accepted()?.iter().rev() {
            let profile = serde_json::from_slice::<Profile>(&fs_err::read(path)?);
            if let Ok(profile) = profile
                && profile.version == Profile::VERSION
            {
                return Ok(Some(profile));
            }
        }
        Ok(None)
    }

    /// Keeps a profile as the last accepted one, and of the others only the latest.
    pub fn accept(&self, profile: &Profile, most: usize) -> Result<()> {
        let name = format!("{PREFIX}{:015}.json", profile.measured_ms.max(0));
        self.write(&name, &serde_json::to_vec(profile)?)?;
        let all = self.accepted()?;
        let excess = all.len().saturating_sub(most);
        all[..excess].iter().try_for_each(fs_err::remove_file)?;
        Ok(())
    }

    /// Keeps a report as the last one.
    pub fn keep_report(&self, report: &Report) -> Result<()> {
        self.write(REPORT, &serde_json::to_vec(report)?)
    }

    /// The last report; `None` when there is none.
    pub fn last_report(&self) -> Result<Option<Report>> {
        let path = self.folder.join(REPORT);
        if !path.exists() {
            return Ok(None);
        }
        let report = serde_json::from_slice(&fs_err::read(&path)?);
        report.map(Some).with_context(|| format!("{}", path.display()))
    }

    /// What receivers of alerts know, by their names, from the file of a rule; nothing where that
    /// cannot be read.
    pub fn alerts(&self, file: &str) -> Option<BTreeMap<String, Ledger>> {
        let bytes = fs_err::read(self.folder.join(file)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Keeps what receivers of alerts know.
    pub fn keep_alerts(&self, file: &str, ledgers: &BTreeMap<String, Ledger>) -> Result<()> {
        self.write(file, &serde_json::to_vec(ledgers)?)
    }

    /// Files of accepted profiles, oldest first.
    fn accepted(&self) -> Result<Vec<PathBuf>> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let mut paths = Vec::new();
        for entry in fs_err::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(PREFIX) && name.ends_with(".json") {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Temporary file, fsync, rename, fsync of the folder.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        let written = self.replace(&path, bytes);
        written.with_context(|| format!("{} cannot be written", path.display()))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        fs_err::create_dir_all(&self.folder)?;
        let mut file = tempfile::Builder::new().prefix(PART).tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        fs_err::File::open(&self.folder)?.sync_all()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(measured_ms: i64) -> Profile {
        Profile { version: Profile::VERSION, measured_ms, ..Profile::default() }
    }

    #[test]
    fn the_latest_profiles_are_kept_and_a_broken_one_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path().join("quality"));
        assert!(kept.last_accepted().unwrap().is_none() && kept.last_report().unwrap().is_none());
        for at in [5, 7, 6, 1_700_000_000_000] {
            kept.accept(&profile(at), 3).unwrap();
        }
        assert_eq!(kept.accepted().unwrap().len(), 3);
        let last = || kept.last_accepted().unwrap().map(|p| p.measured_ms);
        assert_eq!(last(), Some(1_700_000_000_000));
        let newest = kept.accepted().unwrap().pop().unwrap();
        fs_err::write(&newest, "{\"version\": 1, \"measu").unwrap();
        assert_eq!(last(), Some(7));
        let other = Profile { version: Profile::VERSION + 1, ..profile(9) };
        kept.accept(&other, 3).unwrap();
        assert_eq!(last(), Some(7));
    }

    #[test]
    fn half_a_file_is_never_taken_for_a_profile() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path().to_owned());
        kept.accept(&profile(5), 3).unwrap();
        fs_err::write(folder.path().join(".part-x"), "{").unwrap();
        assert_eq!(kept.last_accepted().unwrap().unwrap().measured_ms, 5);
        assert_eq!(kept.accepted().unwrap().len(), 1);
    }
}
