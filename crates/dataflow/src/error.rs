//! The one error type. The kind says only what should happen now.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what a host or a person should do now. Hosts switch on this and on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The SQL, an option or a model is wrong; the job is not started.
    Invalid,
    /// An outside system does not answer; the job restarts with backoff.
    Unavailable,
    /// The system takes no file: a disk is full, read-only or not for this user. Only a person can change that, so that
    /// nothing is tried again; the job stops at once, and goes on where it was when it is run again.
    Refused,
    /// This row is wrong; the stream's bad-row policy decides.
    Data,
    /// Stored bytes cannot be read; the job stops and touches nothing.
    Corrupt,
    /// Our own bug; the job stops and asks for a report.
    Internal,
}

/// An error: a kind, a message that names the thing, its place and its value, and a source.
///
/// `Display` prints one level. The edge that shows it to a person prints the chain.
///
/// ```
/// use dataflow::{Error, ErrorKind};
/// let error = Error::data("topic \"plays\": field \"at\" is text, expected timestamp");
/// assert_eq!(error.kind(), ErrorKind::Data);
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    /// The SQL, an option or a model is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Invalid, message)
    }

    /// An outside system does not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Unavailable, message)
    }

    /// A row is wrong.
    pub fn data(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Data, message)
    }

    /// Stored bytes cannot be read.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Corrupt, message)
    }

    /// Our own bug.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, message)
    }

    /// Adds the error below this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An error of the system with a file: that it takes no more, or nothing, is `Refused` and says what to do, and all else
    /// is `Unavailable`.
    ///
    /// ```
    /// use dataflow::{Error, ErrorKind};
    /// let full = Error::of_file("cannot write \"lake/a.parquet\"", std::io::ErrorKind::StorageFull.into());
    /// assert_eq!(full.kind(), ErrorKind::Refused);
    /// assert_eq!(full.to_string(), "cannot write \"lake/a.parquet\": the disk is full, free some space");
    /// ```
    pub fn of_file(failed: impl Into<String>, error: std::io::Error) -> Self {
        let failed = failed.into();
        match refusal(&error) {
            Some(why) => Error::new(ErrorKind::Refused, format!("{failed}: {why}")).with_source(error),
            None => Error::unavailable(failed).with_source(error),
        }
    }

    /// Says where this error happened; keeps the kind, and the error itself as source.
    #[must_use]
    pub fn context(self, message: impl Into<String>) -> Self {
        Error { kind: self.kind, message: message.into(), source: Some(Box::new(self)) }
    }

    /// What should happen now.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message and those of all errors below it, joined by ": ".
    ///
    /// ```
    /// let footer = dataflow::Error::corrupt("\"a.parquet\" is damaged").with_source("Parquet error: corrupt footer");
    /// assert_eq!(footer.chain(), "\"a.parquet\" is damaged: corrupt footer");
    /// ```
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut below = std::error::Error::source(self);
        while let Some(error) = below {
            text.push_str(": ");
            text.push_str(without_its_kind(&error.to_string()));
            below = error.source();
        }
        text
    }
}

/// What a library's error says, without the names of its variants before it: who reads the message knows none of them, and
/// the message above it says already what could not be read.
fn without_its_kind(text: &str) -> &str {
    const KINDS: [&str; 6] =
        ["Parquet argument error: ", "Parquet error: ", "External: ", "Arrow: ", "Ipc error: ", "Arrow error: "];
    let mut rest = text;
    while let Some(inner) = KINDS.iter().find_map(|kind| rest.strip_prefix(kind)) {
        rest = inner;
    }
    rest
}

/// Says why the system takes no file, or no more of one, and what a person can do about it, if that is what an error means.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// assert!(dataflow::refusal(&Error::from(ErrorKind::StorageFull)).is_some());
/// assert!(dataflow::refusal(&Error::from(ErrorKind::NotFound)).is_none());
/// ```
pub fn refusal(error: &std::io::Error) -> Option<&'static str> {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull => Some("the disk is full, free some space"),
        Kind::QuotaExceeded => Some("the disk quota is used up, free some space"),
        Kind::FileTooLarge => Some("the file may not grow any further, raise the limit that `ulimit -f` shows"),
        Kind::PermissionDenied => Some("permission denied, let this user read and write there"),
        Kind::ReadOnlyFilesystem => Some("the file system is read-only, make it writable or use another one"),
        _ => None,
    }
}

/// Lets a library read stored bytes that nobody has checked. Where it panics, an error is made of what it said; what it
/// was reading with must not be used again.
///
/// ```
/// use dataflow::Error;
/// let bytes: Vec<u8> = Vec::new();
/// let read = dataflow::guarded(|why| Error::corrupt(format!("no bytes: {why}")), || Ok(bytes[7]));
/// assert!(read.unwrap_err().to_string().starts_with("no bytes: index out of bounds"));
/// ```
pub fn guarded<T>(damaged: impl FnOnce(&str) -> Error, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| Err(damaged(panic_text(panic.as_ref()))))
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::internal("a column operation failed").with_source(error)
    }
}
