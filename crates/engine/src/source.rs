//! A reader in its worker, and the edges that its rows leave by.

use crate::coordination::Coordination;
use crate::edge::{OutEdge, Outbox, send_rows, sent};
use crate::event::Event;
use crate::mailbox::SourceWaker;
use crate::parts::PartRows;
use dataflow::{
    Barrier, Command, Context, CoordinatorEvent, Error, EventTime, Fate, KeyGroups, Port, ProcessingTime, Reader,
    ReaderId, ReaderState, Result, Span,
};
use std::sync::Arc;

/// The shortest pause between two polls of a source that nobody has woken: what is asked for while rows wait for
/// silence to pass is asked at this rate at most.
const POLL_PAUSE: Span = Span::millis(2);

/// A reader of a stream in one worker.
pub struct Source {
    pub id: ReaderId,
    /// The source node in the job graph.
    pub node: usize,
    pub finished: bool,
    /// Whether its last checkpoint is not known to be durable: what was read may be acknowledged only then.
    pub unsettled: bool,
    name: String,
    reader: Box<dyn Reader>,
    coordination: Arc<Coordination>,
    state: ReaderState,
    polled: ProcessingTime,
    waker: Arc<SourceWaker>,
    // By port.
    edges: Vec<(Port, Vec<OutEdge>)>,
    // The watermark that was sent last; `None`: the reader is absent.
    watermark: Option<EventTime>,
    cx: Context,
}

impl Source {
    pub fn new(
        (id, node, name): (ReaderId, usize, String),
        reader: Box<dyn Reader>,
        (coordination, waker): (Arc<Coordination>, Arc<SourceWaker>),
        edges: Vec<(Port, Vec<OutEdge>)>,
    ) -> Source {
        Source {
            id,
            node,
            finished: false,
            unsettled: false,
            name,
            reader,
            coordination,
            state: ReaderState::Ready,
            polled: ProcessingTime(i64::MIN),
            waker,
            edges,
            watermark: Some(EventTime::MIN),
            cx: Context::new(KeyGroups::ALL),
        }
    }

    pub fn context(&self) -> &Context {
        &self.cx
    }

    pub fn watermark(&self) -> EventTime {
        self.watermark.unwrap_or(EventTime::MIN)
    }

    /// Whether a poll could give something, and there is room for what comes out.
    pub fn can_run(&self, now: ProcessingTime) -> bool {
        let due = self.waker.is_woken() || self.state == ReaderState::Ready;
        // Where the clock was set back a pause may seem long, and is over.
        let is_over = |until: ProcessingTime| until <= now || now < self.polled;
        !self.finished && (due || self.until().is_some_and(is_over)) && self.has_credit()
    }

    /// When a poll is due although nobody wakes the source.
    pub fn due_at(&self) -> Option<ProcessingTime> {
        // Without room for what comes out it waits for that, and is called.
        self.until().filter(|_| !self.finished && self.has_credit())
    }

    /// Has the source polled again.
    pub fn look_again(&self) {
        self.waker.look_again();
    }

    fn until(&self) -> Option<ProcessingTime> {
        if let ReaderState::Waiting { until } = self.state { until } else { None }
    }

    fn has_credit(&self) -> bool {
        self.edges.iter().flat_map(|(_, edges)| edges).all(OutEdge::has_credit)
    }

    /// Carries out a command of the coordinator.
    pub fn carry_out(&mut self, command: Command, out: &mut dyn Outbox) -> Result<()> {
        self.waker.look_again();
        let done = match command {
            Command::Assign(splits) => self.reader.add(splits),
            Command::Bounds(bounds) => {
                self.reader.bound(bounds);
                Ok(())
            }
            Command::Barrier(barrier) => self.send_barrier(barrier, out),
            Command::Durable(joined) => {
                self.unsettled = false;
                self.reader.durable(joined)
            }
        };
        done.map_err(|error| self.named(error))
    }

    fn send_barrier(&mut self, barrier: Barrier, out: &mut dyn Outbox) -> Result<()> {
        let frozen = self.reader.freeze()?;
        let event = Event::Barrier { barrier, turns_present: frozen.turns_present() };
        self.control(&event, out);
        self.finished = barrier.last;
        self.unsettled = barrier.last;
        let sent = self.edges.iter().flat_map(|(_, edges)| sent(edges)).collect();
        let rows = PartRows { sent, fates: vec![(self.node, frozen.fates)], ..PartRows::default() };
        self.coordination.keep_rows(barrier.number, rows);
        self.coordination.tell(CoordinatorEvent::ReaderFrozen(self.id, frozen))
    }

    /// Polls the reader for at most so many rows; whether anything came of it.
    pub fn poll(&mut self, rows_max: usize, now: ProcessingTime, out: &mut dyn Outbox) -> Result<bool> {
        self.poll_reader(rows_max, now, out).map_err(|error| self.named(error))
    }

    fn poll_reader(&mut self, rows_max: usize, now: ProcessingTime, out: &mut dyn Outbox) -> Result<bool> {
        // Before the poll: a call that comes while the reader looks leads to another look.
        self.waker.answer();
        self.polled = now;
        let polled = self.reader.poll(rows_max, now)?;
        self.state = match polled.state {
            ReaderState::Waiting { until: Some(until) } => {
                ReaderState::Waiting { until: Some(until.max(now.plus(POLL_PAUSE))) }
            }
            other => other,
        };
        let mut moved = false;
        let main = polled.batch.filter(|batch| batch.rows() > 0).map(|batch| (Port::MAIN, batch));
        for (port, batch) in main.into_iter().chain(polled.aside) {
            if port == Port::MAIN {
                self.cx.count(Fate::Out, batch.rows());
            }
            let Some((_, edges)) = self.edges.iter().find(|(from, _)| *from == port) else {
                let rows = batch.rows();
                return Err(Error::internal(format!("{rows} rows leave at port {}, and no edge takes them", port.0)));
            };
            send_rows(edges, batch, out)?;
            moved = true;
        }
        if polled.watermark != self.watermark {
            self.watermark = polled.watermark;
            self.control(&Event::Watermark(polled.watermark), out);
            moved = true;
        }
        if let Some(report) = polled.report {
            self.coordination.tell(CoordinatorEvent::Report(self.id, report))?;
            moved = true;
        }
        Ok(moved)
    }

    fn control(&self, event: &Event, out: &mut dyn Outbox) {
        self.edges.iter().flat_map(|(_, edges)| edges).for_each(|edge| edge.control(event, out));
    }

    fn named(&self, error: Error) -> Error {
        error.context(format!("step {}", self.name))
    }
}
