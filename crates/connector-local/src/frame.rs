//! How one message lies in a segment.
//!
//! ```text
//! length u32 | crc32c u32 | ledger u64 | entry u64 | arrival i64 | epoch u64 | sequence u64
//!            | producer length u16 | key length u32 (all ones: no key) | producer | key | payload
//! ```
//!
//! Numbers are little endian. `length` counts what follows the checksum; the checksum covers the length and that.

use crate::disk::io_error;
use dataflow::{Error, Position, ProcessingTime, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The first bytes of every segment: magic, format version, and the ledger.
pub(crate) const SEGMENT_HEADER: u64 = 16;
const MAGIC: &[u8; 4] = b"RRTL";
const VERSION: u32 = 1;
/// The greatest key and payload together.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
const FRAME_HEADER: usize = 8;
const BODY_FIXED: usize = 46;
const BODY_MAX: usize = BODY_FIXED + MESSAGE_BYTES_MAX + u16::MAX as usize;
const NO_KEY: u32 = u32::MAX;
const READ_CHUNK: usize = 1 << 20;
const SEARCH_CHUNK: usize = 1 << 20;

/// What a segment begins with.
pub(crate) fn segment_header(ledger: u64) -> [u8; SEGMENT_HEADER as usize] {
    let mut header = [0; SEGMENT_HEADER as usize];
    header[..4].copy_from_slice(MAGIC);
    header[4..8].copy_from_slice(&VERSION.to_le_bytes());
    header[8..].copy_from_slice(&ledger.to_le_bytes());
    header
}

/// A message to append.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Its number among those of its producer and epoch in this partition; they rise, with gaps where it likes.
    pub sequence: u64,
    /// The routing key.
    pub key: Option<&'a [u8]>,
    /// The encoded row.
    pub payload: &'a [u8],
    /// When it arrived at the broker that it is copied from; now if left out. It never lies after now, nor before the
    /// arrival of the message before it.
    pub arrived: Option<ProcessingTime>,
}

/// A message in a segment, with what its producer said.
pub(crate) struct Record<'a> {
    pub position: Position,
    pub arrival: i64,
    pub producer: &'a [u8],
    pub epoch: u64,
    pub sequence: u64,
    pub key: Option<&'a [u8]>,
    pub payload: &'a [u8],
}

/// Who writes a message, and what the log gives it.
pub(crate) struct Stamp<'a> {
    pub ledger: u64,
    pub entry: u64,
    pub arrival: i64,
    pub producer: &'a str,
    pub epoch: u64,
}

/// Appends a message as it lies in a segment. The caller has checked the sizes.
pub(crate) fn put(out: &mut Vec<u8>, stamp: &Stamp<'_>, message: &Outgoing<'_>) {
    let start = out.len();
    let key = message.key.unwrap_or_default();
    let body = BODY_FIXED + stamp.producer.len() + key.len() + message.payload.len();
    out.extend_from_slice(&(body as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&stamp.ledger.to_le_bytes());
    out.extend_from_slice(&stamp.entry.to_le_bytes());
    out.extend_from_slice(&stamp.arrival.to_le_bytes());
    out.extend_from_slice(&stamp.epoch.to_le_bytes());
    out.extend_from_slice(&message.sequence.to_le_bytes());
    out.extend_from_slice(&(stamp.producer.len() as u16).to_le_bytes());
    out.extend_from_slice(&message.key.map_or(NO_KEY, |key| key.len() as u32).to_le_bytes());
    out.extend_from_slice(stamp.producer.as_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(message.payload);
    let checksum = checksum(&out[start..]);
    out[start + 4..start + FRAME_HEADER].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[FRAME_HEADER..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The size of the frame that begins here; `None` when its length cannot be right.
fn frame_size(bytes: &[u8]) -> Option<usize> {
    let body = u32_at(bytes, 0) as usize;
    (BODY_FIXED..=BODY_MAX).contains(&body).then_some(FRAME_HEADER + body)
}

/// Whether a message of a segment, at an entry or a later one, may begin with these bytes.
fn may_begin(bytes: &[u8], ledger: u64, entry: u64) -> bool {
    let body = &bytes[FRAME_HEADER..];
    frame_size(bytes).is_some() && u64_at(body, 0) == ledger && u64_at(body, 8) >= entry
}

/// Reads a whole frame; an error says what is wrong with it.
fn parse(frame: &[u8]) -> std::result::Result<Record<'_>, &'static str> {
    if checksum(frame) != u32_at(frame, 4) {
        return Err("its checksum does not match its bytes");
    }
    let body = &frame[FRAME_HEADER..];
    let producer_size = u16::from_le_bytes([body[40], body[41]]) as usize;
    let key_size = u32_at(body, 42);
    let rest = &body[BODY_FIXED..];
    let producer = rest.get(..producer_size).ok_or("its producer's name is longer than itself")?;
    let rest = &rest[producer_size..];
    let (key, payload) = match key_size {
        NO_KEY => (None, rest),
        size => {
            let (key, payload) = rest.split_at_checked(size as usize).ok_or("its key is longer than itself")?;
            (Some(key), payload)
        }
    };
    Ok(Record {
        position: Position { ledger: u64_at(body, 0), entry: u64_at(body, 8), batch_index: 0 },
        arrival: u64_at(body, 16) as i64,
        epoch: u64_at(body, 24),
        sequence: u64_at(body, 32),
        producer,
        key,
        payload,
    })
}

/// What comes next in a segment.
pub(crate) enum Step<'a> {
    /// A message that is whole and where it belongs.
    Record(Record<'a>),
    /// The limit is reached.
    Limit,
    /// The bytes before the limit are no message, and why.
    Bad(&'static str),
}

/// The messages of one segment, read in large chunks.
///
/// Memory: two chunks at most, or the message that is read where that is larger.
pub(crate) struct Frames {
    file: File,
    path: PathBuf,
    ledger: u64,
    // The entry and the place in the file of the frame that begins at `at`.
    entry: u64,
    offset: u64,
    buffer: Vec<u8>,
    at: usize,
}

impl Frames {
    /// Opens a segment at its first message.
    pub fn open(path: &Path, ledger: u64) -> Result<Frames> {
        let missing = || io_error("open the segment", path, std::io::ErrorKind::NotFound.into());
        Frames::open_if_there(path, ledger)?.ok_or_else(missing)
    }

    /// Opens a segment at its first message; `None` when there is no such file.
    pub fn open_if_there(path: &Path, ledger: u64) -> Result<Option<Frames>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("open the segment", path, e)),
        };
        let mut header = [0; SEGMENT_HEADER as usize];
        file.read_exact_at(&mut header, 0).map_err(|e| io_error("read the header of", path, e))?;
        if header != segment_header(ledger) {
            return Err(Error::corrupt(format!(
                "\"{}\" does not begin as segment {ledger} of a topic",
                path.display()
            )));
        }
        Ok(Some(Frames::at(file, path, ledger, 0, SEGMENT_HEADER)))
    }

    /// Goes on in a segment at an entry whose place is known.
    pub fn at(file: File, path: &Path, ledger: u64, entry: u64, offset: u64) -> Frames {
        Frames { file, path: path.to_owned(), ledger, entry, offset, buffer: Vec::new(), at: 0 }
    }

    /// The entry that comes next.
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// Where in the file the next message begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ledger of the segment.
    pub fn ledger(&self) -> u64 {
        self.ledger
    }

    /// How long the file is now.
    pub fn file_bytes(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|e| io_error("look at", &self.path, e))?.len())
    }

    /// The next message, if it lies before the limit.
    pub fn next(&mut self, limit: u64) -> Result<Step<'_>> {
        if self.offset >= limit {
            return Ok(Step::Limit);
        }
        let mut need = FRAME_HEADER;
        loop {
            if !self.fill(need, limit)? {
                return Ok(Step::Bad("it is cut short"));
            }
            match frame_size(&self.buffer[self.at..]) {
                None => return Ok(Step::Bad("its length cannot be right")),
                Some(size) if size <= need => break,
                Some(size) => need = size,
            }
        }
        let frame = &self.buffer[self.at..self.at + need];
        let record = match parse(frame) {
            Err(reason) => return Ok(Step::Bad(reason)),
            Ok(record) if record.position.ledger != self.ledger => {
                return Ok(Step::Bad("it belongs to another segment"));
            }
            Ok(record) if record.position.entry != self.entry => return Ok(Step::Bad("it belongs to another entry")),
            Ok(record) => record,
        };
        self.at += need;
        self.offset += need as u64;
        self.entry += 1;
        Ok(Step::Record(record))
    }

    /// The size of the next message as it lies in the segment; `None` when there is none before the limit, or when
    /// [`Frames::next`] would say what is wrong with it.
    pub fn next_bytes(&mut self, limit: u64) -> Result<Option<usize>> {
        if self.offset >= limit || !self.fill(FRAME_HEADER, limit)? {
            return Ok(None);
        }
        Ok(frame_size(&self.buffer[self.at..]))
    }

    /// Whether a whole message of this segment begins anywhere after the place where `next` found a bad one.
    pub fn whole_message_follows(&mut self, limit: u64) -> Result<bool> {
        let (ledger, entry) = (self.ledger, self.entry);
        let mut offset = self.offset + 1;
        while offset + (FRAME_HEADER + BODY_FIXED) as u64 <= limit {
            let window = (SEARCH_CHUNK as u64).min(limit - offset) as usize;
            let mut bytes = vec![0; window];
            self.file.read_exact_at(&mut bytes, offset).map_err(|e| io_error("read", &self.path, e))?;
            let starts = window + 1 - (FRAME_HEADER + BODY_FIXED);
            for at in (0..starts).filter(|&at| may_begin(&bytes[at..], ledger, entry)) {
                let size = frame_size(&bytes[at..]).expect("checked by may_begin");
                if offset + (at + size) as u64 > limit {
                    continue;
                }
                let mut frame = vec![0; size];
                self.file.read_exact_at(&mut frame, offset + at as u64).map_err(|e| io_error("read", &self.path, e))?;
                if parse(&frame).is_ok() {
                    return Ok(true);
                }
            }
            offset += starts as u64;
        }
        Ok(false)
    }

    /// Has at least so many bytes in the buffer; false when there are fewer before the limit.
    fn fill(&mut self, need: usize, limit: u64) -> Result<bool> {
        let have = self.buffer.len() - self.at;
        if have >= need {
            return Ok(true);
        }
        if self.offset + need as u64 > limit {
            return Ok(false);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        // One large message does not make every reader of the partition large for ever.
        if self.buffer.capacity() > 2 * READ_CHUNK && need <= READ_CHUNK {
            self.buffer.shrink_to(READ_CHUNK);
        }
        let from = self.offset + have as u64;
        let more = (need.max(READ_CHUNK) - have).min((limit - from) as usize);
        self.buffer.resize(have + more, 0);
        if let Err(error) = self.file.read_exact_at(&mut self.buffer[have..], from) {
            self.buffer.truncate(have);
            return match error.kind() {
                std::io::ErrorKind::UnexpectedEof => Ok(false),
                _ => Err(io_error("read", &self.path, error)),
            };
        }
        Ok(true)
    }
}
