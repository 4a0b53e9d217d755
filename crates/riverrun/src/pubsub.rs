//! `pubsub`: a server of Google Pub/Sub on this machine, for development, and mirrors by hand.

use crate::clock::{Stopwatch, rest};
use crate::mirrors;
use crate::outcome::Outcome;
use crate::signals::Stop;
use crate::{print, report, show};
use dataflow::{Error, ErrorKind, Result};
use indicatif::{ProgressBar, ProgressStyle};
use project::{DevPubsub, Mirror, MirrorEvent, OpenMirror, Project, Topics};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The folder of the server's address and log beside the project.
const DATA: &str = "pubsub";

fn data(project: &Path, folder: Option<&Path>) -> PathBuf {
    let root = if project.is_file() { project.parent().unwrap_or(Path::new("")) } else { project };
    folder.map_or_else(|| root.join(DATA), Path::to_owned)
}

/// Starts the server, and prints the line of a shell that makes clients find it.
pub fn start(project: &Path, folder: Option<&Path>) -> Outcome {
    let folder = data(project, folder);
    let tell = || print::note(format_args!("building the server of Pub/Sub with Go, once; it takes some minutes"));
    let DevPubsub { address, process, ran_before } = project::start_dev_pubsub(&folder, tell)?;
    let runs = if ran_before { "was running already" } else { "is ready" };
    print::note(format_args!(
        "the server {runs} (process {process}, log in {}); `riverrun pubsub stop` ends it, and what it holds is gone then.\n\
         This line lets clients find it:",
        folder.display()
    ));
    print::data(&format!("export PUBSUB_EMULATOR_HOST={address}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Stops the server.
pub fn stop(project: &Path, folder: Option<&Path>) -> Outcome {
    let folder = data(project, folder);
    let place = folder.display();
    match project::stop_dev_pubsub(&folder)? {
        true => print::note(format_args!("the server has ended; what it held is gone")),
        false => print::note(format_args!("no server runs of {place}")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies the subscriptions of a stream into its topic until Ctrl-C, or until nothing comes for so long.
pub fn mirror(project: &Project, name: &str, partitions: Option<u32>, until_idle: Option<Duration>) -> Outcome {
    let mirrors = project.mirrors_of(name)?;
    let (first, more) = match mirrors.as_slice() {
        [one] => (one, 0),
        [first, more @ ..] => (first, more.len()),
        [] => {
            return Err(Error::invalid(format!(
                "\"{name}\" has no subscription of Pub/Sub: name one under [env.NAME.names] in riverrun.toml, such as \
                 {name} = [\"pubsub:projects/PROJECT/subscriptions/NAME\"]"
            ))
            .into());
        }
    };
    if more > 0 {
        return Err(Error::invalid(format!(
            "\"{name}\" has {} subscriptions, and this command copies one: `riverrun run` copies all at once",
            more + 1
        ))
        .into());
    }
    let (stop, watch) = (Stop::listen()?, Stopwatch::start());
    report::warnings(&project.names_warnings(Some(&first.topic)));
    first.check()?;
    let Some(open) = opened(first, project, partitions, &stop)? else { return Ok(ExitCode::SUCCESS) };
    let spinner = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} mirror  {human_pos} messages")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    spinner.enable_steady_tick(Duration::from_millis(100));
    let ended = open.copy(until_idle, &|| stop.is_asked(), &mut |event| match event {
        MirrorEvent::Open => spinner.suspend(|| {
            print::note(format_args!("copying subscription {} into topic {}", first.subscription(), first.topic));
        }),
        MirrorEvent::Copied(messages) => spinner.set_position(messages),
        other => spinner.suspend(|| mirrors::tell(first, &other)),
    });
    spinner.finish_and_clear();
    let ended = ended?;
    print::note(format_args!(
        "copied {} ({}) into topic {} in {}",
        show::counted(ended.messages as i64, "message"),
        show::bytes(ended.bytes as usize),
        first.topic,
        show::duration(watch.elapsed())
    ));
    Ok(ExitCode::SUCCESS)
}

/// Opens the topic. While it takes nothing, as on a full disk, that is said once and tried again, as it is when that happens
/// later; nothing when the command is to stop before.
fn opened(mirror: &Mirror, project: &Project, partitions: Option<u32>, stop: &Stop) -> Result<Option<OpenMirror>> {
    let is_local = matches!(project.topics(), Ok(Topics::Local(..)));
    let mut is_held = false;
    while !stop.is_asked() {
        let error = match mirror.open(project, partitions) {
            Ok(open) => {
                if is_held {
                    mirrors::tell(mirror, &MirrorEvent::Released);
                }
                return Ok(Some(open));
            }
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::Refused => {}
            // A process that stands still has the lock of a partition.
            ErrorKind::Unavailable if is_local => {}
            _ => return Err(error),
        }
        if !std::mem::replace(&mut is_held, true) {
            mirrors::tell(mirror, &MirrorEvent::Held(error.chain()));
        }
        // A second, as long as one between two tries to append.
        for _ in 0..50 {
            if !stop.is_asked() {
                rest();
            }
        }
    }
    Ok(None)
}
