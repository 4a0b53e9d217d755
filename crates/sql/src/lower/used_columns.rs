//! The columns of tables that a query uses: the others are not read.

use crate::bind::{Answer, BoundedJoin, BoundedStep, Definition, RelationId};
use crate::expression::{ColumnId, Tree};
use std::collections::HashSet;

/// The columns of tables that what comes out of a relation depends on, with all columns of that relation.
pub(crate) fn used_columns(relations: &[Definition], root: RelationId) -> HashSet<ColumnId> {
    let mut uses = Uses { relations, used: HashSet::new() };
    let all = uses.outputs(root);
    uses.relation(root, all.into_iter().collect());
    uses.used
}

struct Uses<'b> {
    relations: &'b [Definition],
    used: HashSet<ColumnId>,
}

fn add_columns(wanted: &mut HashSet<ColumnId>, tree: &Tree) {
    tree.each_column(&mut |id| {
        wanted.insert(id);
    });
}

impl Uses<'_> {
    /// The columns that come out of a relation, in their order.
    fn outputs(&self, id: RelationId) -> Vec<ColumnId> {
        let step = match &self.relations[id.0] {
            Definition::Stream { columns, .. } => return columns.clone(),
            Definition::Select(select) => return select.items.iter().map(|item| item.id).collect(),
            Definition::Bounded(step) => step,
        };
        match &**step {
            BoundedStep::Table { columns, .. } | BoundedStep::Union { columns, .. } => columns.clone(),
            BoundedStep::Filter { from, .. } | BoundedStep::Sort { from, .. } | BoundedStep::Limit { from, .. } => {
                self.outputs(*from)
            }
            BoundedStep::Project { items, .. } => items.iter().map(|item| item.id).collect(),
            BoundedStep::Group { keys, calls, .. } => {
                keys.iter().copied().chain(calls.iter().map(|call| call.id)).collect()
            }
            BoundedStep::Join(join) => {
                let right = join.columns.iter().map(|(here, _)| *here);
                self.outputs(join.left).into_iter().chain(right).collect()
            }
            BoundedStep::Answered { from, id, .. } => self.outputs(*from).into_iter().chain([*id]).collect(),
        }
    }

    fn all_of(&mut self, id: RelationId) {
        let all = self.outputs(id);
        self.relation(id, all.into_iter().collect());
    }

    /// Notes what a relation reads so that some of its columns come out.
    fn relation(&mut self, id: RelationId, mut wanted: HashSet<ColumnId>) {
        let relations = self.relations;
        let Definition::Bounded(step) = &relations[id.0] else { return };
        match &**step {
            BoundedStep::Table { columns, .. } => self.used.extend(columns.iter().filter(|id| wanted.contains(*id))),
            BoundedStep::Filter { from, condition } => {
                add_columns(&mut wanted, condition);
                self.relation(*from, wanted);
            }
            BoundedStep::Project { from, items } => {
                let mut below = HashSet::new();
                // What is computed and then not wanted is computed of NULLs, which may fail where its values do not.
                let of_values = items.iter().filter(|item| wanted.contains(&item.id) || item.tree.can_fail());
                of_values.for_each(|item| add_columns(&mut below, &item.tree));
                self.relation(*from, below);
            }
            BoundedStep::Group { from, keys, calls } => {
                let of_calls = calls.iter().flat_map(|call| [call.argument, call.filter]).flatten();
                self.relation(*from, keys.iter().copied().chain(of_calls).collect());
            }
            BoundedStep::Sort { from, keys, .. } => {
                wanted.extend(keys.iter().map(|key| key.id));
                self.relation(*from, wanted);
            }
            BoundedStep::Limit { from, .. } => self.relation(*from, wanted),
            BoundedStep::Union { sides, columns } => {
                for side in sides {
                    let of_side = self.outputs(*side).into_iter().zip(columns);
                    let below = of_side.filter(|(_, here)| wanted.contains(here)).map(|(there, _)| there).collect();
                    self.relation(*side, below);
                }
            }
            BoundedStep::Join(join) => self.join(join, wanted),
            BoundedStep::Answered { from, query, answer, .. } => {
                if let Answer::In { key } = answer {
                    wanted.insert(*key);
                }
                self.relation(*from, wanted);
                self.all_of(*query);
            }
        }
    }

    fn join(&mut self, join: &BoundedJoin, mut wanted: HashSet<ColumnId>) {
        if let Some(condition) = &join.condition {
            add_columns(&mut wanted, condition);
        }
        let there = join.columns.iter().filter(|(here, _)| wanted.contains(here)).map(|(_, there)| *there);
        let right = there.chain(join.keys.iter().map(|(_, theirs)| *theirs)).collect();
        wanted.extend(join.keys.iter().map(|(ours, _)| *ours));
        self.relation(join.left, wanted);
        self.relation(join.right, right);
    }
}
