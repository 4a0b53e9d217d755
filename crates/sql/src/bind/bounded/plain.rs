//! A SELECT without groups.

use super::define;
use super::from::FromClause;
use crate::bind::binding::Binding;
use crate::bind::bound::BoundedStep;
use crate::bind::items::Item;
use crate::bind::relation::Relation;
use crate::bind::syntax::{any, is_window};
use crate::bind::{refuse, select as stream};
use crate::diagnostic::{Fault, Outcome};
use sqlparser::ast::Select;
use sqlparser::tokenizer::Span;

/// The columns of each row that WHERE lets pass.
pub(super) fn rows(
    binding: &mut Binding,
    owner: &str,
    select: &Select,
    read: FromClause,
    items: &[Item],
    span: Span,
) -> Outcome<Relation> {
    let relation = match read {
        FromClause::Stream(relation, joins) => {
            return stream::over(binding, owner, select, (relation, joins), items, span);
        }
        FromClause::Bounded(relation) => relation,
    };
    let relation = match &select.selection {
        None => relation,
        Some(condition) => {
            refuse::in_where(condition, span)?;
            let condition = relation.condition(condition, span)?;
            define::same_columns(binding, &relation, |from| BoundedStep::Filter { from, condition })
        }
    };
    if let Some(item) = items.iter().find(|item| any(&item.expr, is_window)) {
        return Fault::new(item.span, "a window over rows that end is not supported yet")
            .found(item.expr.to_string())
            .hint("write the window in a SELECT over a stream or a view, inside FROM, and the rest around it")
            .err();
    }
    let mut trees = Vec::with_capacity(items.len());
    for item in items {
        let at = if item.span.start.line == 0 { span } else { item.span };
        trees.push((item.name.clone(), relation.bind(&item.expr, at)?, &item.expr));
    }
    define::project(binding, relation.id, trees, span)
}
