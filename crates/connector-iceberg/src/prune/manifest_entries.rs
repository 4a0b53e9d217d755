//! The entries of a manifest that are wanted, picked out of its bytes before the library makes anything of them.

use crate::avro::{AvroHeader, AvroType, AvroValue, each_item, header_with, next_block, put_block, take_sync};
use flate2::read::DeflateDecoder;
use std::borrow::Cow;
use std::io::Read;

/// The header's entry with how blocks are compressed.
const CODEC: &[u8] = b"avro.codec";
/// A block that is larger is left to the library.
const BLOCK_BYTES_MAX: u64 = 64 << 20;
/// The status of a file that is in the table no more.
const DELETED: i32 = 2;

/// What an entry says of its file, as far as it tells which rows the file may hold.
#[derive(Debug, Default)]
pub struct Entry<'b> {
    status: i32,
    /// 0 for rows, 1 for deletes by position, 2 for deletes by columns.
    pub content: i32,
    /// The columns by which it deletes.
    pub equality_ids: Vec<i32>,
    /// The ids of the partition's fields and their values.
    pub partition: Vec<(i32, AvroValue<'b>)>,
    /// Counts and bounds of columns, by their ids.
    pub values: Vec<(i32, i64)>,
    pub nulls: Vec<(i32, i64)>,
    pub nans: Vec<(i32, i64)>,
    pub lower: Vec<(i32, &'b [u8])>,
    pub upper: Vec<(i32, &'b [u8])>,
}

/// The bytes of a manifest that has no other entries than the wanted ones, as they are; `None` within where none is wanted.
/// `None` where the manifest cannot be looked into here, so that the library has to read it whole.
pub fn wanted_entries(manifest: &[u8], is_wanted: &dyn Fn(&Entry<'_>) -> bool) -> Option<Option<Vec<u8>>> {
    let (header, mut rest) = AvroHeader::read(manifest)?;
    let is_deflated = match header.value(CODEC) {
        None | Some(b"null") => false,
        Some(b"deflate") => true,
        Some(_) => return None,
    };
    let item = header.item_type()?;
    item.fields()?;
    let sync = take_sync(&mut rest)?;
    let (mut count, mut kept) = (0, Vec::new());
    while let Some(block) = next_block(&mut rest, sync)? {
        let items = if is_deflated { Cow::Owned(inflated(block.stored)?) } else { Cow::Borrowed(block.stored) };
        let mut left: &[u8] = &items;
        for _ in 0..block.count {
            let begin = left;
            let entry = entry(&item, &mut left)?;
            if entry.status != DELETED && is_wanted(&entry) {
                kept.extend_from_slice(&begin[..begin.len() - left.len()]);
                count += 1;
            }
        }
        if !left.is_empty() {
            return None;
        }
    }
    if count == 0 {
        return Some(None);
    }
    let mut entries = header.entries;
    entries.retain(|(key, _)| *key != CODEC);
    let mut made = header_with(&entries);
    made.extend_from_slice(sync);
    put_block(count, &kept, sync, &mut made);
    Some(Some(made))
}

fn inflated(stored: &[u8]) -> Option<Vec<u8>> {
    let mut items = Vec::new();
    let read = DeflateDecoder::new(stored).take(BLOCK_BYTES_MAX + 1).read_to_end(&mut items).ok()?;
    (read as u64 <= BLOCK_BYTES_MAX).then_some(items)
}

fn entry<'b>(item: &AvroType, from: &mut &'b [u8]) -> Option<Entry<'b>> {
    let mut entry = Entry::default();
    let before = *from;
    for field in item.fields()? {
        match field.name.as_str() {
            "status" => entry.status = int(field.of.value(from)?)?,
            "data_file" => file(field.of.branch(from)?, from, &mut entry)?,
            _ => field.of.skip(from)?,
        }
    }
    // An entry without bytes would make a count without an end.
    (from.len() < before.len()).then_some(entry)
}

fn file<'b>(of: &AvroType, from: &mut &'b [u8], entry: &mut Entry<'b>) -> Option<()> {
    for field in of.fields()? {
        match field.name.as_str() {
            "content" => entry.content = int(field.of.value(from)?)?,
            "partition" => {
                for field in field.of.branch(from)?.fields()? {
                    let value = field.of.value(from)?;
                    entry.partition.extend(field.id.map(|id| (id, value)));
                }
            }
            "value_counts" => numbers(&field.of, from, &mut entry.values)?,
            "null_value_counts" => numbers(&field.of, from, &mut entry.nulls)?,
            "nan_value_counts" => numbers(&field.of, from, &mut entry.nans)?,
            "lower_bounds" => bounds(&field.of, from, &mut entry.lower)?,
            "upper_bounds" => bounds(&field.of, from, &mut entry.upper)?,
            "equality_ids" => match field.of.branch(from)? {
                AvroType::Array(of) => each_item(from, false, &mut |from| {
                    entry.equality_ids.push(int(of.value(from)?)?);
                    Some(())
                })?,
                other => other.skip(from)?,
            },
            _ => field.of.skip(from)?,
        }
    }
    Some(())
}

fn int(value: AvroValue<'_>) -> Option<i32> {
    match value {
        AvroValue::Int(value) => Some(value),
        _ => None,
    }
}

fn numbers<'b>(of: &AvroType, from: &mut &'b [u8], to: &mut Vec<(i32, i64)>) -> Option<()> {
    pairs(of, from, &mut |id, value| match value {
        AvroValue::Long(value) => Some(to.push((id, value))),
        _ => None,
    })
}

fn bounds<'b>(of: &AvroType, from: &mut &'b [u8], to: &mut Vec<(i32, &'b [u8])>) -> Option<()> {
    pairs(of, from, &mut |id, value| match value {
        AvroValue::Bytes(value) => Some(to.push((id, value))),
        _ => None,
    })
}

/// Calls with each key and value of a map whose keys are numbers: Avro has it as an array of pairs.
fn pairs<'b>(of: &AvroType, from: &mut &'b [u8], pair: &mut dyn FnMut(i32, AvroValue<'b>) -> Option<()>) -> Option<()> {
    let of = of.branch(from)?;
    let fields = match of {
        AvroType::Array(of) => of.fields(),
        _ => None,
    };
    let Some([key, value]) = fields else { return of.skip(from) };
    each_item(from, false, &mut |from| {
        let key = int(key.of.value(from)?)?;
        pair(key, value.of.value(from)?)
    })
}
