//! Appends to a topic, durably, each message of a named producer once.

use crate::disk::io_error;
use crate::end::End;
use crate::epochs::Epochs;
use crate::frame::{MESSAGE_BYTES_MAX, Outgoing, Stamp, put};
use crate::partition::Partition;
use crate::producer_states::{LastMessage, ProducerStates};
use crate::topic::LocalTopic;
use crate::write_lock::WritablePartition;
use dataflow::{Clock, Error, Position, ProcessingTime, Result, Topic};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A segment gets no more messages when it has reached this size.
const SEGMENT_BYTES: u64 = 64 << 20;
const PRODUCER_NAME_BYTES_MAX: usize = 255;
/// How many bytes of an append are encoded in memory at once.
const WRITE_BYTES: usize = 4 << 20;
/// How many partitions are synced at the same time.
const SYNCS_AT_ONCE: usize = 8;

/// Appends messages to a topic under a name and an epoch.
///
/// The last sequence of each producer is found in the log itself, so a message that was written before a crash is
/// not written again after it. State: a name, an epoch and a sequence per producer that ever wrote to the topic.
pub struct Producer {
    topic: Arc<LocalTopic>,
    name: String,
    epoch: u64,
    segment_bytes: u64,
    partitions: Vec<Option<Appender>>,
}

impl Producer {
    pub(crate) fn open(topic: Arc<LocalTopic>, name: &str, epoch: u64) -> Result<Producer> {
        if name.len() > PRODUCER_NAME_BYTES_MAX {
            return Err(Error::invalid(format!(
                "producer \"{name}\" has a name of {} bytes, expected at most {PRODUCER_NAME_BYTES_MAX}",
                name.len()
            )));
        }
        let partitions = (0..topic.partitions()).map(|_| None).collect();
        Ok(Producer { topic, name: name.to_owned(), epoch, segment_bytes: SEGMENT_BYTES, partitions })
    }

    /// The topic that it appends to.
    pub fn topic(&self) -> &Arc<LocalTopic> {
        &self.topic
    }

    /// The epoch that it appends under.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The same producer with smaller or larger segments.
    #[must_use]
    pub fn with_segment_bytes(mut self, segment_bytes: u64) -> Producer {
        self.segment_bytes = segment_bytes;
        self
    }

    /// Appends messages to a partition and returns how many were new: those of this producer and epoch with a
    /// sequence at or below the last one written are there already. All are durable on return, and those that bring no
    /// arrival of their own have one stamp.
    /// After an error the same messages may be appended again.
    pub fn append(&mut self, partition: u32, messages: &[Outgoing<'_>]) -> Result<usize> {
        self.check(messages)?;
        self.open_appender(partition)?;
        let appender = self.partitions[partition as usize].as_mut().expect("opened above");
        let who = ProducerEpoch { name: &self.name, epoch: self.epoch };
        appender.append(who, messages, self.topic.clock().as_ref(), self.segment_bytes)
    }

    /// Appends to several partitions, each named once, as [`Producer::append`] does. They sync at the same time, which
    /// costs a disk little more than one sync. After an error some may have been appended.
    pub fn append_all(&mut self, batches: &[(u32, Vec<Outgoing<'_>>)]) -> Result<usize> {
        if let [(partition, messages)] = batches {
            return self.append(*partition, messages);
        }
        let mut by_partition = BTreeMap::new();
        for (partition, messages) in batches {
            self.check(messages)?;
            self.open_appender(*partition)?;
            if by_partition.insert(*partition as usize, messages.as_slice()).is_some() {
                return Err(Error::internal(format!("partition {partition} was named twice in one append")));
            }
        }
        let mut jobs: Vec<(&mut Appender, &[Outgoing<'_>])> = Vec::new();
        for (number, appender) in self.partitions.iter_mut().enumerate() {
            jobs.extend(appender.as_mut().zip(by_partition.get(&number).copied()));
        }
        let who = ProducerEpoch { name: &self.name, epoch: self.epoch };
        let (clock, segment_bytes) = (self.topic.clock().as_ref(), self.segment_bytes);
        let append = move |some: &mut [(&mut Appender, &[Outgoing<'_>])]| -> Result<usize> {
            some.iter_mut().map(|(appender, messages)| appender.append(who, messages, clock, segment_bytes)).sum()
        };
        let each = jobs.len().div_ceil(SYNCS_AT_ONCE).max(1);
        std::thread::scope(|scope| {
            let running: Vec<_> = jobs.chunks_mut(each).map(|some| scope.spawn(move || append(some))).collect();
            let ends: Vec<_> = running.into_iter().map(|thread| thread.join()).collect();
            ends.into_iter().map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).sum()
        })
    }

    /// Promises that what comes to a partition from now on has arrived after a time, which readers of a topic that is
    /// copied from elsewhere take for the time up to which it is drained. A time that was promised already changes nothing.
    pub fn promise(&mut self, partition: u32, drained_to: ProcessingTime) -> Result<()> {
        self.open_appender(partition)?;
        let appender = self.partitions[partition as usize].as_mut().expect("opened above");
        appender.promise(drained_to)
    }

    /// Whether a partition has messages.
    pub fn has_messages(&mut self, partition: u32) -> Result<bool> {
        self.open_appender(partition)?;
        let appender = self.partitions[partition as usize].as_mut().expect("opened above");
        Ok(appender.partition.locked_soon()?.end.last.is_some())
    }

    fn open_appender(&mut self, partition: u32) -> Result<()> {
        let opened = self.partitions.get(partition as usize).is_some_and(Option::is_some);
        if !opened {
            let appender = Appender::new(self.topic.to_write(partition)?);
            self.partitions[partition as usize] = Some(appender);
        }
        Ok(())
    }

    /// The last sequence of this producer and epoch in a partition, if it has written there.
    pub fn last_sequence(&self, partition: u32) -> Result<Option<u64>> {
        let last = Appender::new(self.topic.to_write(partition)?).last(&self.name)?;
        Ok(last.filter(|last| last.epoch == self.epoch).map(|last| last.sequence))
    }

    /// The greatest epoch under which this producer's name has written to the topic, if it has.
    pub fn last_epoch(&self) -> Result<Option<u64>> {
        let mut greatest = None;
        for partition in 0..self.topic.partitions() {
            let last = Appender::new(self.topic.to_write(partition)?).last(&self.name)?;
            greatest = greatest.max(last.map(|last| last.epoch));
        }
        Ok(greatest)
    }

    /// The greatest epoch under which this producer's name has written to the topic, or was claimed, if it was.
    pub(crate) fn greatest_epoch(&self) -> Result<Option<u64>> {
        let mut greatest = None;
        for partition in 0..self.topic.partitions() {
            greatest = greatest.max(Appender::new(self.topic.to_write(partition)?).greatest_epoch(&self.name)?);
        }
        Ok(greatest)
    }

    fn check(&self, messages: &[Outgoing<'_>]) -> Result<()> {
        let topic = self.topic.name();
        for message in messages {
            let bytes = message.key.map_or(0, <[u8]>::len) + message.payload.len();
            if bytes > MESSAGE_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "topic \"{topic}\": a message has {bytes} bytes, expected at most {MESSAGE_BYTES_MAX}"
                )));
            }
        }
        match messages.windows(2).find(|pair| pair[0].sequence >= pair[1].sequence) {
            Some(pair) if !self.name.is_empty() => Err(Error::invalid(format!(
                "topic \"{topic}\": producer \"{}\" appends sequence {} after {}, expected a greater one",
                self.name, pair[1].sequence, pair[0].sequence
            ))),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
struct ProducerEpoch<'a> {
    name: &'a str,
    epoch: u64,
}

/// Appends to one partition.
pub(crate) struct Appender {
    partition: WritablePartition,
    known: ProducerStates,
    epochs: Epochs,
    segment: Option<(u64, File)>,
}

impl Appender {
    pub fn new(partition: WritablePartition) -> Appender {
        Appender { partition, known: ProducerStates::default(), epochs: Epochs::default(), segment: None }
    }

    /// The last message of a producer.
    fn last(&mut self, producer: &str) -> Result<Option<LastMessage>> {
        let locked = self.partition.locked_soon()?;
        self.known.catch_up(&self.partition.0, &locked.end)?;
        Ok(self.known.last(producer))
    }

    /// The greatest epoch under which a producer has written here, or has claimed to.
    pub fn greatest_epoch(&mut self, producer: &str) -> Result<Option<u64>> {
        let locked = self.partition.locked_soon()?;
        self.known.catch_up(&self.partition.0, &locked.end)?;
        self.epochs.refresh(&self.partition.0)?;
        Ok(self.known.last(producer).map(|last| last.epoch).max(self.epochs.of(producer)))
    }

    /// Records an epoch, durably: lower ones append no more.
    pub fn claim(&mut self, producer: &str, epoch: u64) -> Result<()> {
        let _locked = self.partition.locked_soon()?;
        self.epochs.refresh(&self.partition.0)?;
        self.epochs.claim(&self.partition.0, producer, epoch)
    }

    fn promise(&mut self, drained_to: ProcessingTime) -> Result<()> {
        let mut locked = self.partition.locked()?;
        let stamp = drained_to.0.saturating_add(1);
        if stamp <= locked.end.stamp {
            return Ok(());
        }
        let end = End { stamp, ..locked.end };
        locked.publish(end)
    }

    fn append(
        &mut self,
        who: ProducerEpoch<'_>,
        messages: &[Outgoing<'_>],
        clock: &dyn Clock,
        segment: u64,
    ) -> Result<usize> {
        let mut locked = self.partition.locked()?;
        self.known.catch_up(&self.partition.0, &locked.end)?;
        self.epochs.refresh(&self.partition.0)?;
        let last = self.known.last(who.name);
        who.refuse_fenced(&self.partition.0, last.map(|last| last.epoch).max(self.epochs.of(who.name)))?;
        let fresh = match last.filter(|last| last.epoch == who.epoch) {
            Some(last) => &messages[messages.partition_point(|message| message.sequence <= last.sequence)..],
            None => messages,
        };
        let Some(newest) = fresh.last() else { return Ok(0) };
        if locked.end.bytes >= segment {
            self.known.save(&self.partition.0, locked.end.ledger + 1)?;
            locked.begin_segment()?;
        }
        let end = write(&self.partition.0, &mut self.segment, locked.end, who, fresh, clock)?;
        locked.publish(end)?;
        self.known.appended(who.name, LastMessage { epoch: who.epoch, sequence: newest.sequence }, &end);
        Ok(fresh.len())
    }
}

impl ProducerEpoch<'_> {
    /// An error when a higher epoch has written, or was claimed.
    fn refuse_fenced(&self, partition: &Partition, greatest: Option<u64>) -> Result<()> {
        match greatest {
            Some(greatest) if greatest > self.epoch => Err(Error::invalid(format!(
                "{}: producer \"{}\" with epoch {} is fenced: epoch {greatest} has taken over",
                partition.describe(),
                self.name,
                self.epoch
            ))),
            _ => Ok(()),
        }
    }
}

/// Writes messages after the end and syncs once; returns the end after them. When that fails nothing of them remains.
fn write(
    partition: &Partition,
    segment: &mut Option<(u64, File)>,
    end: End,
    who: ProducerEpoch<'_>,
    messages: &[Outgoing<'_>],
    clock: &dyn Clock,
) -> Result<End> {
    let path = partition.segment_path(end.ledger);
    if segment.as_ref().is_none_or(|(ledger, _)| *ledger != end.ledger) {
        let file = OpenOptions::new().write(true).open(&path).map_err(|e| io_error("open the segment", &path, e))?;
        *segment = Some((end.ledger, file));
    }
    let (_, file) = segment.as_ref().expect("opened above");
    let now = clock.now().0;
    let mut stamp =
        Stamp { ledger: end.ledger, entry: end.entry, arrival: end.stamp, producer: who.name, epoch: who.epoch };
    let mut put_all = || {
        let (mut bytes, mut at) = (Vec::new(), end.bytes);
        for message in messages {
            let arrived = message.arrived.map_or(now, |arrived| arrived.0.min(now));
            stamp.arrival = stamp.arrival.max(arrived);
            put(&mut bytes, &stamp, message);
            stamp.entry += 1;
            if bytes.len() >= WRITE_BYTES {
                file.write_all_at(&bytes, at)?;
                at += bytes.len() as u64;
                bytes.clear();
            }
        }
        file.write_all_at(&bytes, at)?;
        file.sync_data()?;
        Ok(at + bytes.len() as u64)
    };
    let bytes = put_all().map_err(|e| {
        // If this fails too, whoever takes the lock next settles it.
        let _ = file.set_len(end.bytes);
        io_error("append to", &path, e)
    })?;
    let last = Position { ledger: end.ledger, entry: stamp.entry - 1, batch_index: 0 };
    Ok(End { bytes, entry: stamp.entry, last: Some(last), stamp: stamp.arrival, ..end })
}
