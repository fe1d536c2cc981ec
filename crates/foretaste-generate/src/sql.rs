//! A generated marketplace as SQL, in the shape of schemas that real installations have: for tests
//! and tutorials of reading databases. Impressions are left out, as such databases have none.

mod marketplace;
mod matomo;
mod script;

use std::path::Path;

use foretaste_core::{Error, ErrorKind, Event, Progress, Result};

use crate::{Spec, generate};
use script::Script;

/// Whose tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// The log tables of Matomo with e-commerce; for MySQL and MariaDB, as Matomo itself.
    Matomo,
    /// `user`, `dataset`, `dataset_image`, `order_tab`, `api_order`.
    Marketplace,
}

/// Which server the script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL or MariaDB.
    MySql,
    /// PostgreSQL.
    Postgres,
}

/// Turns the marketplace into the rows of one schema.
trait Shape {
    /// Tables, and all rows that are no events.
    fn begin(&mut self, out: &mut Script) -> Result<()>;
    /// The rows of an event.
    fn event(&mut self, event: &Event, out: &mut Script) -> Result<()>;
    /// What is only known at the end.
    fn end(&mut self, out: &mut Script) -> Result<()>;
}

/// Writes a script that drops, creates and fills the tables of `schema`.
///
/// # Errors
/// `Invalid` for a spec out of bounds, `Config` for a schema that the dialect does not have, `Io`
/// when the disk refuses.
///
/// # Cost
/// About 3 us and 150 bytes an event.
pub fn write_sql(
    spec: &Spec,
    (schema, dialect): (Schema, Dialect),
    path: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    spec.check()?;
    let mut shape: Box<dyn Shape + Send> = match (schema, dialect) {
        (Schema::Matomo, Dialect::MySql) => Box::new(matomo::Matomo::new(spec)),
        (Schema::Matomo, Dialect::Postgres) => {
            let text = "Matomo runs on MySQL and MariaDB; leave the dialect out";
            return Err(Error::new(ErrorKind::Config, text));
        }
        (Schema::Marketplace, _) => Box::new(marketplace::Marketplace::new(spec, dialect)),
    };
    let mut out = Script::create(path, dialect)?;
    shape.begin(&mut out)?;
    progress.start("generating events", Some(spec.events), "events");
    let done = generate(spec, &mut |batch| {
        progress.advance(batch.len() as u64);
        let mut events = (0..batch.len()).map(|at| batch.get(at));
        events.try_for_each(|event| match event.kind.as_str() {
            "impression" => Ok(()),
            _ => shape.event(&event, &mut out),
        })
    });
    progress.finish();
    done?;
    shape.end(&mut out)?;
    out.finish()
}
