//! A server of Pub/Sub on this machine, for development.

use crate::dev_broker::caches;
use crate::pubsub::emulator;
use dataflow::Result;
use std::path::Path;

/// A server that runs.
pub struct DevPubsub {
    /// HOST:PORT, for `PUBSUB_EMULATOR_HOST`.
    pub address: String,
    /// Its process.
    pub process: u32,
    /// Whether it ran before it was to be started.
    pub ran_before: bool,
}

/// Starts a server whose address and log are in a folder. Its program is built once, into the folder of caches; before
/// that is begun it is told.
pub fn start_dev_pubsub(folder: &Path, tell_of_build: impl FnOnce()) -> Result<DevPubsub> {
    let caches = caches()?;
    if cfg!(feature = "pubsub") && !emulator::is_built(&caches) {
        tell_of_build();
    }
    let emulator::Detached { address, process, ran_before } = emulator::start(&caches, folder)?;
    Ok(DevPubsub { address, process, ran_before })
}

/// Stops the server of a folder; false if none runs there.
pub fn stop_dev_pubsub(folder: &Path) -> Result<bool> {
    emulator::stop(folder)
}
