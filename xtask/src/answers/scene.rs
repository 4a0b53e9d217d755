//! Random streams: what was sent to each, in which form it lies there, and what DuckDB is to know of it.

use super::cells::{self, Cell, Taste};
use super::clock::{Clock, Place};
use std::collections::HashSet;
use tests::Chance;

pub const SECOND: i64 = 1_000_000;
/// The beginning of all logs: 2026-01-01.
pub const START: i64 = 1_767_225_600 * SECOND;
/// After the last message of a scene comes one more, so much later, up to which everything is released.
const CLOSING: i64 = 3 * 3600 * SECOND;

/// The names of the streams.
pub const NAMES: [&str; 3] = ["x", "y", "z"];

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    JsonLines,
    Parquet,
}

impl Format {
    /// The ending of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::JsonLines => "jsonl",
            Format::Parquet => "parquet",
        }
    }
}

/// How much of a topic is archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archived {
    Nothing,
    /// Each partition up to a place of its own.
    Part,
    All,
}

/// Where a stream's rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Files { format: Format, files: u64 },
    Topic { partitions: u32, archived: Archived },
}

/// What was sent, in the sequence of arrivals; of files, of their lines.
#[derive(Clone, Debug)]
pub struct Sent {
    pub arrival: i64,
    /// The partition, or the number of the file.
    pub part: u64,
    /// What is no row is text that cannot be read.
    pub content: Result<Vec<Cell>, String>,
}

impl Sent {
    /// The event time, of a row.
    fn event(&self) -> Option<i64> {
        match self.content.as_ref().ok()?[1] {
            Cell::Instant(micros) => Some(micros),
            _ => None,
        }
    }
}

/// A stream.
#[derive(Clone, Debug)]
pub struct Stream {
    pub name: &'static str,
    pub source: Source,
    /// In microseconds.
    pub delay: i64,
    pub drops_late: bool,
    /// The columns of DEDUP and its interval in seconds.
    pub dedup: Option<(&'static str, i64)>,
    /// Values of its doubles may be NaN or infinite.
    pub wild: bool,
    pub sent: Vec<Sent>,
}

/// A row as DuckDB has it: with the hidden columns.
pub struct Known<'a> {
    pub row: &'a [Cell],
    pub place: Place,
}

impl Stream {
    /// Draws a stream of about so many rows.
    fn draw(name: &'static str, chance: &mut Chance, rows: i64) -> Stream {
        let source = if chance.permille(400) {
            let format = chance.of(&[Format::Csv, Format::JsonLines, Format::Parquet]);
            Source::Files { format, files: chance.of(&[1, 1, 2, 3]) }
        } else {
            let archived = chance.of(&[Archived::Nothing, Archived::Part, Archived::Part, Archived::All]);
            Source::Topic { partitions: chance.of(&[1, 2, 3]), archived }
        };
        let is_topic = matches!(source, Source::Topic { .. });
        // In files nothing tells which of two rows of one time comes first, so there only whole rows come again.
        let keys: &[&str] = if is_topic { &["id", "k", "k, g"] } else { &["id"] };
        let dedup = chance.permille(250).then(|| (chance.of(keys), chance.of(&[1, 30, 3600])));
        let mut stream = Stream {
            name,
            source,
            delay: chance.of(&[0, 1, 2, 10]) * SECOND,
            drops_late: is_topic && chance.permille(200),
            dedup,
            wild: chance.permille(300),
            sent: Vec::new(),
        };
        stream.fill(chance, rows);
        stream
    }

    fn fill(&mut self, chance: &mut Chance, rows: i64) {
        let taste =
            Taste { wild: self.wild, full_texts: matches!(self.source, Source::Files { format: Format::Csv, .. }) };
        // Two deliveries have an order on a topic alone; in files DEDUP leaves one of them.
        let is_topic = matches!(self.source, Source::Topic { .. });
        let (mut now, mut used) = (START, HashSet::new());
        for id in 0..rows {
            now += chance.of(&[0, 0, 1, 300_000, SECOND, 5 * SECOND, 30 * SECOND, 200 * SECOND]);
            let part = match self.source {
                Source::Files { files, .. } => chance.below(files),
                Source::Topic { partitions, .. } => chance.below(u64::from(partitions)),
            };
            let time = self.time(chance, now, &mut used);
            let content = match chance.below(1000) {
                0..8 if self.may_hold_nonsense() => Err(nonsense(chance, self.source)),
                8..50 if is_topic || self.dedup.is_some() => match self.again(chance, now) {
                    Some(row) => Ok(row),
                    None => Ok(cells::row(chance, id, time, taste)),
                },
                _ => Ok(cells::row(chance, id, time, taste)),
            };
            self.sent.push(Sent { arrival: now, part, content });
        }
    }

    /// A row that was sent before. One that was ahead of its time may be so still: it would have to wait for longer than
    /// the scene lasts.
    fn again(&self, chance: &mut Chance, now: i64) -> Option<Vec<Cell>> {
        let before = self.sent.get(chance.below(self.sent.len().max(1) as u64) as usize)?;
        before.event().filter(|event| *event <= now)?;
        before.content.clone().ok()
    }

    /// Whether text that is no row can stand in it.
    fn may_hold_nonsense(&self) -> bool {
        !matches!(self.source, Source::Files { format: Format::Parquet, .. })
    }

    /// The event time of what is sent now.
    fn time(&self, chance: &mut Chance, now: i64, used: &mut HashSet<i64>) -> i64 {
        let within = chance.of(&[0, 0, 1, 300_000, self.delay / 2, self.delay]);
        match self.source {
            Source::Topic { .. } => match chance.below(1000) {
                0..40 => now - self.delay - chance.between(1, 90 * SECOND),
                40..60 => now + chance.between(1, 600 * SECOND),
                60..64 => now + 86_400 * SECOND + chance.between(1, SECOND),
                _ => now - within.min(self.delay),
            },
            Source::Files { .. } => {
                let mut time = now - within * 100;
                // As-of joins take one of several rows of one time, and in files nothing tells which.
                while self.name != NAMES[0] && !used.insert(time) {
                    time += 1;
                }
                time
            }
        }
    }

    /// Its rows as DuckDB is to have them, in the order of `_ord`, and how far its clock came if it is live.
    pub fn known(&self) -> (Vec<Known<'_>>, Option<i64>) {
        let Source::Topic { partitions, .. } = self.source else {
            let rows = self.sent.iter().filter_map(|sent| Some((sent.content.as_ref().ok()?, sent.event()?)));
            let known = rows.map(|(row, time)| Known { row, place: Place { time, late: false } });
            return (known.collect(), None);
        };
        let (mut all, mut reached) = (Vec::new(), None);
        for partition in 0..u64::from(partitions) {
            let mut clock = Clock::default();
            for sent in self.sent.iter().filter(|sent| sent.part == partition) {
                let place = clock.take(sent.event(), sent.arrival, self.delay);
                if let (Ok(row), Some(place)) = (&sent.content, place)
                    && !(place.late && self.drops_late)
                {
                    all.push(Known { row, place });
                }
            }
            reached = reached.max(clock.at());
        }
        (all, reached)
    }
}

/// What is no row.
fn nonsense(chance: &mut Chance, source: Source) -> String {
    let lines: &[&str] = match source {
        Source::Files { format: Format::Csv, .. } => &["1,2,3", "x,,,,,,,,,,", "1,not a time,,,,,,,,,"],
        _ => &[
            "{\"id\": 1, \"ts\"",
            "{\"id\": 1, \"ts\": \"never\"}",
            "{\"id\": 1}",
            "[]",
            "{\"id\": \"x\", \"ts\": null}",
        ],
    };
    chance.of(lines).to_owned()
}

/// The streams of a project.
#[derive(Clone, Debug)]
pub struct Scene {
    pub streams: Vec<Stream>,
}

impl Scene {
    /// Draws two or three streams. The last message of each that is live closes the scene.
    pub fn draw(chance: &mut Chance) -> Scene {
        let rows = chance.of(&[40, 150, 300, 600]);
        let count = chance.of(&[2, 2, 3]);
        let mut streams: Vec<Stream> = NAMES[..count]
            .iter()
            .enumerate()
            .map(|(at, name)| Stream::draw(name, chance, if at == 0 { rows } else { rows / 2 }))
            .collect();
        let last = streams.iter().flat_map(|stream| &stream.sent).map(|sent| sent.arrival).max().unwrap_or(START);
        // A job ends where the streams that it reads end, so each of them is closed.
        let at = last + CLOSING;
        for stream in streams.iter_mut().filter(|stream| matches!(stream.source, Source::Topic { .. })) {
            let row = cells::row(chance, 1_000_000, at, Taste { wild: false, full_texts: true });
            stream.sent.push(Sent { arrival: at, part: 0, content: Ok(row) });
        }
        Scene { streams }
    }

    /// Where inputs end: nowhere if nothing is live.
    pub fn end(&self) -> Option<i64> {
        self.streams.iter().filter_map(|stream| stream.known().1).max()
    }

    /// Whether doubles may be NaN or infinite.
    pub fn is_wild(&self) -> bool {
        self.streams.iter().any(|stream| stream.wild)
    }
}
