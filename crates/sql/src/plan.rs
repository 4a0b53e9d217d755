//! The plan: nodes in the order in which rows meet them, where their rows are and whether they are in order.

use crate::interval::describe;
use arrow::datatypes::{Schema, SchemaRef};
use dataflow::{Edge, Exchange, Output, Port, Scalar, Span};
use operators::{as_of, decision, range, window};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The plan of a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub nodes: Vec<PlanNode>,
    names: HashSet<String>,
    /// Merges that are there already: input, port and key.
    merges: HashMap<(usize, Vec<usize>), usize>,
}

/// A node of the plan.
#[derive(Clone, Debug)]
pub(crate) struct PlanNode {
    pub name: String,
    pub kind: PlanKind,
    pub inputs: Vec<Edge>,
    pub schema: SchemaRef,
    pub describe: String,
    /// The columns by whose hash rows are placed on workers; `None` when they lie anywhere.
    pub placed: Option<Vec<usize>>,
    /// Whether rows come in (`_time`, `_ord`) order between watermarks.
    pub sorted: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum PlanKind {
    Source(String),
    Merge,
    Dedup { keys: Vec<usize>, within: Span },
    Filter(Arc<dyn Scalar>),
    Project(Vec<Arc<dyn Scalar>>),
    Window(window::Spec),
    AsOf(as_of::Spec),
    Range(range::Spec),
    Decision(Box<DecisionPlan>),
    Sink(Output),
}

/// A decision in the plan. Its revision and where its actions begin are known when the job starts.
#[derive(Clone, Debug)]
pub(crate) struct DecisionPlan {
    pub spec: decision::Spec,
    pub log: SchemaRef,
    /// Per rule whether its condition reads a model's score.
    pub scored: Vec<bool>,
}

impl PlanKind {
    /// Whether a row can fail here: its bytes, an expression, or a sum.
    pub fn can_fail(&self) -> bool {
        match self {
            PlanKind::Source(_)
            | PlanKind::Filter(_)
            | PlanKind::Project(_)
            | PlanKind::Window(_)
            | PlanKind::Range(_)
            | PlanKind::Decision(_) => true,
            PlanKind::Merge | PlanKind::Dedup { .. } | PlanKind::AsOf(_) | PlanKind::Sink(_) => false,
        }
    }
}

impl Plan {
    pub fn schema(&self, node: usize) -> &SchemaRef {
        &self.nodes[node].schema
    }

    fn push(&mut self, mut node: PlanNode) -> usize {
        let base = node.name.clone();
        let mut number = 2;
        while !self.names.insert(node.name.clone()) {
            node.name = format!("{base}#{number}");
            number += 1;
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub fn source(&mut self, stream: &str, schema: SchemaRef, describe: String) -> usize {
        let kind = PlanKind::Source(stream.to_owned());
        self.push(PlanNode {
            name: stream.to_owned(),
            kind,
            inputs: vec![],
            schema,
            describe,
            placed: None,
            sorted: false,
        })
    }

    /// The rows of a node, placed by a key and in order: the node itself where they are so already.
    pub fn keyed(&mut self, from: usize, keys: &[usize]) -> usize {
        let node = &self.nodes[from];
        if node.sorted && node.placed.as_deref() == Some(keys) {
            return from;
        }
        if let Some(&merge) = self.merges.get(&(from, keys.to_vec())) {
            return merge;
        }
        let names = self.column_names(from, keys);
        let merge = self.merge(from, Port::MAIN, Exchange::Hash(keys.to_vec()), &format!("by[{names}]"));
        self.nodes[merge].placed = Some(keys.to_vec());
        self.merges.insert((from, keys.to_vec()), merge);
        merge
    }

    fn merge(&mut self, from: usize, port: Port, exchange: Exchange, suffix: &str) -> usize {
        let node = &self.nodes[from];
        let (name, schema) = (format!("{}.{suffix}", node.name), node.schema.clone());
        let describe = "brings rows into time order; state: rows above the watermark".to_owned();
        let inputs = vec![Edge { from, port, exchange }];
        self.push(PlanNode { name, kind: PlanKind::Merge, inputs, schema, describe, placed: None, sorted: true })
    }

    /// A step of one input that keeps rows where they are. `kept` says where each input column is in the output.
    fn row_wise(
        &mut self,
        from: usize,
        kind: PlanKind,
        name: String,
        schema: SchemaRef,
        describe: String,
        kept: impl Fn(usize) -> Option<usize>,
    ) -> usize {
        let node = &self.nodes[from];
        let placed = node.placed.as_ref().and_then(|keys| keys.iter().map(|&key| kept(key)).collect());
        let sorted = node.sorted;
        let inputs = vec![forward(from, Port::MAIN)];
        self.push(PlanNode { name, kind, inputs, schema, describe, placed, sorted })
    }

    pub fn filter(&mut self, from: usize, owner: &str, predicate: Arc<dyn Scalar>, text: &str) -> usize {
        let schema = self.schema(from).clone();
        let describe = format!("keeps rows where {text}");
        self.row_wise(from, PlanKind::Filter(predicate), format!("{owner}.filter"), schema, describe, Some)
    }

    /// A projection. `kept` says where each input column is in the output.
    pub fn project(
        &mut self,
        from: usize,
        name: String,
        schema: SchemaRef,
        columns: Vec<Arc<dyn Scalar>>,
        describe: String,
        kept: impl Fn(usize) -> Option<usize>,
    ) -> usize {
        self.row_wise(from, PlanKind::Project(columns), name, schema, describe, kept)
    }

    pub fn dedup(&mut self, from: usize, stream: &str, keys: Vec<usize>, within: Span) -> usize {
        let names = self.column_names(from, &keys);
        let describe = format!(
            "drops deliveries of the same ({names}) within {0}; state: one time per key of the last {0}",
            describe(within)
        );
        let from = self.keyed(from, &keys);
        let schema = self.schema(from).clone();
        self.row_wise(from, PlanKind::Dedup { keys, within }, format!("{stream}.dedup"), schema, describe, Some)
    }

    pub fn window(&mut self, from: usize, owner: &str, spec: window::Spec) -> dataflow::Result<usize> {
        let names = self.column_names(from, &spec.partition_by);
        let schema = window::output_schema(self.schema(from), &spec)?;
        let describe = self.describe_window(from, &spec);
        let from = self.keyed(from, &spec.partition_by);
        Ok(self.row_wise(from, PlanKind::Window(spec), format!("{owner}.window[{names}]"), schema, describe, Some))
    }

    pub fn as_of(
        &mut self,
        left: usize,
        right: usize,
        owner: &str,
        alias: &str,
        spec: as_of::Spec,
    ) -> dataflow::Result<usize> {
        let schema = as_of::output_schema(self.schema(left), self.schema(right), &spec)?;
        let names = self.column_names(left, &spec.left_keys);
        let describe = format!("the last row of {alias} for ({names}) at or before each row; state: one row per key");
        let left = self.keyed(left, &spec.left_keys);
        let right = self.keyed(right, &spec.right_keys);
        let placed = Some(spec.left_keys.clone());
        let inputs = vec![forward(left, Port::MAIN), forward(right, Port::MAIN)];
        let name = format!("{owner}.as_of[{alias}]");
        Ok(self.push(PlanNode { name, kind: PlanKind::AsOf(spec), inputs, schema, describe, placed, sorted: true }))
    }

    pub fn range(
        &mut self,
        left: usize,
        right: usize,
        owner: &str,
        stream: &str,
        spec: range::Spec,
    ) -> dataflow::Result<usize> {
        let schema = range::output_schema(self.schema(left), self.schema(right), &spec)?;
        let names = self.column_names(left, &spec.left_keys);
        let describe = self.describe_range(right, stream, &spec);
        let left = self.keyed(left, &spec.left_keys);
        let right = self.keyed(right, &spec.right_keys);
        let placed = Some(spec.left_keys.clone());
        let inputs = vec![forward(left, Port::MAIN), forward(right, Port::MAIN)];
        let name = format!("{owner}.range[{stream} by {names}]");
        Ok(self.push(PlanNode { name, kind: PlanKind::Range(spec), inputs, schema, describe, placed, sorted: true }))
    }

    pub fn decision(&mut self, from: usize, plan: DecisionPlan, schema: SchemaRef) -> usize {
        let rules: Vec<&str> = plan.spec.rules.iter().map(|rule| rule.name.as_str()).collect();
        let describe =
            format!("rules {}; state: last actions per subject where ONCE PER limits them", rules.join(", "));
        let from = self.keyed(from, &[plan.spec.subject]);
        let (name, inputs) = (plan.spec.name.clone(), vec![forward(from, Port::MAIN)]);
        let kind = PlanKind::Decision(Box::new(plan));
        self.push(PlanNode { name, kind, inputs, schema, describe, placed: None, sorted: true })
    }

    /// A sink with one writer, which gets rows in order.
    pub fn single_sink(&mut self, from: usize, name: String, output: Output) -> usize {
        let merge = self.merge(from, Port::MAIN, Exchange::Single, &format!("to[{name}]"));
        self.sink(merge, Port::MAIN, name, output)
    }

    /// A sink with a writer on each worker.
    pub fn sink(&mut self, from: usize, port: Port, name: String, output: Output) -> usize {
        let schema = match (&self.nodes[from].kind, port) {
            (PlanKind::Decision(plan), Port::RECORDS) => plan.log.clone(),
            _ => self.schema(from).clone(),
        };
        let describe = match &output {
            Output::Table(table) => format!("writes table {table}"),
            Output::Topic(topic) => format!("writes topic {topic}, one writer, in time order"),
            Output::Query => "gives rows to the query".to_owned(),
        };
        let inputs = vec![forward(from, port)];
        let kind = PlanKind::Sink(output);
        self.push(PlanNode {
            name: format!("into {name}"),
            kind,
            inputs,
            schema,
            describe,
            placed: None,
            sorted: false,
        })
    }

    /// The records of a decision, of which only those with an action are kept.
    pub fn records_filter(&mut self, decision: usize, predicate: Arc<dyn Scalar>, schema: SchemaRef) -> usize {
        let name = format!("{}.acted", self.nodes[decision].name);
        let (kind, inputs) = (PlanKind::Filter(predicate), vec![forward(decision, Port::RECORDS)]);
        let describe = "keeps rows that led to an action".to_owned();
        self.push(PlanNode { name, kind, inputs, schema, describe, placed: None, sorted: true })
    }

    /// The plan without nodes that feed no sink; all of it where there is no sink.
    pub fn without_idle_nodes(self) -> Plan {
        let is_sink = |node: &PlanNode| matches!(node.kind, PlanKind::Sink(_));
        if !self.nodes.iter().any(is_sink) {
            return self;
        }
        let mut feeds: Vec<bool> = self.nodes.iter().map(is_sink).collect();
        for at in (0..self.nodes.len()).rev() {
            if feeds[at] {
                self.nodes[at].inputs.iter().for_each(|edge| feeds[edge.from] = true);
            }
        }
        let mut moved = vec![0; feeds.len()];
        let mut kept = Vec::new();
        for (at, mut node) in self.nodes.into_iter().enumerate().filter(|(at, _)| feeds[*at]) {
            moved[at] = kept.len();
            node.inputs.iter_mut().for_each(|edge| edge.from = moved[edge.from]);
            kept.push(node);
        }
        let names = kept.iter().map(|node| node.name.clone()).collect();
        Plan { nodes: kept, names, ..Plan::default() }
    }

    /// The stream whose rows a node puts out: of a join, the left one.
    pub fn stream_of(&self, node: usize) -> Option<&str> {
        match (&self.nodes[node].kind, self.nodes[node].inputs.first()) {
            (PlanKind::Source(stream), _) => Some(stream),
            (_, Some(edge)) => self.stream_of(edge.from),
            (_, None) => None,
        }
    }

    /// A sink of rows that leave the nodes beside their main rows; a topic has one writer, which gets them in order.
    pub fn removed_rows_sink(&mut self, inputs: Vec<Edge>, output: Output, schema: SchemaRef) {
        let (Output::Table(name) | Output::Topic(name)) = &output else { return };
        let (name, is_topic) = (name.clone(), matches!(output, Output::Topic(_)));
        let describe = match &output {
            Output::Topic(topic) => format!("writes topic {topic}, one writer, in time order"),
            _ => format!("writes table {name}"),
        };
        let mut inputs = inputs;
        if is_topic {
            let describe = "brings rows into time order; state: rows above the watermark".to_owned();
            let (name, schema) = (format!("{name}.to[{name}]"), schema.clone());
            let merge = PlanNode { name, kind: PlanKind::Merge, inputs, schema, describe, placed: None, sorted: true };
            inputs = vec![forward(self.push(merge), Port::MAIN)];
        }
        let (kind, name) = (PlanKind::Sink(output), format!("into {name}"));
        self.push(PlanNode { name, kind, inputs, schema, describe, placed: None, sorted: false });
    }

    /// The columns of the rows that travel along an edge.
    pub fn schema_along(&self, edge: &Edge, of: &PlanNode) -> SchemaRef {
        match (&self.nodes[edge.from].kind, edge.port) {
            (PlanKind::Decision(plan), Port::RECORDS) => plan.log.clone(),
            // Removed rows are merged and written; they have the columns of their output.
            (_, Port::DEAD_LETTER | Port::LATE) => of.schema.clone(),
            _ => self.schema(edge.from).clone(),
        }
    }

    pub fn column_names(&self, node: usize, columns: &[usize]) -> String {
        let schema = self.schema(node);
        columns.iter().map(|&column| column_name(schema, column)).collect::<Vec<_>>().join(", ")
    }

    fn describe_window(&self, from: usize, spec: &window::Spec) -> String {
        let schema = self.schema(from);
        let functions = spec.functions.iter().map(|function| {
            let argument = function.argument.map_or("*", |column| column_name(schema, column));
            let filter =
                function.filter.map_or(String::new(), |column| format!(" where {}", column_name(schema, column)));
            let frame = match function.aggregate {
                operators::Aggregate::Lag { offset } => format!("{offset} before"),
                _ if function.frame.to.0 > 0 => {
                    format!("{} to {} ago", describe(function.frame.from), describe(function.frame.to))
                }
                _ => describe(function.frame.from),
            };
            format!("{} = {}({argument}){filter} over {frame}", function.name, function.aggregate.name())
        });
        let functions: Vec<String> = functions.collect();
        let longest = spec.functions.iter().map(|function| function.frame.from).max().unwrap_or(Span::ZERO);
        format!("{}; state: rows of the last {}", functions.join("; "), describe(longest))
    }

    fn describe_range(&self, right: usize, stream: &str, spec: &range::Spec) -> String {
        let schema = self.schema(right);
        let functions = spec.functions.iter().map(|function| {
            let argument = function.argument.map_or("*", |column| column_name(schema, column));
            let filter =
                function.filter.map_or(String::new(), |column| format!(" where {}", column_name(schema, column)));
            format!(
                "{} = {}({argument}){filter} from {} to {}",
                function.name,
                function.computes,
                describe(Span(function.from)),
                describe(Span(function.to))
            )
        });
        let functions: Vec<String> = functions.collect();
        let first = spec.functions.iter().map(|function| function.from).min().unwrap_or(0);
        let reach = spec.hold_us().saturating_sub(first).max(0);
        let wait = match spec.hold_us() {
            0 => String::new(),
            hold => format!("; rows wait {}", describe(Span(hold))),
        };
        format!("{}{wait}; state: rows of {stream} of the last {}", functions.join("; "), describe(Span(reach)))
    }
}

fn column_name(schema: &Schema, column: usize) -> &str {
    schema.fields().get(column).map_or("?", |field| field.name())
}

pub(crate) fn forward(from: usize, port: Port) -> Edge {
    Edge { from, port, exchange: Exchange::Forward }
}
