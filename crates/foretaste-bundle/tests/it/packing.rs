//! Packed files: the same bundle in less space; damage is found; whatever breaks a change of form
//! off, the bundle opens.

use std::path::Path;

use foretaste_bundle::{
    Bundle, BundleId, ChannelScratch, FileEntry, FileKind, Form, SectionWriter, bytes_on_disk,
    reform, write,
};
use foretaste_core::{BitSet, ErrorKind, Rng};

use crate::damage::{fresh, killed, overwrite};
use crate::planted::{N_ITEMS, contents};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What each channel finds for a history.
fn answers(bundle: &Bundle) -> Vec<Vec<(u32, u32)>> {
    let (allowed, history) = (BitSet::full(N_ITEMS), [(3, 1.0), (60, 2.0), (99, 0.5)]);
    let answers = bundle.channels().iter().map(|channel| {
        let (mut scratch, mut found) = (ChannelScratch::default(), Vec::new());
        channel.prepare(&history, &mut scratch);
        channel.search(&allowed, 20, &mut scratch, &mut found);
        found.into_iter().map(|(item, score): (u32, f32)| (item, score.to_bits())).collect()
    });
    answers.collect()
}

#[test]
fn a_packed_bundle_is_smaller_and_the_same() {
    let (root, id, folder) = fresh();
    let plain: Vec<_> =
        names(&folder).iter().map(|n| fs_err::read(folder.join(n)).unwrap()).collect();
    let before = (names(&folder), answers(&Bundle::open(root.path(), &id).unwrap()));
    let open = Bundle::open(root.path(), &id).unwrap();

    let (was, is) = reform(root.path(), &id, Form::Packed).unwrap();
    assert!(is * 10 < was * 6, "{was} bytes became {is}");
    assert_eq!(bytes_on_disk(root.path(), &id).unwrap(), is);
    let is_packed = |name: &String| !name.ends_with(".bin");
    assert!(names(&folder).iter().all(is_packed), "{:?}", names(&folder));
    let packed = Bundle::open(root.path(), &id).unwrap();
    assert_eq!(answers(&packed), before.1);
    assert_eq!(packed.manifest(), open.manifest());
    // Who had it open goes on, and packing twice changes nothing.
    assert_eq!(answers(&open), before.1);
    assert_eq!(reform(root.path(), &id, Form::Packed).unwrap(), (is, is));
    // The same contents written once more are that bundle.
    assert_eq!(write(root.path(), &contents(1)).unwrap(), id);

    assert_eq!(reform(root.path(), &id, Form::Plain).unwrap(), (is, was));
    assert_eq!(names(&folder), before.0);
    for (name, bytes) in names(&folder).iter().zip(plain) {
        assert!(fs_err::read(folder.join(name)).unwrap() == bytes, "{name}");
    }
}

#[test]
fn every_flipped_byte_and_every_cut_is_found() {
    let (root, id, folder) = fresh();
    reform(root.path(), &id, Form::Packed).unwrap();
    let mut rng = Rng::new(7);
    let packed = names(&folder).into_iter().filter(|name| name.ends_with(FileEntry::PACKED));
    for name in packed {
        let path = folder.join(&name);
        let good = fs_err::read(&path).unwrap();
        let overwrite = |bytes: &[u8]| overwrite(&path, bytes);
        let refused = |what: String| {
            let error = Bundle::open(root.path(), &id).err();
            let error = error.unwrap_or_else(|| panic!("{what}: was accepted"));
            let kinds = [ErrorKind::Corrupt, ErrorKind::Unsupported];
            assert!(kinds.contains(&error.kind()), "{what}: {error}");
            assert!(error.to_string().contains(&name), "{what}: {error}");
        };
        // Header, first entry, and the rest here and there.
        let random: Vec<usize> = (0..15).map(|_| rng.below(good.len())).collect();
        for at in (0..48).chain(random) {
            let mut bad = good.clone();
            bad[at] ^= 1 << rng.below(8);
            overwrite(&bad);
            refused(format!("{name} with byte {at} flipped"));
        }
        for keep in [1, 31, 40, good.len() / 2, good.len() - 1] {
            overwrite(&good[..keep]);
            refused(format!("{name} cut to {keep}"));
        }
        // Sizes that no memory has.
        for field in [16, 24] {
            let mut bad = good.clone();
            bad[field..field + 8].fill(0xff);
            overwrite(&bad);
            refused(format!("{name} with a size of 2^64 - 1"));
        }
        overwrite(&good);
    }
    Bundle::open(root.path(), &id).unwrap();
    fs_err::remove_file(folder.join("items.bin.packed")).unwrap();
    assert_eq!(Bundle::open(root.path(), &id).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_damaged_bundle_is_not_packed_and_nothing_of_it_is_removed() {
    let (root, id, folder) = fresh();
    let path = folder.join("histories.bin");
    let mut bytes = fs_err::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    overwrite(&path, &bytes);
    let error = reform(root.path(), &id, Form::Packed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(fs_err::read(&path).unwrap(), bytes);
    let missing = BundleId::new("none").unwrap();
    let error = reform(root.path(), &missing, Form::Packed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// A change that was broken off leaves both forms; one of them may be damaged.
#[test]
fn of_two_forms_the_whole_one_stays() {
    let (root, id, folder) = fresh();
    let plain = folder.join("histories.bin");
    let packed = folder.join("histories.bin.packed");
    let good = fs_err::read(&plain).unwrap();
    for form in [Form::Packed, Form::Plain] {
        for damaged in [&plain, &packed] {
            reform(root.path(), &id, Form::Packed).unwrap();
            fs_err::write(&plain, &good).unwrap();
            let mut bytes = fs_err::read(damaged).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 0xff;
            overwrite(damaged, &bytes);
            reform(root.path(), &id, form).unwrap();
            let left = (plain.exists(), packed.exists());
            assert_eq!(left, (form == Form::Plain, form == Form::Packed), "{damaged:?}");
            Bundle::open(root.path(), &id).unwrap();
        }
    }
}

/// A file with arrays of all types and sizes around those of blocks comes back byte for byte.
#[test]
fn all_arrays_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(3);
    for round in 0..30 {
        let name = format!("{round}.bin");
        let path = folder.path().join(&name);
        let mut out = SectionWriter::create(&path, FileKind::Items).unwrap();
        for _ in 0..rng.below(6) {
            let block = 1 << 18;
            let n = [0, 1, 7, 1000, block / 4, block / 4 + 1, block / 2 - 3][rng.below(7)];
            let most = [2, 300, usize::MAX >> 2][rng.below(3)];
            let mut sum = 0u64;
            let mut next = |ascends: bool| {
                sum = sum.wrapping_add(rng.below(most) as u64);
                if ascends { sum } else { rng.below(most) as u64 }
            };
            match round % 5 {
                0 => out.put(&(0..n).map(|_| next(false) as u8).collect::<Vec<_>>()),
                1 => out.put(&(0..n).map(|_| next(true) as u32).collect::<Vec<_>>()),
                2 => out.put(&(0..n).map(|_| next(true)).collect::<Vec<_>>()),
                3 => out.put(&(0..n).map(|_| next(false) as i64).collect::<Vec<_>>()),
                _ => out.put(&(0..n).map(|_| next(false) as f32 / 7.0).collect::<Vec<_>>()),
            }
            .unwrap();
        }
        out.finish().unwrap();
        let bytes = fs_err::read(&path).unwrap();
        let blake3 = blake3::hash(&bytes).to_hex().to_string();
        let entry = FileEntry { name, bytes: bytes.len() as u64, blake3 };
        entry.reform(folder.path(), Form::Packed).unwrap();
        assert!(!path.exists());
        assert!(entry.stored_bytes(folder.path()).unwrap() < entry.bytes + 100);
        assert!(entry.open(folder.path()).unwrap().bytes() == bytes, "round {round}");
        entry.reform(folder.path(), Form::Plain).unwrap();
        assert_eq!(names(folder.path()).len(), round + 1);
        assert!(fs_err::read(&path).unwrap() == bytes, "round {round}");
    }
}

/// Set for the child of the test below: where the bundle is.
const CHILD: &str = "FORETASTE_PACKING_TEST_CHILD";

/// Not a test of its own: what the killed process does.
#[test]
fn child_packs_and_unpacks() {
    if let Some(root) = std::env::vars_os().find(|(k, _)| k == CHILD).map(|(_, v)| v) {
        let root = Path::new(&root);
        let id = foretaste_bundle::list(root).unwrap().remove(0);
        for _ in 0..50 {
            reform(root, &id, Form::Packed).unwrap();
            reform(root, &id, Form::Plain).unwrap();
        }
    }
}

#[test]
fn killed_at_any_moment_it_opens_and_can_be_given_either_form() {
    let (root, id, folder) = fresh();
    let plain = names(&folder);
    let mut rng = Rng::new(8);
    let mut both = 0;
    for round in 0..40 {
        killed("packing::child_packs_and_unpacks", (CHILD, root.path()), &mut rng);
        Bundle::open(root.path(), &id).unwrap();
        both += usize::from(names(&folder).len() > plain.len());
        let form = if round % 2 == 0 { Form::Packed } else { Form::Plain };
        reform(root.path(), &id, form).unwrap();
        Bundle::open(root.path(), &id).unwrap();
        let is_done = |n: &String| n.ends_with(FileEntry::PACKED) == (form == Form::Packed);
        let files = names(&folder);
        let mut files = files.iter().filter(|n| n.contains(".bin"));
        assert!(files.all(is_done), "{:?}", names(&folder));
    }
    assert!(both > 0, "no child was killed in the middle");
    assert_eq!(names(&folder), plain, "nothing is left over");
}
