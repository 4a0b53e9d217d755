//! What the test binaries of this folder share.

mod broker;
pub mod catalogs;
mod chance;
mod examples;
mod java_reader;
mod killed;
pub mod machine;
mod other_clock;
mod place;
mod program;
mod pulsar_proxy;
mod python;
mod rows;
mod running;
pub mod time_rule;

pub use broker::Broker;
pub use chance::Chance;
pub use examples::copy_example;
pub use java_reader::{dump_topic, dump_topics};
pub use killed::run_with_kills;
pub use other_clock::OtherClock;
pub use place::{Place, archive, told};
pub use program::{Ended, Program, Taken};
pub use pulsar_proxy::PulsarProxy;
pub use python::{duckdb, pulsar_python};
pub use rows::{all_rows, surplus, table_rows};
pub use running::{RowCounts, Running, engine_job, run_on_threads};

use std::path::PathBuf;

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the tests lie in the repository")
}

/// The command line, which cargo puts beside the folder of the test binaries.
pub fn riverrun() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let found = own.parent().and_then(|deps| Some(deps.parent()?.join("riverrun"))).filter(|path| path.exists());
    found.expect("the command line is not built; run the tests of the whole workspace, or `cargo build` first")
}
