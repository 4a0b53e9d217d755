//! When a reader tells the coordinator of itself, and what it heeds before it was told anything.

use dataflow::{EventTime, ProcessingTime, ReadBounds, Report, Span};

/// How often it tells what moves nobody at once.
const STRIDE: Span = Span::millis(20);
/// How often it tells what waits for other streams, when one of them has come to what it had told: until it is told what
/// is next, a stream that is silent does not know how far to ask.
const NEXT_WAIT: Span = Span::millis(1);

/// What bounds a reader that was told nothing yet: it gives out nothing.
pub(crate) fn no_bounds() -> ReadBounds {
    ReadBounds {
        go: false,
        stops: false,
        given: EventTime::MIN,
        cap: EventTime::MIN,
        may_join: false,
        least: EventTime::MIN,
        window: Span::ZERO,
        watermarks: Vec::new(),
        due: None,
        clock: None,
        follow: None,
        meets_absent: false,
        meets_joining: false,
        furthest: EventTime::MIN,
        pace: Span::ZERO,
        end: None,
        replays: false,
        replaying: false,
    }
}

/// Keeps what was told last, and whether something may be new.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    sent: Option<Report>,
    sent_at: Option<ProcessingTime>,
    touched: bool,
    // Whether another stream has come to what waited for it.
    is_met: bool,
}

impl Reporter {
    /// Something may be new.
    pub fn touch(&mut self) {
        self.touched = true;
    }

    /// The streams that meet have come to these watermarks, in the sequence of what waits in reports.
    pub fn reached(&mut self, watermarks: &[EventTime]) {
        self.touched = true;
        let waits = self.sent.iter().flat_map(|sent| &sent.waits).zip(watermarks);
        self.is_met |= waits.into_iter().any(|(wait, watermark)| wait.is_some_and(|wait| wait <= *watermark));
    }

    /// What asks for a checkpoint next asks for another one.
    pub fn forget_question(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.joins = false;
        }
    }

    /// Whether to tell now: what may move others is told at once, as is every move of a reader that has given out
    /// everything, which makes few; everything else once per stride.
    pub fn is_due(&self, report: &Report, least: EventTime, now: ProcessingTime) -> bool {
        let (Some(sent), Some(sent_at)) = (&self.sent, self.sent_at) else { return true };
        let moved = report.watermark != sent.watermark;
        let presence = report.watermark.is_some() != sent.watermark.is_some();
        let is_least = sent.watermark.is_some_and(|watermark| watermark <= least);
        let turned = report.splits != sent.splits
            || report.joins != sent.joins
            || report.finished != sent.finished
            || report.awaits_replay != sent.awaits_replay;
        presence
            || turned
            || (moved && (is_least || report.finished))
            || (self.touched && is_over(sent_at, self.stride(), now))
    }

    /// The report, unless it was told already.
    pub fn send(&mut self, report: Report, now: ProcessingTime) -> Option<Report> {
        (self.touched, self.is_met) = (false, false);
        if self.sent.as_ref() == Some(&report) {
            return None;
        }
        (self.sent, self.sent_at) = (Some(report.clone()), Some(now));
        Some(report)
    }

    /// Whether something may be left to tell.
    pub fn is_pending(&self) -> bool {
        self.touched
    }

    /// When what may be left is told.
    pub fn until(&self) -> Option<ProcessingTime> {
        self.sent_at.filter(|_| self.touched).map(|at| at.plus(self.stride()))
    }

    fn stride(&self) -> Span {
        if self.is_met { NEXT_WAIT } else { STRIDE }
    }
}

/// Whether a stride has passed; so has it when the clock was set back.
fn is_over(sent_at: ProcessingTime, stride: Span, now: ProcessingTime) -> bool {
    now >= sent_at.plus(stride) || now < sent_at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(watermark: i64) -> Report {
        let watermark = Some(EventTime(watermark));
        Report { watermark, splits: 1, waits: vec![], clock: None, joins: false, finished: false, awaits_replay: false }
    }

    #[test]
    fn what_moves_nobody_is_told_once_per_stride_also_when_the_clock_is_set_back() {
        let (mut reporter, least) = (Reporter::default(), EventTime(0));
        let start = ProcessingTime(3_600_000_000);
        assert!(reporter.is_due(&report(5), least, start));
        reporter.send(report(5), start);
        reporter.touch();
        assert!(!reporter.is_due(&report(6), least, start.plus(Span(STRIDE.0 - 1))));
        assert!(reporter.is_due(&report(6), least, start.plus(STRIDE)));
        assert!(reporter.is_due(&report(6), least, ProcessingTime(0)));
    }

    #[test]
    fn what_waits_is_told_soon_where_another_stream_has_come_to_it() {
        let (mut reporter, least) = (Reporter::default(), EventTime(0));
        let (start, soon) = (ProcessingTime(3_600_000_000), ProcessingTime(3_600_000_000).plus(NEXT_WAIT));
        let waits = |wait| Report { waits: vec![None, Some(EventTime(wait))], ..report(5) };
        reporter.send(waits(7), start);
        reporter.reached(&[EventTime(9), EventTime(6)]);
        assert!(!reporter.is_due(&report(5), least, soon));
        reporter.reached(&[EventTime(9), EventTime(7)]);
        assert_eq!(reporter.until(), Some(soon));
        assert!(reporter.is_due(&report(5), least, soon));
        reporter.send(waits(8), soon);
        reporter.touch();
        assert!(!reporter.is_due(&report(5), least, soon.plus(NEXT_WAIT)));
    }
}
