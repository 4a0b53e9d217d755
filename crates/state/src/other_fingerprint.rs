//! Pieces of state that go from one operator to another which holds the same.

use crate::blob::MAGIC as BLOB_MAGIC;
use crate::log_page::MAGIC as PAGE_MAGIC;
use crate::table_page::MAGIC as TABLE_MAGIC;
use dataflow::{Error, Result};

/// What pieces begin with.
const MAGICS: [[u8; 4]; 3] = [BLOB_MAGIC, PAGE_MAGIC.to_le_bytes(), TABLE_MAGIC.to_le_bytes()];
/// Every kind of piece begins with its magic, its version and the fingerprint.
const AFTER_FINGERPRINT: usize = 4 + 2 + 8;
const CHECKSUM: usize = 4;

/// A piece of state, of any kind, as that of an operator with another fingerprint: whoever moves state has made sure that it
/// is what that operator keeps. [`dataflow::ErrorKind::Corrupt`] when the bytes are no piece of state.
pub fn with_fingerprint(mut bytes: Vec<u8>, fingerprint: u64) -> Result<Vec<u8>> {
    let wrong = || Error::corrupt(format!("a piece of state of {} bytes is damaged", bytes.len()));
    let (body, found) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(wrong)?;
    let is_piece = body.len() >= AFTER_FINGERPRINT && MAGICS.iter().any(|magic| body.starts_with(magic));
    if !is_piece || crc32c::crc32c(body).to_le_bytes() != *found {
        return Err(wrong());
    }
    let end = body.len();
    bytes[AFTER_FINGERPRINT - 8..AFTER_FINGERPRINT].copy_from_slice(&fingerprint.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&checksum);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{open, seal};
    use dataflow::{ErrorKind, EventTime};

    #[test]
    fn a_piece_is_read_under_its_new_fingerprint_and_a_damaged_one_is_not() {
        let piece = seal(7, EventTime(5), b"payload");
        assert!(open(&piece, 8).is_err());
        let moved = with_fingerprint(piece.clone(), 8).unwrap();
        assert_eq!(open(&moved, 8).unwrap(), (EventTime(5), &b"payload"[..]));
        assert_eq!(with_fingerprint(moved, 7).unwrap(), piece);
        for bit in 0..piece.len() * 8 {
            let mut wrong = piece.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(with_fingerprint(wrong, 8).unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
        }
        for length in 0..piece.len() {
            assert!(with_fingerprint(piece[..length].to_vec(), 8).is_err(), "{length} bytes");
        }
    }
}
