//! What the splits of streams give out: batches and watermarks, cut by barriers.

use super::dice::Dice;
use crate::harness::{Row, batch, schema};
use dataflow::{Batch, EventTime};

/// What a sender sends.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Rows(Batch),
    Watermark(Option<EventTime>),
}

/// What one sender sends between two barriers.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// The worker that it is on.
    pub(super) worker: usize,
    /// It is present when the barrier has passed.
    pub(super) is_present: bool,
    pub(super) events: Vec<Event>,
}

/// A partition of a stream.
#[derive(Clone, Debug)]
pub(super) struct Split {
    /// Its rows as they arrive.
    pub(super) rows: Vec<Row>,
    /// How many barriers pass before it shows a row; `None`: it never does.
    pub(super) joins: Option<usize>,
}

/// A run as far as the hosts choose it.
pub(super) struct Timeline {
    /// Per barrier the time that no watermark before it is above.
    pub(super) levels: Vec<i64>,
    /// The workers between the barriers: one more than levels.
    pub(super) workers: Vec<usize>,
}

impl Timeline {
    pub(super) fn new(dice: &mut Dice) -> Timeline {
        let mut levels: Vec<i64> = (0..dice.below(4)).map(|_| dice.between(-20, 50)).collect();
        levels.sort_unstable();
        let workers = (0..=levels.len()).map(|_| 1 + dice.below(2)).collect();
        Timeline { levels, workers }
    }
}

/// One or two splits of a stream. A split that joins at a barrier has rows above its level alone.
pub(super) fn splits(dice: &mut Dice, stream: usize, rows: &[Row], timeline: &Timeline) -> Vec<Split> {
    let count = 1 + dice.below(2);
    let mut splits = vec![Split { rows: vec![], joins: None }; count];
    for split in &mut splits {
        split.joins = match dice.below(10) {
            0 => None,
            1..=3 => Some(dice.below(timeline.workers.len())),
            _ => Some(0),
        };
    }
    for row in rows {
        let split = &mut splits[dice.below(count)];
        let is_open = |barriers: usize| barriers == 0 || row.time > timeline.levels[barriers - 1];
        if split.joins.is_some_and(is_open) {
            // No two rows of a job have the same order.
            split.rows.push(Row { order: row.order | (stream as u128) << 32, ..row.clone() });
        }
    }
    splits
}

/// What the splits of a stream send, per barrier and split.
pub(super) fn senders(dice: &mut Dice, splits: &[Split], timeline: &Timeline) -> Vec<Vec<Sender>> {
    let mut left: Vec<Vec<Row>> = splits.iter().map(|split| split.rows.clone()).collect();
    let mut watermarks = vec![i64::MIN; splits.len()];
    let mut by_barrier = Vec::new();
    for (passed, &workers) in timeline.workers.iter().enumerate() {
        let mut senders = Vec::new();
        for (at, split) in splits.iter().enumerate() {
            let is_present = split.joins.is_some_and(|joins| joins <= passed);
            let mut events = Vec::new();
            if is_present {
                let level = timeline.levels.get(passed).copied();
                send(dice, &mut left[at], &mut watermarks[at], level, &mut events);
            } else if passed == 0 {
                events.push(Event::Watermark(None));
            }
            // Before a stream has looked at its splits it holds everybody back.
            senders.push(Sender { worker: at % workers, is_present: is_present || passed == 0, events });
        }
        by_barrier.push(senders);
    }
    by_barrier
}

/// Some of the rows that are left, and watermarks up to a level; without one all, to the end.
fn send(dice: &mut Dice, left: &mut Vec<Row>, watermark: &mut i64, level: Option<i64>, events: &mut Vec<Event>) {
    for round in 0.. {
        let reached = match level {
            None if round == 3 => i64::MAX,
            Some(_) if round == 3 => return,
            _ => dice.between(-20, 60).min(level.unwrap_or(60)).max(*watermark),
        };
        let ahead = if dice.chance(50) { 0 } else { dice.between(0, 40) };
        let is_due = |row: &Row| row.time <= reached.saturating_add(ahead);
        let (due, later): (Vec<Row>, Vec<Row>) = left.drain(..).partition(is_due);
        *left = later;
        let mut rest = &due[..];
        while !rest.is_empty() {
            let rows = (1 + dice.below(12)).min(rest.len());
            events.push(Event::Rows(batch(&schema(), &rest[..rows])));
            rest = &rest[rows..];
        }
        *watermark = reached;
        events.push(Event::Watermark(Some(EventTime(reached))));
        if reached == i64::MAX {
            return;
        }
    }
}
