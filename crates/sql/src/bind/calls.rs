//! The calls in a SELECT that are more than a function of the row: windows, subqueries and `predict`. Each becomes a
//! column, and equal ones the same.

use super::binding::Binding;
use super::bound::Calls;
use super::relation::Relation;
use super::subquery::{self, Outside};
use super::syntax::{argument, arguments, is_subquery, is_window, score_call};
use super::{predict, refuse, window};
use crate::expression::{Problem, Special, Tree};
use operators::predict::Part;
use sqlparser::ast::{Expr, Function, NamedWindowDefinition, Select};
use sqlparser::tokenizer::Span;

/// Gathers the calls of a SELECT.
pub(crate) struct SelectCalls<'b, 'p> {
    binding: &'b mut Binding<'p>,
    relation: &'b Relation,
    calls: &'b mut Calls,
    /// The windows that have names; `None` where only subqueries are gathered.
    windows: Option<&'b [NamedWindowDefinition]>,
    /// The column that a call is all of: its name, and the call.
    whole: Option<(&'b str, &'b Expr)>,
    /// An input of a model is bound: it holds no model.
    in_model: bool,
    span: Span,
}

impl<'b, 'p> SelectCalls<'b, 'p> {
    pub fn new(
        binding: &'b mut Binding<'p>,
        select: &'b Select,
        relation: &'b Relation,
        calls: &'b mut Calls,
        span: Span,
    ) -> Self {
        SelectCalls {
            binding,
            relation,
            calls,
            windows: Some(&select.named_window),
            whole: None,
            in_model: false,
            span,
        }
    }

    /// Gathers subqueries alone.
    pub fn of_subqueries(
        binding: &'b mut Binding<'p>,
        relation: &'b Relation,
        calls: &'b mut Calls,
        span: Span,
    ) -> Self {
        SelectCalls { binding, relation, calls, windows: None, whole: None, in_model: false, span }
    }

    /// The column that is bound; a call that is all of it is called after it.
    pub fn named(self, name: &'b str, expr: &'b Expr) -> Self {
        SelectCalls { whole: Some((name, expr)), ..self }
    }

    fn name_of(&self, expr: &Expr) -> Option<&'b str> {
        self.whole.filter(|(_, whole)| std::ptr::eq(*whole, expr)).map(|(name, _)| name)
    }

    fn window(&mut self, function: &Function, name: Option<&str>) -> Result<Option<Tree>, Problem> {
        let Some(windows) = self.windows else { return Ok(None) };
        for argument_text in arguments(function) {
            refuse::inside_window(argument_text.to_string(), argument(argument_text), self.span)?;
        }
        let call = window::bind(function, windows, name, self.relation, &mut self.binding.columns, self.span)?;
        let data_type = self.binding.columns.get(call.id).data_type.clone();
        let id = match self.calls.windows.iter().find(|known| known.same(&call)) {
            Some(known) => known.id,
            None => {
                self.calls.windows.push(call.clone());
                call.id
            }
        };
        Ok(Some(Tree::column(id, data_type)))
    }

    fn predict(&mut self, (part, function): (Part, &Function), expr: &Expr) -> Result<Option<Tree>, Problem> {
        let name = self.name_of(expr);
        let named = predict::open(self.binding, function, self.relation, self.span, expr)?;
        let mut inputs = Vec::with_capacity(named.inputs.len());
        for input in &named.inputs {
            // An input may itself hold a window or a subquery.
            let relation = self.relation;
            self.in_model = true;
            let bound = relation.bind_with(&input.expr, self, named.span);
            self.in_model = false;
            let tree = bound?;
            predict::check(input, &tree, &named)?;
            inputs.push(tree);
        }
        let (columns, scores) = (&mut self.binding.columns, &mut self.calls.scores);
        let (id, data_type) = predict::add(named, part, inputs, name, columns, scores);
        Ok(Some(Tree::column(id, data_type)))
    }
}

impl Special for SelectCalls<'_, '_> {
    fn bind(&mut self, expr: &Expr) -> Result<Option<Tree>, Problem> {
        let name = self.name_of(expr);
        match expr {
            Expr::Function(function) if is_window(expr) => self.window(function, name),
            part if is_subquery(part) => {
                let mut outside = Outside { relation: self.relation, ranges: &mut self.calls.ranges, alias: name };
                Ok(Some(subquery::bind(self.binding, part, &mut outside, self.span)?))
            }
            part => match score_call(part) {
                Some(called) if self.windows.is_some() && !self.in_model => self.predict(called, part),
                _ => Ok(None),
            },
        }
    }
}
