//! What a job is to those who start it.

use crate::fields::{flag, text};
use crate::job_plan::{JobPlan, OutputCut};
use dataflow::{ByteReader, ByteWriter, EventTime, Result};

/// The version of the byte form; the first one has no plan.
const VERSION: u8 = 2;
const WITHOUT_PLAN: u8 = 1;

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
    /// What the job is; nothing in a checkpoint of the first version.
    pub plan: JobPlan,
    /// What an earlier plan of the job has written of its outputs.
    pub cuts: Vec<OutputCut>,
    /// From when on rows had to come out when the job began, where that was not all of them: history before what these
    /// rows look back to is not read.
    pub reads_from: Option<EventTime>,
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
        out.bytes(&self.plan.to_bytes());
        out.u64(self.cuts.len() as u64);
        self.cuts.iter().for_each(|cut| cut.write(&mut out));
        out.option(self.reads_from.map(|from| from.0));
        out.finish()
    }

    /// Reads the byte form.
    pub(crate) fn parse(bytes: &[u8]) -> Result<JobFacts> {
        let has_plan = bytes.first() != Some(&WITHOUT_PLAN);
        let version = if has_plan { VERSION } else { WITHOUT_PLAN };
        let from = &mut ByteReader::new("what a checkpoint says of its job", bytes, version)?;
        let (job, fingerprint, revision) = (text(from)?, text(from)?, text(from)?);
        let (start, begin) = (EventTime(from.i64()?), from.option()?.map(EventTime));
        let bounded = flag(from)?;
        let mut histories = Vec::new();
        for _ in 0..from.u64()? {
            histories.push((text(from)?, text(from)?));
        }
        let generation = from.u64()?;
        let mut facts = JobFacts {
            job,
            fingerprint,
            revision,
            start,
            from: begin,
            bounded,
            histories,
            generation,
            plan: JobPlan::default(),
            cuts: Vec::new(),
            reads_from: None,
        };
        if has_plan {
            facts.plan = JobPlan::parse(from.bytes()?)?;
            for _ in 0..from.u64()? {
                facts.cuts.push(OutputCut::read(from)?);
            }
            facts.reads_from = from.option()?.map(EventTime);
        }
        from.end()?;
        Ok(facts)
    }
}
