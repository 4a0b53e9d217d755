//! `run`: a job over history, then live.

use crate::args::{ResumeArgs, RunArgs};
use crate::attend::attend;
use crate::clock::{Stopwatch, rest};
use crate::engine_job::{cores, engine_job};
use crate::listener::Begun;
use crate::outcome::Outcome;
use crate::progress::{Progress, Spinner};
use crate::rebuild::rebuild;
use crate::retention::Built;
use crate::signals::Stop;
use crate::state_bound::StateBound;
use crate::summary::{Peak, Summary, Written};
use crate::{print, show};
use dataflow::{Error, EventTime, Output, Result, Span};
use engine::{CheckpointPace, Control};
use project::{
    Begin, Failure, GrowingTopics, JobOptions, Notice, Project, SavepointRequests, WAITING_MAX, WaitingMessages, Wired,
};
use sql::Target;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Runs a job to its end, or until it is stopped.
pub fn run(project: &Project, args: &RunArgs, built: &Built) -> Outcome {
    let options = JobOptions {
        job: args.job.clone(),
        until_caught_up: args.until_caught_up,
        begin: if args.fresh { Begin::Fresh } else { Begin::GoOn },
        from: args.from.as_deref().map(instant).transpose()?,
        applies_changes: args.apply,
        accepts_duplicates: args.accept_duplicates,
        ..JobOptions::default()
    };
    run_to_now(project, options, args.commit_every(project), (args.workers, args.json), built)
}

/// Runs a job from a savepoint on.
pub fn resume(project: &Project, args: &ResumeArgs, built: &Built) -> Outcome {
    let options = JobOptions {
        job: args.job.clone(),
        until_caught_up: args.until_caught_up,
        savepoint: Some(args.from.clone()),
        accepts_duplicates: args.accept_duplicates,
        ..JobOptions::default()
    };
    let commit_every = args.commit_every.map_or_else(|| project.commit_every(), |every| every.0);
    run_to_now(project, options, commit_every, (args.workers, args.json), built)
}

/// Runs a job; one that goes on from a run which had ends, and did not come to them, comes to these first and then goes on,
/// to where topics end now or for ever. The ends are part of a checkpoint: rows that were released by them must be so again.
fn run_to_now(
    project: &Project,
    options: JobOptions,
    commit_every: Duration,
    (workers, json): (Option<NonZeroUsize>, bool),
    built: &Built,
) -> Outcome {
    let stop = Stop::listen()?;
    let begun = Begun::now();
    let run = |options: &JobOptions| run_job(project, options, (&stop, &begun), (commit_every, workers, json));
    if options.applies_changes
        && let Some(code) = rebuild(project, &options, &stop, workers)?
    {
        return Ok(code);
    }
    built.tell();
    let (mut code, mut next) = run(&options)?;
    let on = JobOptions {
        begin: Begin::GoOn,
        savepoint: None,
        from: None,
        applies_changes: false,
        accepts_duplicates: false,
        ..options
    };
    loop {
        match next {
            Next::Nothing => return Ok(code),
            Next::ToNow if code != ExitCode::SUCCESS => return Ok(code),
            Next::ToNow => {
                let to = if on.until_caught_up { " to where topics end now" } else { "" };
                print::note(format_args!("that is where the run before was to end; the job goes on{to}"));
                (code, next) = run(&on)?;
            }
            Next::MorePartitions => (code, next) = run(&on)?,
        }
    }
}

/// What follows a run that has ended.
enum Next {
    Nothing,
    /// Its topics ended where an earlier run was to end.
    ToNow,
    /// It ended because topics have more partitions now.
    MorePartitions,
}

impl Next {
    fn after(keeps_ends: bool, has_grown: bool, stop: &Stop) -> Next {
        match (keeps_ends, has_grown) {
            _ if stop.is_asked() => Next::Nothing,
            (true, _) => Next::ToNow,
            (_, true) => Next::MorePartitions,
            _ => Next::Nothing,
        }
    }
}

/// Runs a job; gives what is to follow.
fn run_job(
    project: &Project,
    options: &JobOptions,
    (stop, begun): (&Stop, &Begun),
    (commit_every, workers, json): (Duration, Option<NonZeroUsize>, bool),
) -> Outcome<(ExitCode, Next)> {
    let Some(mut wired) = opened(project, options, stop)? else { return Ok((ExitCode::SUCCESS, Next::Nothing)) };
    let (bounded, keeps_ends) = (wired.bounded, wired.keeps_ends);
    let outputs = wired.sinks.iter().map(Written::of).collect::<Vec<_>>();
    let (stats, tallies, start) = (wired.stats.clone(), wired.tallies.clone(), wired.start);
    let (new_tables, savepoints, warnings) =
        (wired.new_tables.clone(), wired.savepoints.clone(), wired.warnings.take());
    let mut notices: Vec<Notice> = wired.sinks.iter().filter_map(|sink| sink.notice.clone()).collect();
    notices.retain(|notice| !told(notice));
    let goes_on = wired.restored.is_some() || wired.takes_over.is_some();
    let workers = workers.map_or_else(cores, usize::from);
    let control = Arc::new(Control::default());
    let growing = if bounded { None } else { project.watch_partitions(std::mem::take(&mut wired.partitions))? };
    let mut has_grown = false;
    let attended = attend(project, options, &mut wired, (workers, &control, stop), begun, false);
    let written_before = begun.written.load(Relaxed);
    let mut bound = StateBound::new(wired.state_memory);
    let (mut job, _spill) = engine_job(wired, Some(workers))?;
    job.pace = checkpoint_pace(project);
    let mut progress = Progress::start(&stats);
    let (watch, mut peak) = (Stopwatch::start(), Peak::default());
    let mut pace = Pace::new(commit_every, project.checkpoint_every());
    // Looked at once, when the job's readers are being woken.
    let mut polling = Some(());
    let ended = engine::run(job, &control, &mut |status| {
        if stop.is_asked() {
            control.finish();
        }
        has_grown |= growing.as_ref().is_some_and(|growing| ends_to_grow(growing, &control));
        pace.ask(watch.elapsed(), &control);
        polling.take().into_iter().for_each(|()| tell_of_polling(project));
        begun.written.store(written_before + status.rows_out(), Relaxed);
        attended.state.set(status.state_bytes());
        bound.watch(status);
        tell_of_checkpoints(&savepoints, warnings.as_ref());
        notices.retain(|notice| !told(notice));
        peak.take(status);
        progress.tick(status);
    });
    let took = progress.finish();
    let ended = ended.map_err(Failure::Begun)?;
    // What a run has not read to its end takes no place.
    if !bounded || !stop.is_asked() {
        new_tables.take_places().map_err(Failure::Begun)?;
    }
    let summary = Summary {
        project,
        stats: &stats,
        tallies: &tallies,
        start,
        ended: &ended,
        outputs: &outputs,
        peak: &peak,
        took,
        stopped: stop.name(),
        bounded,
        goes_on,
        kept: new_tables.waiting(),
    };
    told_at_end(&summary, json)?;
    // A run that goes on for ever has done what it was asked for: all that it read is committed.
    attended.tell_all();
    let code = if options.until_caught_up || bounded && !keeps_ends { stop.exit_code() } else { ExitCode::SUCCESS };
    Ok((code, Next::after(keeps_ends, has_grown, stop)))
}

/// Opens the inputs and outputs of a job, and says where it begins; nothing where it was stopped before its topics were there.
fn opened(project: &Project, options: &JobOptions, stop: &Stop) -> Outcome<Option<Wired>> {
    let target = project.job_target(options.job.as_deref())?;
    let opening = Spinner::start("opening inputs and outputs");
    opening.show_arrivals(project);
    if !options.until_caught_up && !wait_for_topics(project, &target, stop)? {
        return Ok(None);
    }
    let wired = project.job(&target, options)?;
    drop(opening);
    announce(&wired);
    Ok(Some(wired))
}

/// Asks for the end of a job whose topics have more partitions now; whether they have.
fn ends_to_grow(growing: &GrowingTopics, control: &Control) -> bool {
    let Some(grown) = growing.grown() else { return false };
    print::note(format_args!("{grown}: the job takes a checkpoint and goes on with all of them"));
    control.finish();
    true
}

/// Says where the system does not wake readers of local topics.
fn tell_of_polling(project: &Project) {
    if let Some(reason) = project.topics().ok().and_then(|topics| topics.watched_by_polling()) {
        print::note(format_args!("topics are looked at every 50 ms for new messages: {reason}"));
    }
}

/// Shows what a run did.
fn told_at_end(summary: &Summary, json: bool) -> Result<()> {
    match json {
        true => drop(print::line(&summary.json().to_string())?),
        false => print::note_text(&summary.text()),
    }
    Ok(())
}

/// What the settings say of checkpoints.
fn checkpoint_pace(project: &Project) -> CheckpointPace {
    let span = |duration: Duration| Span(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX));
    CheckpointPace { pause: span(project.checkpoint_pause()), timeout: span(project.checkpoint_timeout()) }
}

/// How many checkpoints are asked for at most before one commits: each leaves files and tokens to the commit after it.
const CHECKPOINTS_MAX: u32 = 20;

/// When checkpoints are asked for: one that commits whenever that is due, others in between.
struct Pace {
    commit_every: Duration,
    checkpoint_every: Duration,
    committed: Duration,
    checkpointed: Duration,
    // Since the last one that commits.
    checkpoints: u32,
}

impl Pace {
    fn new(commit_every: Duration, checkpoint_every: Option<Duration>) -> Pace {
        // Commits that were asked for on the command line may be more frequent than checkpoints are in the settings.
        let checkpoint_every = checkpoint_every.unwrap_or(commit_every);
        let (committed, checkpointed, checkpoints) = (Duration::ZERO, Duration::ZERO, 0);
        Pace { commit_every, checkpoint_every, committed, checkpointed, checkpoints }
    }

    fn ask(&mut self, now: Duration, control: &Control) {
        let checkpoint_is_due = now - self.checkpointed > self.checkpoint_every;
        if now - self.committed > self.commit_every || (checkpoint_is_due && self.checkpoints + 1 >= CHECKPOINTS_MAX) {
            (self.committed, self.checkpointed, self.checkpoints) = (now, now, 0);
            control.commit();
        } else if checkpoint_is_due {
            self.checkpointed = now;
            self.checkpoints += 1;
            control.checkpoint();
        }
    }
}

/// Says what has become of savepoints, and what the checkpoints have to say.
fn tell_of_checkpoints(savepoints: &SavepointRequests, warnings: Option<&Receiver<String>>) {
    for saved in savepoints.take_answered() {
        match saved {
            Ok(saved) => {
                print::note(format_args!("savepoint of checkpoint {} in {}", saved.checkpoint, saved.folder.display()))
            }
            Err(error) => print::note(format_args!("a savepoint could not be made: {error}")),
        }
    }
    for warning in warnings.into_iter().flat_map(Receiver::try_iter) {
        print::note(format_args!("warning: {warning}"));
    }
}

/// Waits until the topics that a job reads are there, if they cannot be made here; false when it was stopped before.
fn wait_for_topics(project: &Project, target: &Target, stop: &Stop) -> Result<bool, Failure> {
    let mut told = Vec::new();
    loop {
        let missing = project.missing_topics(target)?;
        // A job whose topics are there begins, and then ends as one that was stopped.
        if missing.is_empty() {
            return Ok(true);
        }
        if stop.is_asked() {
            return Ok(false);
        }
        for (topic, reason) in missing.iter().filter(|(topic, _)| !told.contains(topic)) {
            print::note(format_args!("waiting for topic {topic}, which is not there and cannot be made: {reason}"));
        }
        told = missing.into_iter().map(|(topic, _)| topic).collect();
        // Half a second: somebody makes a topic once.
        (0..25).for_each(|_| rest());
    }
}

/// Says before a job starts where it goes on, or where its actions begin.
fn announce(wired: &Wired) {
    if let Some(number) = wired.takes_over {
        print::note_text(&show::sentence(&format!(
            "the pipelines have changed since checkpoint {number}: state is built again from history, and outputs go on after \
             the rows that they have"
        )));
        wired.lacking.iter().for_each(|lacking| print::note_text(&show::sentence(&format!("warning: {lacking}"))));
        return;
    }
    if let (Some(restored), Some(written_at)) = (&wired.restored, wired.restored_of) {
        let number = restored.coordinator.number;
        let is_over = restored.last && restored.coordinator.watermarks.iter().all(|at| *at == EventTime::MAX);
        print::note_text(&show::sentence(&match (is_over, &wired.savepoint) {
            (true, _) => format!(
                "all inputs were read to their end at checkpoint {number}, written at {written_at}, and nothing follows; \
                 `--fresh` runs the job again"
            ),
            (false, Some(savepoint)) => format!(
                "goes on from savepoint {}, whose checkpoint was written at {written_at}; it is not needed any more",
                savepoint.display()
            ),
            (false, None) => {
                format!("goes on from checkpoint {number}, written at {written_at}; `--fresh` would start over")
            }
        }));
        for history in &wired.unread {
            print::note_text(&show::sentence(&format!(
                "{} has changed since stream {} read it to its end, {} of it; it is not read again, and `--fresh` would \
                 read it as it is now",
                history.history,
                history.stream,
                show::counted(history.read.0 as i64, "file")
            )));
        }
        return;
    }
    if wired.sinks.iter().any(|sink| matches!(sink.output, Output::Topic(_))) {
        match wired.start {
            EventTime::MIN => {
                print::note(format_args!("topics and actions begin with the first row: no stream has an archived past"))
            }
            start => print::note_text(&show::sentence(&begin_text(start, &wired.waiting))),
        }
    }
}

/// Prints what there is to say of an output, if there is something.
fn told(notice: &Notice) -> bool {
    notice().map(|text| print::note(format_args!("{text}"))).is_some()
}

/// Where topics and actions begin, and the messages that wait for the job.
fn begin_text(start: EventTime, waiting: &[WaitingMessages]) -> String {
    let count = |messages: u64| match messages >= WAITING_MAX {
        true => format!("{} or more", show::count(WAITING_MAX as i64)),
        false => show::count(messages as i64),
    };
    let of_stream = |of: &WaitingMessages| {
        let after = if of.after_archive { " (after its archive)" } else { "" };
        format!("{} of {}{after}", count(of.messages), of.stream)
    };
    let some: Vec<String> = waiting.iter().filter(|of| of.messages > 0).map(of_stream).collect();
    let begin = format!("topics and actions begin after {start}");
    match (waiting, some.as_slice()) {
        ([], _) => begin,
        (_, []) => format!("{begin}; no message waits"),
        (_, some) => {
            let waits = format!("{begin}; these messages wait, and what they lead to is acted on: {}", some.join(", "));
            // A topic without an archive begins where its first message lies, however long ago that is for others.
            let bare = waiting.iter().find(|of| of.messages > 0 && !of.after_archive);
            match bare.filter(|_| waiting.iter().any(|of| of.after_archive)) {
                Some(bare) => format!(
                    "{waits}; so are rows of history after that time, since {} has no archive to begin after",
                    bare.stream
                ),
                None => waits,
            }
        }
    }
}

/// An instant as people write it: `2013-12-01`, `2013-12-01T05:00`, with or without seconds, fraction and Z.
pub fn instant(text: &str) -> Result<EventTime> {
    let parsed = values::calendar::read_instant(text);
    let micros = parsed.ok_or_else(|| {
        Error::invalid(format!("\"{text}\" is not a time; write 2013-12-01 or 2013-12-01T05:00:00 (times are UTC)"))
    })?;
    Ok(EventTime(micros))
}
