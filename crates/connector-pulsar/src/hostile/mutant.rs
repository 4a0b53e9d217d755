//! Scripts with something changed: what happens, what is said, or a field of it, with sizes and checksums that fit.

use super::fields::{bytes_changed, changed, number};
use super::script::{Happening, Numbers, STEPS, Script};
use bytes::{Buf, BufMut, Bytes};

/// How deep fields are changed.
const DEPTH: usize = 3;
const BROKER_METADATA: u16 = 0x0e02;
const CHECKSUM: u16 = 0x0e01;

/// A mutant of a script; `other` is one that parts may come from.
pub fn mutant(ending: &str, bytes: &[u8], other: &[u8], numbers: &mut dyn Numbers) -> Vec<u8> {
    if ending == "payload" {
        return payload_changed(bytes, numbers);
    }
    let Some((options, rest)) = bytes.split_first() else { return vec![0] };
    let options = if numbers.below(10) == 0 { numbers.below(256) as u8 } else { *options };
    let mut script = Script::cut(rest);
    if numbers.below(20) == 0 {
        return [&[options], &bytes_changed(rest, numbers)[..]].concat();
    }
    happenings_changed(&mut script, other.get(1..).unwrap_or_default(), numbers);
    [&[options], &script.joined()[..]].concat()
}

fn happenings_changed(script: &mut Script, other: &[u8], numbers: &mut dyn Numbers) {
    let all = &mut script.happenings;
    let at = numbers.below(all.len() + 1);
    let step = Happening::Step(numbers.of(&STEPS), numbers.of(&[0, 1, 3, 10, 60, 255]));
    if at == all.len() {
        all.push(step);
        return;
    }
    let end = (at + 1 + numbers.below(4)).min(all.len());
    match numbers.below(12) {
        0 => drop(all.drain(at..end)),
        1 => {
            let (part, times) = (all[at..end].to_vec(), 1 + numbers.of(&[0, 0, 1, 30]));
            all.splice(end..end, std::iter::repeat_n(part, times).flatten());
        }
        2 => {
            let to = numbers.below(all.len());
            all.swap(at, to);
        }
        3 => all.insert(at, step),
        4 => {
            let from = Script::cut(other).happenings;
            let begin = numbers.below(from.len().max(1)).min(from.len());
            let end = (begin + 1 + numbers.below(6)).min(from.len());
            all.splice(at..at, from[begin..end].iter().cloned());
        }
        _ => {
            if let Happening::Said(bytes) = &mut all[at] {
                *bytes = frame_changed(bytes, numbers);
            } else {
                all[at] = step;
            }
        }
    }
}

/// A frame with a part changed, whose sizes and checksum fit, most times.
fn frame_changed(bytes: &[u8], numbers: &mut dyn Numbers) -> Vec<u8> {
    match numbers.below(12) {
        0 => return bytes_changed(bytes, numbers),
        // It claims another size.
        1 => return [&(number(numbers) as u32).to_be_bytes(), bytes.get(4..).unwrap_or_default()].concat(),
        _ => {}
    }
    let Some((command, rest)) = part(&mut Bytes::copy_from_slice(bytes.get(4..).unwrap_or_default())) else {
        return bytes_changed(bytes, numbers);
    };
    let (mut command, mut rest) = (command.to_vec(), rest.to_vec());
    match entry_of(&rest) {
        Some(entry) if numbers.below(3) > 0 => rest = entry.changed(numbers).joined(),
        _ => command = changed(&command, numbers, DEPTH),
    }
    let frame = [&(command.len() as u32).to_be_bytes(), &command[..], &rest[..]].concat();
    [&(frame.len() as u32).to_be_bytes(), &frame[..]].concat()
}

/// A part with its size before it, and what is after it.
fn part(bytes: &mut Bytes) -> Option<(Bytes, Bytes)> {
    let size = bytes.try_get_u32().ok()? as usize;
    (size <= bytes.len()).then(|| (bytes.split_to(size), bytes.clone()))
}

/// An entry in its parts.
struct Entry {
    broker: Option<Vec<u8>>,
    has_checksum: bool,
    metadata: Vec<u8>,
    payload: Vec<u8>,
}

fn entry_of(rest: &[u8]) -> Option<Entry> {
    let mut rest = Bytes::copy_from_slice(rest);
    let starts = |rest: &Bytes, magic: u16| rest.first_chunk::<2>().is_some_and(|two| *two == magic.to_be_bytes());
    let mut broker = None;
    if starts(&rest, BROKER_METADATA) {
        rest.advance(2);
        let (metadata, after) = part(&mut rest)?;
        (broker, rest) = (Some(metadata.to_vec()), after);
    }
    let has_checksum = starts(&rest, CHECKSUM) && rest.len() >= 6;
    if has_checksum {
        rest.advance(6);
    }
    let (metadata, payload) = part(&mut rest)?;
    Some(Entry { broker, has_checksum, metadata: metadata.to_vec(), payload: payload.to_vec() })
}

impl Entry {
    fn changed(mut self, numbers: &mut dyn Numbers) -> Entry {
        match (numbers.below(8), &mut self.broker) {
            (0, Some(broker)) => *broker = changed(broker, numbers, 0),
            (1, broker) => *broker = if broker.is_some() { None } else { Some(vec![8, 1, 16, 0]) },
            (2, _) => self.has_checksum = !self.has_checksum,
            (3 | 4, _) => self.payload = payload_part_changed(&self.payload, numbers),
            _ => self.metadata = changed(&self.metadata, numbers, DEPTH),
        }
        self
    }

    fn joined(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(broker) = &self.broker {
            out.put_u16(BROKER_METADATA);
            out.put_u32(broker.len() as u32);
            out.extend_from_slice(broker);
        }
        let inner = [&(self.metadata.len() as u32).to_be_bytes(), &self.metadata[..], &self.payload[..]].concat();
        if self.has_checksum {
            out.put_u16(CHECKSUM);
            out.put_u32(crc32c::crc32c(&inner));
        }
        out.extend_from_slice(&inner);
        out
    }
}

/// What a payload grows to, which is more than may wait in memory.
const GROWN_BYTES: usize = 80_000;

/// A payload with bytes changed, grown, or with a field of the first message of the batch that it may be.
fn payload_part_changed(payload: &[u8], numbers: &mut dyn Numbers) -> Vec<u8> {
    match part(&mut Bytes::copy_from_slice(payload)) {
        Some((metadata, rest)) if numbers.below(2) == 0 => {
            let metadata = changed(&metadata, numbers, 1);
            [&(metadata.len() as u32).to_be_bytes(), &metadata[..], &rest[..]].concat()
        }
        _ if numbers.below(8) == 0 && !payload.is_empty() => payload.repeat(GROWN_BYTES.div_ceil(payload.len())),
        _ => bytes_changed(payload, numbers),
    }
}

/// A schema and its payload with one of them changed.
fn payload_changed(bytes: &[u8], numbers: &mut dyn Numbers) -> Vec<u8> {
    let Some((options, rest)) = bytes.split_first() else { return vec![0] };
    let Some((schema, payload)) = part(&mut Bytes::copy_from_slice(rest)) else { return bytes_changed(bytes, numbers) };
    let (schema, payload) = match numbers.below(3) {
        0 => (changed(&schema, numbers, 1), payload.to_vec()),
        1 => (schema.to_vec(), changed(&payload, numbers, DEPTH)),
        _ => (schema.to_vec(), bytes_changed(&payload, numbers)),
    };
    [&[*options][..], &(schema.len() as u32).to_be_bytes(), &schema, &payload].concat()
}
