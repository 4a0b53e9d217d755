//! The published end of a partition: a small file that is overwritten in place after each append was synced.
//!
//! It may lag behind the segment after a power failure, and never runs ahead of it.

use dataflow::Position;

/// How long the file is: magic, version, seven fields, checksum.
pub(crate) const END_BYTES: usize = 68;
const MAGIC: &[u8; 4] = b"RREN";
const VERSION: u32 = 1;
const CHECKSUM_AT: usize = END_BYTES - 4;
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
    /// The stamp of the last message.
    pub stamp: i64,
    /// No message is stamped before this: a reader was told that the partition is drained up to just before it.
    pub floor: i64,
}

impl End {
    /// The end of a partition whose segment `ledger` has no message yet.
    pub fn at_start(ledger: u64) -> End {
        let bytes = crate::frame::SEGMENT_HEADER;
        End { ledger, bytes, entry: 0, last: None, stamp: i64::MIN, floor: i64::MIN }
    }

    /// The file's content.
    pub fn to_bytes(self) -> [u8; END_BYTES] {
        let mut bytes = [0; END_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        let (last_ledger, last_entry) = self.last.map_or((NONE, NONE), |last| (last.ledger, last.entry));
        let fields =
            [self.ledger, self.bytes, self.entry, last_ledger, last_entry, self.stamp as u64, self.floor as u64];
        for (at, field) in fields.into_iter().enumerate() {
            bytes[8 + 8 * at..16 + 8 * at].copy_from_slice(&field.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the file's content; `None` when it is not whole.
    pub fn parse(bytes: &[u8; END_BYTES]) -> Option<End> {
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        if bytes[..4] != *MAGIC
            || bytes[4..8] != VERSION.to_le_bytes()
            || bytes[CHECKSUM_AT..] != checksum.to_le_bytes()
        {
            return None;
        }
        let field = |at: usize| u64::from_le_bytes(bytes[8 + 8 * at..16 + 8 * at].try_into().expect("eight bytes"));
        let last = (field(3) != NONE).then(|| Position { ledger: field(3), entry: field(4), batch_index: 0 });
        let (stamp, floor) = (field(5) as i64, field(6) as i64);
        Some(End { ledger: field(0), bytes: field(1), entry: field(2), last, stamp, floor })
    }
}
