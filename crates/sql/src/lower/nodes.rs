//! Logical operators to nodes: column ids become positions, and rows are brought to their keys where they are not yet.

use super::physical::{DecisionPlan, NodeLineage, NodeState, PART, Plan, PlanKind, PlanNode, forward};
use crate::diagnostic::{Fault, Outcome};
use crate::expression::{ColumnId, Problem, Tree, scalar_over};
use crate::identity::{Canonical, Identities};
use crate::interval;
use crate::output::OutputSpec;
use crate::plan::logical::{
    AsOf, Decision, LogicalNode, LogicalPlan, Operator, OutputColumn, ProjectColumn, Range, Score, SinkRows,
    WindowFunction, Zip,
};
use crate::plan::{describe, state_size};
use crate::stream::Stream;
use arrow::datatypes::{Field, Schema, SchemaRef};
use dataflow::{EventTime, Exchange, Output, Port, Scalar};
use operators::{as_of, decision, predict, range, window, zip};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The nodes of a plan, and where rows come out of it.
pub(crate) fn lower(logical: &LogicalPlan, streams: &[Stream]) -> Result<(Plan, Vec<OutputSpec>), (usize, Box<Fault>)> {
    let mut lowering = Lowering { logical, streams, plan: Plan::default(), nodes: Vec::new(), outputs: Vec::new() };
    let identities = Identities::of(logical, streams);
    for (at, node) in logical.nodes.iter().enumerate() {
        let lowered = lowering.node(node).map_err(|fault| (node.origin.file, fault))?;
        let bytes = state_size::bytes_each(&node.operator, &logical.columns);
        let state = identities.state(at).zip(bytes).map(|(digest, bytes_each)| NodeState { digest, bytes_each });
        let lineage = NodeLineage {
            computed: identities.computed(at),
            holds: vec![],
            removes: identities.removes(node, &logical.columns),
            functions: describe::functions(&node.operator, &logical.columns),
        };
        let node = &mut lowering.plan.nodes[lowered];
        (node.state, node.identity, node.lineage) = (state, lineage.computed, lineage);
        lowering.nodes.push(lowered);
    }
    for node in &mut lowering.plan.nodes {
        node.identity = Canonical::new("node").id(node.identity).id(identities.layout(&node.columns)).finish();
        node.lineage.holds = identities.columns_of(&node.columns);
    }
    Ok((lowering.plan, lowering.outputs))
}

struct Lowering<'a> {
    logical: &'a LogicalPlan,
    streams: &'a [Stream],
    plan: Plan,
    /// The node of each logical one.
    nodes: Vec<usize>,
    outputs: Vec<OutputSpec>,
}

/// The positions of columns in what a node puts out.
struct Positions(HashMap<ColumnId, usize>);

impl Positions {
    fn of(&self, id: ColumnId) -> Result<usize, Problem> {
        self.0.get(&id).copied().ok_or_else(|| Problem::new(format!("column {} is not there", id.0)))
    }

    fn all(&self, ids: impl IntoIterator<Item = ColumnId>) -> Result<Vec<usize>, Problem> {
        ids.into_iter().map(|id| self.of(id)).collect()
    }

    fn optional(&self, id: Option<ColumnId>) -> Result<Option<usize>, Problem> {
        id.map(|id| self.of(id)).transpose()
    }

    fn scalar(&self, tree: &Tree) -> Result<Arc<dyn Scalar>, Problem> {
        scalar_over(tree, &|id| self.0.get(&id).copied())
    }
}

fn positions(node: &PlanNode) -> Positions {
    Positions(node.columns.iter().enumerate().map(|(at, id)| (*id, at)).collect())
}

/// What an operator becomes: its kind, its columns, and by which key its rows lie.
struct Lowered {
    kind: PlanKind,
    inputs: Vec<usize>,
    schema: SchemaRef,
    columns: Vec<ColumnId>,
    placed: Option<Vec<ColumnId>>,
    sorted: bool,
}

impl Lowering<'_> {
    fn node(&mut self, node: &LogicalNode) -> Outcome<usize> {
        let wrong = |problem: Problem| Box::new(Fault::new(node.origin.span, problem.message));
        let lowered = self.lowered(node).map_err(wrong)?;
        let Some(lowered) = lowered else { return self.end(node).map_err(wrong) };
        let Lowered { kind, inputs, schema, columns, placed, sorted } = lowered;
        let describe = match &node.operator {
            Operator::Source { stream, .. } => self.by_time(stream),
            operator => describe::text(operator, &self.logical.columns),
        };
        let inputs = inputs.into_iter().map(|from| forward(from, Port::MAIN)).collect();
        let name = node.name.clone();
        Ok(self.plan.push(PlanNode {
            name,
            kind,
            inputs,
            schema,
            columns,
            describe,
            placed,
            sorted,
            state: None,
            identity: 0,
            lineage: NodeLineage::default(),
        }))
    }

    fn by_time(&self, stream: &str) -> String {
        let found = self.streams.iter().find(|known| known.name == stream);
        found.map_or(String::new(), |stream| {
            let time = stream.schema.field(stream.time_column).name();
            format!("by {time} less {}", interval::describe(stream.delay))
        })
    }

    /// The operators that put rows out of their main port; `None` for those that end a plan.
    fn lowered(&mut self, node: &LogicalNode) -> Result<Option<Lowered>, Problem> {
        let input = node.inputs.first().map_or(0, |&input| self.nodes[input]);
        Ok(Some(match &node.operator {
            Operator::Source { stream, columns } => self.source(stream, columns)?,
            Operator::Dedup { keys, within } => {
                let input = self.plan.keyed(input, keys);
                let keys = positions(&self.plan.nodes[input]).all(keys.iter().copied())?;
                self.like_input(input, PlanKind::Dedup { keys, within: *within })
            }
            Operator::Filter(condition) => {
                let predicate = positions(&self.plan.nodes[input]).scalar(condition)?;
                self.like_input(input, PlanKind::Filter(predicate))
            }
            Operator::Project(columns) => self.project(input, columns)?,
            Operator::Window { keys, functions } => self.window(input, keys, functions)?,
            Operator::AsOf(join) => self.as_of(input, self.nodes[node.inputs[1]], join)?,
            Operator::Range(range) => self.range(input, self.nodes[node.inputs[1]], range)?,
            Operator::Zip(zip) => self.zip(input, self.nodes[node.inputs[1]], zip)?,
            Operator::Predict(scores) => self.predict(input, scores)?,
            Operator::Decision(_) | Operator::Acted | Operator::Sink { .. } => return Ok(None),
        }))
    }

    fn source(&self, stream: &str, columns: &[ColumnId]) -> Result<Lowered, Problem> {
        let found = self.streams.iter().find(|known| known.name == stream);
        let found = found.ok_or_else(|| Problem::new(format!("no stream is named \"{stream}\"")))?;
        Ok(Lowered {
            kind: PlanKind::Source(stream.to_owned()),
            inputs: vec![],
            schema: found.schema.clone(),
            columns: columns.to_vec(),
            placed: None,
            sorted: false,
        })
    }

    /// A step that puts out the columns of its input, and keeps rows where they are.
    fn like_input(&self, input: usize, kind: PlanKind) -> Lowered {
        let PlanNode { schema, columns, placed, sorted, .. } = &self.plan.nodes[input];
        let (schema, columns, placed) = (schema.clone(), columns.clone(), placed.clone());
        Lowered { kind, inputs: vec![input], schema, columns, placed, sorted: *sorted }
    }

    /// The name of a column in rows. What tells of a bad row leaves out names that begin so: those of parts of
    /// expressions, which the SQL does not name.
    fn name(&self, id: ColumnId, name: &str) -> String {
        let column = self.logical.columns.get(id);
        if column.named || *column.name != *name { name.to_owned() } else { format!("{PART}{name}") }
    }

    fn project(&self, input: usize, all: &[ProjectColumn]) -> Result<Lowered, Problem> {
        let from = &self.plan.nodes[input];
        let at = positions(from);
        let mut names = Names::default();
        let field = |column: &ProjectColumn| {
            let name = self.name(column.id, &column.name);
            Field::new(names.free(&name), column.tree.settled_type(), column.tree.nullable())
        };
        let schema = Arc::new(Schema::new(all.iter().map(field).collect::<Vec<_>>()));
        let scalars = all.iter().map(|column| at.scalar(&column.tree)).collect::<Result<Vec<_>, _>>()?;
        let columns: Vec<ColumnId> = all.iter().map(|column| column.id).collect();
        // Rows stay where they are as long as the columns that say so are there.
        let kept: HashSet<ColumnId> = all.iter().filter_map(|column| column.tree.as_column()).collect();
        let there = |key: &ColumnId| kept.contains(key) && columns.contains(key);
        let placed = from.placed.clone().filter(|keys| keys.iter().all(there));
        Ok(Lowered {
            kind: PlanKind::Project(scalars),
            inputs: vec![input],
            schema,
            columns,
            placed,
            sorted: from.sorted,
        })
    }

    fn predict(&self, input: usize, scores: &[Score]) -> Result<Lowered, Problem> {
        let from = &self.plan.nodes[input];
        let at = positions(from);
        let mut names = Names::of(&from.schema);
        let score = |score: &Score| {
            let column = |(part, id): &(predict::Part, ColumnId)| {
                (*part, names.free(&self.name(*id, self.logical.columns.name(*id))))
            };
            let inputs = score.input_names.iter().zip(&score.inputs);
            Ok(predict::Score {
                columns: score.columns.iter().map(column).collect(),
                model: score.model.clone(),
                scorer: score.scorer.clone(),
                inputs: inputs
                    .map(|(name, input)| Ok((name.clone(), at.scalar(input)?)))
                    .collect::<Result<_, Problem>>()?,
            })
        };
        let spec = predict::Spec { scores: scores.iter().map(score).collect::<Result<Vec<_>, Problem>>()? };
        let schema = predict::output_schema(&from.schema, &spec);
        let columns = from.columns.iter().copied().chain(scores.iter().flat_map(Score::ids)).collect();
        Ok(Lowered { schema, columns, ..self.like_input(input, PlanKind::Predict(spec)) })
    }

    fn window(&mut self, input: usize, keys: &[ColumnId], functions: &[WindowFunction]) -> Result<Lowered, Problem> {
        let input = self.plan.keyed(input, keys);
        let from = &self.plan.nodes[input];
        let at = positions(from);
        let mut names = Names::of(&from.schema);
        let function = |function: &WindowFunction| {
            Ok(window::Function {
                name: names.free(&self.name(function.id, self.logical.columns.name(function.id))),
                aggregate: function.aggregate,
                argument: at.optional(function.argument)?,
                filter: at.optional(function.filter)?,
                frame: function.frame,
                order: at.all(function.order.iter().copied())?,
            })
        };
        let made = functions.iter().map(function).collect::<Result<Vec<_>, Problem>>()?;
        let spec = window::Spec { partition_by: at.all(keys.iter().copied())?, functions: made };
        let schema = window::output_schema(&from.schema, &spec).map_err(problem)?;
        let columns = from.columns.iter().copied().chain(functions.iter().map(|function| function.id)).collect();
        Ok(Lowered { schema, columns, ..self.like_input(input, PlanKind::Window(spec)) })
    }

    fn as_of(&mut self, left: usize, right: usize, join: &AsOf) -> Result<Lowered, Problem> {
        let (ours, theirs): (Vec<ColumnId>, Vec<ColumnId>) = join.keys.iter().copied().unzip();
        let (left, right) = (self.plan.keyed(left, &ours), self.plan.keyed(right, &theirs));
        let (from, other) = (&self.plan.nodes[left], &self.plan.nodes[right]);
        let (at, there) = (positions(from), positions(other));
        let mut names = Names::of(&from.schema);
        let appended = join.columns.iter().map(|(_, name, id)| Ok((there.of(*id)?, names.free(name))));
        let spec = as_of::Spec {
            left_keys: at.all(ours.iter().copied())?,
            right_keys: there.all(theirs)?,
            columns: appended.collect::<Result<Vec<_>, Problem>>()?,
            behind: join.behind,
            strict: join.strict,
            inner: join.inner,
        };
        let schema = as_of::output_schema(&from.schema, &other.schema, &spec).map_err(problem)?;
        let columns = from.columns.iter().copied().chain(join.columns.iter().map(|(id, ..)| *id)).collect();
        let (kind, inputs) = (PlanKind::AsOf(spec), vec![left, right]);
        Ok(Lowered { kind, inputs, schema, columns, placed: Some(ours), sorted: true })
    }

    fn range(&mut self, left: usize, right: usize, range: &Range) -> Result<Lowered, Problem> {
        let (ours, theirs): (Vec<ColumnId>, Vec<ColumnId>) = range.keys.iter().copied().unzip();
        let (left, right) = (self.plan.keyed(left, &ours), self.plan.keyed(right, &theirs));
        let (from, other) = (&self.plan.nodes[left], &self.plan.nodes[right]);
        let (at, there) = (positions(from), positions(other));
        let mut names = Names::of(&from.schema);
        let function = |function: &crate::plan::logical::RangeAggregate| {
            Ok(range::Function {
                name: names.free(&self.name(function.id, self.logical.columns.name(function.id))),
                computes: function.computes,
                argument: there.optional(function.argument)?,
                filter: there.optional(function.filter)?,
                from: function.from,
                to: function.to,
            })
        };
        let spec = range::Spec {
            functions: range.functions.iter().map(function).collect::<Result<Vec<_>, Problem>>()?,
            left_keys: at.all(ours.iter().copied())?,
            right_keys: there.all(theirs)?,
        };
        let schema = range::output_schema(&from.schema, &other.schema, &spec).map_err(problem)?;
        let columns = from.columns.iter().copied().chain(range.functions.iter().map(|f| f.id)).collect();
        let (kind, inputs) = (PlanKind::Range(spec), vec![left, right]);
        Ok(Lowered { kind, inputs, schema, columns, placed: Some(ours), sorted: true })
    }

    fn zip(&mut self, left: usize, right: usize, zip: &Zip) -> Result<Lowered, Problem> {
        let (left, right) = (self.plan.keyed(left, &zip.keys), self.plan.keyed(right, &zip.keys));
        let (from, other) = (&self.plan.nodes[left], &self.plan.nodes[right]);
        let (at, there) = (positions(from), positions(other));
        let mut names = Names::of(&from.schema);
        let appended = |column: &OutputColumn| {
            let position = there.of(column.id)?;
            Ok((position, names.free(other.schema.field(position).name())))
        };
        let spec = zip::Spec {
            left_keys: at.all(zip.keys.iter().copied())?,
            right_keys: there.all(zip.keys.iter().copied())?,
            columns: zip.columns.iter().map(appended).collect::<Result<Vec<_>, Problem>>()?,
        };
        let schema = zip::output_schema(&from.schema, &other.schema, &spec).map_err(problem)?;
        let columns = from.columns.iter().copied().chain(zip.columns.iter().map(|column| column.id)).collect();
        let (kind, inputs) = (PlanKind::Zip(spec), vec![left, right]);
        Ok(Lowered { kind, inputs, schema, columns, placed: Some(zip.keys.clone()), sorted: true })
    }

    /// Decisions and sinks.
    fn end(&mut self, node: &LogicalNode) -> Result<usize, Problem> {
        let input = node.inputs.first().map_or(0, |&input| self.nodes[input]);
        match &node.operator {
            Operator::Decision(decision) => self.decision(input, node, decision),
            Operator::Sink { output, name, rows } => Ok(self.sink(input, node, (output, name, *rows))),
            _ => self.acted(input, node),
        }
    }

    fn decision(&mut self, input: usize, node: &LogicalNode, decision: &Decision) -> Result<usize, Problem> {
        let input = self.plan.keyed(input, &[decision.subject]);
        let from = &self.plan.nodes[input];
        let at = positions(from);
        let rules = decision.rules.iter().map(|rule| Ok(rule.with(at.scalar(&rule.condition)?)));
        let spec = decision::Spec {
            name: decision.name.clone(),
            subject: at.of(decision.subject)?,
            rules: rules.collect::<Result<Vec<_>, Problem>>()?,
            log_columns: (0..from.columns.len()).collect(),
            model_versions: decision.model_versions.clone(),
            revision: String::new(),
            published_after: EventTime::MIN,
            acts: true,
        };
        let schema = decision::actions_schema(&from.schema, &spec).map_err(problem)?;
        let log = decision::log_schema(&from.schema, &spec).map_err(problem)?;
        let scored = decision.rules.iter().map(|rule| rule.scored).collect();
        let kind = PlanKind::Decision(Box::new(DecisionPlan { spec, log, scored }));
        Ok(self.push_end(node, kind, vec![(input, Port::MAIN)], schema))
    }

    /// The records of a decision, of which those with an action are kept.
    fn acted(&mut self, decision: usize, node: &LogicalNode) -> Result<usize, Problem> {
        let log = match &self.plan.nodes[decision].kind {
            PlanKind::Decision(plan) => plan.log.clone(),
            _ => return Err(Problem::new("only a decision has records")),
        };
        let action = log.index_of("action").map_err(|error| Problem::new(error.to_string()))?;
        let id = ColumnId(action);
        let tree = Tree::column(id, log.field(action).data_type().clone());
        let acted = Tree::of(crate::expression::Op::IsNull { negated: true }, vec![tree])?;
        let predicate = scalar_over(&acted, &|ColumnId(at)| Some(at))?;
        Ok(self.push_end(node, PlanKind::Filter(predicate), vec![(decision, Port::RECORDS)], log))
    }

    fn sink(&mut self, input: usize, node: &LogicalNode, (output, name, rows): (&Output, &str, SinkRows)) -> usize {
        let (schema, from_decision, rules) = self.decided(input, rows);
        let port = if rows == SinkRows::Records { Port::RECORDS } else { Port::MAIN };
        let from = match output {
            Output::Table(_) => input,
            // A topic and a query have one writer, which gets rows in order.
            Output::Topic(_) | Output::Query(_) => self.plan.merge(input, Exchange::Single, &format!("to[{name}]")),
        };
        let (name, output) = (name.to_owned(), output.clone());
        self.outputs.push(OutputSpec { name, output: output.clone(), schema: schema.clone(), from_decision, rules });
        self.push_end(node, PlanKind::Sink(output), vec![(from, port)], schema)
    }

    /// The columns that a sink takes of a node; the decision that they come from, with its rules.
    fn decided(&self, input: usize, rows: SinkRows) -> (SchemaRef, Option<String>, Vec<(String, bool)>) {
        let node = &self.plan.nodes[input];
        match &node.kind {
            PlanKind::Decision(plan) => {
                let rules = plan.spec.rules.iter().map(|rule| rule.name.clone()).zip(plan.scored.iter().copied());
                let schema = if rows == SinkRows::Records { plan.log.clone() } else { node.schema.clone() };
                (schema, Some(plan.spec.name.clone()), rules.collect())
            }
            PlanKind::Filter(_) => match node.inputs.first().map(|edge| &self.plan.nodes[edge.from].kind) {
                Some(PlanKind::Decision(plan)) => (node.schema.clone(), Some(plan.spec.name.clone()), vec![]),
                _ => (node.schema.clone(), None, vec![]),
            },
            _ => (node.schema.clone(), None, vec![]),
        }
    }

    fn push_end(&mut self, node: &LogicalNode, kind: PlanKind, from: Vec<(usize, Port)>, schema: SchemaRef) -> usize {
        let sorted = !matches!(kind, PlanKind::Sink(_));
        self.plan.push(PlanNode {
            name: node.name.clone(),
            kind,
            inputs: from.into_iter().map(|(from, port)| forward(from, port)).collect(),
            schema,
            columns: vec![],
            describe: describe::text(&node.operator, &self.logical.columns),
            placed: None,
            sorted,
            state: None,
            identity: 0,
            lineage: NodeLineage::default(),
        })
    }
}

fn problem(error: dataflow::Error) -> Problem {
    Problem::new(error.chain())
}

/// Names of the columns of a node, each once: a view may call a function of its rows like one of their columns.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn of(schema: &Schema) -> Names {
        Names(schema.fields().iter().map(|field| field.name().clone()).collect())
    }

    fn free(&mut self, name: &str) -> String {
        let mut name = name.to_owned();
        while !self.0.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}
