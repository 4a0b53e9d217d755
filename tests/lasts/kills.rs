//! The real program on real files under kill -9 at random moments, while messages come in.

use crate::outputs::check_outputs;
use crate::scene::{PARTITIONS, SQL, message, report};
use connector_local::{Outgoing, Topics};
use dataflow::EventTime;
use project::Project;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tests::machine::{Machine, SECOND, now, pause};
use tests::{Chance, Program, riverrun, told};

/// For how long a run may take that has everything there.
pub const RUN: i64 = 120 * SECOND;
/// Messages that are published at once.
pub const BURST: u64 = 400;

const SETTINGS: &str = "
[project]
name = \"lasts\"
commit_every = \"300ms\"
checkpoint_every = \"100ms\"
[env.dev]
history = { warehouse = \"dev\" }
live = { topics = \"topics\" }
[env.oracle]
history = { warehouse = \"oracle\" }
live = { topics = \"topics\" }
";

pub struct Trial {
    folder: tempfile::TempDir,
    topics: Topics,
    pub chance: Chance,
    messages: u64,
    /// Variables of the programs that it starts.
    pub environment: Vec<(&'static str, String)>,
}

impl Trial {
    pub fn new(seed: u64) -> Trial {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pipelines")).unwrap();
        std::fs::write(folder.path().join("riverrun.toml"), SETTINGS).unwrap();
        let topics = Topics::open(folder.path().join("topics"), Arc::new(Machine)).unwrap();
        for topic in ["messages", "reports"] {
            topics.create(topic, PARTITIONS).unwrap();
        }
        let mut trial = Trial { folder, topics, chance: Chance::new(seed), messages: 0, environment: Vec::new() };
        trial.write(SQL);
        // Every partition has rows from the beginning: one that joins a running job is moved, and a replay says otherwise.
        trial.publish(BURST);
        trial
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Publishes so many messages, a third of them reports, to all partitions.
    pub fn publish(&mut self, count: u64) {
        for topic in ["messages", "reports"] {
            for partition in 0..PARTITIONS {
                let payloads = self.payloads(topic, count / 6 + 1, now());
                let outgoing = |payload| Outgoing { sequence: 0, key: None, payload, arrived: None };
                let messages: Vec<_> = payloads.iter().map(|payload| outgoing(payload.as_bytes())).collect();
                self.topics.producer(topic, "", 0).unwrap().append(partition, &messages).unwrap();
            }
        }
    }

    /// So many messages of a topic, of the three seconds before a moment.
    pub fn payloads(&mut self, topic: &str, count: u64, moment: i64) -> Vec<String> {
        let mut payload = |_| {
            let event = EventTime(moment - self.chance.between(0, 3 * SECOND));
            match topic {
                "messages" => message(&mut self.chance, &mut self.messages, event),
                _ => report(&mut self.chance, event),
            }
        };
        (0..count).map(&mut payload).collect()
    }

    pub fn program(&mut self, arguments: &[&str]) -> Program {
        let workers = (1 + self.chance.below(4)).to_string();
        let mut all = vec!["run"];
        all.extend(arguments);
        all.extend(["--workers", &workers]);
        self.starts(&all)
    }

    pub fn starts(&self, arguments: &[&str]) -> Program {
        let mut command = Command::new(riverrun());
        command.arg("--project").arg(self.path()).args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Program::spawn(command)
    }

    /// Runs a job to its end, which is to be a success.
    pub fn to_end(&mut self, arguments: &[&str]) -> String {
        let ended = self.program(arguments).ended(RUN).expect("it ends");
        assert_eq!(ended.code, Some(0), "{}", ended.told);
        ended.told
    }

    /// Runs the job to the end of what there is, and compares what came out with what a run gives that nobody disturbed.
    pub fn finish(&mut self, what: &str) {
        self.to_end(&["--until-caught-up"]);
        self.compare(what);
    }

    /// Writes other pipelines.
    pub fn write(&self, sql: &str) {
        std::fs::write(self.path().join("pipelines/all.sql"), sql).unwrap();
    }

    /// Compares what came out with what a run gives that nobody disturbed.
    pub fn compare(&mut self, what: &str) {
        self.to_end(&["--until-caught-up", "--env", "oracle", "--fresh"]);
        let (dev, oracle) = (self.project("dev"), self.project("oracle"));
        let start = checkpoint::look(&dev.checkpoints_path(None)).unwrap().expect("there are checkpoints").facts.start;
        check_outputs(&dev, &oracle, start, what);
    }

    pub fn project(&self, environment: &str) -> Project {
        Project::open(self.path(), environment, Arc::new(Machine)).map_err(told).unwrap()
    }
}

fn trial(seed: u64) {
    let mut trial = Trial::new(seed);
    if trial.chance.permille(700) {
        let archive = Program::start(trial.path(), &["run", "archive", "--until-caught-up"]).ended(RUN).unwrap();
        assert_eq!(archive.code, Some(0), "{}", archive.told);
    }
    let mut kills = 0;
    for _ in 0..3 + trial.chance.below(4) {
        let mut running = trial.program(&[]);
        let dies_at = now() + trial.chance.between(0, 900_000);
        while now() < dies_at {
            let count = trial.chance.below(BURST);
            trial.publish(count);
            pause(trial.chance.between(0, 60_000));
        }
        if let Some(ended) = running.ended(0) {
            panic!("seed {seed}: the job ended by itself: {}", ended.told);
        }
        let signal = if trial.chance.permille(800) { "KILL" } else { "INT" };
        running.signal(signal);
        let ended = running.ended(RUN).unwrap_or_else(|| {
            panic!("seed {seed}: it does not end after {signal}: {}\n{}", running.told(), running.threads())
        });
        // A process that has said nothing may not have come to where it takes Ctrl-C as its end.
        let had_not_begun = ended.code.is_none() && ended.told.is_empty();
        let is_wanted = ended.code == if signal == "KILL" { None } else { Some(0) };
        assert!(is_wanted || had_not_begun, "seed {seed}: {:?}: {}", ended.code, ended.told);
        kills += usize::from(signal == "KILL");
    }
    trial.finish(&format!("seed {seed}, {kills} kills"));
}

#[test]
fn rows_are_each_there_once_whenever_the_program_is_killed() {
    let trials = std::env::var("LASTS_KILLS").map_or(6, |seeds| seeds.parse().unwrap());
    let first = std::env::var("LASTS_FIRST").map_or(0, |seed| seed.parse().unwrap());
    (first..first + trials).for_each(trial);
}
