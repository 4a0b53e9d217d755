//! What became of a stream's rows, readable while the job runs.

use crate::standing::PartitionStanding;
use dataflow::{EventTime, Fate, Fates};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The counters of one stream; its reader writes them, anyone reads them at any time.
#[derive(Debug)]
pub struct StreamStats {
    /// The stream's name.
    pub name: String,
    /// How many rows the files of its history have.
    pub history_total: u64,
    /// Whether its history has rows, none of which says when it arrived, so that none can be late.
    pub history_lacks_arrival: bool,
    pub(crate) history_rows: AtomicU64,
    pub(crate) live_rows: AtomicU64,
    pub(crate) late_moved: AtomicU64,
    pub(crate) late_dropped: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) bad: AtomicU64,
    pub(crate) first_bad: OnceLock<String>,
    pub(crate) dead_lettered: AtomicU64,
    pub(crate) joined: AtomicU64,
    pub(crate) held_bytes: AtomicU64,
    pub(crate) held_bytes_peak: AtomicU64,
    pub(crate) spilled_bytes: AtomicU64,
    // One per reader; MAX for one that holds nobody back.
    watermarks: Vec<AtomicI64>,
    // How many readers have rows of history still to be given out, once the first has begun.
    history_readers: AtomicU64,
    history_begun: AtomicBool,
    standings: Mutex<BTreeMap<u32, PartitionStanding>>,
}

/// What the counters of a stream showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Rows given out from history.
    pub history_rows: u64,
    /// Rows given out from the topic.
    pub live_rows: u64,
    /// Rows that were late and moved; they are among those given out.
    pub late_moved: u64,
    /// Rows that were late and removed.
    pub late_dropped: u64,
    /// Rows that lay more than a day ahead of their arrival, and were removed.
    pub quarantined: u64,
    /// Rows that could not be decoded or had no event time, and were removed.
    pub bad: u64,
    /// Rows that were bad or lay more than a day ahead, and left as dead letters; they are not among those.
    pub dead_lettered: u64,
    /// Rows at or before a watermark already given, and were moved to just after it; they are among those given out.
    pub joined: u64,
    /// Bytes of history rows in memory now.
    pub history_held_bytes: u64,
    /// The most bytes of history rows that were in memory at once.
    pub history_held_bytes_peak: u64,
    /// Bytes of history rows written to temporary files.
    pub spilled_bytes: u64,
    /// No row at or before this comes later.
    pub watermark: EventTime,
    /// Whether there are rows of history still to be given out.
    pub in_history: bool,
}

impl StreamStats {
    pub(crate) fn new(name: &str, history_total: u64, readers: usize) -> StreamStats {
        let zero = || AtomicU64::new(0);
        StreamStats {
            name: name.to_owned(),
            history_total,
            history_lacks_arrival: false,
            history_rows: zero(),
            live_rows: zero(),
            late_moved: zero(),
            late_dropped: zero(),
            quarantined: zero(),
            bad: zero(),
            first_bad: OnceLock::new(),
            dead_lettered: zero(),
            joined: zero(),
            held_bytes: zero(),
            held_bytes_peak: zero(),
            spilled_bytes: zero(),
            watermarks: (0..readers).map(|_| AtomicI64::new(i64::MAX)).collect(),
            history_readers: zero(),
            history_begun: AtomicBool::new(false),
            standings: Mutex::default(),
        }
    }

    /// The same for a stream of whose history rows may say when they arrived, or none does.
    pub(crate) fn of_history(self, lacks_arrival: bool) -> StreamStats {
        StreamStats { history_lacks_arrival: lacks_arrival, ..self }
    }

    /// A row that a reader removed as bad, with its place and the reason: the first of one of the readers.
    pub fn first_bad(&self) -> Option<&str> {
        self.first_bad.get().map(String::as_str)
    }

    /// The counters now.
    pub fn counts(&self) -> Counts {
        Counts {
            history_rows: self.history_rows.load(Relaxed),
            live_rows: self.live_rows.load(Relaxed),
            late_moved: self.late_moved.load(Relaxed),
            late_dropped: self.late_dropped.load(Relaxed),
            quarantined: self.quarantined.load(Relaxed),
            bad: self.bad.load(Relaxed),
            dead_lettered: self.dead_lettered.load(Relaxed),
            joined: self.joined.load(Relaxed),
            history_held_bytes: self.held_bytes.load(Relaxed),
            history_held_bytes_peak: self.held_bytes_peak.load(Relaxed),
            spilled_bytes: self.spilled_bytes.load(Relaxed),
            watermark: EventTime(self.watermarks.iter().map(|at| at.load(Relaxed)).min().unwrap_or(i64::MIN)),
            in_history: match self.history_begun.load(Relaxed) {
                true => self.history_readers.load(Relaxed) > 0,
                false => self.history_total > 0,
            },
        }
    }

    /// How the partitions of its topic stand, in their sequence; those that a reader has looked at.
    pub fn standings(&self) -> Vec<PartitionStanding> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A reader says how its partitions stand.
    pub(crate) fn stand(&self, standings: impl Iterator<Item = PartitionStanding>) {
        let mut all = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(standings.map(|standing| (standing.partition, standing)));
    }

    /// Counts rows that a reader has removed.
    pub(crate) fn count_removed(&self, fates: &Fates) {
        let counters = [
            (Fate::LateDropped, &self.late_dropped),
            (Fate::Quarantined, &self.quarantined),
            (Fate::Bad, &self.bad),
            (Fate::DeadLettered, &self.dead_lettered),
        ];
        for (fate, counter) in counters {
            counter.fetch_add(u64::try_from(fates.of(fate)).unwrap_or(0), Relaxed);
        }
    }

    /// A reader says where it stands; `None` when it holds nobody back.
    pub(crate) fn set_watermark(&self, reader: usize, watermark: Option<EventTime>) {
        if let Some(at) = self.watermarks.get(reader) {
            at.store(watermark.unwrap_or(EventTime::MAX).0, Relaxed);
        }
    }

    /// A reader has rows of history to give out, or has come to their end.
    pub(crate) fn set_in_history(&self, begins: bool) {
        if begins {
            self.history_readers.fetch_add(1, Relaxed);
        } else {
            self.history_readers.fetch_sub(1, Relaxed);
        }
        self.history_begun.store(true, Relaxed);
    }

    /// A reader has so many bytes of history in memory where it had others.
    pub(crate) fn change_held_bytes(&self, from: usize, to: usize) {
        if to >= from {
            let added = (to - from) as u64;
            let bytes = self.held_bytes.fetch_add(added, Relaxed) + added;
            self.held_bytes_peak.fetch_max(bytes, Relaxed);
        } else {
            self.held_bytes.fetch_sub((from - to) as u64, Relaxed);
        }
    }
}
