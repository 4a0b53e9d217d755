//! The blobs of an operator's state, one per key group that has any, made of tagged records.
//!
//! Tag 0 is a key: its canonical bytes. Records that follow name it by its number in the blob, so that a key's bytes
//! are written once. All other tags belong to the operator.

use crate::{Decoder, Encoder, Keys, StoredPage, open, seal, table_page};
use dataflow::{Error, EventTime, KEY_GROUPS, KeyGroup, KeyGroups, Result, Scope, StateReader, StateWriter, key_group};
use xxhash_rust::xxh3::xxh3_64;

const KEY: u8 = 0;

/// Collects records by key group.
#[derive(Debug)]
pub struct GroupBlobs {
    groups: Vec<Blob>,
    // By key id: its group and its number in the group's blob, once it is written.
    written: Vec<Option<(KeyGroup, u32)>>,
}

#[derive(Clone, Debug, Default)]
struct Blob {
    records: Encoder,
    keys: u32,
}

impl Default for GroupBlobs {
    fn default() -> Self {
        GroupBlobs { groups: vec![Blob::default(); KEY_GROUPS as usize], written: Vec::new() }
    }
}

impl GroupBlobs {
    /// The records of a group.
    pub fn group(&mut self, group: KeyGroup) -> &mut Encoder {
        &mut self.groups[group.0 as usize].records
    }

    /// Begins a record of a key in the blob of its group: writes the tag and the key's number.
    pub fn record(&mut self, tag: u8, keys: &Keys, id: u32) -> Result<&mut Encoder> {
        if self.written.len() <= id as usize {
            self.written.resize(id as usize + 1, None);
        }
        let (group, number) = match self.written[id as usize] {
            Some(place) => place,
            None => {
                let key = keys.bytes(id)?;
                let group = key_group(xxh3_64(&key));
                let blob = &mut self.groups[group.0 as usize];
                blob.records.u8(KEY);
                blob.records.sized(&key);
                let place = (group, blob.keys);
                blob.keys += 1;
                self.written[id as usize] = Some(place);
                place
            }
        };
        let records = self.group(group);
        records.u8(tag);
        records.u32(number);
        Ok(records)
    }

    /// Writes the blobs of all groups that have records.
    pub fn write(&self, fingerprint: u64, watermark: EventTime, out: &mut dyn StateWriter) -> Result<()> {
        for (group, blob) in self.groups.iter().enumerate() {
            if !blob.records.bytes().is_empty() {
                let bytes = seal(fingerprint, watermark, blob.records.bytes());
                out.put(Scope::Group(KeyGroup(group as u16)), &bytes)?;
            }
        }
        Ok(())
    }
}

/// The keys that records may be of: those that a blob has named so far, or the one of an entry of a table.
#[derive(Debug)]
pub struct BlobKeys<'a>(Named<'a>);

#[derive(Debug)]
enum Named<'a> {
    Several(Vec<&'a [u8]>),
    One(&'a [u8]),
}

impl BlobKeys<'_> {
    /// Reads which key a record is of and gives its canonical bytes.
    pub fn get(&self, state: &mut Decoder) -> Result<&[u8]> {
        let keys = match &self.0 {
            Named::Several(keys) => keys,
            Named::One(key) => return Ok(key),
        };
        let number = state.u32()?;
        keys.get(number as usize).copied().ok_or_else(|| {
            Error::corrupt(format!("a record in state is of key {number}, but only {} keys are named", keys.len()))
        })
    }
}

/// What an operator has stored.
#[derive(Debug)]
pub enum Stored<'a, 'b> {
    /// A record: its tag, the keys of its blob, and what the rest of it is read from.
    Record(u8, &'a BlobKeys<'b>, &'a mut Decoder<'b>),
    /// A page of a log, and the first row of it that counts.
    Page(StoredPage<'b>, u32),
}

/// Calls for each record of the blobs of the groups held, with its tag; the call reads the rest of it.
///
/// `watermark` is that of all blobs restored so far; blobs that disagree are [`dataflow::ErrorKind::Corrupt`].
pub fn read_blobs(
    state: &mut dyn StateReader,
    held: KeyGroups,
    fingerprint: u64,
    watermark: &mut Option<EventTime>,
    mut record: impl FnMut(u8, &BlobKeys, &mut Decoder) -> Result<()>,
) -> Result<()> {
    read_stored(state, held, fingerprint, watermark, |stored| match stored {
        Stored::Record(tag, keys, rest) => record(tag, keys, rest),
        Stored::Page(..) => Err(Error::corrupt("state of an operator without a log has a page of one")),
    })
}

/// As [`read_blobs`], for an operator with logs: calls for their pages, too, which may hold rows of other groups.
pub fn read_stored(
    state: &mut dyn StateReader,
    held: KeyGroups,
    fingerprint: u64,
    watermark: &mut Option<EventTime>,
    mut take: impl FnMut(Stored) -> Result<()>,
) -> Result<()> {
    while let Some((scope, bytes)) = state.next()? {
        match scope {
            Scope::Uniform => return Err(Error::corrupt("state of an operator is of no key group, expected one")),
            Scope::Group(group) if !held.contains(group) => {}
            Scope::Group(group) => {
                let (at, payload) = open(&bytes, fingerprint)?;
                agree(watermark, at, group)?;
                let (mut named, mut rest) = (BlobKeys(Named::Several(Vec::new())), Decoder::new(payload));
                while !rest.is_empty() {
                    match (rest.u8()?, &mut named.0) {
                        (KEY, Named::Several(keys)) => keys.push(rest.sized()?),
                        (tag, _) => take(Stored::Record(tag, &named, &mut rest))?,
                    }
                }
            }
            Scope::Page(page) => {
                agree(watermark, page.watermark, KeyGroup(page.groups.from))?;
                if bytes.starts_with(&table_page::MAGIC.to_le_bytes()) {
                    read_table(&bytes, held, fingerprint, &mut take)?;
                    continue;
                }
                take(Stored::Page(StoredPage::read(&bytes, fingerprint)?, page.first))?;
            }
        }
    }
    Ok(())
}

/// Calls for each entry of a chunk of a table whose key is held, as for a record.
fn read_table(
    bytes: &[u8],
    held: KeyGroups,
    fingerprint: u64,
    take: &mut impl FnMut(Stored) -> Result<()>,
) -> Result<()> {
    let (tag, entries) = table_page::read(bytes, fingerprint)?;
    for (key, rest) in entries.into_iter().filter(|(key, _)| held.contains(key_group(xxh3_64(key)))) {
        let mut rest = Decoder::new(rest);
        take(Stored::Record(tag, &BlobKeys(Named::One(key)), &mut rest))?;
        if !rest.is_empty() {
            return Err(Error::corrupt("an entry in a chunk of state goes on after its end"));
        }
    }
    Ok(())
}

fn agree(watermark: &mut Option<EventTime>, at: EventTime, group: KeyGroup) -> Result<()> {
    let agreed = *watermark.get_or_insert(at);
    if agreed != at {
        return Err(Error::corrupt(format!(
            "state of key group {} was frozen at the watermark {at}, that of another at {agreed}",
            group.0
        )));
    }
    Ok(())
}
