//! A SELECT to steps: FROM, as-of joins, WHERE, windows and aggregates over other streams, models, projection.

use crate::as_of::{self, AsOfJoin};
use crate::diagnostic::{Fault, Outcome, did_you_mean, place_of};
use crate::planner::Planner;
use crate::relation::{Relation, RelationColumn};
use crate::rewrite::{UsedColumns, and, any, conjuncts, is_subquery, is_window, object_name, replace, table_name};
use crate::steps::Steps;
use crate::{model, refuse, subquery, window};
use dataflow::Scalar;
use sqlparser::ast::{
    ExcludeSelectItem, Expr, JoinConstraint, JoinOperator, NamedWindowDefinition, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Spanned, TableFactor, TableWithJoins, WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Span;
use std::sync::Arc;

impl Planner<'_> {
    /// Plans a query: the relation of its rows. `owner` names its nodes.
    pub fn query(&mut self, owner: &str, query: &Query, span: Span) -> Outcome<Relation> {
        refuse::endings(query, span)?;
        let before = self.local.len();
        let mut outcome = Ok(());
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = &table.alias.name.value;
            outcome = self.query(&format!("{owner}.{name}"), &table.query, place_of(table.query.as_ref(), span)).map(
                |relation| {
                    self.local.push((name.to_lowercase(), relation));
                },
            );
            if outcome.is_err() {
                break;
            }
        }
        let relation = outcome.and_then(|()| match query.body.as_ref() {
            SetExpr::Select(select) => self.select(owner, select, span),
            SetExpr::Query(inner) => self.query(owner, inner, span),
            SetExpr::SetOperation { op, .. } => {
                Fault::new(place_of(query, span), format!("{op} of streams is not supported yet"))
                    .hint("write one view for each side, and an INSERT for each")
                    .err()
            }
            _ => Fault::new(span, "a view is a SELECT over streams").err(),
        });
        self.local.truncate(before);
        relation
    }

    fn select(&mut self, owner: &str, select: &Select, span: Span) -> Outcome<Relation> {
        refuse::clauses(select, span)?;
        let used = UsedColumns::of(select);
        match self.steps_of_select(owner, select, &used, span) {
            // What is wrong is told with all columns in sight, once: the plan goes nowhere from here.
            Err(fault) if !self.keeps_all => {
                self.keeps_all = true;
                self.steps_of_select(owner, select, &used, span).and(Err(fault))
            }
            planned => planned,
        }
    }

    /// The steps of a SELECT over the columns that it uses.
    fn steps_of_select(&mut self, owner: &str, select: &Select, used: &UsedColumns, span: Span) -> Outcome<Relation> {
        let mut relation = self.from(owner, select, used, span)?;
        let (plain, with_subqueries): (Vec<&Expr>, Vec<&Expr>) = select
            .selection
            .as_ref()
            .map(conjuncts)
            .unwrap_or_default()
            .into_iter()
            .partition(|condition| !any(*condition, is_subquery));
        for condition in plain.iter().chain(&with_subqueries) {
            refuse::in_where(condition, span)?;
        }
        if let Some(condition) = and(plain.into_iter().cloned()) {
            relation = self.filter(owner, relation, &condition, &condition.to_string(), span)?;
        }
        let mut items = self.items(select, &relation, span)?;
        let late_filter = and(with_subqueries.into_iter().cloned());
        let windows = items.iter().any(|item| any(&item.expr, is_window));
        relation = match late_filter {
            Some(condition) if windows => {
                relation = self.filter_by_subquery(owner, relation, condition, span)?;
                self.steps(owner, relation, &mut items, &[], select, span)?.0
            }
            Some(condition) => {
                let (relation, conditions) =
                    self.steps(owner, relation, &mut items, &[condition.clone()], select, span)?;
                let rewritten = and(conditions).unwrap_or(condition.clone());
                self.filter(owner, relation, &rewritten, &condition.to_string(), span)?
            }
            None => self.steps(owner, relation, &mut items, &[], select, span)?.0,
        };
        let mut pairs: Vec<(Expr, Option<String>)> =
            items.iter().map(|item| (item.expr.clone(), Some(item.name.clone()))).collect();
        let relation = model::plan(self, owner, relation, &mut pairs, span)?;
        for (item, (expr, _)) in items.iter_mut().zip(pairs) {
            item.expr = expr;
        }
        self.finish(owner, relation, &items, span)
    }

    /// WHERE comes before windows, so a bound that waits for rows to come cannot stand in it beside them.
    fn filter_by_subquery(
        &mut self,
        owner: &str,
        relation: Relation,
        condition: Expr,
        span: Span,
    ) -> Outcome<Relation> {
        let shift = relation.shift;
        let mut rewritten = [Item { expr: condition.clone(), name: "where".to_owned(), span }];
        let mut steps = Steps::new(relation);
        rewrite_subqueries(self, &mut rewritten, &mut steps, span)?;
        let relation = steps.run(&mut self.plan, owner)?;
        if relation.shift != shift {
            return Fault::new(place_of(&condition, span), "a WHERE with a forward bound and windows in one SELECT")
                .found(condition.to_string())
                .hint("WHERE is answered before windows, and this one only later: put the windows in a view of their own and filter that view")
                .err();
        }
        let [Item { expr, .. }] = rewritten;
        self.filter(owner, relation, &expr, &condition.to_string(), span)
    }

    fn filter(
        &mut self,
        owner: &str,
        mut relation: Relation,
        condition: &Expr,
        text: &str,
        span: Span,
    ) -> Outcome<Relation> {
        let compiled = relation.condition(condition, span)?;
        relation.node = self.plan.filter(relation.node, owner, compiled.scalar, text);
        Ok(relation)
    }

    /// Runs what the items and conditions need; they are rewritten to name the columns that it gives.
    fn steps(
        &mut self,
        owner: &str,
        relation: Relation,
        items: &mut [Item],
        conditions: &[Expr],
        select: &Select,
        span: Span,
    ) -> Outcome<(Relation, Vec<Expr>)> {
        let mut steps = Steps::new(relation);
        rewrite_windows(items, &select.named_window, &mut steps, span)?;
        rewrite_subqueries(self, items, &mut steps, span)?;
        let conditions = conditions.iter().map(|expr| Item { expr: expr.clone(), name: "where".to_owned(), span });
        let mut conditions: Vec<Item> = conditions.collect();
        rewrite_subqueries(self, &mut conditions, &mut steps, span)?;
        let relation = steps.run(&mut self.plan, owner)?;
        Ok((relation, conditions.into_iter().map(|item| item.expr).collect()))
    }

    fn from(&mut self, owner: &str, select: &Select, used: &UsedColumns, span: Span) -> Outcome<Relation> {
        let [TableWithJoins { relation: first, joins }] = select.from.as_slice() else {
            return match select.from.get(1) {
                Some(second) => Fault::new(
                    place_of(&second.relation, span),
                    "a join of streams without a bound of time",
                )
                .hint("write ASOF LEFT JOIN .. ON key = key AND their time <= our time, or an aggregate in a subquery")
                .err(),
                None => Fault::new(place_of(select, span), "a SELECT without FROM has no rows to come")
                    .expected("FROM stream")
                    .err(),
            };
        };
        let left = self.table(owner, first, span)?;
        let steps = !joins.is_empty() || any(select, is_subquery) || any(select, is_window);
        let mut relation = left;
        if steps {
            let kept: Vec<usize> = (0..relation.columns.len())
                .filter(|&index| {
                    let column = &relation.columns[index];
                    self.keeps_all || column.time || used.has(column.qualifier.as_deref(), &column.name)
                })
                .collect();
            relation = relation.narrowed(&mut self.plan, &kept);
        }
        let used_behind = UsedColumns::of(&without_conditions(select));
        for join in joins {
            let marked = self.is_as_of(&join.relation);
            let span = place_of(&join.relation, span);
            let (inner, constraint) = match &join.join_operator {
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) if marked => (false, constraint),
                JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) if marked => (true, constraint),
                _ => return refuse::join(span),
            };
            let right = self.table(owner, &join.relation, span)?;
            let alias = right.columns.first().and_then(|column| column.qualifier.clone()).unwrap_or_default();
            if relation
                .columns
                .iter()
                .any(|column| column.qualifier.as_ref().is_some_and(|q| q.eq_ignore_ascii_case(&alias)))
            {
                return Fault::new(span, format!("two sides of a join are named \"{alias}\""))
                    .hint("give one of them another name: stream AS other")
                    .err();
            }
            let joined = AsOfJoin { right, alias, inner, constraint, span };
            relation = as_of::plan(&mut self.plan, owner, relation, joined, &used_behind)?;
        }
        Ok(relation)
    }

    /// Whether ASOF stood in front of the join.
    fn is_as_of(&self, relation: &TableFactor) -> bool {
        let start = match relation {
            TableFactor::Table { name, .. } => name.span().start,
            _ => return false,
        };
        self.statements.as_of.contains(&(self.file, start))
    }

    fn table(&mut self, owner: &str, factor: &TableFactor, span: Span) -> Outcome<Relation> {
        if let TableFactor::Derived { lateral: false, subquery, alias, .. } = factor {
            let Some(alias) = alias else {
                return Fault::new(place_of(subquery.as_ref(), span), "a query in FROM has no name")
                    .hint("write (SELECT ..) AS name")
                    .err();
            };
            let name = &alias.name.value;
            return Ok(self.query(&format!("{owner}.{name}"), subquery, span)?.named(name));
        }
        let (name, alias) = table_name(factor, span)?;
        Ok(self.relation(&name)?.named(&alias))
    }

    fn items(&self, select: &Select, relation: &Relation, span: Span) -> Outcome<Vec<Item>> {
        let mut items = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(options) => star(None, options, relation, &mut items, span)?,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    star(Some(&object_name(name)), options, relation, &mut items, place_of(item, span))?;
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(Item { expr: expr.clone(), name: alias.value.clone(), span: alias.span });
                }
                SelectItem::UnnamedExpr(expr) => {
                    let name = match expr {
                        Expr::Identifier(name) => name.value.clone(),
                        Expr::CompoundIdentifier(parts) => {
                            parts.last().map_or(String::new(), |name| name.value.clone())
                        }
                        other => {
                            return Fault::new(place_of(other, span), "a computed column has no name")
                                .found(other.to_string())
                                .expected("AS and a name")
                                .err();
                        }
                    };
                    items.push(Item { expr: expr.clone(), name, span: place_of(expr, span) });
                }
                other => {
                    return Fault::new(place_of(other, span), "this kind of column is not supported")
                        .found(other.to_string())
                        .err();
                }
            }
        }
        for (at, item) in items.iter().enumerate() {
            if items[..at].iter().any(|other| other.name.eq_ignore_ascii_case(&item.name)) {
                return Fault::new(item.span, format!("two columns are named \"{}\"", item.name))
                    .hint("give one of them another name with AS, or leave it out with * EXCLUDE (name)")
                    .err();
            }
            refuse::aggregate(&item.expr, item.span)?;
        }
        Ok(items)
    }

    /// The projection to the columns of the SELECT; none where they are those of the input.
    fn finish(&mut self, owner: &str, relation: Relation, items: &[Item], span: Span) -> Outcome<Relation> {
        let mut columns = Vec::with_capacity(items.len());
        let mut scalars: Vec<Arc<dyn Scalar>> = Vec::with_capacity(items.len());
        let mut sources: Vec<Option<usize>> = Vec::with_capacity(items.len());
        for item in items {
            let at = relation.plain_column(&item.expr);
            let is_time = relation.is_time(&item.expr);
            let compiled = relation.compile(&item.expr, if item.span.start.line == 0 { span } else { item.span })?;
            refuse::column_type(
                &item.name,
                &item.expr,
                &compiled.data_type,
                if item.span.start.line == 0 { span } else { item.span },
            )?;
            columns.push(RelationColumn {
                qualifier: None,
                name: item.name.clone(),
                data_type: compiled.data_type,
                nullable: compiled.nullable,
                time: is_time,
                scored: relation.is_scored(&item.expr),
                generated: false,
            });
            scalars.push(match at {
                Some(index) => relation.pick(index),
                None => compiled.scalar,
            });
            sources.push(at);
        }
        let same = |(at, column): (usize, &RelationColumn)| {
            sources[at] == Some(at) && relation.columns[at].name == column.name
        };
        if columns.len() == relation.columns.len() && columns.iter().enumerate().all(same) {
            return Ok(Relation { columns, ..relation });
        }
        let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        let describe = format!("gives {}", names.join(", "));
        let mut output =
            Relation { node: relation.node, columns, models: relation.models.clone(), shift: relation.shift };
        let kept = |index: usize| sources.iter().position(|source| *source == Some(index));
        output.node = self.plan.project(relation.node, owner.to_owned(), output.schema(), scalars, describe, kept);
        Ok(output)
    }
}

/// The SELECT without the conditions of its joins: columns that only they name are not needed after them.
fn without_conditions(select: &Select) -> Select {
    let mut select = select.clone();
    for join in select.from.iter_mut().flat_map(|from| &mut from.joins) {
        if let JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) = &mut join.join_operator
        {
            *constraint = JoinConstraint::None;
        }
    }
    select
}

/// A column of a SELECT.
struct Item {
    expr: Expr,
    name: String,
    span: Span,
}

fn rewrite_windows(items: &mut [Item], named: &[NamedWindowDefinition], steps: &mut Steps, span: Span) -> Outcome<()> {
    for item in items {
        let whole = is_window(&item.expr);
        let alias = whole.then(|| item.name.clone());
        replace(&mut item.expr, |part| match part {
            Expr::Function(function) if function.over.is_some() => {
                for argument in crate::rewrite::arguments(function) {
                    refuse::inside_window(argument.to_string(), crate::rewrite::argument(argument), span)?;
                }
                window::plan(function, named, alias.as_deref(), steps, span).map(Some)
            }
            _ => Ok(None),
        })?;
    }
    Ok(())
}

fn rewrite_subqueries(planner: &mut Planner, items: &mut [Item], steps: &mut Steps, span: Span) -> Outcome<()> {
    for item in items {
        let whole = is_subquery(&item.expr);
        let alias = whole.then(|| item.name.clone());
        replace(&mut item.expr, |part| match is_subquery(part) {
            true => subquery::plan(planner, part, alias.as_deref(), steps, span).map(Some),
            false => Ok(None),
        })?;
    }
    Ok(())
}

/// The columns that `*` means: all that can be named, less those of EXCLUDE.
fn star(
    qualifier: Option<&str>,
    options: &WildcardAdditionalOptions,
    relation: &Relation,
    items: &mut Vec<Item>,
    span: Span,
) -> Outcome<()> {
    let token = options.wildcard_token.0.span;
    let at = if token.start.line == 0 { span } else { token };
    if options.opt_ilike.is_some()
        || options.opt_except.is_some()
        || options.opt_replace.is_some()
        || options.opt_rename.is_some()
    {
        return Fault::new(at, "* takes EXCLUDE only").found(options.to_string()).hint("write the columns out").err();
    }
    let excluded: Vec<String> = match &options.opt_exclude {
        None => vec![],
        Some(ExcludeSelectItem::Single(name)) => vec![object_name(name)],
        Some(ExcludeSelectItem::Multiple(names)) => names.iter().map(object_name).collect(),
    };
    let of = |column: &&RelationColumn| {
        !column.generated
            && qualifier.is_none_or(|wanted| column.qualifier.as_ref().is_some_and(|q| q.eq_ignore_ascii_case(wanted)))
    };
    let columns: Vec<&RelationColumn> = relation.columns.iter().filter(of).collect();
    if let (true, Some(qualifier)) = (columns.is_empty(), qualifier) {
        let known: Vec<&str> = relation.columns.iter().filter_map(|column| column.qualifier.as_deref()).collect();
        let mut fault = Fault::new(at, format!("no stream or view is named \"{qualifier}\" here"));
        fault.hint = did_you_mean(qualifier, known.into_iter());
        return fault.err();
    }
    if let Some(unknown) =
        excluded.iter().find(|name| !columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)))
    {
        let mut fault = Fault::new(at, format!("EXCLUDE names \"{unknown}\", and no column is named so"));
        fault.hint = did_you_mean(unknown, columns.iter().map(|column| column.name.as_str()));
        return fault.err();
    }
    for column in columns {
        if excluded.iter().any(|name| name.eq_ignore_ascii_case(&column.name)) {
            continue;
        }
        let ident = |value: &str| sqlparser::ast::Ident { value: value.to_owned(), quote_style: Some('"'), span: at };
        let expr = match &column.qualifier {
            Some(qualifier) => Expr::CompoundIdentifier(vec![ident(qualifier), ident(&column.name)]),
            None => Expr::Identifier(ident(&column.name)),
        };
        items.push(Item { expr, name: column.name.clone(), span: at });
    }
    Ok(())
}
