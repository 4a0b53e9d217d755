//! `xtask stall`: the tests of sinks that stand still, for longer than a test may take.

use crate::failure;
use dataflow::Result;
use std::process::Command;

/// Runs them; whether they hold.
pub fn run(seconds: u32) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--test", "live", "--", "stalled::", "--nocapture"]);
    let status = command.env("RIVERRUN_STALL_SECONDS", seconds.to_string()).status();
    Ok(status.map_err(|error| failure::program("cargo", error))?.success())
}
