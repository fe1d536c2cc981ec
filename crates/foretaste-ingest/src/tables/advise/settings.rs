//! Settings of the server that hurt extraction. A rule speaks only when its setting exists on the
//! server that was found, and says how to change it there.

use std::collections::BTreeMap;

use foretaste_core::Result;
use serde::Serialize;

use crate::tables::connection::{Connection, Dialect, number, text};

const MIB: u64 = 1 << 20;
/// What both servers give their cache when nobody says otherwise.
const DEFAULT_CACHE: u64 = 128 * MIB;
/// A transaction or connection that rests while a page is stored should live so long.
const REST_S: u64 = 120;

/// A setting that should be another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name on the server.
    pub name: String,
    /// What it is.
    pub found: String,
    /// What it should be.
    pub wanted: String,
    /// How to change it on this server.
    pub how: String,
    /// What is bad about it.
    pub why: String,
}

/// What the rules look at.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Value by name, in seconds, bytes or words.
    values: BTreeMap<String, String>,
    /// Settings that take a restart.
    restart: Vec<String>,
    /// Bytes of the tables that are read, with their indexes.
    pub table_bytes: u64,
    /// Whether an index is to be built.
    pub building: bool,
    /// Whether an index that fits is not used.
    pub unused: bool,
    /// The source's own.
    pub statement_timeout_s: u64,
}

const MYSQL: [&str; 6] = [
    "innodb_buffer_pool_size",
    "innodb_old_blocks_time",
    "innodb_online_alter_log_max_size",
    "wait_timeout",
    "idle_transaction_timeout",
    "idle_readonly_transaction_timeout",
];

const POSTGRES: [&str; 9] = [
    "shared_buffers",
    "random_page_cost",
    "maintenance_work_mem",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "old_snapshot_threshold",
    "max_standby_streaming_delay",
    "hot_standby_feedback",
    "autovacuum",
];

impl Found {
    /// Asks the server.
    ///
    /// # Errors
    /// What it says.
    pub fn ask(connection: &mut Connection) -> Result<Self> {
        let mut found = Self::default();
        match connection.dialect() {
            Dialect::Postgres => found.ask_postgres(connection)?,
            Dialect::MySql => found.ask_mysql(connection)?,
        }
        Ok(found)
    }

    fn ask_postgres(&mut self, connection: &mut Connection) -> Result<()> {
        // In bytes and seconds, whatever the unit; -1 and the like mean "off".
        let sql = format!(
            "SELECT CAST(name AS text), CASE
               WHEN vartype <> 'integer' OR CAST(setting AS bigint) < 0 THEN setting
               WHEN unit = '8kB' THEN CAST(CAST(setting AS bigint) * 8192 AS text)
               WHEN unit = 'kB' THEN CAST(CAST(setting AS bigint) * 1024 AS text)
               WHEN unit = 'ms' THEN CAST(CAST(setting AS bigint) / 1000 AS text)
               WHEN unit = 'min' THEN CAST(CAST(setting AS bigint) * 60 AS text)
               ELSE setting END, context
             FROM pg_settings WHERE name IN ('{}')",
            POSTGRES.join("', '")
        );
        for row in connection.plain(&sql)? {
            let word =
                |at| Ok::<_, foretaste_core::Error>(text(&row, at)?.unwrap_or("").to_owned());
            if word(2)? == "postmaster" {
                self.restart.push(word(0)?);
            }
            self.values.insert(word(0)?, word(1)?);
        }
        let row = connection.plain("SELECT CAST(pg_is_in_recovery() AS text)")?;
        let standby = row.first().map(|row| text(row, 0)).transpose()?.flatten();
        if standby != Some("true") {
            self.values.remove("max_standby_streaming_delay");
        }
        Ok(())
    }

    fn ask_mysql(&mut self, connection: &mut Connection) -> Result<()> {
        let names = MYSQL.join("', '");
        let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('{names}')");
        for row in connection.plain(&sql)? {
            let word =
                |at| Ok::<_, foretaste_core::Error>(text(&row, at)?.unwrap_or("").to_owned());
            self.values.insert(word(0)?, word(1)?);
        }
        Ok(())
    }

    /// Bytes of a table with its indexes.
    ///
    /// # Errors
    /// What the server says.
    pub fn add_table(&mut self, connection: &mut Connection, table: &str) -> Result<()> {
        let row = match connection.dialect() {
            Dialect::Postgres => {
                let sql = "SELECT CAST(pg_total_relation_size(to_regclass($1)) AS text)";
                connection.row(sql, &[Dialect::Postgres.quoted_table(table)])?
            }
            Dialect::MySql => {
                let (schema, name) = table.split_once('.').unwrap_or(("", table));
                let sql = "SELECT CAST(SUM(data_length + index_length) AS CHAR)
                           FROM information_schema.tables
                           WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE())
                             AND table_name = ?";
                connection.row(sql, &[schema.to_owned(), name.to_owned()])?
            }
        };
        self.table_bytes += number::<u64>(&row, 0)?.unwrap_or(0);
        Ok(())
    }

    /// What should be changed.
    pub fn settings(&self, dialect: Dialect) -> Vec<Setting> {
        match dialect {
            Dialect::Postgres => self.of_postgres(),
            Dialect::MySql => self.of_mysql(),
        }
    }

    fn of_mysql(&self) -> Vec<Setting> {
        let mut all = Vec::new();
        let mut want = |name: &str, wanted: String, why: &str| {
            let how = format!(
                "SET GLOBAL {name} = {wanted}; and the same in the server's file, for restarts"
            );
            all.push(self.setting(name, &wanted, how, why));
        };
        let pool = "innodb_buffer_pool_size";
        if self.number(pool).is_some_and(|n| n <= DEFAULT_CACHE && n < self.table_bytes) {
            want(pool, self.cache(), CACHE);
        }
        if self.number("innodb_old_blocks_time") == Some(0) {
            let why = "a reconciliation scans whole tables; at 0 it drives out what others use";
            want("innodb_old_blocks_time", "1000".into(), why);
        }
        let log = "innodb_online_alter_log_max_size";
        if self.building && self.number(log).is_some_and(|n| n <= DEFAULT_CACHE) {
            let why = "rows that are written while an index is built are kept here; when it is \
                       full, the build fails at its end";
            want(log, (1024 * MIB).to_string(), why);
        }
        for name in
            ["wait_timeout", "idle_transaction_timeout", "idle_readonly_transaction_timeout"]
        {
            if self.is_short(name) {
                want(name, "600".into(), RESTS);
            }
        }
        all
    }

    fn of_postgres(&self) -> Vec<Setting> {
        let mut all = Vec::new();
        let mut want = |name: &str, wanted: &str, why: &str| {
            let then = match self.restart.iter().any(|other| other == name) {
                true => "then restart the server",
                false => "SELECT pg_reload_conf()",
            };
            let how = format!("ALTER SYSTEM SET {name} = '{wanted}'; {then}");
            all.push(self.setting(name, wanted, how, why));
        };
        let cache = "shared_buffers";
        if self.number(cache).is_some_and(|n| n <= DEFAULT_CACHE && n < self.table_bytes) {
            want(cache, &format!("{}MB", self.cache().parse::<u64>().unwrap_or(0) / MIB), CACHE);
        }
        if self.unused && self.real("random_page_cost").is_some_and(|cost| cost > 2.0) {
            let why = "an index that fits is not used, as the server takes its disk for one with \
                       heads; 1.1 suits flash";
            want("random_page_cost", "1.1", why);
        }
        let memory = "maintenance_work_mem";
        if self.building && self.number(memory).is_some_and(|n| n < 256 * MIB) {
            want(memory, "256MB", "building an index sorts in this memory, else on disk");
        }
        for name in ["idle_in_transaction_session_timeout", "transaction_timeout"] {
            if self.is_short(name) {
                want(name, "600s", RESTS);
            }
        }
        if self.number("old_snapshot_threshold").is_some() {
            let why = "a pass reads in one snapshot and fails when that becomes too old";
            want("old_snapshot_threshold", "-1", why);
        }
        let delay = "max_standby_streaming_delay";
        let feedback = self.values.get("hot_standby_feedback").is_some_and(|word| word == "on");
        if !feedback && self.number(delay).is_some_and(|n| n < self.statement_timeout_s) {
            let why = "the standby ends longer readings when its primary cleans up; a \
                       reconciliation is one";
            want("hot_standby_feedback", "on", why);
        }
        if self.values.get("autovacuum").is_some_and(|word| word == "off") {
            want("autovacuum", "on", "without it statistics grow old and indexes go unused");
        }
        all
    }

    fn setting(&self, name: &str, wanted: &str, how: String, why: &str) -> Setting {
        Setting {
            name: name.to_owned(),
            found: self.values.get(name).cloned().unwrap_or_default(),
            wanted: wanted.to_owned(),
            how,
            why: why.to_owned(),
        }
    }

    /// A whole number, where the setting exists and is not off.
    fn number(&self, name: &str) -> Option<u64> {
        self.values.get(name)?.parse().ok()
    }

    fn real(&self, name: &str) -> Option<f64> {
        self.values.get(name)?.parse().ok()
    }

    /// A time that is set and too short; 0 is never.
    fn is_short(&self, name: &str) -> bool {
        self.number(name).is_some_and(|s| (1..REST_S).contains(&s))
    }

    /// Enough for the tables that are read, in steps of the default.
    fn cache(&self) -> String {
        (self.table_bytes.div_ceil(DEFAULT_CACHE) * DEFAULT_CACHE).to_string()
    }
}

const CACHE: &str = "the cache has the size of a fresh installation and is smaller than the tables \
                     that are read; give it what they take, or half of the server's memory if that \
                     is less";
const RESTS: &str = "while a page is stored, its transaction rests; the server would end it";

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> Found {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let values = pairs.iter().map(own).collect();
        Found { values, statement_timeout_s: 300, ..Found::default() }
    }

    #[track_caller]
    fn check(dialect: Dialect, found: &Found, expected: &[(&str, &str)]) {
        let settings = found.settings(dialect);
        let pairs: Vec<_> = settings.iter().map(|s| (s.name.as_str(), s.wanted.as_str())).collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn what_is_not_there_or_good_is_not_mentioned() {
        let large = Found { table_bytes: 1 << 30, building: true, unused: true, ..found(&[]) };
        check(Dialect::MySql, &large, &[]);
        check(Dialect::Postgres, &large, &[]);
        let good = [("innodb_buffer_pool_size", "134217728"), ("wait_timeout", "28800")];
        check(Dialect::MySql, &found(&good), &[]);
        let good = [("shared_buffers", "134217728"), ("old_snapshot_threshold", "-1")];
        check(Dialect::Postgres, &found(&good), &[]);
        check(Dialect::Postgres, &found(&[("transaction_timeout", "0")]), &[]);
    }

    #[test]
    fn small_caches_and_short_rests() {
        let mysql = [
            ("innodb_buffer_pool_size", "134217728"),
            ("innodb_old_blocks_time", "0"),
            ("innodb_online_alter_log_max_size", "134217728"),
            ("idle_transaction_timeout", "30"),
        ];
        let large = Found { table_bytes: 300 * MIB, building: true, ..found(&mysql) };
        let expected = [
            ("innodb_buffer_pool_size", "402653184"),
            ("innodb_old_blocks_time", "1000"),
            ("innodb_online_alter_log_max_size", "1073741824"),
            ("idle_transaction_timeout", "600"),
        ];
        check(Dialect::MySql, &large, &expected);
    }

    #[test]
    fn postgres_says_what_takes_a_restart() {
        let values = [
            ("shared_buffers", "16777216"),
            ("random_page_cost", "4"),
            ("max_standby_streaming_delay", "30"),
            ("hot_standby_feedback", "off"),
        ];
        let restart = vec!["shared_buffers".to_owned()];
        let all = Found { table_bytes: 20 * MIB, unused: true, restart, ..found(&values) };
        let expected = [
            ("shared_buffers", "128MB"),
            ("random_page_cost", "1.1"),
            ("hot_standby_feedback", "on"),
        ];
        check(Dialect::Postgres, &all, &expected);
        let settings = all.settings(Dialect::Postgres);
        assert!(settings[0].how.ends_with("then restart the server"), "{settings:?}");
        assert!(settings[1].how.ends_with("pg_reload_conf()"), "{settings:?}");
    }
}
