//! Messages that are larger than an entry: their chunks are put together again.
//!
//! Whether a message is given up is a rule of the partition's log alone, so that every run gives up the same. A message
//! that never became whole was never said to be stored, so that its producer sends it again, or nobody misses it.

use crate::message::IncompleteMessage;
use crate::position::EntryId;
use crate::wire::protocol::MessageMetadata;
use bytes::{Bytes, BytesMut};

/// How long, by the stamps of entries, a message may take to become whole. A producer that has small entries and a slow
/// broker takes a quarter of it for the largest message.
pub const OPEN_MS_MAX: u64 = 60 * 60 * 1000;

/// The same by the clocks of other producers, where brokers do not stamp: clocks differ by hours. One that is further ahead
/// counts in other units.
const OPEN_MS_MAX_OF_OTHERS: u64 = 24 * OPEN_MS_MAX;
const STAMP_MS_MAX: u64 = 366 * OPEN_MS_MAX_OF_OTHERS;

/// How many of the greatest messages may be open together.
const OPEN_LARGEST_MAX: usize = 4;

/// How many messages may be open, and what the names of their producers and their own may take together: nothing of them
/// is what brokers have looked at.
const OPEN_MAX: usize = 1000;
const NAMES_BYTES_MAX: usize = 4 << 20;

/// How many messages that were given up are told of, and how much of their names, before the next one that is whole.
const TOLD_MAX: usize = 100;
const NAME_LETTERS_MAX: usize = 200;

/// So many bytes are kept of a message that is too large.
const BEGINNING: usize = 1 << 10;

#[derive(Debug)]
struct OpenMessage {
    producer_name: String,
    uuid: String,
    /// Two attempts to send a message have the same.
    sequence: u64,
    first: EntryId,
    stamp_ms: u64,
    next_chunk: i32,
    /// The chunks so far, or their beginning where they are too large.
    bytes: BytesMut,
    /// How many bytes came.
    total: usize,
}

impl OpenMessage {
    fn is_cut(&self) -> bool {
        self.bytes.len() < self.total
    }

    fn cut(&mut self) {
        self.bytes = BytesMut::from(&self.bytes[..self.bytes.len().min(BEGINNING)]);
    }
}

/// Messages that were given up, for whoever gets the next one that is whole: the first of them.
#[derive(Debug, Default)]
pub struct GivenUp(Vec<IncompleteMessage>);

impl GivenUp {
    fn add(&mut self, message: IncompleteMessage) {
        if self.0.len() < TOLD_MAX {
            let short = |name: String| name.chars().take(NAME_LETTERS_MAX).collect();
            let (producer_name, uuid) = (short(message.producer_name), short(message.uuid));
            self.0.push(IncompleteMessage { producer_name, uuid, ..message });
        }
    }

    /// What is to be told.
    pub fn take(&mut self) -> Vec<IncompleteMessage> {
        std::mem::take(&mut self.0)
    }

    /// What was told with a message before.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// A message that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholePayload {
    /// The payload, or its beginning where it is too large.
    pub bytes: Bytes,
    /// How many bytes came, where they are too many.
    pub too_large: Option<usize>,
}

/// What a chunk makes of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet, or nothing any more.
    None,
    /// The chunks before it were not read.
    Headless,
    /// It was the last.
    Whole(WholePayload),
}

/// The messages of which some chunks are there.
#[derive(Debug)]
pub struct Chunks {
    open: Vec<OpenMessage>,
    bytes_max: usize,
}

impl Chunks {
    /// Nothing is open; a message may have so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Chunks { open: Vec::new(), bytes_max }
    }

    /// The first chunk of the oldest open message.
    pub fn oldest(&self) -> Option<EntryId> {
        self.open.iter().map(|message| message.first).min()
    }

    /// The bytes that wait.
    pub fn bytes(&self) -> usize {
        self.open.iter().map(|message| message.bytes.len()).sum()
    }

    fn give_up(&mut self, at: usize, reason: &'static str, given_up: &mut GivenUp) {
        let OpenMessage { producer_name, uuid, first, .. } = self.open.remove(at);
        given_up.add(IncompleteMessage { producer_name, uuid, first, reason });
    }

    /// Gives up what has been open for too long when an entry has this stamp: that of the broker, or that of a producer,
    /// which says of others only that a day has passed.
    pub fn pass(&mut self, stamp_ms: u64, producer: Option<&str>, given_up: &mut GivenUp) {
        let is_over = |open: &OpenMessage| {
            let took = stamp_ms.saturating_sub(open.stamp_ms);
            match producer.is_none_or(|producer| producer == open.producer_name) {
                true => took > OPEN_MS_MAX,
                false => took > OPEN_MS_MAX_OF_OTHERS && took < STAMP_MS_MAX,
            }
        };
        while let Some(at) = self.open.iter().position(is_over) {
            self.give_up(at, "it was not whole within an hour", given_up);
        }
    }

    /// Takes a chunk; gives the whole payload with the last one.
    pub fn take(
        &mut self,
        id: EntryId,
        metadata: &MessageMetadata,
        payload: &Bytes,
        stamp_ms: u64,
        given_up: &mut GivenUp,
    ) -> Outcome {
        let uuid = metadata.uuid.clone().unwrap_or_default();
        let producer_name = metadata.producer_name.clone();
        let chunk = metadata.chunk_id.unwrap_or_default();
        let last = metadata.num_chunks_from_msg.unwrap_or_default() - 1;
        let is_same = |open: &OpenMessage| open.producer_name == producer_name && open.uuid == uuid;
        // A first chunk begins a message, whatever is open: other clients make the same uuid again for another message, after
        // one that was killed among its chunks.
        let at = match self.open.iter().position(is_same).filter(|_| chunk > 0) {
            Some(at) => at,
            None if chunk == 0 => {
                let sequence = metadata.sequence_id;
                self.close(&producer_name, &uuid, sequence);
                let (bytes, next_chunk, total) = (BytesMut::new(), 0, 0);
                let first = id;
                self.open.push(OpenMessage {
                    producer_name,
                    uuid,
                    sequence,
                    first,
                    stamp_ms,
                    next_chunk,
                    bytes,
                    total,
                });
                self.keep_few(given_up);
                self.open.len() - 1
            }
            None => {
                if chunk == last {
                    let reason = "its first chunk is not there";
                    given_up.add(IncompleteMessage { producer_name, uuid, first: id, reason });
                }
                return Outcome::Headless;
            }
        };
        self.append(at, chunk, last, payload, given_up).map_or(Outcome::None, Outcome::Whole)
    }

    /// Gives up the oldest messages where too many are open. One of them may be the only one, whatever it is called.
    fn keep_few(&mut self, given_up: &mut GivenUp) {
        let names = |open: &OpenMessage| open.producer_name.len() + open.uuid.len();
        let mut bytes: usize = self.open.iter().map(names).sum();
        while self.open.len() > 1 && (self.open.len() > OPEN_MAX || bytes > NAMES_BYTES_MAX) {
            let Some((oldest, _)) = self.open.iter().enumerate().min_by_key(|(_, open)| open.first) else { return };
            bytes -= names(&self.open[oldest]);
            self.give_up(oldest, "too many others were not whole", given_up);
        }
    }

    /// A producer begins a message: an attempt to send the same one is no more, which is not told, since with this one it
    /// becomes whole; nor is another one of the same name. What else it has open may become whole yet, for a producer that
    /// several threads use writes their chunks in between each other.
    fn close(&mut self, producer_name: &str, uuid: &str, sequence: u64) {
        self.open
            .retain(|open| open.producer_name != producer_name || (open.sequence != sequence && open.uuid != uuid));
    }

    fn append(
        &mut self,
        at: usize,
        chunk: i32,
        last: i32,
        payload: &Bytes,
        given_up: &mut GivenUp,
    ) -> Option<WholePayload> {
        let bytes_max = self.bytes_max;
        let open = &mut self.open[at];
        // A producer that came back sends chunks again.
        if chunk < open.next_chunk {
            return None;
        }
        if chunk > open.next_chunk {
            self.give_up(at, "a chunk in its middle is not there", given_up);
            return None;
        }
        if !open.is_cut() {
            open.bytes.extend_from_slice(payload);
        }
        open.total = open.total.saturating_add(payload.len());
        open.next_chunk += 1;
        if open.bytes.len() > bytes_max {
            open.cut();
        }
        if chunk == last {
            let open = self.open.remove(at);
            let too_large = open.is_cut().then_some(open.total);
            return Some(WholePayload { bytes: open.bytes.freeze(), too_large });
        }
        while self.bytes() > OPEN_LARGEST_MAX.saturating_mul(bytes_max) {
            let large = self.open.iter_mut().filter(|open| open.bytes.len() > BEGINNING);
            let Some(oldest) = large.min_by_key(|open| open.first) else { break };
            oldest.cut();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of chunks that are written as "producer uuid chunk/chunks sequence", one an entry and a minute.
    fn outcome(chunks: &[&str]) -> Vec<String> {
        let mut state = Chunks::new(3000);
        let mut outcome = Vec::new();
        for (at, text) in chunks.iter().enumerate() {
            let parts: Vec<&str> = text.split([' ', '/']).collect();
            let number = |part: &str| part.parse::<i32>().ok();
            let metadata = MessageMetadata {
                producer_name: parts[0].into(),
                uuid: Some(parts[1].into()),
                chunk_id: number(parts[2]),
                num_chunks_from_msg: number(parts[3]),
                sequence_id: parts.get(4).map_or(at as u64, |sequence| sequence.parse().unwrap()),
                ..Default::default()
            };
            let (id, stamp) = (EntryId { ledger: 0, entry: at as u64 }, 60_000 * at as u64);
            let mut given_up = GivenUp::default();
            state.pass(stamp, None, &mut given_up);
            let mut payload = format!("{}{} ", parts[1], parts[2]);
            if parts[1].starts_with("large") {
                payload += &"x".repeat(if parts[2] == "0" { 2100 } else { 300 });
            }
            match state.take(id, &metadata, &payload.into(), stamp, &mut given_up) {
                Outcome::Whole(WholePayload { too_large: Some(total), bytes }) => {
                    outcome.push(format!("{total} bytes, {} kept", bytes.len()));
                }
                Outcome::Whole(whole) => outcome.push(String::from_utf8(whole.bytes.to_vec()).unwrap()),
                Outcome::None | Outcome::Headless => {}
            }
            outcome
                .extend(given_up.take().iter().map(|one| format!("{} from {}: {}", one.uuid, one.first, one.reason)));
        }
        outcome.push(state.oldest().map_or("none open".to_owned(), |oldest| format!("open from {oldest}")));
        outcome
    }

    #[test]
    fn chunks_become_messages_or_are_given_up() {
        assert_eq!(outcome(&["p a 0/2", "q b 0/2", "p a 1/2"]), ["a0 a1 ", "open from 0:1"]);
        assert_eq!(outcome(&["p a 0/2", "p a 0/2", "p a 1/2"]), ["a0 a1 ", "none open"]);
        // Several threads of one producer.
        assert_eq!(outcome(&["p a 0/2", "p b 0/2", "p a 1/2", "p b 1/2"]), ["a0 a1 ", "b0 b1 ", "none open"]);
        assert_eq!(outcome(&["p a 1/2"]), ["a from 0:0: its first chunk is not there", "none open"]);
        assert_eq!(outcome(&["p a 0/3", "p a 2/3"])[0], "a from 0:0: a chunk in its middle is not there");
        let mut late = vec!["p a 0/2"];
        late.extend(["q b 0/1"; 61]);
        assert!(outcome(&late).contains(&"a from 0:0: it was not whole within an hour".to_owned()));
        let slow: Vec<String> = (0..50).map(|chunk| format!("p a {chunk}/50")).collect();
        assert!(outcome(&slow.iter().map(String::as_str).collect::<Vec<_>>())[0].ends_with("a49 "));
    }

    #[test]
    fn a_message_that_is_sent_again_is_not_given_up() {
        let again = ["p a 0/2 7", "p b 0/2 7", "p b 1/2 8"];
        assert_eq!(outcome(&again), ["b0 b1 ", "none open"]);
        // What comes late of the first attempt changes nothing.
        // Nor is one of other bytes under the same name, of which none is mixed with those before.
        let killed = ["p a 0/3 7", "p a 1/3 7", "p a 0/2 7", "p a 1/2 7"];
        assert_eq!(outcome(&killed), ["a0 a1 ", "none open"]);
        let late = ["p a 0/3 7", "p b 0/2 7", "p a 1/3 7", "p b 1/2 8"];
        assert_eq!(outcome(&late), ["b0 b1 ", "none open"]);
    }

    #[test]
    fn the_clock_of_another_producer_ends_no_message_within_a_day() {
        let day = OPEN_MS_MAX_OF_OTHERS;
        let is_open_after = |stamp: u64, producer: Option<&str>| {
            let (mut state, mut given_up) = (Chunks::new(3000), GivenUp::default());
            let metadata = MessageMetadata {
                producer_name: "p".to_owned(),
                chunk_id: Some(0),
                num_chunks_from_msg: Some(2),
                ..Default::default()
            };
            let id = EntryId { ledger: 0, entry: 0 };
            state.take(id, &metadata, &Bytes::from_static(b"x"), 1_000, &mut given_up);
            state.pass(1_000 + stamp, producer, &mut given_up);
            state.oldest().is_some()
        };
        for (stamp, producer, expected) in [
            (OPEN_MS_MAX, None, true),
            (OPEN_MS_MAX + 1, None, false),
            (OPEN_MS_MAX + 1, Some("p"), false),
            (day, Some("q"), true),
            (day + 1, Some("q"), false),
            // It counts microseconds.
            (1_800_000_000_000_000, Some("q"), true),
        ] {
            assert_eq!(is_open_after(stamp, producer), expected, "{stamp} {producer:?}");
        }
    }

    #[test]
    fn of_messages_that_are_never_whole_few_are_kept() {
        let mut state = Chunks::new(3000);
        let mut given_up = GivenUp::default();
        let mut begin = |at: u64, name: &str| {
            let metadata = MessageMetadata {
                producer_name: format!("{at} {name}"),
                uuid: Some(at.to_string()),
                sequence_id: at,
                chunk_id: Some(0),
                num_chunks_from_msg: Some(2),
                ..Default::default()
            };
            state.take(EntryId { ledger: 0, entry: at }, &metadata, &Bytes::from_static(b"x"), 0, &mut given_up);
            (state.open.len(), state.oldest().map(|oldest| oldest.entry))
        };
        for at in 0..OPEN_MAX as u64 {
            begin(at, "p");
        }
        assert_eq!(begin(1000, "p"), (OPEN_MAX, Some(1)));
        // Their names may be anything.
        let name = "x".repeat(1 << 20);
        let kept: Vec<usize> = (1001..1010).map(|at| begin(at, &name).0).collect();
        assert_eq!(kept[5..], [3, 3, 3, 3], "{kept:?}");
        let told = given_up.take();
        assert_eq!(told.len(), TOLD_MAX);
        assert!(told.iter().all(|one| one.reason == "too many others were not whole"));
    }

    #[test]
    fn of_what_is_too_large_the_beginning_is_kept() {
        assert_eq!(outcome(&["p large 0/2", "p large 1/2"])[0].len(), 2414);
        let four = ["p large 0/4", "p large 1/4", "p large 2/4", "p large 3/4"];
        assert_eq!(outcome(&four)[0], "3028 bytes, 1024 kept");
        // Where the largest is 3000 bytes, six parts of 2108 are too many to wait together.
        let (mut six, last) = (Vec::new(), ["2 large2 1/2".to_owned(), "0 large0 1/2".to_owned()]);
        six.extend((0..6).map(|n| format!("{n} large{n} 0/2")));
        six.extend(last);
        let outcome = outcome(&six.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((outcome[0].len(), outcome[1].as_str()), (2416, "2416 bytes, 1024 kept"), "{outcome:?}");
    }
}
