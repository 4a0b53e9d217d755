//! The published end of a partition: a small file that is overwritten in place after each append was synced.
//!
//! It may trail the segment after a power failure, and never runs ahead of it. Version 1 had one more field, a
//! floor for stamps that readers wrote; it is skipped, since asking for the end writes nothing.

use dataflow::Position;

/// The length of the file: magic, version, six fields, checksum.
const END_BYTES: usize = 60;
/// The length in version 1; what remains of it after a shorter end is ignored.
pub(crate) const END_BYTES_MAX: usize = 68;
const MAGIC: &[u8; 4] = b"RREN";
const VERSION: u32 = 2;
const NONE: u64 = u64::MAX;

/// Where a partition ends: everything before it is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The segment that is written to.
    pub ledger: u64,
    /// How many bytes of it are published.
    pub bytes: u64,
    /// The entry that it gets next.
    pub entry: u64,
    /// The last message of the partition.
    pub last: Option<Position>,
    /// No message to come is stamped earlier: the stamp of the last one, or a later time that a producer has promised.
    pub stamp: i64,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndFile {
    /// An end.
    Whole(End),
    /// It is being overwritten, or it was cut short or damaged.
    Torn,
    /// A program with a later format wrote it.
    Later(u32),
}

impl End {
    /// The end of a partition whose segment `ledger` has no message yet.
    pub fn at_start(ledger: u64) -> End {
        End { ledger, bytes: crate::frame::SEGMENT_HEADER, entry: 0, last: None, stamp: i64::MIN }
    }

    /// The file's content.
    pub fn to_bytes(self) -> [u8; END_BYTES] {
        let mut bytes = [0; END_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        let (last_ledger, last_entry) = self.last.map_or((NONE, NONE), |last| (last.ledger, last.entry));
        let fields = [self.ledger, self.bytes, self.entry, last_ledger, last_entry, self.stamp as u64];
        for (at, field) in fields.into_iter().enumerate() {
            bytes[8 + 8 * at..16 + 8 * at].copy_from_slice(&field.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&bytes[..END_BYTES - 4]);
        bytes[END_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

impl EndFile {
    /// Reads the file's content.
    pub fn parse(bytes: &[u8]) -> EndFile {
        if bytes.len() < 8 || bytes[..4] != *MAGIC {
            return EndFile::Torn;
        }
        let size = match u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes")) {
            1 => END_BYTES_MAX,
            VERSION => END_BYTES,
            0 => return EndFile::Torn,
            later => return EndFile::Later(later),
        };
        let Some(bytes) = bytes.get(..size) else { return EndFile::Torn };
        let (content, checksum) = bytes.split_at(size - 4);
        if *checksum != crc32c::crc32c(content).to_le_bytes() {
            return EndFile::Torn;
        }
        let field = |at: usize| u64::from_le_bytes(bytes[8 + 8 * at..16 + 8 * at].try_into().expect("eight bytes"));
        let last = (field(3) != NONE).then(|| Position { ledger: field(3), entry: field(4), batch_index: 0 });
        EndFile::Whole(End { ledger: field(0), bytes: field(1), entry: field(2), last, stamp: field(5) as i64 })
    }
}
