//! A state of a table as the SQL engine reads it: only the files whose times can match, each
//! brought into the table's form.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, UInt64Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;

use super::TableState;
use super::manifest::FileMeta;
use crate::remote::{plain, typed};

/// A table for SQL. The storage must be registered under [`StateProvider::STORE`].
#[derive(Debug)]
pub(crate) struct StateProvider {
    state: TableState,
    schema: SchemaRef,
}

impl StateProvider {
    /// Under which address the engine finds the storage of the lake.
    pub(crate) const STORE: &str = "lake://tables";

    /// `views`: whether texts are views, as in this process, or plain.
    pub(crate) fn new(state: TableState, views: bool) -> Self {
        let schema = if views { state.schema() } else { typed(&state.schema(), plain) };
        Self { state, schema }
    }

    /// The files that may hold rows for which all of `filters` hold.
    fn matching(&self, session: &dyn Session, filters: &[Expr]) -> Result<Vec<&FileMeta>> {
        let files = self.state.files();
        let Some(by) = &self.state.manifest.partitioning else {
            return Ok(files.iter().collect());
        };
        let Some(filter) = conjunction(filters.iter().cloned()) else {
            return Ok(files.iter().collect());
        };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let filter = session.create_physical_expr(filter, &schema)?;
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&self.schema))
            .try_build(filter)?;
        let kept = predicate.prune(&Times { column: &by.column, files })?;
        Ok(files.iter().zip(kept).filter_map(|(file, keep)| keep.then_some(file)).collect())
    }
}

#[async_trait]
impl TableProvider for StateProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = Arc::new(ParquetSource::new(Arc::clone(&self.schema)));
        let table = &self.state.table;
        let file = |file: &FileMeta| {
            PartitionedFile::new(table.place.path(&table.below(&file.path)), file.bytes)
        };
        let matching = self.matching(session, filters)?;
        // From these the engine sees which side of a join is the smaller one.
        let sum = |of: fn(&FileMeta) -> u64| {
            Precision::Inexact(matching.iter().map(|file| of(file)).sum::<u64>() as usize)
        };
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = sum(|file| file.rows);
        statistics.total_byte_size = sum(|file| file.bytes);
        let files: Vec<_> = matching.into_iter().map(file).collect();
        let groups = FileGroup::new(files).split_files(session.config().target_partitions());
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(Self::STORE)?, source)
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// What the manifest knows about the times in each file.
struct Times<'a> {
    column: &'a str,
    files: &'a [FileMeta],
}

impl Times<'_> {
    fn of(&self, column: &Column, end: impl Fn((i64, i64)) -> i64) -> Option<ArrayRef> {
        let ends = self.files.iter().map(|file| file.times.map(&end));
        (column.name == self.column).then(|| Arc::new(ends.collect::<Int64Array>()) as ArrayRef)
    }
}

impl PruningStatistics for Times<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column, |(first, _)| first)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column, |(_, last)| last)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let none = UInt64Array::from(vec![0; self.files.len()]);
        (column.name == self.column).then(|| Arc::new(none) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| Some(file.rows)).collect::<UInt64Array>()))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
