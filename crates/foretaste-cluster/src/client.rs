//! The side that has queries: plans go out, rows come back.

use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::PhysicalPlanNode;
use foretaste_core::{Error, ErrorKind, Result};
use foretaste_features::RemoteExecution;
use futures_util::TryStreamExt;

use crate::address::Address;
use crate::failure;
use crate::plan::for_tasks;

/// Largest message: a plan names every file that it reads.
pub(crate) const MESSAGE_BYTES: u32 = 128 << 20;

/// A cluster as its clients see it.
#[derive(Debug)]
pub struct Cluster {
    address: Address,
    parts: usize,
}

impl Cluster {
    /// The cluster of the scheduler at `url`, which divides queries into `parts`. Nothing is asked
    /// yet.
    ///
    /// # Errors
    /// `Config` for what is no address.
    pub fn new(url: &str, parts: usize) -> Result<Self> {
        Ok(Self { address: Address::parse(url)?, parts })
    }
}

#[async_trait]
impl RemoteExecution for Cluster {
    fn settings(&self) -> SessionConfig {
        SessionConfig::new_with_ballista()
            .with_information_schema(false)
            .with_target_partitions(self.parts)
            .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES as usize)
    }

    async fn rows(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        settings: &SessionConfig,
    ) -> Result<SendableRecordBatchStream> {
        if !self.address.greet().await? {
            let text = format!(
                "the scheduler at {0} has no executors; start some with `foretaste cluster \
                 executor`, with features.engine.cluster = \"{0}\"",
                self.address
            );
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
        let failed = |e: DataFusionError| failure::of_cluster(&self.address, &e);
        let plan = for_tasks(plan).map_err(failed)?;
        // The scheduler keeps a session for each name: one for all clients with these settings.
        let session = format!("foretaste-{}", self.parts);
        let (config, codec) =
            (settings.ballista_config(), settings.ballista_physical_extension_codec());
        let rows = execute_physical_plan::<PhysicalPlanNode>(
            self.address.http(),
            &config,
            plan,
            codec.as_ref(),
            session,
            settings.clone(),
        );
        let rows = rows.await.map_err(failed)?;
        let (schema, address) = (rows.schema(), self.address.clone());
        let rows = rows.map_err(move |e| {
            DataFusionError::External(Box::new(failure::of_cluster(&address, &e)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
