//! A run that is to end where topics end, killed at that very end, and gone on from by one that goes on for ever.

use crate::kills::{BURST, RUN, Trial};
use crate::outputs::{check_actions, published};
use crate::struck::can_strike;
use dataflow::Fate;
use std::process::Command;
use tests::machine::{SECOND, now, pause};
use tests::{Program, riverrun};

/// How many runs are tried to kill at their end.
const TRIES: u64 = 12;
/// For how long each sync waits, so that what is put out at the end is there long before its checkpoint is.
const SYNC_MICROS: i64 = SECOND / 5;

/// Starts a run to where topics end, all of whose syncs take their time, and kills it once it has put rows out.
fn killed_at_its_end(trial: &Trial) {
    let mut slow = Command::new("strace");
    slow.args(["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    slow.args(["-e", &format!("inject=fsync,fdatasync:delay_enter={SYNC_MICROS}")]);
    slow.arg(riverrun()).arg("--project").arg(trial.path()).args(["run", "--until-caught-up", "--workers", "2"]);
    let mut running = Program::spawn(slow);
    let (project, begun) = (trial.project("dev"), now());
    while published(&project).is_empty() && running.ended(0).is_none() {
        assert!(now() < begun + RUN, "nothing comes out: {}", running.told());
        pause(SECOND / 200);
    }
    // What runs under another program is not ended with that.
    if let Some(holder) = checkpoint::holder(&project.checkpoints_path(None)) {
        let _ = Command::new("kill").args(["-KILL", &holder.process.to_string()]).output();
    }
    running.ended(RUN).expect("it ends");
}

/// Whether the run that was killed had put out what its last checkpoint does not have, and was to come to ends.
fn is_killed_at_its_end(trial: &Trial) -> bool {
    let project = trial.project("dev");
    let newest = checkpoint::look(&project.checkpoints_path(None)).unwrap();
    let there: usize = published(&project).values().map(Vec::len).sum();
    newest.filter(|newest| newest.facts.bounded && !newest.last).is_some_and(|newest| {
        let known = newest.rows.steps.iter().find(|(step, _)| step == "into actions");
        known.map_or(0, |(_, fates)| fates.of(Fate::Out)) < there as i64
    })
}

#[test]
fn what_a_run_has_put_out_at_its_ends_comes_again_in_one_that_goes_on_for_ever() {
    if !can_strike() {
        return;
    }
    let mut tries = (0..TRIES).map(|seed| Trial::new(70 + seed)).filter(|trial| {
        killed_at_its_end(trial);
        is_killed_at_its_end(trial)
    });
    let mut trial = tries.next().expect("a run is killed at its end");
    drop(tries);
    let project = trial.project("dev");
    let before: usize = published(&project).values().map(Vec::len).sum();
    // Their times lie on both sides of where the run was to end.
    trial.publish(BURST);
    let mut running = trial.starts(&["run", "--workers", "3"]);
    let begun = now();
    while !running.told().contains("that is where the run before was to end; the job goes on") {
        assert!(running.ended(0).is_none(), "the job ended by itself: {}", running.told());
        assert!(now() < begun + RUN, "it does not come to the ends: {}", running.told());
        pause(SECOND / 100);
    }
    while published(&project).values().map(Vec::len).sum::<usize>() <= before {
        assert!(now() < begun + RUN, "it does not go on after the ends: {}", running.told());
        trial.publish(BURST / 8);
        pause(SECOND / 5);
    }
    running.signal("KILL");
    running.ended(RUN).expect("it ends");
    trial.to_end(&["--until-caught-up"]);
    let start = checkpoint::look(&project.checkpoints_path(None)).unwrap().expect("there are checkpoints").facts.start;
    check_actions(&project, start, "killed at its end");
}
