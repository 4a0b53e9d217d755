//! A stage: the operators between two exchanges, fused; the only thing that a host steps.
//!
//! ```text
//! input 0 --> merge --> window --> as-of --> project --> outlet        a batch goes through the whole chain, in
//! input 1 --> merge ----------------^    `--> dead letters --> sink    cache, before the next one comes in
//! ```

use crate::cut::{Outlet, StagePlan};
use crate::{
    BadRow, Batch, Checked, Context, Error, EventTime, Fate, Fates, Frozen, Input, JobGraph, KeyGroups, NodeKind,
    Operator, Port, Progress, Result, Span, StateMemory, StateReader, StepContext,
};
use arrow::array::BooleanArray;
use std::sync::Arc;

/// How much one call of a stage may put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Rows that one call of an operator takes and puts out at most; a call of the stage ends when an outlet has as many.
    pub rows: usize,
    /// Bytes of rows that one call of an operator releases of what it holds, or a row more; a call of the stage ends
    /// when an outlet has as many.
    pub bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { rows: 8192, bytes: 8 << 20 }
    }
}

/// All operators between two exchanges, on one worker.
///
/// Each operator is advanced to the least watermark over the inputs that reach it, once those above it are done: a
/// window does not wait for an input that only a join after it reads.
///
/// An input that is absent, since none of its senders has shown a row, holds nobody back, but where it meets others
/// they count only so far as its delay would let it go if it had their clock. So its first row finds the step that it
/// reaches no further than its own stream's delay says, and is not moved by others where it is not late by itself.
pub struct Stage {
    nodes: Vec<StageNode>,
    inputs: Vec<StageInput>,
    outlets: Vec<Outlet>,
    // Per outlet the node that it leaves.
    from: Vec<usize>,
    budget: Budget,
    // What is still to be called, the next one last; empty when the last call is done.
    calls: Vec<Call>,
    out: Vec<(usize, Batch)>,
    // Per outlet the rows and bytes in `out`.
    sizes: Vec<(usize, usize)>,
}

struct StageNode {
    // Its place in the job graph.
    node: usize,
    name: String,
    kind: Kind,
    cx: Context,
    // Everything at or before this has been released.
    watermark: EventTime,
    // It took up state at its watermark, which its operator was not told yet.
    is_restored: bool,
    // The inputs of the stage that reach it.
    reached_by: Vec<usize>,
    edges: Vec<(Port, Target)>,
}

enum Kind {
    Step(Box<Checked>),
    // Rows after this time are written.
    Sink(EventTime),
}

#[derive(Clone, Copy)]
enum Target {
    Node(usize, Input),
    Outlet(usize),
}

struct StageInput {
    targets: Vec<(usize, Input)>,
    // None: absent. Invariant: else it is `given`.
    watermark: Option<EventTime>,
    // The greatest watermark that it has had, also before a restore. Lower ones are ignored.
    given: EventTime,
    is_restored: bool,
    delays: Delays,
}

/// How far the streams that reach an input trail their clocks; zero where none can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// The shortest delay of them.
    pub least: Span,
    /// The longest delay of them.
    pub greatest: Span,
}

/// A call of one operator that is still to be made, or to be made again.
enum Call {
    Process(usize, Input, Batch),
    Advance(usize, EventTime),
}

/// A node of a stage as it stands, for people and for the coordinator.
#[derive(Clone, Debug)]
pub struct StageNodeStatus<'a> {
    /// The node's place in the job graph.
    pub node: usize,
    /// The rows by what became of them.
    pub fates: &'a Fates,
    /// The first row that a step removed because it failed on it.
    pub first_bad: Option<&'a Arc<BadRow>>,
    /// Bytes of state in memory.
    pub state_bytes: usize,
    /// Bytes of state that were put aside.
    pub spilled_bytes: usize,
    /// Everything at or before this has been released.
    pub watermark: EventTime,
}

/// An input of a stage at a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrozenInput {
    /// The greatest watermark that it has had; an absent input had it before it was absent.
    pub given: EventTime,
    /// Whether it is absent: it holds nobody back.
    pub is_absent: bool,
}

/// The state of a stage at a barrier.
pub struct FrozenStage {
    /// Per input what it was given.
    pub inputs: Vec<FrozenInput>,
    /// Per node its place in the job graph, its watermark, and its state.
    pub nodes: Vec<(usize, EventTime, Arc<dyn Frozen>)>,
}

impl Stage {
    /// The stage of one worker. `after` tells where each sink node starts: only rows with `_time` above it are written.
    pub fn new(
        graph: &JobGraph,
        plan: &StagePlan,
        groups: KeyGroups,
        after: &dyn Fn(usize) -> EventTime,
        budget: Budget,
    ) -> Result<Stage> {
        let local = |node: usize| plan.nodes.iter().position(|&other| other == node);
        let mut nodes: Vec<StageNode> = Vec::new();
        let mut inputs: Vec<StageInput> = plan
            .inputs
            .iter()
            .map(|_| {
                let (targets, given) = (Vec::new(), EventTime::MIN);
                StageInput { targets, watermark: Some(given), given, is_restored: false, delays: Delays::default() }
            })
            .collect();
        for (at, &node) in plan.nodes.iter().enumerate() {
            let of = &graph.nodes[node];
            let kind = match &of.kind {
                NodeKind::Step(make) => Kind::Step(Box::new(Checked::new(make(StepContext { groups })?, &of.name))),
                NodeKind::Sink(_) => Kind::Sink(after(node)),
                NodeKind::Source(_) => {
                    return Err(Error::internal(format!("source {} is no part of a stage", of.name)));
                }
            };
            let mut reached_by = Vec::new();
            for (input, edge) in of.inputs.iter().enumerate() {
                match (local(edge.from), plan.inputs.iter().position(|other| other == edge)) {
                    (Some(from), _) => {
                        nodes[from].edges.push((edge.port, Target::Node(at, Input(input))));
                        reached_by.extend(nodes[from].reached_by.iter().copied());
                    }
                    (None, Some(outer)) => {
                        inputs[outer].targets.push((at, Input(input)));
                        reached_by.push(outer);
                    }
                    (None, None) => return Err(Error::internal(format!("an edge into {} was not cut", of.name))),
                }
            }
            reached_by.sort_unstable();
            reached_by.dedup();
            let (name, cx, watermark, is_restored) = (of.name.clone(), Context::new(groups), EventTime::MIN, false);
            nodes.push(StageNode { node, name, kind, cx, watermark, is_restored, reached_by, edges: vec![] });
        }
        let mut from = Vec::new();
        for (index, outlet) in plan.outlets.iter().enumerate() {
            let (Outlet::Port(node, _) | Outlet::Sink(node)) = *outlet;
            let at = local(node).ok_or_else(|| Error::internal("an outlet leaves from another stage"))?;
            let port = if let Outlet::Port(_, port) = outlet { *port } else { Port::MAIN };
            nodes[at].edges.push((port, Target::Outlet(index)));
            from.push(at);
        }
        let sizes = vec![(0, 0); plan.outlets.len()];
        let outlets = plan.outlets.clone();
        Ok(Stage { nodes, inputs, outlets, from, budget, calls: Vec::new(), out: Vec::new(), sizes })
    }

    /// Shares memory for state with other stages; called on a new stage, before anything else.
    pub fn share_memory(&mut self, memory: &Arc<StateMemory>) {
        for node in &mut self.nodes {
            node.cx = Context::with_memory(node.cx.groups(), memory.clone());
        }
    }

    /// Says what the streams that reach an input declare, where a sender feeds it.
    pub fn set_delays(&mut self, input: usize, delays: Delays) {
        self.inputs[input].delays = delays;
    }

    /// Takes rows above the input's watermark.
    pub fn push(&mut self, input: usize, batch: Batch) -> Result<Progress> {
        self.expect_done()?;
        if let Some((&(first, at), others)) = self.inputs[input].targets.split_first() {
            self.calls.extend(others.iter().rev().map(|&(node, at)| Call::Process(node, at, batch.clone())));
            self.calls.push(Call::Process(first, at, batch));
        }
        self.resume()
    }

    /// Moves the watermark of an input; `None`: it is absent, and holds nobody back. One below what the input has had
    /// before, also before a restore, leaves it there.
    pub fn advance(&mut self, input: usize, watermark: Option<EventTime>) -> Result<Progress> {
        self.set_watermark(input, watermark);
        self.settle()
    }

    /// Sets the watermark of an input as [`advance`](Self::advance) does, and calls nothing. At a barrier several inputs
    /// may turn present at once, and no operator may see some of them without the others.
    pub fn set_watermark(&mut self, input: usize, watermark: Option<EventTime>) {
        let at = &mut self.inputs[input];
        at.given = at.given.max(watermark.unwrap_or(at.given));
        at.watermark = watermark.map(|_| at.given);
    }

    /// Advances the operators that the watermarks of the inputs let go on.
    pub fn settle(&mut self) -> Result<Progress> {
        self.expect_done()?;
        for at in (0..self.nodes.len()).rev() {
            let node = &self.nodes[at];
            if let Some(least) = self.least(&node.reached_by).filter(|&least| least > node.watermark) {
                self.calls.push(Call::Advance(at, least));
            }
        }
        self.resume()
    }

    /// Goes on after `More`, once what was put out is drained. Nothing else is called until it is `Done`.
    pub fn resume(&mut self) -> Result<Progress> {
        while let Some(call) = self.calls.pop() {
            let (Call::Process(at, ..) | Call::Advance(at, _)) = call;
            let called = self.call(call);
            called.map_err(|error| error.context(format!("step {}", self.nodes[at].name)))?;
            if !self.calls.is_empty() && self.is_full() {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }

    /// Whether the last call has more to put out.
    pub fn is_pending(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Takes what was put out, by outlet, each outlet's batches in their sequence.
    pub fn drain(&mut self) -> impl Iterator<Item = (usize, Batch)> + '_ {
        self.sizes.fill((0, 0));
        self.out.drain(..)
    }

    /// No row at or before this leaves an outlet any more, once the last call is done; `None`: nothing that reaches it
    /// has shown a row.
    pub fn watermark(&self, outlet: usize) -> Option<EventTime> {
        let node = &self.nodes[self.from[outlet]];
        node.reached_by.iter().any(|&input| self.inputs[input].watermark.is_some()).then_some(node.watermark)
    }

    /// Where rows leave; the position in this list is the outlet's index.
    pub fn outlets(&self) -> &[Outlet] {
        &self.outlets
    }

    /// The watermark of an input; `None` while it is absent.
    pub fn input_watermark(&self, input: usize) -> Option<EventTime> {
        self.inputs[input].watermark
    }

    /// Where the lane of a sender begins that turns present: at the input's watermark, or, if it has none, where the
    /// furthest operator is that the input reaches; never below a watermark that the input has had. In an output none
    /// waits for another.
    pub fn present_at(&self, input: usize) -> EventTime {
        let is_step = |node: &&StageNode| matches!(node.kind, Kind::Step(_)) && node.reached_by.contains(&input);
        let reached = self.nodes.iter().filter(is_step);
        let furthest = || reached.map(|node| node.watermark).max().unwrap_or(EventTime::MIN);
        self.inputs[input].watermark.unwrap_or_else(furthest).max(self.inputs[input].given)
    }

    /// The least watermark of an input above a time at which an operator that it reaches puts something out that it
    /// holds.
    pub fn next_due(&self, input: usize, above: EventTime) -> Option<EventTime> {
        let reached = self.nodes.iter().filter(|node| node.reached_by.contains(&input));
        let due = |node: &StageNode| match &node.kind {
            Kind::Step(operator) => {
                let waits = self.waits_for_absent(&node.reached_by, input);
                operator.next_due(above.minus(waits)).map(|due| due.plus(waits))
            }
            Kind::Sink(_) => None,
        };
        reached.filter_map(due).min()
    }

    /// The nodes of the stage as they stand, in the order of the graph.
    pub fn nodes(&self) -> impl Iterator<Item = StageNodeStatus<'_>> {
        self.nodes.iter().map(|node| StageNodeStatus {
            node: node.node,
            fates: node.cx.fates(),
            first_bad: node.cx.first_bad(),
            state_bytes: node.cx.state_bytes(),
            spilled_bytes: node.cx.spilled_bytes(),
            watermark: node.watermark,
        })
    }

    /// The state as it is now; only when the last call is done.
    pub fn freeze(&mut self) -> Result<FrozenStage> {
        self.expect_done()?;
        let mut nodes = Vec::new();
        for node in &mut self.nodes {
            node.begin()?;
            if let Kind::Step(operator) = &mut node.kind {
                nodes.push((node.node, node.watermark, operator.freeze()?));
            }
        }
        let input = |input: &StageInput| FrozenInput { given: input.given, is_absent: input.watermark.is_none() };
        Ok(FrozenStage { inputs: self.inputs.iter().map(input).collect(), nodes })
    }

    /// Takes up what an input was given before a freeze; called on a new stage, once per worker that froze. The input
    /// stands there, whether it was absent or not, until the host tells more of it.
    pub fn restore_input(&mut self, input: usize, frozen: FrozenInput) {
        let at = &mut self.inputs[input];
        // As with nodes: rows that one worker has still to come may come to another.
        at.given = if at.is_restored { frozen.given.min(at.given) } else { frozen.given };
        (at.watermark, at.is_restored) = (Some(at.given), true);
    }

    /// Takes up the state of one node that was frozen at a watermark; called on a new stage, once per blob.
    pub fn restore(&mut self, node: usize, watermark: EventTime, state: &mut dyn StateReader) -> Result<()> {
        let at = self.nodes.iter_mut().find(|at| at.node == node);
        let Some(StageNode { kind: Kind::Step(operator), cx, watermark: own, is_restored, .. }) = at else {
            return Err(Error::internal(format!("state of node {node} came to a stage that has no such step")));
        };
        // Workers after a forward edge have come unequally far: what one has not released may come to another.
        *own = if *is_restored { watermark.min(*own) } else { watermark };
        *is_restored = true;
        operator.restore(state, cx)
    }

    fn expect_done(&self) -> Result<()> {
        match self.calls.is_empty() {
            true => Ok(()),
            false => Err(Error::internal("a stage was called before it was done")),
        }
    }

    /// How far a step gets to with the inputs that have shown a row; `None` where none has.
    fn least(&self, inputs: &[usize]) -> Option<EventTime> {
        let level = |&input: &usize| Some(self.inputs[input].watermark?.minus(self.waits_for_absent(inputs, input)));
        inputs.iter().filter_map(level).min()
    }

    /// How much less far a step gets with an input since others among these are absent: by what their delay is longer.
    fn waits_for_absent(&self, inputs: &[usize], input: usize) -> Span {
        let of = |input: usize| &self.inputs[input];
        let absent = inputs.iter().filter(|&&other| of(other).watermark.is_none());
        let longest = absent.map(|&other| of(other).delays.greatest).max().filter(|_| of(input).watermark.is_some());
        Span(longest.map_or(0, |longest| longest.0.saturating_sub(of(input).delays.least.0).max(0)))
    }

    fn is_full(&self) -> bool {
        self.sizes.iter().any(|&(rows, bytes)| rows >= self.budget.rows || bytes >= self.budget.bytes)
    }

    /// Makes a call; what it puts out is called for before anything else.
    fn call(&mut self, call: Call) -> Result<()> {
        let room = self.budget.rows;
        let call = match call {
            Call::Process(at, input, batch) if batch.rows() > room => {
                self.calls.push(Call::Process(at, input, batch.slice(room, batch.rows() - room)));
                Call::Process(at, input, batch.slice(0, room))
            }
            call => call,
        };
        let (Call::Process(at, ..) | Call::Advance(at, _)) = call;
        self.nodes[at].begin()?;
        let StageNode { kind, cx, watermark, .. } = &mut self.nodes[at];
        match kind {
            Kind::Sink(after) => match call {
                Call::Process(.., batch) => write(cx, batch, *after)?,
                Call::Advance(_, reached) => *watermark = reached,
            },
            Kind::Step(operator) => {
                cx.set_room(room, self.budget.bytes);
                let progress = match &call {
                    Call::Process(_, input, batch) => operator.process(*input, batch, cx)?,
                    Call::Advance(_, reached) => operator.advance(*reached, cx)?,
                };
                match (progress, call) {
                    (Progress::More, call) => self.calls.push(call),
                    (Progress::Done, Call::Advance(_, reached)) => *watermark = reached,
                    (Progress::Done, Call::Process(..)) => {}
                }
            }
        }
        self.route(at)
    }

    /// Sends what a node put out on its way.
    fn route(&mut self, at: usize) -> Result<()> {
        let emitted = self.nodes[at].cx.take_emitted();
        let edges = std::mem::take(&mut self.nodes[at].edges);
        let first = self.calls.len();
        let mut lost = None;
        for (port, batch) in emitted {
            let mut targets = edges.iter().filter(|(from, _)| *from == port).map(|(_, target)| *target).peekable();
            if targets.peek().is_none() {
                lost = Some((batch.rows(), port));
            }
            // The last target takes the batch, so that a chain hands it on without keeping it.
            let mut batch = Some(batch);
            while let (Some(target), Some(rows)) = (targets.next(), batch.take()) {
                if targets.peek().is_some() {
                    batch = Some(rows.clone());
                }
                self.send(target, rows);
            }
        }
        // What came out first is taken first.
        self.calls[first..].reverse();
        self.nodes[at].edges = edges;
        match lost {
            Some((rows, port)) => {
                Err(Error::internal(format!("{rows} rows leave at port {}, and no edge takes them", port.0)))
            }
            None => Ok(()),
        }
    }

    fn send(&mut self, target: Target, batch: Batch) {
        match target {
            Target::Node(node, input) => self.calls.push(Call::Process(node, input, batch)),
            Target::Outlet(outlet) => {
                let (rows, bytes) = &mut self.sizes[outlet];
                *rows += batch.rows();
                *bytes += batch.bytes();
                self.out.push((outlet, batch));
            }
        }
    }
}

impl StageNode {
    /// Tells a restored operator the watermark at which it was frozen, which it has released everything up to. One that
    /// no state came to would not know it, and what it freezes next would not agree with that of other workers.
    fn begin(&mut self) -> Result<()> {
        if let (Kind::Step(operator), true) = (&mut self.kind, std::mem::take(&mut self.is_restored)) {
            operator.advance(self.watermark, &mut self.cx)?;
        }
        Ok(())
    }
}

/// Hands on the rows after the start of a sink.
fn write(cx: &mut Context, batch: Batch, after: EventTime) -> Result<()> {
    cx.count(Fate::In, batch.rows());
    cx.set_room(batch.rows(), usize::MAX);
    if batch.times().iter().all(|&time| EventTime(time) > after) {
        cx.emit(Port::MAIN, batch);
        return Ok(());
    }
    let kept: BooleanArray = batch.times().iter().map(|&time| Some(EventTime(time) > after)).collect();
    let batch = batch.filter(&kept)?;
    cx.count(Fate::Filtered, kept.len() - batch.rows());
    cx.emit(Port::MAIN, batch);
    Ok(())
}
