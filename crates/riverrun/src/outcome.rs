//! How a command ends.

use project::Failure;
use std::process::ExitCode;

/// How a command ended: the exit code, and what else its caller has to know.
pub type Outcome<T = ExitCode> = Result<T, Failure>;
