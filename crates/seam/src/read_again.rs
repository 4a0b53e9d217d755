//! Whether what a checkpoint has read of streams can be read once more, from their beginning and exactly so far.

use crate::frontier::Frontier;
use crate::history::HistoryPlan;
use crate::open::frontier_of;
use crate::partition::shown;
use crate::probe::check_topic;
use crate::source::{Live, StreamInput};
use crate::stream_checkpoint::{StreamCheckpoint, read_so_far};
use dataflow::{CoordinatorState, EventTime, Position, Result, RowOrder, read_what_is_there};

/// How many messages, and bytes of them, are counted at once.
const MESSAGES: usize = 8192;
const BYTES: usize = 4 << 20;

/// Why what a checkpoint has read of streams cannot be read again with the times that it had; `None` where it can. The
/// inputs have all files of their histories. What tells nothing of itself is found out by counting what is read: that a
/// topic which has no archive was trimmed.
pub fn read_again(streams: &[StreamInput], state: &CoordinatorState) -> Result<Option<String>> {
    let known = StreamCheckpoint::of_all(streams, state)?;
    for (stream, known) in streams.iter().zip(&known) {
        if let Some(why) = of_stream(stream, known)? {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

/// Whether all that a checkpoint had read was read again by a job that was opened up to it, as a checkpoint of that job
/// says.
pub fn has_read_again(read: &CoordinatorState, until: &CoordinatorState) -> Result<bool> {
    if read.watermarks != until.watermarks {
        return Ok(false);
    }
    for stream in 0..until.watermarks.len() {
        let (read, until) = (read_so_far(read, stream)?, read_so_far(until, stream)?);
        let is_there = |last: &RowOrder| {
            let partition = last.position().0;
            read.messages.iter().any(|message| message.position().0 == partition && message >= last)
        };
        if !read.has_read_history || !until.messages.iter().all(is_there) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How many rows are there of those that a checkpoint has read of a stream, in its archive and on its topic; `None` where
/// that cannot be told: where it has no topic, or its archive has more than was read.
pub fn rows_there(stream: &StreamInput, state: &CoordinatorState, number: usize) -> Result<Option<i64>> {
    let Some(live) = &stream.live else { return Ok(None) };
    let archived = archived_to(stream)?;
    let mut there: i64 = stream.history.iter().flat_map(|files| files.files()).map(|file| file.rows as i64).sum();
    let read: Vec<(u32, Position)> = read_so_far(state, number)?.messages.into_iter().map(RowOrder::position).collect();
    for (partition, archived) in (0..).zip(archived) {
        let last = read.iter().find(|(of, _)| *of == partition).map(|(_, message)| *message);
        if archived > last {
            return Ok(None);
        }
        if archived == last {
            continue;
        }
        // What a topic does not give after its archive is said where it is opened to be read.
        let Ok(mut log) = live.topic.open(partition, archived) else { return Ok(None) };
        loop {
            let messages = read_what_is_there(log.as_mut(), MESSAGES, BYTES)?;
            let upto = messages.partition_point(|message| Some(message.position) <= last);
            there += upto as i64;
            if upto < messages.len() || messages.is_empty() {
                break;
            }
        }
    }
    Ok(Some(there))
}

/// Per partition of a stream's topic the last message that its archive has.
pub fn archived_to(stream: &StreamInput) -> Result<Vec<Option<Position>>> {
    let Some(live) = &stream.live else { return Ok(Vec::new()) };
    let rows = stream.history.iter().flat_map(|files| files.files()).map(|file| file.rows).sum();
    let frontier = frontier_of(stream, live.topic.as_ref(), rows)?;
    Ok((0..live.topic.partitions()).map(|partition| archived(&frontier, partition)).collect())
}

fn of_stream(stream: &StreamInput, known: &StreamCheckpoint) -> Result<Option<String>> {
    let name = &stream.spec.name;
    if [EventTime::MIN, EventTime::MAX].contains(&known.watermark) {
        return Ok(Some(format!("stream \"{name}\" had given no watermark yet")));
    }
    match &stream.live {
        Some(live) => of_topic(stream, live, known),
        None => of_files(stream, known),
    }
}

/// A topic, with its archive where there is one, has what was read by coordinates.
fn of_topic(stream: &StreamInput, live: &Live, known: &StreamCheckpoint) -> Result<Option<String>> {
    let (name, topic) = (&stream.spec.name, live.topic.as_ref());
    let rows = stream.history.iter().flat_map(|files| files.files()).map(|file| file.rows).sum();
    let checked = known.partitions.values().try_for_each(|at| check_topic(&stream.spec, at, topic));
    let frontier = match checked.and_then(|()| frontier_of(stream, topic, rows)) {
        Ok(frontier) => frontier,
        Err(error) => return Ok(Some(error.chain())),
    };
    for (&partition, at) in &known.partitions {
        let Some(last) = at.message else { continue };
        if partition >= topic.partitions() {
            return Ok(Some(format!("stream \"{name}\": partition {partition} of topic \"{}\" is gone", topic.name())));
        }
        if let Some(why) = of_partition(live, partition, (archived(&frontier, partition), last))? {
            return Ok(Some(format!("stream \"{name}\": {why}")));
        }
    }
    Ok(None)
}

/// The messages of a partition after those that are archived, up to the last one that was read.
fn of_partition(live: &Live, partition: u32, (archived, last): (Option<Position>, Position)) -> Result<Option<String>> {
    if archived >= Some(last) {
        return Ok(None);
    }
    let end = match live.topic.open(partition, archived).and_then(|mut log| log.end()) {
        Ok(end) => end.last,
        Err(error) => return Ok(Some(error.chain())),
    };
    Ok((end < Some(last)).then(|| {
        format!(
            "topic \"{}\", partition {partition} ends at {}, before message {} that was read of it",
            live.topic.name(),
            shown(end),
            shown(Some(last))
        )
    }))
}

fn archived(frontier: &Frontier, partition: u32) -> Option<Position> {
    let at = frontier.partitions.get(partition as usize).copied().flatten();
    at.map(|at| at.position)
}

/// Files whose rows have no coordinates have to be those that were read.
fn of_files(stream: &StreamInput, known: &StreamCheckpoint) -> Result<Option<String>> {
    let name = &stream.spec.name;
    if !known.partitions.is_empty() {
        return Ok(Some(format!("stream \"{name}\": its topic is gone")));
    }
    let Some(files) = &stream.history else {
        return Ok((!known.shares.is_empty()).then(|| format!("stream \"{name}\": its history is gone")));
    };
    let plan = HistoryPlan::new(&stream.spec, files.clone())?;
    Ok((!plan.was_read(&known.shares)).then(|| {
        format!(
            "stream \"{name}\": the files of its history are not those that were read, or only some of them were, and its \
             rows have no coordinates that would tell which"
        )
    }))
}
