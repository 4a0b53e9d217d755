//! A manifest: all of a checkpoint but the pieces of state, which it names.
//!
//! ```text
//! 8 bytes    "RRCKPT", a carriage return and a newline: what this is, in every version
//! 16 bytes   xxh3 of all that follows
//! 1 byte     version
//! ...        fields, one after the other
//! ```

use crate::facts::JobFacts;
use crate::fields::{flag, text};
use crate::seeded::{self, Bug};
use dataflow::{
    ByteReader, ByteWriter, Committable, CoordinatorState, Error, EventTime, Fate, Fates, FrozenInput, JobRows,
    KEY_GROUPS, KeyGroup, KeyGroups, OutputState, PageScope, ProcessingTime, Result, Scope, StepState,
};
use xxhash_rust::xxh3::xxh3_128;

const MAGIC: &[u8; 8] = b"RRCKPT\r\n";
/// The first version has no rows, the first two no pages, and the first three do not say whether rows come again.
const VERSION: u8 = 5;
const CHECKSUM_BYTES: usize = 16;

/// A checkpoint as it is stored.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Counts the manifests of a job, without a gap.
    pub number: u64,
    /// The epoch of the run that put it.
    pub epoch: u64,
    /// When its state was written.
    pub written_at: ProcessingTime,
    /// What the start of the job has decided.
    pub facts: JobFacts,
    /// Positions and watermarks, with the number that the coordinator gave the checkpoint.
    pub coordinator: CoordinatorState,
    /// The outputs.
    pub outputs: Vec<OutputState>,
    /// What had become of rows since the job began.
    pub rows: JobRows,
    /// Whether nothing came after the checkpoint.
    pub last: bool,
    /// Whether an output had rows from after it all the same: those that an earlier run has put out, and that have not come
    /// again.
    pub replays: bool,
    /// Per input of a stage, by the name of its edge, what it was given in every worker.
    pub(crate) inputs: Vec<(String, Vec<FrozenInput>)>,
    /// The files that hold its state; each is named by at least one piece.
    pub(crate) files: Vec<StateFile>,
    /// The steps of every worker.
    // Invariant: pieces lie within their files and do not overlap.
    pub(crate) steps: Vec<StepState<Vec<Piece>>>,
}

/// A file of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateFile {
    pub name: String,
    pub bytes: u64,
}

/// Where a piece of state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub scope: Scope,
    /// The index of its file.
    pub file: usize,
    pub offset: u64,
    pub bytes: u64,
    pub checksum: u128,
    /// The number of its page in the process that has written it; it is not stored.
    pub page: Option<u64>,
}

impl Manifest {
    /// How many bytes of state it names.
    pub fn state_bytes(&self) -> u64 {
        self.pieces().fold(0, |sum, piece| sum.saturating_add(piece.bytes))
    }

    /// Whether outputs have no row from after it.
    pub fn is_all(&self) -> bool {
        self.last && !self.replays
    }

    /// Whether both are of one checkpoint of a job, whoever has put them.
    pub fn is_same_checkpoint(&self, other: &Manifest) -> bool {
        (self.facts.generation, self.coordinator.number) == (other.facts.generation, other.coordinator.number)
    }

    /// Refuses a savepoint of another beginning of the job: outputs may hold rows of what came after it.
    pub fn check_same_generation(&self, saved: &Manifest) -> Result<()> {
        let (own, other) = (self.facts.generation, saved.facts.generation);
        if own == other || seeded::has(Bug::OlderGeneration) {
            return Ok(());
        }
        if own < other {
            return Err(Error::invalid(format!(
                "this savepoint of checkpoint {} is of a later beginning of job \"{}\" (run {other}) than the checkpoints that \
                 are here (run {own}), so that nobody knows which of its rows the outputs hold: resume it where the checkpoints \
                 of that beginning are, or bring these back; `riverrun run` goes on from the newest checkpoint here, {}",
                saved.coordinator.number, self.facts.job, self.coordinator.number
            )));
        }
        Err(Error::invalid(format!(
            "job \"{}\" was begun anew after this savepoint of checkpoint {} was made, by --fresh or by a change that kept no \
             state, and its outputs hold rows of the new beginning, which would be there twice: `riverrun run` goes on from the newest checkpoint, {}",
            self.facts.job, saved.coordinator.number, self.coordinator.number
        )))
    }

    /// Up to when a step had released everything, in every worker; none for a step that is none of the job.
    pub fn watermark_of(&self, step: &str) -> Option<EventTime> {
        self.steps.iter().filter(|state| state.step == step).map(|state| state.watermark).min()
    }

    /// How many bytes of state a step has.
    pub fn bytes_of(&self, step: &str) -> u64 {
        let pieces = self.steps.iter().filter(|state| state.step == step).flat_map(|state| &state.state);
        pieces.fold(0, |sum, piece| sum.saturating_add(piece.bytes))
    }

    /// Gives steps and inputs the names that they have in a plan which does the same under others.
    pub fn rename(&mut self, step: &dyn Fn(&str) -> String, input: &dyn Fn(&str) -> String) {
        self.steps.iter_mut().for_each(|state| state.step = step(&state.step));
        self.inputs.iter_mut().for_each(|(edge, _)| *edge = input(edge));
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.steps.iter().flat_map(|step| &step.state)
    }

    /// The stored form.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::new(VERSION);
        out.u64(self.number);
        out.u64(self.epoch);
        out.i64(self.written_at.0);
        out.bytes(&self.facts.to_bytes());
        out.bytes(&self.coordinator.to_bytes());
        write_outputs(&mut out, &self.outputs);
        out.u8(u8::from(self.last));
        write_inputs(&mut out, &self.inputs);
        out.u64(self.files.len() as u64);
        for file in &self.files {
            out.bytes(file.name.as_bytes());
            out.u64(file.bytes);
        }
        write_steps(&mut out, &self.steps);
        write_rows(&mut out, &self.rows.streams);
        write_rows(&mut out, &self.rows.steps);
        out.u8(u8::from(self.replays));
        let fields = out.finish();
        [&MAGIC[..], &xxh3_128(&fields).to_le_bytes(), &fields].concat()
    }

    /// Reads the stored form; `place` says in errors where it lies.
    pub(crate) fn parse(place: &str, number: u64, bytes: &[u8]) -> Result<Manifest> {
        let damaged = |why: &str| {
            Error::corrupt(format!(
                "checkpoint {place} is damaged: {why}; bring it back as it was, or begin anew with --fresh"
            ))
        };
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err(damaged("it does not begin as a checkpoint does"));
        };
        let Some((stored, fields)) = rest.split_first_chunk::<CHECKSUM_BYTES>() else {
            return Err(damaged(&format!("it has {} bytes, which is too short", bytes.len())));
        };
        let (stored, found) = (u128::from_le_bytes(*stored), xxh3_128(fields));
        if stored != found {
            return Err(damaged(&format!("its checksum is {found:032x}, expected {stored:032x}")));
        }
        if let Some(version) = fields.first().filter(|&&version| version > VERSION) {
            return Err(Error::corrupt(format!(
                "checkpoint {place} has format {version}, and this riverrun reads formats up to {VERSION}: use the \
                 riverrun that wrote it, or a newer one"
            )));
        }
        let manifest = Manifest::parse_fields(fields).map_err(|e| damaged(&e.chain()))?;
        match manifest.number == number {
            true => Ok(manifest),
            false => Err(damaged(&format!("it says that its number is {}, expected {number}", manifest.number))),
        }
    }

    fn parse_fields(fields: &[u8]) -> Result<Manifest> {
        let version = fields.first().copied().filter(|version| (1..VERSION).contains(version)).unwrap_or(VERSION);
        let from = &mut ByteReader::new("a manifest", fields, version)?;
        let (number, epoch, written_at) = (from.u64()?, from.u64()?, ProcessingTime(from.i64()?));
        let facts = JobFacts::parse(from.bytes()?)?;
        let coordinator = CoordinatorState::parse(from.bytes()?)?;
        let outputs = parse_outputs(from)?;
        let last = flag(from)?;
        let inputs = parse_inputs(from)?;
        let mut files = Vec::new();
        for _ in 0..from.u64()? {
            files.push(StateFile { name: text(from)?, bytes: from.u64()? });
        }
        let steps = parse_steps(from)?;
        let rows = match version {
            1 => JobRows::default(),
            _ => JobRows { streams: parse_rows(from)?, steps: parse_rows(from)? },
        };
        let replays = version > 3 && flag(from)?;
        from.end()?;
        let manifest = Manifest {
            number,
            epoch,
            written_at,
            facts,
            coordinator,
            outputs,
            rows,
            last,
            replays,
            inputs,
            files,
            steps,
        };
        manifest.check_pieces(from)?;
        Ok(manifest)
    }

    /// Pieces lie within their files, and no byte belongs to two of them.
    fn check_pieces(&self, from: &ByteReader) -> Result<()> {
        let mut ranges = Vec::new();
        for piece in self.pieces() {
            let end = piece.offset.checked_add(piece.bytes);
            match (self.files.get(piece.file), end) {
                (Some(file), Some(end)) if end <= file.bytes => ranges.push((piece.file, piece.offset, end)),
                _ => return Err(from.corrupt("a piece of state lies outside its file")),
            }
        }
        ranges.sort_unstable();
        let overlap = |pair: &[(usize, u64, u64)]| pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2;
        match ranges.windows(2).any(overlap) {
            true => Err(from.corrupt("two pieces of state overlap")),
            false => Ok(()),
        }
    }
}

/// The fates that are stored, each at its code.
const FATES: [Fate; Fate::ALL.len()] = [
    Fate::In,
    Fate::Out,
    Fate::Filtered,
    Fate::LateMoved,
    Fate::LateDropped,
    Fate::Quarantined,
    Fate::Deduplicated,
    Fate::Bad,
    Fate::DeadLettered,
    Fate::RuleFailed,
    Fate::ScoreFailed,
    Fate::Held,
    Fate::Joined,
    Fate::LeftOut,
];

/// Counts that are zero are left out.
fn write_rows(out: &mut ByteWriter, rows: &[(String, Fates)]) {
    out.u64(rows.len() as u64);
    for (node, fates) in rows {
        out.bytes(node.as_bytes());
        let counts: Vec<(u8, i64)> = (0..).zip(FATES).map(|(code, fate)| (code, fates.of(fate))).collect();
        let counts = || counts.iter().filter(|(_, count)| *count != 0);
        out.u64(counts().count() as u64);
        for (code, count) in counts() {
            out.u8(*code);
            out.i64(*count);
        }
    }
}

fn parse_rows(from: &mut ByteReader) -> Result<Vec<(String, Fates)>> {
    let mut rows = Vec::new();
    for _ in 0..from.u64()? {
        let (node, mut fates) = (text(from)?, Fates::default());
        for _ in 0..from.u64()? {
            let (code, count) = (from.u8()?, from.i64()?);
            let Some(&fate) = FATES.get(usize::from(code)) else {
                return Err(from.corrupt(&format!("rows of {node} have a fate with the code {code}")));
            };
            fates.add(fate, count.saturating_sub(fates.of(fate)));
        }
        rows.push((node, fates));
    }
    Ok(rows)
}

fn write_outputs(out: &mut ByteWriter, outputs: &[OutputState]) {
    out.u64(outputs.len() as u64);
    for output in outputs {
        out.bytes(output.output.as_bytes());
        out.u8(u8::from(output.position.is_some()));
        if let Some(position) = &output.position {
            out.bytes(position);
        }
        out.u64(output.pending.len() as u64);
        output.pending.iter().for_each(|committable| out.bytes(&committable.0));
        out.u64(output.known);
    }
}

fn parse_outputs(from: &mut ByteReader) -> Result<Vec<OutputState>> {
    let mut outputs = Vec::new();
    for _ in 0..from.u64()? {
        let output = text(from)?;
        let position = if flag(from)? { Some(from.bytes()?.to_vec()) } else { None };
        let mut pending = Vec::new();
        for _ in 0..from.u64()? {
            pending.push(Committable(from.bytes()?.to_vec()));
        }
        outputs.push(OutputState { output, position, pending, known: from.u64()? });
    }
    Ok(outputs)
}

fn write_inputs(out: &mut ByteWriter, inputs: &[(String, Vec<FrozenInput>)]) {
    out.u64(inputs.len() as u64);
    for (edge, workers) in inputs {
        out.bytes(edge.as_bytes());
        out.u64(workers.len() as u64);
        for input in workers {
            out.i64(input.given.0);
            out.u8(u8::from(input.is_absent));
        }
    }
}

fn parse_inputs(from: &mut ByteReader) -> Result<Vec<(String, Vec<FrozenInput>)>> {
    let mut inputs = Vec::new();
    for _ in 0..from.u64()? {
        let (edge, mut workers) = (text(from)?, Vec::new());
        for _ in 0..from.u64()? {
            workers.push(FrozenInput { given: EventTime(from.i64()?), is_absent: flag(from)? });
        }
        inputs.push((edge, workers));
    }
    Ok(inputs)
}

fn write_steps(out: &mut ByteWriter, steps: &[StepState<Vec<Piece>>]) {
    out.u64(steps.len() as u64);
    for step in steps {
        out.bytes(step.step.as_bytes());
        out.i64(step.watermark.0);
        out.u64(step.state.len() as u64);
        for piece in &step.state {
            match piece.scope {
                Scope::Uniform => out.tagged(0, 0),
                Scope::Group(group) => out.tagged(1, u64::from(group.0)),
                Scope::Page(page) => {
                    out.tagged(2, u64::from(page.first));
                    out.u64(u64::from(page.groups.from));
                    out.u64(u64::from(page.groups.to));
                    out.i64(page.watermark.0);
                }
            }
            out.u64(piece.file as u64);
            out.u64(piece.offset);
            out.u64(piece.bytes);
            out.u64(piece.checksum as u64);
            out.u64((piece.checksum >> 64) as u64);
        }
    }
}

fn parse_steps(from: &mut ByteReader) -> Result<Vec<StepState<Vec<Piece>>>> {
    let mut steps = Vec::new();
    for _ in 0..from.u64()? {
        let (step, watermark, mut state) = (text(from)?, EventTime(from.i64()?), Vec::new());
        for _ in 0..from.u64()? {
            state.push(parse_piece(from)?);
        }
        steps.push(StepState { step, watermark, state });
    }
    Ok(steps)
}

fn parse_piece(from: &mut ByteReader) -> Result<Piece> {
    let scope = match (from.u8()?, from.u64()?) {
        (0, 0) => Scope::Uniform,
        (1, group) if group < u64::from(KEY_GROUPS) => Scope::Group(KeyGroup(group as u16)),
        (2, first) if first <= u64::from(u32::MAX) => Scope::Page(parse_page(from, first as u32)?),
        (tag, group) => return Err(from.corrupt(&format!("a piece of state has the scope {tag} {group}"))),
    };
    let file = usize::try_from(from.u64()?).unwrap_or(usize::MAX);
    let (offset, bytes) = (from.u64()?, from.u64()?);
    let checksum = u128::from(from.u64()?) | u128::from(from.u64()?) << 64;
    Ok(Piece { scope, file, offset, bytes, checksum, page: None })
}

fn parse_page(from: &mut ByteReader, first: u32) -> Result<PageScope> {
    match (from.u64()?, from.u64()?) {
        (begin, end) if begin < end && end <= u64::from(KEY_GROUPS) => {
            let groups = KeyGroups { from: begin as u16, to: end as u16 };
            Ok(PageScope { groups, first, watermark: EventTime(from.i64()?) })
        }
        (begin, end) => Err(from.corrupt(&format!("a page of state has the key groups {begin} to {end}"))),
    }
}
