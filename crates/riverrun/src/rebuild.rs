//! `run --apply`: builds the state of changed steps before the job goes on.

use crate::attend::attend;
use crate::engine_job::{cores, engine_job};
use crate::listener::Begun;
use crate::outcome::Outcome;
use crate::progress::{Progress, Spinner};
use crate::signals::Stop;
use crate::{print, show};
use engine::Control;
use project::{Failure, JobOptions, KeptSteps, Lacking, Project, Rebuilding, Wired};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;

/// Builds what a job whose pipelines have changed lacks to go on with the state that it has. Gives the exit code where it
/// was stopped before that: nothing has changed then.
pub fn rebuild(
    project: &Project,
    options: &JobOptions,
    stop: &Stop,
    workers: Option<NonZeroUsize>,
) -> Outcome<Option<ExitCode>> {
    let looking = Spinner::start("comparing the pipelines with the last checkpoint");
    let rebuilding = project.rebuild(options, engine::state_memory)?;
    drop(looking);
    match rebuilding {
        Rebuilding::Nothing => Ok(None),
        Rebuilding::Anew(why) => {
            tell(&format!("no state is kept: {why}"));
            Ok(None)
        }
        Rebuilding::Done(steps) => {
            tell_kept(steps);
            Ok(None)
        }
        Rebuilding::Run(wired, steps, lacking) => {
            tell_kept(steps);
            build(project, options, (*wired, &lacking), stop, workers)
        }
    }
}

fn tell(text: &str) {
    print::note_text(&show::sentence(text));
}

fn tell_kept(KeptSteps { checkpoint, kept, built }: KeptSteps) {
    let built = match built {
        0 => "nothing has to be read".to_owned(),
        built => {
            format!("that of {} is built from history, and then the job goes on", show::counted(built as i64, "step"))
        }
    };
    tell(&format!(
        "the pipelines have changed since checkpoint {checkpoint}: the state of {} is kept, {built}",
        show::counted(kept as i64, "step")
    ));
}

fn build(
    project: &Project,
    options: &JobOptions,
    (mut wired, lacking): (Wired, &Lacking),
    stop: &Stop,
    workers: Option<NonZeroUsize>,
) -> Outcome<Option<ExitCode>> {
    let stats = wired.stats.clone();
    let control = Arc::new(Control::default());
    let workers = workers.map_or_else(cores, usize::from);
    let attended = attend(project, options, &mut wired, (workers, &control, stop), &Begun::now(), true);
    let (job, _spill) = engine_job(wired, Some(workers))?;
    let mut progress = Progress::start(&stats);
    let ended = engine::run(job, &control, &mut |status| {
        if stop.is_asked() {
            control.finish();
        }
        attended.state.set(status.state_bytes());
        progress.tick(status);
    });
    progress.finish();
    let Err(error) = ended else { return Ok(None) };
    if stop.is_asked() {
        tell("stopped before state was built again: nothing has changed");
        return Ok(Some(stop.exit_code()));
    }
    match lacking.why() {
        Some(why) => {
            tell(&format!("no state is kept: {why}"));
            Ok(None)
        }
        None => Err(Failure::Begun(error)),
    }
}
