//! What the expressions of a SELECT need to have computed before them: columns for arguments and keys, windows, and
//! aggregates over other streams. Gathered first, then put into the plan with as few exchanges as can be.

use crate::diagnostic::{Fault, Outcome};
use crate::expression::Compiled;
use crate::plan::Plan;
use crate::relation::{Relation, RelationColumn};
use arrow::datatypes::Schema;
use dataflow::Scalar;
use operators::{range, window};
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Span;
use std::collections::HashSet;
use std::sync::Arc;

/// What has to be computed of one relation.
pub(crate) struct Steps {
    pub input: Relation,
    /// Arguments, filters and keys that are expressions, by their text.
    computed: Vec<(String, ComputedColumn)>,
    windows: Vec<WindowStep>,
    ranges: Vec<RangeStep>,
    names: HashSet<String>,
}

/// A computed column.
#[derive(Clone)]
pub(crate) struct ComputedColumn {
    pub column: RelationColumn,
    pub scalar: Arc<dyn Scalar>,
}

struct WindowStep {
    keys: Vec<usize>,
    functions: Vec<window::Function>,
    span: Span,
}

/// Aggregates over one other stream by one key.
pub(crate) struct RangeStep {
    pub left_keys: Vec<usize>,
    pub right: RightSide,
    pub functions: Vec<range::Function>,
    pub span: Span,
}

/// The columns of another stream that its aggregates need: keys, arguments and filters.
pub(crate) struct RightSide {
    pub stream: String,
    pub relation: Relation,
    pub key_texts: Vec<String>,
    pub picks: Vec<(String, ComputedColumn)>,
}

impl RightSide {
    /// The position of an expression over the other stream among the columns that are kept of it.
    pub fn pick(&mut self, text: String, compiled: Compiled) -> usize {
        if let Some(known) = self.picks.iter().position(|(other, _)| *other == text) {
            return known;
        }
        let column = generated_column(text.clone(), &compiled);
        self.picks.push((text, ComputedColumn { column, scalar: compiled.scalar }));
        self.picks.len() - 1
    }

    fn project(&self, plan: &mut Plan) -> usize {
        let texts: Vec<&str> = self.picks.iter().map(|(text, _)| text.as_str()).collect();
        let describe = format!("keeps {}", texts.join(", "));
        let added = self.picks.iter().map(|(_, computed)| (computed.column.clone(), computed.scalar.clone())).collect();
        let name = format!("{}.for[{}]", self.stream, self.key_texts.join(", "));
        self.relation.project(plan, name, &[], added, describe).node
    }
}

pub(crate) fn generated_column(name: String, compiled: &Compiled) -> RelationColumn {
    RelationColumn {
        qualifier: None,
        name,
        data_type: compiled.data_type.clone(),
        nullable: compiled.nullable,
        time: false,
        scored: false,
        generated: true,
    }
}

impl Steps {
    pub fn new(input: Relation) -> Steps {
        let names = input.columns.iter().map(|column| column.name.to_lowercase()).collect();
        Steps { input, computed: Vec::new(), windows: Vec::new(), ranges: Vec::new(), names }
    }

    /// The column that holds an expression: one of the input, or one that will be computed.
    pub fn column_of(&mut self, expr: &Expr, within: Span) -> Outcome<usize> {
        if let Some(index) = self.input.plain_column(expr) {
            return Ok(index);
        }
        let compiled = self.input.compile(expr, within)?;
        Ok(self.computed_column(expr.to_string(), &compiled))
    }

    /// The column of a condition.
    pub fn condition_of(&mut self, expr: &Expr, within: Span) -> Outcome<usize> {
        let compiled = self.input.condition(expr, within)?;
        match self.input.plain_column(expr) {
            Some(index) => Ok(index),
            None => Ok(self.computed_column(expr.to_string(), &compiled)),
        }
    }

    fn computed_column(&mut self, text: String, compiled: &Compiled) -> usize {
        let known = self.computed.iter().position(|(other, _)| *other == text);
        let at = known.unwrap_or_else(|| {
            let column = generated_column(text.clone(), compiled);
            self.computed.push((text, ComputedColumn { column, scalar: compiled.scalar.clone() }));
            self.computed.len() - 1
        });
        self.input.columns.len() + at
    }

    /// The column at an index, also where it will be computed.
    pub fn column(&self, index: usize) -> &RelationColumn {
        match index.checked_sub(self.input.columns.len()) {
            None => &self.input.columns[index],
            Some(computed) => &self.computed[computed].1.column,
        }
    }

    /// A name for what a call puts out; after the column of the SELECT where it is all of it.
    pub fn name(&mut self, alias: Option<&str>, fallback: &str) -> String {
        let base = format!("__{}", alias.unwrap_or(fallback));
        let mut name = base.clone();
        let mut number = 2;
        while !self.names.insert(name.to_lowercase()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        name
    }

    /// Adds a window function; the name of the column that it gives, which may be there already.
    pub fn window(&mut self, keys: Vec<usize>, function: window::Function, span: Span) -> String {
        let step = match self.windows.iter().position(|step| step.keys == keys) {
            Some(at) => at,
            None => {
                self.windows.push(WindowStep { keys, functions: Vec::new(), span });
                self.windows.len() - 1
            }
        };
        let functions = &mut self.windows[step].functions;
        let same = |other: &&window::Function| {
            window::Function { name: function.name.clone(), ..(*other).clone() } == function
        };
        if let Some(known) = functions.iter().find(same) {
            return known.name.clone();
        }
        let name = function.name.clone();
        functions.push(function);
        name
    }

    /// The step of another stream and a key, made when it is not there yet. What waits for rows to come has a step
    /// of its own, after all others.
    pub fn range(&mut self, left_keys: Vec<usize>, right: RightSide, waits: bool, span: Span) -> &mut RangeStep {
        let same = |step: &RangeStep| {
            (step.hold_us() > 0) == waits
                && step.left_keys == left_keys
                && step.right.relation.node == right.relation.node
                && step.right.key_texts == right.key_texts
        };
        let at = match self.ranges.iter().position(same) {
            Some(at) => at,
            None => {
                self.ranges.push(RangeStep { left_keys, right, functions: Vec::new(), span });
                self.ranges.len() - 1
            }
        };
        &mut self.ranges[at]
    }

    /// Puts all that was gathered into the plan: the relation with the columns that it gives.
    pub fn run(mut self, plan: &mut Plan, owner: &str) -> Outcome<Relation> {
        let mut relation = self.input.clone();
        let start = relation.shift;
        if !self.computed.is_empty() {
            let texts: Vec<&str> = self.computed.iter().map(|(text, _)| text.as_str()).collect();
            let describe = format!("computes {}", texts.join(", "));
            let kept: Vec<usize> = (0..relation.columns.len()).collect();
            let added = self.computed.drain(..).map(|(_, computed)| (computed.column, computed.scalar)).collect();
            relation = relation.project(plan, format!("{owner}.arguments"), &kept, added, describe);
        }
        self.ranges.sort_by_key(RangeStep::hold_us);
        let forward = self.ranges.iter().position(|step| step.hold_us() > 0).unwrap_or(self.ranges.len());
        let held = self.ranges.split_off(forward);
        let mut steps: Vec<Step> = self.windows.into_iter().map(Step::Window).collect();
        steps.extend(self.ranges.into_iter().map(Step::Range));
        // A step whose key is that of the rows' place needs no exchange.
        while !steps.is_empty() {
            let placed = plan.nodes[relation.node].placed.as_deref();
            let next = steps.iter().position(|step| placed == Some(step.keys())).unwrap_or(0);
            steps.remove(next).run(plan, owner, start, &mut relation)?;
        }
        for step in held {
            Step::Range(step).run(plan, owner, start, &mut relation)?;
        }
        Ok(relation)
    }
}

impl RangeStep {
    fn hold_us(&self) -> i64 {
        self.functions.iter().map(|function| function.to).max().unwrap_or(0).max(0)
    }
}

enum Step {
    Window(WindowStep),
    Range(RangeStep),
}

impl Step {
    fn keys(&self) -> &[usize] {
        match self {
            Step::Window(step) => &step.keys,
            Step::Range(step) => &step.left_keys,
        }
    }

    fn run(self, plan: &mut Plan, owner: &str, start: i64, relation: &mut Relation) -> Outcome<()> {
        let before = relation.columns.len();
        let (node, span) = match self {
            Step::Window(WindowStep { keys, functions, span }) => {
                (plan.window(relation.node, owner, window::Spec { partition_by: keys, functions }), span)
            }
            Step::Range(step) => {
                // Bounds are of the times with which the SELECT began; a step before may have moved them since.
                let shift = relation.shift - start;
                let moved = step.functions.into_iter().map(|function| range::Function {
                    from: function.from - shift,
                    to: function.to - shift,
                    ..function
                });
                let right = step.right.project(plan);
                let keys = (0..step.left_keys.len()).collect();
                let spec = range::Spec { left_keys: step.left_keys, right_keys: keys, functions: moved.collect() };
                relation.shift += spec.hold_us();
                (plan.range(relation.node, right, owner, &step.right.stream, spec), step.span)
            }
        };
        relation.node = node.map_err(|error| Box::new(Fault::new(span, error.chain())))?;
        append(relation, plan.schema(relation.node), before);
        Ok(())
    }
}

/// Takes up the columns that a step has appended.
pub(crate) fn append(relation: &mut Relation, schema: &Schema, before: usize) {
    for field in &schema.fields()[before..] {
        relation.append(field.name(), field.data_type().clone(), field.is_nullable());
    }
}
