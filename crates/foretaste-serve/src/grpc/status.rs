//! Problems as gRPC statuses: the one place where a problem becomes a code. Retryable ones say
//! when (`google.rpc.RetryInfo`), wrong fields are listed (`google.rpc.BadRequest`).

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::http::problem::Problem;

/// The code for a problem of an HTTP status.
pub(super) fn code(problem: &Problem) -> Code {
    match problem.status {
        400 => Code::InvalidArgument,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        408 => Code::DeadlineExceeded,
        409 | 422 => Code::FailedPrecondition,
        413 | 414 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// The HTTP status under which a code is counted and logged.
pub(super) fn http_status(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound | Code::Unimplemented => 404,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => 409,
        Code::ResourceExhausted => 413,
        Code::Cancelled => 499,
        Code::DeadlineExceeded | Code::Unavailable => 503,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    }
}

/// A problem as a status with its details.
pub(super) fn status(problem: Problem) -> Status {
    let mut details = ErrorDetails::new();
    if let Some(seconds) = problem.retry_after {
        details.set_retry_info(Some(Duration::from_secs(seconds.into())));
    }
    for error in &problem.errors {
        details
            .add_bad_request_violation(format!("{}.{}", error.index, error.field), &error.reason);
    }
    let code = code(&problem);
    match problem.retry_after.is_none() && problem.errors.is_empty() {
        true => Status::new(code, problem.detail),
        false => Status::with_error_details(code, problem.detail, details),
    }
}

/// A defect.
pub(super) fn internal() -> Status {
    status(Problem::internal())
}

/// The caller's time, or ours, was over before there was an answer.
pub(super) fn out_of_time() -> Status {
    Status::deadline_exceeded("the request took too long; try again")
}

#[cfg(test)]
mod tests {
    use foretaste_core::{Error, ErrorKind};

    use super::*;

    #[test]
    fn each_kind_has_one_code_and_retryable_ones_say_when() {
        let table = [
            (ErrorKind::Invalid, Code::InvalidArgument),
            (ErrorKind::NotFound, Code::NotFound),
            (ErrorKind::Conflict, Code::FailedPrecondition),
            (ErrorKind::Corrupt, Code::FailedPrecondition),
            (ErrorKind::Unsupported, Code::FailedPrecondition),
            (ErrorKind::Exhausted, Code::Unavailable),
            (ErrorKind::Io, Code::Unavailable),
            (ErrorKind::Unavailable, Code::Unavailable),
            (ErrorKind::Config, Code::Internal),
            (ErrorKind::Internal, Code::Internal),
        ];
        for (kind, code) in table {
            let status = status(Problem::from(Error::new(kind, "x")));
            assert_eq!(status.code(), code, "{kind:?}");
            let retry = status.get_details_retry_info();
            assert_eq!(retry.is_some(), kind.is_retryable(), "{kind:?}");
        }
    }
}
