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
    RelationColumn { qualifier: None, name: name.to_owned(), id, data_type, time: false, scored: false }
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
    let columns = from.columns[..count].to_vec();
    let item = |column: &RelationColumn| BoundItem {
        id: column.id,
        name: column.name.clone(),
        tree: Tree::column(column.id, column.data_type.clone()),
    };
    let items = columns.iter().map(item).collect();
    relation(binding, BoundedStep::Project { from: from.id, items }, columns)
}
