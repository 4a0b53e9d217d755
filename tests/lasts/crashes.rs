//! A seed draws messages, how a job is stepped, and when it is killed, stopped and started with other workers. All of
//! it is on real files; what a kill takes is what the process had in memory. At the end a run in a warehouse of its own,
//! which reads the topics from their beginning at once, says which rows there are.

use crate::outputs::{check_outputs, published};
use crate::scene::{PARTITIONS, SQL, message, report};
use dataflow::{EventTime, Message, Span};
use project::{ArchiveEnd, Begin, JobOptions, Project, Wired};
use sql::Target;
use std::collections::BTreeMap;
use tests::{Chance, Place, Running, told};

const START: i64 = 1_767_225_600_000_000;
const SECOND: i64 = 1_000_000;

/// A trial: a project, and what a seed has in mind for it.
pub struct Trial {
    pub place: Place,
    pub chance: Chance,
    messages: u64,
    /// How many savepoints were refused.
    pub refused: usize,
}

impl Trial {
    pub fn new(seed: u64) -> Trial {
        let environments = ["dev", "oracle"].map(str::to_owned);
        let place = Place::new("lasts", SQL, &environments, START);
        for topic in ["messages", "reports"] {
            place.topics().create(topic, PARTITIONS).unwrap();
        }
        let mut trial = Trial { place, chance: Chance::new(seed), messages: 0, refused: 0 };
        // Every partition has rows from the beginning: one that joins a running job is moved, and a replay says otherwise.
        for topic in ["messages", "reports"] {
            (0..PARTITIONS).for_each(|partition| trial.put(topic, partition));
        }
        trial
    }

    fn put(&mut self, topic: &str, partition: u32) {
        self.place.advance(Span(self.chance.between(0, 700_000)));
        let event = EventTime(self.place.now() - self.chance.between(0, 3 * SECOND));
        let payload = match topic {
            "messages" => message(&mut self.chance, &mut self.messages, event),
            _ => report(&mut self.chance, event),
        };
        self.place.put(topic, partition, &payload);
    }

    pub fn put_some(&mut self) {
        for _ in 0..self.chance.below(12) {
            let topic = self.chance.of(&["messages", "messages", "reports"]);
            let partition = self.chance.below(PARTITIONS.into()) as u32;
            self.put(topic, partition);
        }
        if self.chance.permille(150) {
            self.place.advance(Span(self.chance.between(0, 6 * SECOND)));
        }
    }

    /// Puts a message on every partition, so late that silence has let no row out that the end of a run does not.
    pub fn put_last(&mut self) {
        self.place.advance(Span(10 * SECOND));
        for topic in ["messages", "reports"] {
            (0..PARTITIONS).for_each(|partition| self.put(topic, partition));
        }
    }

    pub fn archive(&mut self, project: &Project) {
        let upto = |(partition, log): (usize, &Vec<Message>)| {
            let count = self.chance.below(log.len() as u64 + 1) as usize;
            Some((partition as u32, log.get(count.checked_sub(1)?)?.position))
        };
        let to: ArchiveEnd = self.place.messages("messages").iter().enumerate().filter_map(upto).collect();
        if !to.is_empty() {
            tests::archive(project, BTreeMap::from([("messages".to_owned(), to)])).unwrap();
        }
    }

    fn start(&mut self, until_caught_up: bool) -> Running {
        // Opened anew, as by a new process.
        let project = self.place.project("dev");
        let wired = job(&project, Begin::GoOn, until_caught_up);
        Running::new(wired, 1 + self.chance.below(4) as usize, self.chance.number())
    }

    /// Where outputs on topics begin. That stays as it is once anything was published.
    fn start_of(&self, running: &Running, before: EventTime, seed: u64) -> EventTime {
        let is_published = running.start != before && !published(&self.place.project("dev")).is_empty();
        assert!(!is_published, "seed {seed}: W has moved from {before} to {}", running.start);
        running.start
    }

    /// Lets the job come to the end of what there is, and compares its outputs with those of a run that nobody disturbed.
    /// Where outputs on topics began so far is given where it is known.
    pub fn finish(&mut self, before: Option<EventTime>, seed: u64) {
        let last = self.start(true);
        let start = before.map_or(last.start, |before| self.start_of(&last, before, seed));
        last.run_to_end().unwrap();
        let (dev, oracle) = (self.place.project("dev"), self.place.project("oracle"));
        Running::new(job(&oracle, Begin::Fresh, true), 1, seed).run_to_end().unwrap();
        check_outputs(&dev, &oracle, start, &format!("seed {seed}"));
    }

    /// Steps a job for a while. It may be asked for commits, and to stop.
    fn live(&mut self, mut running: Running) {
        for _ in 0..1 + self.chance.below(12) {
            self.put_some();
            for _ in 0..self.chance.below(300) {
                running.driver.step().unwrap();
            }
            if self.chance.permille(300) {
                running.driver.control().commit();
            } else if self.chance.permille(300) {
                running.driver.control().checkpoint();
            }
        }
        if self.chance.permille(300) {
            running.driver.control().finish();
            running.run_to_end().unwrap();
        }
    }
}

fn job(project: &Project, begin: Begin, until_caught_up: bool) -> Wired {
    let options = JobOptions { until_caught_up, begin, ..JobOptions::default() };
    project.job(&Target::All, &options).map_err(told).unwrap_or_else(|error| panic!("{error}"))
}

fn trial(seed: u64) {
    let mut trial = Trial::new(seed);
    (0..trial.chance.below(6)).for_each(|_| trial.put_some());
    if trial.chance.permille(700) {
        let project = trial.place.project("dev");
        trial.archive(&project);
    }
    let first = trial.start(false);
    let mut start = first.start;
    trial.live(first);
    for _ in 0..trial.chance.below(6) {
        if trial.chance.permille(300) {
            let project = trial.place.project("dev");
            trial.archive(&project);
        }
        let running = trial.start(false);
        start = trial.start_of(&running, start, seed);
        trial.live(running);
    }
    trial.put_last();
    trial.finish(Some(start), seed);
}

#[test]
fn rows_are_those_of_a_run_that_nobody_killed() {
    let trials = std::env::var("LASTS_SEEDS").map_or(40, |seeds| seeds.parse().unwrap());
    let first = std::env::var("LASTS_FIRST").map_or(0, |seed| seed.parse().unwrap());
    (first..first + trials).for_each(trial);
}
