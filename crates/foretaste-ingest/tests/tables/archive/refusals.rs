//! What keeps rows from going, each with its reason.

use foretaste_core::ErrorKind;

use super::{both, count, fill};
use crate::servers::Kind;
use crate::{EV, Server, World, source, until};

fn extracted(server: &Server) -> World {
    fill(server);
    let world = World::archiving(server);
    world.pass(&source(EV)).unwrap();
    world
}

/// The message of a run that deletes nothing, and leaves one copy.
#[track_caller]
fn refused(world: &World, server: &Server, kind: ErrorKind) -> String {
    let source = source(EV);
    let error = world.archive(&source, true).unwrap_err();
    assert_eq!((error.kind(), count(server)), (kind, 80), "{error}");
    let status = world.archiver(&source, |archiver| archiver.status("ev", true)).unwrap();
    assert_eq!((status.rows, status.moved), (60, 0));
    error.to_string()
}

#[test]
fn a_missing_right_is_named() {
    both(|server| {
        let mut world = extracted(server);
        match server.kind {
            Kind::Postgres => server.run(
                "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; \
                 GRANT SELECT ON ev TO reader",
            ),
            Kind::MariaDb => server.run(
                // Everybody may do anything in databases of this name.
                "DELETE FROM mysql.db WHERE db LIKE 'test%'; FLUSH PRIVILEGES; \
                 CREATE OR REPLACE USER reader@'%'; CREATE OR REPLACE USER reader@localhost; \
                 GRANT SELECT ON test.* TO reader@'%'; GRANT SELECT ON test.* TO reader@localhost",
            ),
        }
        world.url = world.url.replace("postgres@", "reader@").replace("root@", "reader@");
        let grant = |right: &str| {
            server.run(&match server.kind {
                Kind::Postgres => format!("GRANT {right} TO reader"),
                Kind::MariaDb => {
                    format!("GRANT {right} TO reader@'%'; GRANT {right} TO reader@localhost")
                }
            });
        };
        if server.kind == Kind::MariaDb {
            let said = refused(&world, server, ErrorKind::Config);
            assert!(said.contains("GRANT PROCESS"), "{said}");
            grant("PROCESS ON *.*");
        }
        let said = refused(&world, server, ErrorKind::Config);
        assert!(said.contains("GRANT DELETE ON ev") && said.contains("000001.parquet"), "{said}");
        grant("DELETE ON ev");
        assert_eq!(world.archive(&source(EV), true).unwrap().deleted, 60, "from the same copy");
        assert!(world.restore(&source(EV)).unwrap_err().to_string().contains("GRANT INSERT"));
        grant("INSERT ON ev");
        assert_eq!(world.restore(&source(EV)).unwrap(), 60);
    });
}

/// Deleting by cascade asks for no right on the other table, and a user without one does not see
/// the constraint where the standard would have it.
#[test]
fn a_cascade_into_a_table_that_the_user_may_not_see_is_seen() {
    let Some(server) = Server::start(Kind::MariaDb) else { return };
    let mut world = extracted(&server);
    server.run(
        "DELETE FROM mysql.db WHERE db LIKE 'test%'; FLUSH PRIVILEGES; CREATE DATABASE `far-off`; \
         CREATE TABLE `far-off`.child (id int PRIMARY KEY, ev bigint, CONSTRAINT child_ev \
         FOREIGN KEY (ev) REFERENCES test.ev (id) ON DELETE SET NULL); \
         INSERT INTO `far-off`.child SELECT 1, MIN(id) FROM ev; \
         CREATE USER reader@'%'; GRANT SELECT, DELETE ON test.ev TO reader@'%'; \
         GRANT PROCESS ON *.* TO reader@'%'; \
         CREATE USER reader@localhost; GRANT SELECT, DELETE ON test.ev TO reader@localhost; \
         GRANT PROCESS ON *.* TO reader@localhost",
    );
    world.url = world.url.replace("root@", "reader@");
    let said = refused(&world, &server, ErrorKind::Conflict);
    assert!(said.contains("child_ev") && said.contains("off/child"), "{said}");
}

#[test]
fn foreign_keys_refuse_or_would_take_other_rows_along() {
    both(|server| {
        let world = extracted(server);
        let id = if server.kind == Kind::Postgres { "bigint" } else { "bigint(20)" };
        let create = |rule: &str| {
            server.run("DROP TABLE IF EXISTS child");
            server.run(&format!(
                "CREATE TABLE child (id int PRIMARY KEY, ev {id}, \
                 CONSTRAINT child_ev FOREIGN KEY (ev) REFERENCES ev (id){rule})"
            ));
            server.run("INSERT INTO child SELECT 1, MIN(id) FROM ev");
        };
        create(" ON DELETE CASCADE");
        let said = refused(&world, server, ErrorKind::Conflict);
        assert!(
            said.contains("child_ev") && said.contains("would change or delete rows"),
            "{said}"
        );
        create("");
        let said = refused(&world, server, ErrorKind::Conflict);
        assert!(said.contains("foreign key") && said.contains("child_ev"), "{said}");
        server.run("DROP TABLE child");
        assert_eq!(world.archive(&source(EV), true).unwrap().deleted, 60);
    });
}

#[test]
fn a_trigger_that_keeps_rows_is_noticed() {
    let Some(server) = Server::start(Kind::Postgres) else { return };
    let world = extracted(&server);
    server.run(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RETURN CASE WHEN OLD.sku = 'i70' THEN NULL ELSE OLD END; END $$; \
         CREATE TRIGGER keep BEFORE DELETE ON ev FOR EACH ROW EXECUTE FUNCTION keep()",
    );
    let error = world.archive(&source(EV), true).unwrap_err();
    assert!(error.to_string().contains("trigger"), "{error}");
    let there = server.client().texts("SELECT sku FROM ev WHERE sku = 'i70'");
    assert_eq!(there.len(), 1);
    server.run("DROP TRIGGER keep ON ev");
    world.archive(&source(EV), true).unwrap();
    assert_eq!(count(&server), 20);
    assert_eq!(world.restore(&source(EV)).unwrap(), 60);
}

#[test]
fn a_trigger_that_changes_rows_keeps_them_in_the_archive() {
    both(|server| {
        let world = extracted(server);
        world.archive(&source(EV), true).unwrap();
        match server.kind {
            Kind::Postgres => server.run(
                "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 NEW.qty := NEW.qty + 1; RETURN NEW; END $$; \
                 CREATE TRIGGER more BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION more()",
            ),
            Kind::MariaDb => server.run(
                "CREATE TRIGGER more BEFORE INSERT ON ev FOR EACH ROW SET NEW.qty = NEW.qty + 1",
            ),
        }
        let error = world.restore(&source(EV)).unwrap_err();
        assert!(error.to_string().contains("trigger"), "{error}");
        assert_eq!(count(server), 20);
        let error = world.archive(&source(EV), true).unwrap_err();
        assert!(error.to_string().contains("restore"), "{error}");
        server.run(match server.kind {
            Kind::Postgres => "DROP TRIGGER more ON ev",
            Kind::MariaDb => "DROP TRIGGER more",
        });
        assert_eq!(world.restore(&source(EV)).unwrap(), 60);
    });
}

#[test]
fn a_replica_is_not_deleted_from() {
    both(|server| {
        let mut world = extracted(server);
        let replica = server.replica();
        let rows = || {
            let there = "SELECT table_name FROM information_schema.tables WHERE table_name = 'ev'";
            let is_there = !replica.client().texts(there).is_empty();
            if is_there { count(&replica) } else { 0 }
        };
        until("the replica has the rows", || rows() == 80);
        world.url = replica.url.clone();
        let said = refused(&world, server, ErrorKind::Conflict);
        assert!(said.contains("replica"), "{said}");
    });
}

#[test]
fn tables_whose_rows_must_stay() {
    both(|server| {
        let world = extracted(server);
        let refuse = |config: &str, table: &str| {
            let source = source(config);
            world.archiver(&source, |archiver| archiver.run(table, true)).unwrap_err().to_string()
        };
        let user = "table = \"ev\"\nentity = \"users\"\nid = [\"id\"]\nwatermark = \"ts\"\n\
                    fields = { user = \"who\" }";
        assert!(refuse(user, "ev").contains("only events"));
        assert!(refuse(EV, "other").contains("tables of events are: ev"));
        let looking =
            format!("{EV}joins = [{{ table = \"ev\", as = \"e\", on = {{ id = \"id\" }} }}]");
        let said = refuse(&looking, "ev");
        assert!(said.contains("looks its rows up"), "{said}");
        let numbered = EV.replace("watermark = \"ts\"", "watermark = \"id\"");
        let said = refuse(&numbered, "ev");
        assert!(said.contains("archive_by"), "{said}");
        server.run(match server.kind {
            Kind::Postgres => "ALTER TABLE ev DROP CONSTRAINT ev_pkey",
            Kind::MariaDb => "ALTER TABLE ev MODIFY id bigint, DROP PRIMARY KEY",
        });
        let said = refused(&world, server, ErrorKind::Conflict);
        assert!(said.contains("no unique index"), "{said}");
    });
}

#[test]
fn tables_without_transactions_keep_their_rows() {
    let Some(server) = Server::start(Kind::MariaDb) else { return };
    let world = extracted(&server);
    server.run("ALTER TABLE ev ENGINE = MyISAM");
    let said = refused(&world, &server, ErrorKind::Conflict);
    assert!(said.contains("MyISAM"), "{said}");
}
