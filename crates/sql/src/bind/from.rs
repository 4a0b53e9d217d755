//! FROM: streams, views, queries in parentheses, and as-of joins.

use super::as_of::{self, AsOfJoin};
use super::binding::Binding;
use super::bound::{BoundItem, BoundJoin, BoundSelect, BoundedStep, Calls, Definition};
use super::refuse;
use super::relation::{Relation, RelationColumn};
use super::syntax::table_name;
use crate::diagnostic::{Fault, Outcome, place_of};
use crate::expression::Tree;
use sqlparser::ast::{JoinOperator, Select, Spanned, TableAlias, TableFactor, TableWithJoins};
use sqlparser::tokenizer::{Location, Span};

/// What a query in FROM is called that has no name, as in DuckDB.
const UNNAMED: &str = "unnamed_subquery";

/// Queries in one FROM that have no name: the first is called as all of them would be, the others have a number after it,
/// as in DuckDB.
#[derive(Default)]
pub(crate) struct UnnamedQueries(usize);

impl UnnamedQueries {
    /// The rows under the name that nothing else of the FROM has.
    pub fn numbered(&mut self, factor: &TableFactor, relation: Relation) -> Relation {
        if !matches!(factor, TableFactor::Derived { alias: None, .. }) {
            return relation;
        }
        self.0 += 1;
        if self.0 == 1 { relation } else { relation.named(&format!("{UNNAMED}{}", self.0)) }
    }
}

/// What is said of a SELECT that has no FROM, or whose FROM stands where a value was expected and is taken for a name.
pub(super) fn without_from(select: &Select, span: Span, what: &str, expected: &str) -> Fault {
    let fault = Fault::new(place_of(select, span), what).expected(expected);
    let is_from = |word: &str| word.eq_ignore_ascii_case("FROM");
    match select.projection.iter().any(|item| item.to_string().split_whitespace().any(is_from)) {
        true => fault.hint("something is missing before FROM, which is taken for the name of a column here"),
        false => fault,
    }
}

impl Binding<'_> {
    /// FROM with its as-of joins: what can be named after them, and the joins.
    pub fn from(&mut self, owner: &str, select: &Select, span: Span) -> Outcome<(Relation, Vec<BoundJoin>)> {
        let [TableWithJoins { relation: first, joins }] = select.from.as_slice() else {
            return match select.from.get(1) {
                Some(second) => Fault::new(
                    place_of(&second.relation, span),
                    "a join of streams without a bound of time",
                )
                .hint("write ASOF LEFT JOIN .. ON key = key AND their time <= our time, or an aggregate in a subquery")
                .err(),
                None => without_from(select, span, "a SELECT without FROM has no rows to come", "FROM stream").err(),
            };
        };
        let mut unnamed = UnnamedQueries::default();
        let mut relation = unnamed.numbered(first, self.table(owner, first, span)?);
        let mut bound = Vec::with_capacity(joins.len());
        for join in joins {
            let marked = self.is_as_of(&join.relation);
            let span = place_of(&join.relation, span);
            let (inner, constraint) = match &join.join_operator {
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) if marked => (false, constraint),
                JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) if marked => (true, constraint),
                _ => return refuse::join(span, first),
            };
            let right = unnamed.numbered(&join.relation, self.table(owner, &join.relation, span)?);
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
            let (joined, join) = as_of::bind(&mut self.columns, relation, joined)?;
            relation = joined;
            bound.push(join);
        }
        Ok((relation, bound))
    }

    /// Whether ASOF stood in front of the join.
    pub fn is_as_of(&self, relation: &TableFactor) -> bool {
        begin(relation).is_some_and(|start| self.statements.as_of.contains(&(self.file, start)))
    }

    pub fn table(&mut self, owner: &str, factor: &TableFactor, span: Span) -> Outcome<Relation> {
        if let TableFactor::Derived { lateral: false, subquery, alias, sample: None } = factor {
            let name = alias.as_ref().map_or(UNNAMED, |alias| alias.name.value.as_str());
            let relation = self.query(&format!("{owner}.{name}"), subquery, span)?.named(name);
            return match alias {
                Some(alias) => with_column_names(self, owner, relation, alias, span),
                None => Ok(relation),
            };
        }
        let (name, called) = table_name(factor, span)?;
        let relation = self.relation(&name)?.named(&called);
        match factor {
            TableFactor::Table { alias: Some(alias), .. } => with_column_names(self, owner, relation, alias, span),
            _ => Ok(relation),
        }
    }
}

/// The relation with other names for its first columns: `FROM s AS t(a, b)`.
pub(crate) fn with_column_names(
    binding: &mut Binding,
    owner: &str,
    relation: Relation,
    alias: &TableAlias,
    span: Span,
) -> Outcome<Relation> {
    if alias.columns.is_empty() {
        return Ok(relation);
    }
    if alias.columns.len() > relation.columns.len() {
        return Fault::new(alias.name.span, format!("\"{}\" names more columns than there are", alias.name.value))
            .found(format!("{} names", alias.columns.len()))
            .expected(format!("at most {}", relation.columns.len()))
            .within(span)
            .err();
    }
    let from = relation.id;
    let renamed = relation.with_names(alias.columns.iter().map(|column| column.name.value.as_str()));
    let item = |column: &RelationColumn| BoundItem {
        id: column.id,
        name: column.name.clone(),
        tree: Tree::column(column.id, column.data_type.clone()),
    };
    let items = renamed.columns.iter().map(item).collect();
    let definition = match relation.is_bounded {
        true => Definition::Bounded(Box::new(BoundedStep::Project { from, items })),
        false => Definition::Select(Box::new(BoundSelect {
            owner: owner.to_owned(),
            file: binding.file,
            span,
            from,
            joins: Vec::new(),
            filter: None,
            late_filter: None,
            calls: Calls::default(),
            items,
            keeps_input: false,
        })),
    };
    let id = binding.add(definition);
    Ok(renamed.with_id(id))
}

/// Where a side of a join begins, after its parentheses.
fn begin(relation: &TableFactor) -> Option<Location> {
    match relation {
        TableFactor::Table { name, .. } => Some(name.span().start),
        TableFactor::Derived { subquery, .. } => Some(subquery.span().start),
        TableFactor::NestedJoin { table_with_joins, .. } => begin(&table_with_joins.relation),
        _ => None,
    }
}
