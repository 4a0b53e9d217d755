//! How a command ends.

use project::Failure;
use std::process::ExitCode;

/// How a command ended: the exit code.
pub type Outcome = Result<ExitCode, Failure>;
