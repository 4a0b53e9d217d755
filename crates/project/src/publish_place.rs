//! Where a named producer is in its input, so that a run that was killed goes on there.
//!
//! ```text
//! row n of the input -> sequence n in the log, which takes each once
//! before an append:  what is on the topic as a whole, and up to where the append goes, each with a checksum
//! after a kill:      the same rows again? -> those on the topic are passed, the others appended
//! ```

use crate::publish_messages::InputRow;
use connector_local::{HeldName, InputMark, PublishedInput};
use dataflow::{Error, Result};

/// Rows that follow each other in an input.
pub struct InputPart {
    /// The sequence of the first.
    pub first: u64,
    /// The rows.
    pub rows: Vec<InputRow>,
    /// Where they end in the input.
    pub end: InputMark,
    /// To how many partitions they go; all of the topic, if it is left out.
    pub partitions: Option<u64>,
}

/// The place of a producer in its input.
pub struct PublishPlace {
    claim: HeldName,
    producer: String,
    // Whether the input is a file that grows, another one of which may have taken its name.
    is_followed: bool,
    input: PublishedInput,
    // What is on the topic as a whole by the file.
    recorded: InputMark,
    // What was read in this run.
    read: InputMark,
    // What an earlier run read: rows up to there are held until they are known to be the same.
    known: Option<InputMark>,
    held: Vec<InputRow>,
}

impl PublishPlace {
    /// The place at which a producer stands in an input of this name, of which the log has the sequences before `there`.
    pub fn open(
        claim: HeldName,
        (producer, is_followed): (&str, bool),
        name: &str,
        there: u64,
    ) -> Result<PublishPlace> {
        let (input, known) = match claim.input()? {
            Some(input) => {
                let is_begun = there > input.first + input.before.rows;
                let known = if is_begun { input.after } else { input.before };
                (input, (known.rows > 0).then_some(known))
            }
            None if there > 0 => {
                return Err(Error::corrupt(format!(
                    "producer \"{producer}\" has put {} on the topic, and the file that says which is gone from \
                     its folder: take another name",
                    counted_rows(there)
                )));
            }
            None => {
                let empty = InputMark::default();
                (PublishedInput { name: name.to_owned(), first: 0, before: empty, after: empty, stored: None }, None)
            }
        };
        let (recorded, read) = (input.before, InputMark::default());
        let producer = producer.to_owned();
        Ok(PublishPlace { claim, producer, is_followed, input, recorded, read, known, held: Vec::new() })
    }

    /// Takes rows of the input; gives those that may be missing on the topic, in parts that are appended one by one.
    pub fn take(&mut self, rows: Vec<InputRow>) -> Result<Vec<InputPart>> {
        let mut parts = Vec::new();
        for row in rows {
            self.read = self.read.after(&row.payload);
            let known = self.known;
            if known.is_some() && [known, Some(self.input.before)].into_iter().flatten().any(|mark| self.is_other(mark))
            {
                return Err(self.differs(&format!("differs from it in its first {}", counted_rows(self.read.rows))));
            }
            if self.read.rows > self.input.before.rows {
                self.held.push(row);
            }
            if known == Some(self.read) {
                self.known = None;
                parts.extend(self.part());
            }
        }
        if self.known.is_none() {
            parts.extend(self.part());
        }
        Ok(parts)
    }

    /// Whether a mark is at this row, and over other rows.
    fn is_other(&self, mark: InputMark) -> bool {
        mark.rows == self.read.rows && mark != self.read
    }

    /// The rows that are held, up to the last one that was read.
    fn part(&mut self) -> Option<InputPart> {
        let rows = std::mem::take(&mut self.held);
        let first = self.input.first + self.read.rows - rows.len() as u64;
        // Rows that may be there are put where they were put before: elsewhere the log would not know them.
        let in_doubt = self.input.before.rows < self.input.after.rows && self.read.rows <= self.input.after.rows;
        let before = self.input.stored.as_ref().filter(|_| in_doubt);
        let partitions = before.map(|stored| stored.len() as u64);
        (!rows.is_empty()).then_some(InputPart { first, rows, end: self.read, partitions })
    }

    /// Records that the rows up to the end of a part are about to be put on the topic.
    pub fn begin(&mut self, end: InputMark) -> Result<()> {
        self.input.after = end;
        self.claim.set_input(&self.input)?;
        self.recorded = self.input.before;
        Ok(())
    }

    /// They are there; `stored` says up to where, per partition, if the log does not say that itself later.
    pub fn done(&mut self, end: InputMark, stored: Option<Vec<Option<u64>>>) {
        self.input.before = end;
        self.input.stored = stored;
    }

    /// Some of them may be there. What is known of that is recorded, so that a log that forgets is found out.
    pub fn failed(&mut self, stored: Option<Vec<Option<u64>>>) -> Result<()> {
        if stored.is_none() {
            return Ok(());
        }
        // As many partitions as rows in doubt were put to.
        let partitions = self.input.stored.as_ref().map_or(usize::MAX, Vec::len);
        self.input.stored = stored.map(|stored| stored.into_iter().take(partitions).collect());
        self.claim.set_input(&self.input)
    }

    /// The log is another system's, which has so many partitions now.
    pub fn of_partitions(mut self, partitions: u32) -> PublishPlace {
        if self.input.before == self.input.after {
            let mut stored = self.input.stored.take().unwrap_or_default();
            stored.resize(partitions as usize, None);
            self.input.stored = Some(stored);
        }
        self
    }

    /// Records what is on the topic. An input that has ended before what was published of it is refused.
    pub fn finish(&mut self, is_whole: bool) -> Result<()> {
        if is_whole {
            self.at_end()?;
        }
        // What was not read again is on the topic all the same.
        if self.known.is_some() || self.recorded == self.input.before {
            return Ok(());
        }
        self.begin(self.input.before)
    }

    /// Another file follows under the name of the input.
    pub fn next_file(&mut self) -> Result<()> {
        self.at_end()?;
        self.input.first += self.read.rows;
        self.read = InputMark::default();
        self.input.before = self.read;
        self.begin(self.read)
    }

    fn at_end(&self) -> Result<()> {
        match self.known {
            Some(known) => {
                Err(self.differs(&format!("has {}, fewer than the {} of it", counted_rows(self.read.rows), known.rows)))
            }
            None => Ok(()),
        }
    }

    fn differs(&self, how: &str) -> Error {
        let next = match self.is_followed {
            true => {
                "Where a log was rotated, publish the rest of the old file under this name, without --follow, and follow \
                 the new one under another name"
            }
            false => "Publish the input as it was to go on, and give another input another name",
        };
        Error::invalid(format!(
            "producer \"{}\" has published {}, and what is given now {how}: it is another input, or has been changed \
             since; nothing was published. {next}",
            self.producer, self.input.name
        ))
    }
}

/// A number of rows.
fn counted_rows(number: u64) -> String {
    format!("{number} row{}", if number == 1 { "" } else { "s" })
}
