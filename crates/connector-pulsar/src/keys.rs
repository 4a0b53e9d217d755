//! Which partition a key belongs to: the one that the Java client's default sends it to.
//!
//! Clients in C++ and Python have another default, so their keys land elsewhere unless they are told to hash as Java
//! does.

/// A message's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Text(String),
    Bytes(Vec<u8>),
}

impl Key {
    /// The text that stands for the key in metadata: that of bytes is base64.
    pub(crate) fn wire_text(&self) -> String {
        match self {
            Key::Text(text) => text.clone(),
            Key::Bytes(bytes) => base64(bytes),
        }
    }

    /// The key's bytes; of a text they are UTF-8.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Key::Text(text) => text.as_bytes(),
            Key::Bytes(bytes) => bytes,
        }
    }

    /// The key that stands in metadata; bytes that are not base64 are taken as text.
    pub(crate) fn from_wire(text: String, is_base64: bool) -> Key {
        match if is_base64 { from_base64(&text) } else { None } {
            Some(bytes) => Key::Bytes(bytes),
            None => Key::Text(text),
        }
    }

    /// How keys become numbers.
    pub fn partition(&self, hashing: Hashing, partitions: u32) -> u32 {
        let text = self.wire_text();
        let hash = match hashing {
            Hashing::JavaString => java_string_hash(&text),
            Hashing::Murmur3 => murmur3(text.as_bytes()),
        };
        // The sign is dropped as the Java client drops it, not by a remainder.
        (hash & 0x7fff_ffff) % partitions.max(1)
    }
}

/// A hash function of the Java client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hashing {
    /// Its default: the hash of a Java string, over UTF-16 units.
    #[default]
    JavaString,
    Murmur3,
}

fn java_string_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

fn murmur3(bytes: &[u8]) -> u32 {
    let scramble = |word: u32| word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let little = |part: &[u8]| part.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    let mut hash = words.fold(0u32, |hash, part| {
        (hash ^ scramble(little(part))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    if !rest.is_empty() {
        hash ^= scramble(little(rest));
    }
    // The length counts modulo 2^32, as in the Java client's integer.
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let word = part.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - part.len()));
        for at in 0..4 {
            let digit = (word >> (18 - 6 * at)) & 63;
            text.push(if at <= part.len() { char::from(ALPHABET[digit as usize]) } else { '=' });
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0u32, 0);
    for sign in text.trim_end_matches('=').bytes() {
        let digit = ALPHABET.iter().position(|letter| *letter == sign)?;
        word = (word << 6) | u32::try_from(digit).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hashes_are_those_of_the_java_client() {
        let java =
            [("", 0), ("a", 97), ("hello", 99_162_322), ("polygenelubricants", 0x8000_0000), ("\u{1f600}", 1_772_899)];
        for (text, hash) in java {
            assert_eq!(java_string_hash(text), hash, "{text:?}");
        }
        let murmur = [("", 0), ("a", 0x3c25_69b2), ("abc", 0xb3dd_93fa), ("Hello, world!", 0xc036_3e43)];
        for (text, hash) in murmur {
            assert_eq!(murmur3(text.as_bytes()), hash, "{text:?}");
        }
        // The hash is the least 32-bit integer, whose absolute value is itself.
        assert_eq!(Key::Text("polygenelubricants".into()).partition(Hashing::JavaString, 7), 0);
        assert_eq!(Key::Bytes(b"a".to_vec()).wire_text(), "YQ==");
    }

    proptest! {
        #[test]
        fn bytes_come_back_from_metadata(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let key = Key::Bytes(bytes);
            prop_assert_eq!(&Key::from_wire(key.wire_text(), true), &key);
            prop_assert!(key.partition(Hashing::Murmur3, 3) < 3);
        }
    }
}
