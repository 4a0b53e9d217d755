//! Retention: whole segments at the beginning of a topic are removed.
//!
//! The oldest goes first, and each removal is durable before the next, so that after a crash the partition is there
//! from some segment on. A reader that has a removed segment open reads it to its end.

use crate::copies::modified;
use crate::disk::{io_error, sync_folder};
use crate::frame::{Frames, Step};
use crate::partition::Partition;
use crate::topic::LocalTopic;
use dataflow::{Error, Position, ProcessingTime, Result, Topic};
use std::fs::OpenOptions;

/// What retention removed from a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrimSummary {
    /// How many segments.
    pub segments: u64,
    /// Their size together.
    pub bytes: u64,
}

/// Removes the segments of each partition whose messages all arrived before a time, and all lie before the message
/// that its archive goes on after: that message itself stays, since it proves that nothing after it is missing. The
/// partition's last message stays too.
pub(crate) fn trim(
    topic: &LocalTopic,
    before: ProcessingTime,
    keep_after: Option<&[Option<Position>]>,
) -> Result<TrimSummary> {
    if let Some(positions) = keep_after.filter(|positions| positions.len() != topic.partitions() as usize) {
        return Err(Error::invalid(format!(
            "topic \"{}\" has {} partitions, and its archive's frontier has {}: it is the frontier of another topic",
            topic.name(),
            topic.partitions(),
            positions.len()
        )));
    }
    // Two that trim at once would trip over each other's removals.
    let path = topic.folder().join("topic.json");
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|e| io_error("open", &path, e))?;
    file.lock().map_err(|e| io_error("lock", &path, e))?;
    let mut trimmed = TrimSummary::default();
    // What is copied from elsewhere may have arrived there long ago, and nobody has read it: it is as old as it is here.
    let is_copied = topic.was_copied()?;
    for partition in 0..topic.partitions() {
        let archived = keep_after.map(|positions| positions[partition as usize]);
        trim_partition(&topic.partition(partition)?, Age { before, is_copied }, archived, &mut trimmed)?;
    }
    Ok(trimmed)
}

/// What is old.
#[derive(Clone, Copy)]
struct Age {
    before: ProcessingTime,
    // Whether messages bring their arrivals along, so that a segment also has to be written before that time.
    is_copied: bool,
}

fn trim_partition(
    partition: &Partition,
    age: Age,
    archived: Option<Option<Position>>,
    trimmed: &mut TrimSummary,
) -> Result<()> {
    let Some(last) = partition.published_or_wait()?.last else { return Ok(()) };
    let kept = match archived {
        None => last.ledger,
        Some(None) => return Ok(()),
        Some(Some(archived)) => archived.ledger.min(last.ledger),
    };
    let segments = partition.segments()?;
    for pair in segments.windows(2).take_while(|pair| pair[0] < kept) {
        if age.is_copied && modified(&partition.segment_path(pair[0]))? >= age.before {
            break;
        }
        if !arrived_before(partition, pair[0], pair[1], age.before)? {
            break;
        }
        remove(partition, pair[0], trimmed)?;
    }
    Ok(())
}

/// Whether all messages of a segment arrived before a time. Stamps never go back in a partition, so the first message
/// of the next segment usually decides, and only one segment of a partition is read whole.
fn arrived_before(partition: &Partition, ledger: u64, next: u64, before: ProcessingTime) -> Result<bool> {
    let mut following = Frames::open(&partition.segment_path(next), next)?;
    let limit = following.file_bytes()?;
    if let Step::Record(record) = following.next(limit)?
        && record.arrival < before.0
    {
        return Ok(true);
    }
    let mut frames = Frames::open(&partition.segment_path(ledger), ledger)?;
    let limit = frames.file_bytes()?;
    loop {
        match frames.next(limit)? {
            Step::Record(record) if record.arrival >= before.0 => return Ok(false),
            Step::Record(_) => {}
            Step::Limit => return Ok(true),
            Step::Bad(reason) => return Err(partition.corrupt(&frames, reason)),
        }
    }
}

fn remove(partition: &Partition, ledger: u64, trimmed: &mut TrimSummary) -> Result<()> {
    let (segment, producers) = (partition.segment_path(ledger), partition.producers_path(ledger));
    let bytes = std::fs::metadata(&segment).map_err(|e| io_error("look at the segment", &segment, e))?.len();
    // The list goes first: without its segment no one would find it again.
    match std::fs::remove_file(&producers) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io_error("remove", &producers, e)),
        _ => {}
    }
    std::fs::remove_file(&segment).map_err(|e| io_error("remove the segment", &segment, e))?;
    sync_folder(&partition.folder)?;
    trimmed.segments += 1;
    trimmed.bytes += bytes;
    Ok(())
}
