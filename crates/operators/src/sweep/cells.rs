//! How one accumulator goes over a chunk: rows enter its frame, rows leave it, and it is read for each row that asks.
//!
//! What happens to a frame is written down once, as a sequence of steps, and every accumulator of the frame follows it.
//! How many rows enter and leave at a moment is anyone's guess, so loops over them, one after the other for each
//! accumulator, would mostly wait for the processor to find out; along one sequence there is nothing to guess.

use std::slice::IterMut;

/// The rows that a bound passes during a chunk.
#[derive(Debug, Default)]
pub(super) struct PassedRows {
    /// The number of the first of them in the log.
    pub(super) first: u64,
    pub(super) times: Vec<i64>,
    pub(super) keys: Vec<u32>,
    // By column of the log; empty where no accumulator of the bound needs it.
    pub(super) values: Vec<Vec<u64>>,
    pub(super) flags: Vec<Vec<u8>>,
}

/// Room for more rows than this is given back: after state was restored, a cursor passes all of it at once.
const PASSED_ROWS_KEPT: usize = 1 << 16;

impl PassedRows {
    pub(super) fn clear(&mut self) {
        if self.keys.capacity() > PASSED_ROWS_KEPT {
            let (values, flags) = (self.values.len(), self.flags.len());
            *self = PassedRows {
                values: vec![Vec::new(); values],
                flags: vec![Vec::new(); flags],
                ..PassedRows::default()
            };
            return;
        }
        self.times.clear();
        self.keys.clear();
        self.values.iter_mut().for_each(Vec::clear);
        self.flags.iter_mut().for_each(Vec::clear);
    }

    /// The first row from one on that lies behind a time.
    #[inline(always)]
    fn until(&self, from: usize, until: i64) -> usize {
        let mut at = from;
        while at < self.times.len() && self.times[at] <= until {
            at += 1;
        }
        at
    }

    /// Writes a step for each of some rows; gives the one behind the last.
    #[inline(always)]
    fn put(&self, next: &mut IterMut<Step>, from: usize, to: usize, kind: StepKind) -> usize {
        for ((&key, at), step) in self.keys[from..to].iter().zip(from as u32..).zip(next) {
            *step = Step { key, at, kind };
        }
        to
    }

    pub(super) fn size(&self) -> usize {
        let values: usize = self.values.iter().map(Vec::capacity).sum();
        let flags: usize = self.flags.iter().map(Vec::capacity).sum();
        self.times.capacity() * 8 + self.keys.capacity() * 4 + values * 8 + flags
    }
}

/// What becomes of a row, or of the frame of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepKind {
    /// A row leaves the frame of its key.
    Leave = 0,
    /// A row of a key asks what the frame holds.
    Read = 1,
    /// A row enters the frame of its key.
    Enter = 2,
    /// A row enters the frame of its key, and asks: the usual step of a window, where no two rows share a moment.
    EnterAndRead = 3,
}

impl StepKind {
    /// By how much a count of rows changes.
    #[inline(always)]
    pub(super) fn sign(self) -> i32 {
        (self as i32).min(2) - 1
    }

    /// Whether a row asks.
    #[inline(always)]
    pub(super) fn is_read(self) -> bool {
        self as u8 & 1 != 0
    }
}

/// One step of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) key: u32,
    /// Which of the rows that the bound passed; 0 for a row that asks.
    at: u32,
    pub(super) kind: StepKind,
}

const NO_STEP: Step = Step { key: 0, at: 0, kind: StepKind::Read };

/// The steps of a frame during a chunk, in order of time.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    /// How many of them are reads.
    pub(super) reads: usize,
}

impl Steps {
    /// Sets the steps for rows that ask, which are so many moments, and have these keys. A key that is not below `ids`
    /// reads the cell `ids`, which stays empty.
    pub(super) fn set(
        &mut self,
        probes: &Probes,
        keys: &[u32],
        ids: u32,
        (enter, enter_limit): (&PassedRows, i64),
        (leave, leave_limit): (&PassedRows, i64),
    ) {
        if self.steps.capacity() > 3 * PASSED_ROWS_KEPT {
            self.steps = Vec::new();
        }
        let most = enter.keys.len() + leave.keys.len() + keys.len();
        self.steps.resize(most, NO_STEP);
        self.reads = keys.len();
        let mut next = self.steps.iter_mut();
        let (mut entered, mut left, mut asked) = (0, 0, 0);
        for (&time, &end) in probes.times.iter().zip(&probes.ends) {
            let asking = &keys[asked..end as usize];
            let (enter_until, leave_until) = (time.saturating_add(enter_limit), time.saturating_add(leave_limit));
            let entering = enter.until(entered, enter_until);
            asked = end as usize;
            if let ([key], [entering_key]) = (asking, &enter.keys[entered..entering])
                && key == entering_key
                && enter.times[entered] > leave_until
            {
                left = leave.put(&mut next, left, leave.until(left, leave_until), StepKind::Leave);
                entered = enter.put(&mut next, entered, entering, StepKind::EnterAndRead);
                continue;
            }
            // Rows enter before they leave: a frame that ends before the row may pass one in the same moment.
            entered = enter.put(&mut next, entered, entering, StepKind::Enter);
            left = leave.put(&mut next, left, leave.until(left, leave_until), StepKind::Leave);
            for (&key, step) in asking.iter().zip(&mut next) {
                *step = Step { key: key.min(ids), at: 0, kind: StepKind::Read };
            }
        }
        let unused = next.len();
        self.steps.truncate(most - unused);
    }

    pub(super) fn size(&self) -> usize {
        self.steps.capacity() * size_of::<Step>()
    }
}

/// What asks in a chunk: rows in order of time, as moments of equal time.
#[derive(Debug, Default)]
pub(super) struct Probes {
    pub(super) times: Vec<i64>,
    /// For each moment, the row behind its last one.
    pub(super) ends: Vec<u32>,
}

impl Probes {
    pub(super) fn set(&mut self, times: &[i64]) {
        self.times.clear();
        self.ends.clear();
        let mut end = 0;
        for moment in times.chunk_by(|left, right| left == right) {
            end += moment.len() as u32;
            self.times.push(moment[0]);
            self.ends.push(end);
        }
    }
}

/// How many steps before it is needed a cell is asked for.
const AHEAD: usize = 16;

/// Something per key that rows are added to and taken away from, and that is read in between.
pub(super) trait Cells {
    /// Takes the next step: row number `row` of the log, with its value, enters or leaves the frame of the key, unless it
    /// does not count; then the frame is read, if the step says so.
    fn step(&mut self, step: Step, value: u64, row: u64, counts: bool);
    /// The cell of a key, and what is kept of a value, are needed soon.
    fn prefetch(&self, key: u32, value: impl FnOnce() -> u64);
}

/// Which columns of the log an accumulator looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogColumns {
    pub(super) value: Option<usize>,
    pub(super) flag: Option<usize>,
}

/// Goes over a chunk.
pub(super) fn go<C: Cells>(cells: &mut C, steps: &Steps, enter: &PassedRows, leave: &PassedRows, columns: LogColumns) {
    match (columns.value.is_some(), columns.flag.is_some()) {
        (false, false) => go_with::<C, false, false>(cells, steps, enter, leave, columns),
        (false, true) => go_with::<C, false, true>(cells, steps, enter, leave, columns),
        (true, false) => go_with::<C, true, false>(cells, steps, enter, leave, columns),
        (true, true) => go_with::<C, true, true>(cells, steps, enter, leave, columns),
    }
}

fn go_with<C: Cells, const VALUES: bool, const FLAGS: bool>(
    cells: &mut C,
    Steps { steps, .. }: &Steps,
    enter: &PassedRows,
    leave: &PassedRows,
    columns: LogColumns,
) {
    // By the kind of step. A row that asks alone has no value.
    let of_kinds = |column: usize| [&leave.values[column][..], &[0], &enter.values[column], &enter.values[column]];
    let values = columns.value.map_or([&[][..]; 4], of_kinds);
    let of_kinds = |column: usize| [&leave.flags[column][..], &[1], &enter.flags[column], &enter.flags[column]];
    let flags = columns.flag.map_or([&[][..]; 4], of_kinds);
    let firsts = [leave.first, 0, enter.first, enter.first];
    let value = |step: &Step| if VALUES { values[step.kind as usize][step.at as usize] } else { 0 };
    for (index, step) in steps.iter().enumerate() {
        if let Some(soon) = steps.get(index + AHEAD) {
            cells.prefetch(soon.key, || value(soon));
        }
        let counts = !FLAGS || flags[step.kind as usize][step.at as usize] != 0;
        cells.step(*step, value(step), firsts[step.kind as usize] + u64::from(step.at), counts);
    }
}
