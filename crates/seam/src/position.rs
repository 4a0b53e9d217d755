//! How far a split was read, in a versioned form: a reader of any worker goes on there.

use crate::StreamSpec;
use crate::clock::PartitionClock;
use crate::unreleased::OutRows;
use dataflow::{ByteReader, ByteWriter, EventTime, Position, ProcessingTime, Result, Span, Topic, TopicId};

/// The first version does not count how often a partition has joined.
const VERSION: u8 = 2;
const SHARE_VERSION: u8 = 1;

/// How far a partition was read, and what its reader knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionPosition {
    /// The topic: one that was made again is another one.
    pub topic: TopicId,
    /// The last message that was given out.
    pub message: Option<Position>,
    /// The clock after it.
    pub clock: ClockPosition,
    /// The clock as it would be had the partition not joined; until the two agree.
    pub alone: Option<ClockPosition>,
    /// How often it has joined with another clock than its messages alone gave.
    pub joins: u64,
    /// Whether it holds nobody back, because it has shown no row.
    pub absent: bool,
    /// The last message when the job began, in runs that end there.
    pub end: Option<LastMessage>,
    /// What it adds to the least value at which outputs begin; `None` when it does not count.
    pub start: Option<EventTime>,
    /// Its rows that were given out and not released.
    pub out: OutRows,
}

/// A partition's clock and last arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockPosition {
    pub clock: Option<EventTime>,
    pub arrival: Option<ProcessingTime>,
}

/// Where a bounded run ends a partition; `None` for one without messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastMessage(pub Option<Position>);

/// Where a bounded run ends a queue, until it is known where that is: after everything that it gives.
pub(crate) const QUEUE_END: LastMessage =
    LastMessage(Some(Position { ledger: (1 << 48) - 1, entry: (1 << 40) - 1, batch_index: 0 }));

impl PartitionPosition {
    /// The beginning of a partition that a job which goes on has not known.
    pub fn unread(topic: &dyn Topic) -> PartitionPosition {
        PartitionPosition {
            topic: topic.id().clone(),
            message: None,
            clock: ClockPosition::default(),
            alone: None,
            joins: 0,
            absent: true,
            end: None,
            start: None,
            out: OutRows::NONE,
        }
    }

    /// The byte form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::new(VERSION);
        out.bytes(self.topic.cluster.as_bytes());
        out.bytes(self.topic.topic.as_bytes());
        write_message(&mut out, self.message);
        write_clock(&mut out, self.clock);
        out.u8(u8::from(self.alone.is_some()));
        if let Some(alone) = self.alone {
            write_clock(&mut out, alone);
        }
        out.u8(u8::from(self.absent));
        out.u8(u8::from(self.end.is_some()));
        if let Some(LastMessage(end)) = self.end {
            write_message(&mut out, end);
        }
        out.option(self.start.map(|start| start.0));
        out.u64(self.joins);
        self.out.write(&mut out);
        out.finish()
    }

    /// Reads the byte form; an error of kind `Corrupt` says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<PartitionPosition> {
        let version = bytes.first().map_or(VERSION, |version| (*version).clamp(1, VERSION));
        let mut from = ByteReader::new("the position of a partition", bytes, version)?;
        let position = PartitionPosition {
            topic: TopicId { cluster: read_text(&mut from)?, topic: read_text(&mut from)? },
            message: read_message(&mut from)?,
            clock: read_clock(&mut from)?,
            alone: if read_flag(&mut from)? { Some(read_clock(&mut from)?) } else { None },
            absent: read_flag(&mut from)?,
            end: if read_flag(&mut from)? { Some(LastMessage(read_message(&mut from)?)) } else { None },
            start: from.option()?.map(EventTime),
            joins: if version > 1 { from.u64()? } else { 0 },
            out: OutRows::read(&mut from)?,
        };
        from.end()?;
        Ok(position)
    }

    /// Joins the stream at a level, or joins it again: its rows come out above it, and its clock runs on from there.
    pub fn join(&mut self, delay: Span, level: EventTime) {
        self.absent = false;
        let clock = Some(level.plus(delay).plus(Span(1)));
        if level > EventTime::MIN && self.clock.clock < clock {
            self.alone = self.alone.or(Some(self.clock));
            self.joins += 1;
            // Silence before the first row says nothing.
            self.clock = ClockPosition { clock, arrival: None };
        }
    }

    /// Whether everything was given out that a bounded run reads.
    pub fn at_end(&self) -> bool {
        self.end.is_some_and(|LastMessage(end)| self.message >= end)
    }
}

impl ClockPosition {
    /// Where a clock stands.
    pub fn of(clock: &PartitionClock) -> ClockPosition {
        ClockPosition { clock: clock.clock(), arrival: clock.arrival() }
    }

    /// The clock of a stream's partition that goes on from here.
    pub fn resume(self, spec: &StreamSpec) -> PartitionClock {
        PartitionClock::resume(spec, self.clock, self.arrival)
    }
}

/// How far a share of the history was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShareBytes {
    /// The byte form of its own position.
    pub position: Vec<u8>,
    /// Its rows that were given out and not released.
    pub out: OutRows,
}

impl ShareBytes {
    /// The byte form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::new(SHARE_VERSION);
        out.bytes(&self.position);
        self.out.write(&mut out);
        out.finish()
    }

    /// Reads the byte form; an error of kind `Corrupt` says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<ShareBytes> {
        let mut from = ByteReader::new("the position of a share of the history", bytes, SHARE_VERSION)?;
        let share = ShareBytes { position: from.bytes()?.to_vec(), out: OutRows::read(&mut from)? };
        from.end()?;
        Ok(share)
    }
}

fn write_message(out: &mut ByteWriter, message: Option<Position>) {
    out.u8(u8::from(message.is_some()));
    if let Some(message) = message {
        out.u64(message.ledger);
        out.u64(message.entry);
        out.u64(u64::from(message.batch_index));
    }
}

fn read_message(from: &mut ByteReader) -> Result<Option<Position>> {
    if !read_flag(from)? {
        return Ok(None);
    }
    let (ledger, entry, index) = (from.u64()?, from.u64()?, from.u64()?);
    let batch_index = u32::try_from(index).map_err(|_| from.corrupt(&format!("the index {index} in an entry")))?;
    Ok(Some(Position { ledger, entry, batch_index }))
}

fn write_clock(out: &mut ByteWriter, clock: ClockPosition) {
    out.option(clock.clock.map(|clock| clock.0));
    out.option(clock.arrival.map(|arrival| arrival.0));
}

fn read_clock(from: &mut ByteReader) -> Result<ClockPosition> {
    Ok(ClockPosition { clock: from.option()?.map(EventTime), arrival: from.option()?.map(ProcessingTime) })
}

fn read_flag(from: &mut ByteReader) -> Result<bool> {
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        flag => Err(from.corrupt(&format!("byte {flag} where 0 or 1 is expected"))),
    }
}

fn read_text(from: &mut ByteReader) -> Result<String> {
    String::from_utf8(from.bytes()?.to_vec()).map_err(|_| from.corrupt("a name is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::ErrorKind;

    fn sample() -> PartitionPosition {
        PartitionPosition {
            topic: TopicId { cluster: "c".to_owned(), topic: "t".to_owned() },
            message: Some(Position { ledger: 7, entry: 41, batch_index: 2 }),
            clock: ClockPosition { clock: Some(EventTime(-5)), arrival: Some(ProcessingTime(9)) },
            alone: Some(ClockPosition::default()),
            joins: 5,
            absent: false,
            end: Some(LastMessage(None)),
            start: Some(EventTime(3)),
            out: OutRows { rows: 3, bytes: 100, greatest: EventTime(12) },
        }
    }

    #[test]
    fn earlier_versions_are_read_for_as_long_as_there_are_checkpoints() {
        let stored = "01 0100000000000000 63 0100000000000000 74 01 0700000000000000 2900000000000000 0200000000000000 \
                      01 fbffffffffffffff 01 0900000000000000 01 00 00 00 01 00 01 0300000000000000 \
                      0300000000000000 6400000000000000 0c00000000000000";
        let digits: Vec<u8> = stored.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        let mut stored: Vec<u8> = pairs.collect();
        assert_eq!(PartitionPosition::parse(&stored).unwrap(), PartitionPosition { joins: 0, ..sample() });
        stored[0] = 2;
        let out = stored.len() - 24;
        stored.splice(out..out, 5u64.to_le_bytes());
        assert_eq!(PartitionPosition::parse(&stored).unwrap(), sample());
        assert_eq!(sample().to_bytes(), stored);
    }

    #[test]
    fn bytes_that_are_cut_or_changed_are_an_error_or_another_position() {
        let share = ShareBytes { position: vec![1, 2, 3], out: OutRows { rows: 1, bytes: 2, greatest: EventTime(3) } };
        assert_eq!(ShareBytes::parse(&share.to_bytes()).unwrap(), share);
        let bytes = sample().to_bytes();
        for end in 0..bytes.len() {
            assert_eq!(PartitionPosition::parse(&bytes[..end]).unwrap_err().kind(), ErrorKind::Corrupt, "{end}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            if let Ok(position) = PartitionPosition::parse(&changed) {
                assert_ne!(position, sample(), "byte {at}");
            }
        }
    }
}
