//! What errors of the iceberg library, of SQLite and of files mean to a host.

use dataflow::{Error, ErrorKind, refusal};
use std::io;

/// An error of the iceberg library, as it happened while something was done.
///
/// A disk that is full or takes nothing is `Refused`, another failing file operation `Unavailable`, a file that is gone or cannot be parsed is
/// `Corrupt`, and what does not exist or is not supported is `Invalid`.
pub fn iceberg(doing: impl Into<String>, error: iceberg::Error) -> Error {
    let kind = match io_cause(&error) {
        Some(cause) => kind_of_io(cause),
        None => kind_of_iceberg(&error),
    };
    Error::new(kind, doing).with_source(told(&error))
}

/// An error of a file operation, as it happened while something was done.
pub fn file(doing: impl Into<String>, error: io::Error) -> Error {
    Error::new(kind_of_io(&error), doing).with_source(told_io(&error))
}

/// An error of a file operation for the iceberg library, which carries it back to [`iceberg`].
pub fn io_for_iceberg(doing: String, error: io::Error) -> iceberg::Error {
    iceberg::Error::new(iceberg::ErrorKind::Unexpected, doing).with_source(error)
}

/// An error of this crate for the iceberg library. The kind survives the way through the library.
pub fn for_iceberg(error: Error) -> iceberg::Error {
    let kind = match error.kind() {
        ErrorKind::Invalid => iceberg::ErrorKind::FeatureUnsupported,
        ErrorKind::Corrupt | ErrorKind::Data => iceberg::ErrorKind::DataInvalid,
        ErrorKind::Unavailable | ErrorKind::Refused | ErrorKind::Internal => iceberg::ErrorKind::Unexpected,
    };
    iceberg::Error::new(kind, error.chain()).with_source(ErrorKindContext(error.kind()))
}

/// Whether an error of the iceberg library is one of an outside system that does not answer.
pub fn is_unavailable(error: &iceberg::Error) -> bool {
    matches!(causes(error).find_map(|cause| cause.downcast_ref()), Some(ErrorKindContext(ErrorKind::Unavailable)))
}

/// Whether an error of the iceberg library is one of a file that is missing or damaged.
pub fn is_corrupt(error: &iceberg::Error) -> bool {
    let kind = io_cause(error).map_or_else(|| kind_of_iceberg(error), kind_of_io);
    kind == ErrorKind::Corrupt
}

/// An error of the catalog file, as it happened while something was done.
pub fn sqlite(doing: impl Into<String>, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Code;
    let extended = error.sqlite_error().map(|error| error.extended_code);
    let (kind, hint) = match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            (ErrorKind::Unavailable, "the catalog is locked by another process")
        }
        Some(Code::NotADatabase | Code::DatabaseCorrupt) => {
            (ErrorKind::Corrupt, "the catalog file is damaged or is not a SQLite database")
        }
        Some(Code::DiskFull) => (ErrorKind::Refused, "the disk is full, free some space"),
        // SQLite tells a file that may not grow from writes that fail for a moment by nothing.
        Some(Code::SystemIoFailure) if extended == Some(rusqlite::ffi::SQLITE_IOERR_WRITE) => (
            ErrorKind::Unavailable,
            "the catalog file cannot be written, look at its disk and at the limit that `ulimit -f` shows",
        ),
        Some(Code::ReadOnly) => {
            (ErrorKind::Refused, "the catalog file cannot be written: it or its folder is read-only for this user")
        }
        Some(Code::PermissionDenied) => {
            (ErrorKind::Refused, "permission denied, let this user read and write the catalog file and its folder")
        }
        Some(Code::CannotOpen | Code::SystemIoFailure) => {
            (ErrorKind::Unavailable, "the catalog file cannot be read or written")
        }
        _ => (ErrorKind::Internal, "the catalog refused a statement"),
    };
    Error::new(kind, doing).with_source(format!("{hint} ({error})"))
}

/// Carries the kind of an error of ours through the iceberg library.
#[derive(Debug)]
struct ErrorKindContext(ErrorKind);

impl std::fmt::Display for ErrorKindContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for ErrorKindContext {}

fn causes<'a>(error: &'a iceberg::Error) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
}

fn io_cause(error: &iceberg::Error) -> Option<&io::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn kind_of_io(error: &io::Error) -> ErrorKind {
    if refusal(error).is_some() {
        return ErrorKind::Refused;
    }
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => ErrorKind::Corrupt,
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}

fn kind_of_iceberg(error: &iceberg::Error) -> ErrorKind {
    if let Some(ErrorKindContext(kind)) = causes(error).find_map(|cause| cause.downcast_ref()) {
        return *kind;
    }
    match error.kind() {
        iceberg::ErrorKind::DataInvalid if is_of_clock(error) => ErrorKind::Unavailable,
        iceberg::ErrorKind::DataInvalid if is_of_properties(error) => ErrorKind::Invalid,
        iceberg::ErrorKind::DataInvalid => ErrorKind::Corrupt,
        iceberg::ErrorKind::CatalogCommitConflicts => ErrorKind::Unavailable,
        iceberg::ErrorKind::Unexpected | iceberg::ErrorKind::PreconditionFailed => ErrorKind::Internal,
        _ => ErrorKind::Invalid,
    }
}

/// Whether a property of a table has a value that it cannot have, which somebody has set.
fn is_of_properties(error: &iceberg::Error) -> bool {
    error.message().starts_with("Invalid table properties")
}

/// Whether the library refuses a change since it is older than the last one; it has no kind of its own for that. A table's
/// history would not be in the order of its times.
fn is_of_clock(error: &iceberg::Error) -> bool {
    let message = error.message();
    message.starts_with("Invalid snapshot timestamp") || message.starts_with("Invalid update timestamp")
}

/// The library's message and the causes below it, without its context, which may hold a whole configuration.
fn told(error: &iceberg::Error) -> String {
    let mut text = match is_of_clock(error) {
        true => format!(
            "the clock of this machine is over a minute before the last change of the table; set it right, or wait until it \
             has passed that time ({})",
            error.message()
        ),
        false => error.message().to_owned(),
    };
    for cause in causes(error).filter(|cause| !cause.is::<ErrorKindContext>()) {
        let below = match cause.downcast_ref::<io::Error>() {
            Some(error) => told_io(error),
            None => cause.to_string(),
        };
        text.push_str(": ");
        text.push_str(&below);
    }
    text
}

fn told_io(error: &io::Error) -> String {
    if let Some(why) = refusal(error) {
        return format!("{why} ({error})");
    }
    match error.kind() {
        io::ErrorKind::NotFound => format!("the file is missing ({error})"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through_iceberg(kind: io::ErrorKind) -> Error {
        iceberg("table \"a.b\": cannot write", io_for_iceberg("cannot write \"/x\"".into(), io::Error::from(kind)))
    }

    #[test]
    fn a_full_disk_is_refused_and_says_so() {
        let causes = [
            (io::ErrorKind::StorageFull, "the disk is full"),
            (io::ErrorKind::QuotaExceeded, "the disk quota is used up"),
            (io::ErrorKind::ReadOnlyFilesystem, "the file system is read-only"),
            (io::ErrorKind::PermissionDenied, "permission denied, let this user"),
        ];
        for (cause, why) in causes {
            let error = through_iceberg(cause);
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.chain().contains(why), "{}", error.chain());
        }
    }

    #[test]
    fn a_property_that_somebody_has_set_wrongly_is_no_damage() {
        let wrong = iceberg::Error::new(iceberg::ErrorKind::DataInvalid, "Invalid table properties");
        assert_eq!(iceberg("a commit", wrong).kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_missing_file_is_corrupt() {
        assert_eq!(through_iceberg(io::ErrorKind::NotFound).kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn an_error_of_ours_keeps_its_kind_through_the_library() {
        for kind in
            [ErrorKind::Invalid, ErrorKind::Unavailable, ErrorKind::Refused, ErrorKind::Corrupt, ErrorKind::Internal]
        {
            assert_eq!(iceberg("doing", for_iceberg(Error::new(kind, "x"))).kind(), kind);
        }
    }
}
