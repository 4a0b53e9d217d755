//! A broker of Pulsar on this machine, for development.

use connector_pulsar::standalone;
use dataflow::{Error, Result};
use std::path::{Path, PathBuf};

/// Rows that are written twice are there once.
const SETTINGS: &str = "brokerDeduplicationEnabled=true\n";

/// A broker that runs.
pub struct DevBroker {
    /// Where clients connect.
    pub service_url: String,
    /// Where its admin interface is.
    pub admin_url: String,
    /// Its process.
    pub process: u32,
    /// Whether it ran before it was to be started.
    pub ran_before: bool,
}

/// Starts a broker whose data is in a folder. Its program is fetched once, into the folder of caches.
pub fn start_dev_broker(folder: &Path) -> Result<DevBroker> {
    let broker = standalone::start(&caches()?, folder, SETTINGS)?;
    let standalone::Detached { service_url, admin_url, process, ran_before } = broker;
    Ok(DevBroker { service_url, admin_url, process, ran_before })
}

/// Stops the broker of a folder; false if none runs there.
pub fn stop_dev_broker(folder: &Path) -> Result<bool> {
    Ok(standalone::stop(folder)?)
}

/// The folder of what is fetched or built once.
pub(crate) fn caches() -> Result<PathBuf> {
    let folder = |name: &str, below: &str| Some(PathBuf::from(std::env::var_os(name)?).join(below));
    let caches = folder("XDG_CACHE_HOME", "riverrun").or_else(|| folder("HOME", ".cache/riverrun"));
    caches.ok_or_else(|| Error::invalid("neither XDG_CACHE_HOME nor HOME says where programs are to be kept"))
}
