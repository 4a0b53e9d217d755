//! Pipelines that change between two runs of a job, in the seeded driver: what is kept of the state, and what is built
//! again, gives the rows of a run that always had the new pipelines, after those that the old ones had given.

use crate::crashes::Trial;
use crate::outputs::{decided_texts, published};
use crate::scene::SQL;
use project::{Begin, JobOptions, Project, Rebuilding, Wired};
use sql::Target;
use std::collections::BTreeSet;
use tests::{Running, surplus, table_rows, told};

/// How a change is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Changed steps are built from history, and the others keep their state.
    Built,
    /// Nothing has to be read.
    Done,
    /// All state is built again by the job itself.
    Anew,
}

/// A change of the pipelines: what is written otherwise, and how it is applied.
struct Change {
    what: &'static str,
    edits: &'static [(&'static str, &'static str)],
    way: Way,
}

/// One of each kind of step.
const CHANGES: [Change; 16] = [
    Change {
        what: "the frame of a window",
        edits: &[("INTERVAL '15' SECOND PRECEDING", "INTERVAL '25' SECOND PRECEDING")],
        way: Way::Built,
    },
    Change {
        what: "the key of a window",
        edits: &[("w AS (PARTITION BY m.sender", "w AS (PARTITION BY m.size")],
        way: Way::Built,
    },
    Change {
        what: "the function of a window",
        edits: &[("sum(m.size) OVER w", "max(m.size) OVER w")],
        way: Way::Built,
    },
    Change {
        what: "how far lag goes back",
        edits: &[("lag(m.size) OVER k", "lag(m.size, 2) OVER k")],
        way: Way::Built,
    },
    Change {
        what: "an as-of join",
        edits: &[("r.reported_at <= m.sent_at\n", "r.reported_at < m.sent_at\n")],
        way: Way::Built,
    },
    Change {
        what: "an aggregate",
        edits: &[("m.sent_at - INTERVAL '20' SECOND", "m.sent_at - INTERVAL '40' SECOND")],
        way: Way::Built,
    },
    Change {
        what: "where a label begins",
        edits: &[("BETWEEN c.sent_at AND", "BETWEEN c.sent_at + INTERVAL '1' SECOND AND")],
        way: Way::Built,
    },
    Change {
        what: "how long a label waits",
        edits: &[("c.sent_at + INTERVAL '5' SECOND", "c.sent_at + INTERVAL '8' SECOND")],
        way: Way::Anew,
    },
    Change {
        what: "a label that waits less",
        edits: &[("c.sent_at + INTERVAL '5' SECOND", "c.sent_at + INTERVAL '2' SECOND")],
        way: Way::Anew,
    },
    Change {
        what: "a label that waits for nothing",
        edits: &[(
            "EXISTS (SELECT 1 FROM reports r WHERE r.sender = c.sender
         AND r.reported_at BETWEEN c.sent_at AND c.sent_at + INTERVAL '5' SECOND) AS label",
            "c.n > 3 AS label",
        )],
        way: Way::Anew,
    },
    Change {
        what: "a decision",
        edits: &[("WHEN n > 4", "WHEN n > 2"), ("ONCE PER INTERVAL '4' SECOND", "ONCE PER INTERVAL '9' SECOND")],
        way: Way::Built,
    },
    Change {
        what: "a condition before windows",
        edits: &[("WINDOW w AS", "WHERE m.size > 20\nWINDOW w AS")],
        way: Way::Built,
    },
    Change {
        what: "an expression of an output",
        edits: &[("SELECT c.id, c.n, EXISTS", "SELECT c.id, c.n + 0 AS n, EXISTS")],
        way: Way::Done,
    },
    Change {
        what: "deduplication",
        edits: &[("WITHIN INTERVAL '10' SECOND", "WITHIN INTERVAL '30' SECOND")],
        way: Way::Anew,
    },
    Change {
        what: "the delay of a stream",
        edits: &[("sent_at - INTERVAL '2' SECOND,", "sent_at - INTERVAL '3' SECOND,")],
        way: Way::Anew,
    },
    Change {
        what: "a table",
        edits: &[(
            "INSERT INTO lake.labelled",
            "INSERT INTO lake.more SELECT id FROM messages;\nINSERT INTO lake.labelled",
        )],
        way: Way::Anew,
    },
];

impl Change {
    fn sql(&self) -> String {
        let mut sql = SQL.to_owned();
        for (from, to) in self.edits {
            assert!(sql.contains(from), "{from} is not in {sql}");
            sql = sql.replace(from, to);
        }
        sql
    }

    /// Whether rows near the stop have other times with the new pipelines, so that they may be there twice or not at all.
    fn is_open(&self) -> bool {
        self.what == "the delay of a stream"
    }

    /// Whether as many rows come out as before.
    fn keeps_rows(&self) -> bool {
        !["a condition before windows", "deduplication"].contains(&self.what)
    }
}

fn wired(project: &Project, begin: Begin, until_caught_up: bool, applies_changes: bool) -> Wired {
    let options = JobOptions { until_caught_up, begin, applies_changes, ..JobOptions::default() };
    project.job(&Target::All, &options).map_err(told).unwrap_or_else(|error| panic!("{error}"))
}

impl Trial {
    pub fn write(&self, sql: &str) {
        std::fs::write(self.place.path().join("pipelines/all.sql"), sql).unwrap();
    }

    /// Runs the job for a while and ends it as people do.
    pub fn run_and_stop(&mut self) {
        let project = self.place.project("dev");
        let workers = 1 + self.chance.below(4) as usize;
        let mut running = Running::new(wired(&project, Begin::GoOn, false, false), workers, self.chance.number());
        for _ in 0..2 + self.chance.below(8) {
            self.put_some();
            for _ in 0..self.chance.below(300) {
                running.driver.step().unwrap();
            }
            if self.chance.permille(300) {
                running.driver.control().commit();
            }
        }
        running.settle().unwrap();
        running.driver.control().finish();
        running.run_to_end().unwrap();
    }

    /// Applies what is written now; killed at random on the way, and begun again. Gives how.
    pub fn apply(&mut self) -> Way {
        let mut kills = self.chance.below(3);
        loop {
            let project = self.place.project("dev");
            let options = JobOptions { applies_changes: true, ..JobOptions::default() };
            match project.rebuild(&options, engine::state_memory).map_err(told).unwrap() {
                Rebuilding::Run(wired, steps, lacking) => {
                    assert!(steps.built > 0);
                    let workers = 1 + self.chance.below(4) as usize;
                    let mut running = Running::new(*wired, workers, self.chance.number());
                    if kills > 0 {
                        kills -= 1;
                        for _ in 0..self.chance.below(400) {
                            running.driver.step().unwrap();
                        }
                        continue;
                    }
                    running.run_to_end().unwrap();
                    assert_eq!(lacking.why(), None);
                    return Way::Built;
                }
                Rebuilding::Done(_) => return Way::Done,
                Rebuilding::Anew(_) => return Way::Anew,
                // It was killed after all had been done.
                Rebuilding::Nothing => return Way::Built,
            }
        }
    }

    pub fn end(&mut self, environment: &str, begin: Begin) {
        let project = self.place.project(environment);
        let wired = wired(&project, begin, true, true);
        Running::new(wired, 1 + self.chance.below(3) as usize, self.chance.number()).run_to_end().unwrap();
    }

    pub fn rows(&self, environment: &str, table: &str) -> Vec<String> {
        table_rows(&self.place.project(environment).warehouse().unwrap(), table)
    }
}

/// Those of the whole that are not in the part; all of the part have to be there.
fn rest(part: &[String], whole: &[String], what: &str) -> Vec<String> {
    let lost = surplus(part, whole);
    assert!(lost.is_empty(), "{what}: rows that were there are not there any more: {lost:?}");
    surplus(whole, part).into_iter().cloned().collect()
}

/// The first cells of rows.
fn ids(rows: &[String]) -> Vec<String> {
    let mut ids: Vec<String> = rows.iter().map(|row| row.split('|').next().unwrap_or_default().to_owned()).collect();
    ids.sort_unstable();
    ids
}

fn trial(change: &Change, seed: u64) {
    let what = format!("{}, seed {seed}", change.what);
    let mut trial = Trial::new(seed);
    (0..trial.chance.below(6)).for_each(|_| trial.put_some());
    let archives = |trial: &mut Trial| {
        if trial.chance.permille(500) {
            let project = trial.place.project("dev");
            trial.archive(&project);
        }
    };
    archives(&mut trial);
    for _ in 0..1 + trial.chance.below(2) {
        trial.run_and_stop();
        archives(&mut trial);
    }
    let tables = ["lake.counted", "lake.labelled"];
    let before = tables.map(|table| trial.rows("dev", table));
    let decided = decided_texts(&trial.place.project("dev"));
    (0..trial.chance.below(4)).for_each(|_| trial.put_some());
    archives(&mut trial);
    trial.write(&change.sql());
    assert_eq!(trial.apply(), change.way, "{what}");
    if change.way != Way::Anew && trial.chance.permille(500) {
        trial.run_and_stop();
    }
    trial.put_last();
    trial.end("dev", Begin::GoOn);
    trial.end("oracle", Begin::Fresh);
    for (table, before) in tables.iter().zip(&before).filter(|_| !change.is_open()) {
        let (found, oracle) = (trial.rows("dev", table), trial.rows("oracle", table));
        let new = rest(before, &found, &format!("{what}: {table}"));
        let odd = surplus(&new, &oracle);
        assert!(odd.is_empty(), "{what}: {table}: {} of {} new rows are others: {odd:?}", odd.len(), new.len());
        if change.keeps_rows() {
            assert_eq!(ids(&found), ids(&oracle), "{what}: {table}");
        }
    }
    if change.is_open() {
        return;
    }
    let (found, oracle) = (decided_texts(&trial.place.project("dev")), decided_texts(&trial.place.project("oracle")));
    let odd = rest(&decided, &found, &format!("{what}: guard__log"));
    let odd = surplus(&odd, &oracle);
    assert!(odd.is_empty(), "{what}: guard__log: {odd:?}");
    // The oracle's own are the last ones.
    let mut by_epoch = published(&trial.place.project("dev"));
    by_epoch.pop_last();
    let published: Vec<String> = by_epoch.into_values().flatten().collect();
    let once: BTreeSet<&String> = published.iter().collect();
    assert_eq!(once.len(), published.len(), "{what}: an action twice");
}

#[test]
fn a_change_of_any_step_gives_the_rows_of_a_run_that_always_had_it() {
    let trials = std::env::var("LASTS_SEEDS").map_or(2, |seeds| seeds.parse().unwrap());
    let first: u64 = std::env::var("LASTS_FIRST").map_or(0, |seed| seed.parse().unwrap());
    for seed in first..first + trials {
        CHANGES.iter().for_each(|change| trial(change, seed));
    }
}
