//! Random job graphs of real operators.

use super::super::bad_rows;
use super::super::condition::Condition;
use super::super::decision::TestRule;
use super::dice::Dice;
use super::specs;
use crate::harness::schema;
use crate::{
    AsOf, Decision, Dedup, Filter, Merge, Project, RangeAggregate, Window, Zip, as_of, decision, range, window, zip,
};
use arrow::datatypes::SchemaRef;
use dataflow::{
    BadRowPolicy, Delays, Edge, EventTime, Exchange, JobGraph, Node, NodeKind, Operator, Output, Port, Result, Span,
    dead_letter_schema,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a node of a job does.
#[derive(Clone)]
pub(super) enum Step {
    Source,
    Merge,
    Filter(Condition, BadRowPolicy),
    Project(Condition, BadRowPolicy),
    Dedup(Vec<usize>, i64),
    Window(window::Spec, BadRowPolicy),
    AsOf(as_of::Spec),
    Range(range::Spec, BadRowPolicy),
    /// Some columns as they are.
    Keep(Vec<usize>),
    Zip(zip::Spec),
    Decision(Vec<TestRule>, BadRowPolicy),
    Sink(EventTime),
}

impl Step {
    fn policy(&self) -> Option<BadRowPolicy> {
        match self {
            Step::Filter(_, policy)
            | Step::Project(_, policy)
            | Step::Window(_, policy)
            | Step::Range(_, policy)
            | Step::Decision(_, policy) => Some(*policy),
            _ => None,
        }
    }

    fn ports(&self) -> Vec<Port> {
        let mut ports = match self {
            Step::Sink(_) => vec![],
            Step::Decision(..) => vec![Port::MAIN, Port::RECORDS],
            _ => vec![Port::MAIN],
        };
        ports.extend((self.policy() == Some(BadRowPolicy::DeadLetter)).then_some(Port::DEAD_LETTER));
        ports
    }

    /// How long it holds rows beyond their time; `None`: it holds none.
    pub(super) fn hold(&self) -> Option<i64> {
        match self {
            Step::Merge | Step::Window(..) | Step::AsOf(_) | Step::Zip(_) => Some(0),
            Step::Range(spec, _) => Some(spec.hold_us()),
            _ => None,
        }
    }

    /// Whether the rows of the first input alone are counted, and come out.
    pub(super) fn has_sides(&self) -> bool {
        matches!(self, Step::AsOf(_) | Step::Range(..) | Step::Zip(_))
    }

    fn operator(&self, inputs: &[SchemaRef]) -> Result<Box<dyn Operator>> {
        let first = inputs[0].clone();
        Ok(match self.clone() {
            Step::Merge => Box::new(Merge::new(first)?),
            Step::Filter(condition, policy) => Box::new(Filter::new(Arc::new(condition), bad_rows(policy))?),
            Step::Project(condition, policy) => {
                Box::new(Project::new(schema(), specs::projection(condition), bad_rows(policy))?)
            }
            Step::Keep(columns) => {
                let kept = Arc::new(first.project(&columns)?);
                Box::new(Project::new(kept, specs::kept(&first, &columns), bad_rows(BadRowPolicy::Fail))?)
            }
            Step::Zip(spec) => Box::new(Zip::new(first, inputs[1].clone(), spec)?),
            Step::Dedup(keys, within) => Box::new(Dedup::new(first, keys, Span(within))?),
            Step::Window(spec, policy) => Box::new(Window::new(first, spec, bad_rows(policy))?),
            Step::AsOf(spec) => Box::new(AsOf::new(first, inputs[1].clone(), spec)?),
            Step::Range(spec, policy) => {
                Box::new(RangeAggregate::new(first, inputs[1].clone(), spec, bad_rows(policy))?)
            }
            Step::Decision(rules, policy) => {
                Box::new(Decision::new(first, super::super::decision::spec(&rules), bad_rows(policy))?)
            }
            Step::Source | Step::Sink(_) => unreachable!("not an operator"),
        })
    }
}

/// A job and what its tests know of it.
pub(super) struct Job {
    pub(super) graph: JobGraph,
    pub(super) steps: Vec<Step>,
    /// Per node whether its rows come in order.
    pub(super) sorted: Vec<bool>,
    /// Per node what the streams declare that reach it.
    pub(super) delays: Vec<Delays>,
}

/// A job over so many streams with about so many steps.
pub(super) fn job(dice: &mut Dice, streams: usize, size: usize) -> Job {
    let job = Job { graph: JobGraph::default(), steps: vec![], sorted: vec![], delays: vec![] };
    let mut builder =
        Builder { dice, job, placed: vec![], streams: vec![], merges: BTreeMap::new(), open: vec![], ends: vec![] };
    for stream in 0..streams {
        let source = builder.push(Step::Source, vec![], schema());
        builder.streams[source].insert(stream);
        builder.open.push(source);
    }
    for _ in 0..size {
        builder.grow();
    }
    builder.close();
    let declared: Vec<i64> = (0..streams).map(|_| builder.dice.pick(&[0, 0, 5, 30])).collect();
    let delays = |streams: &BTreeSet<usize>| {
        let of = || streams.iter().map(|&stream| Span(declared[stream]));
        Delays { least: of().min().unwrap(), greatest: of().max().unwrap() }
    };
    builder.job.delays = builder.streams.iter().map(delays).collect();
    builder.job.graph.check().unwrap();
    builder.job
}

struct Builder<'a> {
    dice: &'a mut Dice,
    job: Job,
    // Per node the keys that its rows are placed by.
    placed: Vec<Option<Vec<usize>>>,
    // Per node the streams that reach it.
    streams: Vec<BTreeSet<usize>>,
    merges: BTreeMap<(usize, Vec<usize>), usize>,
    // The nodes whose main rows begin with the columns of the test schema.
    open: Vec<usize>,
    // What leaves for good: a decision's actions and records.
    ends: Vec<(usize, Port, SchemaRef)>,
}

impl Builder<'_> {
    /// Adds a node. It keeps the place of its first input's rows.
    fn push(&mut self, step: Step, inputs: Vec<Edge>, schema: SchemaRef) -> usize {
        let at = self.job.steps.len();
        let first = inputs.first().map(|edge| edge.from);
        self.placed.push(first.and_then(|first| self.placed[first].clone()));
        let stays = |edge: &Edge| edge.exchange == Exchange::Forward && self.job.sorted[edge.from];
        let is_sorted = match &step {
            Step::Source => false,
            Step::Merge => true,
            // Rows of several edges come as they come.
            Step::Sink(_) => inputs.len() == 1 && inputs.iter().all(stays),
            _ => inputs.iter().all(stays),
        };
        self.job.sorted.push(is_sorted);
        self.streams.push(inputs.iter().flat_map(|edge| self.streams[edge.from].iter().copied()).collect());
        let schemas: Vec<SchemaRef> = inputs.iter().map(|edge| self.schema(edge.from, edge.port)).collect();
        let kind = match &step {
            Step::Source => NodeKind::Source(format!("s{at}")),
            Step::Sink(_) => NodeKind::Sink(Output::Table(format!("t{at}"))),
            step => {
                let step = step.clone();
                NodeKind::Step(Arc::new(move |_| step.operator(&schemas)))
            }
        };
        let ports = step.ports();
        self.job.graph.nodes.push(Node {
            name: format!("n{at}"),
            kind,
            inputs,
            ports,
            schema,
            describe: String::new(),
        });
        self.job.steps.push(step);
        at
    }

    fn schema(&self, node: usize, port: Port) -> SchemaRef {
        let ends = self.ends.iter().find(|(from, at, _)| (*from, *at) == (node, port));
        match port {
            Port::DEAD_LETTER => dead_letter_schema(),
            _ => ends.map_or_else(|| self.job.graph.nodes[node].schema.clone(), |(.., schema)| schema.clone()),
        }
    }

    fn policy(&mut self) -> BadRowPolicy {
        self.dice.pick(&[BadRowPolicy::Skip, BadRowPolicy::DeadLetter, BadRowPolicy::DeadLetter])
    }

    /// The rows of a node by a key and in order.
    fn keyed(&mut self, from: usize, keys: &[usize]) -> usize {
        if self.job.sorted[from] && self.placed[from].as_deref() == Some(keys) {
            return from;
        }
        if let Some(&merge) = self.merges.get(&(from, keys.to_vec())) {
            return merge;
        }
        let merge = self.merge(&[(from, Port::MAIN)], Exchange::Hash(keys.to_vec()));
        self.placed[merge] = Some(keys.to_vec());
        self.merges.insert((from, keys.to_vec()), merge);
        merge
    }

    fn merge(&mut self, from: &[(usize, Port)], exchange: Exchange) -> usize {
        let schema = self.schema(from[0].0, from[0].1);
        let edge = |&(from, port): &(usize, Port)| Edge { from, port, exchange: exchange.clone() };
        self.push(Step::Merge, from.iter().map(edge).collect(), schema)
    }

    /// Adds a step after rows that are there.
    fn grow(&mut self) {
        let from = if self.dice.chance(50) { self.open[self.open.len() - 1] } else { self.dice.pick(&self.open) };
        let keys = match &self.placed[from] {
            Some(keys) if self.dice.chance(80) => keys.clone(),
            _ => self.dice.pick(&[vec![0], vec![0], vec![3]]),
        };
        let kind = self.dice.below(13);
        let grown = match kind {
            0 | 1 => self.row_wise(from),
            2 => self.union(from, keys),
            3 if keys == [0] => return self.decision(from),
            4 | 5 => {
                let spec = specs::window(self.dice, keys.clone(), self.job.steps.len());
                let (from, policy) = (self.keyed(from, &keys), self.policy());
                let schema = window::output_schema(&self.schema(from, Port::MAIN), &spec).unwrap();
                self.push(Step::Window(spec, policy), vec![forward(from)], schema)
            }
            6..=8 => self.join(from, &keys, false),
            9 | 10 => self.join(from, &keys, true),
            11 => self.around(from, keys),
            _ => {
                let (from, within) = (self.keyed(from, &keys), self.dice.between(0, 20));
                let schema = self.schema(from, Port::MAIN);
                self.push(Step::Dedup(keys, within), vec![forward(from)], schema)
            }
        };
        self.open.push(grown);
    }

    fn row_wise(&mut self, from: usize) -> usize {
        let condition = self.dice.pick(&[Condition::Flag, Condition::Positive]);
        let policy = self.policy();
        if self.dice.chance(50) {
            let same = self.schema(from, Port::MAIN);
            return self.push(Step::Filter(condition, policy), vec![forward(from)], same);
        }
        self.push(Step::Project(condition, policy), vec![forward(from)], schema())
    }

    /// Rows of one node or of two of different streams, by a key and in order.
    fn union(&mut self, from: usize, keys: Vec<usize>) -> usize {
        let fits = |other: &&usize| {
            self.streams[**other].is_disjoint(&self.streams[from])
                && self.schema(**other, Port::MAIN) == self.schema(from, Port::MAIN)
        };
        let others: Vec<usize> = self.open.iter().filter(fits).copied().collect();
        if others.is_empty() {
            return self.keyed(from, &keys);
        }
        let other = self.dice.pick(&others);
        let merge = self.merge(&[(from, Port::MAIN), (other, Port::MAIN)], Exchange::Hash(keys.clone()));
        self.placed[merge] = Some(keys);
        merge
    }

    fn join(&mut self, left: usize, keys: &[usize], range: bool) -> usize {
        let right = self.dice.pick(&self.open);
        let (left, right) = (self.keyed(left, keys), self.keyed(right, keys));
        let (schema, other) = (self.schema(left, Port::MAIN), self.schema(right, Port::MAIN));
        let inputs = vec![forward(left), forward(right)];
        let at = self.job.steps.len();
        if range {
            let (spec, policy) = (specs::range(self.dice, keys.to_vec(), at), self.policy());
            let schema = range::output_schema(&schema, &other, &spec).unwrap();
            return self.push(Step::Range(spec, policy), inputs, schema);
        }
        let spec = specs::as_of(self.dice, keys.to_vec(), at);
        let schema = as_of::output_schema(&schema, &other, &spec).unwrap();
        self.push(Step::AsOf(spec), inputs, schema)
    }

    /// Steps on a branch, while some columns go around them to the key at which both are zipped.
    fn around(&mut self, from: usize, keys: Vec<usize>) -> usize {
        let before = self.schema(from, Port::MAIN);
        let more = (schema().fields().len()..before.fields().len()).filter(|_| self.dice.chance(50));
        let kept: Vec<usize> = (0..schema().fields().len()).chain(more).collect();
        let narrow = Arc::new(before.project(&kept).unwrap());
        let around = self.push(Step::Keep(kept.clone()), vec![forward(from)], narrow.clone());
        let mut branch = from;
        for _ in 0..=self.dice.below(2) {
            let by = self.dice.pick(&[vec![0], vec![3], vec![3, 0]]);
            branch = self.append(branch, by);
        }
        let spec = specs::zip(keys.clone(), &kept, &self.schema(branch, Port::MAIN));
        let (left, right) = (self.keyed(around, &keys), self.keyed(branch, &keys));
        let whole = zip::output_schema(&narrow, &self.schema(branch, Port::MAIN), &spec).unwrap();
        self.push(Step::Zip(spec), vec![forward(left), forward(right)], whole)
    }

    /// A step that appends columns to each row and removes none.
    fn append(&mut self, from: usize, keys: Vec<usize>) -> usize {
        let (from, at) = (self.keyed(from, &keys), self.job.steps.len());
        let schema = self.schema(from, Port::MAIN);
        if self.dice.chance(60) {
            let (spec, policy) = (specs::safe_window(self.dice, keys, at), self.policy());
            let schema = window::output_schema(&schema, &spec).unwrap();
            return self.push(Step::Window(spec, policy), vec![forward(from)], schema);
        }
        let right = self.dice.pick(&self.open);
        let right = self.keyed(right, &keys);
        let spec = as_of::Spec { inner: false, ..specs::as_of(self.dice, keys, self.job.steps.len()) };
        let schema = as_of::output_schema(&schema, &self.schema(right, Port::MAIN), &spec).unwrap();
        self.push(Step::AsOf(spec), vec![forward(from), forward(right)], schema)
    }

    fn decision(&mut self, from: usize) {
        let (from, policy) = (self.keyed(from, &[0]), self.policy());
        let rules = specs::rules(self.dice);
        let (input, spec) = (self.schema(from, Port::MAIN), super::super::decision::spec(&rules));
        let actions = decision::actions_schema(&input, &spec).unwrap();
        let at = self.push(Step::Decision(rules, policy), vec![forward(from)], actions.clone());
        self.ends.push((at, Port::MAIN, actions));
        self.ends.push((at, Port::RECORDS, decision::log_schema(&input, &spec).unwrap()));
    }

    /// Gives every output a taker: sinks after all that nothing reads, and after some that something does.
    fn close(&mut self) {
        let mut left: Vec<(usize, Port)> = Vec::new();
        let mut letters: Vec<usize> = Vec::new();
        for (at, node) in self.job.graph.nodes.iter().enumerate() {
            for &port in &node.ports {
                let is_read = self.job.graph.nodes.iter().flat_map(|node| &node.inputs);
                let is_read = is_read.into_iter().any(|edge| (edge.from, edge.port) == (at, port));
                match port {
                    Port::DEAD_LETTER => letters.push(at),
                    _ if !is_read || self.dice.chance(15) => left.push((at, port)),
                    _ => {}
                }
            }
        }
        for (from, port) in left {
            self.sink(from, port);
        }
        let schema = dead_letter_schema();
        let exchange = if self.dice.chance(70) { Exchange::Forward } else { Exchange::Single };
        let edge = |from: usize| Edge { from, port: Port::DEAD_LETTER, exchange: exchange.clone() };
        let (together, apart) = letters.split_at(if self.dice.chance(80) { letters.len() } else { 0 });
        let mut sinks: Vec<Vec<Edge>> = apart.iter().map(|&from| vec![edge(from)]).collect();
        sinks.extend((!together.is_empty()).then(|| together.iter().map(|&from| edge(from)).collect()));
        for edges in sinks {
            let after = self.after();
            self.push(Step::Sink(after), edges, schema.clone());
        }
    }

    fn sink(&mut self, from: usize, port: Port) {
        let (schema, after) = (self.schema(from, port), self.after());
        let edge = match self.dice.chance(30) {
            true => forward(self.merge(&[(from, port)], Exchange::Single)),
            false => Edge { from, port, exchange: Exchange::Forward },
        };
        self.push(Step::Sink(after), vec![edge], schema);
    }

    /// Where a sink starts.
    fn after(&mut self) -> EventTime {
        if self.dice.chance(60) { EventTime::MIN } else { EventTime(self.dice.between(-20, 30)) }
    }
}

fn forward(from: usize) -> Edge {
    Edge { from, port: Port::MAIN, exchange: Exchange::Forward }
}
