//! Copies subscriptions of Google Pub/Sub into topics while a command runs.

use crate::outcome::Outcome;
use crate::{clock, print, report, show, signals};
use dataflow::Error;
use project::{Failure, Mirror, MirrorEvent, Project};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// How long a mirror that failed rests before it is tried again, and one that another process runs.
const PAUSE: Duration = Duration::from_secs(5);

/// How many rests mirrors may take to end before that is said: a second.
const END_RESTS: usize = 50;

/// Runs a command; the subscriptions of all topics of the environment, or of one, are copied into these by threads beside
/// it. It begins when all are received from; one that cannot be is an error then, and later it is said and tried again.
pub fn beside(project: &Project, only: Option<&str>, command: impl FnOnce() -> Outcome) -> Outcome {
    let mirrors = match only {
        Some(name) => project.mirrors_of(name).unwrap_or_default(),
        None => project.mirrors(),
    };
    if mirrors.is_empty() {
        return command();
    }
    report::warnings(&project.names_warnings(only.map(|_| mirrors[0].topic.as_str())));
    let is_stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (begun, begins) = channel();
        let spawn = |mirror| {
            let (begun, is_stopped) = (begun.clone(), &is_stopped);
            (mirror, scope.spawn(move || keep(project, mirror, &begun, is_stopped)))
        };
        let running: Vec<_> = mirrors.iter().map(spawn).collect();
        drop(begun);
        let begun = mirrors.iter().try_for_each(|_| begins.recv().unwrap_or(Ok(())));
        let ended = begun.map_err(Failure::Error).and_then(|()| command());
        is_stopped.store(true, SeqCst);
        tell_who_is_waited_for(&running);
        ended
    })
}

/// Says which mirrors have not ended a second after the command: a process that stands still may have the lock of a topic.
fn tell_who_is_waited_for(running: &[(&Mirror, ScopedJoinHandle<'_, ()>)]) {
    signals::is_done();
    for _ in 0..END_RESTS {
        if running.iter().all(|(_, thread)| thread.is_finished()) {
            return;
        }
        clock::rest();
    }
    for (mirror, _) in running.iter().filter(|(_, thread)| !thread.is_finished()) {
        print::note_text(&show::sentence(&format!(
            "all else is done, and the mirror of subscription {} is waited for, for half a minute at most: it waits for topic \
             {} or for Pub/Sub; Ctrl-C ends it at once, and what it holds comes again",
            mirror.subscription(),
            mirror.topic
        )));
    }
}

/// Keeps a mirror running. Says once how it begins.
fn keep(project: &Project, mirror: &Mirror, begun: &Sender<Result<(), Error>>, is_stopped: &AtomicBool) {
    let (name, topic) = (mirror.subscription(), &mirror.topic);
    if let Err(error) = mirror.check() {
        let _ = begun.send(Err(error));
        return;
    }
    let mut begun = Some(begun);
    let (mut told, mut is_told_open, mut is_told_deleted, mut is_told_unordered) = (String::new(), false, false, false);
    while !is_stopped.load(SeqCst) {
        // Another process that runs this mirror does what this one would do.
        let failed = match mirror.open(project, None) {
            Err(error) => {
                begun.take().into_iter().for_each(|begun| drop(begun.send(Ok(()))));
                error
            }
            Ok(open) => {
                let ended = open.copy(None, &|| is_stopped.load(SeqCst), &mut |event| match event {
                    MirrorEvent::Open => {
                        if !std::mem::replace(&mut is_told_open, true) {
                            print::note(format_args!("copying subscription {name} into topic {topic}"));
                        }
                        begun.take().into_iter().for_each(|begun| drop(begun.send(Ok(()))));
                    }
                    // What comes after this failure is another one.
                    MirrorEvent::Copied(_) => told.clear(),
                    MirrorEvent::TopicDeleted if std::mem::replace(&mut is_told_deleted, true) => {}
                    MirrorEvent::Unordered if std::mem::replace(&mut is_told_unordered, true) => {}
                    other => tell(mirror, &other),
                });
                match (ended, begun.take()) {
                    (Ok(_), _) => return,
                    // Nothing has begun: the command ends with it.
                    (Err(error), Some(begun)) => {
                        let _ = begun.send(Err(error));
                        return;
                    }
                    (Err(error), None) => error,
                }
            }
        };
        let text = failed.chain();
        if text != told {
            print::note_text(&show::sentence(&format!(
                "subscription {name} is not copied into topic {topic} by this process, and that is tried every {} s: {text}",
                PAUSE.as_secs()
            )));
            // A subscription without its topic is opened again and again, and nothing more comes of that.
            (told, is_told_open) = (text, is_told_deleted);
        }
        rest(is_stopped);
    }
}

/// Says what happens to a mirror that goes on.
pub fn tell(mirror: &Mirror, event: &MirrorEvent) {
    let (name, topic) = (mirror.subscription(), &mirror.topic);
    let text = match event {
        MirrorEvent::Open | MirrorEvent::Copied(_) => return,
        MirrorEvent::Unordered => format!(
            "it was made without message ordering, so that messages of one key come in any order, and lie in topic {topic} so; \
             one that keeps it is made anew, by `gcloud pubsub subscriptions create --enable-message-ordering`"
        ),
        MirrorEvent::Refused(count) => refused(*count),
        MirrorEvent::Held(why) => {
            format!("messages are held, since topic {topic} does not take them, which is tried every second: {why}")
        }
        MirrorEvent::Unfit { message_id, bytes, why } => format!(
            "message {message_id} of {} is not copied, since topic {topic} does not take it: {why}; it is held, and comes \
             again when the mirror is run again. The others are copied",
            show::bytes(*bytes)
        ),
        MirrorEvent::UnfitFill(count) => format!(
            "{count} messages that topic {topic} does not take are more than half of what a mirror holds at once, and \
             others will wait for them: let the topic take them, and run the mirror again"
        ),
        MirrorEvent::Released => format!("topic {topic} has taken the messages that were held"),
        MirrorEvent::Away(why) => format!("nothing is known of what comes until Pub/Sub answers again: {why}"),
        MirrorEvent::Back => "Pub/Sub answers again".to_owned(),
        MirrorEvent::TopicDeleted => {
            "its topic was deleted in Pub/Sub: what waits is copied, and nothing more comes".to_owned()
        }
        MirrorEvent::StoodStill(waited) => format!(
            "the connection to Pub/Sub stood still: over a new one, made since no message came, there was one that had \
             waited for {}",
            show::duration(*waited)
        ),
    };
    print::note_text(&show::sentence(&format!("subscription {name}: {text}")));
}

fn rest(is_stopped: &AtomicBool) {
    const STEP: Duration = Duration::from_millis(100);
    let mut rested = Duration::ZERO;
    while rested < PAUSE && !is_stopped.load(SeqCst) {
        std::thread::park_timeout(STEP);
        rested += STEP;
    }
}

/// What acknowledgements that were refused lead to.
fn refused(count: u64) -> String {
    format!(
        "{} refused by Pub/Sub: these messages come again, and the topic has them twice",
        match count {
            1 => "1 acknowledgement was".to_owned(),
            count => format!("{count} acknowledgements were"),
        }
    )
}
