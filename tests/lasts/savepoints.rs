//! Jobs that are stopped with a savepoint and resumed from it, in the seeded driver: with other workers, killed on their
//! way, after a future that was abandoned, and without the savepoint once they have begun.

use crate::crashes::Trial;
use dataflow::ErrorKind;
use project::{Failure, JobOptions, SavedJob, SavepointRequests};
use sql::Target;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use tests::{Running, told};

/// A running job, and what takes its savepoints.
struct Asked {
    running: Running,
    savepoints: SavepointRequests,
}

impl Trial {
    /// Starts the job from a savepoint, or from its last checkpoint.
    fn begin(&mut self, savepoint: Option<&Path>, workers: usize) -> Result<Asked, Failure> {
        // Opened anew, as by a new process.
        let project = self.place.project("dev");
        let options = JobOptions { savepoint: savepoint.map(Path::to_owned), ..JobOptions::default() };
        let wired = project.job(&Target::All, &options)?;
        let savepoints = wired.savepoints.clone();
        Ok(Asked { running: Running::new(wired, workers, self.chance.number()), savepoints })
    }

    /// Starts the job from a savepoint. Where its outputs have gone on without it, that is refused, and the job goes on from
    /// its last checkpoint; the savepoint is deleted once it is not needed any more, sometimes.
    fn resume(&mut self, savepoint: &Path, workers: usize, is_abandoned: bool, seed: u64) -> Asked {
        let before = std::fs::read_dir(savepoint).unwrap().count();
        match self.begin(Some(savepoint), workers) {
            Ok(asked) => {
                assert_eq!(std::fs::read_dir(savepoint).unwrap().count(), before, "seed {seed}: nothing is taken out");
                if self.chance.permille(500) {
                    std::fs::remove_dir_all(savepoint).unwrap();
                }
                asked
            }
            Err(Failure::Error(error)) => {
                assert!(is_abandoned && error.kind() == ErrorKind::Invalid, "seed {seed}: {}", error.chain());
                assert!(error.chain().contains("is ahead of the checkpoint"), "seed {seed}: {}", error.chain());
                self.refused += 1;
                self.begin(None, workers).map_err(told).unwrap()
            }
            Err(failure) => panic!("seed {seed}: {}", told(failure)),
        }
    }

    /// Lets a job run for a while.
    fn steps(&mut self, asked: &mut Asked, most: u64) {
        for _ in 0..1 + self.chance.below(8) {
            self.put_some();
            for _ in 0..self.chance.below(most) {
                asked.running.driver.step().unwrap();
            }
            if self.chance.permille(300) {
                asked.running.driver.control().commit();
            }
        }
    }

    /// Ends a job with a savepoint.
    fn stop(&mut self, asked: Asked) -> PathBuf {
        let to = self.chance.permille(500).then(|| self.place.path().join(format!("kept/{}", self.chance.number())));
        let saved = asked.savepoints.ask(to.clone(), true);
        asked.running.driver.control().finish();
        asked.running.run_to_end().unwrap();
        let saved = answer(&saved);
        assert!(to.is_none_or(|to| to == saved.folder));
        saved.folder
    }
}

fn answer(saved: &Receiver<dataflow::Result<SavedJob>>) -> SavedJob {
    saved.recv().expect("the job has made its last checkpoint").unwrap()
}

/// A trial of a seed; gives how many savepoints were refused and how many were gone on from after an abandoned future.
fn trial(seed: u64) -> (usize, usize) {
    let mut trial = Trial::new(seed);
    (0..trial.chance.below(6)).for_each(|_| trial.put_some());
    if trial.chance.permille(500) {
        let project = trial.place.project("dev");
        trial.archive(&project);
    }
    let mut first = trial.begin(None, 2).map_err(told).unwrap();
    trial.steps(&mut first, 300);
    let mut savepoint = trial.stop(first);
    let mut taken_up = 0;
    for workers in [1, 2, 3, 5] {
        let is_abandoned = trial.chance.permille(400);
        if is_abandoned {
            let others = 1 + trial.chance.below(3) as usize;
            let mut abandoned = trial.begin(None, others).map_err(told).unwrap();
            trial.steps(&mut abandoned, 120);
        }
        let refused = trial.refused;
        let mut resumed = trial.resume(&savepoint, workers, is_abandoned, seed);
        taken_up += usize::from(is_abandoned && trial.refused == refused);
        trial.steps(&mut resumed, 300);
        if trial.chance.permille(300) {
            // Killed, on its first steps or later.
            drop(resumed);
            resumed = trial.begin(None, workers).map_err(told).unwrap();
            trial.steps(&mut resumed, 100);
        }
        savepoint = trial.stop(resumed);
    }
    trial.put_last();
    trial.finish(None, seed);
    (trial.refused, taken_up)
}

#[test]
fn a_job_that_was_stopped_and_resumed_gives_the_rows_of_one_that_was_not() {
    let trials = std::env::var("LASTS_SEEDS").map_or(10, |seeds| seeds.parse().unwrap());
    let first: u64 = std::env::var("LASTS_FIRST").map_or(0, |seed| seed.parse().unwrap());
    let (mut refused, mut taken_up) = (0, 0);
    for seed in first..first + trials {
        let of_seed = trial(seed);
        (refused, taken_up) = (refused + of_seed.0, taken_up + of_seed.1);
    }
    println!("{refused} savepoints were refused, {taken_up} taken up after a future that was abandoned");
    // A few seeds need not have both.
    assert!(trials < 25 || refused > 0 && taken_up > 0, "{refused} refused, {taken_up} taken up");
}

#[test]
fn a_savepoint_of_a_running_job_is_one_of_the_moment() {
    let mut trial = Trial::new(1_000);
    let mut running = trial.begin(None, 2).map_err(told).unwrap();
    trial.steps(&mut running, 300);
    let saved = running.savepoints.ask(None, false);
    running.running.driver.control().commit();
    running.running.settle().unwrap();
    let saved = answer(&saved);
    // What comes after it is given up; its rows are not in the tables, since nobody has let them be committed.
    drop(running);
    let mut resumed = trial.resume(&saved.folder, 3, true, 1_000);
    trial.steps(&mut resumed, 100);
    trial.stop(resumed);
    trial.put_last();
    trial.finish(None, 1_000);
}
