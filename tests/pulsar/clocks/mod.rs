//! Clocks of producers and brokers that differ, stand still or jump: rows have the times that the rule gives them over
//! the log as it is, and come out when the rule lets them, a second later at most.
//!
//! What takes longer runs with `PULSAR_CLOCKS=all`.

mod frozen;
mod producers;
mod quiet;
mod rows;
mod scene;
mod two_brokers;

use connector_pulsar::standalone::Standalone;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tests::Broker;

/// Each row is written once, whatever is killed.
const SETTINGS: &str = "brokerDeduplicationEnabled=true\n";
const WITHOUT_STAMPS: &str = "brokerEntryMetadataInterceptors=\nexposingBrokerEntryMetadataToClientEnabled=false\n";

/// Whether everything runs.
fn all() -> bool {
    std::env::var("PULSAR_CLOCKS").is_ok_and(|what| what == "all")
}

fn cache() -> PathBuf {
    Path::new(&std::env::var("HOME").expect("HOME says where caches are kept")).join(".cache/riverrun")
}

type Started = OnceLock<Option<(Standalone, tempfile::TempDir)>>;

fn started(at: &'static Started, settings: &str) -> Option<&'static Standalone> {
    let start = || {
        let data = Broker::is_possible().then(|| tempfile::tempdir().unwrap())?;
        Some((Standalone::start(&cache(), &data.path().join("broker"), settings).unwrap(), data))
    };
    at.get_or_init(start).as_ref().map(|(broker, _)| broker)
}

/// A broker that these tests share; it ends with this process.
fn stamping() -> Option<&'static Standalone> {
    static BROKER: Started = OnceLock::new();
    started(&BROKER, SETTINGS)
}

/// One that does not stamp.
fn without_stamps() -> Option<&'static Standalone> {
    static BROKER: Started = OnceLock::new();
    started(&BROKER, &format!("{SETTINGS}{WITHOUT_STAMPS}"))
}
