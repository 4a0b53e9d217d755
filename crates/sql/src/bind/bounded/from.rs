//! FROM of a query over input that ends: what a stream can answer, or a join of results.

use super::define;
use super::early::{EarlyConditions, compared, key_of, of_both};
use crate::bind::as_of::{self, AsOfJoin};
use crate::bind::binding::Binding;
use crate::bind::bound::{BoundItem, BoundJoin, BoundSelect, BoundedJoin, BoundedStep, Calls, Definition};
use crate::bind::from::{UnnamedQueries, without_from};
use crate::bind::keys;
use crate::bind::relation::{Relation, RelationColumn};
use crate::bind::syntax::{and, any, conjuncts, is_subquery, object_name};
use crate::diagnostic::{Fault, Outcome, fault, place_of};
use crate::expression::{ColumnId, Op, Tree};
use sqlparser::ast::{Expr, Ident, Join, JoinConstraint, JoinOperator, Select, TableFactor, TableWithJoins};
use sqlparser::tokenizer::Span;

/// What a SELECT reads.
pub(super) enum FromClause {
    /// Rows of streams as they come, with as-of joins that are answered on the way.
    Stream(Relation, Vec<BoundJoin>),
    /// Rows that end.
    Bounded(Relation),
}

impl FromClause {
    pub fn relation(&self) -> &Relation {
        match self {
            FromClause::Stream(relation, _) | FromClause::Bounded(relation) => relation,
        }
    }

    fn of(relation: Relation) -> FromClause {
        if relation.is_bounded { FromClause::Bounded(relation) } else { FromClause::Stream(relation, Vec::new()) }
    }
}

/// Binds FROM; a comma is a join of every row with every row, of which WHERE says which are wanted.
pub(super) fn from(binding: &mut Binding, owner: &str, select: &Select, span: Span) -> Outcome<FromClause> {
    if select.from.is_empty() {
        let expected = "FROM and a stream, a view, a table or a query";
        return without_from(select, span, "a SELECT without FROM has no rows", expected).err();
    }
    let (mut chains, mut unnamed) = (Vec::with_capacity(select.from.len()), UnnamedQueries::default());
    for from in &select.from {
        chains.push(Chain::bind(binding, owner, from, (&mut unnamed, span))?);
    }
    let all: Vec<&Relation> = chains.iter().flat_map(Chain::relations).collect();
    let early = EarlyConditions::of(select.selection.as_ref(), &all, span);
    let mut sides = Sides { owner, early: &early, all: Vec::new() };
    for chain in chains {
        match chain.crossed(binding) {
            Ok(crossed) => sides.all.extend(crossed),
            Err(chain) => {
                let at = chain.first.1;
                sides.all.push((chain.joined(binding, owner, &early)?, at));
            }
        }
    }
    sides.joined(binding)
}

/// Tables that JOIN puts one after the other.
struct Chain<'s> {
    first: (Relation, Span),
    rest: Vec<(&'s Join, Relation, Span)>,
}

impl<'s> Chain<'s> {
    fn bind(
        binding: &mut Binding,
        owner: &str,
        from: &'s TableWithJoins,
        (unnamed, span): (&mut UnnamedQueries, Span),
    ) -> Outcome<Chain<'s>> {
        let mut table = |factor: &TableFactor| -> Outcome<(Relation, Span)> {
            let relation = unnamed.numbered(factor, binding.table(owner, factor, span)?);
            Ok((relation, place_of(factor, span)))
        };
        let first = table(&from.relation)?;
        let mut rest = Vec::with_capacity(from.joins.len());
        for join in &from.joins {
            let (relation, at) = table(&join.relation)?;
            if join.global {
                return Fault::new(at, "GLOBAL JOIN is not supported").hint("leave GLOBAL out").err();
            }
            rest.push((join, relation, at));
        }
        Ok(Chain { first, rest })
    }

    fn relations(&self) -> impl Iterator<Item = &Relation> {
        [&self.first.0].into_iter().chain(self.rest.iter().map(|(_, relation, _)| relation))
    }

    /// Its tables, where nothing but WHERE says which rows belong together; the chain itself elsewhere.
    fn crossed(self, binding: &Binding) -> Result<Vec<(FromClause, Span)>, Chain<'s>> {
        let crosses = |join: &Join| {
            matches!(join.join_operator, JoinOperator::CrossJoin(JoinConstraint::None))
                && !binding.is_as_of(&join.relation)
        };
        if !self.rest.iter().all(|(join, ..)| crosses(join)) {
            return Err(self);
        }
        let sides = [self.first].into_iter().chain(self.rest.into_iter().map(|(_, relation, at)| (relation, at)));
        Ok(sides.map(|(relation, at)| (FromClause::of(relation), at)).collect())
    }

    fn joined(self, binding: &mut Binding, owner: &str, early: &EarlyConditions) -> Outcome<FromClause> {
        let mut left = FromClause::of(self.first.0);
        // After a join that keeps rows of its right side without a pair, WHERE is asked of rows that this one would not have.
        let kept_after = self.rest.iter().rposition(|(join, ..)| keeps_right(&join.join_operator));
        for (at_join, (join, right, at)) in self.rest.into_iter().enumerate() {
            if binding.is_as_of(&join.relation) {
                left = as_of(binding, left, right, &join.join_operator, at)?;
                continue;
            }
            let (kind, constraint) = kind_of(&join.join_operator, at)?;
            let keys = if kept_after.is_some_and(|kept| at_join <= kept) { &[][..] } else { early.sure() };
            let joining = Joining { kind, constraint, keys, span: at };
            left = joining.join(binding, owner, left, FromClause::of(right))?;
        }
        Ok(left)
    }
}

/// Whether rows of the left and of the right side stay that have no pair, and what makes a pair.
fn kind_of(operator: &JoinOperator, at: Span) -> Outcome<((bool, bool), &JoinConstraint)> {
    use JoinOperator as J;
    if let J::Join(constraint) | J::Inner(constraint) | J::Left(constraint) | J::LeftOuter(constraint) = operator {
        has_condition(constraint, at)?;
    }
    if let J::Right(constraint) | J::RightOuter(constraint) | J::FullOuter(constraint) = operator {
        has_condition(constraint, at)?;
    }
    match operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => Ok(((false, false), constraint)),
        JoinOperator::CrossJoin(constraint) => Ok(((false, false), constraint)),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => Ok(((true, false), constraint)),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => Ok(((false, true), constraint)),
        JoinOperator::FullOuter(constraint) => Ok(((true, true), constraint)),
        _ => Fault::new(at, "this kind of join is not supported")
            .expected("JOIN, LEFT, RIGHT, FULL or CROSS JOIN, or ASOF JOIN")
            .err(),
    }
}

/// A JOIN that does not say which rows are pairs has most likely lost its condition.
fn has_condition(constraint: &JoinConstraint, at: Span) -> Outcome<()> {
    match constraint {
        JoinConstraint::None => Fault::new(at, "a JOIN says which rows are pairs, and this one has no ON or USING")
            .expected("ON a.key = b.key, or USING (key)")
            .hint("write CROSS JOIN where every row is to be a pair with every row")
            .err(),
        _ => Ok(()),
    }
}

fn keeps_right(operator: &JoinOperator) -> bool {
    matches!(operator, JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_))
}

/// The sides of joins of which WHERE alone says which rows belong together.
struct Sides<'w> {
    owner: &'w str,
    early: &'w EarlyConditions<'w>,
    all: Vec<(FromClause, Span)>,
}

impl Sides<'_> {
    /// All of them as one: rows that WHERE does not want are left out of each, and one that an equality ties to those
    /// before comes before one that nothing does. Their columns stay in the order of the text.
    fn joined(mut self, binding: &mut Binding) -> Outcome<FromClause> {
        if self.all.len() == 1 {
            return Ok(self.all.remove(0).0);
        }
        let mut rest = Vec::with_capacity(self.all.len());
        for (number, (side, at)) in self.all.into_iter().enumerate() {
            let side = closed(binding, self.owner, side, at);
            let side = self.early.alone(&side, at).into_iter().fold(side, |side, condition| {
                define::same_columns(binding, &side, |from| BoundedStep::Filter { from, condition })
            });
            rest.push((number, side, at));
        }
        let (first, mut left, _) = rest.remove(0);
        let mut widths = vec![(first, left.columns.len())];
        while !rest.is_empty() {
            let tied = rest.iter().position(|(_, side, at)| self.early.ties(&left, side, *at)).unwrap_or(0);
            let (number, right, span) = rest.remove(tied);
            widths.push((number, right.columns.len()));
            let joining =
                Joining { kind: (false, false), constraint: &JoinConstraint::None, keys: self.early.keys(), span };
            left = joining.join_closed(binding, left, right)?;
        }
        let mut columns = left.columns.iter().cloned();
        let mut of_sides: Vec<(usize, Vec<RelationColumn>)> =
            widths.iter().map(|(number, width)| (*number, columns.by_ref().take(*width).collect())).collect();
        of_sides.sort_by_key(|(number, _)| *number);
        let columns = of_sides.into_iter().flat_map(|(_, columns)| columns).collect();
        Ok(FromClause::Bounded(Relation::bounded(left.id, columns)))
    }
}

/// An as-of join, which streams answer as their rows come.
fn as_of(
    binding: &mut Binding,
    left: FromClause,
    right: Relation,
    operator: &JoinOperator,
    at: Span,
) -> Outcome<FromClause> {
    let (inner, constraint) = match operator {
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (false, constraint),
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (true, constraint),
        _ => return Fault::new(at, "an as-of join is ASOF JOIN or ASOF LEFT JOIN").err(),
    };
    let FromClause::Stream(left, mut joined) = left else { return of_streams(at) };
    if right.is_bounded {
        return of_streams(at);
    }
    let alias = alias(&right);
    distinct_names(&left, &right, at)?;
    let join = AsOfJoin { right, alias, inner, constraint, span: at };
    let (relation, join) = as_of::bind(&mut binding.columns, left, join)?;
    joined.push(join);
    Ok(FromClause::Stream(relation, joined))
}

fn of_streams<T>(at: Span) -> Outcome<T> {
    Fault::new(at, "an as-of join is of streams and views, before anything that needs the end of the rows")
        .hint("write the as-of join in a query of its own in FROM, and join its result")
        .err()
}

fn alias(relation: &Relation) -> String {
    relation.columns.first().and_then(|column| column.qualifier.clone()).unwrap_or_default()
}

/// Refuses two sides of one name.
fn distinct_names(left: &Relation, right: &Relation, at: Span) -> Outcome<()> {
    let alias = alias(right);
    let same = |column: &RelationColumn| column.qualifier.as_ref().is_some_and(|q| q.eq_ignore_ascii_case(&alias));
    if !left.columns.iter().any(same) {
        return Ok(());
    }
    Fault::new(at, format!("two sides of a join are named \"{alias}\""))
        .hint("give one of them another name: name AS other")
        .err()
}

/// A join of two results.
struct Joining<'a> {
    /// Whether rows of the left and of the right side stay that have no pair.
    kind: (bool, bool),
    constraint: &'a JoinConstraint,
    /// Equalities of WHERE; those between the two sides are keys, where no row without a pair stays.
    keys: &'a [&'a Expr],
    span: Span,
}

/// Equal expressions of both sides, and conditions on both.
#[derive(Default)]
struct Matching {
    keys: Vec<(Tree, Tree)>,
    conditions: Vec<Expr>,
    /// Columns that USING makes one.
    using: Vec<UsedColumn>,
}

/// A column of each side that USING makes one.
struct UsedColumn {
    left: ColumnId,
    right: ColumnId,
}

impl Joining<'_> {
    fn join(&self, binding: &mut Binding, owner: &str, left: FromClause, right: FromClause) -> Outcome<FromClause> {
        let (left, right) = (closed(binding, owner, left, self.span), closed(binding, owner, right, self.span));
        self.join_closed(binding, left, right).map(FromClause::Bounded)
    }

    fn join_closed(&self, binding: &mut Binding, left: Relation, right: Relation) -> Outcome<Relation> {
        distinct_names(&left, &right, self.span)?;
        let mut matching = self.matching(&left, &right)?;
        let (ours, theirs) = matching.keys.iter().cloned().unzip();
        let (left_rows, left_keys) = define::with_keys(binding, &left, &[], ours);
        let (right_rows, right_keys) = define::with_keys(binding, &right, &[], theirs);
        let (mut columns, mut ids) = (left.columns.clone(), Vec::with_capacity(right.columns.len()));
        for column in &right.columns {
            let id = binding.columns.add(&column.name, column.data_type.clone());
            ids.push((id, column.id));
            columns.push(RelationColumn { id, time: false, ..column.clone() });
            matching.using.iter_mut().filter(|used| used.right == column.id).for_each(|used| used.right = id);
        }
        let all = Relation::bounded(left.id, columns.clone());
        let condition = and(matching.conditions).map(|condition| all.condition(&condition, self.span)).transpose()?;
        let keys = left_keys.into_iter().zip(right_keys).collect();
        let (keeps_left, keeps_right) = self.kind;
        let (left_id, right_id) = (left_rows.id, right_rows.id);
        let step =
            BoundedJoin { left: left_id, right: right_id, columns: ids, keys, condition, keeps_left, keeps_right };
        let joined = define::relation(binding, BoundedStep::Join(step), columns);
        self.used_once(binding, joined, &matching.using)
    }

    fn matching(&self, left: &Relation, right: &Relation) -> Outcome<Matching> {
        let mut matching = Matching::default();
        match self.constraint {
            JoinConstraint::None => {}
            JoinConstraint::On(condition) => {
                for condition in conjuncts(condition) {
                    if any(condition, is_subquery) {
                        return Fault::new(place_of(condition, self.span), "a subquery in ON is not supported")
                            .found(condition.to_string())
                            .hint("write it in WHERE, or as a column of a SELECT in FROM")
                            .err();
                    }
                    matching.add(condition, left, right, self.span)?;
                }
            }
            JoinConstraint::Using(names) => {
                for name in names {
                    let span = place_of(name, self.span);
                    let written = Expr::Identifier(Ident { span, ..Ident::new(object_name(name)) });
                    let of = |side: &Relation, which: &str| {
                        side.bind(&written, span).map_err(|mut fault| {
                            fault.message = format!("USING: {} on the {which} side of the join", fault.message);
                            fault
                        })
                    };
                    let pair = (of(left, "left")?, of(right, "right")?);
                    if let (Some(left), Some(right)) = (pair.0.as_column(), pair.1.as_column()) {
                        matching.using.push(UsedColumn { left, right });
                    }
                    matching.key(pair, &written, left, right, self.span)?;
                }
            }
            JoinConstraint::Natural => {
                return Fault::new(self.span, "NATURAL JOIN is not supported")
                    .hint("write USING and the columns that are to be equal")
                    .err();
            }
        }
        if self.kind == (false, false) {
            matching.keys.extend(self.keys.iter().filter_map(|equal| key_of(equal, left, right, self.span)));
        }
        Ok(matching)
    }

    /// Columns of USING come once: that of the left side, or of the right side where the left one has no row. Those of
    /// the sides are still there under the names of the sides.
    fn used_once(&self, binding: &mut Binding, joined: Relation, using: &[UsedColumn]) -> Outcome<Relation> {
        if using.is_empty() {
            return Ok(joined);
        }
        let (mut items, mut columns) = (Vec::new(), Vec::new());
        for column in &joined.columns {
            let used = using.iter().find(|used| column.id == used.left || column.id == used.right);
            let is_left = used.is_some_and(|used| column.id == used.left);
            if let (true, true, Some(used)) = (is_left, self.kind.1, used) {
                let both = self.first_of(&joined, used)?;
                let merged =
                    define::column(&column.name, binding.columns.add(&column.name, both.settled_type()), &both);
                let merged = RelationColumn { is_used: true, ..merged };
                items.push(BoundItem { id: merged.id, name: merged.name.clone(), tree: both });
                columns.push(merged);
            }
            let stands_for_both = is_left && !self.kind.1;
            let needs_qualifier = column.needs_qualifier || (used.is_some() && !stands_for_both);
            let tree = Tree::column(column.id, column.data_type.clone());
            items.push(BoundItem { id: column.id, name: column.full_name(), tree });
            let is_used = column.is_used && !needs_qualifier || stands_for_both;
            columns.push(RelationColumn { needs_qualifier, is_used, ..column.clone() });
        }
        Ok(define::relation(binding, BoundedStep::Project { from: joined.id, items }, columns))
    }

    /// The value of the left side, or of the right one where the left one has no row.
    fn first_of(&self, joined: &Relation, used: &UsedColumn) -> Outcome<Tree> {
        let of = |id| {
            let column = joined.columns.iter().find(|column| column.id == id);
            column.map(|column| Tree::column(id, column.data_type.clone()))
        };
        let both = [used.left, used.right].into_iter().filter_map(of).collect();
        Tree::of(Op::Function("coalesce"), both).map_err(|problem| Box::new(fault(problem).within(self.span)))
    }
}

impl Matching {
    /// An equality of both sides is a key; everything else is looked at for each pair.
    fn add(&mut self, condition: &Expr, left: &Relation, right: &Relation, span: Span) -> Outcome<()> {
        if let Some((ours, theirs)) = of_both(condition, left, right) {
            let pair = (left.bind(ours, span)?, right.bind(theirs, span)?);
            return self.key(pair, condition, left, right, span);
        }
        self.conditions.push(condition.clone());
        Ok(())
    }

    /// Both sides of a key in the type in which they are compared.
    fn key(
        &mut self,
        pair: (Tree, Tree),
        written: &Expr,
        left: &Relation,
        right: &Relation,
        span: Span,
    ) -> Outcome<()> {
        let Some(pair) = compared(pair).map_err(|problem| Box::new(fault(problem).within(place_of(written, span))))?
        else {
            return Fault::new(place_of(written, span), "the two sides of a join cannot be compared")
                .found(format!("{} and {}", left.key_name(written), right.key_name(written)))
                .hint("cast one of them")
                .err();
        };
        keys::check(&pair.0.settled_type(), written, span)?;
        self.keys.push(pair);
        Ok(())
    }
}

/// A side as a relation of its own.
fn closed(binding: &mut Binding, owner: &str, side: FromClause, span: Span) -> Relation {
    let (relation, joins) = match side {
        FromClause::Bounded(relation) => return relation,
        FromClause::Stream(relation, joins) => (relation, joins),
    };
    if joins.is_empty() {
        return relation;
    }
    let item = |column: &RelationColumn| BoundItem {
        id: column.id,
        name: column.full_name(),
        tree: Tree::column(column.id, column.data_type.clone()),
    };
    let select = BoundSelect {
        owner: owner.to_owned(),
        file: binding.file,
        span,
        from: relation.id,
        joins,
        filter: None,
        late_filter: None,
        calls: Calls::default(),
        items: relation.columns.iter().map(item).collect(),
        keeps_input: false,
    };
    let id = binding.add(Definition::Select(Box::new(select)));
    relation.with_id(id)
}
