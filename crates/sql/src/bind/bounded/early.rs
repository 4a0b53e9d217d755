//! What of WHERE can be asked before all rows of FROM are joined: conditions on one side, and equalities that make keys.
//!
//! WHERE is asked as a whole of the joined rows, so that this only leaves out rows which it would leave out. AND goes
//! from left to right: what stands after a condition that can fail is not looked at here, for a row that fails there
//! must not be missing. An equality that can fail itself, by a cast for example, is a key where all conditions before it
//! are; its sides are then computed for every row of their side, as those of ON are.

use crate::bind::keys;
use crate::bind::refuse;
use crate::bind::relation::Relation;
use crate::bind::syntax::{any, conjuncts, is_subquery, is_window, score_call};
use crate::expression::{Problem, Tree, common_type};
use sqlparser::ast::{BinaryOperator, Expr};
use sqlparser::tokenizer::Span;

/// The conditions of WHERE that can be asked early.
pub(super) struct EarlyConditions<'w> {
    /// Equalities, first those that fail on no row.
    keys: Vec<&'w Expr>,
    /// How many of them fail on no row.
    sure: usize,
    /// Other conditions, which fail on no row.
    conditions: Vec<&'w Expr>,
}

impl<'w> EarlyConditions<'w> {
    /// Looks at WHERE over all tables of FROM.
    pub fn of(condition: Option<&'w Expr>, tables: &[&Relation], span: Span) -> EarlyConditions<'w> {
        let mut early = EarlyConditions { keys: Vec::new(), sure: 0, conditions: Vec::new() };
        let Some((condition, first)) = condition.zip(tables.first()).filter(|_| tables.len() > 1) else { return early };
        let all = tables.iter().flat_map(|table| table.columns.clone()).collect();
        let all = Relation::bounded(first.id, all);
        // Whether something that is asked later may protect an equality that fails.
        let mut asked_late = false;
        let mut unsure = Vec::new();
        for condition in conjuncts(condition) {
            if any(condition, is_subquery) {
                if !is_sure_subquery(condition, &all, span) {
                    break;
                }
                asked_late = true;
                continue;
            }
            // What cannot be bound is refused where WHERE itself is.
            let tree = all.condition(condition, span).ok().filter(|_| is_of_row(condition));
            let Some(tree) = tree else { break };
            let is_one_sided = tables.iter().any(|table| table.has_all_names(condition));
            match (tree.can_fail(), equality(condition).filter(|_| !is_one_sided)) {
                (false, Some(_)) => early.keys.push(condition),
                (false, None) if unsure.is_empty() => {
                    early.conditions.push(condition);
                    asked_late |= !is_one_sided;
                }
                (true, Some(_)) if !asked_late => unsure.push(condition),
                _ => break,
            }
        }
        early.sure = early.keys.len();
        early.keys.append(&mut unsure);
        early
    }

    /// The equalities that can be keys.
    pub fn keys(&self) -> &[&'w Expr] {
        &self.keys
    }

    /// Those of them that fail on no row.
    pub fn sure(&self) -> &[&'w Expr] {
        &self.keys[..self.sure]
    }

    /// The conditions on one side alone.
    pub fn alone(&self, side: &Relation, span: Span) -> Vec<Tree> {
        let side = columns_of(side);
        let conditions = self.conditions.iter().chain(self.sure());
        let of_side = conditions.filter(|condition| side.has_all_names(condition));
        of_side.filter_map(|condition| side.condition(condition, span).ok()).collect()
    }

    /// Whether an equality is a key of two sides.
    pub fn ties(&self, left: &Relation, right: &Relation, span: Span) -> bool {
        self.keys.iter().any(|equal| key_of(equal, left, right, span).is_some())
    }
}

/// The columns of a side without what is hidden beside them, which joined rows do not have.
fn columns_of(side: &Relation) -> Relation {
    Relation::bounded(side.id, side.columns.clone())
}

/// Whether a condition is a function of the row alone.
fn is_of_row(condition: &Expr) -> bool {
    let is_more = |part: &Expr| is_window(part) || score_call(part).is_some();
    !any(condition, is_more) && refuse::lone_aggregate(condition).is_none()
}

/// Whether a condition on the answer of a subquery fails on no row: the subquery itself fails for all of them or none.
fn is_sure_subquery(condition: &Expr, all: &Relation, span: Span) -> bool {
    let is_sure = |value: &Expr| !any(value, is_subquery) && all.bind(value, span).is_ok_and(|tree| !tree.can_fail());
    let is_value = |expr: &Expr| matches!(expr, Expr::Subquery(_));
    match condition {
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => is_sure_subquery(inner, all, span),
        Expr::Exists { .. } => true,
        Expr::InSubquery { expr, .. } => is_sure(expr),
        Expr::BinaryOp { left, op, right } if is_comparison(op) => {
            (is_value(left) && is_sure(right)) || (is_sure(left) && is_value(right))
        }
        _ => false,
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator as B;
    matches!(op, B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq)
}

fn equality(condition: &Expr) -> Option<(&Expr, &Expr)> {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => Some((left, right)),
        _ => None,
    }
}

/// The part of an equality over the left side and that over the right one.
pub(super) fn of_both<'e>(condition: &'e Expr, left: &Relation, right: &Relation) -> Option<(&'e Expr, &'e Expr)> {
    let (one, other) = equality(condition)?;
    let sides = |relation: &Relation| (relation.has_all_names(one), relation.has_all_names(other));
    match (sides(left), sides(right)) {
        ((true, false), (false, true)) => Some((one, other)),
        ((false, true), (true, false)) => Some((other, one)),
        _ => None,
    }
}

/// The key that an equality of WHERE is of two sides, if it is one.
pub(super) fn key_of(condition: &Expr, left: &Relation, right: &Relation, span: Span) -> Option<(Tree, Tree)> {
    let (left, right) = (columns_of(left), columns_of(right));
    let (ours, theirs) = of_both(condition, &left, &right)?;
    let pair = (left.bind(ours, span).ok()?, right.bind(theirs, span).ok()?);
    let pair = compared(pair).ok()??;
    keys::check(&pair.0.settled_type(), condition, span).is_ok().then_some(pair)
}

/// Both sides of a key in the type in which they are compared; nothing where they cannot be.
pub(super) fn compared((ours, theirs): (Tree, Tree)) -> Result<Option<(Tree, Tree)>, Problem> {
    let (one, other) = (ours.settled_type(), theirs.settled_type());
    if keys::same(&one, &other) {
        return Ok(Some((ours, theirs)));
    }
    let Some(common) = common_type(&ours, &theirs) else { return Ok(None) };
    Ok(Some((ours.cast_to(&common)?, theirs.cast_to(&common)?)))
}
