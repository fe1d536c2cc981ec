//! What a server would do for a query: the three dialects of `EXPLAIN ... JSON` as one.
//!
//! PostgreSQL gives a tree of nodes. MariaDB and MySQL give nested objects that differ in all but
//! the objects called `table`, so that is what is looked for, at any depth.

use foretaste_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::Value;

use crate::tables::connection::{Connection, Dialect, text};
use crate::tables::sql::Statement;

/// How a query would be answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Each table that is read: `base`, or the name of a lookup.
    pub accesses: Vec<Access>,
    /// Whether rows are sorted before the first can be given.
    pub sorts: bool,
}

/// How one table would be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Access {
    /// `base`, or the name of a lookup.
    pub table: String,
    /// The index that is used.
    pub index: Option<String>,
    /// Whether it is read from one end to the other.
    pub whole: bool,
    /// Rows that the server expects to look at, each time.
    pub rows: u64,
}

impl Plan {
    /// Asks the server.
    ///
    /// # Errors
    /// What the server says; `Unsupported` when its answer is not understood.
    pub fn of(connection: &mut Connection, statement: &Statement) -> Result<Self> {
        let dialect = connection.dialect();
        let explain = match dialect {
            Dialect::Postgres => "EXPLAIN (FORMAT JSON)",
            Dialect::MySql => "EXPLAIN FORMAT=JSON",
        };
        let row = connection.row(&format!("{explain} {}", statement.sql), &statement.values)?;
        Self::parse(dialect, text(&row, 0)?.unwrap_or_default())
    }

    fn parse(dialect: Dialect, json: &str) -> Result<Self> {
        let unknown = || {
            let text = "the server's EXPLAIN has a form that is not known here";
            Error::new(ErrorKind::Unsupported, text)
        };
        let value: Value = serde_json::from_str(json).map_err(|e| unknown().with_source(e))?;
        let mut plan = Self::default();
        match dialect {
            Dialect::Postgres => plan.postgres(&value[0]["Plan"]),
            Dialect::MySql => plan.mysql(&value),
        }
        if plan.accesses.is_empty() { Err(unknown()) } else { Ok(plan) }
    }

    /// The row source that reads a table.
    pub fn access(&self, table: &str) -> Option<&Access> {
        self.accesses.iter().find(|access| access.table == table)
    }

    fn postgres(&mut self, node: &Value) {
        let word = |key: &str| node[key].as_str();
        self.sorts |= matches!(word("Node Type"), Some("Sort" | "Incremental Sort"));
        let children = || node["Plans"].as_array().into_iter().flatten();
        if let Some(alias) = word("Alias") {
            // A bitmap's index is named one node below.
            let find = |key: &str| {
                let below = children().find_map(|child| child[key].as_str());
                word(key).or(below)
            };
            self.accesses.push(Access {
                table: alias.to_owned(),
                index: find("Index Name").map(str::to_owned),
                whole: find("Index Cond").is_none(),
                rows: node["Plan Rows"].as_f64().unwrap_or(0.0) as u64,
            });
        }
        children().for_each(|child| self.postgres(child));
    }

    fn mysql(&mut self, value: &Value) {
        match value {
            Value::Array(all) => all.iter().for_each(|inner| self.mysql(inner)),
            Value::Object(all) => {
                self.sorts |= all.contains_key("filesort")
                    || all.get("using_filesort").is_some_and(|sorts| sorts == true);
                if let Some(table) = all.get("table")
                    && let Some(name) = table["table_name"].as_str()
                {
                    let rows = ["rows", "rows_examined_per_scan"];
                    self.accesses.push(Access {
                        table: name.to_owned(),
                        index: table["key"].as_str().map(str::to_owned),
                        whole: matches!(table["access_type"].as_str(), Some("ALL" | "index")),
                        rows: rows.iter().find_map(|key| table[key].as_u64()).unwrap_or(0),
                    });
                }
                all.values().for_each(|inner| self.mysql(inner));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dialect: Dialect, json: &str, sorts: bool, expected: &[(&str, Option<&str>, bool)]) {
        let plan = Plan::parse(dialect, json).unwrap();
        let own = |a: &Access| (a.table.clone(), a.index.clone(), a.whole);
        let expected: Vec<_> = (expected.iter())
            .map(|&(table, index, whole)| (table.to_owned(), index.map(str::to_owned), whole))
            .collect();
        assert_eq!(plan.accesses.iter().map(own).collect::<Vec<_>>(), expected);
        assert_eq!(plan.sorts, sorts);
    }

    #[test]
    fn postgres_in_the_order_of_an_index_and_by_a_bitmap() {
        let index = r#"[{"Plan": {"Node Type": "Limit", "Plans": [
            {"Node Type": "Index Scan", "Index Name": "ts", "Relation Name": "ev", "Alias": "base",
             "Plan Rows": 70, "Index Cond": "(ts > 1)"}]}}]"#;
        check(Dialect::Postgres, index, false, &[("base", Some("ts"), false)]);
        let bitmap = r#"[{"Plan": {"Node Type": "Sort", "Plans": [
            {"Node Type": "Bitmap Heap Scan", "Relation Name": "ev", "Alias": "base", "Plans": [
             {"Node Type": "Bitmap Index Scan", "Index Name": "ts", "Index Cond": "(ts > 1)"}]},
            {"Node Type": "Seq Scan", "Relation Name": "goods", "Alias": "sku"}]}}]"#;
        let both = [("base", Some("ts"), false), ("sku", None, true)];
        check(Dialect::Postgres, bitmap, true, &both);
    }

    #[test]
    fn mariadb() {
        let json = r#"{"query_block": {"select_id": 1, "nested_loop": [{"read_sorted_file":
            {"filesort": {"sort_key": "base.ts", "table": {"table_name": "base",
              "access_type": "ALL", "rows": 9000, "filtered": 50}}}},
            {"table": {"table_name": "sku", "access_type": "eq_ref", "key": "PRIMARY",
              "rows": 1}}]}}"#;
        let both = [("base", None, true), ("sku", Some("PRIMARY"), false)];
        check(Dialect::MySql, json, true, &both);
    }

    /// The shape of MySQL 8, which nests and names otherwise.
    #[test]
    fn mysql() {
        let json = r#"{"query_block": {"select_id": 1, "cost_info": {"query_cost": "1.0"},
            "ordering_operation": {"using_filesort": false, "nested_loop": [
              {"table": {"table_name": "base", "access_type": "range", "key": "ts",
                "rows_examined_per_scan": 70, "used_columns": ["id", "ts"]}},
              {"table": {"table_name": "sku", "access_type": "ALL",
                "rows_examined_per_scan": 9}}]}}}"#;
        check(Dialect::MySql, json, false, &[("base", Some("ts"), false), ("sku", None, true)]);
        assert_eq!(Plan::parse(Dialect::MySql, json).unwrap().access("base").unwrap().rows, 70);
    }

    #[test]
    fn other_forms_are_refused() {
        for json in ["", "[]", "{\"query_plan\": {\"operation\": \"Table scan\"}}"] {
            let error = Plan::parse(Dialect::MySql, json).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{json}");
        }
    }
}
