//! Plans that are carried out elsewhere: the seam between the SQL engine and a cluster.
//!
//! A query is planned here, from the same manifests and with the same rules; only what it reads,
//! groups and sorts happens elsewhere. So nothing but a plan's rows can differ, and what comes back
//! is brought into the form that the engine of this process would have given.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionConfig;
use foretaste_core::Result;
use futures_util::TryStreamExt;

/// Carries out plans outside of this process.
#[async_trait]
pub trait RemoteExecution: std::fmt::Debug + Send + Sync {
    /// The settings of a session that plans for it.
    fn settings(&self) -> SessionConfig;

    /// The rows of a plan that was made with such settings, its partitions one after another.
    ///
    /// # Errors
    /// `Unavailable` when nobody is there to do it, `Unsupported` for other versions. The stream
    /// fails with an external error of this crate's kind where an executor was lost together with
    /// rows that had not been read.
    async fn rows(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        settings: &SessionConfig,
    ) -> Result<SendableRecordBatchStream>;
}

/// The type of texts as engines elsewhere read it: views share buffers, which their messages would
/// carry again and again.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::List(entry) => DataType::List(with_type(entry, plain(entry.data_type()))),
        other => other.clone(),
    }
}

/// The same the other way.
fn viewed(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 => DataType::Utf8View,
        DataType::List(entry) => DataType::List(with_type(entry, viewed(entry.data_type()))),
        other => other.clone(),
    }
}

fn with_type(field: &FieldRef, data_type: DataType) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(data_type))
}

/// A schema with other types.
pub(crate) fn typed(schema: &Schema, of: fn(&DataType) -> DataType) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| with_type(field, of(field.data_type())));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows in the form that the engine of this process gives.
pub(crate) fn as_here(rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = typed(&rows.schema(), viewed);
    let to = Arc::clone(&schema);
    let rows = rows.and_then(move |batch| {
        let cast = conform(&batch, &to);
        async move { cast }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

fn conform(batch: &RecordBatch, to: &SchemaRef) -> datafusion::error::Result<RecordBatch> {
    let columns = batch.columns().iter().zip(to.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    Ok(RecordBatch::try_new(Arc::clone(to), columns.collect::<Result<Vec<_>, _>>()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_change_their_form_and_nothing_else_does() {
        let list = |text| DataType::List(Arc::new(Field::new_list_field(text, true)));
        for (here, there) in [
            (DataType::Utf8View, DataType::Utf8),
            (list(DataType::Utf8View), list(DataType::Utf8)),
            (DataType::Int64, DataType::Int64),
        ] {
            assert_eq!((plain(&here), viewed(&there)), (there, here));
        }
    }
}
