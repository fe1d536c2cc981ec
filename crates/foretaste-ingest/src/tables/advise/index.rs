//! Indexes: which there are, which one a table's pages need, and how to build it while others
//! write.

use std::collections::BTreeMap;

use foretaste_core::Result;

use crate::tables::config::{Condition, Join, TableConfig};
use crate::tables::connection::{Cells, Connection, Dialect, text};

/// The longest name that both servers take.
const NAME_BYTES: usize = 63;

/// An index of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its columns in order, ascending.
    pub columns: Vec<String>,
    /// Whether no two rows have the same values.
    pub unique: bool,
    /// False while or because it was not built to its end, or queries must not use it.
    pub usable: bool,
}

/// The whole-row indexes of a table that keep order: no partial ones, no expressions, no prefixes.
///
/// # Errors
/// What the server says.
pub fn indexes_of(connection: &mut Connection, table: &str) -> Result<Vec<Index>> {
    let rows = match connection.dialect() {
        Dialect::Postgres => connection.rows(POSTGRES, &[Dialect::Postgres.quoted_table(table)])?,
        Dialect::MySql => {
            let (schema, name) = table.split_once('.').unwrap_or(("", table));
            let invisible = has_column(connection, "is_visible")?;
            let ignored = has_column(connection, "ignored")?;
            let usable = match (invisible, ignored) {
                (true, _) => "is_visible = 'YES'",
                (_, true) => "ignored = 'NO'",
                _ => "TRUE",
            };
            connection.rows(&mysql(usable), &[schema.to_owned(), name.to_owned()])?
        }
    };
    let mut all = BTreeMap::new();
    for row in &rows {
        add(&mut all, row)?;
    }
    let mut all: Vec<Index> = all.into_values().flatten().collect();
    if connection.dialect() == Dialect::MySql {
        extend_by_primary_key(&mut all);
    }
    Ok(all)
}

/// Name, column, unique, usable, and whether the column is whole and ascending; by position.
const POSTGRES: &str = "
    SELECT CAST(c.relname AS text), CAST(a.attname AS text), CAST(i.indisunique AS text),
           CAST(i.indisvalid AND i.indisready AS text),
           CAST(i.indpred IS NULL AND am.amname = 'btree' AND k.key <> 0
                AND i.indoption[k.place - 1] = 0 AS text)
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
    CROSS JOIN unnest(CAST(i.indkey AS smallint[])) WITH ORDINALITY AS k(key, place)
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.key
    WHERE i.indrelid = to_regclass($1) AND k.place <= i.indnkeyatts
    ORDER BY c.relname, k.place";

fn mysql(usable: &str) -> String {
    format!(
        "SELECT CAST(index_name AS CHAR), CAST(column_name AS CHAR),
                IF(non_unique = 0, 'true', 'false'), IF({usable}, 'true', 'false'),
                IF(index_type = 'BTREE' AND sub_part IS NULL AND collation = 'A', 'true', 'false')
         FROM information_schema.statistics
         WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?
         ORDER BY index_name, seq_in_index"
    )
}

/// MySQL 8 and MariaDB hide indexes from the optimiser by columns of different names.
fn has_column(connection: &mut Connection, column: &str) -> Result<bool> {
    let sql = "SELECT CAST(COUNT(*) AS CHAR) FROM information_schema.columns
               WHERE table_schema = 'information_schema' AND LOWER(table_name) = 'statistics'
                 AND LOWER(column_name) = ?";
    let row = connection.row(sql, &[column.to_owned()])?;
    Ok(text(&row, 0)? != Some("0"))
}

/// Adds a column to its index; one that keeps no order takes the index out.
fn add(all: &mut BTreeMap<String, Option<Index>>, row: &Cells) -> Result<()> {
    let word = |at| Ok::<_, foretaste_core::Error>(text(row, at)?.unwrap_or_default().to_owned());
    let name = word(0)?;
    let index = all.entry(name.clone()).or_insert_with(|| Some(Index { name, ..Index::default() }));
    if word(4)? != "true" {
        *index = None;
    }
    if let Some(index) = index {
        index.columns.push(word(1)?);
        (index.unique, index.usable) = (word(2)? == "true", word(3)? == "true");
    }
    Ok(())
}

/// InnoDB's indexes end with the primary key, named or not.
fn extend_by_primary_key(all: &mut [Index]) {
    let primary = all.iter().find(|index| index.name == "PRIMARY");
    let Some(primary) = primary.map(|index| index.columns.clone()) else { return };
    for index in all {
        let missing = primary.iter().filter(|c| !index.columns.contains(c));
        let missing: Vec<_> = missing.cloned().collect();
        index.columns.extend(missing);
    }
}

/// The columns that an index for the pages of `table` begins with: those that `where` holds to
/// one value, then watermark and ids.
pub fn columns_for_pages(table: &TableConfig) -> Vec<String> {
    let key: Vec<&String> = table.key().collect();
    let held = held(table).filter(|column| !key.contains(column));
    held.chain(key.iter().copied()).cloned().collect()
}

/// Whether pages come in the order of this index.
pub fn fits_pages(index: &Index, table: &TableConfig) -> bool {
    let key: Vec<&String> = table.key().collect();
    let held: Vec<&String> = held(table).collect();
    let own = index.columns.iter();
    let rest: Vec<&String> =
        own.skip_while(|c| held.contains(c) && !key.contains(c)).take(key.len()).collect();
    index.usable && (rest == key || (index.unique && !rest.is_empty() && key.starts_with(&rest)))
}

fn held(table: &TableConfig) -> impl Iterator<Item = &String> {
    let is = |(_, condition): &(&String, &Condition)| matches!(condition, Condition::Is(_));
    table.filter.iter().filter(is).map(|(column, _)| column)
}

/// Whether a row of a lookup is found by this index.
pub fn fits_lookup(index: &Index, join: &Join) -> bool {
    let n = join.on.len();
    let begins_with_all = index.columns.len() >= n
        && index.columns[..n].iter().all(|column| join.on.contains_key(column));
    let is_one = index.unique && index.columns.iter().all(|column| join.on.contains_key(column));
    index.usable && (begins_with_all || is_one)
}

/// The name of an index of ours.
pub fn name_of(table: &str, columns: &[String]) -> String {
    let name = format!("foretaste_{}_{}", table.replace('.', "_"), columns.join("_"));
    if name.len() <= NAME_BYTES {
        return name;
    }
    format!("foretaste_{}", &blake3::hash(name.as_bytes()).to_hex()[..16])
}

/// The statement that builds an index while others read and write.
pub fn online_ddl(dialect: Dialect, table: &str, (name, columns): (&str, &[String])) -> String {
    let (table, name) = (dialect.quoted_table(table), dialect.quoted(name));
    let columns: Vec<_> = columns.iter().map(|column| dialect.quoted(column)).collect();
    let columns = columns.join(", ");
    match dialect {
        Dialect::Postgres => format!("CREATE INDEX CONCURRENTLY {name} ON {table} ({columns})"),
        Dialect::MySql => format!(
            "ALTER TABLE {table} ADD INDEX {name} ({columns}), ALGORITHM=INPLACE, LOCK=NONE"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(filter: &str) -> TableConfig {
        let text = format!(
            "table = \"ev\"\nentity = \"events\"\nkind = \"view\"\nid = [\"id\"]\n\
             watermark = \"ts\"\nwhere = {{ {filter} }}\n\
             fields = {{ user = \"u\", item = \"i\", time = \"ts\" }}"
        );
        toml::from_str(&text).unwrap()
    }

    fn index(columns: &str, unique: bool) -> Index {
        let columns = columns.split(' ').map(str::to_owned).collect();
        Index { name: "i".into(), columns, unique, usable: true }
    }

    #[test]
    fn pages_need_the_watermark_and_the_ids_in_order() {
        let check = |filter: &str, columns: &str, unique: bool, expected: bool| {
            let found = fits_pages(&index(columns, unique), &table(filter));
            assert_eq!(found, expected, "{filter}: {columns}");
        };
        check("", "ts id", false, true);
        check("", "ts id more", false, true);
        check("", "ts", false, false);
        check("", "ts", true, true);
        check("", "id ts", false, false);
        check("", "site ts id", false, false);
        check("site = 1", "site ts id", false, true);
        check("site = 1, lang = 2", "lang site ts id", false, true);
        check("site = 1", "ts id", false, true);
        check("site = 1", "site", true, false);
        check("site = { present = true }", "site ts id", false, false);
        let hidden = Index { usable: false, ..index("ts id", false) };
        assert!(!fits_pages(&hidden, &table("")));
    }

    #[test]
    fn wanted_columns_begin_with_those_of_one_value() {
        assert_eq!(columns_for_pages(&table("")), ["ts", "id"]);
        assert_eq!(columns_for_pages(&table("site = 1, id = 7")), ["site", "ts", "id"]);
    }

    #[test]
    fn a_lookup_needs_all_of_its_columns() {
        let text = "table = \"t\"\nas = \"x\"\non = { a = \"p\", b = \"q\" }";
        let join: Join = toml::from_str(text).unwrap();
        let check = |columns, unique, expected| {
            assert_eq!(fits_lookup(&index(columns, unique), &join), expected, "{columns}");
        };
        check("b a c", false, true);
        check("a", false, false);
        check("a", true, true);
        check("a c b", false, false);
    }

    #[test]
    fn secondary_indexes_end_with_the_primary_key() {
        let primary = Index { name: "PRIMARY".into(), ..index("id part", true) };
        let mut all = vec![index("ts id", false), primary];
        extend_by_primary_key(&mut all);
        assert_eq!(all[0].columns, ["ts", "id", "part"]);
        assert_eq!(all[1].columns, ["id", "part"]);
    }

    #[test]
    fn names_and_statements() {
        let columns = ["ts".to_owned(), "id".to_owned()];
        let name = name_of("shop.ev", &columns);
        assert_eq!(name, "foretaste_shop_ev_ts_id");
        assert_eq!(name_of(&"t".repeat(60), &columns).len(), 26);
        assert_eq!(
            online_ddl(Dialect::Postgres, "shop.ev", (&name, &columns)),
            "CREATE INDEX CONCURRENTLY \"foretaste_shop_ev_ts_id\" ON \"shop\".\"ev\" \
             (\"ts\", \"id\")"
        );
        assert_eq!(
            online_ddl(Dialect::MySql, "ev", (&name, &columns)),
            "ALTER TABLE `ev` ADD INDEX `foretaste_shop_ev_ts_id` (`ts`, `id`), \
             ALGORITHM=INPLACE, LOCK=NONE"
        );
    }
}
