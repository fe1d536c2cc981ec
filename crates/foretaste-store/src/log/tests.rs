//! The log on failing and on damaged files.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use foretaste_core::{ErrorKind, Event, EventContext, Result, Rng};

use super::commit::{EventLog, LogOptions};
use super::files::{LogFile, LogFiles, OsFiles};
use super::format::{HEADER_BYTES, numbers, path_of};
use super::record;
use super::view::LogView;

const OPTIONS: LogOptions =
    LogOptions { file_bytes: 600, pending_bytes: 1 << 20, remembered: 1 << 12 };

fn event(i: usize) -> Event {
    let context = i.is_multiple_of(4).then(|| EventContext {
        session: Some(format!("s{i}")),
        scene: i.is_multiple_of(8).then(|| "home".to_owned()),
        position: Some(i as u16),
        request_id: Some("r".into()),
    });
    Event {
        event_id: i.is_multiple_of(2).then(|| format!("id-{i}")),
        user: format!("üser-{}", i % 5),
        item: format!("{i}"),
        kind: "view".into(),
        value: (i % 3) as f32 / 2.0,
        time_ms: i as i64 * 1_000_003 - 7,
        context,
    }
}

fn open(dir: &Path) -> Result<EventLog> {
    EventLog::open(dir, (0, 0), OPTIONS, &mut |_| Ok(()))
}

fn contents(dir: &Path) -> Result<Vec<(u64, Event)>> {
    let mut events = Vec::new();
    LogView::open(dir, 0)?.read(0, &mut |seq, event| {
        events.push((seq, event));
        Ok(())
    })?;
    Ok(events)
}

#[test]
fn records_survive_encoding() {
    let events: Vec<Event> = (0..40).map(event).collect();
    let mut bytes = Vec::new();
    record::encode(300, events.iter(), &mut bytes);
    let payload = &bytes[record::FRAME_BYTES..];
    assert_eq!(record::decode(payload).unwrap(), (300, events));
    assert_eq!(record::last_seq(payload).unwrap(), 339);
    for cut in 0..payload.len() {
        assert_eq!(record::decode(&payload[..cut]).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_newer_record_is_unsupported_not_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().append(&[event(0)]).unwrap();
    let path = path_of(dir.path(), 1);
    let mut bytes = fs_err::read(&path).unwrap();
    let start = HEADER_BYTES as usize;
    bytes[start + record::FRAME_BYTES] = 9;
    let length = (bytes.len() - start - record::FRAME_BYTES) as u32;
    let crc = record::checksum(length, &bytes[start + record::FRAME_BYTES..]);
    bytes[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    fs_err::write(&path, bytes).unwrap();
    assert_eq!(open(dir.path()).err().unwrap().kind(), ErrorKind::Unsupported);
}

/// Files whose n-th operation fails; unsynced bytes can be taken away as a power cut would.
#[derive(Clone, Default)]
struct Faulty(Arc<Mutex<Plan>>);

#[derive(Default)]
struct Plan {
    operations: usize,
    fail_at: usize,
    kind: Option<io::ErrorKind>,
    synced: HashMap<PathBuf, u64>,
}

impl Faulty {
    fn failing(fail_at: usize, kind: io::ErrorKind) -> Self {
        let plan = Plan { fail_at, kind: Some(kind), ..Plan::default() };
        Self(Arc::new(Mutex::new(plan)))
    }

    fn step(&self) -> io::Result<()> {
        let mut plan = self.0.lock().unwrap();
        plan.operations += 1;
        match plan.kind {
            Some(kind) if plan.operations == plan.fail_at => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }

    /// Takes away a random part of what was not synced.
    fn power_cut(&self, rng: &mut Rng) {
        for (path, &synced) in &self.0.lock().unwrap().synced {
            let len = fs_err::metadata(path).unwrap().len();
            let keep = synced + rng.below((len - synced + 1) as usize) as u64;
            fs_err::OpenOptions::new().write(true).open(path).unwrap().set_len(keep).unwrap();
        }
    }
}

struct FaultyFile {
    file: Box<dyn LogFile>,
    path: PathBuf,
    len: u64,
    plan: Faulty,
}

impl FaultyFile {
    fn wrap(plan: &Faulty, path: &Path, len: u64, file: Box<dyn LogFile>) -> Box<dyn LogFile> {
        plan.0.lock().unwrap().synced.insert(path.to_owned(), len);
        Box::new(Self { file, path: path.to_owned(), len, plan: plan.clone() })
    }
}

impl LogFiles for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        self.step()?;
        Ok(FaultyFile::wrap(self, path, 0, OsFiles.create(path)?))
    }

    fn resume(&self, path: &Path, len: u64) -> io::Result<Box<dyn LogFile>> {
        self.step()?;
        Ok(FaultyFile::wrap(self, path, len, OsFiles.resume(path, len)?))
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.step()
    }
}

impl LogFile for FaultyFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.plan.step() {
            // A full disk takes a part of the bytes.
            self.file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.len += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        // Nothing is forced to the disk: `power_cut` plays what that would have saved.
        self.plan.step()?;
        self.plan.0.lock().unwrap().synced.insert(self.path.clone(), self.len);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.plan.step()?;
        self.file.truncate(len)
    }
}

/// Appends 30 batches; returns the items that were acknowledged and the kinds of the failures.
fn workload(log: &EventLog) -> (Vec<String>, Vec<ErrorKind>) {
    let (mut acknowledged, mut failures) = (Vec::new(), Vec::new());
    for i in 0..30 {
        let batch: Vec<Event> = (i * 3..i * 3 + 1 + i % 3).map(event).collect();
        let mut outcome = log.append(&batch);
        if let Err(error) = &outcome {
            failures.push(error.kind());
            outcome = log.append(&batch); // As the caller is told to.
        }
        if outcome.is_ok_and(|o| o.accepted == batch.len()) {
            acknowledged.extend(batch.into_iter().map(|e| e.item));
        }
    }
    (acknowledged, failures)
}

#[track_caller]
fn check_failure_at(fail_at: usize, kind: io::ErrorKind, expected: ErrorKind) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let plan = Faulty::failing(fail_at, kind);
    let files = Box::new(plan.clone());
    let log = EventLog::open_on(files, dir.path(), (0, 0), OPTIONS, &mut |_| Ok(())).unwrap();
    let (acknowledged, failures) = workload(&log);
    let reached = plan.operations() >= fail_at;
    assert!(failures.iter().all(|&k| k == expected) && failures.len() <= 1, "{failures:?}");
    drop(log);
    plan.power_cut(&mut Rng::new(fail_at as u64));
    drop(open(dir.path()).unwrap());
    let stored: Vec<String> =
        contents(dir.path()).unwrap().into_iter().map(|(_, e)| e.item).collect();
    assert_eq!(stored, acknowledged, "operation {fail_at} failed");
    reached
}

#[test]
fn whichever_write_or_fsync_fails_nothing_acknowledged_is_lost_and_nothing_doubled() {
    let mut n = 1;
    while check_failure_at(n, io::ErrorKind::StorageFull, ErrorKind::Exhausted) {
        check_failure_at(n, io::ErrorKind::Other, ErrorKind::Io);
        n += 1;
    }
    assert!(n > 60, "the workload has {n} operations");
}

#[test]
fn a_file_whose_fsync_failed_is_never_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Faulty::failing(6, io::ErrorKind::Other); // The fsync of the second append.
    let files = Box::new(plan.clone());
    let log = EventLog::open_on(files, dir.path(), (0, 0), OPTIONS, &mut |_| Ok(())).unwrap();
    log.append(&[event(0)]).unwrap();
    let len = fs_err::metadata(path_of(dir.path(), 1)).unwrap().len();
    assert!(log.append(&[event(1)]).is_err());
    log.append(&[event(1)]).unwrap();
    assert_eq!(fs_err::metadata(path_of(dir.path(), 1)).unwrap().len(), len);
    assert_eq!(numbers(dir.path()).unwrap(), [1, 2]);
    assert_eq!(log.append(&[event(1)]).unwrap().duplicates, 1);
}

fn written(dir: &Path) -> Vec<(u64, Event)> {
    let log = open(dir).unwrap();
    (0..40).for_each(|i| {
        log.append(&[event(2 * i), event(2 * i + 1)]).unwrap();
    });
    contents(dir).unwrap()
}

#[test]
fn a_torn_end_is_cut_off_and_writing_goes_on() {
    let source = tempfile::tempdir().unwrap();
    let all = written(source.path());
    let last = *numbers(source.path()).unwrap().last().unwrap();
    let bytes = fs_err::read(path_of(source.path(), last)).unwrap();
    for cut in 0..bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        for n in 1..last {
            let file = path_of(source.path(), n);
            fs_err::copy(file, path_of(dir.path(), n)).unwrap();
        }
        fs_err::write(path_of(dir.path(), last), &bytes[..cut]).unwrap();
        let kept = contents(dir.path()).unwrap();
        assert_eq!(kept, all[..kept.len()], "cut at {cut}");
        assert_eq!(kept.len() % 2, 0, "an append is kept as a whole");
        if cut % 16 != 0 {
            continue;
        }
        let log = open(dir.path()).unwrap();
        assert_eq!(contents(dir.path()).unwrap(), kept, "what is cut off was no record");
        let next = log.append(&[event(999)]).unwrap().last_seq;
        assert_eq!(next, kept.last().unwrap().0 + 1);
        drop(log);
        assert_eq!(contents(dir.path()).unwrap().len(), kept.len() + 1);
    }
}

#[test]
fn flipped_bits_are_found_and_never_become_events() {
    let source = tempfile::tempdir().unwrap();
    let all = written(source.path());
    let files = numbers(source.path()).unwrap();
    let mut rng = Rng::new(5);
    for round in 0..400 {
        let dir = tempfile::tempdir().unwrap();
        for &n in &files {
            fs_err::copy(path_of(source.path(), n), path_of(dir.path(), n)).unwrap();
        }
        let number = files[rng.below(files.len())];
        let path = path_of(dir.path(), number);
        let mut bytes = fs_err::read(&path).unwrap();
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
        fs_err::write(&path, bytes).unwrap();
        let is_last = Some(&number) == files.last();
        match contents(dir.path()) {
            Ok(kept) => {
                assert!(is_last, "round {round}: damage in file {number} passed unnoticed");
                assert_eq!(kept, all[..kept.len()]);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "round {round}: {error}");
                assert!(error.to_string().contains(&format!("{number:08}.log")), "{error}");
            }
        }
    }
}

#[test]
fn a_missing_file_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    fs_err::remove_file(path_of(dir.path(), 2)).unwrap();
    assert_eq!(open(dir.path()).err().unwrap().kind(), ErrorKind::Corrupt);
}
