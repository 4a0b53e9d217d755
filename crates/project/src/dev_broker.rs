//! A broker of Pulsar on this machine, for development.

use crate::config::Config;
use crate::failure::Failure;
use crate::topic_place::TopicPlace;
use connector_pulsar::{Service, standalone};
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

/// Starts a broker whose data is in a folder, at a port if it has to be that one. Its program is fetched once, into the
/// folder of caches.
pub fn start_dev_broker(folder: &Path, port: Option<u16>) -> Result<DevBroker> {
    let broker = standalone::start(&caches()?, folder, SETTINGS, port)?;
    let standalone::Detached { service_url, admin_url, process, ran_before } = broker;
    Ok(DevBroker { service_url, admin_url, process, ran_before })
}

/// The port at which an environment of a project has its broker; none where it has topics in a folder, or where there is no
/// such environment.
pub fn dev_broker_port(project: &Path, environment: &str) -> std::result::Result<Option<u16>, Failure> {
    let settings = project.join("riverrun.toml");
    if !settings.exists() {
        return Ok(None);
    }
    let config = Config::read(&settings)?;
    let Some(TopicPlace::Pulsar(place)) = config.environments.get(environment).map(|found| &found.live.place) else {
        return Ok(None);
    };
    let Service { address, is_tls } = &place.service;
    if *is_tls || !["127.0.0.1", "localhost"].contains(&address.host.as_str()) {
        let told = format!(
            "environment \"{environment}\" is at {}, which a broker for development cannot be: it is reached by \
             pulsar://127.0.0.1:PORT, without TLS; name another environment with --env",
            place.service
        );
        return Err(Error::invalid(told).into());
    }
    Ok(Some(address.port))
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
