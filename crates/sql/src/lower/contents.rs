//! What each node of a plan does with which rows, as a number that stays the same whatever streams, views, columns and
//! steps are called: two nodes with one number have the same state, laid out in the same way.

use super::physical::{Plan, PlanKind, PlanNode};
use crate::identity::Canonical;
use dataflow::{Edge, Exchange, Output};

/// The contents of all nodes.
pub(crate) fn contents(plan: &Plan) -> Vec<u128> {
    let mut contents: Vec<u128> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let of = kind(node).id(node.identity).number(node.inputs.len() as i64);
        let of = node.inputs.iter().fold(of, |of, edge| along(of, edge, contents[edge.from]));
        contents.push(of.finish());
    }
    contents
}

/// What a node does, where that is not in what it computes.
fn kind(node: &PlanNode) -> Canonical {
    Canonical::new(match &node.kind {
        PlanKind::Source(_) => "source",
        PlanKind::Merge => "merge",
        PlanKind::Dedup { .. } => "dedup",
        PlanKind::Filter(_) => "filter",
        PlanKind::Project(_) => "project",
        PlanKind::Window(_) => "window",
        PlanKind::AsOf(_) => "as of",
        PlanKind::Range(_) => "range",
        PlanKind::Zip(_) => "zip",
        PlanKind::Predict(_) => "predict",
        PlanKind::Decision(_) => "decision",
        PlanKind::Sink(Output::Table(table)) => return Canonical::new("table").text(table),
        PlanKind::Sink(Output::Topic(topic)) => return Canonical::new("topic").text(topic),
        PlanKind::Sink(Output::Query(number)) => return Canonical::new("query").number(*number as i64),
    })
}

/// Rows that travel along an edge, from a node of these contents.
fn along(of: Canonical, edge: &Edge, from: u128) -> Canonical {
    let of = of.id(from).number(edge.port.0.into());
    match &edge.exchange {
        Exchange::Forward => of.text("forward"),
        Exchange::Broadcast => of.text("broadcast"),
        Exchange::Single => of.text("single"),
        Exchange::Hash(keys) => keys.iter().fold(of.text("hash"), |of, &key| of.number(key as i64)),
    }
}

/// What the rows of an input of a stage are, and how they come there.
pub(crate) fn input(edge: &Edge, from: u128) -> u128 {
    along(Canonical::new("input"), edge, from).finish()
}
