//! Deletion vectors: the positions of one data file whose rows are deleted, as a blob of a Puffin file.
//!
//! ```text
//! length of the next two, big-endian | D1 D3 39 64 | bitmap, Roaring's portable format of 64 bits | CRC-32, big-endian
//! ```

use crc32fast::hash;
use roaring::RoaringTreemap;

const MAGIC: [u8; 4] = [0xD1, 0xD3, 0x39, 0x64];
/// The bytes of a blob beside its bitmap.
const FRAME_BYTES: usize = 12;

/// The positions of a blob, of which there are so many; or what is wrong with it.
pub fn positions_of(blob: &[u8], count: u64) -> Result<RoaringTreemap, String> {
    let (Some((length, rest)), true) = (blob.split_first_chunk::<4>(), blob.len() >= FRAME_BYTES) else {
        return Err(format!("has {} bytes, expected {FRAME_BYTES} at the least", blob.len()));
    };
    let Some((checked, sum)) = rest.split_last_chunk::<4>() else { return Err("has no checksum".to_owned()) };
    if usize::try_from(u32::from_be_bytes(*length)) != Ok(checked.len()) {
        return Err(format!("says that it has {} bytes, and has {}", u32::from_be_bytes(*length), checked.len()));
    }
    let Some(mut bitmap) = checked.strip_prefix(&MAGIC) else {
        return Err("does not begin as deletion vectors do".to_owned());
    };
    if hash(checked) != u32::from_be_bytes(*sum) {
        return Err("does not have the checksum that it tells".to_owned());
    }
    let positions = RoaringTreemap::deserialize_from(&mut bitmap);
    let positions = positions.map_err(|error| format!("is not a bitmap ({error})"))?;
    if !bitmap.is_empty() {
        return Err(format!("has {} bytes after its bitmap", bitmap.len()));
    }
    if positions.len() != count {
        return Err(format!("deletes {} rows, expected {count}", positions.len()));
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(positions: &RoaringTreemap) -> Vec<u8> {
        let mut checked = MAGIC.to_vec();
        positions.serialize_into(&mut checked).unwrap();
        framed(&checked)
    }

    fn framed(checked: &[u8]) -> Vec<u8> {
        let length = u32::try_from(checked.len()).unwrap().to_be_bytes();
        [&length[..], checked, &hash(checked).to_be_bytes()].concat()
    }

    #[test]
    fn positions_come_as_they_were_written() {
        for positions in [vec![], vec![0], vec![3, 4, 5, 70_000, u64::from(u32::MAX) + 7], (10..200_000).collect()] {
            let positions: RoaringTreemap = positions.into_iter().collect();
            assert_eq!(positions_of(&blob(&positions), positions.len()), Ok(positions));
        }
    }

    #[test]
    fn every_byte_that_is_changed_or_missing_is_noticed() {
        let positions: RoaringTreemap = [1, 2, 3, 1 << 40].into_iter().collect();
        let whole = blob(&positions);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(positions_of(&changed, 4).is_err(), "byte {at}");
            assert!(positions_of(&whole[..at], 4).is_err(), "{at} bytes");
        }
        assert!(positions_of(&whole, 5).unwrap_err().contains("deletes 4 rows, expected 5"));
        let mut more = whole[4..whole.len() - 4].to_vec();
        more.push(0);
        assert!(positions_of(&framed(&more), 4).unwrap_err().contains("1 bytes after"));
    }
}
