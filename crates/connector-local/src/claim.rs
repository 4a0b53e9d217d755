//! A producer's name, held by one run at a time, and its epoch.
//!
//! ```text
//! <topic>/producers/<name>.lock      held until the run ends
//! <topic>/producers/<name>.promise   how far one of several that copy into the topic has promised
//! <topic>/producers/<name>.input     what was published under it, where the name is one that goes on
//! <topic>/<partition>/epochs         what fences an older run that did not see the lock
//! ```

use crate::disk::io_error;
use crate::epochs::Epochs;
use crate::held_name::{HeldName, producer_path};
use crate::producer::{Appender, Producer};
use crate::producer_states::ProducerStates;
use crate::topic::LocalTopic;
use dataflow::{Error, ProcessingTime, Result, Topic};
use std::sync::Arc;

/// The folder of a topic for what its producers keep.
const PRODUCERS: &str = "producers";

/// A producer's name on a topic, held until this is dropped or the process ends, and an epoch that no one has used.
///
/// Anyone else on this machine who claims the name is refused. Where locks are not seen, the younger claim has the
/// greater epoch on every partition, and appends of the older one fail from then on.
pub struct Claim {
    topic: Arc<LocalTopic>,
    producer: String,
    epoch: u64,
    held: HeldName,
}

impl Claim {
    /// Takes the name, then a new epoch.
    pub(crate) fn take(topic: Arc<LocalTopic>, producer: &str) -> Result<Claim> {
        if producer.is_empty() {
            return Err(Error::invalid(format!(
                "topic \"{}\": a producer without a name cannot be claimed",
                topic.name()
            )));
        }
        Producer::open(topic.clone(), producer, 0)?;
        let held = hold(&topic, producer)?;
        let epoch = new_epoch(&topic, producer)?;
        Ok(Claim { topic, producer: producer.to_owned(), epoch, held })
    }

    /// Takes the name again, with the epoch under which it has written: a message whose sequence is there already is
    /// not written again. Two runs that do not see each other's locks give rows once all the same.
    pub(crate) fn go_on(topic: Arc<LocalTopic>, producer: &str) -> Result<Claim> {
        let claimed = Producer::open(topic.clone(), producer, 0)?;
        let held = hold(&topic, producer)?;
        let epoch = claimed.last_epoch()?.unwrap_or(1);
        Ok(Claim { topic, producer: producer.to_owned(), epoch, held })
    }

    /// Takes the name again, with the epoch of a checkpoint. A later epoch, under which all was begun anew, is an error.
    pub(crate) fn resume(topic: Arc<LocalTopic>, producer: &str, epoch: u64) -> Result<Claim> {
        let claimed = Producer::open(topic.clone(), producer, epoch)?;
        let held = hold(&topic, producer)?;
        match claimed.greatest_epoch()? {
            Some(greatest) if greatest > epoch => Err(Error::invalid(format!(
                "topic \"{}\": producer \"{producer}\" was begun anew with epoch {greatest}, and the checkpoint goes on \
                 with epoch {epoch}: start over with --fresh, which writes all messages again",
                topic.name()
            ))),
            _ => Ok(Claim { topic, producer: producer.to_owned(), epoch, held }),
        }
    }

    /// The name alone, still held.
    pub fn into_held(self) -> HeldName {
        self.held
    }

    /// The epoch: greater than any before it on any partition.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Shows that whoever holds the name runs.
    pub fn touch(&self) -> Result<()> {
        self.held.touch(self.topic.clock().now())
    }

    /// Tells the others who copy into the topic that what this one brings from now on has arrived after a time. A crash
    /// of the machine may take it back.
    pub fn set_promise(&self, drained_to: ProcessingTime) -> Result<()> {
        let path = producer_path(self.topic.folder().join(PRODUCERS), &self.producer, "promise");
        std::fs::write(&path, format!("{}\n", drained_to.0)).map_err(|e| io_error("write", &path, e))
    }

    /// What another producer of the topic has told in this way, if it has.
    pub fn promise_of(&self, producer: &str) -> Option<ProcessingTime> {
        let path = producer_path(self.topic.folder().join(PRODUCERS), producer, "promise");
        // One that is being written has no end of the line yet, and is whole a moment later.
        let text = std::fs::read_to_string(path).ok()?;
        text.strip_suffix('\n')?.parse().ok().map(ProcessingTime)
    }

    /// A producer that appends under this claim.
    pub fn producer(&self) -> Result<Producer> {
        Producer::open(self.topic.clone(), &self.producer, self.epoch)
    }
}

/// Holds the name of a producer of a topic.
fn hold(topic: &LocalTopic, producer: &str) -> Result<HeldName> {
    HeldName::hold((topic.folder().join(PRODUCERS), producer), (topic.name(), producer), topic.clock().now())
}

/// Finds an epoch above all that were written or claimed, and records it on every partition. The first partition is
/// locked throughout, so that of two who claim at once, one sees what the other recorded.
fn new_epoch(topic: &LocalTopic, producer: &str) -> Result<u64> {
    let first = topic.to_write(0)?;
    let locked = first.locked_soon()?;
    let (mut known, mut epochs) = (ProducerStates::default(), Epochs::default());
    known.catch_up(&first.0, &locked.end)?;
    epochs.refresh(&first.0)?;
    let mut greatest = known.last(producer).map(|last| last.epoch).max(epochs.of(producer));
    for partition in 1..topic.partitions() {
        greatest = greatest.max(Appender::new(topic.to_write(partition)?).greatest_epoch(producer)?);
    }
    let epoch = greatest.unwrap_or(0).checked_add(1).ok_or_else(|| {
        Error::invalid(format!("topic \"{}\": producer \"{producer}\" has used the last epoch", topic.name()))
    })?;
    for partition in 1..topic.partitions() {
        Appender::new(topic.to_write(partition)?).claim(producer, epoch)?;
    }
    epochs.claim(&first.0, producer, epoch)?;
    Ok(epoch)
}
