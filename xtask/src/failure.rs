//! What went wrong with a file or a program, as our one error.

use dataflow::{Error, ErrorKind};
use std::fmt::Display;
use std::path::Path;

/// A file or folder that cannot be made, read or written.
pub fn file(doing: &str, path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot {doing} \"{}\"", path.display())).with_source(error)
}

/// A program that cannot be started or that failed.
pub fn program(name: impl Display, what: impl Display) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{name}: {what}"))
}
