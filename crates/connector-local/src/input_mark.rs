//! What a producer has published of its input: a small file beside its lock, written whole before each append.
//!
//! The log says which rows are on the topic, by their sequence. The file says what those rows were, so that a run that
//! goes on finds out whether it was given the same input.
//!
//! ```text
//! <topic>/producers/<name>.input
//! ```

use crate::disk::{io_error, write_whole};
use dataflow::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

const VERSION: u32 = 1;

/// So many first rows of an input, and a checksum over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputMark {
    /// How many rows.
    pub rows: u64,
    /// CRC-32C over each row and a line break after it.
    pub checksum: u32,
}

impl InputMark {
    /// The mark after one more row.
    #[must_use]
    pub fn after(self, row: &[u8]) -> InputMark {
        let checksum = crc32c::crc32c_append(crc32c::crc32c_append(self.checksum, row), b"\n");
        InputMark { rows: self.rows + 1, checksum }
    }
}

/// What a producer has published of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedInput {
    /// The input as it was named; for messages to people only.
    pub name: String,
    /// The sequence of its first row: rows of inputs before it have lower ones.
    pub first: u64,
    /// What is on the topic as a whole.
    pub before: InputMark,
    /// Up to where an append was begun: some of it may be on the topic.
    pub after: InputMark,
    /// Per partition the sequence of the last row that is known to be stored, where the log is another system's. Rows
    /// from before `before` on go to as many partitions.
    pub stored: Option<Vec<Option<u64>>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputFile {
    version: u32,
    name: String,
    first: u64,
    before: InputMark,
    after: InputMark,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored: Option<Vec<Option<u64>>>,
}

impl PublishedInput {
    /// Reads the file; `None` when there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<PublishedInput>> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", path, error)),
        };
        let damaged = || format!("\"{}\" does not say what a producer has published", path.display());
        let InputFile { version, name, first, before, after, stored } =
            serde_json::from_slice(&text).map_err(|error| Error::corrupt(damaged()).with_source(error))?;
        if version != VERSION {
            return Err(Error::corrupt(format!(
                "\"{}\" has format version {version}, expected {VERSION}: it was written by a newer riverrun",
                path.display()
            )));
        }
        Ok(Some(PublishedInput { name, first, before, after, stored }))
    }

    /// Writes the file, durably.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let PublishedInput { name, first, before, after, stored } = self.clone();
        let text = serde_json::to_vec(&InputFile { version: VERSION, name, first, before, after, stored })
            .map_err(|error| Error::internal("cannot describe an input").with_source(error))?;
        write_whole(path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_this_version_is_read_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.input");
        assert_eq!(PublishedInput::read(&path).unwrap(), None);
        let before = InputMark::default().after(b"{}");
        let input = PublishedInput {
            name: "a.jsonl".to_owned(),
            first: 7,
            before,
            after: before.after(b"{\"n\":1}"),
            stored: None,
        };
        input.write(&path).unwrap();
        assert_eq!(PublishedInput::read(&path).unwrap().as_ref(), Some(&input));
        // As it lies on disk.
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"version\":1,\"name\":\"a.jsonl\",\"first\":7,\"before\":{\"rows\":1,"), "{text}");
        let elsewhere = PublishedInput { stored: Some(vec![None, Some(7)]), ..input };
        elsewhere.write(&path).unwrap();
        assert_eq!(PublishedInput::read(&path).unwrap(), Some(elsewhere));
        std::fs::write(&path, text.replace("\"version\":1", "\"version\":2")).unwrap();
        assert!(PublishedInput::read(&path).unwrap_err().to_string().contains("version 2"));
        std::fs::write(&path, &text[..20]).unwrap();
        assert!(PublishedInput::read(&path).unwrap_err().to_string().contains("p.input"));
    }

    #[test]
    fn marks_tell_rows_apart_that_are_cut_elsewhere() {
        let of = |rows: &[&[u8]]| rows.iter().fold(InputMark::default(), |mark, row| mark.after(row));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_eq!(of(&[b"ab", b"c"]).rows, 2);
    }
}
