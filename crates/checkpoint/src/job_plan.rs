//! What a job was when it wrote a checkpoint: parts that are found again by what they do, whatever they are called.

use crate::fields::{flag, text};
use dataflow::{ByteReader, ByteWriter, EventTime, Result, RowOrder, Span};

/// The version of the byte form; the first one does not say how long rows wait, and the first two not what states hold.
const VERSION: u8 = 3;
const WITHOUT_STATES: u8 = 2;
const WITHOUT_WAITS: u8 = 1;

/// The parts of a job. Nothing here is looked at by this crate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobPlan {
    /// Its streams, in the order in which positions and watermarks number them.
    pub streams: Vec<PlannedStream>,
    /// Its steps.
    pub steps: Vec<PlannedPart>,
    /// The inputs of its stages.
    pub inputs: Vec<PlannedPart>,
    /// Its outputs.
    pub outputs: Vec<PlannedOutput>,
}

/// A stream of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStream {
    /// Its name.
    pub name: String,
    /// What decides its rows and their times: what it is called, and its value.
    pub settings: Vec<(String, String)>,
}

/// A step, or an input of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPart {
    /// Its name.
    pub name: String,
    /// What it does with which rows.
    pub content: u128,
    /// The same for people.
    pub computes: String,
    /// Of a step what its state holds; `None` where that is nothing, rows as a whole alone, or not known.
    pub state: Option<PlannedState>,
}

/// What the state of a step holds, apart from rows that it holds as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedState {
    /// What it holds of which rows; columns that these only carry along are no part of it, nor are functions of windows.
    pub held: u128,
    /// What rows of the first input carry, and how they come: what rows are that are held as a whole.
    pub carried: u128,
    /// Of windows each function: what it holds, and the same for people.
    pub functions: Vec<(u128, String)>,
    /// Of windows how their state is stored.
    pub layout: Vec<u8>,
}

/// An output of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedOutput {
    /// The name of its node.
    pub name: String,
    /// What is written.
    pub content: u128,
    /// Whether it is a topic.
    pub is_topic: bool,
    /// Its columns and their types.
    pub columns: Vec<(String, String)>,
    /// Where its rows come from.
    pub feeds: Vec<Feed>,
}

/// Where rows of an output come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The name of the node.
    pub node: String,
    /// The number of the stream whose coordinates the rows have.
    pub stream: Option<u64>,
    /// Whether they come in time order, each once the watermark has reached it.
    pub is_ordered: bool,
    /// Whether they are rows that were removed: bad ones, or late ones.
    pub is_removed: bool,
    /// By how much later than their own time they come out, since they wait for those that follow them; `None` where that is
    /// not known, or not the same for all.
    pub wait: Option<Span>,
}

/// What an earlier plan of a job has written of an output, and is not written again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputCut {
    /// The name of its node.
    pub output: String,
    /// The rows up to this time.
    pub after: EventTime,
    /// The rows of messages up to these, at most one of each partition.
    pub messages: Vec<RowOrder>,
}

impl PlannedOutput {
    /// The table or the topic.
    pub fn place(&self) -> &str {
        self.name.strip_prefix("into ").unwrap_or(&self.name)
    }
}

impl JobPlan {
    /// The output whose node has a name.
    pub fn output(&self, name: &str) -> Option<&PlannedOutput> {
        self.outputs.iter().find(|output| output.name == name)
    }

    /// The output that another plan of the job has, if this one has it, too: a table and a topic of one name are two.
    pub fn same_output(&self, of: &PlannedOutput) -> Option<&PlannedOutput> {
        self.output(&of.name).filter(|output| output.is_topic == of.is_topic)
    }

    /// The byte form.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::new(VERSION);
        out.u64(self.streams.len() as u64);
        for stream in &self.streams {
            out.bytes(stream.name.as_bytes());
            write_pairs(&mut out, &stream.settings);
        }
        for parts in [&self.steps, &self.inputs] {
            out.u64(parts.len() as u64);
            for part in parts {
                out.bytes(part.name.as_bytes());
                out.bytes(&part.content.to_le_bytes());
                out.bytes(part.computes.as_bytes());
                write_state(&mut out, part.state.as_ref());
            }
        }
        out.u64(self.outputs.len() as u64);
        for output in &self.outputs {
            out.bytes(output.name.as_bytes());
            out.bytes(&output.content.to_le_bytes());
            out.u8(u8::from(output.is_topic));
            write_pairs(&mut out, &output.columns);
            out.u64(output.feeds.len() as u64);
            for feed in &output.feeds {
                out.bytes(feed.node.as_bytes());
                out.option(feed.stream.map(|stream| stream as i64));
                out.u8(u8::from(feed.is_ordered));
                out.u8(u8::from(feed.is_removed));
                out.option(feed.wait.map(|wait| wait.0));
            }
        }
        out.finish()
    }

    /// Reads the byte form.
    pub(crate) fn parse(bytes: &[u8]) -> Result<JobPlan> {
        let version = bytes.first().copied().filter(|version| (WITHOUT_WAITS..VERSION).contains(version));
        let version = version.unwrap_or(VERSION);
        let (has_waits, has_states) = (version > WITHOUT_WAITS, version > WITHOUT_STATES);
        let from = &mut ByteReader::new("the plan of a job", bytes, version)?;
        let mut plan = JobPlan::default();
        for _ in 0..from.u64()? {
            plan.streams.push(PlannedStream { name: text(from)?, settings: pairs(from)? });
        }
        (plan.steps, plan.inputs) = (parts(from, has_states)?, parts(from, has_states)?);
        for _ in 0..from.u64()? {
            let (name, content) = (text(from)?, content(from)?);
            let (is_topic, columns) = (flag(from)?, pairs(from)?);
            let mut feeds = Vec::new();
            for _ in 0..from.u64()? {
                let (node, stream) = (text(from)?, from.option()?.map(|stream| stream as u64));
                let (is_ordered, is_removed) = (flag(from)?, flag(from)?);
                let wait = if has_waits { from.option()?.map(Span) } else { None };
                feeds.push(Feed { node, stream, is_ordered, is_removed, wait });
            }
            plan.outputs.push(PlannedOutput { name, content, is_topic, columns, feeds });
        }
        from.end()?;
        Ok(plan)
    }
}

impl OutputCut {
    pub(crate) fn write(&self, out: &mut ByteWriter) {
        out.bytes(self.output.as_bytes());
        out.i64(self.after.0);
        out.u64(self.messages.len() as u64);
        self.messages.iter().for_each(|message| out.bytes(&message.0.to_le_bytes()));
    }

    pub(crate) fn read(from: &mut ByteReader) -> Result<OutputCut> {
        let (output, after, mut messages) = (text(from)?, EventTime(from.i64()?), Vec::new());
        for _ in 0..from.u64()? {
            messages.push(RowOrder(content(from)?));
        }
        Ok(OutputCut { output, after, messages })
    }
}

fn parts(from: &mut ByteReader, has_states: bool) -> Result<Vec<PlannedPart>> {
    let mut parts = Vec::new();
    for _ in 0..from.u64()? {
        let (name, content, computes) = (text(from)?, content(from)?, text(from)?);
        let state = if has_states { state(from)? } else { None };
        parts.push(PlannedPart { name, content, computes, state });
    }
    Ok(parts)
}

fn write_state(out: &mut ByteWriter, state: Option<&PlannedState>) {
    out.u8(u8::from(state.is_some()));
    let Some(PlannedState { held, carried, functions, layout }) = state else { return };
    out.bytes(&held.to_le_bytes());
    out.bytes(&carried.to_le_bytes());
    out.u64(functions.len() as u64);
    for (content, computes) in functions {
        out.bytes(&content.to_le_bytes());
        out.bytes(computes.as_bytes());
    }
    out.bytes(layout);
}

fn state(from: &mut ByteReader) -> Result<Option<PlannedState>> {
    if !flag(from)? {
        return Ok(None);
    }
    let (held, carried, mut functions) = (content(from)?, content(from)?, Vec::new());
    for _ in 0..from.u64()? {
        functions.push((content(from)?, text(from)?));
    }
    Ok(Some(PlannedState { held, carried, functions, layout: from.bytes()?.to_vec() }))
}

fn content(from: &mut ByteReader) -> Result<u128> {
    let bytes = from.bytes()?;
    let bytes = bytes.try_into().map_err(|_| from.corrupt("a number in it has no 16 bytes"))?;
    Ok(u128::from_le_bytes(bytes))
}

fn write_pairs(out: &mut ByteWriter, pairs: &[(String, String)]) {
    out.u64(pairs.len() as u64);
    for (name, value) in pairs {
        out.bytes(name.as_bytes());
        out.bytes(value.as_bytes());
    }
}

fn pairs(from: &mut ByteReader) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for _ in 0..from.u64()? {
        pairs.push((text(from)?, text(from)?));
    }
    Ok(pairs)
}
