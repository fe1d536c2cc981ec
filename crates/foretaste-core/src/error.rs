//! One error type for all libraries: a kind that answers what callers ask (whose fault, may I
//! retry, which status), a context that names the thing, and the source.

use std::fmt;

/// What went wrong, as far as a caller has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The caller's input is malformed or outside its limits.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// The request contradicts the present state (an id that is taken, a lock that is held).
    Conflict,
    /// A file or message fails its checks; it must not be used.
    Corrupt,
    /// Written by a version that this build does not read.
    Unsupported,
    /// A bound of `Limits` or of the configuration would be exceeded.
    Exhausted,
    /// The operating system refused (disk full, permission, I/O error).
    Io,
    /// Something needed is not there at the moment; a retry may succeed.
    Unavailable,
    /// Configuration is wrong; nothing was started.
    Config,
    /// A defect in Foretaste.
    Internal,
}

impl ErrorKind {
    /// True when the same call may succeed later without any change by the caller.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Exhausted | Self::Io)
    }
}

/// An error with its kind, the thing it concerns and, where there is one, its source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of all fallible library functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`; `context` names the thing, what was expected and what to do.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// The same error with the error that caused it.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `outer` before the context, for callers that know more about the thing.
    pub fn context(mut self, outer: impl fmt::Display) -> Self {
        self.context = format!("{outer}: {}", self.context);
        self
    }

    /// The kind, for deciding on a status, an exit code or a retry.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Shorthand for [`ErrorKind::Invalid`].
    pub fn invalid(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, context)
    }

    /// Shorthand for [`ErrorKind::NotFound`].
    pub fn not_found(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, context)
    }

    /// Shorthand for [`ErrorKind::Corrupt`].
    pub fn corrupt(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, context)
    }

    /// Shorthand for [`ErrorKind::Internal`].
    pub fn internal(context: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, context)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

/// Without a `source()`: the text already ends with the cause, and those who print chains would
/// say it twice.
impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Self { kind, context: source.to_string(), source: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_said_once_by_text_and_chain_together() {
        let error = Error::new(ErrorKind::Io, "lake.parquet").with_source("disk full");
        let error = error.context("import");
        assert_eq!(error.to_string(), "import: lake.parquet: disk full");
        assert!(std::error::Error::source(&error).is_none());
    }
}
