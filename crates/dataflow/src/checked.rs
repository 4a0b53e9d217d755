//! Asserts the cheap parts of the operator contract around any operator, in every build.

use crate::{Batch, Context, EventTime, Frozen, Input, Operator, Port, Progress, Result, StateReader};
use std::sync::Arc;

/// An operator whose rows are checked: none at or before the watermark goes in or comes out.
///
/// A violation is a bug of ours that would give wrong rows silently, so it panics; the host turns that into an
/// `Internal` error that names the step.
pub struct Checked {
    inner: Box<dyn Operator>,
    name: String,
    // Invariant: never goes back; everything at or before it has been released.
    watermark: EventTime,
}

impl Checked {
    /// Wraps an operator; the name is the one of its node.
    pub fn new(inner: Box<dyn Operator>, name: impl Into<String>) -> Self {
        Checked { inner, name: name.into(), watermark: EventTime::MIN }
    }

    fn check_emitted(&self, seen: usize, cx: &Context) {
        for (port, batch) in &cx.emitted()[seen..] {
            if *port == Port::MAIN {
                assert_ahead(&self.name, "put out", batch, self.watermark);
            }
        }
    }
}

fn assert_ahead(name: &str, verb: &str, batch: &Batch, watermark: EventTime) {
    let least = batch.times().iter().copied().min().unwrap_or(i64::MAX);
    assert!(
        watermark == EventTime::MIN || EventTime(least) > watermark || batch.rows() == 0,
        "step {name} {verb} a row at {}, which is not after the watermark {watermark}",
        EventTime(least)
    );
}

impl Operator for Checked {
    fn process(&mut self, input: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        assert_ahead(&self.name, "got", batch, self.watermark);
        assert!(batch.rows() <= cx.room(), "step {} got {} rows with room for {}", self.name, batch.rows(), cx.room());
        let seen = cx.emitted().len();
        let progress = self.inner.process(input, batch, cx)?;
        self.check_emitted(seen, cx);
        Ok(progress)
    }

    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        assert!(watermark >= self.watermark, "step {}: the watermark went back", self.name);
        let seen = cx.emitted().len();
        let progress = self.inner.advance(watermark, cx)?;
        self.check_emitted(seen, cx);
        if progress == Progress::Done {
            self.watermark = watermark;
        }
        Ok(progress)
    }

    fn next_due(&self, above: EventTime) -> Option<EventTime> {
        self.inner.next_due(above)
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        self.inner.freeze()
    }

    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()> {
        self.inner.restore(state, cx)
    }
}
