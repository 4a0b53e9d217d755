//! A checked plan to the job graph that a host runs.

use super::physical::PlanKind;
use crate::Diagnostic;
use crate::check::{CheckedPlan, Start};
use crate::stream::Stream;
use arrow::datatypes::SchemaRef;
use dataflow::{BadRowPolicy, Error, JobGraph, MakeOperator, Node, NodeKind, Operator, Port, Result};
use operators::bad_rows::BadRows;
use operators::{AsOf, Decision, Dedup, Filter, Merge, Predict, Project, RangeAggregate, Window, Zip};
use std::sync::Arc;

impl CheckedPlan {
    /// The job graph of the plan for one start of the job.
    pub fn lower(&self, start: &Start) -> std::result::Result<JobGraph, Vec<Diagnostic>> {
        Ok(JobGraph { nodes: (0..self.plan.nodes.len()).map(|node| self.node(node, start)).collect() })
    }

    fn node(&self, index: usize, start: &Start) -> Node {
        let node = &self.plan.nodes[index];
        let inputs: Vec<SchemaRef> = node.inputs.iter().map(|edge| self.plan.schema_along(edge, node)).collect();
        let stream = self.plan.stream_of(index);
        let stream = stream.and_then(|name| self.streams.iter().find(|stream| stream.name == name));
        let bad_rows = bad_rows(stream, &node.name, start);
        let mut ports = vec![Port::MAIN];
        if node.kind.can_fail() {
            ports.extend(bad_rows.policy.port());
        }
        let kind = match node.kind.clone() {
            PlanKind::Source(name) => {
                ports.extend(stream.and_then(|stream| stream.late.port()));
                NodeKind::Source(name)
            }
            PlanKind::Sink(output) => {
                ports.clear();
                NodeKind::Sink(output)
            }
            PlanKind::Decision(mut plan) => {
                plan.spec.revision.clone_from(&start.revision);
                plan.spec.published_after = start.after;
                plan.spec.acts = self.has_edge(index, Port::MAIN);
                if !plan.spec.acts {
                    ports.retain(|&port| port != Port::MAIN);
                }
                ports.push(Port::RECORDS);
                NodeKind::Step(make(PlanKind::Decision(plan), inputs, node.schema.clone(), bad_rows))
            }
            kind => NodeKind::Step(make(kind, inputs, node.schema.clone(), bad_rows)),
        };
        Node {
            name: node.name.clone(),
            kind,
            inputs: node.inputs.clone(),
            ports,
            schema: node.schema.clone(),
            describe: node.describe.clone(),
        }
    }

    fn has_edge(&self, from: usize, port: Port) -> bool {
        self.plan.nodes.iter().flat_map(|node| &node.inputs).any(|edge| edge.from == from && edge.port == port)
    }
}

/// What becomes of the bad rows of a step.
fn bad_rows(stream: Option<&Stream>, step: &str, start: &Start) -> BadRows {
    BadRows {
        stream: stream.map_or(String::new(), |stream| stream.name.clone()),
        step: step.to_owned(),
        // Where rows belong to no stream nobody has declared anything, and a bad one ends the job.
        policy: stream.map_or(BadRowPolicy::Fail, |stream| stream.bad_rows),
        has_coordinates: stream.is_some_and(|stream| stream.live.is_some()),
        text: start.row_text,
    }
}

fn make(kind: PlanKind, inputs: Vec<SchemaRef>, output: SchemaRef, bad_rows: BadRows) -> MakeOperator {
    Arc::new(move |_| operator(&kind, &inputs, &output, &bad_rows))
}

fn operator(
    kind: &PlanKind,
    inputs: &[SchemaRef],
    output: &SchemaRef,
    bad_rows: &BadRows,
) -> Result<Box<dyn Operator>> {
    let input = |at: usize| {
        let found = inputs.get(at).cloned();
        found.ok_or_else(|| Error::internal(format!("a step has {} inputs, expected {}", inputs.len(), at + 1)))
    };
    let bad_rows = || bad_rows.clone();
    Ok(match kind.clone() {
        PlanKind::Merge => Box::new(Merge::new(input(0)?)?),
        PlanKind::Filter(predicate) => Box::new(Filter::new(predicate, bad_rows())?),
        PlanKind::Project(columns) => Box::new(Project::new(output.clone(), columns, bad_rows())?),
        PlanKind::Dedup { keys, within } => Box::new(Dedup::new(input(0)?, keys, within)?),
        PlanKind::Window(spec) => Box::new(Window::new(input(0)?, spec, bad_rows())?),
        PlanKind::AsOf(spec) => Box::new(AsOf::new(input(0)?, input(1)?, spec)?),
        PlanKind::Range(spec) => Box::new(RangeAggregate::new(input(0)?, input(1)?, spec, bad_rows())?),
        PlanKind::Zip(spec) => Box::new(Zip::new(input(0)?, input(1)?, spec)?),
        PlanKind::Predict(spec) => Box::new(Predict::new(&input(0)?, spec, bad_rows())?),
        PlanKind::Decision(plan) => Box::new(Decision::new(input(0)?, plan.spec, bad_rows())?),
        PlanKind::Source(name) => return Err(Error::internal(format!("source \"{name}\" is not a step"))),
        PlanKind::Sink(_) => return Err(Error::internal("a sink is not a step")),
    })
}
