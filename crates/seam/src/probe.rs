//! Looks at the partitions of a topic when a job begins: where each goes on, where it ends, and from when on outputs
//! of it count.

use crate::clock::PartitionClock;
use crate::frontier::Frontier;
use crate::partition::shown;
use crate::placing::{event_time, instants};
use crate::position::{ClockPosition, LastMessage, PartitionPosition, QUEUE_END};
use crate::unreleased::OutRows;
use crate::{Live, StreamSpec};
use dataflow::{Error, ErrorKind, EventTime, Position, Result, Split, Topic, decode_messages, read_what_is_there};
use std::collections::BTreeMap;

/// How many messages are read at once to find the first one that moves a partition's clock.
const PROBE_MESSAGES: usize = 256;
/// About how many bytes of messages one read takes.
const READ_BYTES: usize = 4 << 20;

/// What to do about a topic that is not what it was.
pub(crate) const BRING_BACK: &str = "bring the topic back as it was, or begin anew with --fresh";

/// Where the partitions of a job that goes on end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Nowhere.
    None,
    /// Where the run before ended them; where they end now, if it had no ends.
    Known,
    /// Where they end now.
    Now,
}

/// The positions of all partitions after the frontier. Reads no row, except to find where a partition begins that has
/// rows but none before the frontier.
pub(crate) fn begin(
    spec: &StreamSpec,
    live: &Live,
    frontier: &Frontier,
    bounded: bool,
) -> Result<Vec<PartitionPosition>> {
    if live.topic.is_queue() {
        // What it gives is not known before it is given, and no output begins after it.
        let end = bounded.then_some(QUEUE_END);
        return Ok(vec![PartitionPosition { end, ..PartitionPosition::unread(live.topic.as_ref()) }]);
    }
    let mut partitions = Vec::new();
    for (index, at) in frontier.partitions.iter().enumerate() {
        let (index, message) = (index as u32, at.map(|at| at.position));
        let end = live.topic.open(index, message)?.end()?;
        check_end(spec, live, index, message, end.last)?;
        let clock = match at {
            Some(at) => PartitionClock::resume(spec, at.clock, Some(at.arrival)),
            None => PartitionClock::new(spec),
        };
        let drained = (end.last == message).then_some(end.drained_to);
        let start = match (clock.clock(), drained) {
            (Some(_), Some(drained_to)) => clock.watermark_drained(drained_to),
            (Some(_), None) => clock.watermark(),
            (None, Some(_)) => None,
            (None, None) => first_clock(spec, live, index, message, end.last)?.and_then(|first| first.watermark()),
        };
        partitions.push(PartitionPosition {
            topic: live.topic.id().clone(),
            message,
            clock: ClockPosition::of(&clock),
            alone: None,
            joins: 0,
            absent: clock.clock().is_none() && drained.is_some(),
            end: bounded.then_some(LastMessage(end.last)),
            start,
            out: OutRows::NONE,
        });
    }
    Ok(partitions)
}

/// The positions of a checkpoint. A run that was not bounded may go on as one that is, and the other way round.
///
/// A partition that is new begins at its beginning, and is absent also where it has messages: what came out before came
/// out in the belief that it gives nothing, so that its first row has to wait for a checkpoint.
pub(crate) fn resume(
    spec: &StreamSpec,
    live: &Live,
    known: &BTreeMap<u32, PartitionPosition>,
    ends: Ends,
) -> Result<Vec<PartitionPosition>> {
    let (topic, partitions) = (live.topic.as_ref(), live.topic.partitions());
    if let Some(gone) = known.keys().find(|&&index| index >= partitions) {
        return Err(Error::invalid(format!(
            "stream \"{}\": topic \"{}\" has {partitions} partitions, and the checkpoint has read partition {gone}; {}",
            spec.name,
            topic.name(),
            BRING_BACK
        )));
    }
    let position = |index: u32| {
        let known = known.get(&index).cloned();
        if let Some(known) = &known {
            check_topic(spec, known, topic)?;
        }
        let position = known.unwrap_or_else(|| PartitionPosition::unread(topic));
        if topic.is_queue() {
            let end = match ends {
                Ends::None => None,
                Ends::Now => Some(QUEUE_END),
                Ends::Known => Some(position.end.unwrap_or(QUEUE_END)),
            };
            return Ok(PartitionPosition { end, ..position });
        }
        let end = topic.open(index, position.message).and_then(|mut log| log.end()).map_err(|error| {
            let place = format!("stream \"{}\", {}", spec.name, Split::Partition(index));
            let hint = if error.kind() == ErrorKind::Corrupt { format!("; {BRING_BACK}") } else { String::new() };
            error.context(format!("{place}: its topic cannot be read where the checkpoint goes on{hint}"))
        })?;
        check_end(spec, live, index, position.message, end.last)?;
        let end = match ends {
            Ends::None => None,
            Ends::Now => Some(LastMessage(end.last)),
            Ends::Known => Some(position.end.unwrap_or(LastMessage(end.last))),
        };
        Ok(PartitionPosition { end, ..position })
    };
    (0..partitions).map(position).collect()
}

/// Refuses a topic that is not the one that was read.
pub(crate) fn check_topic(spec: &StreamSpec, at: &PartitionPosition, topic: &dyn Topic) -> Result<()> {
    if at.topic == *topic.id() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "stream \"{}\": the checkpoint was made with a topic of id {}/{}, but topic \"{}\" has id {}/{}: it was made again; \
         {BRING_BACK}",
        spec.name,
        at.topic.cluster,
        at.topic.topic,
        topic.name(),
        topic.id().cluster,
        topic.id().topic
    )))
}

fn check_end(
    spec: &StreamSpec,
    live: &Live,
    partition: u32,
    message: Option<Position>,
    last: Option<Position>,
) -> Result<()> {
    if last >= message {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "stream \"{}\": topic \"{}\", partition {partition} ends at {}, before the message {} that was read of it",
        spec.name,
        live.topic.name(),
        shown(last),
        shown(message)
    )))
}

/// Where the watermark stops while history is read. With end positions a partition that ends at the frontier holds
/// nobody back, and silence after the end positions counts for nothing.
pub(crate) fn history_cap(partitions: &[PartitionPosition]) -> EventTime {
    let starts = partitions.iter().filter(|partition| !partition.at_end()).filter_map(|partition| partition.start);
    let clock = || partitions.iter().filter(|partition| partition.end.is_some()).filter_map(|at| at.clock.clock).max();
    starts.min().or_else(clock).unwrap_or(EventTime::MIN)
}

/// The clock of a partition after the first row that moves it, among those up to `last`.
fn first_clock(
    spec: &StreamSpec,
    live: &Live,
    partition: u32,
    after: Option<Position>,
    last: Option<Position>,
) -> Result<Option<PartitionClock>> {
    let mut log = live.topic.open(partition, after)?;
    let mut clock = PartitionClock::new(spec);
    loop {
        let messages = read_what_is_there(log.as_mut(), PROBE_MESSAGES, READ_BYTES)?;
        if messages.is_empty() {
            return Ok(None);
        }
        let decoded = decode_messages(live.decode.as_ref(), &messages)?;
        let events = instants(decoded.rows.column(spec.time_column))?;
        let mut bad = decoded.bad.iter().map(|(index, _)| *index).peekable();
        let mut row = 0;
        for (index, message) in messages.iter().enumerate() {
            if Some(message.position) > last {
                return Ok(None);
            }
            if bad.next_if_eq(&index).is_some() {
                continue;
            }
            if let Some(event) = event_time(&events, row) {
                clock.row(event, message.arrival);
            }
            if clock.clock().is_some() {
                return Ok(Some(clock));
            }
            row += 1;
        }
    }
}
