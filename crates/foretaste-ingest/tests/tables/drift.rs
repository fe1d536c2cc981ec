//! Columns that go, come and change their type.

use foretaste_core::ErrorKind;

use crate::servers::Kind;
use crate::{EV, Server, World, items, source};

#[test]
fn postgres() {
    Server::start(Kind::Postgres).iter().for_each(check);
}

#[test]
fn mariadb() {
    Server::start(Kind::MariaDb).iter().for_each(check);
}

fn check(server: &Server) {
    server.create_ev();
    let (world, source) = (World::new(server), source(EV));
    let insert = |sku: &str| {
        let at = server.now(-1);
        server.run(&format!("INSERT INTO ev (ts, who, sku) VALUES ({at}, 'ann', '{sku}')"));
    };
    insert("a");
    world.pass(&source).unwrap();

    server.run("ALTER TABLE ev ADD COLUMN more int");
    insert("b");
    world.pass(&source).unwrap();
    assert_eq!(items(&world.store), ["a", "b"], "a new column is fine");

    server.run("ALTER TABLE ev RENAME COLUMN sku TO sku2");
    let error = world.pass(&source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("`sku`"), "{error}");
    assert_eq!(world.reconcile(&source).unwrap_err().kind(), ErrorKind::Conflict);
    server.run("ALTER TABLE ev RENAME COLUMN sku2 TO sku");

    let retype = match server.kind {
        Kind::Postgres => "ALTER TABLE ev ALTER COLUMN qty TYPE varchar(20)",
        Kind::MariaDb => "ALTER TABLE ev MODIFY qty varchar(20)",
    };
    server.run(retype);
    insert("c");
    let error = world.pass(&source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("`qty` was int"), "{error}");
    assert_eq!(items(&world.store), ["a", "b"], "nothing is read while a column is not understood");
    world.with_reader(&source, (true, &|| false), |reader| {
        reader.pass(&source.tables[0]).unwrap();
    });
    assert_eq!(items(&world.store), ["a", "b", "c"]);
    world.pass(&source).unwrap();

    server.run("ALTER TABLE ev DROP COLUMN who");
    let error = world.pass(&source).unwrap_err();
    assert!(error.to_string().contains("`who`"), "{error}");
    assert_eq!(items(&world.store).len(), 3, "what was learned stays");
}
