//! Plans that would mean something else when their parts run in several processes.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinType, Result};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

/// The same plan for tasks that share nothing.
///
/// A nested loop keeps its left side in memory and, for these kinds of joins, a note for each row
/// of it whether any part of the right side had a match. Parts in other processes cannot see that
/// note and would each give the unmatched rows, so the right side becomes one part. Ballista does
/// the like for hash joins.
pub(crate) fn for_tasks(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let alone = |node: Arc<dyn ExecutionPlan>| {
        let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() else {
            return Ok(Transformed::no(node));
        };
        let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
        if !notes_matches(*join.join_type())
            || right.properties().output_partitioning().partition_count() == 1
        {
            return Ok(Transformed::no(node));
        }
        let right = Arc::new(CoalescePartitionsExec::new(right));
        let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Ok(Transformed::yes(node.replace_children(vec![left, right], anew)?))
    };
    Ok(plan.transform_up(alone)?.data)
}

fn notes_matches(join_type: JoinType) -> bool {
    use JoinType::{Full, Left, LeftAnti, LeftMark, LeftSemi};
    matches!(join_type, Left | LeftSemi | LeftAnti | LeftMark | Full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{SessionConfig, SessionContext};

    /// Numbers of parts of the right sides of all nested loops in the plan of `sql`.
    async fn parts(sql: &str, change: bool) -> Vec<usize> {
        let config = SessionConfig::new().with_target_partitions(3);
        let session = SessionContext::new_with_config(config);
        for table in ["a", "b"] {
            let values = "SELECT column1 AS x FROM (VALUES (1), (2), (3))";
            let parts = format!("({values}) UNION ALL ({values})");
            session.sql(&format!("CREATE TABLE {table} AS {parts}")).await.unwrap();
        }
        let mut plan = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        if change {
            plan = for_tasks(plan).unwrap();
        }
        let mut found = Vec::new();
        plan.apply(|node| {
            if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
                let right = join.right().properties().output_partitioning();
                found.push(right.partition_count());
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })
        .unwrap();
        found
    }

    #[tokio::test]
    async fn nested_loops_that_note_matches_have_one_part_on_the_right() {
        let full = "SELECT a.x FROM a FULL JOIN b ON a.x < b.x";
        assert!(parts(full, false).await[0] > 1, "a test that shows nothing");
        assert_eq!(parts(full, true).await, [1]);
        let inner = "SELECT a.x FROM a JOIN b ON a.x < b.x";
        assert_eq!(parts(inner, false).await, parts(inner, true).await);
    }
}
