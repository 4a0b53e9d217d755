//! The bytes of a text file as UTF-8: unpacked, and brought over from other encodings.

use super::format::Packing;
use crate::disk::io_error;
use dataflow::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use values::Encoding;

const BUFFER_BYTES: usize = 1 << 18;

/// Opens a file as UTF-8 without a byte order mark.
pub(super) fn open(path: &Path, packing: Packing, encoding: Encoding) -> Result<Box<dyn BufRead + Send>> {
    let file = File::open(path).map_err(|e| io_error("open", path, e))?;
    utf8(path, Box::new(file), packing, encoding)
}

/// Bytes as UTF-8 without a byte order mark; the path is for messages.
pub(super) fn utf8(
    path: &Path,
    bytes: Box<dyn Read + Send>,
    packing: Packing,
    encoding: Encoding,
) -> Result<Box<dyn BufRead + Send>> {
    let bytes = BufReader::with_capacity(BUFFER_BYTES, bytes);
    let mut bytes: Box<dyn BufRead + Send> = match packing {
        Packing::Plain => Box::new(bytes),
        Packing::Gzip => Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(bytes))),
        Packing::Zstd => {
            let unpacked = zstd::stream::read::Decoder::with_buffer(bytes).map_err(|e| read_error(path, e))?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked))
        }
    };
    let start = bytes.fill_buf().map_err(|e| read_error(path, e))?;
    let (mark, is_wide, is_big) = match start {
        [0xef, 0xbb, 0xbf, ..] => (3, false, false),
        [0xff, 0xfe, ..] => (2, true, false),
        [0xfe, 0xff, ..] => (2, true, true),
        _ => (0, encoding == Encoding::Utf16, false),
    };
    let is_latin = mark == 0 && encoding == Encoding::Latin1;
    bytes.consume(mark);
    Ok(match (is_wide, is_latin) {
        (false, false) => bytes,
        (true, _) => {
            Box::new(BufReader::new(Utf8Reader { bytes, letters: Letters::Utf16 { is_big }, out: Vec::new() }))
        }
        (_, true) => Box::new(BufReader::new(Utf8Reader { bytes, letters: Letters::Latin1, out: Vec::new() })),
    })
}

/// An error of reading: of the disk, or of what is stored there.
pub(super) fn read_error(path: &Path, error: std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(_) => io_error("read", path, error),
        None => Error::corrupt(format!("\"{}\" is damaged, or not what its name and its encoding say", path.display()))
            .with_source(error),
    }
}

enum Letters {
    Latin1,
    Utf16 { is_big: bool },
}

/// Text of another encoding as UTF-8.
struct Utf8Reader {
    bytes: Box<dyn BufRead + Send>,
    letters: Letters,
    // What is transcoded and not yet read.
    out: Vec<u8>,
}

impl Read for Utf8Reader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.out.is_empty() {
            self.fill()?;
        }
        let count = self.out.len().min(into.len());
        into[..count].copy_from_slice(&self.out[..count]);
        self.out.drain(..count);
        Ok(count)
    }
}

impl Utf8Reader {
    /// Transcodes some more; nothing at the end.
    fn fill(&mut self) -> std::io::Result<()> {
        let mut some = Vec::new();
        // A whole number of letters of two or four bytes.
        (&mut self.bytes).take(1 << 12).read_to_end(&mut some)?;
        let mut letter = [0; 4];
        match self.letters {
            Letters::Latin1 => {
                let letters = some.iter().map(|&byte| char::from(byte));
                letters.for_each(|one| self.out.extend_from_slice(one.encode_utf8(&mut letter).as_bytes()));
            }
            Letters::Utf16 { is_big } => {
                let high = |pair: &[u8; 2]| matches!(pair[usize::from(!is_big)], 0xd8..=0xdb);
                if some.last_chunk::<2>().is_some_and(high) {
                    (&mut self.bytes).take(2).read_to_end(&mut some)?;
                }
                let wrong =
                    |what| std::io::Error::new(std::io::ErrorKind::InvalidData, format!("it is not UTF-16: {what}"));
                let (pairs, []) = some.as_chunks::<2>() else { return Err(wrong("it ends within a letter")) };
                let unit = |pair: &[u8; 2]| if is_big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
                for one in char::decode_utf16(pairs.iter().map(unit)) {
                    let one = one.map_err(|_| wrong("it has half a surrogate pair"))?;
                    self.out.extend_from_slice(one.encode_utf8(&mut letter).as_bytes());
                }
            }
        }
        Ok(())
    }
}
