//! What a cluster says in words only, in the house's form.

use ballista_core::error::BallistaError;
use datafusion::error::DataFusionError;
use foretaste_core::{Error, ErrorKind};

use crate::address::Address;

/// What words of a failed job mean: the first that is found decides.
const MEANINGS: [(&str, ErrorKind, &str); 8] = [
    ("max_temp_directory_size", ErrorKind::Exhausted, "raise spill_mb of the executors"),
    ("ResourcesExhausted", ErrorKind::Exhausted, "raise memory_mb of the executors"),
    ("Resources exhausted", ErrorKind::Exhausted, "raise memory_mb of the executors"),
    (
        "No space left on device",
        ErrorKind::Io,
        "an executor's disk is full; check its features.engine.spill_dir",
    ),
    (
        "Object Store error: Object at location",
        ErrorKind::NotFound,
        "an executor does not find a file of the lake; start executors with the [lake] of this \
         program",
    ),
    (
        "Object Store error",
        ErrorKind::Unavailable,
        "an executor cannot read the lake; check its [lake], and its keys",
    ),
    ("Connect", ErrorKind::Unavailable, "executors went away; it may be tried again"),
    ("executor", ErrorKind::Unavailable, "executors went away; it may be tried again"),
];

/// What went wrong with a job of the scheduler at `address`.
pub(crate) fn of_cluster(address: &Address, error: &DataFusionError) -> Error {
    let said = error.strip_backtrace();
    let known = MEANINGS.iter().find(|(words, ..)| said.contains(words));
    let (kind, advice) = known.map_or((ErrorKind::Internal, ""), |&(_, kind, text)| (kind, text));
    let dash = if advice.is_empty() { "" } else { ": " };
    Error::new(kind, format!("the cluster at {address}{dash}{advice} ({said})"))
}

/// Why a part of the cluster could not run.
pub(crate) fn of_part(what: &str, error: BallistaError) -> Error {
    let kind = match &error {
        BallistaError::Configuration(_) => ErrorKind::Config,
        BallistaError::IoError(_) => ErrorKind::Io,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, what).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_kinds_and_advice() {
        let address = Address::parse("df://here:1").unwrap();
        let of = |text: &str| {
            let error = of_cluster(&address, &DataFusionError::Execution(text.to_owned()));
            (error.kind(), error.to_string())
        };
        let (kind, text) = of("Job 1 failed: DataFusionError(ResourcesExhausted(\"few\"))");
        assert_eq!(kind, ErrorKind::Exhausted);
        assert!(text.contains("df://here:1: raise memory_mb of the executors"), "{text}");
        let away = "Object Store error: Object at location /lake/x not found: No such file";
        assert_eq!(of(away).0, ErrorKind::NotFound);
        assert_eq!(of("Object Store error: 403 Forbidden").0, ErrorKind::Unavailable);
        assert_eq!(of("GrpcConnectionError: Connection refused").0, ErrorKind::Unavailable);
        assert_eq!(of("no such thing").0, ErrorKind::Internal);
    }
}
