//! Steps as relations.

use crate::bind::binding::Binding;
use crate::bind::bound::{BoundItem, BoundedStep, Definition, RelationId};
use crate::bind::refuse;
use crate::bind::relation::{Relation, RelationColumn};
use crate::diagnostic::Outcome;
use crate::expression::{ColumnId, Tree};
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Span;
use std::collections::HashSet;

/// A relation of columns under no qualifier.
pub(super) fn relation(binding: &mut Binding, step: BoundedStep, columns: Vec<RelationColumn>) -> Relation {
    let id = binding.add(Definition::Bounded(Box::new(step)));
    Relation::bounded(id, columns)
}

/// The same columns after another step.
pub(super) fn same_columns(
    binding: &mut Binding,
    relation: &Relation,
    step: impl FnOnce(RelationId) -> BoundedStep,
) -> Relation {
    let id = binding.add(Definition::Bounded(Box::new(step(relation.id))));
    Relation::bounded(id, relation.columns.clone())
}

/// A column under no qualifier.
pub(super) fn column(name: &str, id: ColumnId, tree: &Tree) -> RelationColumn {
    let data_type = tree.settled_type();
    RelationColumn {
        qualifier: None,
        name: name.to_owned(),
        id,
        data_type,
        time: false,
        scored: false,
        needs_qualifier: false,
        is_used: false,
    }
}

/// A projection: expressions with their names, and the text that they were. A column that is only passed on keeps its
/// id.
pub(super) fn project(
    binding: &mut Binding,
    from: RelationId,
    trees: Vec<(String, Tree, &Expr)>,
    span: Span,
) -> Outcome<Relation> {
    let (mut taken, mut items, mut columns) = (HashSet::new(), Vec::new(), Vec::new());
    for (name, tree, written) in trees {
        let data_type = tree.settled_type();
        refuse::column_type(&name, written, &data_type, span)?;
        let kept = tree.as_column().filter(|id| taken.insert(*id));
        let id = kept.unwrap_or_else(|| binding.columns.add(&name, data_type));
        columns.push(column(&name, id, &tree));
        items.push(BoundItem { id, name, tree });
    }
    Ok(relation(binding, BoundedStep::Project { from, items }, columns))
}

/// The first columns of a relation alone.
pub(super) fn first_columns(binding: &mut Binding, from: &Relation, count: usize) -> Relation {
    columns_alone(binding, from, from.columns[..count].to_vec())
}

/// Some columns of a relation alone.
pub(super) fn columns_alone(binding: &mut Binding, from: &Relation, columns: Vec<RelationColumn>) -> Relation {
    let items = columns.iter().map(kept).collect();
    relation(binding, BoundedStep::Project { from: from.id, items }, columns)
}

/// A column as it is.
fn kept(column: &RelationColumn) -> BoundItem {
    let tree = Tree::column(column.id, column.data_type.clone());
    BoundItem { id: column.id, name: column.name.clone(), tree }
}

/// The rows with a column for each key; one that is computed has no name. Columns beside those that can be named stay.
pub(super) fn with_keys(
    binding: &mut Binding,
    side: &Relation,
    beside: &[RelationColumn],
    keys: Vec<Tree>,
) -> (Relation, Vec<ColumnId>) {
    if let Some(ids) = keys.iter().map(Tree::as_column).collect::<Option<Vec<_>>>() {
        return (side.clone(), ids);
    }
    let mut items: Vec<BoundItem> = side.columns.iter().chain(beside).map(kept).collect();
    let mut ids = Vec::with_capacity(keys.len());
    for tree in keys {
        let name = binding.columns.text(&tree);
        let id = binding.columns.add_part(&name, tree.settled_type());
        items.push(BoundItem { id, name, tree });
        ids.push(id);
    }
    let with = same_columns(binding, side, |from| BoundedStep::Project { from, items });
    (with, ids)
}
