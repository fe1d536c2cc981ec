//! Servers to keep stores on, and looks behind the stores.

use std::cell::Cell;

use foretaste_store::{ServerOptions, ServerStore};

use crate::servers::{Client, Kind, Server};

/// A server, and databases on it that nobody has used.
pub(crate) struct Bench {
    pub(crate) server: Server,
    made: Cell<usize>,
}

impl Bench {
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        Some(Self { server: Server::start(kind)?, made: Cell::new(0) })
    }

    /// One of each kind that is installed.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Kind::Postgres, Kind::MariaDb].into_iter().filter_map(Self::start)
    }

    /// The address of a new database.
    pub(crate) fn url(&self) -> String {
        self.made.set(self.made.get() + 1);
        let url = self.last_url();
        let (_, name) = url.rsplit_once('/').unwrap();
        self.server.run(&format!("CREATE DATABASE {name}"));
        url
    }

    /// The address of the last database that was made.
    pub(crate) fn last_url(&self) -> String {
        let (server, _) = self.server.url.rsplit_once('/').unwrap();
        format!("{server}/store_{}", self.made.get())
    }

    pub(crate) fn store(&self) -> ServerStore {
        open(&self.url())
    }

    /// A connection to the last database that was made.
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.last_url()).unwrap()
    }

    /// How many rows a table of the store has.
    pub(crate) fn count(&self, table: &str) -> usize {
        let sql = format!("SELECT CAST(count(*) AS char(9)) FROM foretaste_{table}");
        self.client().texts(&sql)[0][0].trim().parse().unwrap()
    }

    /// How many partitions the events have.
    pub(crate) fn partitions(&self) -> usize {
        let sql = match self.server.kind {
            Kind::Postgres => {
                "SELECT CAST(inhrelid AS text) FROM pg_inherits \
                 WHERE inhparent = CAST('foretaste_events' AS regclass)"
            }
            Kind::MariaDb => {
                "SELECT CAST(partition_name AS char) FROM information_schema.partitions \
                 WHERE table_schema = DATABASE() AND table_name = 'foretaste_events'"
            }
        };
        self.client().texts(sql).len()
    }
}

pub(crate) fn open(url: &str) -> ServerStore {
    ServerStore::open(ServerOptions { url: url.to_owned(), ..Default::default() }).unwrap()
}
