//! When a reader tells the coordinator of itself.

use dataflow::{EventTime, ProcessingTime, Report, Span};

/// How often it tells what moves nobody at once.
const STRIDE: Span = Span::millis(20);

/// Keeps what was told last, and whether something may be new.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    sent: Option<Report>,
    sent_at: Option<ProcessingTime>,
    touched: bool,
}

impl Reporter {
    /// Something may be new.
    pub fn touch(&mut self) {
        self.touched = true;
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
        let turned = report.splits != sent.splits || report.joins != sent.joins || report.finished != sent.finished;
        presence || turned || (moved && (is_least || report.finished)) || (self.touched && now >= sent_at.plus(STRIDE))
    }

    /// The report, unless it was told already.
    pub fn send(&mut self, report: Report, now: ProcessingTime) -> Option<Report> {
        self.touched = false;
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
        self.sent_at.filter(|_| self.touched).map(|at| at.plus(STRIDE))
    }
}
