//! What a writer leaves in a checkpoint: which table it writes.

use dataflow::{ByteReader, ByteWriter, Result};
use uuid::Uuid;

const VERSION: u8 = 1;

/// The table of a writer. A name may have been given to another table since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterPosition {
    pub table_uuid: Uuid,
}

impl WriterPosition {
    /// The byte form.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = ByteWriter::new(VERSION);
        out.bytes(self.table_uuid.as_bytes());
        out.finish()
    }

    /// Reads the byte form; an error of kind `Corrupt` says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<WriterPosition> {
        let mut from = ByteReader::new("the position of a table's writer", bytes, VERSION)?;
        let uuid =
            Uuid::from_slice(from.bytes()?).map_err(|_| from.corrupt("the name of the table has not 16 bytes"))?;
        from.end()?;
        Ok(WriterPosition { table_uuid: uuid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::ErrorKind;

    #[test]
    fn version_one_is_read_for_as_long_as_there_are_checkpoints() {
        let mut stored = vec![1, 16, 0, 0, 0, 0, 0, 0, 0];
        stored.extend(0..16);
        let position = WriterPosition::parse(&stored).unwrap();
        assert_eq!(position.table_uuid, Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f));
        assert_eq!(position.to_bytes(), stored);
        for end in 0..stored.len() {
            assert_eq!(WriterPosition::parse(&stored[..end]).unwrap_err().kind(), ErrorKind::Corrupt, "{end}");
        }
    }
}
