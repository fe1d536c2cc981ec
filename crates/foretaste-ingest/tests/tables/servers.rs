//! Private servers on free ports in temporary folders.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Row};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    port: u16,
    child: Child,
    dir: tempfile::TempDir,
}

const POSTGRES: &str = "/usr/lib/postgresql/15/bin";
const MARIADB: &str = "/usr/sbin/mariadbd";

impl Server {
    /// Starts one, or says that it is not installed.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        let binary = match kind {
            Kind::Postgres => format!("{POSTGRES}/postgres"),
            Kind::MariaDb => MARIADB.to_owned(),
        };
        if !Path::new(&binary).exists() {
            println!("skipped: no {binary}; install postgresql-15 and mariadb-server");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        initialise(kind, dir.path());
        Some(Self::on(kind, dir))
    }

    /// Starts a replica of this one, which has all that was done here since the start.
    pub(crate) fn replica(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        match self.kind {
            Kind::Postgres => copy(dir.path(), self.port),
            Kind::MariaDb => initialise(self.kind, dir.path()),
        }
        let replica = Self::on(self.kind, dir);
        if self.kind == Kind::MariaDb {
            replica.run(&format!(
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, \
                 MASTER_USER = 'root', MASTER_USE_GTID = slave_pos; START SLAVE",
                self.port
            ));
        }
        replica
    }

    /// The replica hears of what its primary does, and does not do it.
    pub(crate) fn hold(&self) {
        self.run(match self.kind {
            Kind::Postgres => "SELECT pg_wal_replay_pause()",
            Kind::MariaDb => "STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 3600; START SLAVE",
        });
    }

    /// It goes on.
    pub(crate) fn release(&self) {
        self.run(match self.kind {
            Kind::Postgres => "SELECT pg_wal_replay_resume()",
            Kind::MariaDb => "STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 0; START SLAVE",
        });
    }

    /// Whether this replica has received all that its primary has written, done or not.
    pub(crate) fn has_heard_all_of(&self, primary: &Self) -> bool {
        let (mut own, mut theirs) = (self.client(), primary.client());
        match self.kind {
            Kind::Postgres => {
                let heard = own.texts("SELECT CAST(pg_last_wal_receive_lsn() AS text)");
                heard == theirs.texts("SELECT CAST(pg_current_wal_flush_lsn() AS text)")
            }
            Kind::MariaDb => {
                let heard = own.field("SHOW SLAVE STATUS", "Gtid_IO_Pos");
                [heard] == *theirs.texts("SELECT CAST(@@gtid_binlog_pos AS char(99))")[0]
            }
        }
    }

    /// On a folder with data.
    fn on(kind: Kind, dir: tempfile::TempDir) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = spawn(kind, dir.path(), port);
        let url = match kind {
            Kind::Postgres => format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            Kind::MariaDb => format!("mysql://root@127.0.0.1:{port}/test"),
        };
        let server = Self { kind, url, port, child, dir };
        server.wait();
        server
    }

    /// SIGKILL, then a start on the same data.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.kind, self.dir.path(), self.port);
        self.wait();
    }

    /// Runs statements on a connection of their own.
    pub(crate) fn run(&self, sql: &str) {
        self.client().run(sql).unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.url).unwrap()
    }

    fn wait(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            match Client::connect(&self.url) {
                Ok(_) => return,
                Err(error) if Instant::now() > until => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn initialise(kind: Kind, dir: &Path) {
    let data = dir.join("data");
    let mut command = match kind {
        Kind::Postgres => {
            let mut command = as_postgres(dir, &format!("{POSTGRES}/initdb"));
            let words = ["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "-D"];
            command.arg("--locale=C").args(words).arg(&data);
            command
        }
        Kind::MariaDb => {
            let mut command = Command::new("/usr/bin/mariadb-install-db");
            command.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
            command.arg("--user=root").arg(format!("--datadir={}", data.display()));
            command.env("TMPDIR", own_temporary(dir));
            command
        }
    };
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The folder of a standby of the server on `port`.
fn copy(dir: &Path, port: u16) {
    let mut command = as_postgres(dir, &format!("{POSTGRES}/pg_basebackup"));
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres", "-R", "--no-sync"]);
    command.args(["--checkpoint=fast", "-D"]).arg(dir.join("data"));
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn spawn(kind: Kind, dir: &Path, port: u16) -> Child {
    let data = dir.join("data");
    let mut command = match kind {
        Kind::Postgres => {
            let mut command = as_postgres(dir, &format!("{POSTGRES}/postgres"));
            command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
            let settings = ["fsync=off", "shared_buffers=16MB", "max_connections=40"];
            settings.iter().for_each(|setting| {
                command.args(["-c", setting]);
            });
            command.args(["-k", &dir.display().to_string()]);
            command
        }
        Kind::MariaDb => {
            let mut command = Command::new(MARIADB);
            command.args(["--no-defaults", "--user=root", "--log-bin=changes"]);
            command.arg(format!("--server-id={port}"));
            command.args(["--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2"]);
            command.arg(format!("--datadir={}", data.display()));
            command.arg(format!("--port={port}"));
            command.arg(format!("--socket={}", dir.join("s.sock").display()));
            command.env("TMPDIR", own_temporary(dir));
            command
        }
    };
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A starting MariaDB removes every `#sql*` file of its temporary folder, those of others too.
fn own_temporary(dir: &Path) -> PathBuf {
    let temporary = dir.join("tmp");
    fs_err::create_dir_all(&temporary).unwrap();
    temporary
}

/// PostgreSQL does not run as root; its own user does not own our folders.
fn as_postgres(dir: &Path, binary: &str) -> Command {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    if id.trim_ascii() != b"0" {
        return Command::new(binary);
    }
    Command::new("chown").arg("postgres").arg(dir).status().unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--", binary]);
    command.current_dir("/");
    command
}

/// A connection for the tests' own statements.
pub(crate) struct Client {
    runtime: tokio::runtime::Runtime,
    wire: Wire,
}

enum Wire {
    Postgres(sqlx::PgConnection),
    MariaDb(sqlx::MySqlConnection),
}

impl Client {
    pub(crate) fn connect(url: &str) -> Result<Self, sqlx::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let wire = if url.starts_with("postgres") {
            Wire::Postgres(runtime.block_on(sqlx::PgConnection::connect(url))?)
        } else {
            Wire::MariaDb(runtime.block_on(sqlx::MySqlConnection::connect(url))?)
        };
        Ok(Self { runtime, wire })
    }

    pub(crate) fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &mut self.wire {
            Wire::Postgres(wire) => self.runtime.block_on(query.execute(wire)).map(|_| ()),
            Wire::MariaDb(wire) => self.runtime.block_on(query.execute(wire)).map(|_| ()),
        }
    }

    /// The numbers of all connections to its database but itself.
    pub(crate) fn others(&mut self) -> Vec<String> {
        let sql = match self.wire {
            Wire::Postgres(_) => {
                "SELECT CAST(pid AS text) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()"
            }
            Wire::MariaDb(_) => {
                "SELECT CAST(id AS char(20)) FROM information_schema.processlist \
                 WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            }
        };
        self.texts(sql).into_iter().map(|mut row| row.remove(0)).collect()
    }

    /// Ends them.
    pub(crate) fn end_others(&mut self) {
        for id in self.others() {
            let end = match self.wire {
                Wire::Postgres(_) => format!("SELECT pg_terminate_backend({id})"),
                Wire::MariaDb(_) => format!("KILL {id}"),
            };
            // One may have ended by itself.
            let _ = self.run(&end);
        }
    }

    /// Rows of texts; all columns must be cast to texts.
    pub(crate) fn texts(&mut self, sql: &str) -> Vec<Vec<String>> {
        let sql = AssertSqlSafe(sql.to_owned());
        match &mut self.wire {
            Wire::Postgres(wire) => {
                let rows = self.runtime.block_on(sqlx::query(sql).fetch_all(wire)).unwrap();
                let text =
                    |row: &sqlx::postgres::PgRow| (0..row.len()).map(|i| row.get(i)).collect();
                rows.iter().map(text).collect()
            }
            Wire::MariaDb(wire) => {
                let rows = self.runtime.block_on(sqlx::query(sql).fetch_all(wire)).unwrap();
                let text =
                    |row: &sqlx::mysql::MySqlRow| (0..row.len()).map(|i| row.get(i)).collect();
                rows.iter().map(text).collect()
            }
        }
    }

    /// A text column of the only row of a statement of MariaDB.
    fn field(&mut self, sql: &str, column: &str) -> String {
        let Wire::MariaDb(wire) = &mut self.wire else { panic!("only MariaDB has it") };
        let sql = AssertSqlSafe(sql.to_owned());
        self.runtime.block_on(sqlx::query(sql).fetch_one(wire)).unwrap().get(column)
    }
}

impl Server {
    /// The table that most tests use.
    pub(crate) fn create_ev(&self) {
        let ts = match self.kind {
            Kind::Postgres => "id bigserial PRIMARY KEY, ts timestamptz",
            Kind::MariaDb => "id bigint PRIMARY KEY AUTO_INCREMENT, ts datetime(6)",
        };
        self.run("DROP TABLE IF EXISTS ev");
        self.run(&format!(
            "CREATE TABLE ev ({ts}, who varchar(200), sku varchar(200), qty int DEFAULT 1, \
             gone int DEFAULT 0)"
        ));
        self.run("CREATE INDEX ev_ts ON ev (ts, id)");
    }

    /// Rows 1 to `n` of it, one every 20 seconds until a minute ago.
    pub(crate) fn fill_ev(&self, n: usize) {
        let (rows, row, text) = match self.kind {
            Kind::Postgres => (format!("generate_series(1, {n}) AS s(n)"), "n", "text"),
            Kind::MariaDb => (format!("seq_1_to_{n}"), "seq", "CHAR"),
        };
        let ago = format!("(60 + ({n} - {row}) * 20)");
        let ts = match self.kind {
            Kind::Postgres => format!("now() - {ago} * interval '1 second'"),
            Kind::MariaDb => format!("UTC_TIMESTAMP(6) - INTERVAL {ago} SECOND"),
        };
        let name = |what, of| format!("CONCAT('{what}', CAST({row} % {of} AS {text}))");
        let (who, sku) = (name("u", 97), name("i", 53));
        self.run(&format!("INSERT INTO ev (ts, who, sku) SELECT {ts}, {who}, {sku} FROM {rows}"));
    }

    /// The server's present less or more some seconds.
    pub(crate) fn now(&self, seconds: i64) -> String {
        match self.kind {
            Kind::Postgres => format!("now() + interval '{seconds} seconds'"),
            Kind::MariaDb => format!("UTC_TIMESTAMP(6) + INTERVAL {seconds} SECOND"),
        }
    }
}
