//! The bytes of one piece of state: a header, a payload and a checksum.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | magic `RRST` |
//! | 2 | format version, 2 |
//! | 8 | fingerprint of the operator: the types of its columns, and its spec |
//! | 8 | watermark of the operator when it was frozen |
//! | .. | payload: sections, each a tag byte and what the operator put |
//! | 4 | crc32c of everything before |
//!
//! Numbers are little endian. In format version 1 the fingerprint is over the names of columns, too. It is not looked at:
//! whoever restores such state has made sure that the job is the one that wrote it, names and all.

use dataflow::{Error, EventTime, Result};
use xxhash_rust::xxh3::xxh3_64;

/// What a blob of a key group begins with.
pub(crate) const MAGIC: [u8; 4] = *b"RRST";
const VERSION: u16 = 2;
const WITH_NAMES: u16 = 1;
const HEADER: usize = 4 + 2 + 8 + 8;
const CHECKSUM: usize = 4;

/// What tells an operator's state from that of another: a hash of bytes that say its columns and its spec.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Puts a header and a checksum around a payload.
pub fn seal(fingerprint: u64, watermark: EventTime, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len() + CHECKSUM);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&fingerprint.to_le_bytes());
    bytes.extend_from_slice(&watermark.0.to_le_bytes());
    bytes.extend_from_slice(payload);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The watermark and the payload of a sealed blob; [`dataflow::ErrorKind::Corrupt`] when the bytes are not what
/// [`seal`] made, or when they are the state of another operator.
pub fn open(bytes: &[u8], fingerprint: u64) -> Result<(EventTime, &[u8])> {
    if bytes.len() < HEADER + CHECKSUM {
        return Err(Error::corrupt(format!("state of {} bytes, expected at least {}", bytes.len(), HEADER + CHECKSUM)));
    }
    let (body, checksum) = bytes.split_at(bytes.len() - CHECKSUM);
    let mut header = Decoder::new(body);
    if header.array::<4>()? != MAGIC {
        return Err(Error::corrupt("state does not begin with \"RRST\": it was not written by this program"));
    }
    let found = crc32c::crc32c(body).to_le_bytes();
    if found != checksum {
        return Err(Error::corrupt("the checksum of state does not match its bytes"));
    }
    let version = u16::from_le_bytes(header.array()?);
    if ![WITH_NAMES, VERSION].contains(&version) {
        return Err(Error::corrupt(format!("state has format version {version}, expected {WITH_NAMES} or {VERSION}")));
    }
    let written_by = header.u64()?;
    if written_by != fingerprint && version != WITH_NAMES {
        return Err(Error::corrupt(format!(
            "state belongs to an operator with fingerprint {written_by:016x}, expected {fingerprint:016x}: its SQL or \
             its columns have changed"
        )));
    }
    let watermark = EventTime(header.i64()?);
    Ok((watermark, &body[HEADER..]))
}

/// Writes numbers and bytes one after the other.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, to be kept.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes one byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Writes four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes eight bytes.
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes bytes as they are.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes a length of four bytes and bytes.
    pub(crate) fn short(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.put(bytes);
    }

    /// Writes a length and bytes.
    pub fn sized(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }
}

/// Reads what an [`Encoder`] wrote; bytes that end early are [`dataflow::ErrorKind::Corrupt`].
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Reads from the beginning of bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Decoder { rest: bytes }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads one byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Reads four bytes.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Reads eight bytes.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads eight bytes.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Reads a length of four bytes and bytes.
    pub(crate) fn short(&mut self) -> Result<&'a [u8]> {
        let length = self.u32()?;
        self.take(u64::from(length))
    }

    /// Reads a length and bytes.
    pub fn sized(&mut self) -> Result<&'a [u8]> {
        let length = self.u64()?;
        self.take(length)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.take(N as u64)?;
        bytes.try_into().map_err(|_| Error::internal("a slice has another length than was asked for"))
    }

    /// Reads so many bytes.
    pub(crate) fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        match usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length)) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Error::corrupt(format!("state ends {} bytes on, expected {length}", self.rest.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::ErrorKind;

    #[test]
    fn what_was_sealed_opens() {
        let blob = seal(7, EventTime(-3), b"rows");
        assert_eq!(open(&blob, 7).unwrap(), (EventTime(-3), &b"rows"[..]));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_corrupt() {
        let blob = seal(7, EventTime(1), b"some rows");
        for bit in 0..blob.len() * 8 {
            let mut wrong = blob.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&wrong, 7).unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
        }
        for length in 0..blob.len() {
            assert_eq!(open(&blob[..length], 7).unwrap_err().kind(), ErrorKind::Corrupt, "{length} bytes");
        }
    }

    #[test]
    fn state_of_another_operator_is_refused() {
        let blob = seal(7, EventTime(1), b"");
        assert!(open(&blob, 8).unwrap_err().to_string().contains("fingerprint"));
    }

    #[test]
    fn state_of_the_first_version_opens_whatever_its_columns_were_called() {
        let mut blob = seal(7, EventTime(1), b"rows");
        blob[4] = 1;
        let end = blob.len() - CHECKSUM;
        let checksum = crc32c::crc32c(&blob[..end]).to_le_bytes();
        blob[end..].copy_from_slice(&checksum);
        assert_eq!(open(&blob, 8).unwrap(), (EventTime(1), &b"rows"[..]));
    }

    #[test]
    fn a_length_beyond_the_end_is_corrupt() {
        let mut out = Encoder::default();
        out.u64(u64::MAX);
        assert_eq!(Decoder::new(out.bytes()).sized().unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
