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

/// One step of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) key: u32,
    /// Which of the rows that the bound passed; 0 for a row that asks alone.
    pub(super) at: u32,
    pub(super) kind: StepKind,
}

const NO_STEP: Step = Step { key: 0, at: 0, kind: StepKind::Read };

/// Room for more steps than this is given back: after state was restored, a cursor passes all of it at once.
const STEPS_KEPT: usize = 1 << 17;

/// The rows that enter at a bound and the rows that ask, in order: what the frames that begin there have in common.
#[derive(Debug, Default)]
pub(super) struct Entrances {
    // Invariant: once set, the last one is no step, and lets those leave that are left.
    entrances: Vec<Entrance>,
    reads: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entrance {
    /// The moment at which the row asks.
    time: i64,
    step: Step,
    /// Rows leave before it, up to its moment: before the first row that asks in a moment, after those that enter, since
    /// a frame that ends before the row may pass one in the same moment.
    lets_leave: bool,
}

impl Entrances {
    /// Sets them for rows that ask, which are so many moments, and have these keys. A key that is not below `ids` reads
    /// the cell `ids`, which stays empty.
    pub(super) fn set(&mut self, probes: &Probes, keys: &[u32], ids: u32, enter: &PassedRows, limit: i64) {
        if self.entrances.capacity() > STEPS_KEPT {
            self.entrances = Vec::new();
        }
        self.entrances.clear();
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
                let step = Step { key: *key, at: first as u32, kind: StepKind::EnterAndRead };
                self.entrances.push(Entrance { time, step, lets_leave: true });
                continue;
            }
            for (&key, at) in enter.keys[first..entered].iter().zip(first as u32..) {
                let step = Step { key, at, kind: StepKind::Enter };
                self.entrances.push(Entrance { time, step, lets_leave: false });
            }
            for &key in asking {
                let step = Step { key: key.min(ids), at: 0, kind: StepKind::Read };
                self.entrances.push(Entrance { time, step, lets_leave: true });
            }
        }
        let time = probes.times.last().copied().unwrap_or(i64::MIN);
        self.entrances.push(Entrance { time, step: NO_STEP, lets_leave: true });
    }

    pub(super) fn size(&self) -> usize {
        self.entrances.capacity() * size_of::<Entrance>()
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
    pub(super) fn set(&mut self, Entrances { entrances, reads }: &Entrances, leave: &PassedRows, limit: i64) {
        if self.steps.capacity() > STEPS_KEPT {
            self.steps = Vec::new();
        }
        self.reads = *reads;
        self.steps.resize(entrances.len() - 1 + leave.keys.len(), NO_STEP);
        if leave.keys.is_empty() {
            self.steps.iter_mut().zip(entrances).for_each(|(step, entrance)| *step = entrance.step);
            return;
        }
        let (rows, last_row, last_entrance) = (leave.keys.len(), leave.keys.len() - 1, entrances.len() - 1);
        let until = |at: usize| match &entrances[at.min(last_entrance)] {
            Entrance { time, lets_leave: true, .. } => time.saturating_add(limit),
            Entrance { lets_leave: false, .. } => i64::MIN,
        };
        let (mut entered, mut left) = (0, 0);
        // The times that are compared next are read a step before they are needed: both that may be.
        let (mut leaving, mut open_until) = (leave.times[0], until(0));
        for step in &mut self.steps {
            let (entrance, at) = (&entrances[entered].step, left.min(last_row));
            let leaves = (left < rows) & (leaving <= open_until);
            let (next_leaving, next_until) = (leave.times[(left + 1).min(last_row)], until(entered + 1));
            *step = Step {
                key: select_unpredictable(leaves, leave.keys[at], entrance.key),
                at: select_unpredictable(leaves, at as u32, entrance.at),
                kind: select_unpredictable(leaves, StepKind::Leave, entrance.kind),
            };
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
                steps.push(Step { key: enter.keys[entered], at: entered as u32, kind: StepKind::Enter });
                entered += 1;
            }
            while left < leave.times.len() && leave.times[left] <= time + limit {
                steps.push(Step { key: leave.keys[left], at: left as u32, kind: StepKind::Leave });
                left += 1;
            }
            steps.extend(moment.iter().map(|&(_, key)| Step { key: key.min(3), at: 0, kind: StepKind::Read }));
        }
        steps
    }

    /// What each read sees of its key, and that no row leaves before it has entered.
    fn reads(steps: &[Step]) -> Vec<i64> {
        let (mut counts, mut read) = ([0_i64; 4], Vec::new());
        for step in steps {
            counts[step.key as usize] += i64::from(step.kind.sign());
            assert!(counts[step.key as usize] >= 0, "a row leaves that has not entered: {steps:?}");
            if step.kind.is_read() {
                read.push(counts[step.key as usize]);
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
            let left = steps.steps.iter().filter(|step| step.kind == StepKind::Leave).count();
            prop_assert_eq!(left, leave.keys.len());
        }
    }
}
