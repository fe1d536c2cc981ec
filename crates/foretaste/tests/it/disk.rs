//! A disk that is soon full.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A small file system; unmounted when it goes out of scope.
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    /// `None`, and a line that says so, where nothing may be mounted.
    pub(crate) fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs_err::create_dir(&at).unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options.as_str(), "none"]).arg(&at).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        if !mounted {
            println!("skipped: a small file system cannot be mounted here");
        }
        mounted.then_some(Self(at))
    }

    /// Makes it as large as anybody here needs.
    pub(crate) fn enlarge(&self) {
        let mut mount = Command::new("mount");
        let size = mount.args(["-o", "remount,size=64m"]).arg(&self.0).status();
        assert!(size.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
