//! The operator: a pure step of a job over batches.

use crate::{BadRow, Batch, EventTime, Frozen, KeyGroups, Result, StateMemory, StateReader};
use std::sync::Arc;

/// Which input of an operator rows come in at: 0 is the first one in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Input(pub usize);

/// Which output of an operator rows leave at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u8);

impl Port {
    /// The rows that the step is for; a decision's actions.
    pub const MAIN: Port = Port(0);
    /// Late rows that the stream removes.
    pub const LATE: Port = Port(1);
    /// Bad rows.
    pub const DEAD_LETTER: Port = Port(2);
    /// What is recorded beside the main rows: a decision's log.
    pub const RECORDS: Port = Port(3);
}

/// Whether a call has done all that it was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Done.
    Done,
    /// The output budget is used up; the same call comes again before anything else.
    More,
}

/// What became of rows, for the conservation sum that is shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// Came in.
    In,
    /// Went out.
    Out,
    /// A WHERE or EXISTS removed them.
    Filtered,
    /// Were late and moved to the earliest moment still open; they go on.
    LateMoved,
    /// Were late and dropped, as the stream declares.
    LateDropped,
    /// Lay more than a day ahead of their arrival.
    Quarantined,
    /// Were deliveries of a row seen before.
    Deduplicated,
    /// Could not be decoded or evaluated, and were skipped.
    Bad,
    /// Could not be decoded or evaluated, and were written as dead letters.
    DeadLettered,
    /// Were decided although a rule failed on them; they go on.
    RuleFailed,
    /// Scores that a model failed to give: they are NULL, and their rows go on.
    ScoreFailed,
    /// Wait in state for the watermark; counted up when they are taken in, down when they are let go.
    Held,
    /// Came in partitions that joined before the watermark, and were moved to the microsecond after it.
    Joined,
    /// Were not written since the output has them: an earlier plan of the job wrote them.
    LeftOut,
}

impl Fate {
    /// All fates, in the order in which they are shown.
    pub const ALL: [Fate; 14] = [
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
}

/// Counts of rows by fate. They add up over workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates([i64; Fate::ALL.len()]);

impl Fates {
    /// The rows of one fate.
    pub fn of(&self, fate: Fate) -> i64 {
        self.0[fate as usize]
    }

    /// The rows of all fates together.
    pub fn sum(&self) -> i64 {
        self.0.iter().sum()
    }

    /// Adds rows to a fate.
    pub fn add(&mut self, fate: Fate, rows: i64) {
        self.0[fate as usize] += rows;
    }

    /// Adds all counts of another.
    pub fn merge(&mut self, other: &Fates) {
        for (sum, rows) in self.0.iter_mut().zip(other.0) {
            *sum += rows;
        }
    }
}

/// What an operator may use during a call: room for output, counters, and its share of the keys.
///
/// The host makes one per operator, sets the room before each call and takes the output after it.
#[derive(Debug)]
pub struct Context {
    groups: KeyGroups,
    room: usize,
    room_bytes: usize,
    emitted: Vec<(Port, Batch)>,
    // So many of the batches that were put out are taken off the room in bytes.
    measured: usize,
    fates: Fates,
    first_bad: Option<Arc<BadRow>>,
    memory: Arc<StateMemory>,
    // The bytes of state that are counted there.
    counted: usize,
    state_bytes: usize,
    spilled_bytes: usize,
}

impl Context {
    /// A context of an operator that holds some key groups.
    pub fn new(groups: KeyGroups) -> Self {
        Context::with_memory(groups, StateMemory::unbounded())
    }

    /// As [`Context::new`], with memory for state that the operator shares with others.
    pub fn with_memory(groups: KeyGroups, memory: Arc<StateMemory>) -> Self {
        Context {
            groups,
            room: 0,
            room_bytes: 0,
            emitted: Vec::new(),
            measured: 0,
            fates: Fates::default(),
            first_bad: None,
            memory,
            counted: 0,
            state_bytes: 0,
            spilled_bytes: 0,
        }
    }

    /// The key groups that this instance of the operator holds.
    pub fn groups(&self) -> KeyGroups {
        self.groups
    }

    /// How many rows may still be put out on all ports together in this call.
    pub fn room(&self) -> usize {
        self.room
    }

    /// How many bytes of rows may still be put out on the main port in this call. Only operators that release what they
    /// hold ask: others put out what they were just given.
    pub fn room_bytes(&mut self) -> usize {
        let main = self.emitted[self.measured..].iter().filter(|(port, _)| *port == Port::MAIN);
        let bytes: usize = main.map(|(_, batch)| batch.bytes()).sum();
        self.measured = self.emitted.len();
        self.room_bytes = self.room_bytes.saturating_sub(bytes);
        self.room_bytes
    }

    /// How many rows of about so many bytes may still be put out in this call. While there is room for a byte there is
    /// room for a row, so that a row of any size goes on.
    pub fn room_for(&mut self, row_bytes: usize) -> usize {
        match self.room_bytes() {
            0 => 0,
            bytes => (bytes / row_bytes.max(1)).max(1).min(self.room),
        }
    }

    /// Puts rows out. Empty batches vanish. Never more rows than there is room for on the main port.
    pub fn emit(&mut self, port: Port, batch: Batch) {
        if batch.rows() == 0 {
            return;
        }
        if port == Port::MAIN {
            assert!(batch.rows() <= self.room, "an operator put out {} rows with room for {}", batch.rows(), self.room);
            self.room -= batch.rows();
        }
        self.emitted.push((port, batch));
    }

    /// Counts what became of rows.
    pub fn count(&mut self, fate: Fate, rows: usize) {
        self.fates.add(fate, rows as i64);
    }

    /// Tells of a bad row, for whoever watches the job; the first that is told of stays.
    pub fn tell_bad(&mut self, row: impl FnOnce() -> Result<BadRow>) -> Result<()> {
        if self.first_bad.is_none() {
            self.first_bad = Some(Arc::new(row()?));
        }
        Ok(())
    }

    /// The first bad row that was told of.
    pub fn first_bad(&self) -> Option<&Arc<BadRow>> {
        self.first_bad.as_ref()
    }

    /// Counts held rows that were let go.
    pub fn release(&mut self, rows: usize) {
        self.fates.add(Fate::Held, -(rows as i64));
    }

    /// What state may take in memory, and where the rest of it goes.
    pub fn memory(&self) -> &Arc<StateMemory> {
        &self.memory
    }

    /// Says how many bytes of state the operator holds now.
    pub fn set_state_bytes(&mut self, bytes: usize) {
        self.set_state(bytes, 0, 0);
    }

    /// Says how many bytes of state the operator holds in memory beside its logs, how many in logs that count themselves,
    /// and how many these have put aside.
    pub fn set_state(&mut self, beside: usize, logs: usize, spilled: usize) {
        self.memory.count(std::mem::replace(&mut self.counted, beside), beside);
        (self.state_bytes, self.spilled_bytes) = (beside + logs, spilled);
    }

    /// For hosts: gives room for a call, in rows and in bytes; both more than zero.
    pub fn set_room(&mut self, rows: usize, bytes: usize) {
        (self.room, self.room_bytes) = (rows, bytes);
    }

    /// For hosts: what was put out and not taken yet.
    pub fn emitted(&self) -> &[(Port, Batch)] {
        &self.emitted
    }

    /// For hosts: takes what was put out, in the order in which it was.
    pub fn take_emitted(&mut self) -> Vec<(Port, Batch)> {
        self.measured = 0;
        std::mem::take(&mut self.emitted)
    }

    /// For hosts: the counts since the start.
    pub fn fates(&self) -> &Fates {
        &self.fates
    }

    /// For hosts: the bytes of state in memory as last said.
    pub fn state_bytes(&self) -> usize {
        self.state_bytes
    }

    /// For hosts: the bytes of state that were put aside, as last said.
    pub fn spilled_bytes(&self) -> usize {
        self.spilled_bytes
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.set_state_bytes(0);
    }
}

/// A pure step of a job over batches. No clock, no I/O, no threads, no host.
///
/// # Contract
///
/// * **Rows are ahead of the watermark.** `process` gets rows with `_time` above every watermark handed to `advance`,
///   and at most [`Context::room`] of them, so that a step that puts out one row per row in is always `Done`.
/// * **Sorted inputs.** Steps that need order stand after a merge: between two watermarks an input's rows come in
///   (`_time`, `_ord`) order, and `advance(w)` completes them up to `w`. A step of several inputs may get one
///   input's rows ahead of another's; it keeps them in `process` and sweeps in `advance`.
/// * **Watermarks never go back.** They are the same for all inputs. After `advance(w)` is `Done`, nothing at or
///   before `w` is put out.
/// * **Cuts do not matter.** What comes out depends only on rows and watermarks that went in: not on batch cuts, on
///   how often `advance` is called, or on how inputs interleave.
/// * **`restore(freeze(x))` continues exactly as `x`**, for any split of the key groups.
pub trait Operator: Send {
    /// Takes rows with `_time` above the watermark. Puts out at most what there is room for.
    fn process(&mut self, input: Input, batch: &Batch, cx: &mut Context) -> Result<Progress>;
    /// Releases what the watermark has reached (`MAX` when inputs have ended).
    /// `More`: the output budget is used up; called again with the same watermark before anything else.
    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress>;
    /// The least time above a time at which something comes out that the operator holds; `None` when it holds nothing
    /// until then. A row that only waits for the watermark to reach its own time may be left out: it is known without.
    fn next_due(&self, above: EventTime) -> Option<EventTime>;
    /// The state as it is now; cheap; only after `Done`.
    fn freeze(&mut self) -> Result<Arc<dyn Frozen>>;
    /// Takes up state that was frozen, keeping only the key groups of the context. Called on a new operator, before
    /// anything else, once per blob that was written.
    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()>;
}
