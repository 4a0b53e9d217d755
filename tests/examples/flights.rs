//! A copy of examples/flights in a folder of its own, and the command line that runs it.

use crate::environment::printed;
use connector_local::Topics;
use dataflow::{ManualClock, Position, ProcessingTime, Topic};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// The streams, and over how many partitions the test spreads their topics.
pub const STREAMS: [(&str, u32); 3] = [("departures", 1), ("arrivals", 2), ("weather", 1)];

/// Where a run began and what it wrote, as `run --json` tells it.
pub struct Ran {
    /// The environment, whose warehouse has the same name.
    pub environment: String,
    /// `W` as the summary shows it.
    pub start: String,
    /// The epoch under which actions were written.
    pub epoch: u64,
    /// Rows that were read from history, of all streams.
    pub history_rows: u64,
    /// Rows that were read from topics, of all streams.
    pub live_rows: u64,
}

/// A copy of the example. All its environments share the topics.
pub struct Flights {
    folder: TempDir,
}

impl Flights {
    /// Copies the example with its own environments.
    pub fn as_it_is() -> Flights {
        let folder = tempfile::tempdir().expect("a folder for the test can be made");
        tests::copy_example(&tests::root().join("examples/flights"), folder.path());
        Flights { folder }
    }

    /// Copies the example, and gives it these environments.
    pub fn copy(environments: &[&str]) -> Flights {
        let Flights { folder } = Flights::as_it_is();
        let mut settings = "[project]\nname = \"flights\"\n".to_owned();
        for environment in environments {
            settings += &format!(
                "[env.{environment}]\nhistory = {{ warehouse = \"{environment}\" }}\nlive = {{ topics = \"topics\" }}\n"
            );
        }
        fs::write(folder.path().join("riverrun.toml"), settings).expect("the settings can be written");
        Flights { folder }
    }

    /// A path in the copy.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Runs the command line on the copy, and gives what it printed to standard output.
    pub fn riverrun(&self, environment: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(tests::riverrun());
        printed(command.arg("-C").arg(self.folder.path()).args(["--env", environment]).args(arguments))
    }

    /// Publishes one half of every stream: `history` or `live`.
    pub fn publish(&self, environment: &str, half: &str) {
        for (stream, partitions) in STREAMS {
            let file = self.path(&format!("data/{stream}/{half}.parquet"));
            let file = file.to_string_lossy();
            self.riverrun(environment, &["publish", stream, &file, "--partitions", &partitions.to_string()]);
        }
    }

    /// Runs the job from its beginning to the ends of the topics, on so many workers.
    pub fn run(&self, environment: &str, workers: usize) -> Ran {
        let workers = workers.to_string();
        let arguments = ["run", "--until-caught-up", "--fresh", "--json", "--workers", &workers];
        let told = self.riverrun(environment, &arguments);
        let summary: Value = serde_json::from_str(&told).expect("the summary is JSON");
        let total = |count: &str| {
            let streams = summary["streams"].as_array().expect("the summary lists streams");
            streams.iter().map(|stream| stream[count].as_u64().expect("a count is a number")).sum()
        };
        let outputs = summary["outputs"].as_array().expect("the summary lists outputs");
        let epoch = outputs
            .iter()
            .filter_map(Value::as_str)
            .find_map(|line| line.strip_prefix("topic actions (epoch ")?.strip_suffix(')')?.parse().ok());
        Ran {
            environment: environment.to_owned(),
            start: summary["start"].as_str().expect("the summary says where actions begin").to_owned(),
            epoch: epoch.expect("the summary shows the epoch of the topic"),
            history_rows: total("history_rows"),
            live_rows: total("live_rows"),
        }
    }

    /// The positions of all messages of a stream's topic, by partition.
    pub fn positions(&self, stream: &str) -> Vec<Vec<Position>> {
        let clock = Arc::new(ManualClock::new(ProcessingTime(0)));
        let topics = Topics::open(self.path("topics"), clock).expect("the topics open");
        let topic = topics.topic(stream).expect("the topics can be read").expect("the topic is there");
        let partition = |partition| {
            let mut log = topic.open(partition, None).expect("the partition opens");
            let mut all = Vec::new();
            loop {
                let some = log.read(8192, 1 << 24).expect("the partition can be read");
                if some.is_empty() {
                    return all;
                }
                all.extend(some.iter().map(|message| message.position));
            }
        };
        (0..topic.partitions()).map(partition).collect()
    }
}
