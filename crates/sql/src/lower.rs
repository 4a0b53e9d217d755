//! A checked plan to the job graph that a host runs.

use crate::Diagnostic;
use crate::check::{Checked, Start};
use crate::plan::{PlanKind, PlanNode};
use arrow::datatypes::SchemaRef;
use dataflow::{JobGraph, MakeOperator, Node, NodeKind, Operator, Result, Span};
use operators::{AsOf, Decision, Dedup, Filter, Merge, Project, RangeAggregate, Window};
use std::sync::Arc;

impl Checked {
    /// The job graph of the plan for one start of the job.
    pub fn lower(&self, start: &Start) -> std::result::Result<JobGraph, Vec<Diagnostic>> {
        let nodes = self.plan.nodes.iter().map(|node| {
            let inputs: Vec<SchemaRef> = node.inputs.iter().map(|edge| self.plan.schema(edge.from).clone()).collect();
            lower(node, inputs, start)
        });
        Ok(JobGraph { nodes: nodes.collect() })
    }
}

fn lower(node: &PlanNode, inputs: Vec<SchemaRef>, start: &Start) -> Node {
    let kind = match node.kind.clone() {
        PlanKind::Source(stream) => NodeKind::Source(stream),
        PlanKind::Sink(output) => NodeKind::Sink(output),
        kind => NodeKind::Step(make(kind, inputs, node.schema.clone(), start)),
    };
    Node {
        name: node.name.clone(),
        kind,
        inputs: node.inputs.clone(),
        schema: node.schema.clone(),
        hold: hold(&node.kind),
        describe: node.describe.clone(),
    }
}

/// How long a step holds rows past their own time: until its forward bound has passed.
fn hold(kind: &PlanKind) -> Span {
    match kind {
        PlanKind::Range(spec) => Span(spec.functions.iter().map(|function| function.to).max().unwrap_or(0).max(0)),
        _ => Span::ZERO,
    }
}

fn make(kind: PlanKind, inputs: Vec<SchemaRef>, output: SchemaRef, start: &Start) -> MakeOperator {
    let kind = match kind {
        PlanKind::Decision(mut plan) => {
            plan.spec.revision.clone_from(&start.revision);
            plan.spec.published_after = start.after;
            PlanKind::Decision(plan)
        }
        other => other,
    };
    Arc::new(move |_| operator(&kind, &inputs, &output))
}

fn operator(kind: &PlanKind, inputs: &[SchemaRef], output: &SchemaRef) -> Result<Box<dyn Operator>> {
    let input = |at: usize| {
        let found = inputs.get(at).cloned();
        found.ok_or_else(|| {
            dataflow::Error::internal(format!("a step has {} inputs, expected {}", inputs.len(), at + 1))
        })
    };
    Ok(match kind.clone() {
        PlanKind::Merge => Box::new(Merge::new(input(0)?)?),
        PlanKind::Filter(predicate) => Box::new(Filter::new(predicate)?),
        PlanKind::Project(columns) => Box::new(Project::new(output.clone(), columns)?),
        PlanKind::Dedup { keys, within } => Box::new(Dedup::new(input(0)?, keys, within)?),
        PlanKind::Window(spec) => Box::new(Window::new(input(0)?, spec)?),
        PlanKind::AsOf(spec) => Box::new(AsOf::new(input(0)?, input(1)?, spec)?),
        PlanKind::Range(spec) => Box::new(RangeAggregate::new(input(0)?, input(1)?, spec)?),
        PlanKind::Decision(plan) => Box::new(Decision::new(input(0)?, plan.spec)?),
        PlanKind::Source(name) => return Err(dataflow::Error::internal(format!("source \"{name}\" is not a step"))),
        PlanKind::Sink(_) => return Err(dataflow::Error::internal("a sink is not a step")),
    })
}
