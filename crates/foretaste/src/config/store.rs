//! `[store]`: where events, items and users are kept.

use std::time::Duration;

use foretaste_core::{Error, ErrorKind, Result};
use foretaste_store::ServerOptions;
use serde::{Deserialize, Serialize};

/// `[store]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// Environment variable that holds the URL of a database.
    pub url_env: String,
    /// File that holds it.
    pub url_file: String,
    /// Environment variable that holds the URL of a replica of it.
    pub replica_url_env: String,
    /// File that holds it.
    pub replica_url_file: String,
    /// How long a read waits for the replica to have what the primary has.
    pub replica_max_lag_s: u64,
    /// Connections at most.
    pub connections: u32,
    /// Connections that are there before they are needed.
    pub min_connections: u32,
    /// Wait for a free connection.
    pub acquire_timeout_s: u64,
    /// Wait for what another transaction holds.
    pub lock_timeout_s: u64,
    /// Idle time after which a connection is closed.
    pub idle_timeout_s: u64,
    /// Age at which a connection is closed.
    pub max_lifetime_s: u64,
    /// Months that are kept; 0 = all.
    pub retention_months: u32,
}

impl StoreSection {
    /// Checks that the settings make sense.
    ///
    /// # Errors
    /// `Config` naming the key.
    pub fn check(&self) -> Result<()> {
        let [primary, replica] = self.addresses();
        for (prefix, (variable, path)) in [("", primary), ("replica_", replica)] {
            if !variable.is_empty() && !path.is_empty() {
                return Err(wrong(format!(
                    "give `store.{prefix}url_env` or `store.{prefix}url_file`, not both"
                )));
            }
        }
        if replica != ("", "") && primary == ("", "") {
            return Err(wrong(
                "`store` names a replica and no server that it is one of".to_owned(),
            ));
        }
        let bounds = [
            ("replica_max_lag_s", self.replica_max_lag_s, 1, 3_600),
            ("connections", u64::from(self.connections), 2, 1_000),
            ("min_connections", u64::from(self.min_connections), 0, u64::from(self.connections)),
            ("acquire_timeout_s", self.acquire_timeout_s, 1, 3_600),
            ("lock_timeout_s", self.lock_timeout_s, 1, 3_600),
            ("idle_timeout_s", self.idle_timeout_s, 1, 86_400),
            ("max_lifetime_s", self.max_lifetime_s, 1, 86_400),
            ("retention_months", u64::from(self.retention_months), 0, 1_200),
        ];
        match bounds.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
            None => Ok(()),
            Some((key, value, least, most)) => Err(wrong(format!(
                "`store.{key}` is {value}; it must be within {least} and {most}"
            ))),
        }
    }

    /// The server to keep everything on, where there is one.
    ///
    /// # Errors
    /// `Config` when the variable is not set, `Io` when the file cannot be read.
    pub fn server(&self) -> Result<Option<ServerOptions>> {
        let [primary, replica] = self.addresses();
        let Some(primary) = url(primary)? else { return Ok(None) };
        let months = self.retention_months;
        Ok(Some(ServerOptions {
            url: primary,
            replica_url: url(replica)?,
            replica_max_lag: Duration::from_secs(self.replica_max_lag_s),
            connections: self.connections,
            min_connections: self.min_connections,
            acquire_timeout: Duration::from_secs(self.acquire_timeout_s),
            lock_timeout: Duration::from_secs(self.lock_timeout_s),
            idle_timeout: Duration::from_secs(self.idle_timeout_s),
            max_lifetime: Duration::from_secs(self.max_lifetime_s),
            retention_months: (months > 0).then_some(months),
            ..ServerOptions::default()
        }))
    }

    /// Whether it is on a server.
    pub fn is_on_server(&self) -> bool {
        self.addresses()[0] != ("", "")
    }

    /// Variable and file of the primary's URL, and of the replica's.
    fn addresses(&self) -> [(&str, &str); 2] {
        [(&self.url_env, &self.url_file), (&self.replica_url_env, &self.replica_url_file)]
            .map(|(variable, path)| (variable.as_str(), path.as_str()))
    }
}

/// What a variable or a file holds.
#[allow(clippy::disallowed_methods)] // this is the binary
fn url(from: (&str, &str)) -> Result<Option<String>> {
    let url = match from {
        ("", "") => return Ok(None),
        ("", path) => fs_err::read_to_string(path)?,
        (variable, _) => std::env::var(variable).map_err(|_| {
            wrong(format!("store: the environment has no {variable}; set it to a URL"))
        })?,
    };
    Ok(Some(url.trim().to_owned()))
}

fn wrong(text: String) -> Error {
    Error::new(ErrorKind::Config, text)
}
