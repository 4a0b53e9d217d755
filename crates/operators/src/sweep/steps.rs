//! What happens to a frame in a chunk, as one sequence that every accumulator of the frame follows.
//!
//! How many rows enter and leave at a moment is anyone's guess, so loops over them, one after the other for each
//! accumulator, would mostly wait for the processor to find out. Along one sequence there is nothing to guess, and the
//! sequence itself is merged without a branch.

use super::chunk::{PassedRows, Probes};
use std::hint::select_unpredictable;

/// What becomes of a row, or of the frame of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepKind {
    /// A row leaves the frame of its key.
    Leave = 0,
    /// A row of a key asks what the frame holds.
    Read = 1,
    /// A row enters the frame of its key.
    Enter = 2,
    /// A row enters the frame of its key, and asks: the usual step of a window, where few rows share a moment.
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

/// One step of a frame: a key, which of the rows that the bound passed (0 for a row that asks alone), and what becomes of
/// it. It is one word, so that steps are chosen and moved as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step(u64);

/// A step tells keys below this. So many would take more than 100 GiB in one worker.
pub(super) const KEYS_MAX: usize = 1 << 30;

impl Step {
    #[inline(always)]
    fn new(key: u32, at: usize, kind: StepKind) -> Step {
        Step(u64::from(key) << 34 | (kind as u64) << 32 | u64::from(at as u32))
    }

    #[inline(always)]
    pub(super) fn key(self) -> u32 {
        (self.0 >> 34) as u32
    }

    #[inline(always)]
    pub(super) fn at(self) -> u32 {
        self.0 as u32
    }

    #[inline(always)]
    pub(super) fn kind(self) -> StepKind {
        match (self.0 >> 32) & 3 {
            0 => StepKind::Leave,
            1 => StepKind::Read,
            2 => StepKind::Enter,
            _ => StepKind::EnterAndRead,
        }
    }
}

/// Room for more steps than this is given back: after state was restored, a cursor passes all of it at once.
const STEPS_KEPT: usize = 1 << 17;

/// The rows that enter at a bound and the rows that ask, in order: what the frames that begin there have in common.
#[derive(Debug, Default)]
pub(super) struct Entrances {
    // Invariant: once set, as many as `leaving`; the last one is no step, and what is left leaves before it.
    steps: Vec<Step>,
    // The moment up to which rows leave before the step; `NONE_LEAVES` where none does. They leave before the first row
    // that asks in a moment, after those that enter, since a frame that ends before the row may pass one in the same
    // moment.
    leaving: Vec<i64>,
    reads: usize,
}

const NO_STEP: Step = Step((StepKind::Read as u64) << 32);

/// No row has this time.
const NONE_LEAVES: i64 = i64::MIN;

impl Entrances {
    /// Sets them for rows that ask, which are so many moments, and have these keys. A key that is not below `ids` reads
    /// the cell `ids`, which stays empty.
    pub(super) fn set(&mut self, probes: &Probes, keys: &[u32], ids: u32, enter: &PassedRows, limit: i64) {
        if self.steps.capacity() > STEPS_KEPT {
            (self.steps, self.leaving) = (Vec::new(), Vec::new());
        }
        self.steps.clear();
        self.leaving.clear();
        self.reads = keys.len();
        let (mut entered, mut asked) = (0, 0);
        for (&time, &end) in probes.times.iter().zip(&probes.ends) {
            let (asking, until) = (&keys[asked..end as usize], time.saturating_add(limit));
            asked = end as usize;
            let first = entered;
            while entered < enter.times.len() && enter.times[entered] <= until {
                entered += 1;
            }
            // A row that has just come this far has not left, however short the frame is.
            if let ([key], [entering]) = (asking, &enter.keys[first..entered])
                && key == entering
                && enter.times[first] == until
            {
                self.steps.push(Step::new(*key, first, StepKind::EnterAndRead));
                self.leaving.push(time);
                continue;
            }
            for (&key, at) in enter.keys[first..entered].iter().zip(first..) {
                self.steps.push(Step::new(key, at, StepKind::Enter));
                self.leaving.push(NONE_LEAVES);
            }
            for &key in asking {
                self.steps.push(Step::new(key.min(ids), 0, StepKind::Read));
                self.leaving.push(time);
            }
        }
        self.steps.push(NO_STEP);
        self.leaving.push(probes.times.last().copied().unwrap_or(NONE_LEAVES));
    }

    pub(super) fn size(&self) -> usize {
        self.steps.capacity() * size_of::<Step>() + self.leaving.capacity() * size_of::<i64>()
    }
}

/// The steps of a frame during a chunk, in order of time.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    /// How many of them are reads.
    pub(super) reads: usize,
}

impl Steps {
    /// Puts the rows that leave between the entrances. All of them leave by the last moment.
    pub(super) fn set(&mut self, entrances: &Entrances, leave: &PassedRows, limit: i64) {
        if self.steps.capacity() > STEPS_KEPT {
            self.steps = Vec::new();
        }
        self.reads = entrances.reads;
        let (rows, last_entrance) = (leave.keys.len(), entrances.steps.len() - 1);
        self.steps.resize(last_entrance + rows, NO_STEP);
        if rows == 0 {
            self.steps.copy_from_slice(&entrances.steps[..last_entrance]);
            return;
        }
        let (times, keys, last_row) = (&leave.times[..rows], &leave.keys[..rows], rows - 1);
        let until = |at: usize| match entrances.leaving[at.min(last_entrance)] {
            NONE_LEAVES => NONE_LEAVES,
            time => time.saturating_add(limit),
        };
        let (mut entered, mut left) = (0, 0);
        // The times that are compared next are read a step before they are needed: both that may be.
        let (mut leaving, mut open_until) = (times[0], until(0));
        for step in &mut self.steps {
            let at = left.min(last_row);
            let leaves = (left < rows) & (leaving <= open_until);
            let (next_leaving, next_until) = (times[(left + 1).min(last_row)], until(entered + 1));
            let leave = Step::new(keys[at], at, StepKind::Leave);
            *step = select_unpredictable(leaves, leave, entrances.steps[entered]);
            leaving = select_unpredictable(leaves, next_leaving, leaving);
            open_until = select_unpredictable(leaves, open_until, next_until);
            left += usize::from(leaves);
            entered += usize::from(!leaves);
        }
    }

    pub(super) fn size(&self) -> usize {
        self.steps.capacity() * size_of::<Step>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn passed(times: &[i64]) -> PassedRows {
        let keys = times.iter().map(|&time| (time % 3) as u32).collect();
        PassedRows { times: times.to_vec(), keys, ..PassedRows::default() }
    }

    /// Per moment: rows enter, rows leave, rows are read.
    fn naive(asking: &[(i64, u32)], enter: &PassedRows, enter_limit: i64, leave: &PassedRows, limit: i64) -> Vec<Step> {
        let (mut steps, mut entered, mut left) = (Vec::new(), 0, 0);
        for moment in asking.chunk_by(|one, other| one.0 == other.0) {
            let time = moment[0].0;
            while entered < enter.times.len() && enter.times[entered] <= time + enter_limit {
                steps.push(Step::new(enter.keys[entered], entered, StepKind::Enter));
                entered += 1;
            }
            while left < leave.times.len() && leave.times[left] <= time + limit {
                steps.push(Step::new(leave.keys[left], left, StepKind::Leave));
                left += 1;
            }
            steps.extend(moment.iter().map(|&(_, key)| Step::new(key.min(3), 0, StepKind::Read)));
        }
        steps
    }

    /// What each read sees of its key, and that no row leaves before it has entered.
    fn reads(steps: &[Step]) -> Vec<i64> {
        let (mut counts, mut read) = ([0_i64; 4], Vec::new());
        for step in steps {
            counts[step.key() as usize] += i64::from(step.kind().sign());
            assert!(counts[step.key() as usize] >= 0, "a row leaves that has not entered: {steps:?}");
            if step.kind().is_read() {
                read.push(counts[step.key() as usize]);
            }
        }
        read
    }

    proptest! {
        #[test]
        fn reads_see_what_they_see_moment_by_moment(
            mut times in proptest::collection::vec(0_i64..40, 0..60),
            mut others in proptest::collection::vec((0_i64..40, 0_u32..5), 0..60),
            is_window in any::<bool>(), from in 0_i64..30, to in 0_i64..10,
        ) {
            times.sort_unstable();
            others.sort_unstable();
            // The rows of a window ask themselves; the frame goes from `t - from` to `t - to`.
            let own: Vec<(i64, u32)> = times.iter().map(|&time| (time, (time % 3) as u32)).collect();
            let asking = if is_window { own } else { others };
            let (enter_limit, leave_limit) = (-to, -from.max(to) - 1);
            let until = |limit: i64| asking.last().map_or(i64::MIN, |last| last.0 + limit);
            let upto = |limit: i64| passed(&times[..times.partition_point(|&time| time <= until(limit))]);
            let (enter, leave) = (upto(enter_limit), upto(leave_limit));
            let mut probes = Probes::default();
            probes.set(&asking.iter().map(|asking| asking.0).collect::<Vec<_>>());
            let keys: Vec<u32> = asking.iter().map(|asking| asking.1).collect();
            let (mut entrances, mut steps) = (Entrances::default(), Steps::default());
            entrances.set(&probes, &keys, 3, &enter, enter_limit);
            steps.set(&entrances, &leave, leave_limit);
            let expected = reads(&naive(&asking, &enter, enter_limit, &leave, leave_limit));
            prop_assert_eq!(steps.reads, expected.len());
            prop_assert_eq!(reads(&steps.steps), expected);
            let left = steps.steps.iter().filter(|step| step.kind() == StepKind::Leave).count();
            prop_assert_eq!(left, leave.keys.len());
        }
    }
}
