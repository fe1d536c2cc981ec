//! Rows of a source's tables in files: exact, and missed by nobody who reads the table.

mod columns;
mod refusals;

use std::path::PathBuf;

use foretaste_core::{ErrorKind, NoProgress, Result};
use foretaste_ingest::tables::SourceConfig;
use foretaste_ingest::tables::archive::{ArchiveFolder, Archiver, RowReport};

use crate::servers::Kind;
use crate::{EV, Server, World, events, items, source};

/// Rows of one transaction: few, so that there are many.
const BATCH_ROWS: usize = 7;

impl World {
    /// With an archive in its folder.
    fn archiving(server: &Server) -> Self {
        let mut world = Self::new(server);
        let folder = world.dir.path().join("warm");
        world.archive = Some(ArchiveFolder { folder, notes: Some(world.dir.path().join("notes")) });
        world
    }

    fn archiver<T>(&self, source: &SourceConfig, work: impl FnOnce(&Archiver<'_>) -> T) -> T {
        work(&Archiver {
            store: &self.store,
            source,
            url: &self.url,
            folder: self.archive.as_ref().unwrap(),
            older_than_days: 30,
            batch_rows: BATCH_ROWS,
            progress: &NoProgress,
        })
    }

    fn archive(&self, source: &SourceConfig, delete: bool) -> Result<RowReport> {
        self.archiver(source, |archiver| archiver.run(&source.tables[0].table, delete))
    }

    fn restore(&self, source: &SourceConfig) -> Result<u64> {
        self.archiver(source, |archiver| archiver.restore(&source.tables[0].table))
    }

    /// A file of the archive of `ev`.
    fn file(&self, name: &str) -> PathBuf {
        self.archive.as_ref().unwrap().folder.join("sources/s/ev").join(name)
    }
}

/// One row a day: 60 old ones, and 20 that are not.
fn fill(server: &Server) {
    server.create_ev();
    for day in (11..=90).rev() {
        let at = server.now(-86_400 * day);
        server
            .run(&format!("INSERT INTO ev (ts, who, sku) VALUES ({at}, 'u{}', 'i{day}')", day % 7));
    }
}

fn count(server: &Server) -> usize {
    server.client().texts("SELECT CAST(id AS char(20)) FROM ev").len()
}

fn both(check: impl Fn(&Server)) {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        Server::start(kind).iter().for_each(&check);
    }
}

#[test]
fn old_rows_go_and_what_they_gave_stays() {
    both(|server| {
        fill(server);
        let (world, source) = (World::archiving(server), source(EV));
        let plan = world.archiver(&source, |archiver| archiver.plan("ev")).unwrap();
        assert_eq!(plan.days.len(), 60);
        let nothing = world.archive(&source, true).unwrap();
        assert_eq!((nothing.copied, nothing.waiting, count(server)), (0, 60, 80), "not extracted");
        world.pass(&source).unwrap();
        let copied = world.archive(&source, false).unwrap();
        assert_eq!((copied.copied, copied.deleted, count(server)), (60, 0, 80));
        assert_eq!(world.archive(&source, false).unwrap().copied, 0, "it is there already");
        assert_eq!(world.reconcile(&source).unwrap().differing, 0);
        let moved = world.archive(&source, true).unwrap();
        assert_eq!((moved.copied, moved.deleted, count(server)), (0, 60, 20));

        let found = world.reconcile(&source).unwrap();
        assert_eq!((found.differing, found.outcome.removed, items(&world.store).len()), (0, 0, 80));
        server.run("DELETE FROM ev WHERE sku = 'i15'");
        let found = world.reconcile(&source).unwrap();
        assert_eq!((found.differing, found.outcome.removed), (1, 1), "that one was deleted");
        let status = world.archiver(&source, |archiver| archiver.status("ev", true)).unwrap();
        assert_eq!((status.files, status.rows, status.moved), (1, 60, 60));

        assert_eq!(world.restore(&source).unwrap(), 60);
        assert_eq!((count(server), world.restore(&source).unwrap()), (79, 0));
        assert_eq!(world.reconcile(&source).unwrap().differing, 0, "they are what they were");
        let status = world.archiver(&source, |archiver| archiver.status("ev", true)).unwrap();
        assert_eq!(status.files, 0);
    });
}

/// What the tests above rest on: whoever does not know of the archive takes rows that are in it for
/// rows that were deleted.
#[test]
fn without_the_archive_reconciliation_would_remove_them() {
    both(|server| {
        fill(server);
        let (mut world, source) = (World::archiving(server), source(EV));
        world.pass(&source).unwrap();
        world.archive(&source, true).unwrap();
        world.archive = None;
        assert_eq!(world.reconcile(&source).unwrap().outcome.removed, 60);
    });
}

#[test]
fn a_row_that_changed_since_it_was_copied_stays() {
    both(|server| {
        fill(server);
        let (world, source) = (World::archiving(server), source(EV));
        world.pass(&source).unwrap();
        world.archive(&source, false).unwrap();
        server.run("UPDATE ev SET qty = 5 WHERE sku IN ('i40', 'i41')");
        server.run("DELETE FROM ev WHERE sku = 'i42'");
        let moved = world.archive(&source, true).unwrap();
        assert_eq!((moved.deleted, moved.waiting, count(server)), (57, 2, 22));
        let found = world.reconcile(&source).unwrap();
        assert_eq!((found.outcome.changed, found.outcome.removed), (2, 1), "{found:?}");
        assert_eq!(events(&world.store).iter().filter(|event| event.value == 5.0).count(), 2);
        server.run("DELETE FROM ev WHERE sku = 'i41'");
        assert_eq!(world.reconcile(&source).unwrap().outcome.removed, 1, "not the archive's");
        let moved = world.archive(&source, true).unwrap();
        assert_eq!((moved.copied, moved.deleted, count(server)), (1, 1, 20), "in its new form");
        assert_eq!(world.reconcile(&source).unwrap().outcome.removed, 0);
        assert_eq!(world.restore(&source).unwrap(), 58);
        assert_eq!((count(server), items(&world.store).len()), (78, 78));
        assert_eq!(world.reconcile(&source).unwrap().differing, 0);
    });
}

#[test]
fn a_table_that_changed_since_it_was_copied_keeps_its_rows() {
    both(|server| {
        fill(server);
        let (world, source) = (World::archiving(server), source(EV));
        world.pass(&source).unwrap();
        world.archive(&source, false).unwrap();
        server.run("ALTER TABLE ev ADD COLUMN note varchar(20) DEFAULT 'new'");
        let moved = world.archive(&source, true).unwrap();
        assert_eq!((moved.copied, moved.deleted), (60, 60), "with the new column");
        server.run("ALTER TABLE ev DROP COLUMN note");
        let error = world.restore(&source).unwrap_err();
        assert!(error.to_string().contains("`note`"), "{error}");
        server.run("ALTER TABLE ev ADD COLUMN note varchar(20)");
        assert_eq!(world.restore(&source).unwrap(), 60);
        let note = server.client().texts("SELECT note FROM ev WHERE sku = 'i77'");
        assert_eq!(note, [["new"]]);
    });
}

#[test]
fn rows_that_others_hold_are_waited_for() {
    both(|server| {
        fill(server);
        let (world, source) = (World::archiving(server), source(EV));
        world.pass(&source).unwrap();
        let mut other = server.client();
        other.run("BEGIN").unwrap();
        other.run("UPDATE ev SET qty = qty WHERE sku = 'i50'").unwrap();
        let moved = std::thread::scope(|scope| {
            let run = scope.spawn(|| world.archive(&source, true));
            std::thread::sleep(std::time::Duration::from_millis(1_500));
            other.run("ROLLBACK").unwrap();
            run.join().unwrap().unwrap()
        });
        assert_eq!((moved.deleted, count(server)), (60, 20));
    });
}

#[test]
fn a_damaged_file_is_named_and_nothing_is_deleted() {
    both(|server| {
        fill(server);
        let (world, source) = (World::archiving(server), source(EV));
        world.pass(&source).unwrap();
        world.archive(&source, false).unwrap();
        let path = world.file("000001.parquet");
        let whole = fs_err::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[whole.len() / 3] ^= 1;
        fs_err::write(&path, &bytes).unwrap();
        let status = || world.archiver(&source, |archiver| archiver.status("ev", true));
        for error in [world.archive(&source, true).unwrap_err(), status().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains("000001.parquet"), "{error}");
        }
        assert_eq!(count(server), 80);
        fs_err::write(&path, &whole).unwrap();
        world.archive(&source, true).unwrap();
        fs_err::write(&path, &bytes).unwrap();
        assert_eq!(world.restore(&source).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(world.reconcile(&source).unwrap().outcome.removed, 0, "it was not needed");
        fs_err::write(&path, &whole).unwrap();
        assert_eq!(world.restore(&source).unwrap(), 60);
    });
}

#[test]
fn an_archive_that_is_not_mounted_is_no_empty_one() {
    both(|server| {
        fill(server);
        let (world, source) = (World::archiving(server), source(EV));
        world.pass(&source).unwrap();
        world.archive(&source, true).unwrap();
        let (here, away) = (world.dir.path().join("warm"), world.dir.path().join("away"));
        fs_err::rename(&here, &away).unwrap();
        for error in [
            world.reconcile(&source).unwrap_err(),
            world.archive(&source, true).unwrap_err(),
            world.restore(&source).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.to_string().contains("archive.folder"), "{error}");
        }
        assert_eq!(world.pass(&source).unwrap().outcome.removed, 0, "new rows need no archive");
        fs_err::remove_dir_all(&here).unwrap();
        fs_err::rename(&away, &here).unwrap();
        assert_eq!(world.reconcile(&source).unwrap().outcome.removed, 0);
    });
}

/// Two readings of one table, as another kind of event each, with lookups and filters.
#[test]
fn a_row_waits_for_every_reading() {
    let text =
        EV.replace("kind = \"order\"", "kind = \"order\"\nas = \"few\"\nwhere = { qty = 1 }");
    let mut two = source(EV);
    two.tables.push(source(&text).tables[0].clone());
    both(|server| {
        fill(server);
        server.run("UPDATE ev SET qty = 2 WHERE sku IN ('i35', 'i36', 'i37')");
        let world = World::archiving(server);
        let read = |at: usize| {
            world.with_reader(&two, (false, &|| false), |reader| {
                (reader.pass(&two.tables[at]).unwrap(), reader.reconcile(&two.tables[at]).unwrap())
            })
        };
        read(0);
        let moved = world.archive(&two, true).unwrap();
        assert_eq!((moved.deleted, moved.waiting, count(server)), (3, 57, 77));
        read(1);
        let moved = world.archive(&two, true).unwrap();
        assert_eq!((moved.deleted, moved.waiting, count(server)), (57, 0, 20));
        for at in [0, 1] {
            assert_eq!(read(at).1.differing, 0);
        }
        assert_eq!(items(&world.store).len(), 80 + 77);
    });
}
