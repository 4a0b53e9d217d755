//! Mutants: inputs with something changed, by bytes, or by words where the input is text.

use super::input::Input;
use super::target::Target;
use super::words::words;
use connector_pulsar::hostile;
use tests::Chance;
use xxhash_rust::xxh3::xxh3_128;

/// The greatest mutant.
const BYTES_MAX: usize = 1 << 20;
/// The end of a Parquet file: the size of the footer and four letters.
const PARQUET_END: usize = 8;
/// Where the fields of a checkpoint's manifest begin, after eight letters and the checksum.
const MANIFEST_FIELDS: usize = 24;

/// A mutant of one of some inputs: every other time of one of the first, which are stored, since most mutants are
/// refused, and what is changed further is often refused for the same reason.
pub fn mutant(target: Target, inputs: &[Input], stored: usize, chance: &mut Chance) -> Input {
    let place = |chance: &mut Chance| {
        let among = if chance.permille(500) { stored } else { inputs.len() };
        chance.below(among as u64) as usize
    };
    let mut input = inputs[place(chance)].clone();
    let other = &inputs[place(chance)].bytes;
    for _ in 0..=chance.of(&[0, 0, 0, 1, 2, 5]) {
        input.bytes = match (target, chance.below(4)) {
            (Target::Pulsar, _) => hostile::mutant(&input.ending, &input.bytes, other, &mut Below(chance)),
            (Target::Parquet, 0..3) => footer_changed(&input.bytes, chance),
            (Target::Checkpoint, 0..3) => fields_changed(&input.bytes, chance),
            (Target::Parquet | Target::Onnx | Target::Checkpoint, _) => bytes_changed(input.bytes, chance),
            // Packed text is bytes.
            _ if input.ending.ends_with("gz") || input.ending.ends_with("zst") => bytes_changed(input.bytes, chance),
            (_, 0) => bytes_changed(input.bytes, chance),
            _ => words_changed(&input.bytes, other, words(target), chance),
        };
        input.bytes.truncate(BYTES_MAX);
    }
    input
}

/// Chance as mutants of what brokers say take it.
struct Below<'a>(&'a mut Chance);

impl hostile::Numbers for Below<'_> {
    fn below(&mut self, bound: usize) -> usize {
        below(self.0, bound)
    }
}

fn below(chance: &mut Chance, bound: usize) -> usize {
    chance.below(bound.max(1) as u64) as usize
}

/// Some bytes changed, taken out or repeated.
fn bytes_changed(mut bytes: Vec<u8>, chance: &mut Chance) -> Vec<u8> {
    if bytes.is_empty() {
        return vec![chance.number() as u8];
    }
    let at = below(chance, bytes.len());
    let end = (at + 1 + below(chance, 40)).min(bytes.len());
    match chance.below(7) {
        0 => drop(bytes.drain(at..end)),
        1 => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        2 => bytes[at] = chance.of(&[0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'\\']),
        3 => bytes.truncate(at),
        4 => bytes[at] = chance.number() as u8,
        _ => bytes[at] ^= 1 << chance.below(8),
    }
    bytes
}

/// A Parquet file with its footer changed, whose size is then told rightly, so that the footer is read at all.
fn footer_changed(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let size = bytes.len().checked_sub(PARQUET_END).and_then(|end| {
        let size = u32::from_le_bytes(bytes[end..end + 4].try_into().ok()?) as usize;
        (size <= end).then(|| (end - size, end))
    });
    let Some((from, end)) = size else { return bytes_changed(bytes.to_vec(), chance) };
    let footer = bytes_changed(bytes[from..end].to_vec(), chance);
    let mut changed = bytes[..from].to_vec();
    changed.extend_from_slice(&footer);
    changed.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    changed.extend_from_slice(b"PAR1");
    changed
}

/// A manifest with its fields changed, whose checksum is then told rightly, so that the fields are read at all.
fn fields_changed(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let Some((magic, fields)) = bytes.split_at_checked(MANIFEST_FIELDS) else {
        return bytes_changed(bytes.to_vec(), chance);
    };
    let fields = bytes_changed(fields.to_vec(), chance);
    [&magic[..8], &xxh3_128(&fields).to_le_bytes(), &fields].concat()
}

/// Words of a text changed, taken out, repeated, nested or taken from elsewhere.
fn words_changed(bytes: &[u8], other: &[u8], known: &[&str], chance: &mut Chance) -> Vec<u8> {
    let cut = cut(bytes);
    let elsewhere = self::cut(other);
    let at = below(chance, cut.len());
    let to = (at + 1 + below(chance, 12)).min(cut.len());
    let (before, part, after) = (&cut[..at], &cut[at.min(to)..to], &cut[to..]);
    let word = chance.of(known).as_bytes();
    // Not so often that nothing but this would be left of it.
    let times = chance.of(&[2, 3, 50, 500, 5000]).min(BYTES_MAX / part.concat().len().max(1));
    let joined = |parts: &[&[&[u8]]]| parts.concat().concat();
    match chance.below(8) {
        0 => joined(&[before, after]),
        1 => joined(&[before, &part.repeat(times), after]),
        2 => joined(&[before, &[word], after]),
        3 | 4 => joined(&[before, &[b" ", word, b" "], part, after]),
        5 => {
            let (open, close) = chance.of(&[(b"(", b")"), (b"[", b"]"), (b"{", b"}"), (b"\"", b"\""), (b"-", b" ")]);
            joined(&[before, &vec![open.as_slice(); times], part, &vec![close.as_slice(); times], after])
        }
        6 => {
            let from = below(chance, elsewhere.len());
            let end = (from + 1 + below(chance, 30)).min(elsewhere.len());
            joined(&[before, &elsewhere[from.min(end)..end], after])
        }
        _ => {
            let number = chance.of(&["0", "-1", "128", "65536", "2147483648", "9223372036854775807", "1e308", "0.1"]);
            let place = cut.iter().skip(at).position(|word| word[0].is_ascii_digit()).map_or(at, |found| at + found);
            joined(&[&cut[..place], &[number.as_bytes()], &cut[(place + 1).min(cut.len())..]])
        }
    }
}

/// Words, numbers, blanks and signs.
fn cut(bytes: &[u8]) -> Vec<&[u8]> {
    let kind = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => 0,
        b'0'..=b'9' => 1,
        b' ' | b'\t' => 2,
        _ => 3,
    };
    bytes.chunk_by(|&one, &next| kind(one) == kind(next) && kind(one) != 3).collect()
}
