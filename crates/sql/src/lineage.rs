//! Lineage: the columns of streams that go into the columns of outputs.

use crate::bind::Columns;
use crate::expression::{ColumnId, Tree};
use crate::plan::logical::{LogicalNode, LogicalPlan, Operator};
use std::collections::{BTreeSet, HashMap};

/// A column of a stream.
pub(crate) type StreamColumn = (String, String);

/// The columns of streams that a value is made of: arguments, conditions and keys that choose it among them.
pub(crate) struct Lineage<'a> {
    columns: &'a Columns,
    of: HashMap<ColumnId, BTreeSet<StreamColumn>>,
}

impl<'a> Lineage<'a> {
    pub fn of(plan: &'a LogicalPlan) -> Lineage<'a> {
        let mut lineage = Lineage { columns: &plan.columns, of: HashMap::new() };
        plan.nodes.iter().for_each(|node| lineage.add(node));
        lineage
    }

    /// The columns of streams that a column is made of.
    pub fn sources(&self, id: ColumnId) -> BTreeSet<StreamColumn> {
        self.of.get(&id).cloned().unwrap_or_default()
    }

    fn of_all(&self, ids: impl IntoIterator<Item = ColumnId>) -> BTreeSet<StreamColumn> {
        ids.into_iter().flat_map(|id| self.sources(id)).collect()
    }

    fn of_tree(&self, tree: &Tree) -> BTreeSet<StreamColumn> {
        let mut ids = Vec::new();
        tree.each_column(&mut |id| ids.push(id));
        self.of_all(ids)
    }

    fn add(&mut self, node: &LogicalNode) {
        match &node.operator {
            Operator::Source { stream, columns } => {
                for &id in columns {
                    self.of.insert(id, BTreeSet::from([(stream.clone(), self.columns.name(id).to_owned())]));
                }
            }
            Operator::Project(all) => {
                for column in all.iter().filter(|column| column.tree.as_column() != Some(column.id)) {
                    self.of.insert(column.id, self.of_tree(&column.tree));
                }
            }
            Operator::Window { keys, functions } => {
                for function in functions {
                    let used = function.argument.iter().chain(&function.filter).chain(&function.order).chain(keys);
                    self.of.insert(function.id, self.of_all(used.copied()));
                }
            }
            Operator::AsOf(join) => {
                let keys = join.keys.iter().flat_map(|(ours, theirs)| [*ours, *theirs]);
                let keys = self.of_all(keys);
                for (id, _, theirs) in &join.columns {
                    let sources = self.sources(*theirs).into_iter().chain(keys.iter().cloned()).collect();
                    self.of.insert(*id, sources);
                }
            }
            Operator::Range(range) => {
                let keys: Vec<ColumnId> = range.keys.iter().flat_map(|(ours, theirs)| [*ours, *theirs]).collect();
                for function in &range.functions {
                    let used = function.argument.iter().chain(&function.filter).chain(&keys);
                    self.of.insert(function.id, self.of_all(used.copied()));
                }
            }
            Operator::Predict(scores) => {
                for score in scores {
                    let sources: BTreeSet<StreamColumn> =
                        score.inputs.iter().flat_map(|input| self.of_tree(input)).collect();
                    self.of.extend(score.ids().map(|id| (id, sources.clone())));
                }
            }
            _ => {}
        }
    }
}
