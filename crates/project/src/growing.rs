//! Topics of Pulsar to which partitions are added while a job runs.
//!
//! A job opens the partitions that there are when it begins. When there are more, it takes its last checkpoint and goes
//! on from there with all of them, each new one from its first message.

use crate::open::Project;
use crate::topics::Topics;
use dataflow::{Error, Result, Topic};
use seam::StreamInput;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How often it is asked how many partitions there are; it is one request per topic.
const ASK_EVERY: Duration = Duration::from_secs(20);

/// Watches how many partitions topics have, until it is dropped.
pub struct GrowingTopics {
    found: Receiver<String>,
    _ends: Sender<()>,
}

impl GrowingTopics {
    /// What has grown, in words, once something has.
    pub fn grown(&self) -> Option<String> {
        self.found.try_recv().ok()
    }
}

impl Project {
    /// Watches topics, each with the number of partitions that is known; `None` where no partitions can be added.
    pub fn watch_partitions(&self, known: Vec<(String, u32)>) -> Result<Option<GrowingTopics>> {
        let Topics::Pulsar(topics) = self.topics()?.clone() else { return Ok(None) };
        if known.is_empty() {
            return Ok(None);
        }
        let ((tell, found), (ends, ended)) = (channel(), channel());
        let watch = move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(ASK_EVERY) {
                // A cluster that does not answer is told of by those who read.
                let grown = known.iter().find_map(|(name, known)| {
                    let there = topics.topic(name).ok()??.partitions();
                    (there > *known).then(|| format!("topic {name} has {there} partitions now, and had {known}"))
                });
                if let Some(grown) = grown {
                    // Whoever watched may have ended.
                    let _ = tell.send(grown);
                    return;
                }
            }
        };
        let spawned = thread::Builder::new().name("partitions".to_owned()).spawn(watch);
        spawned.map_err(|error| {
            Error::unavailable("the thread that watches partitions cannot be started").with_source(error)
        })?;
        Ok(Some(GrowingTopics { found, _ends: ends }))
    }

    /// The topics of inputs whose partitions may become more, with how many they have.
    pub(crate) fn growing(&self, inputs: &[StreamInput]) -> Result<Vec<(String, u32)>> {
        // A queue takes up partitions that are added by itself.
        let topics = inputs.iter().filter_map(|input| input.live.as_ref()).filter(|live| !live.topic.is_queue());
        Ok(match self.topics()? {
            Topics::Local(..) => Vec::new(),
            Topics::Pulsar(_) => topics.map(|live| (live.topic.name().to_owned(), live.topic.partitions())).collect(),
        })
    }
}
