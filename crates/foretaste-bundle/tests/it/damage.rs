//! Damaged bundles: every flipped byte, cut end, missing or foreign file is refused with an error,
//! none panics; a writer killed at any moment leaves old or new, never half.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use foretaste_bundle::{Bundle, BundleId, activate, current, list, write};
use foretaste_core::{ErrorKind, Rng};

use crate::planted::contents;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// A file of a bundle, opened up for damage.
pub(crate) fn overwrite(path: &Path, bytes: &[u8]) {
    fs_err::remove_file(path).unwrap();
    fs_err::write(path, bytes).unwrap();
}

/// Makes the manifest agree with the damaged files, so that the checks behind the digests are
/// reached, too.
fn reseal(folder: &Path) {
    let path = folder.join("manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    for entry in manifest["files"].as_array_mut().unwrap() {
        let bytes = fs_err::read(folder.join(entry["name"].as_str().unwrap())).unwrap();
        entry["bytes"] = bytes.len().into();
        entry["blake3"] = blake3::hash(&bytes).to_hex().to_string().into();
    }
    write_manifest(folder, &serde_json::to_vec(&manifest).unwrap());
}

fn write_manifest(folder: &Path, text: &[u8]) {
    overwrite(&folder.join("manifest.json"), text);
    overwrite(&folder.join("SEAL"), blake3::hash(text).to_hex().as_bytes());
}

/// A bundle, the folder that holds it, and its own.
pub(crate) fn fresh() -> (tempfile::TempDir, BundleId, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let id = write(root.path(), &contents(1)).unwrap();
    let folder = root.path().join(id.as_str());
    (root, id, folder)
}

#[track_caller]
fn refused(root: &Path, id: &BundleId, what: &str) {
    let error = Bundle::open(root, id).err().unwrap_or_else(|| panic!("{what}: was accepted"));
    let kinds = [ErrorKind::Corrupt, ErrorKind::Unsupported, ErrorKind::NotFound];
    assert!(kinds.contains(&error.kind()), "{what}: {error}");
}

#[test]
fn every_flipped_byte_is_found() {
    let (root, id, folder) = fresh();
    let mut rng = Rng::new(1);
    for path in files(&folder) {
        let good = fs_err::read(&path).unwrap();
        let header = 0..64.min(good.len());
        let random: Vec<usize> = (0..40).map(|_| rng.below(good.len())).collect();
        for at in header.chain(random) {
            let mut bad = good.clone();
            bad[at] ^= 1 << rng.below(8);
            overwrite(&path, &bad);
            refused(root.path(), &id, &format!("{path:?} with byte {at} flipped"));
        }
        overwrite(&path, &good);
    }
    Bundle::open(root.path(), &id).unwrap();
}

#[test]
fn damage_behind_a_right_digest_is_refused_or_harmless() {
    let (root, id, folder) = fresh();
    let mut rng = Rng::new(2);
    for path in files(&folder).into_iter().filter(|p| p.extension().is_some_and(|e| e == "bin")) {
        let good = fs_err::read(&path).unwrap();
        let random: Vec<usize> = (0..60).map(|_| 256 + rng.below(good.len() - 256)).collect();
        for at in (0..256).chain(random) {
            let mut bad = good.clone();
            bad[at] = bad[at].wrapping_add(1 + rng.below(255) as u8);
            overwrite(&path, &bad);
            reseal(&folder);
            // Must not panic; a float may change to another float.
            let opened = Bundle::open(root.path(), &id);
            assert!(opened.is_err() || at >= 256, "{path:?}: header byte {at} was accepted");
        }
        overwrite(&path, &good);
        reseal(&folder);
    }
    Bundle::open(root.path(), &id).unwrap();
}

#[test]
fn nan_in_any_file_of_floats_is_refused() {
    let (root, id, folder) = fresh();
    for name in ["popularity.bin", "histories.bin", "channel-00.bin", "channel-02.bin"] {
        let path = folder.join(name);
        let good = fs_err::read(&path).unwrap();
        // Every aligned word of the first array of floats becomes NaN; at least one must be one.
        let mut found = 0;
        for at in (1024..good.len() - 4).step_by(256) {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
            overwrite(&path, &bad);
            reseal(&folder);
            found += usize::from(Bundle::open(root.path(), &id).is_err());
        }
        assert!(found > 0, "{name}");
        overwrite(&path, &good);
        reseal(&folder);
    }
}

#[test]
fn cut_files_missing_files_and_foreign_versions_are_refused() {
    let (root, id, folder) = fresh();
    for path in files(&folder) {
        let good = fs_err::read(&path).unwrap();
        for keep in [0, 7, 1023.min(good.len() - 1), good.len() / 2, good.len() - 1] {
            overwrite(&path, &good[..keep]);
            refused(root.path(), &id, &format!("{path:?} cut to {keep}"));
            if path.extension().is_some_and(|e| e == "bin") && keep > 0 {
                reseal(&folder);
                let opened = Bundle::open(root.path(), &id);
                // The padding behind the last array may be cut without loss.
                assert!(opened.is_err() || keep == good.len() - 1, "{path:?} cut to {keep}");
            }
        }
        fs_err::remove_file(&path).unwrap();
        refused(root.path(), &id, &format!("{path:?} missing"));
        fs_err::write(&path, &good).unwrap();
        reseal(&folder);
    }
    let manifest = folder.join("manifest.json");
    let text = fs_err::read_to_string(&manifest).unwrap();
    let newer = text.replace("\"format_version\": 1", "\"format_version\": 2");
    let newer = newer.replace("\"format_version\":1", "\"format_version\":2");
    write_manifest(&folder, newer.as_bytes());
    let error = Bundle::open(root.path(), &id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[test]
fn links_out_of_the_folder_are_refused() {
    let (root, id, folder) = fresh();
    let path = folder.join("items.bin");
    let outside = root.path().join("outside.bin");
    fs_err::rename(&path, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &path).unwrap();
    refused(root.path(), &id, "a symbolic link");
}

/// Set for the child of the test below: where to write.
const CHILD: &str = "FORETASTE_BUNDLE_TEST_CHILD";

/// Not a test of its own: what the killed process does.
#[test]
fn child_writes_and_activates() {
    if let Some(root) = std::env::vars_os().find(|(k, _)| k == CHILD).map(|(_, v)| v) {
        for seed in 10..20 {
            let id = write(Path::new(&root), &contents(seed)).unwrap();
            activate(Path::new(&root), &id).unwrap();
        }
    }
}

/// Runs a test of this program with a variable that names a folder, and kills it within 62 ms.
pub(crate) fn killed(test: &str, (variable, folder): (&str, &Path), rng: &mut Rng) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact"])
        .env(variable, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_micros(2_000 + rng.below(60_000) as u64));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_writer_leaves_old_or_new_but_never_half() {
    let root = tempfile::tempdir().unwrap();
    let first = write(root.path(), &contents(1)).unwrap();
    activate(root.path(), &first).unwrap();
    let mut rng = Rng::new(4);
    for _ in 0..40 {
        killed("damage::child_writes_and_activates", (CHILD, root.path()), &mut rng);
        let now = current(root.path()).unwrap().expect("there is a current bundle");
        Bundle::open(root.path(), &now).unwrap();
        for id in list(root.path()).unwrap() {
            Bundle::open(root.path(), &id).unwrap();
        }
    }
    write(root.path(), &contents(99)).unwrap();
    let leftovers = files(root.path());
    let is_temporary =
        |p: &&PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".tmp-"));
    assert_eq!(leftovers.iter().filter(is_temporary).count(), 0, "{leftovers:?}");
}
