//! Text of other encodings as UTF-8, as it comes.

use std::io::{self, BufRead, Read};

/// How many bytes are brought over at once.
const BYTES_AT_ONCE: usize = 1 << 12;

/// How letters are stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Letters {
    Latin1,
    Utf16 { is_big: bool },
}

/// Text of another encoding as UTF-8. It gives what is there, and waits only when there is no whole letter.
///
/// Half a letter, such as one half of a surrogate pair, comes as bytes that are no UTF-8.
pub(super) struct Utf8Read {
    bytes: Box<dyn BufRead + Send>,
    letters: Letters,
    // What is brought over, and how much of it was read.
    out: Vec<u8>,
    taken: usize,
    // The first bytes of a letter whose other bytes are yet to come.
    rest: Vec<u8>,
}

impl Utf8Read {
    pub fn new(bytes: Box<dyn BufRead + Send>, letters: Letters) -> Utf8Read {
        Utf8Read { bytes, letters, out: Vec::new(), taken: 0, rest: Vec::new() }
    }

    /// Brings over what is there; nothing at the end.
    fn fill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.taken = 0;
        while self.out.is_empty() {
            let some = match self.bytes.fill_buf() {
                Ok(some) => &some[..some.len().min(BYTES_AT_ONCE)],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let (count, is_end) = (some.len(), some.is_empty());
            match self.letters {
                Letters::Latin1 => some.iter().for_each(|&byte| put(&mut self.out, u32::from(byte))),
                Letters::Utf16 { is_big } => {
                    self.rest.extend_from_slice(some);
                    let used = put_utf16(&mut self.out, &self.rest, is_big, is_end);
                    self.rest.drain(..used);
                }
            }
            self.bytes.consume(count);
            if is_end {
                break;
            }
        }
        Ok(())
    }
}

impl Read for Utf8Read {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.out.len() {
            self.fill()?;
        }
        let left = &self.out[self.taken..];
        let count = left.len().min(into.len());
        into[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        Ok(count)
    }
}

/// Brings over whole letters, and at the end what is left; gives how many bytes they had.
fn put_utf16(out: &mut Vec<u8>, bytes: &[u8], is_big: bool, is_end: bool) -> usize {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let unit = |pair: &[u8; 2]| u32::from(if is_big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) });
    let mut at = 0;
    while let Some(first) = pairs.get(at).map(unit) {
        let is_high = (0xd800..0xdc00).contains(&first);
        match pairs.get(at + 1).map(unit) {
            None if is_high && !is_end => return 2 * at,
            Some(low @ 0xdc00..0xe000) if is_high => {
                put(out, 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00));
                at += 2;
            }
            _ => {
                put(out, first);
                at += 1;
            }
        }
    }
    if is_end && !odd.is_empty() {
        // No text of UTF-8 has this byte.
        out.push(0xff);
        return bytes.len();
    }
    2 * at
}

/// Puts a letter, or half a surrogate pair in the form that a letter of its number would have.
fn put(out: &mut Vec<u8>, letter: u32) {
    match char::from_u32(letter) {
        Some(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            out.extend([0xe0 | letter >> 12, 0x80 | letter >> 6 & 0x3f, 0x80 | letter & 0x3f].map(|byte| byte as u8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// Gives a text byte by byte.
    struct Slow(std::collections::VecDeque<u8>);

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(next) = self.0.pop_front() else { return Ok(0) };
            into[0] = next;
            Ok(1)
        }
    }

    fn read(bytes: &[u8], letters: Letters) -> Vec<u8> {
        let whole = |bytes: Box<dyn BufRead + Send>| {
            let mut all = Vec::new();
            Utf8Read::new(bytes, letters).read_to_end(&mut all).unwrap();
            all
        };
        let all = whole(Box::new(io::Cursor::new(bytes.to_vec())));
        assert_eq!(whole(Box::new(BufReader::new(Slow(bytes.iter().copied().collect())))), all);
        all
    }

    #[test]
    fn letters_of_any_size_come_as_they_are_and_halves_of_them_as_no_text() {
        assert_eq!(read(b"caf\xe9", Letters::Latin1), "café".as_bytes());
        let text = "é\u{1f600}x".repeat(5_000);
        for is_big in [false, true] {
            let bytes = |unit: u16| if is_big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            let wide = |units: &[u16]| units.iter().flat_map(|unit| bytes(*unit)).collect::<Vec<u8>>();
            let units: Vec<u16> = text.encode_utf16().collect();
            let letters = Letters::Utf16 { is_big };
            assert_eq!(read(&wide(&units), letters), text.as_bytes());
            for (units, expected) in [
                (&[0x61, 0xd83d, 0x62][..], &b"a\xed\xa0\xbdb"[..]),
                (&[0xde00, 0x62], b"\xed\xb8\x80b"),
                (&[0xd83d, 0xd83d, 0xde00], b"\xed\xa0\xbd\xf0\x9f\x98\x80"),
                (&[0x61, 0xd83d], b"a\xed\xa0\xbd"),
            ] {
                assert!(std::str::from_utf8(expected).is_err());
                assert_eq!(read(&wide(units), letters), expected);
            }
            let odd = [wide(&[0x61]), vec![0x62]].concat();
            assert_eq!(read(&odd, letters), b"a\xff");
        }
    }

    #[test]
    fn what_is_there_is_given_without_waiting_for_more() {
        let first = Box::new(BufReader::new(Slow(b"ab".iter().copied().collect())));
        let mut reading = Utf8Read::new(first, Letters::Latin1);
        let mut into = [0; 16];
        assert_eq!(reading.read(&mut into).unwrap(), 1);
        assert_eq!(into[0], b'a');
    }
}
