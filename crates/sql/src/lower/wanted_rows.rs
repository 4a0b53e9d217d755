//! Which rows of a stream a plan looks at, by the conditions that all of them meet first.

use crate::expression::{ColumnId, row_filter};
use crate::plan::logical::{LogicalPlan, Operator};
use crate::stream::Stream;
use dataflow::RowFilter;
use std::collections::BTreeMap;

/// Of each stream that is read a filter that every row fulfils which comes to more than conditions and projections.
/// Columns are those that the stream declares.
pub(crate) fn wanted_rows(plan: &LogicalPlan, streams: &[Stream]) -> BTreeMap<String, RowFilter> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); plan.nodes.len()];
    for (at, node) in plan.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&input| readers[input].push(at));
    }
    let mut wanted: BTreeMap<String, Vec<RowFilter>> = BTreeMap::new();
    for (at, node) in plan.nodes.iter().enumerate() {
        let Operator::Source { stream, columns } = &node.operator else { continue };
        let declared = streams.iter().find(|known| known.name == *stream).map(|stream| &stream.schema);
        let name = |id: ColumnId| {
            let at = columns.iter().position(|column| *column == id)?;
            Some(declared?.fields().get(at)?.name().clone())
        };
        let filter = Wanted { plan, readers: &readers, name: &name }.of(at);
        wanted.entry(stream.clone()).or_default().push(filter);
    }
    wanted.into_iter().map(|(stream, filters)| (stream, RowFilter::any(filters))).collect()
}

struct Wanted<'p> {
    plan: &'p LogicalPlan,
    readers: &'p [Vec<usize>],
    name: &'p dyn Fn(ColumnId) -> Option<String>,
}

impl Wanted<'_> {
    /// Of what a node puts out, by all that read it.
    fn of(&self, node: usize) -> RowFilter {
        let by = |&reader: &usize| match &self.plan.nodes[reader].operator {
            // A row on which a step fails is told, whatever comes after it.
            Operator::Filter(condition) if condition.can_fail() => row_filter(condition, self.name),
            Operator::Filter(condition) => RowFilter::all(vec![row_filter(condition, self.name), self.of(reader)]),
            // What is computed has an id of its own, of which nothing is said.
            Operator::Project(columns) if columns.iter().all(|column| !column.tree.can_fail()) => self.of(reader),
            _ => RowFilter::everything(),
        };
        match self.readers[node].as_slice() {
            [] => RowFilter::everything(),
            readers => RowFilter::any(readers.iter().map(by).collect()),
        }
    }
}
