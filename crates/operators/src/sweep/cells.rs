//! How one accumulator goes over a chunk: rows enter its frame, rows leave it, and it is read for each row that asks.

use super::chunk::PassedRows;
use super::steps::{Step, Steps};

/// How many steps before it is needed a cell is asked for.
const AHEAD: usize = 64;

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
    // Mostly all rows count: then no row has to be looked at for that.
    let is_flagged = |column: usize| enter.flags[column].contains(&0) || leave.flags[column].contains(&0);
    match (columns.value.is_some(), columns.flag.is_some_and(is_flagged)) {
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
    let value = |step: &Step| if VALUES { values[step.kind() as usize][step.at() as usize] } else { 0 };
    for (index, step) in steps.iter().enumerate() {
        if let Some(soon) = steps.get(index + AHEAD) {
            cells.prefetch(soon.key(), || value(soon));
        }
        let counts = !FLAGS || flags[step.kind() as usize][step.at() as usize] != 0;
        cells.step(*step, value(step), firsts[step.kind() as usize] + u64::from(step.at()), counts);
    }
}
