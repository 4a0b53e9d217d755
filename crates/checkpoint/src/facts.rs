//! What a job is to those who start it.

use dataflow::{ByteReader, ByteWriter, EventTime, Result};

/// The version of the byte form.
const VERSION: u8 = 1;

/// What the start of a job has decided, kept in every manifest. Nothing here is looked at by this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFacts {
    /// The job's name.
    pub job: String,
    /// Says whether a plan is the one that the state belongs to.
    pub fingerprint: String,
    /// The revision of the project, for messages to people.
    pub revision: String,
    /// W: outputs on topics begin after it.
    pub start: EventTime,
    /// Where in history the job was told to begin, if it was.
    pub from: Option<EventTime>,
    /// Whether all inputs end.
    pub bounded: bool,
    /// Per stream with a history, the snapshot that is read.
    pub histories: Vec<(String, String)>,
    /// Counts the times that the job began anew.
    pub generation: u64,
}

impl JobFacts {
    /// The byte form, with a version.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::new(VERSION);
        for text in [&self.job, &self.fingerprint, &self.revision] {
            out.bytes(text.as_bytes());
        }
        out.i64(self.start.0);
        out.option(self.from.map(|from| from.0));
        out.u8(u8::from(self.bounded));
        out.u64(self.histories.len() as u64);
        for (stream, snapshot) in &self.histories {
            out.bytes(stream.as_bytes());
            out.bytes(snapshot.as_bytes());
        }
        out.u64(self.generation);
        out.finish()
    }

    /// Reads the byte form.
    pub(crate) fn parse(bytes: &[u8]) -> Result<JobFacts> {
        let from = &mut ByteReader::new("what a checkpoint says of its job", bytes, VERSION)?;
        let (job, fingerprint, revision) = (text(from)?, text(from)?, text(from)?);
        let (start, begin) = (EventTime(from.i64()?), from.option()?.map(EventTime));
        let bounded = flag(from)?;
        let mut histories = Vec::new();
        for _ in 0..from.u64()? {
            histories.push((text(from)?, text(from)?));
        }
        let generation = from.u64()?;
        from.end()?;
        Ok(JobFacts { job, fingerprint, revision, start, from: begin, bounded, histories, generation })
    }
}

/// A text with its length.
pub(crate) fn text(from: &mut ByteReader) -> Result<String> {
    let bytes = from.bytes()?;
    String::from_utf8(bytes.to_vec()).map_err(|e| from.corrupt("a text in it is no UTF-8").with_source(e))
}

/// A byte that is 0 or 1.
pub(crate) fn flag(from: &mut ByteReader) -> Result<bool> {
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(from.corrupt(&format!("byte {other} where 0 or 1 is expected"))),
    }
}
