//! How one accumulator goes over a chunk: rows enter its frame, rows leave it, and it is read for each row that asks.

use state::NO_KEY;

/// The rows that a bound passes during a chunk.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// The number of the first of them in the log.
    pub(super) first: u64,
    pub(super) times: Vec<i64>,
    pub(super) keys: Vec<u32>,
    // By column of the log; empty where no accumulator of the bound needs it.
    pub(super) values: Vec<Vec<u64>>,
    pub(super) flags: Vec<Vec<u8>>,
    /// For each moment of the chunk, how many of them it has passed by then.
    pub(super) ends: Vec<u32>,
}

/// Room for more rows than this is given back: after state was restored, a cursor passes all of it at once.
const PASSED_ROWS_KEPT: usize = 1 << 16;

impl Passed {
    pub(super) fn clear(&mut self) {
        if self.keys.capacity() > PASSED_ROWS_KEPT {
            let (values, flags) = (self.values.len(), self.flags.len());
            *self = Passed { values: vec![Vec::new(); values], flags: vec![Vec::new(); flags], ..Passed::default() };
            return;
        }
        self.times.clear();
        self.keys.clear();
        self.ends.clear();
        self.values.iter_mut().for_each(Vec::clear);
        self.flags.iter_mut().for_each(Vec::clear);
    }

    pub(super) fn size(&self) -> usize {
        let values: usize = self.values.iter().map(Vec::capacity).sum();
        let flags: usize = self.flags.iter().map(Vec::capacity).sum();
        self.times.capacity() * 8 + self.keys.capacity() * 4 + values * 8 + flags + self.ends.capacity() * 4
    }
}

/// What asks in a chunk: rows in order of time, as moments of equal time.
#[derive(Debug, Default)]
pub(super) struct Asking {
    pub(super) times: Vec<i64>,
    /// For each moment, the row behind its last one.
    pub(super) ends: Vec<u32>,
}

impl Asking {
    pub(super) fn set(&mut self, times: &[i64]) {
        self.times.clear();
        self.ends.clear();
        for (row, &time) in times.iter().enumerate() {
            if self.times.last() != Some(&time) {
                self.times.push(time);
                self.ends.push(row as u32);
            }
            if let Some(end) = self.ends.last_mut() {
                *end = row as u32 + 1;
            }
        }
    }
}

/// How many rows before it is needed a cell is asked for.
const AHEAD: usize = 8;

/// Something per key that rows are added to and taken away from.
pub(super) trait Cells {
    /// Row number `row` of the log enters the frame of its key.
    fn add(&mut self, key: u32, value: u64, row: u64);
    /// It leaves.
    fn remove(&mut self, key: u32, value: u64, row: u64);
    /// The cell of a key, and what is kept of a value, are needed soon.
    fn prefetch(&self, key: u32, value: u64);
    /// A row of a key asks; [`NO_KEY`] and keys beyond all that were added have an empty frame.
    fn read(&mut self, key: u32);
}

/// Which columns of the log an accumulator looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looks {
    pub(super) value: Option<usize>,
    pub(super) flag: Option<usize>,
}

/// Goes over a chunk.
pub(super) fn go<C: Cells>(cells: &mut C, asking: &Asking, keys: &[u32], enter: &Passed, leave: &Passed, looks: Looks) {
    match (looks.value.is_some(), looks.flag.is_some()) {
        (false, false) => go_with::<C, false, false>(cells, asking, keys, enter, leave, looks),
        (false, true) => go_with::<C, false, true>(cells, asking, keys, enter, leave, looks),
        (true, false) => go_with::<C, true, false>(cells, asking, keys, enter, leave, looks),
        (true, true) => go_with::<C, true, true>(cells, asking, keys, enter, leave, looks),
    }
}

/// The rows of a bound that one accumulator looks at, as slices of equal length.
struct Rows<'a> {
    keys: &'a [u32],
    values: &'a [u64],
    flags: &'a [u8],
    first: u64,
}

impl<'a> Rows<'a> {
    fn new(passed: &'a Passed, looks: Looks) -> Rows<'a> {
        Rows {
            keys: &passed.keys,
            values: looks.value.map_or(&[], |column| &passed.values[column]),
            flags: looks.flag.map_or(&[], |column| &passed.flags[column]),
            first: passed.first,
        }
    }

    #[inline(always)]
    fn each<C: Cells, const VALUES: bool, const FLAGS: bool>(
        &self,
        cells: &mut C,
        (from, to): (u32, u32),
        row: impl Fn(&mut C, u32, u64, u64),
    ) {
        for at in from as usize..to as usize {
            if let Some(&key) = self.keys.get(at + AHEAD) {
                cells.prefetch(key, if VALUES { self.values[at + AHEAD] } else { 0 });
            }
            if !FLAGS || self.flags[at] != 0 {
                row(cells, self.keys[at], if VALUES { self.values[at] } else { 0 }, self.first + at as u64);
            }
        }
    }
}

fn go_with<C: Cells, const VALUES: bool, const FLAGS: bool>(
    cells: &mut C,
    asking: &Asking,
    keys: &[u32],
    enter: &Passed,
    leave: &Passed,
    looks: Looks,
) {
    let (entering, leaving) = (Rows::new(enter, looks), Rows::new(leave, looks));
    let (mut entered, mut left, mut asked) = (0, 0, 0);
    for (moment, &end) in asking.ends.iter().enumerate() {
        // Rows enter before they leave: a frame that ends before the row may pass one in the same moment.
        entering.each::<C, VALUES, FLAGS>(cells, (entered, enter.ends[moment]), C::add);
        leaving.each::<C, VALUES, FLAGS>(cells, (left, leave.ends[moment]), C::remove);
        for &key in &keys[asked as usize..end as usize] {
            cells.read(key);
        }
        (entered, left, asked) = (enter.ends[moment], leave.ends[moment], end);
    }
}

/// The cell of a key; `None` for no key and for keys that were never added.
#[inline]
pub(super) fn at<T>(cells: &[T], key: u32) -> Option<&T> {
    debug_assert!(key == NO_KEY || cells.len() < NO_KEY as usize);
    cells.get(key as usize)
}
