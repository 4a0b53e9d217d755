//! Removes old messages of topics while a command runs.

use crate::print;
use crate::report;
use crate::show;
use project::Project;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often topics are looked at.
const EVERY: Duration = Duration::from_secs(3600);

/// Runs a command; where the project declares a retention, what is older is removed before it begins, so that it does not
/// read what goes away, and by a thread beside it every hour. One that builds state from what is there (`reads_old`) takes
/// that as it is, and says when it is done: only then is anything removed. What cannot be removed is said and tried again: a
/// command does not end for it.
pub fn beside<T>(project: &Project, reads_old: bool, command: impl FnOnce(&Built) -> T) -> T {
    let (built, heard) = channel::<()>();
    let built = Built(built);
    if project.retention().is_none() {
        return command(&built);
    }
    if !reads_old {
        trim(project);
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if reads_old {
                if heard.recv().is_err() {
                    return;
                }
                trim(project);
            }
            while heard.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                trim(project);
            }
        });
        let result = command(&built);
        drop(built);
        result
    })
}

/// By which a command says that it reads old messages no more.
pub struct Built(Sender<()>);

impl Built {
    pub fn tell(&self) {
        // Where nothing is removed nobody hears it.
        let _ = self.0.send(());
    }
}

fn trim(project: &Project) {
    match project.trim_topics() {
        Ok(trimmed) => {
            for (topic, removed) in trimmed {
                print::note(format_args!(
                    "topic {topic}: {} of old messages removed",
                    show::bytes(removed.bytes as usize)
                ));
            }
        }
        Err(failure) => {
            print::note(format_args!("old messages could not be removed:"));
            report::failure(&failure);
        }
    }
}
