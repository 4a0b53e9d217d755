//! Expressions that stand for columns: keys and aggregates of groups, and answers of subqueries.

use crate::bind::relation::{Relation, RelationColumn};
use crate::bind::syntax::{is_subquery, is_window, score_call};
use crate::expression::{Problem, Special, Tree};
use sqlparser::ast::Expr;

/// What is known by its text.
#[derive(Default)]
pub(super) struct Known<'a> {
    trees: Vec<(Expr, Tree)>,
    /// The columns of answers, which no name means.
    answers: Vec<RelationColumn>,
    /// Where the rows are groups, those that were grouped: their columns have no one value in a group.
    below: Option<&'a Relation>,
}

impl<'a> Known<'a> {
    /// Keys and aggregates of groups.
    pub fn of_groups(trees: Vec<(Expr, Tree)>, below: &'a Relation) -> Known<'a> {
        Known { trees, answers: Vec::new(), below: Some(below) }
    }

    /// Whether an expression stands for a column.
    pub fn has(&self, expr: &Expr) -> bool {
        self.trees.iter().any(|(known, _)| known == expr)
    }

    /// The columns of answers.
    pub fn answers(&self) -> &[RelationColumn] {
        &self.answers
    }

    /// Adds what a subquery stands for, over the column of its answer.
    pub fn answered(&mut self, expr: Expr, tree: Tree, column: RelationColumn) {
        self.trees.push((expr, tree));
        self.answers.push(column);
    }
}

impl Special for Known<'_> {
    fn bind(&mut self, expr: &Expr) -> Result<Option<Tree>, Problem> {
        if let Some((_, tree)) = self.trees.iter().find(|(known, _)| known == expr) {
            return Ok(Some(tree.clone()));
        }
        match (expr, self.below) {
            (Expr::Identifier(_) | Expr::CompoundIdentifier(_), Some(below)) if below.place(expr).is_some() => {
                let name = below.key_name(expr);
                Err(Problem::new(format!("{name} is neither in GROUP BY nor inside an aggregate"))
                    .found(&name)
                    .hint(format!("add it to GROUP BY, or write min({name}) or max({name})")))
            }
            (Expr::Function(function), Some(_)) if is_window(expr) => {
                Err(Problem::new("a window over groups is not supported yet").found(function.to_string()))
            }
            _ if is_subquery(expr) => {
                Err(Problem::new("a subquery that names columns of the query around it is not supported here")
                    .found(expr.to_string())
                    .hint("join its FROM instead, with ON for what belongs together, and GROUP BY"))
            }
            _ if score_call(expr).is_some() => {
                Err(Problem::new("a model scores the rows of streams and views, as they come")
                    .found(expr.to_string())
                    .hint("write predict in a SELECT over a stream or a view, inside FROM, and the rest around it"))
            }
            _ => Ok(None),
        }
    }
}
