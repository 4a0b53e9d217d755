//! Small values as bytes, for what is stored with a version: integers are little-endian, byte strings have their length
//! in front.

use crate::{Error, Result};

/// Writes values one after the other.
///
/// ```
/// use dataflow::{ByteReader, ByteWriter};
/// let mut out = ByteWriter::new(1);
/// out.i64(-3);
/// out.bytes(b"ab");
/// let bytes = out.finish();
/// let mut from = ByteReader::new("a position", &bytes, 1)?;
/// assert_eq!((from.i64()?, from.bytes()?), (-3, &b"ab"[..]));
/// from.end()?;
/// # Ok::<(), dataflow::Error>(())
/// ```
#[derive(Debug)]
pub struct ByteWriter(Vec<u8>);

impl ByteWriter {
    /// Begins with the version of the form.
    pub fn new(version: u8) -> ByteWriter {
        ByteWriter(vec![version])
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn i64(&mut self, value: i64) {
        self.0.extend(value.to_le_bytes());
    }

    /// A byte that says what follows, and eight bytes.
    pub fn tagged(&mut self, tag: u8, value: u64) {
        self.u8(tag);
        self.u64(value);
    }

    /// Nothing, or eight bytes.
    pub fn option(&mut self, value: Option<i64>) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            self.i64(value);
        }
    }

    /// A byte string with its length.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.0.extend(value);
    }

    /// All that was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what a [`ByteWriter`] wrote. Whatever the bytes are, it neither panics nor allocates.
#[derive(Debug)]
pub struct ByteReader<'a> {
    what: &'static str,
    left: &'a [u8],
}

impl<'a> ByteReader<'a> {
    /// Begins after the version, which has to be the one expected; `what` names the bytes in errors.
    pub fn new(what: &'static str, bytes: &'a [u8], version: u8) -> Result<ByteReader<'a>> {
        let mut from = ByteReader { what, left: bytes };
        match from.u8()? {
            found if found == version => Ok(from),
            found => Err(from.corrupt(&format!("version {found}, expected {version}"))),
        }
    }

    /// An error about these bytes.
    pub fn corrupt(&self, why: &str) -> Error {
        Error::corrupt(format!("{} cannot be read: {why}", self.what))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, left)) = self.left.split_at_checked(count) else {
            return Err(self.corrupt(&format!("{count} bytes are expected where {} are left", self.left.len())));
        };
        self.left = left;
        Ok(taken)
    }

    fn eight(&mut self) -> Result<[u8; 8]> {
        let mut value = [0; 8];
        value.copy_from_slice(self.take(8)?);
        Ok(value)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.eight()?))
    }

    /// Eight bytes.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.eight()?))
    }

    /// Nothing, or eight bytes.
    pub fn option(&mut self) -> Result<Option<i64>> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.i64().map(Some),
            tag => Err(self.corrupt(&format!("byte {tag} where 0 or 1 is expected"))),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.u64()?;
        self.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// All bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        self.left
    }

    /// Refuses bytes after the end.
    pub fn end(&self) -> Result<()> {
        match self.left {
            [] => Ok(()),
            left => Err(self.corrupt(&format!("{} bytes lie after its end", left.len()))),
        }
    }
}
