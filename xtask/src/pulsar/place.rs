//! A broker of its own for the bench, and a namespace for each run.

use crate::failure;
use crate::python::write;
use connector_pulsar::standalone::Standalone;
use dataflow::Result;
use std::path::Path;
use tempfile::TempDir;

/// The partitions of the topic of actions, and of that of messages unless one is enough.
pub const PARTITIONS: u32 = 4;
/// As `riverrun pulsar start` has it.
const SETTINGS: &str = "brokerDeduplicationEnabled=true\n";

/// A broker whose data is gone with it.
pub struct Broker {
    // It is killed before its folder is removed.
    broker: Standalone,
    _data: TempDir,
    runs: u32,
}

impl Broker {
    /// Starts it; what the machine lacks for that is named.
    pub fn start(cache: &Path, programs: &Path) -> Result<Broker> {
        let data = tempfile::tempdir_in(cache).map_err(|error| failure::file("make a folder in", cache, error))?;
        let broker = Standalone::start(programs, data.path(), SETTINGS)?;
        Ok(Broker { broker, _data: data, runs: 0 })
    }

    pub fn service_url(&self) -> String {
        self.broker.service_url()
    }

    /// Makes a namespace with the topics of a run, messages in so many partitions, and gives its name.
    pub fn namespace(&mut self, partitions: u32) -> Result<String> {
        self.runs += 1;
        let name = format!("public/run-{}", self.runs);
        self.admin("PUT", &format!("namespaces/{name}"), "")?;
        for (topic, partitions) in [("messages", partitions), ("actions", PARTITIONS), ("accounts", 1)] {
            self.admin("PUT", &format!("persistent/{name}/{topic}/partitions"), &partitions.to_string())?;
        }
        Ok(name)
    }

    /// Deletes a namespace with all that is in it; that this fails costs no more than space on the disk.
    pub fn forget(&self, namespace: &str) {
        if let Err(error) = self.admin("DELETE", &format!("namespaces/{namespace}?force=true"), "") {
            eprintln!("{}", error.chain());
        }
    }

    fn admin(&self, method: &str, path: &str, json: &str) -> Result<()> {
        let (status, body) = self.broker.admin().request(method, &format!("/admin/v2/{path}"), json)?;
        match status {
            200..300 => Ok(()),
            _ => Err(failure::program("the broker's admin interface", format!("{method} {path}: {status} {body}"))),
        }
    }
}

/// Makes a project that reads and writes a namespace.
pub fn project(cache: &Path, service: &str, namespace: &str, sql: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir_in(cache).map_err(|error| failure::file("make a folder in", cache, error))?;
    let pipelines = folder.path().join("pipelines");
    std::fs::create_dir(&pipelines).map_err(|error| failure::file("make", &pipelines, error))?;
    let settings = include_str!("../../bench/pulsar/riverrun.toml");
    let settings = settings.replace("{service}", service).replace("{namespace}", namespace);
    write(&folder.path().join("riverrun.toml"), &settings)?;
    write(&pipelines.join("bench.sql"), sql)?;
    Ok(folder)
}
