//! Keys: their canonical bytes, their hash, and the key group that a hash belongs to.
//!
//! Canonical bytes are per column a tag and a value, so that equal keys have equal bytes whatever the column's
//! physical type is:
//!
//! | tag | value |
//! | --- | --- |
//! | 0 | NULL, nothing follows |
//! | 1 | integer of any width that fits i64: 8 bytes, little endian |
//! | 2 | integer beyond i64 (u64): 8 bytes, little endian |
//! | 3 | float of any width: the bits of an f64, little endian; -0.0 is 0.0 and every NaN is the same NaN |
//! | 4 | text: length as u32 little endian, then UTF-8 |
//! | 5 | boolean: one byte |
//! | 6 | timestamp or date: microseconds as i64, little endian |
//! | 7 | bytes: length as u32 little endian, then the bytes |
//! | 8 | decimal: scale as one signed byte without trailing zeros of the value, then i128 little endian |

use crate::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use xxhash_rust::xxh3::xxh3_64;

/// The number of key groups of a job: the most workers that its state can be spread over.
pub const KEY_GROUPS: u16 = 256;

/// The group of keys that share a place: the unit in which state moves between workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u16);

/// The key groups `from .. to` that one worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGroups {
    /// The first group held.
    pub from: u16,
    /// The first group behind those held.
    pub to: u16,
}

impl KeyGroups {
    /// All key groups.
    pub const ALL: KeyGroups = KeyGroups { from: 0, to: KEY_GROUPS };

    /// The share of one worker of several: contiguous, and as even as can be.
    pub fn of_worker(worker: usize, workers: usize) -> KeyGroups {
        let at = |n: usize| (n * KEY_GROUPS as usize).div_ceil(workers) as u16;
        KeyGroups { from: at(worker), to: at(worker + 1) }
    }

    /// Whether a group is among those held.
    pub fn contains(self, group: KeyGroup) -> bool {
        (self.from..self.to).contains(&group.0)
    }

    /// The worker of several that holds a group; the inverse of [`KeyGroups::of_worker`].
    pub fn worker_of(group: KeyGroup, workers: usize) -> usize {
        group.0 as usize * workers / KEY_GROUPS as usize
    }
}

/// The key group of a key's hash: `murmur(fold32(hash)) % 256`, as Flink does, so that both hosts agree.
///
/// ```
/// use dataflow::{key_group, KeyGroup};
/// assert_eq!(key_group(0), KeyGroup(222)); // Murmur3 of four zero bytes is 0x2362f9de.
/// ```
pub fn key_group(hash: u64) -> KeyGroup {
    let folded = (hash ^ (hash >> 32)) as u32;
    KeyGroup((murmur(folded) % u32::from(KEY_GROUPS)) as u16)
}

/// Murmur3 of one 32-bit word with seed 0, made non-negative as Flink's `MathUtils.murmurHash` does.
fn murmur(word: u32) -> u32 {
    let mut hash = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    hash ^= 4;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^= hash >> 16;
    match hash as i32 {
        i32::MIN => 0,
        hash => hash.unsigned_abs(),
    }
}

/// The xxh3_64 of each row's canonical key bytes.
pub fn key_hashes(columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>> {
    let readers = columns.iter().map(Reader::new).collect::<Result<Vec<_>>>()?;
    let mut bytes = Vec::with_capacity(9 * readers.len());
    Ok((0..rows)
        .map(|row| {
            bytes.clear();
            readers.iter().for_each(|reader| reader.append(row, &mut bytes));
            xxh3_64(&bytes)
        })
        .collect())
}

/// The canonical key bytes of each row, one after the other, and where each begins (one offset more than rows).
pub fn key_bytes(columns: &[ArrayRef], rows: usize) -> Result<(Vec<u8>, Vec<u32>)> {
    let readers = columns.iter().map(Reader::new).collect::<Result<Vec<_>>>()?;
    let (mut bytes, mut offsets) = (Vec::new(), vec![0]);
    for row in 0..rows {
        readers.iter().for_each(|reader| reader.append(row, &mut bytes));
        let end = u32::try_from(bytes.len()).map_err(|_| Error::invalid("the keys of one batch exceed 4 GiB"))?;
        offsets.push(end);
    }
    Ok((bytes, offsets))
}

/// A key column brought to one of the canonical physical types.
struct Reader {
    kind: Kind,
    column: ArrayRef,
}

#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Unsigned,
    Float,
    Text,
    Boolean,
    Instant,
    Bytes,
    Decimal(i8),
}

impl Reader {
    fn new(column: &ArrayRef) -> Result<Reader> {
        use DataType::*;
        let (kind, physical) = match column.data_type() {
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => (Kind::Integer, Int64),
            UInt64 => (Kind::Unsigned, UInt64),
            Float16 | Float32 | Float64 => (Kind::Float, Float64),
            Utf8 | LargeUtf8 | Utf8View => (Kind::Text, Utf8),
            Boolean => (Kind::Boolean, Boolean),
            Timestamp(_, zone) => (Kind::Instant, Timestamp(TimeUnit::Microsecond, zone.clone())),
            Date32 | Date64 => (Kind::Instant, Timestamp(TimeUnit::Microsecond, None)),
            Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => (Kind::Bytes, Binary),
            Decimal128(precision, scale) => (Kind::Decimal(*scale), Decimal128(*precision, *scale)),
            Dictionary(_, values) => return Reader::new(&cast(column, values)?),
            other => return Err(Error::invalid(format!("a key of type {other} is not supported"))),
        };
        let column = if *column.data_type() == physical { column.clone() } else { cast(column, &physical)? };
        Ok(Reader { kind, column })
    }

    fn append(&self, row: usize, bytes: &mut Vec<u8>) {
        if self.column.is_null(row) {
            return bytes.push(0);
        }
        let mut put = |tag: u8, value: &[u8]| {
            bytes.push(tag);
            bytes.extend_from_slice(value);
        };
        match self.kind {
            Kind::Integer => put(1, &self.column.as_primitive::<Int64Type>().value(row).to_le_bytes()),
            Kind::Unsigned => {
                let value = self.column.as_primitive::<UInt64Type>().value(row);
                put(if value > i64::MAX as u64 { 2 } else { 1 }, &value.to_le_bytes());
            }
            Kind::Float => put(3, &canonical_float(self.column.as_primitive::<Float64Type>().value(row)).to_le_bytes()),
            Kind::Text => put_sized(bytes, 4, self.column.as_string::<i32>().value(row).as_bytes()),
            Kind::Boolean => put(5, &[u8::from(self.column.as_boolean().value(row))]),
            Kind::Instant => put(6, &self.column.as_primitive::<TimestampMicrosecondType>().value(row).to_le_bytes()),
            Kind::Bytes => put_sized(bytes, 7, self.column.as_binary::<i32>().value(row)),
            Kind::Decimal(scale) => {
                let (scale, value) = canonical_decimal(scale, self.column.as_primitive::<Decimal128Type>().value(row));
                put(8, &scale.to_le_bytes());
                bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
    }
}

fn put_sized(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    bytes.push(tag);
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    bytes.extend_from_slice(value);
}

fn canonical_float(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

fn canonical_decimal(mut scale: i8, mut value: i128) -> (i8, i128) {
    if value == 0 {
        return (0, 0);
    }
    while value % 10 == 0 && scale > i8::MIN {
        value /= 10;
        scale -= 1;
    }
    (scale, value)
}
