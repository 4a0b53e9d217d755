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
    let start = start(&mut bytes).map_err(|e| read_error(path, e))?;
    let letters = match MARKS.iter().find(|(mark, _)| *mark == start) {
        Some((_, letters)) => *letters,
        None => {
            bytes = Box::new(Cursor::new(start).chain(bytes));
            match encoding {
                Encoding::Unicode => None,
                Encoding::Utf16 => Some(Letters::Utf16 { is_big: false }),
                Encoding::Latin1 => Some(Letters::Latin1),
            }
        }
    };
    Ok(match letters {
        None => bytes,
        Some(letters) => Box::new(BufReader::new(Utf8Read::new(bytes, letters))),
    })
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
