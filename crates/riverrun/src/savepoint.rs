//! `savepoint` and `stop`: what a running job is asked, and savepoints of one that does not run.

use crate::anchors;
use crate::args::{SavepointArgs, StopArgs};
use crate::ask::{Answer, Connection};
use crate::channel::{Ask, savepoint_json, savepoint_of};
use crate::outcome::Outcome;
use crate::print;
use crate::progress::Spinner;
use crate::show;
use dataflow::{Error, Result};
use project::{AnchorsOf, JobHere, NewestCheckpoint, Project, SavedJob, is_location};
use sql::some_of;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How often it is looked for a run that holds its checkpoints and does not answer: for ten seconds.
const LOOKS: u32 = 200;
const LOOK: Duration = Duration::from_millis(50);
/// What is waited for: outputs have to take all rows before it, so that one which stands still holds it up.
const WAITING: &str = "waiting for the job's checkpoint, which its outputs have to take";

/// Makes a savepoint, of the next checkpoint of a running job or of the last one that a run has left.
pub fn savepoint(project: &Project, args: &SavepointArgs) -> Outcome {
    let job = checked(project, args.job.as_deref())?;
    let to = args.to.as_deref().map(absolute).transpose()?;
    let saved = match running(project, job)? {
        Some(mut running) => {
            running.ask(&Ask::Savepoint(to))?;
            let _waiting = Spinner::start(WAITING);
            match running.answer()? {
                Answer::Savepoint(saved) => savepoint_of(&saved),
                _ => None,
            }
            .ok_or_else(|| Error::unavailable("the job ended, or has too many others to answer: ask again"))?
        }
        None => project.save(job, to.as_deref())?,
    };
    told(job, &saved, args.json)
}

/// Ends a running job, by default with a savepoint.
pub fn stop(project: &Project, args: &StopArgs) -> Outcome {
    if args.forget && args.job.as_deref() == Some("archive") {
        if let Some(writer) = project.archive_on_disk()?.and_then(|archive| archive.writer) {
            return Err(Error::invalid(format!(
                "ARCHIVE runs ({writer}), and keeps what it has not copied: stop it first, with Ctrl-C where it runs"
            ))
            .into());
        }
        return anchors::forget(project, AnchorsOf::Archive, args.json);
    }
    let job = asked(project, args.job.as_deref())?;
    let found = running(project, job)?;
    if found.is_some() || !args.forget {
        stop_running(project, (job, found), args)?;
    }
    if args.forget { anchors::forget(project, AnchorsOf::Job(job), args.json) } else { Ok(ExitCode::SUCCESS) }
}

fn stop_running(project: &Project, (job, found): (Option<&str>, Option<Connection>), args: &StopArgs) -> Outcome {
    let Some(mut running) = found else {
        return Err(Error::invalid(format!(
            "{} does not run here: `riverrun jobs` shows those that do, and `riverrun savepoint` makes a savepoint of one \
             that does not",
            called(job)
        ))
        .into());
    };
    // A store that is away does not keep a job of this machine from ending.
    let before = if args.no_savepoint { project.newest_checkpoint(job).ok() } else { None };
    let wanted = match args.no_savepoint {
        true => None,
        false => Some(args.to.as_deref().map(absolute).transpose()?),
    };
    running.ask(&Ask::Stop(wanted.clone()))?;
    let waiting = Spinner::start(WAITING);
    let (mut saved, mut failed) = (None, None);
    loop {
        match running.answer() {
            Ok(Answer::Savepoint(made)) => saved = savepoint_of(&made),
            Ok(Answer::End) => break,
            Ok(_) => {}
            // It ends all the same.
            Err(error) if failed.is_none() => failed = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    drop(waiting);
    if let Some(error) = failed {
        return Err(error.context(format!("{} ends without a savepoint", called(job))).into());
    }
    if let Some(saved) = saved {
        return told(job, &saved, args.json);
    }
    // Without a savepoint its last checkpoint shows how it ended.
    let newest = project.newest_checkpoint(job).map_err(|error| {
        error.context(format!("{} has ended, and whether it came to its last checkpoint cannot be told", called(job)))
    })?;
    let number = |newest: &Option<NewestCheckpoint>| newest.as_ref().map(|newest| newest.number);
    let has_moved = before.is_none_or(|before| number(&before) != number(&newest));
    match newest.filter(|newest| newest.is_end && has_moved && wanted.is_none()) {
        Some(newest) if args.json => {
            print::line(&serde_json::json!({ "job": job, "stopped": true, "checkpoint": newest.number }).to_string())?;
        }
        Some(newest) => print::note(format_args!(
            "{} has stopped at checkpoint {}; `riverrun run` goes on from there",
            called(job),
            newest.number
        )),
        None => {
            return Err(
                Error::unavailable(format!("{} ended before it came to its last checkpoint", called(job))).into()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn told(job: Option<&str>, saved: &SavedJob, json: bool) -> Outcome {
    if json {
        print::line(&serde_json::json!({ "job": job, "savepoint": savepoint_json(saved) }).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    print::line(&saved.folder.display().to_string())?;
    let name = job.map(|job| format!(" {job}")).unwrap_or_default();
    print::note(format_args!(
        "savepoint of checkpoint {}, written at {}, {} of state\n  riverrun resume{name} --from {}",
        saved.checkpoint,
        saved.written_at,
        show::bytes(saved.bytes as usize),
        saved.folder.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// What a job is called in sentences.
pub fn called(job: Option<&str>) -> String {
    job.map_or_else(|| "the job of all outputs".to_owned(), |job| format!("job \"{job}\""))
}

/// The job to stop. Of a name that is none the jobs that run are told.
fn asked<'a>(project: &Project, job: Option<&'a str>) -> Result<Option<&'a str>> {
    checked(project, job).map_err(|error| {
        let running = project.jobs_here().map_or(Vec::new(), |jobs| jobs.into_iter().filter(runs).collect());
        let names =
            running.iter().map(|job: &JobHere| job.name.as_deref().unwrap_or("that of all outputs, which has no name"));
        match running.len() {
            0 => Error::invalid(format!("{error}; no job runs here now")),
            _ => Error::invalid(format!("{error}; running now: {}", some_of(names))),
        }
    })
}

/// The run of a job that can be asked; none where nobody runs it. One that is starting is waited for, and so is the end of one
/// that is ending.
#[expect(clippy::disallowed_methods, reason = "waits for another process, which wakes nobody")]
fn running(project: &Project, job: Option<&str>) -> Result<Option<Connection>> {
    let folder = project.checkpoints_path(job);
    for _ in 0..LOOKS {
        if let Some(connection) = Connection::to_attentive(&folder)? {
            return Ok(Some(connection));
        }
        if !project.is_held(job)? {
            return match project.run_elsewhere(job)? {
                None => Ok(None),
                Some(holder) => Err(Error::invalid(format!(
                    "{} is run by {holder}, and can be asked on that machine alone: run the command there",
                    called(job)
                ))),
            };
        }
        std::thread::sleep(LOOK);
    }
    Err(Error::unavailable(format!(
        "{} is held by a run that does not answer: it is starting or ending, ask again; one that could make no socket, as it \
         said then, is stopped by Ctrl-C",
        called(job)
    )))
}

/// Whether a job runs.
fn runs(job: &JobHere) -> bool {
    matches!(Connection::open(&job.folder), Ok(Some(_)))
}

/// The job, if the project has one of the name or one of that name has run.
pub fn checked<'a>(project: &Project, job: Option<&'a str>) -> Result<Option<&'a str>> {
    if job == Some("archive") {
        return Err(Error::invalid(
            "`archive` keeps its checkpoint in the tables that it writes, so that it has no savepoints: Ctrl-C stops it",
        ));
    }
    if !project.has_run(job)? {
        project.job_target(job)?;
    }
    Ok(job)
}

/// A path that means the same to a process in another folder.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    if is_location(&path.to_string_lossy()) {
        return Ok(path.to_owned());
    }
    std::path::absolute(path)
        .map_err(|e| Error::invalid(format!("\"{}\" is no path of a folder", path.display())).with_source(e))
}
