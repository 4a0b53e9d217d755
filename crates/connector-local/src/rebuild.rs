//! Finds a partition's end in its segments, when the file that publishes it is missing or damaged.

use crate::end::End;
use crate::frame::{Frames, Step};
use crate::partition::Partition;
use crate::producer_states::ProducerStates;
use dataflow::{Error, Result};

/// A segment as its messages say.
struct SegmentScan {
    end: End,
    // What is wrong after the last whole message.
    torn: Option<Error>,
    // Whether nothing follows the header.
    unused: bool,
}

/// The end up to which the segments hold whole messages; the caller has the lock alone, and cuts off what is torn
/// after it. What was acknowledged can no longer be known, so nothing before a whole message is cut, nor in a
/// segment that another follows.
pub(crate) fn end_of_segments(partition: &Partition) -> Result<End> {
    let mut segments = partition.segments()?;
    let Some(newest) = segments.pop() else {
        return Err(partition.without_segments());
    };
    let last = scan(partition, newest)?;
    if last.end.last.is_some() {
        return Ok(last.end);
    }
    let mut unused = last.unused;
    while let Some(ledger) = segments.pop() {
        let before = scan(partition, ledger)?;
        match before.torn {
            // A segment is begun only after a whole one: the empty ones after this were never published.
            Some(_) if unused => return Ok(before.end),
            Some(error) => return Err(error),
            None => {}
        }
        unused &= before.unused;
        if before.end.last.is_none() {
            continue;
        }
        // Its own list of producers may be older than the last messages before it.
        let mut known = ProducerStates::default();
        known.catch_up(partition, &before.end)?;
        known.save(partition, newest)?;
        return Ok(End { last: before.end.last, stamp: before.end.stamp, ..last.end });
    }
    Ok(last.end)
}

fn scan(partition: &Partition, ledger: u64) -> Result<SegmentScan> {
    let mut frames = Frames::open(&partition.segment_path(ledger), ledger)?;
    let size = frames.file_bytes()?;
    let mut end = End::at_start(ledger);
    let unused = size == end.bytes;
    let bad = loop {
        match frames.next(size)? {
            Step::Record(record) => (end.last, end.stamp) = (Some(record.position), record.arrival),
            Step::Limit => break None,
            Step::Bad(reason) => break Some(reason),
        }
    };
    if let Some(reason) = bad
        && frames.whole_message_follows(size)?
    {
        let advice = "whole messages follow it, so nothing is cut off: restore the segment from a copy";
        return Err(partition.corrupt(&frames, &format!("{reason}; {advice}")));
    }
    (end.bytes, end.entry) = (frames.offset(), frames.entry());
    Ok(SegmentScan { end, torn: bad.map(|reason| partition.corrupt(&frames, reason)), unused })
}
