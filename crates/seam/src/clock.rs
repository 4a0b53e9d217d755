//! The partition's clock: what gives a row its time, as a function of the partition's log alone.

use crate::StreamSpec;
use dataflow::{EventTime, ProcessingTime, Quiet, Span};

/// The greatest event time that a partition has shown so far, never past its arrival, which runs on through silence.
///
/// Whoever reads the same log from its beginning, or goes on with the clock that another reader kept, gives every row
/// the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionClock {
    delay: Span,
    quiet: Quiet,
    clock: Option<EventTime>,
    // The arrival of the row before; it never goes back.
    arrival: Option<ProcessingTime>,
}

/// Where a row lies in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// At its own time.
    OnTime(EventTime),
    /// It is late; this is the earliest moment still open.
    Late(EventTime),
    /// Its partition joined a stream that had given a watermark already.
    Joined {
        /// The earliest moment still open.
        time: EventTime,
        /// Whether it would be late without that.
        late: bool,
    },
    /// Its event time lies more than a day ahead of its arrival: nonsense.
    Quarantined,
}

impl PartitionClock {
    /// The clock of a partition that has shown nothing yet.
    pub fn new(spec: &StreamSpec) -> Self {
        PartitionClock { delay: spec.delay, quiet: spec.quiet, clock: None, arrival: None }
    }

    /// The clock of a partition that was read so far.
    pub fn resume(spec: &StreamSpec, clock: Option<EventTime>, arrival: Option<ProcessingTime>) -> Self {
        PartitionClock { clock, arrival, ..PartitionClock::new(spec) }
    }

    /// The clock as of the last row; `None` until a row has moved it.
    pub fn clock(&self) -> Option<EventTime> {
        self.clock
    }

    /// The arrival of the last row.
    pub fn arrival(&self) -> Option<ProcessingTime> {
        self.arrival
    }

    /// The clock at an arrival, before the row that arrived: run on through silence, never past the arrival itself.
    pub fn at(&self, arrival: ProcessingTime) -> Option<EventTime> {
        let clock = self.clock?;
        let (Quiet::After(quiet), Some(before)) = (self.quiet, self.arrival) else {
            return Some(clock);
        };
        let silence = arrival.0.saturating_sub(before.0).saturating_sub(quiet.0);
        let run_on = clock.plus(Span(silence)).0.min(arrival.0.saturating_sub(quiet.0));
        Some(clock.max(EventTime(run_on)))
    }

    /// Places the next row and moves on by it.
    pub fn row(&mut self, event: EventTime, arrival: ProcessingTime) -> Placed {
        let clock = self.arrive(arrival);
        let placed = place(event, arrival, clock, self.delay);
        if placed != Placed::Quarantined {
            let ahead_of_nobody = EventTime(event.0.min(arrival.0));
            self.clock = Some(clock.map_or(ahead_of_nobody, |clock| clock.max(ahead_of_nobody)));
        }
        placed
    }

    /// Takes note of an arrival that has no event time; gives the clock as it was then.
    pub fn arrive(&mut self, arrival: ProcessingTime) -> Option<EventTime> {
        self.clock = self.at(arrival);
        self.arrival = Some(self.arrival.map_or(arrival, |before| before.max(arrival)));
        self.clock
    }

    /// The least time up to which the partition has to be drained for its watermark to be at or after a time; `None`
    /// when silence does not move it there.
    pub fn drained_for(&self, watermark: EventTime) -> Option<ProcessingTime> {
        let (clock, before) = (self.clock?, self.arrival?);
        let wanted = watermark.plus(self.delay).plus(Span(1));
        let Quiet::After(quiet) = self.quiet else { return None };
        let silence = before.0.saturating_add(wanted.0.saturating_sub(clock.0)).saturating_add(quiet.0);
        Some(ProcessingTime(silence.max(wanted.0.saturating_add(quiet.0))))
    }

    /// No row at or before this comes later in this partition.
    pub fn watermark(&self) -> Option<EventTime> {
        self.clock.map(|clock| clock.minus(self.delay).before())
    }

    /// The watermark when everything that arrived up to a time has been read.
    pub fn watermark_drained(&self, drained_to: ProcessingTime) -> Option<EventTime> {
        self.at(drained_to).map(|clock| clock.minus(self.delay).before())
    }
}

/// Whether an event time lies more than a day ahead of its arrival.
pub(crate) fn is_nonsense(event: EventTime, arrival: ProcessingTime) -> bool {
    event.0 > arrival.plus(Span::DAY).0
}

/// The place of a row by the clock that its partition had when it arrived: the one rule of history and live.
pub(crate) fn place(event: EventTime, arrival: ProcessingTime, clock: Option<EventTime>, delay: Span) -> Placed {
    if is_nonsense(event, arrival) {
        return Placed::Quarantined;
    }
    match clock.map(|clock| clock.minus(delay)) {
        Some(open) if event < open => Placed::Late(open),
        _ => Placed::OnTime(event),
    }
}
