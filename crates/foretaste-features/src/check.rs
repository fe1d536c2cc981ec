//! Whether the query of a feature set means the same for one time and for many, and sees nothing
//! but the past: checked on its plan, before it runs.
//!
//! A query sees `history`, the events before the time that values are computed for. With training
//! rows that time differs from row to row, so a query must never bring rows of two entities or
//! two times together: every grouping and every window must be by the keys and `as_of`.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Operator, Volatility};
use datafusion::prelude::SessionContext;
use foretaste_core::{Error, ErrorKind, Result};

use crate::definition::Definition;
use crate::engine::plan;
use crate::failure;
use crate::history::{AS_OF, HISTORY};
use crate::lake::{ITEMS, USERS, catalogue};
use crate::table::Columns;

/// A definition whose query has been checked.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The definition.
    pub definition: Definition,
    /// Whether values depend on events; otherwise they follow from items and users alone.
    pub uses_history: bool,
    /// Keys and columns with their types.
    pub columns: Columns,
}

impl Checked {
    /// Digest of names and types of keys and columns: rows of one digest can be read together.
    ///
    /// # Errors
    /// `Internal` when columns have no JSON form.
    pub fn schema_hash(&self) -> Result<String> {
        let json = serde_json::to_string(&self.columns)
            .map_err(|e| Error::internal("columns do not become JSON").with_source(e))?;
        Ok(blake3::hash(json.as_bytes()).to_hex()[..32].to_owned())
    }
}

/// Checks `definition` against the columns that the lake has.
///
/// # Errors
/// `Config`, naming file and line: for SQL that does not plan, a function whose value depends on
/// when it is called, a grouping without the keys, columns other than the header says.
pub async fn check(
    definition: &Definition,
    items: Option<SchemaRef>,
    users: Option<SchemaRef>,
) -> Result<Checked> {
    let wrong = |what: String| Error::new(ErrorKind::Config, what).context(definition.place());
    let session = empty_session(items, users)?;
    let frame = plan(&session, "the query", &definition.sql)
        .await
        .map_err(|e| wrong(format!("{e}; a query sees the tables history, items and users")))?;
    let plan = frame.logical_plan();
    let keys: Vec<&str> =
        definition.entity.keys().iter().copied().chain(std::iter::once(AS_OF)).collect();
    let uses_history = derives(plan).map_err(|e| wrong(e.to_string()))?;
    let mut fault = None;
    plan.apply_with_subqueries(|node| {
        fault = node_fault(node, &keys)?;
        Ok(if fault.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(|e| wrong(e.to_string()))?;
    if let Some(fault) = fault {
        return Err(wrong(fault));
    }
    let columns = output(definition, frame.schema().as_arrow(), uses_history).map_err(wrong)?;
    Ok(Checked { definition: definition.clone(), uses_history, columns })
}

/// A session with the tables that queries see, all empty.
fn empty_session(items: Option<SchemaRef>, users: Option<SchemaRef>) -> Result<SessionContext> {
    let session = SessionContext::new();
    let of = |fields: Vec<Field>| Arc::new(Schema::new(fields));
    let items = items.unwrap_or_else(|| of(catalogue::item_fields()));
    let users = users.unwrap_or_else(|| of(catalogue::user_fields()));
    let history = of(crate::history::fields());
    for (name, schema) in [(HISTORY, history), (ITEMS, items), (USERS, users)] {
        let table = MemTable::try_new(schema, vec![vec![]]);
        let registered = table.and_then(|table| session.register_table(name, Arc::new(table)));
        registered.map_err(|e| failure::sql("an empty table", e))?;
    }
    Ok(session)
}

/// Whether rows of a plan come from the history.
fn derives(plan: &LogicalPlan) -> datafusion::error::Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::TableScan(scan) if scan.table_name.table() == HISTORY);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn node_fault(node: &LogicalPlan, keys: &[&str]) -> datafusion::error::Result<Option<String>> {
    let fault = match node {
        LogicalPlan::Aggregate(a) if derives(&a.input)? => {
            let grouped = &a.group_expr;
            (!covers(grouped.iter(), keys)).then(|| format!("GROUP BY must name {}", list(keys)))
        }
        LogicalPlan::Window(w) if derives(&w.input)? => {
            let by_keys = |expr: &Expr| match expr.clone().unalias() {
                Expr::WindowFunction(f) => covers(f.params.partition_by.iter(), keys),
                _ => true,
            };
            let all = w.window_expr.iter().all(by_keys);
            (!all).then(|| format!("PARTITION BY of every window must name {}", list(keys)))
        }
        LogicalPlan::Join(join) if derives(&join.left)? && derives(&join.right)? => {
            let text = || format!("two queries of the history are joined by {} only", list(keys));
            (!joins_by(join, keys)).then(text)
        }
        LogicalPlan::Limit(l) if derives(&l.input)? => {
            Some("LIMIT would take rows of some entities only; rank with a window".to_owned())
        }
        _ => None,
    };
    Ok(fault.or_else(|| node.expressions().iter().find_map(expression_fault)))
}

fn covers<'a>(exprs: impl Iterator<Item = &'a Expr>, keys: &[&str]) -> bool {
    let named: HashSet<&str> = exprs.filter_map(column_name).collect();
    keys.iter().all(|key| named.contains(key))
}

fn column_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(column.name()),
        Expr::Alias(alias) => column_name(&alias.expr),
        _ => None,
    }
}

fn joins_by(join: &Join, keys: &[&str]) -> bool {
    let mut equal: HashSet<&str> = HashSet::new();
    let mut add = |left: &'_ Expr, right: &'_ Expr| {
        let name = column_name(left).filter(|name| column_name(right) == Some(name));
        name.and_then(|name| keys.iter().find(|key| **key == name)).map(|key| equal.insert(key))
    };
    join.on.iter().for_each(|(left, right)| {
        add(left, right);
    });
    for part in join.filter.iter().flat_map(|filter| split_conjunction(filter)) {
        if let Expr::BinaryExpr(b) = part
            && b.op == Operator::Eq
        {
            add(&b.left, &b.right);
        }
    }
    equal.len() == keys.len()
}

fn list(keys: &[&str]) -> String {
    keys.join(", ")
}

/// What is wrong with one expression: a value that depends on when it is computed.
fn expression_fault(expr: &Expr) -> Option<String> {
    let mut fault = None;
    let looked = expr.apply(|part| {
        fault = part_fault(part);
        Ok(match (&fault, part) {
            (Some(_), _) => TreeNodeRecursion::Stop,
            // Checked as a whole: windows divide by `as_of`, joins compare it.
            (None, Expr::WindowFunction(_)) => TreeNodeRecursion::Jump,
            (None, Expr::BinaryExpr(b)) if compares_as_of(&b.left, b.op, &b.right) => {
                TreeNodeRecursion::Jump
            }
            _ => TreeNodeRecursion::Continue,
        })
    });
    looked.err().map(|e| e.to_string()).or(fault)
}

fn compares_as_of(left: &Expr, op: Operator, right: &Expr) -> bool {
    op == Operator::Eq && is_as_of(left) && is_as_of(right)
}

fn is_as_of(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name() == AS_OF)
}

fn part_fault(part: &Expr) -> Option<String> {
    let touches = |exprs: &[Expr]| exprs.iter().any(mentions_as_of);
    let misuse = || "as_of can be selected and grouped by only; use age_days".to_owned();
    match part {
        Expr::ScalarFunction(f) if f.func.signature().volatility != Volatility::Immutable => {
            Some(format!("{}() depends on when it is called; use age_days", f.func.name()))
        }
        Expr::Alias(a) if is_as_of(&a.expr) => (a.name != AS_OF).then(misuse),
        Expr::Column(_) | Expr::Alias(_) => None,
        Expr::WindowFunction(f) => {
            let order = f.params.order_by.iter().any(|sort| mentions_as_of(&sort.expr));
            (order || touches(&f.params.args)).then(misuse)
        }
        Expr::BinaryExpr(b) if compares_as_of(&b.left, b.op, &b.right) => None,
        Expr::BinaryExpr(b) if matches!(b.op, Operator::And | Operator::Or) => None,
        Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => {
            let plan = match part {
                Expr::ScalarSubquery(s) => &s.subquery,
                Expr::InSubquery(s) => &s.subquery.subquery,
                Expr::Exists(s) => &s.subquery.subquery,
                _ => return None,
            };
            let text = "a subquery in an expression cannot look at the history; join it";
            derives(plan).unwrap_or(true).then(|| text.to_owned())
        }
        _ => mentions_as_of(part).then(misuse),
    }
}

fn mentions_as_of(expr: &Expr) -> bool {
    expr.column_refs().iter().any(|column| column.name() == AS_OF)
}

/// The columns of the query's result, which must be those that the header says.
fn output(definition: &Definition, schema: &Schema, history: bool) -> Result<Columns, String> {
    let mut expected: Vec<&str> = definition.entity.keys().to_vec();
    expected.extend(history.then_some(AS_OF));
    expected.extend(definition.columns.iter().map(|column| column.name.as_str()));
    let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    if found != expected {
        return Err(format!(
            "the query gives ({}), the header says ({})",
            found.join(", "),
            expected.join(", ")
        ));
    }
    let fields = schema.fields().iter().filter(|field| field.name() != AS_OF);
    let keys = definition.entity.keys();
    let fields = fields.map(|field| {
        let nullable = !keys.contains(&field.name().as_str());
        Arc::new(field.as_ref().clone().with_nullable(nullable))
    });
    let fields: Vec<Arc<Field>> = fields.collect();
    let is_list = |field: &&Arc<Field>| matches!(field.data_type(), DataType::List(_));
    if let Some(field) = fields.iter().find(is_list) {
        return Err(format!("column {} is a list; a feature is one value", field.name()));
    }
    Columns::of(&Schema::new(fields)).map_err(|e| e.to_string())
}
