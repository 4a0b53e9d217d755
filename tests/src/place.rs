//! A project on disk, of its own for one test, with a clock that the test turns.

use connector_local::{Outgoing, Topics};
use dataflow::{Clock, ManualClock, ProcessingTime, Span, Topic};
use project::{Archive, ArchiveEnd, ArchiveOptions, Failure, Project};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A project's folder. Each environment has a warehouse of its own, and all share the topics.
pub struct Place {
    folder: TempDir,
    clock: Arc<ManualClock>,
}

impl Place {
    /// Writes a project with one file of SQL and environments by name. The clock stands at `now`, in microseconds.
    pub fn new(name: &str, sql: &str, environments: &[String], now: i64) -> Place {
        let folder = tempfile::tempdir().expect("a folder for the test can be made");
        let mut settings = format!("[project]\nname = \"{name}\"\n");
        for environment in environments {
            settings += &format!(
                "[env.{environment}]\nhistory = {{ warehouse = \"{environment}\" }}\nlive = {{ topics = \"topics\" }}\n"
            );
        }
        let write = |path: PathBuf, text: &str| std::fs::write(path, text).expect("the project can be written");
        std::fs::create_dir(folder.path().join("pipelines")).expect("the project can be written");
        write(folder.path().join("riverrun.toml"), &settings);
        write(folder.path().join("pipelines/all.sql"), sql);
        Place { folder, clock: Arc::new(ManualClock::new(ProcessingTime(now))) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The project in an environment.
    pub fn project(&self, environment: &str) -> Project {
        Project::open(self.path(), environment, self.clock.clone()).map_err(told).expect("the project opens")
    }

    /// The topics of all environments.
    pub fn topics(&self) -> Topics {
        Topics::open(self.path().join("topics"), self.clock.clone()).expect("the topics open")
    }

    /// The time that stamps messages, in microseconds.
    pub fn now(&self) -> i64 {
        self.clock.now().0
    }

    /// Turns the clock on.
    pub fn advance(&self, span: Span) {
        self.clock.advance(span);
    }

    /// Puts a message of nobody in particular on a topic.
    pub fn put(&self, topic: &str, partition: u32, payload: &str) {
        let mut producer = self.topics().producer(topic, "", 0).expect("the topic is there");
        let message = Outgoing { sequence: 0, key: None, payload: payload.as_bytes(), arrived: None };
        producer.append(partition, &[message]).expect("the message is written");
    }

    /// All messages of a topic, by partition.
    pub fn messages(&self, topic: &str) -> Vec<Vec<dataflow::Message>> {
        let topic = self.topics().topic(topic).expect("the topics can be read").expect("the topic is there");
        let partition = |partition| {
            let mut log = topic.open(partition, None).expect("the partition opens");
            let mut all = Vec::new();
            loop {
                let some = log.read(8192, 1 << 24).expect("the partition can be read");
                if some.is_empty() {
                    return all;
                }
                all.extend(some);
            }
        };
        (0..topic.partitions()).map(partition).collect()
    }
}

/// Archives what there is on the topics of a project, up to the ends that are given, in one commit per stream.
pub fn archive(project: &Project, ends: BTreeMap<String, ArchiveEnd>) -> Result<(), String> {
    const COMMIT_EVERY: Duration = Duration::from_secs(3600);
    let options = ArchiveOptions { ends, commit_every: COMMIT_EVERY };
    let mut archive = Archive::open(project, options).map_err(told)?;
    while !archive.is_done() {
        let step = archive.step(Duration::ZERO).map_err(|error| error.chain())?;
        if step.caught_up {
            archive.finish();
            archive.wait(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// What a failure says, for messages of tests.
pub fn told(failure: Failure) -> String {
    match failure {
        Failure::Diagnostics(all) => all.iter().map(|one| format!("{one}\n")).collect(),
        Failure::Error(error) | Failure::Begun(error) => error.chain(),
    }
}
