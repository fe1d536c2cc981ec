//! Columns of all kinds: what is written as text here is what the server would have written, so
//! that digests and buckets that were computed here are those that it computes.

use crate::servers::Kind;
use crate::{Server, World, source};

const POSTGRES: &str = "
    CREATE TABLE kinds (id smallint PRIMARY KEY, w timestamptz, a integer, b bigint,
        c timestamp(0), d date, e numeric(9,3), f real, g boolean, h varchar(9), i varchar, j char(5),
        k text[], l bytea, m jsonb);
    INSERT INTO kinds VALUES
      (1, '2020-02-29 10:11:12.345678+02', -7, 9223372036854775807, '1999-12-31 23:59:59', '2001-02-03',
       12.5, 0.1, true, 'é€😀', 'a b', 'x', '{a,NULL,b}', '\\x00ff', '{\"a\": 1}'),
      (-2, '1969-12-31 23:59:59.9', -2147483648, -9223372036854775808, '0044-03-15 BC', 'infinity',
       -0.001, 'NaN', false, '', NULL, '', '{}', '', '[]'),
      (3, '-infinity', 0, 0, '-infinity', '4713-01-01 BC', 0, 1e30, NULL, ' x ', chr(31), ' ', NULL, NULL,
       NULL),
      (4, '0044-03-15 BC', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
      (5, '0001-01-01 00:00:00.000001+00', 1, 1, '12345-06-07 08:09:10', '9999-12-31', 1, 1, true, 'x',
       repeat('ü', 70000), 'abcde', '{1}', '\\x61', '1')";

const MARIADB: &str = "
    CREATE TABLE kinds (id int unsigned PRIMARY KEY, w datetime(3), a tinyint, b bigint unsigned,
        c timestamp NULL, d date, e decimal(9,3), f float, g mediumint, h varchar(9) CHARACTER SET latin1,
        i text, j char(5), k binary(4), l varbinary(9), m int(5) zerofill, n enum('x','y'), o year,
        p datetime, q time(2), r smallint, s varchar(20) CHARACTER SET ucs2);
    SET sql_mode = '';
    INSERT INTO kinds VALUES
      (1, '2020-02-29 10:11:12.345', -7, 18446744073709551615, '1999-12-31 23:59:59', '2001-02-03', 12.5,
       0.1, -8388608, 'é', 'a b', 'x', x'00ff10', x'00ff', 42, 'y', 2020, '9999-12-31 23:59:59', '-1:02:03.4',
       -32768, 'é'),
      (4294967295, '1969-12-31 23:59:59.999', 127, 0, '2038-01-19 03:14:07', '0000-00-00', -0.001, 1e30, 0,
       '', '', ' ', '', '', 0, 'x', 1901, '0000-00-00', '838:59:59', 0, ''),
      (3, '0000-00-00', 0, 1, NULL, '2020-00-10', 0, 0, 1, ' x ', CHAR(31), 'abcde', 'abcd', 'x', 99999, 'x',
       2155, '2020-00-10', '0', 1, ' '),
      (4, '2020-00-10 01:02:03', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, NULL, NULL),
      (5, '0000-01-10 10:00:00', 1, 1, '1970-01-01 00:00:01', '0001-01-01', 1, 1, 1, 'x', REPEAT('ü', 9000),
       'é', 'a', 'b', 1, 'y', 0, '0001-01-01', '1:1:1', 1, 'x')";

#[test]
fn postgres() {
    Server::start(Kind::Postgres).iter().for_each(|server| check(server, POSTGRES, 'm'));
}

#[test]
fn mariadb() {
    Server::start(Kind::MariaDb).iter().for_each(|server| check(server, MARIADB, 's'));
}

fn check(server: &Server, table: &str, last: char) {
    server.run(table);
    let fields: Vec<String> =
        ('a'..=last).map(|column| format!("{column} = \"{column}\"")).collect();
    let source = source(&format!(
        "table = \"kinds\"\nentity = \"items\"\nid = [\"id\"]\nwatermark = \"w\"\n\
         fields = {{ item = \"id\", moment = \"w\", {} }}",
        fields.join(", ")
    ));
    let world = World::new(server);
    let read = world.pass(&source).unwrap();
    assert_eq!(read.outcome.rows, 5);
    let found = world.reconcile(&source).unwrap();
    assert_eq!((found.differing, found.outcome.rows), (0, 0), "{:?}", server.kind);
    server.run("UPDATE kinds SET a = 5 WHERE id = 1");
    let found = world.reconcile(&source).unwrap();
    assert_eq!((found.differing, found.outcome.changed), (1, 1), "a difference is found");
}
