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
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use std::ops::Range;
use std::sync::Arc;
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
    /// The first group after those held.
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
    let columns = columns.iter().map(canonical).collect::<Result<Vec<_>>>()?;
    let columns: Vec<_> = columns.iter().map(Column::new).collect();
    let (mut hashes, mut bytes, mut ends) = (Vec::with_capacity(rows), Vec::new(), Vec::new());
    for from in (0..rows).step_by(HASHED_ROWS) {
        let to = rows.min(from + HASHED_ROWS);
        write_rows(&columns, from, to, &mut bytes, &mut ends)?;
        let mut start = 0;
        hashes
            .extend(ends.iter().map(|&end| xxh3_64(&bytes[std::mem::replace(&mut start, end as usize)..end as usize])));
    }
    Ok(hashes)
}

/// The canonical key bytes of each row, one after the other, and where each begins (one offset more than rows).
pub fn key_bytes(columns: &[ArrayRef], rows: usize) -> Result<(Vec<u8>, Vec<u32>)> {
    let columns = columns.iter().map(canonical).collect::<Result<Vec<_>>>()?;
    let columns: Vec<_> = columns.iter().map(Column::new).collect();
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    write_rows(&columns, 0, rows, &mut bytes, &mut ends)?;
    ends.insert(0, 0);
    Ok((bytes, ends))
}

/// How many rows have their bytes side by side before they are hashed: few enough to stay in the cache.
const HASHED_ROWS: usize = 256;

/// The bytes of the rows `from .. to`, one after the other, and where each ends. Column by column, because the type of
/// a column is then looked at once and not for every row.
fn write_rows(columns: &[Column], from: usize, to: usize, bytes: &mut Vec<u8>, ends: &mut Vec<u32>) -> Result<()> {
    ends.clear();
    bytes.clear();
    if from == to {
        // The second of several columns would stand after the end of no bytes.
        return Ok(());
    }
    let too_long = |_| Error::invalid("the keys of one batch exceed 4 GiB");
    if let Some(length) = columns.iter().map(Column::length).sum::<Option<usize>>() {
        u32::try_from(length * (to - from)).map_err(too_long)?;
        ends.extend((1..=to - from).map(|row| (row * length) as u32));
        bytes.resize(length * (to - from), 0);
        let mut places = Places::Even { next: 0, length };
        columns.iter().for_each(|column| column.write(from, bytes, &mut places));
        return Ok(());
    }
    let mut places = vec![0_usize; to - from];
    columns.iter().for_each(|column| column.add_lengths(from, &mut places));
    let mut end = 0_usize;
    for place in &mut places {
        let start = end;
        end += std::mem::replace(place, start);
        ends.push(u32::try_from(end).map_err(too_long)?);
    }
    bytes.resize(end, 0);
    columns.iter().for_each(|column| column.write(from, bytes, &mut Places::Each(&mut places)));
    Ok(())
}

/// Where the next column of each row is written.
enum Places<'a> {
    /// All rows are as long: where the column stands in the first of them.
    Even { next: usize, length: usize },
    /// By row.
    Each(&'a mut [usize]),
}

/// Whether values of a type can be keys.
pub fn is_key(data_type: &DataType) -> bool {
    canonical_type(data_type).is_some()
}

/// The canonical physical type of keys of a type.
fn canonical_type(data_type: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match data_type {
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => Int64,
        UInt64 => UInt64,
        Float16 | Float32 | Float64 => Float64,
        Utf8 | LargeUtf8 | Utf8View => Utf8,
        Boolean => Boolean,
        Timestamp(_, zone) => Timestamp(TimeUnit::Microsecond, zone.clone()),
        Date32 | Date64 => Timestamp(TimeUnit::Microsecond, None),
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        Decimal128(precision, scale) => Decimal128(*precision, *scale),
        Dictionary(_, values) => return canonical_type(values),
        _ => return None,
    })
}

/// A key column brought to one of the canonical physical types.
fn canonical(column: &ArrayRef) -> Result<ArrayRef> {
    let data_type = column.data_type();
    let physical = canonical_type(data_type);
    let physical = physical.ok_or_else(|| Error::invalid(format!("a key of type {data_type} is not supported")))?;
    match column.as_primitive_opt::<Int32Type>() {
        _ if *data_type == physical => Ok(column.clone()),
        // A cast would look at each value for whether it fits.
        Some(integers) => Ok(Arc::new(integers.unary::<_, Int64Type>(i64::from))),
        None => Ok(cast(column, &physical)?),
    }
}

/// The values of a canonical column, downcast once and not for every row.
struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Integer(&'a [i64]),
    Unsigned(&'a [u64]),
    Float(&'a [f64]),
    Text(&'a StringArray),
    Boolean(&'a BooleanArray),
    Instant(&'a [i64]),
    Bytes(&'a BinaryArray),
    Decimal(i8, &'a [i128]),
}

impl<'a> Column<'a> {
    fn new(column: &'a ArrayRef) -> Column<'a> {
        let values = match column.data_type() {
            DataType::Int64 => Values::Integer(column.as_primitive::<Int64Type>().values()),
            DataType::UInt64 => Values::Unsigned(column.as_primitive::<UInt64Type>().values()),
            DataType::Float64 => Values::Float(column.as_primitive::<Float64Type>().values()),
            DataType::Utf8 => Values::Text(column.as_string()),
            DataType::Boolean => Values::Boolean(column.as_boolean()),
            DataType::Decimal128(_, scale) => Values::Decimal(*scale, column.as_primitive::<Decimal128Type>().values()),
            DataType::Timestamp(..) => Values::Instant(column.as_primitive::<TimestampMicrosecondType>().values()),
            _ => Values::Bytes(column.as_binary()),
        };
        Column { nulls: column.nulls().filter(|nulls| nulls.null_count() > 0), values }
    }

    /// The number of bytes of every row's value; `None` where it is not the same for all.
    fn length(&self) -> Option<usize> {
        match &self.values {
            _ if self.nulls.is_some() => None,
            Values::Text(_) | Values::Bytes(_) => None,
            Values::Boolean(_) => Some(2),
            Values::Decimal(..) => Some(18),
            _ => Some(9),
        }
    }

    /// Adds the number of bytes of each row's value, for rows from `from` on.
    fn add_lengths(&self, from: usize, lengths: &mut [usize]) {
        let rows = from..from + lengths.len();
        match &self.values {
            Values::Text(texts) => self.add(rows, lengths, |row| 5 + texts.value_length(row) as usize),
            Values::Bytes(values) => self.add(rows, lengths, |row| 5 + values.value_length(row) as usize),
            Values::Boolean(_) => self.add(rows, lengths, |_| 2),
            Values::Decimal(..) => self.add(rows, lengths, |_| 18),
            _ => self.add(rows, lengths, |_| 9),
        }
    }

    #[inline(always)]
    fn add(&self, rows: Range<usize>, lengths: &mut [usize], length: impl Fn(usize) -> usize) {
        for (row, sum) in rows.zip(lengths) {
            *sum += if self.is_null(row) { 1 } else { length(row) };
        }
    }

    /// Writes each row's value at its place, and moves the places on.
    fn write(&self, from: usize, bytes: &mut [u8], places: &mut Places) {
        match &self.values {
            Values::Integer(values) => self.put(from, bytes, places, |row| (1, values[row].to_le_bytes())),
            Values::Unsigned(values) => self.put(from, bytes, places, |row| {
                (if values[row] > i64::MAX as u64 { 2 } else { 1 }, values[row].to_le_bytes())
            }),
            Values::Float(values) => {
                self.put(from, bytes, places, |row| (3, canonical_float(values[row]).to_le_bytes()));
            }
            Values::Instant(values) => self.put(from, bytes, places, |row| (6, values[row].to_le_bytes())),
            Values::Boolean(values) => self.put(from, bytes, places, |row| (5, [u8::from(values.value(row))])),
            Values::Decimal(scale, values) => self.put(from, bytes, places, |row| {
                let (scale, value) = canonical_decimal(*scale, values[row]);
                let mut written = [0; 17];
                written[0] = scale.to_le_bytes()[0];
                written[1..].copy_from_slice(&value.to_le_bytes());
                (8, written)
            }),
            Values::Text(texts) => self.put_sized(4, from, bytes, places, |row| texts.value(row).as_bytes()),
            Values::Bytes(values) => self.put_sized(7, from, bytes, places, |row| values.value(row)),
        }
    }

    /// Writes a tag and a value of fixed length for each row. They are written apart: put together in memory first, they
    /// would be read back before the processor has them there.
    #[inline(always)]
    fn put<const N: usize>(
        &self,
        from: usize,
        bytes: &mut [u8],
        places: &mut Places,
        value: impl Fn(usize) -> (u8, [u8; N]),
    ) {
        match places {
            Places::Even { next, length } => {
                for (row, bytes) in (from..).zip(bytes[*next..].chunks_mut(*length)) {
                    let (tag, value) = value(row);
                    bytes[0] = tag;
                    bytes[1..=N].copy_from_slice(&value);
                }
                *next += 1 + N;
            }
            Places::Each(places) => {
                for (row, place) in (from..).zip(places.iter_mut()) {
                    // The tag of NULL is 0, which is what stands there.
                    if self.is_null(row) {
                        *place += 1;
                        continue;
                    }
                    let (tag, value) = value(row);
                    bytes[*place] = tag;
                    bytes[*place + 1..][..N].copy_from_slice(&value);
                    *place += 1 + N;
                }
            }
        }
    }

    #[inline(always)]
    fn put_sized<'v>(
        &self,
        tag: u8,
        from: usize,
        bytes: &mut [u8],
        places: &mut Places,
        value: impl Fn(usize) -> &'v [u8],
    ) {
        let Places::Each(places) = places else { return };
        for (row, place) in (from..).zip(places.iter_mut()) {
            if self.is_null(row) {
                *place += 1;
                continue;
            }
            let value = value(row);
            let (head, rest) = bytes[*place..].split_at_mut(5);
            head[0] = tag;
            head[1..].copy_from_slice(&(value.len() as u32).to_le_bytes());
            rest[..value.len()].copy_from_slice(value);
            *place += 5 + value.len();
        }
    }

    #[inline(always)]
    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int32Array, Int64Array, TimestampMicrosecondArray, UInt64Array};
    use std::sync::Arc;

    fn bytes(column: impl Array + 'static) -> Vec<Vec<u8>> {
        let column: ArrayRef = Arc::new(column);
        let rows = column.len();
        let (bytes, offsets) = key_bytes(&[column], rows).unwrap();
        offsets.windows(2).map(|pair| bytes[pair[0] as usize..pair[1] as usize].to_vec()).collect()
    }

    #[test]
    fn canonical_bytes_are_those_of_the_table() {
        let seven = [&[1][..], &7i64.to_le_bytes()].concat();
        assert_eq!(bytes(Int64Array::from(vec![Some(7), None])), [seven.clone(), vec![0]]);
        assert_eq!(bytes(Int32Array::from(vec![7])), [seven.clone()]);
        assert_eq!(bytes(UInt64Array::from(vec![7, u64::MAX])), [seven, [&[2][..], &[255; 8]].concat()]);
        assert_eq!(bytes(Float64Array::from(vec![-0.0])), bytes(Float64Array::from(vec![0.0])));
        assert_eq!(bytes(Float64Array::from(vec![-f64::NAN])), bytes(Float64Array::from(vec![f64::NAN])));
        assert_eq!(bytes(StringArray::from(vec!["ab"])), [[&[4, 2, 0, 0, 0][..], b"ab"].concat()]);
        assert_eq!(bytes(BooleanArray::from(vec![true])), [vec![5, 1]]);
        assert_eq!(bytes(TimestampMicrosecondArray::from(vec![1])), [[&[6][..], &1i64.to_le_bytes()].concat()]);
        let decimal = |value, scale| Decimal128Array::from(vec![value]).with_precision_and_scale(10, scale).unwrap();
        assert_eq!(bytes(decimal(150, 2)), bytes(decimal(15, 1)));
        assert_eq!(bytes(decimal(15, 1)), [[&[8, 1][..], &15i128.to_le_bytes()].concat()]);
    }

    #[test]
    fn a_hash_is_that_of_the_bytes() {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("x"), None]))];
        let (bytes, offsets) = key_bytes(&columns, 2).unwrap();
        let of = |row: usize| xxh3_64(&bytes[offsets[row] as usize..offsets[row + 1] as usize]);
        assert_eq!(key_hashes(&columns, 2).unwrap(), [of(0), of(1)]);
        assert_eq!(key_hashes(&[], 1).unwrap(), [xxh3_64(&[])]);
    }

    #[test]
    fn no_rows_have_no_bytes_however_many_columns_there_are() {
        let (integers, texts): (ArrayRef, ArrayRef) =
            (Arc::new(Int64Array::from(Vec::<i64>::new())), Arc::new(StringArray::from(Vec::<&str>::new())));
        for columns in [vec![], vec![integers.clone(); 3], vec![integers, texts]] {
            assert_eq!(key_bytes(&columns, 0).unwrap(), (vec![], vec![0]));
            assert_eq!(key_hashes(&columns, 0).unwrap(), Vec::<u64>::new());
        }
    }

    #[test]
    fn the_bytes_of_a_row_are_its_own_whatever_lies_beside_it() {
        let rows = 3 * HASHED_ROWS as i64 / 2;
        let there = |row: &i64| row % 7 != 3;
        let integers = |nulls: bool| (0..rows).map(move |row| (!nulls || there(&row)).then_some(row * row));
        let texts = (0..rows).map(|row| there(&(row + 2)).then(|| "x".repeat(row as usize % 11)));
        let decimals = Decimal128Array::from_iter(integers(true).map(|value| value.map(i128::from)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter(integers(false))),
            Arc::new(BooleanArray::from_iter(integers(false).map(|value| value.map(|value| value % 3 == 0)))),
            Arc::new(Float64Array::from_iter(integers(false).map(|value| value.map(|value| value as f64)))),
            Arc::new(Int32Array::from_iter(integers(true).map(|value| value.map(|value| value as i32)))),
            Arc::new(StringArray::from_iter(texts)),
            Arc::new(decimals.with_precision_and_scale(20, 2).unwrap()),
        ];
        // All of one length, then some without a value, then some of any length.
        for columns in [&columns[..3], &columns[..4], &columns] {
            let (bytes, offsets) = key_bytes(columns, rows as usize).unwrap();
            let hashes = key_hashes(columns, rows as usize).unwrap();
            for row in 0..rows as usize {
                let alone: Vec<ArrayRef> = columns.iter().map(|column| column.slice(row, 1)).collect();
                let (of_row, _) = key_bytes(&alone, 1).unwrap();
                assert_eq!(bytes[offsets[row] as usize..offsets[row + 1] as usize], of_row, "row {row}");
                assert_eq!(hashes[row], xxh3_64(&of_row), "row {row}");
            }
        }
    }
}
