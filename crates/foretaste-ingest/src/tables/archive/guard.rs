//! What has to be so before rows of a table may be deleted.

use std::collections::BTreeSet;

use foretaste_core::{Error, ErrorKind, Result};

use super::columns::schema_and_name;
use super::copy::database;
use super::target::Target;
use crate::tables::advise::index::indexes_of;
use crate::tables::connection::{Connection, Dialect, text};

/// Refuses what would delete the wrong rows, or more than is in the files.
///
/// # Errors
/// `Conflict` naming the table and what stands against it.
pub fn check(connection: &mut Connection, target: &Target<'_>) -> Result<()> {
    let refuse = |text: String| {
        let text = format!("rows of `{}` are not deleted: {text}", target.table);
        Err(Error::new(ErrorKind::Conflict, text))
    };
    if is_replica(connection)? {
        return refuse("the source's URL leads to a replica; give that of the primary".into());
    }
    if let Some(kind) = unfit_kind(connection, target.table)? {
        return refuse(format!("it is {kind}"));
    }
    let id: BTreeSet<&String> = target.aged.id.iter().collect();
    let indexes = indexes_of(connection, target.table)?;
    let is_unique = |index: &crate::tables::advise::index::Index| {
        index.unique && index.usable && index.columns.iter().all(|column| id.contains(column))
    };
    if !indexes.iter().any(is_unique) {
        let columns = target.aged.id.join(", ");
        return refuse(format!("no unique index says that ({columns}) identifies a row"));
    }
    if let Some((constraint, child)) = cascade(connection, target.table)? {
        return refuse(format!(
            "the foreign key {constraint} would change or delete rows of {child} with them, which \
             are in no file; make it RESTRICT or archive nothing here"
        ));
    }
    Ok(())
}

fn is_replica(connection: &mut Connection) -> Result<bool> {
    match connection.dialect() {
        Dialect::Postgres => {
            let row = connection.row("SELECT CAST(pg_is_in_recovery() AS text)", &[])?;
            Ok(text(&row, 0)? == Some("true"))
        }
        Dialect::MySql => {
            let row = connection.row("SELECT CAST(@@GLOBAL.read_only AS CHAR)", &[])?;
            // Without the right to see it nothing is known of replication.
            let follows = connection.plain("SHOW REPLICA STATUS").unwrap_or_default();
            let is_read_only = !matches!(text(&row, 0)?, Some("0" | "OFF") | None);
            Ok(is_read_only || !follows.is_empty())
        }
    }
}

/// What the table is, where deleting from it cannot be taken back.
fn unfit_kind(connection: &mut Connection, table: &str) -> Result<Option<String>> {
    let row = match connection.dialect() {
        Dialect::Postgres => {
            let sql = "SELECT CASE relkind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a view'
                              WHEN 'f' THEN 'a foreign table' END
                       FROM pg_class WHERE oid = to_regclass($1)";
            connection.row(sql, &[Dialect::Postgres.quoted_table(table)])?
        }
        Dialect::MySql => {
            let sql = "SELECT CASE WHEN t.table_type = 'VIEW' THEN 'a view'
                              WHEN e.transactions = 'YES' THEN NULL
                              ELSE CONCAT('kept by ', COALESCE(t.engine, 'nobody'),
                                          ', which knows no transactions') END
                       FROM information_schema.tables t
                       LEFT JOIN information_schema.engines e ON e.engine = t.engine
                       WHERE t.table_schema = COALESCE(NULLIF(?, ''), DATABASE())
                         AND t.table_name = ?";
            connection.row(sql, &schema_and_name(table))?
        }
    };
    Ok(text(&row, 0)?.map(str::to_owned))
}

/// A foreign key by which deleting a row changes rows of another table, and that table.
fn cascade(connection: &mut Connection, table: &str) -> Result<Option<(String, String)>> {
    let rows = match connection.dialect() {
        Dialect::Postgres => {
            let sql = "SELECT CAST(conname AS text), CAST(CAST(conrelid AS regclass) AS text)
                       FROM pg_constraint
                       WHERE confrelid = to_regclass($1) AND contype = 'f'
                         AND confdeltype IN ('c', 'n', 'd')";
            connection.rows(sql, &[Dialect::Postgres.quoted_table(table)])?
        }
        Dialect::MySql => {
            let [mut schema, name] = schema_and_name(table);
            if schema.is_empty() {
                schema = database(connection)?;
            }
            let whole = format!("{}/{}", in_file_name(&schema)?, in_file_name(&name)?);
            let sql = in_innodb(connection)?;
            connection.rows(&sql, &[whole])?
        }
    };
    let Some(row) = rows.first() else { return Ok(None) };
    let own = |at| Ok::<_, Error>(text(row, at)?.unwrap_or_default().to_owned());
    Ok(Some((own(0)?, own(1)?)))
}

/// The statement that asks InnoDB itself. The standard's views show no constraint of a table that
/// the user may not change, and a cascade asks for no right.
fn in_innodb(connection: &mut Connection) -> Result<String> {
    for view in ["innodb_sys_foreign", "innodb_foreign"] {
        // Type has a bit for each action; the first two are CASCADE and SET NULL on deleting.
        let sql = format!(
            "SELECT CAST(id AS CHAR), CAST(for_name AS CHAR) FROM information_schema.{view}
             WHERE LOWER(ref_name) = LOWER(?) AND type & 3 <> 0"
        );
        let seen = connection.plain(&format!("SELECT 1 FROM information_schema.{view} LIMIT 1"));
        match seen {
            Ok(_) => return Ok(sql),
            Err(error) if error.kind() == ErrorKind::Config => {
                let text = "GRANT PROCESS ON *.* to the user of the source's URL: only with it \
                            InnoDB tells which foreign keys would delete rows of other tables";
                return Err(Error::new(ErrorKind::Config, text).with_source(error));
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            // Servers have one or the other.
            Err(_) => {}
        }
    }
    let text = "the server does not tell which foreign keys refer to the table";
    Err(Error::new(ErrorKind::Conflict, text))
}

/// A name as InnoDB has it, which is that of a file.
fn in_file_name(name: &str) -> Result<String> {
    if !name.is_ascii() {
        let text = format!("the name {name} is not ASCII, so its foreign keys cannot be looked up");
        return Err(Error::new(ErrorKind::Conflict, text));
    }
    let shown = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '_' => c.to_string(),
        c => format!("@{:04x}", u32::from(c)),
    };
    Ok(name.chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        assert_eq!(in_file_name("my-shop_1").unwrap(), "my@002dshop_1");
        assert_eq!(in_file_name("a$b").unwrap(), "a@0024b");
        assert!(in_file_name("ü").is_err());
    }
}
