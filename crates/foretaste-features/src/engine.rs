//! The SQL engine: its memory, where it spills, and the tables it sees.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use foretaste_core::{Error, ErrorKind, Result};
use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure;
use crate::place::Place;
use crate::remote::{RemoteExecution, as_here};
use crate::table::{StateProvider, TableState};

/// How many of the largest users of memory an error names.
const NAMED_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).expect("3 > 0");
/// Spilled runs that one sort merges at a time: it would take all memory for as many as it can, and
/// leave nothing to those beside it.
pub const MERGED_RUNS: usize = 16;
/// How often a query is tried whose executors are lost.
const ATTEMPTS: u32 = 3;
/// Smallest memory with which sorting and grouping can spill.
const LEAST_MEMORY_MB: u64 = 32;

/// What the engine may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Memory for rows that are being sorted, grouped and joined; beyond it they go to disk.
    pub memory_mb: u64,
    /// Threads; 0 = one per core.
    pub threads: usize,
    /// Folder for what does not fit into memory; empty for the system's temporary folder.
    pub spill_dir: PathBuf,
    /// Most that may lie there.
    pub spill_mb: u64,
    /// Address of a cluster's scheduler, `df://host:port`; empty to do all in this process.
    pub cluster: String,
    /// Parts that a cluster divides a query into.
    pub parts: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            memory_mb: 2_048,
            threads: 0,
            spill_dir: PathBuf::new(),
            spill_mb: 100_000,
            cluster: String::new(),
            parts: 16,
        }
    }
}

impl EngineConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// `Config`, naming the setting.
    pub fn check(&self) -> Result<()> {
        if self.memory_mb < LEAST_MEMORY_MB {
            let text = format!("memory_mb of the engine must be at least {LEAST_MEMORY_MB}");
            return Err(Error::new(ErrorKind::Config, text));
        }
        if self.parts == 0 {
            let text = "parts of the engine must be at least 1";
            return Err(Error::new(ErrorKind::Config, text));
        }
        if !self.cluster.is_empty() && !self.cluster.starts_with("df://") {
            let text =
                format!("cluster of the engine is {:?}; write df://host:50050", self.cluster);
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(())
    }
}

/// The engine over one lake. All sessions share its memory.
#[derive(Clone, Debug)]
pub struct Engine {
    runtime: Arc<RuntimeEnv>,
    threads: usize,
    portion_bytes: usize,
    remote: Option<Arc<dyn RemoteExecution>>,
}

impl Engine {
    /// An engine for the lake at `place`.
    ///
    /// # Errors
    /// `Config` for settings that cannot work, `Io` when the spill folder cannot be made.
    pub fn new(place: &Place, config: &EngineConfig) -> Result<Self> {
        config.check()?;
        let mut disk = DiskManagerBuilder::default()
            .with_max_temp_directory_size(config.spill_mb.saturating_mul(1 << 20))
            .with_max_spill_merge_fan_in(MERGED_RUNS);
        if !config.spill_dir.as_os_str().is_empty() {
            fs_err::create_dir_all(&config.spill_dir)?;
            disk.set_mode(DiskManagerMode::Directories(vec![config.spill_dir.clone()]));
        }
        let bytes = usize::try_from(config.memory_mb << 20).unwrap_or(usize::MAX);
        let pool = TrackConsumersPool::new(FairSpillPool::new(bytes), NAMED_CONSUMERS);
        let runtime = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(disk)
            .with_memory_pool(Arc::new(pool))
            .build_arc()
            .map_err(|e| failure::sql("starting the SQL engine", e))?;
        register_lake(&runtime, Some(place));
        let threads = match config.threads {
            0 => std::thread::available_parallelism()?.get(),
            threads => threads,
        };
        Ok(Self { runtime, threads, portion_bytes: bytes / threads, remote: None })
    }

    /// The same engine, which plans here and has plans carried out by `remote`.
    #[must_use]
    pub fn elsewhere(self, remote: Arc<dyn RemoteExecution>) -> Self {
        Self { remote: Some(remote), ..self }
    }

    /// A session that sees `tables` under the given names. Of two joined tables, the smaller one
    /// must fit into memory.
    pub fn session(&self, tables: &[(&str, &TableState)]) -> Result<SessionContext> {
        self.session_with(tables, self.settings())
    }

    /// The same for joins of two large tables: merging sorted rows spills, hashing does not.
    pub(crate) fn merging_session(&self, tables: &[(&str, &TableState)]) -> Result<SessionContext> {
        let merge = self.settings().set_bool("datafusion.optimizer.prefer_hash_join", false);
        self.session_with(tables, merge)
    }

    fn settings(&self) -> SessionConfig {
        match &self.remote {
            Some(remote) => remote.settings(),
            None => portioned(self.portion_bytes).with_target_partitions(self.threads),
        }
    }

    /// The rows of a query of one of these sessions, which is `what` in errors.
    pub(crate) async fn stream(
        &self,
        frame: DataFrame,
        what: &str,
    ) -> Result<SendableRecordBatchStream> {
        let failed = |e| failure::sql(what, e);
        let Some(remote) = &self.remote else {
            return frame.execute_stream().await.map_err(failed);
        };
        let (state, plan) = frame.into_parts();
        let plan = state.create_physical_plan(&plan).await.map_err(failed)?;
        let rows = remote.rows(plan, state.config()).await;
        Ok(as_here(rows.map_err(|e| e.context(what))?))
    }

    /// All rows of a query whose result is small.
    pub(crate) async fn collect(&self, frame: DataFrame, what: &str) -> Result<Vec<RecordBatch>> {
        let again = async || {
            let rows = self.stream(frame.clone(), what).await?;
            rows.try_collect().await.map_err(|e| failure::sql(what, e))
        };
        self.attempt(again).await
    }

    /// Does `work`, which reads streams and leaves nothing behind where it fails, and does it again
    /// where executors were lost together with rows that were done but not read.
    pub(crate) async fn attempt<T>(&self, work: impl AsyncFn() -> Result<T>) -> Result<T> {
        for _ in 1..self.remote.as_ref().map_or(1, |_| ATTEMPTS) {
            match work().await {
                Err(e) if e.kind() == ErrorKind::Unavailable => {}
                done => return done,
            }
        }
        work().await
    }

    fn session_with(
        &self,
        tables: &[(&str, &TableState)],
        config: SessionConfig,
    ) -> Result<SessionContext> {
        let session = SessionContext::new_with_config_rt(config, Arc::clone(&self.runtime));
        for (name, state) in tables {
            register(&session, name, state)?;
        }
        Ok(session)
    }

    /// The first rows of a table in the order of its columns, as JSON objects.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn first_rows(&self, state: &TableState, rows: usize) -> Result<Vec<Value>> {
        let names: Vec<&str> = state.columns().iter().map(|c| c.name.as_str()).collect();
        if rows == 0 || names.is_empty() {
            return Ok(Vec::new());
        }
        let session = self.session(&[("shown", state)])?;
        let order = names.join(", ");
        let sql = format!("SELECT * FROM shown ORDER BY {order} LIMIT {rows}");
        let what = "the first rows";
        let mut shown = Vec::new();
        for batch in self.collect(plan(&session, what, &sql).await?, what).await? {
            for row in 0..batch.num_rows() {
                let values = names.iter().zip(batch.columns());
                let entry = |(name, column): (&&str, &ArrayRef)| {
                    Ok(((*name).to_owned(), json_value(column, row)?))
                };
                shown.push(Value::Object(values.map(entry).collect::<Result<_>>()?));
            }
        }
        Ok(shown)
    }
}

/// Settings for threads that have so much memory each. What a sort holds that cannot be spilled is
/// a batch of every run that it merges, and what it keeps back for merging: both follow memory.
fn portioned(bytes: usize) -> SessionConfig {
    let usual = SessionConfig::new();
    let rows = (bytes >> 15).clamp(512, usual.batch_size());
    let kept = (bytes / 8).min(usual.options().execution.sort_spill_reservation_bytes);
    usual.with_batch_size(rows).with_sort_spill_reservation_bytes(kept)
}

/// The value of one row of a column, for people and machines.
fn json_value(column: &ArrayRef, row: usize) -> Result<Value> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    let one = column.slice(row, 1);
    if column.data_type().is_numeric() {
        let number = cast(&one, &DataType::Float64).map_err(failure::arrow)?;
        return Ok(json!(number.as_primitive::<Float64Type>().value(0)));
    }
    let text = cast(&one, &DataType::Utf8).map_err(failure::arrow)?;
    Ok(json!(text.as_string::<i32>().value(0)))
}

/// Lets plans for a lake find its files, which are at `place`. Without one, plans can be looked at
/// and not carried out.
pub fn register_lake(runtime: &RuntimeEnv, place: Option<&Place>) {
    let url = ObjectStoreUrl::parse(StateProvider::STORE).expect("a constant");
    let store = place.map_or_else(|| Arc::new(InMemory::new()) as _, Place::store);
    runtime.register_object_store(url.as_ref(), store);
}

/// Lets a session see a state of a table.
pub(crate) fn register(session: &SessionContext, name: &str, state: &TableState) -> Result<()> {
    let views = session.copied_config().options().sql_parser.map_string_types_to_utf8view;
    let provider = Arc::new(StateProvider::new(state.clone(), views));
    let registered = session.register_table(name, provider);
    registered.map(|_| ()).map_err(|e| failure::sql(format!("table {name}"), e))
}

/// Plans `sql`, which is `what` in errors.
pub(crate) async fn plan(session: &SessionContext, what: &str, sql: &str) -> Result<DataFrame> {
    // A feature set is a question; it changes nothing.
    let only_questions =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    session.sql_with_options(sql, only_questions).await.map_err(|e| failure::sql(what, e))
}
