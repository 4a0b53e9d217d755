//! Which inputs reach a node, and which rows each node holds, by the naive twins.

use super::job::Job;
use super::naive::Naive;
use dataflow::{Edge, EventTime, Port, StagePlan};
use std::collections::BTreeSet;

/// A stage and the rows that have come to it.
pub(super) struct Arrivals<'a> {
    pub(super) job: &'a Job,
    pub(super) plan: &'a StagePlan,
    pub(super) naive: &'a Naive,
    /// Per input the orders of the rows, in the sequence in which they came.
    pub(super) orders: Vec<Vec<u128>>,
}

/// The inputs of a stage that reach a node.
pub(super) fn reached_by(job: &Job, plan: &StagePlan, node: usize) -> BTreeSet<usize> {
    let inputs = job.graph.nodes[node].inputs.iter();
    let of_edge = |edge: &Edge| match plan.inputs.iter().position(|other| other == edge) {
        Some(input) => BTreeSet::from([input]),
        None => reached_by(job, plan, edge.from),
    };
    inputs.flat_map(of_edge).collect()
}

/// The input whose rows come to a node one by one, through steps that hold none.
pub(super) fn straight(job: &Job, plan: &StagePlan, node: usize) -> Option<usize> {
    let [edge] = &job.graph.nodes[node].inputs[..] else { return None };
    let holds = job.steps[node].hold().is_some();
    let input = plan.inputs.iter().position(|other| other == edge);
    (!holds).then(|| input.or_else(|| straight(job, plan, edge.from))).flatten()
}

/// The least watermark of an input above a time at which a node that it reaches lets go of a row that it holds. `waits`
/// says per node how much less far the input lets it go.
pub(super) fn next_due(
    stage: &Arrivals,
    (levels, waits): (&[EventTime], &[i64]),
    input: usize,
    above: i64,
) -> Option<i64> {
    let nodes = stage.plan.nodes.iter().copied().zip(waits);
    let reached = nodes.filter(|&(node, _)| reached_by(stage.job, stage.plan, node).contains(&input));
    let times = reached.flat_map(|(node, waits)| due(stage, levels, node).into_iter().map(move |time| time + waits));
    times.filter(|&time| time > above).min()
}

/// When a node lets go of the rows that it holds.
fn due(stage: &Arrivals, levels: &[EventTime], node: usize) -> Vec<i64> {
    let Some(hold) = stage.job.steps[node].hold() else { return Vec::new() };
    let came = came(stage, levels, node);
    let left = stage.job.steps[node].has_sides().then_some(0);
    let rows = stage.naive.into(stage.job, node, left).into_iter().filter(|row| came.contains(&row.order));
    rows.map(|row| row.time + hold).filter(|&time| EventTime(time) > level(stage, levels, node)).collect()
}

fn level(stage: &Arrivals, levels: &[EventTime], node: usize) -> EventTime {
    levels[stage.plan.nodes.iter().position(|&other| other == node).unwrap()]
}

/// The orders of the rows that came into a node, of one with sides into its first input.
fn came(stage: &Arrivals, levels: &[EventTime], node: usize) -> BTreeSet<u128> {
    let counted = if stage.job.steps[node].has_sides() { 1 } else { usize::MAX };
    let edges = stage.job.graph.nodes[node].inputs.iter().take(counted);
    let of_edge = |edge: &Edge| match stage.plan.inputs.iter().position(|other| other == edge) {
        Some(input) => stage.orders[input].iter().copied().collect(),
        None => went(stage, levels, edge.from, edge.port),
    };
    edges.flat_map(of_edge).collect()
}

/// The orders of the rows that left a node.
fn went(stage: &Arrivals, levels: &[EventTime], node: usize, port: Port) -> BTreeSet<u128> {
    let came = came(stage, levels, node);
    let is_held = |time: i64| stage.job.steps[node].hold().is_some() && EventTime(time) > level(stage, levels, node);
    let rows = stage.naive.of(node, port).iter();
    rows.filter(|row| came.contains(&row.order) && !is_held(row.time)).map(|row| row.order).collect()
}
