//! Subqueries that name nothing of the query around them: each is answered once, and its answer is a column of the rows.

use super::define;
use super::known::Known;
use crate::bind::binding::Binding;
use crate::bind::bound::{Answer, BoundedStep};
use crate::bind::keys;
use crate::bind::relation::Relation;
use crate::bind::syntax::{any, is_subquery, names_in, score_call};
use crate::diagnostic::{Fault, Outcome, fault, place_of};
use crate::expression::{Op, Tree, common_type, type_name};
use arrow::datatypes::DataType;
use sqlparser::ast::{Expr, Ident, Query, Value, Visit, Visitor};
use sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// A subquery with its rows.
pub(super) struct Subquery {
    expr: Expr,
    rows: Relation,
    span: Span,
}

/// Binds the subqueries of expressions, each once and inner ones first, but for those within what is known. Those that
/// name columns of the rows around them are left out, since their answer is another one for each row.
pub(super) fn bind<'e>(
    binding: &mut Binding,
    owner: &str,
    exprs: impl IntoIterator<Item = &'e Expr>,
    (around, known): (&Relation, &Known),
    within: Span,
) -> Outcome<Vec<Subquery>> {
    let mut all: Vec<Subquery> = Vec::new();
    for expr in exprs {
        let mut finder = Finder { known, queries: 0, known_parts: 0, found: Vec::new() };
        // Nothing stops the walk.
        let _: ControlFlow<()> = Visit::visit(expr, &mut finder);
        for expr in finder.found {
            let Some(query) = query_of(&expr) else { continue };
            if all.iter().any(|known| known.expr == expr) {
                continue;
            }
            let span = place_of(&expr, within);
            match binding.query(owner, query, span) {
                Ok(rows) => all.push(Subquery { expr, rows, span }),
                Err(fault) if names_around(&fault, query, around) => {}
                Err(fault) => return Err(fault),
            }
        }
    }
    Ok(all)
}

/// Looks for subqueries and calls of models outside of each other, and outside of what is known.
struct Finder<'k> {
    known: &'k Known<'k>,
    /// How many queries and known expressions are around.
    queries: usize,
    known_parts: usize,
    found: Vec<Expr>,
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.known_parts += usize::from(self.known.has(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.queries == 0 && self.known_parts == 0 && (is_subquery(expr) || score_call(expr).is_some()) {
            self.found.push(expr.clone());
        }
        self.known_parts -= usize::from(self.known.has(expr));
        ControlFlow::Continue(())
    }
}

/// Whether what is unknown within a query is a name of the rows around it.
fn names_around(fault: &Fault, query: &Query, around: &Relation) -> bool {
    let Some(unknown) = &fault.found else { return false };
    let is_it = |part: &Ident| part.value.eq_ignore_ascii_case(unknown);
    names_in(query).iter().filter(|name| around.place(name).is_some()).any(|name| match name {
        Expr::Identifier(part) => is_it(part),
        Expr::CompoundIdentifier(parts) => parts.iter().any(is_it),
        _ => false,
    })
}

fn query_of(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Subquery(query) => Some(query),
        Expr::Exists { subquery, .. } | Expr::InSubquery { subquery, .. } => Some(subquery),
        _ => None,
    }
}

/// Whether an expression holds a call of a model, or a subquery that is none of these and in none of them.
pub(super) fn has_other(expr: &Expr, subqueries: &[Subquery]) -> bool {
    let known = Known::default();
    let mut finder = Finder { known: &known, queries: 0, known_parts: 0, found: Vec::new() };
    // Nothing stops the walk.
    let _: ControlFlow<()> = Visit::visit(expr, &mut finder);
    finder.found.iter().any(|part| !subqueries.iter().any(|subquery| subquery.expr == *part))
}

/// Whether a part of an expression is one of the subqueries.
pub(super) fn has_any(expr: &Expr, subqueries: &[Subquery]) -> bool {
    any(expr, |part| subqueries.iter().any(|subquery| subquery.expr == *part))
}

/// The rows with the answers beside their columns, by which the subqueries are then known.
pub(super) fn answer(
    binding: &mut Binding,
    rows: &Relation,
    subqueries: &[Subquery],
    known: &mut Known,
) -> Outcome<Relation> {
    let mut rows = rows.clone();
    for subquery in subqueries {
        rows = subquery.answer(binding, &rows, known)?;
    }
    Ok(rows)
}

impl Subquery {
    /// The rows with the answer, by which the subquery is then known.
    fn answer(&self, binding: &mut Binding, rows: &Relation, known: &mut Known) -> Outcome<Relation> {
        let (rows, of, answer, data_type) = match &self.expr {
            Expr::Exists { .. } => (rows.clone(), self.rows.clone(), Answer::Exists, DataType::Boolean),
            Expr::InSubquery { expr, .. } => {
                let value = rows.bind_with(expr, known, self.span)?;
                self.check_in(expr, &value)?;
                let (values, value) = self.compared(binding, value)?;
                let (rows, key) = define::with_keys(binding, rows, known.answers(), vec![value]);
                (rows, values, Answer::In { key: key[0] }, DataType::Boolean)
            }
            _ => (rows.clone(), self.rows.clone(), Answer::Value, self.only_column()?.settled_type()),
        };
        let text = self.expr.to_string();
        let id = binding.columns.add_part(&text, data_type.clone());
        let rows =
            define::same_columns(binding, &rows, |from| BoundedStep::Answered { from, query: of.id, id, answer });
        let tree = Tree::column(id, data_type);
        let column = define::column(&text, id, &tree);
        let tree = match &self.expr {
            Expr::Exists { negated: true, .. } | Expr::InSubquery { negated: true, .. } => {
                Tree::of(Op::Not, vec![tree]).map_err(|problem| Box::new(fault(problem).within(self.span)))?
            }
            _ => tree,
        };
        known.answered(self.expr.clone(), tree, column);
        Ok(rows)
    }

    /// Refuses text that is looked for among values of another type, and the other way round, as DuckDB does: which of the
    /// two is to be read as the other is a guess, and `01` is 1 in one of them alone.
    fn check_in(&self, written: &Expr, value: &Tree) -> Outcome<()> {
        let among = self.only_column()?.settled_type();
        // A text that is written is of any type.
        let mut inner = written;
        while let Expr::Nested(nested) = inner {
            inner = nested;
        }
        let is_written = matches!(inner, Expr::Value(text) if matches!(text.value, Value::SingleQuotedString(_)));
        let (one, other) = (value.data_type().clone(), among);
        let is_text = |data_type: &DataType| *data_type == DataType::Utf8;
        let any = one == DataType::Null || other == DataType::Null || (is_written && is_text(&one));
        if any || is_text(&one) == is_text(&other) {
            return Ok(());
        }
        Fault::new(self.span, "IN compares a text with values that are none, or the other way round")
            .found(format!("{} and {}", type_name(&one), type_name(&other)))
            .expected("values of one type")
            .hint(format!("cast one of them, as in CAST({written} AS {}) IN (..)", type_name(&other)))
            .err()
    }

    /// The column of a subquery that gives one.
    fn only_column(&self) -> Outcome<Tree> {
        match self.rows.columns.as_slice() {
            [column] => Ok(Tree::column(column.id, column.data_type.clone())),
            columns => Fault::new(self.span, "a subquery gives one column here")
                .found(format!("{} columns", columns.len()))
                .err(),
        }
    }

    /// The values of the subquery, and what is looked for among them, in the type in which both are compared.
    fn compared(&self, binding: &mut Binding, value: Tree) -> Outcome<(Relation, Tree)> {
        let column = self.only_column()?;
        let within = |problem| Box::new(fault(problem).within(self.span));
        let Some(common) = common_type(&value, &column) else {
            return Fault::new(self.span, "a value cannot be compared with those of the subquery")
                .found(self.expr.to_string())
                .hint("cast one of them")
                .err();
        };
        keys::check(&common, &self.expr, self.span)?;
        let values = vec![column.cast_to(&common).map_err(within)?];
        let (rows, ids) = define::with_keys(binding, &self.rows, &[], values);
        let column = rows.columns.iter().find(|column| column.id == ids[0]).cloned();
        let name = self.rows.columns[0].name.clone();
        let column = column.unwrap_or_else(|| define::column(&name, ids[0], &Tree::column(ids[0], common.clone())));
        let values = define::columns_alone(binding, &rows, vec![column]);
        Ok((values, value.cast_to(&common).map_err(within)?))
    }
}
