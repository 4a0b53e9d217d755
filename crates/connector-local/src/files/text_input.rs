//! The bytes of a text file as UTF-8: unpacked, and brought over from other encodings.

use super::format::Packing;
use super::gzip::GzipRead;
use super::utf8::{Letters, Utf8Read};
use crate::disk::io_error;
use dataflow::{Error, Result};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use values::Encoding;

const BUFFER_BYTES: usize = 1 << 18;

/// The byte order marks, and what follows each.
const MARKS: [(&[u8], Option<Letters>); 3] = [
    (&[0xef, 0xbb, 0xbf], None),
    (&[0xff, 0xfe], Some(Letters::Utf16 { is_big: false })),
    (&[0xfe, 0xff], Some(Letters::Utf16 { is_big: true })),
];

/// What is said of bytes that are no UTF-8, after what they are.
pub(super) const NOT_UTF8: &str = "is not UTF-8; ENCODING 'latin1' after the pattern of the files, or publish --encoding latin1, \
     reads other text, unless the file begins with a byte order mark";

/// Opens a file as UTF-8 without a byte order mark.
pub(super) fn open(path: &Path, packing: Packing, encoding: Encoding) -> Result<Box<dyn BufRead + Send>> {
    let file = File::open(path).map_err(|e| io_error("open", path, e))?;
    utf8(path, Box::new(file), packing, encoding)
}

/// Bytes as UTF-8 without a byte order mark; the path is for messages. Letters that the encoding does not have come as
/// bytes that are no UTF-8, so that they make their row a bad one and no other.
pub(super) fn utf8(
    path: &Path,
    bytes: Box<dyn Read + Send>,
    packing: Packing,
    encoding: Encoding,
) -> Result<Box<dyn BufRead + Send>> {
    let bytes = BufReader::with_capacity(BUFFER_BYTES, bytes);
    let mut bytes: Box<dyn BufRead + Send> = match packing {
        Packing::Plain => Box::new(bytes),
        Packing::Gzip => Box::new(BufReader::with_capacity(BUFFER_BYTES, GzipRead::new(bytes))),
        Packing::Zstd => {
            let unpacked = zstd::stream::read::Decoder::with_buffer(bytes).map_err(|e| read_error(path, e))?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked))
        }
    };
    if let (Packing::Plain, Some((packed, unpack))) =
        (packing, packed(peeked(&mut bytes).map_err(|e| read_error(path, e))?))
    {
        return Err(not_read(
            path,
            &format!(
                "packed by {packed}, expected text; a file whose name ends so is unpacked, and `{unpack}` unpacks a pipe"
            ),
        ));
    }
    let start = start(&mut bytes).map_err(|e| read_error(path, e))?;
    let next = peeked(&mut bytes).map_err(|e| read_error(path, e))?;
    let looks = Looks::of(&[&start[..], next].concat());
    if looks == Looks::Utf32 {
        return Err(not_read(path, "in UTF-32, expected UTF-8; `iconv -f utf-32 -t utf-8` brings it over"));
    }
    let letters = match (MARKS.iter().find(|(mark, _)| *mark == start), encoding) {
        (Some((_, letters)), _) => *letters,
        (None, Encoding::Unicode) if matches!(looks, Looks::Utf16 { .. }) => {
            let what = "in UTF-16 without a byte order mark; ENCODING 'utf-16' after the pattern of the files, or publish \
                        --encoding utf-16, reads it";
            return Err(not_read(path, what));
        }
        (None, Encoding::Unicode) => None,
        (None, Encoding::Utf16) => Some(Letters::Utf16 { is_big: looks == Looks::Utf16 { is_big: true } }),
        (None, Encoding::Latin1) => Some(Letters::Latin1),
    };
    if !MARKS.iter().any(|(mark, _)| *mark == start) {
        bytes = Box::new(Cursor::new(start).chain(bytes));
    }
    Ok(match letters {
        None => bytes,
        Some(letters) => Box::new(BufReader::new(Utf8Read::new(bytes, letters))),
    })
}

fn not_read(path: &Path, what: &str) -> Error {
    Error::invalid(format!("\"{}\" is {what}", path.display()))
}

/// What has packed a text that begins so, and what unpacks it.
fn packed(start: &[u8]) -> Option<(&'static str, &'static str)> {
    match start {
        [0x1f, 0x8b, 8, ..] => Some(("gzip", "gzip -dc")),
        [0x28, 0xb5, 0x2f, 0xfd] => Some(("zstd", "zstd -dc")),
        _ => None,
    }
}

/// What the first bytes of a text show of its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    /// A letter of ASCII, and the byte that it has beside it in UTF-16.
    Utf16 {
        is_big: bool,
    },
    /// A byte order mark of UTF-32, or a letter of ASCII with the three bytes that it has beside it there.
    Utf32,
    Other,
}

impl Looks {
    fn of(start: &[u8]) -> Looks {
        match *start {
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, 1..=0x7f, ..] | [1..=0x7f, 0, 0, 0, ..] => {
                Looks::Utf32
            }
            [b'\t'..=0x7f, 0, ..] => Looks::Utf16 { is_big: false },
            [0, b'\t'..=0x7f, ..] => Looks::Utf16 { is_big: true },
            _ => Looks::Other,
        }
    }
}

/// The bytes that are there, which stay: none at the end.
fn peeked(bytes: &mut dyn BufRead) -> io::Result<&[u8]> {
    while let Err(error) = bytes.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let there = bytes.fill_buf()?;
    Ok(&there[..there.len().min(4)])
}

/// Takes the first bytes as far as they may be a byte order mark: one that is written in pieces is one all the same.
fn start(bytes: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    loop {
        let next = match bytes.fill_buf() {
            Ok(some) => some.first().copied(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some(next) = next else { return Ok(start) };
        let longer = [&start[..], &[next]].concat();
        if !MARKS.iter().any(|(mark, _)| mark.starts_with(&longer)) {
            return Ok(start);
        }
        bytes.consume(1);
        start = longer;
        if MARKS.iter().any(|(mark, _)| *mark == start) {
            return Ok(start);
        }
    }
}

/// An error of reading: of the disk, or of what is stored there.
pub(super) fn read_error(path: &Path, error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(_) => io_error("read", path, error),
        None => Error::corrupt(format!("\"{}\" is damaged, or not what its name and its encoding say", path.display()))
            .with_source(error),
    }
}
