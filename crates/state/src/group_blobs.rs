//! The blobs of an operator's state, one per key group that has any, made of tagged records.
//!
//! Tag 0 is a key: its canonical bytes. Records that follow name it by its number in the blob, so that a key's bytes
//! are written once. All other tags belong to the operator.

use crate::{Decoder, Encoder, Keys, open, seal};
use dataflow::{Error, EventTime, KEY_GROUPS, KeyGroup, KeyGroups, Result, Scope, StateReader, StateWriter};

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
    pub fn record(&mut self, tag: u8, keys: &Keys, id: u32) -> &mut Encoder {
        if self.written.len() <= id as usize {
            self.written.resize(id as usize + 1, None);
        }
        let (group, number) = match self.written[id as usize] {
            Some(place) => place,
            None => {
                let group = keys.group(id);
                let blob = &mut self.groups[group.0 as usize];
                blob.records.u8(KEY);
                blob.records.sized(&keys.bytes(id));
                let place = (group, blob.keys);
                blob.keys += 1;
                self.written[id as usize] = Some(place);
                place
            }
        };
        let records = self.group(group);
        records.u8(tag);
        records.u32(number);
        records
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

/// The keys that a blob has named so far.
#[derive(Debug, Default)]
pub struct BlobKeys(Vec<Vec<u8>>);

impl BlobKeys {
    /// Reads the number of a key and gives its canonical bytes.
    pub fn get(&self, state: &mut Decoder) -> Result<&[u8]> {
        let number = state.u32()?;
        let key = self.0.get(number as usize);
        key.map(Vec::as_slice).ok_or_else(|| {
            Error::corrupt(format!("a record in state is of key {number}, but only {} keys are named", self.0.len()))
        })
    }
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
    while let Some((scope, bytes)) = state.next()? {
        let Scope::Group(group) = scope else {
            return Err(Error::corrupt("state of an operator is of no key group, expected one"));
        };
        if !held.contains(group) {
            continue;
        }
        let (at, payload) = open(&bytes, fingerprint)?;
        let agreed = *watermark.get_or_insert(at);
        if agreed != at {
            return Err(Error::corrupt(format!(
                "state of key group {} was frozen at the watermark {at}, that of another at {agreed}",
                group.0
            )));
        }
        let (mut keys, mut state) = (BlobKeys::default(), Decoder::new(payload));
        while !state.is_empty() {
            match state.u8()? {
                KEY => keys.0.push(state.sized()?.to_vec()),
                tag => record(tag, &keys, &mut state)?,
            }
        }
    }
    Ok(())
}
