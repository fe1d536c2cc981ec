//! Errors of object storage, Arrow and the SQL engine in the house's form.

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use foretaste_core::{Error, ErrorKind};
use object_store::Error as Refusal;

/// What storage said about `what`.
pub(crate) fn storage(what: impl std::fmt::Display, source: Refusal) -> Error {
    let refused = "the storage refuses these keys; check them and the bucket's policy";
    let (kind, advice) = match &source {
        Refusal::NotFound { .. } => (ErrorKind::NotFound, "the storage says"),
        Refusal::AlreadyExists { .. } | Refusal::Precondition { .. } => {
            (ErrorKind::Conflict, "the storage says")
        }
        Refusal::PermissionDenied { .. } | Refusal::Unauthenticated { .. } => {
            (ErrorKind::Config, refused)
        }
        Refusal::Generic { store: "LocalFileSystem", .. } => {
            (ErrorKind::Io, "the folder refuses; check free space and permissions")
        }
        // Listings tell of these in words only.
        _ if source.to_string().contains("403 Forbidden") => (ErrorKind::Config, refused),
        _ if source.to_string().contains("NoSuchBucket") => {
            (ErrorKind::Config, "there is no such bucket; create it, or correct lake.url")
        }
        _ => (
            ErrorKind::Unavailable,
            "the storage does not answer as it should; is the endpoint right?",
        ),
    };
    Error::new(kind, format!("{what}: {advice}")).with_source(source)
}

/// A Parquet file that cannot be read.
pub(crate) fn damaged(what: impl std::fmt::Display, source: ParquetError) -> Error {
    Error::corrupt(format!("{what} is damaged; restore it from a backup")).with_source(source)
}

/// Arrow refused something that the caller has checked.
pub(crate) fn arrow(source: ArrowError) -> Error {
    Error::internal("columns do not fit together").with_source(source)
}

/// What the SQL engine said while it did `what`.
pub(crate) fn sql(what: impl std::fmt::Display, source: DataFusionError) -> Error {
    // What a cluster said has its kind and advice already.
    if let DataFusionError::External(said) = source.find_root()
        && let Some(error) = said.downcast_ref::<Error>()
    {
        return Error::new(error.kind(), format!("{what}: {error}"));
    }
    let (kind, advice) = match source.find_root() {
        // The engine hides this one in errors of several kinds.
        _ if source.to_string().contains("max_temp_directory_size") => {
            (ErrorKind::Exhausted, "; raise spill_mb of the engine")
        }
        DataFusionError::ResourcesExhausted(_) => {
            (ErrorKind::Exhausted, "; raise memory_mb of the engine")
        }
        DataFusionError::IoError(_) => (ErrorKind::Io, "; check free space of the spill folder"),
        DataFusionError::ObjectStore(_) => (ErrorKind::Unavailable, "; the lake does not answer"),
        DataFusionError::ParquetError(_) => (ErrorKind::Corrupt, "; a file of the lake is damaged"),
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) | DataFusionError::SQL(..) => {
            (ErrorKind::Invalid, "")
        }
        _ => (ErrorKind::Internal, ""),
    };
    Error::new(kind, format!("{what}{advice}")).with_source(source)
}
