//! Every type there and back: the table afterwards is the table before, to the bit.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::servers::Kind;
use crate::{Server, World, source};

const ROWS: usize = 400;

const TABLE: &str = r#"
table = "ev"
entity = "events"
kind = "order"
id = ["id", "part"]
watermark = "ts"
settle_s = 0
fields = { user = "who", item = "sku", time = "ts" }
"#;

const MARIADB: &str = "CREATE TABLE ev (
           id bigint unsigned, part varbinary(4), ts datetime(3), who varchar(20), sku varchar(20),
           t1 tinyint(1), t2 smallint, t3 mediumint unsigned, t4 int zerofill, t5 bigint, b bit(64),
           d1 decimal(12,4), d2 decimal(65,30), d3 decimal(5,0) zerofill, f float, g double,
           gm double(10,3), da date, ti time(6), st timestamp(6) NULL, y year, zero datetime,
           zd date, c char(9), l text CHARACTER SET latin1, w varchar(50) CHARACTER SET utf8mb4,
           j8 varchar(50) CHARACTER SET sjis, u2 varchar(50) CHARACTER SET ucs2, m longtext,
           x blob, y4 binary(4), e enum('a','b c','ü'), s set('p','q','r'), js json, u uuid,
           ip inet6, p point, v varchar(60) AS (CONCAT(who, '!')) STORED,
           PRIMARY KEY (id, part), KEY (ts, id))";

/// What other tools see in the file.
fn read(world: &World) -> RecordBatch {
    let file = fs_err::File::open(world.file("000001.parquet")).unwrap().into_parts().0;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    builder.with_batch_size(ROWS * 2).build().unwrap().next().unwrap().unwrap()
}

#[track_caller]
fn has_type(batch: &RecordBatch, column: &str, expected: &DataType) {
    let column = batch.schema().column_with_name(column).unwrap().1.clone();
    assert_eq!(column.data_type(), expected, "{column}");
}

/// Archives all rows, looks at the file, and puts them back.
fn there_and_back(server: &Server, look: impl Fn(&World, &RecordBatch)) {
    let (world, source) = (World::archiving(server), source(TABLE));
    assert_eq!(world.pass(&source).unwrap().outcome.added, ROWS as u64);
    let report = world.archive(&source, true).unwrap();
    assert_eq!((report.deleted, report.waiting), (ROWS as u64, 0));
    assert!(server.client().texts("SELECT who FROM ev").is_empty());
    look(&world, &read(&world));
    assert_eq!(world.restore(&source).unwrap(), ROWS as u64);
    assert_eq!(world.reconcile(&source).unwrap().differing, 0);
}

#[test]
fn mariadb() {
    let Some(server) = Server::start(Kind::MariaDb) else { return };
    server.run(MARIADB);
    server.run(&format!(
        "SET sql_mode = '', time_zone = '+00:00';
         INSERT INTO ev (id, part, ts, who, sku, t1, t2, t3, t4, t5, b, d1, d2, d3, f, g, gm, da, ti,
           st, y, zero, zd, c, l, w, j8, u2, m, x, y4, e, s, js, u, ip, p)
         SELECT 18446744073709551615 - seq % 7, UNHEX(HEX(seq)),
           UTC_TIMESTAMP(3) - INTERVAL (40 + seq % 50) DAY - INTERVAL (seq * 1001) * 1000 MICROSECOND,
           CONCAT('u', seq % 9), CONCAT('i', seq % 31), seq % 2, -32768 + seq, seq, seq,
           -9223372036854775808 + seq, CAST(18446744073709551615 - seq AS UNSIGNED),
           -12345.6789 + seq / 7, 12345678901234567890123456789012345.123456789 / seq, seq,
           (RAND(seq) - 0.5) * 1e38, (RAND(seq + 1) - 0.5) * POW(10, seq % 300), RAND(seq) * 1000,
           '1969-12-31' + INTERVAL seq * 20 DAY, SEC_TO_TIME(-3000000 + seq * 9999.123456),
           FROM_UNIXTIME(seq * 5000000.123456), 1901 + seq % 250,
           IF(seq % 5 = 0, '0000-00-00 00:00:00', '2020-02-29 01:02:03'),
           IF(seq % 6 = 0, '2020-00-10', '2020-02-29'), CONCAT(' x', seq),
           CONVERT(UNHEX(HEX(128 + seq % 128)) USING latin1),
           CONCAT('😀 it''s ü ', seq, CHAR(0), '\\\\ \\n'), 'テスト日本', 'ü日',
           REPEAT(CONCAT('ab', seq), 3000), RANDOM_BYTES(1 + seq % 90), UNHEX('00ff0000'),
           ELT(1 + seq % 3, 'a', 'b c', 'ü'), 'p,r', CONCAT('{{\"a\": [1,  ', seq, ']}}'), UUID(),
           '2001:db8::ff00:42:8329', POINT(seq, -0.1)
         FROM (SELECT CAST(seq AS SIGNED) AS seq FROM seq_1_to_{ROWS}) n;
         UPDATE ev SET t1 = NULL, t2 = NULL, t3 = NULL, t4 = NULL, t5 = NULL, b = NULL, d1 = NULL,
           d2 = NULL, d3 = NULL, f = NULL, g = NULL, gm = NULL, da = NULL, ti = NULL, st = NULL,
           y = NULL, zero = NULL, zd = NULL, c = NULL, l = NULL, w = NULL, j8 = NULL, u2 = NULL,
           m = NULL, x = NULL, y4 = NULL, e = NULL, s = NULL, js = NULL, u = NULL, ip = NULL,
           p = NULL WHERE t3 % 11 = 0;
         UPDATE ev SET c = '', w = '', x = '', m = '' WHERE t3 % 11 = 1;
         CREATE TABLE twin LIKE ev; INSERT INTO twin (
           id, part, ts, who, sku, t1, t2, t3, t4, t5, b, d1, d2, d3, f, g, gm, da, ti, st, y, zero,
           zd, c, l, w, j8, u2, m, x, y4, e, s, js, u, ip, p)
         SELECT id, part, ts, who, sku, t1, t2, t3, t4, t5, b, d1, d2, d3, f, g, gm, da, ti, st, y,
           zero, zd, c, l, w, j8, u2, m, x, y4, e, s, js, u, ip, p FROM ev",
    ));
    there_and_back(&server, |_, batch| {
        has_type(batch, "id", &DataType::UInt64);
        has_type(batch, "t5", &DataType::Int64);
        has_type(batch, "b", &DataType::UInt64);
        has_type(batch, "d1", &DataType::Decimal128(12, 4));
        has_type(batch, "d2", &DataType::Utf8);
        has_type(batch, "g", &DataType::Float64);
        has_type(batch, "da", &DataType::Date32);
        has_type(batch, "ts", &DataType::Timestamp(TimeUnit::Microsecond, None));
        has_type(batch, "st", &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
        // Zero dates have no place in a type.
        has_type(batch, "zero", &DataType::Utf8);
        has_type(batch, "zd", &DataType::Utf8);
        has_type(batch, "w", &DataType::Utf8);
        has_type(batch, "j8", &DataType::Binary);
        has_type(batch, "x", &DataType::Binary);
        let small = batch.column_by_name("t2").unwrap().as_primitive::<Int64Type>();
        let sum: i64 = small.iter().flatten().map(|n| n + 32_768).sum();
        let expected: i64 = (1..=ROWS as i64).filter(|n| n % 11 != 0).sum();
        assert_eq!((sum, small.null_count()), (expected, ROWS / 11));
        let zero = batch.column_by_name("zero").unwrap().as_string::<i32>();
        assert!(zero.iter().flatten().any(|text| text == "0000-00-00 00:00:00"));
    });
    same_as_before(&server);
}

/// The server compares, column by column, text by its bytes.
fn same_as_before(server: &Server) {
    let sums = server.client().texts(
        "SELECT CAST(COUNT(*) AS char(9)) FROM ev e JOIN twin t ON e.id = t.id AND e.part = t.part
         WHERE HEX(e.w) <=> HEX(t.w) AND HEX(e.j8) <=> HEX(t.j8) AND HEX(e.l) <=> HEX(t.l)
           AND HEX(e.u2) <=> HEX(t.u2) AND e.f <=> t.f AND e.g <=> t.g AND e.st <=> t.st
           AND HEX(e.p) <=> HEX(t.p) AND HEX(e.x) <=> HEX(t.x) AND e.v <=> t.v AND e.b <=> t.b",
    );
    assert_eq!(sums, [[ROWS.to_string()]]);
    // And all columns, as it compares them.
    server.run(
        "BEGIN NOT ATOMIC
           DECLARE n INT;
           SELECT COUNT(*) INTO n FROM (SELECT * FROM ev EXCEPT ALL SELECT * FROM twin) d;
           IF n > 0 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'rows differ'; END IF;
         END",
    );
}

#[test]
fn postgres() {
    let Some(server) = Server::start(Kind::Postgres) else { return };
    server.run(
        "CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE DOMAIN pos AS int CHECK (VALUE > 0);
         CREATE TYPE pair AS (a int, b text);
         CREATE TABLE ev (
           id bigint GENERATED ALWAYS AS IDENTITY, part uuid, ts timestamptz, who varchar(20),
           sku text, s smallint, i integer, n1 numeric(12,4), n2 numeric, n3 numeric(50,2), r real,
           d double precision, bo boolean, c char(9), vc varchar, by bytea, da date, ti time(3),
           tz timetz, t1 timestamp, t2 timestamptz(2), iv interval, j json, jb jsonb, m mood,
           p pos, ai int[], at text[][], ip inet, ma macaddr, mo money, bi bit(5), vb varbit,
           po point, ra int4range, ts2 tsvector, x xml, co pair, old date, far timestamptz,
           g int GENERATED ALWAYS AS (s + 1) STORED, PRIMARY KEY (id, part));
         CREATE INDEX ON ev (ts, id, part)",
    );
    server.run(&format!(
        "SELECT setseed(0.3);
         INSERT INTO ev (part, ts, who, sku, s, i, n1, n2, n3, r, d, bo, c, vc, by, da, ti, tz, t1, t2,
           iv, j, jb, m, p, ai, at, ip, ma, mo, bi, vb, po, ra, ts2, x, co, old, far)
         SELECT gen_random_uuid(), now() - (40 + n % 50) * interval '1 day' - n * interval '1.001 s',
           'u' || n % 9, 'i' || n % 31, -32768 + n, 2147483647 / n, -12345.6789 + n / 7.0,
           (n::numeric ^ 20) / 7, 10::numeric ^ 40 + n, ((random() - 0.5) * 1e38)::real,
           (random() - 0.5) * 10::double precision ^ (n % 300), n % 2 = 0, ' x' || n,
           '😀 it''s ü ' || n || E'\\n\\\\', decode(md5(n::text), 'hex'), date '1969-12-31' + n * 20,
           time '00:00' + n * interval '61.001 s', timetz '10:00+02' + n * interval '1 s',
           timestamp '1969-12-31 23:59:59.999999' + n * interval '100 days 1.000001 s',
           timestamptz '2000-01-01' + n * interval '1.01 s', n * interval '1 mon 2 days -3.5 s',
           ('{{\"a\":  [1, ' || n || '] }}')::json, ('{{\"b\": ' || n || '}}')::jsonb,
           CASE WHEN n % 2 = 0 THEN 'sad' ELSE 'it''s ok' END::mood, n, ARRAY[n, NULL, -n],
           ARRAY[ARRAY['a\"b', NULL], ARRAY['', 'NULL']], '10.0.0.1/24', '08:00:2b:01:02:03',
           n * 1.01, B'10110', B'101', point(n, -0.1), int4range(n, n + 5), 'a:1 fat:2',
           '<a>1</a>', ROW(n, 'x,y')::pair,
           CASE WHEN n % 5 = 0 THEN date '0044-03-15 BC' ELSE '2024-02-29' END,
           CASE WHEN n % 6 = 0 THEN 'infinity' ELSE now() END
         FROM generate_series(1, {ROWS}) AS s(n);
         UPDATE ev SET n2 = 'NaN', r = '-Infinity', d = 'NaN', n1 = 'NaN' WHERE id % 13 = 0;
         UPDATE ev SET s = NULL, i = NULL, n1 = NULL, n2 = NULL, n3 = NULL, r = NULL, d = NULL,
           bo = NULL, c = NULL, vc = NULL, by = NULL, da = NULL, ti = NULL, tz = NULL, t1 = NULL,
           t2 = NULL, iv = NULL, j = NULL, jb = NULL, m = NULL, p = NULL, ai = NULL, at = NULL,
           ip = NULL, ma = NULL, mo = NULL, bi = NULL, vb = NULL, po = NULL, ra = NULL, ts2 = NULL,
           x = NULL, co = NULL, old = NULL, far = NULL WHERE id % 11 = 0;
         UPDATE ev SET vc = '', by = '', ai = '{{}}' WHERE id % 11 = 1",
    ));
    let whole = "SELECT CAST(ev AS text) FROM ev ORDER BY id";
    let before = server.client().texts(whole);
    there_and_back(&server, |_, batch| {
        has_type(batch, "id", &DataType::Int64);
        has_type(batch, "bo", &DataType::Boolean);
        has_type(batch, "by", &DataType::Binary);
        has_type(batch, "da", &DataType::Date32);
        has_type(batch, "t2", &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
        // NaN, infinity and years before Christ have no place in a type.
        ["n1", "old", "far"].iter().for_each(|name| has_type(batch, name, &DataType::Utf8));
        has_type(batch, "ai", &DataType::Utf8);
        let moments =
            batch.column_by_name("t2").unwrap().as_primitive::<TimestampMicrosecondType>();
        let least = moments.iter().flatten().min().unwrap();
        assert_eq!(least, 946_684_801_010_000, "one second and ten milliseconds after 2000");
        let doubles = batch.column_by_name("d").unwrap().as_primitive::<Float64Type>();
        assert!(doubles.iter().flatten().any(f64::is_nan));
    });
    assert_eq!(server.client().texts(whole), before);
}

/// Money of a common type is a number in the file.
#[test]
fn decimals_are_numbers() {
    let Some(server) = Server::start(Kind::Postgres) else { return };
    server.run(
        "CREATE TABLE ev (id int, part int, ts timestamptz, who text, sku text,
           price numeric(10,2), PRIMARY KEY (id, part))",
    );
    server.run(&format!(
        "INSERT INTO ev SELECT n, 0, now() - interval '50 days', 'u', 'i', n * -1.25
         FROM generate_series(1, {ROWS}) AS s(n)",
    ));
    there_and_back(&server, |_, batch| {
        has_type(batch, "price", &DataType::Decimal128(10, 2));
        let prices = batch.column_by_name("price").unwrap().as_primitive::<Decimal128Type>();
        let sum: i128 = prices.iter().flatten().sum();
        assert_eq!(sum, -125 * (ROWS * (ROWS + 1) / 2) as i128);
    });
}
