//! Bound expressions: trees over column ids that can be compared, printed, rewritten, and asked what they use.

use super::arithmetic;
use super::arm::{Arms, arm};
use super::bound::{Bound, OpenLiteral};
use super::cast::{self, cast_to, plain};
use super::compare::{self, Comparison};
use super::constant::{Constant, literal};
use super::node::NodeRef;
use super::operator::Operator;
use super::scope::{ColumnId, Place, Problem};
use super::{choice, functions, sql_type};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use sqlparser::ast::Value;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What a node of a tree does with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Column(Place),
    /// As it is written: its type may be open.
    Literal(Value),
    /// A value of a settled type.
    Constant(Constant),
    Not,
    Negate,
    Arithmetic(Operator),
    Compare(Comparison),
    And,
    Or,
    Concatenate,
    /// `CAST`, and with `tries` `TRY_CAST`.
    Cast {
        to: DataType,
        tries: bool,
    },
    /// `TIMESTAMP '..'`: a text that is read when planned.
    Typed(DataType),
    IsNull {
        negated: bool,
    },
    /// `IS TRUE` and its like.
    Is {
        wanted: bool,
        negated: bool,
    },
    In,
    Between,
    /// LIKE: the text, the pattern and perhaps the escape character; `folds` is ILIKE.
    Like {
        folds: bool,
    },
    /// The operand if there is one, conditions and results by turns, and the rest if there is one.
    Case {
        operand: bool,
        otherwise: bool,
    },
    /// A function by the name that plans print.
    Function(&'static str),
    /// The arm that a key is in.
    Arm(Arms),
}

/// A bound expression.
#[derive(Clone, Debug)]
pub(crate) struct Tree(Arc<TreeNode>);

#[derive(Debug)]
struct TreeNode {
    op: Op,
    arguments: Vec<Tree>,
    /// What it computes over columns at the places of their ids.
    bound: Bound,
}

impl PartialEq for Tree {
    fn eq(&self, other: &Tree) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.op == other.0.op && self.0.arguments == other.0.arguments)
    }
}

impl Eq for Tree {}

impl Hash for Tree {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.op.hash(state);
        self.0.arguments.hash(state);
    }
}

impl Tree {
    /// An operation over expressions, with the type that DuckDB gives it.
    pub(crate) fn of(op: Op, arguments: Vec<Tree>) -> Result<Tree, Problem> {
        let bound = apply(&op, arguments.iter().map(|argument| argument.0.bound.clone()).collect())?;
        Ok(Tree(Arc::new(TreeNode { op, arguments, bound })))
    }

    /// A column by its id.
    pub(crate) fn column(id: ColumnId, data_type: DataType) -> Tree {
        Tree::place(Place::Column(id), data_type)
    }

    /// A column, or what stands beside the columns.
    pub(crate) fn place(place: Place, data_type: DataType) -> Tree {
        let bound = Bound::reference(place, data_type);
        Tree(Arc::new(TreeNode { op: Op::Column(place), arguments: vec![], bound }))
    }

    pub(crate) fn op(&self) -> &Op {
        &self.0.op
    }

    pub(crate) fn arguments(&self) -> &[Tree] {
        &self.0.arguments
    }

    pub(crate) fn data_type(&self) -> &DataType {
        &self.0.bound.data_type
    }

    /// The type that it has on its own: a literal whose type nothing decides is TEXT or INTEGER.
    pub(crate) fn settled_type(&self) -> DataType {
        self.0.bound.clone().settled().data_type
    }

    pub(crate) fn nullable(&self) -> bool {
        self.0.bound.nullable
    }

    /// Whether there can be rows on which it fails.
    pub(crate) fn can_fail(&self) -> bool {
        self.0.bound.can_fail
    }

    /// The column that it is.
    pub(crate) fn as_place(&self) -> Option<Place> {
        match self.0.op {
            Op::Column(place) => Some(place),
            _ => None,
        }
    }

    /// The declared or computed column that it is.
    pub(crate) fn as_column(&self) -> Option<ColumnId> {
        match self.0.op {
            Op::Column(Place::Column(id)) => Some(id),
            _ => None,
        }
    }

    /// Whether it is a literal other than NULL.
    pub(crate) fn is_literal(&self) -> bool {
        matches!(&self.0.op, Op::Literal(value) if *value != Value::Null)
    }

    /// Whether it is true on every row.
    pub(crate) fn is_true(&self) -> bool {
        let value = self.0.bound.value.as_ref().filter(|value| *value.data_type() == DataType::Boolean);
        value.is_some_and(|value| value.is_valid(0) && value.as_boolean().value(0))
    }

    /// Its value as a constant, where no column takes part, it does not fail, and its place does not decide its type.
    pub(crate) fn folded(&self) -> Result<Option<Tree>, Problem> {
        let Bound { open, value, .. } = &self.0.bound;
        match (open, value, &self.0.op) {
            (_, _, Op::Literal(_) | Op::Constant(_)) | (Some(_), ..) | (_, None, _) => Ok(None),
            (None, Some(value), _) => Tree::of(Op::Constant(Constant::new(value.clone())?), vec![]).map(Some),
        }
    }

    /// What it computes over columns at the places of their ids.
    pub(crate) fn bound(&self) -> Bound {
        self.0.bound.clone()
    }

    /// The value, or why there is none.
    pub(crate) fn constant(&self) -> Result<ArrayRef, Problem> {
        self.0.bound.constant()
    }

    /// Calls with every column and everything beside the columns that it uses, as often as it is used.
    pub(crate) fn each_place(&self, found: &mut impl FnMut(Place)) {
        match self.0.op {
            Op::Column(place) => found(place),
            _ => self.0.arguments.iter().for_each(|argument| argument.each_place(found)),
        }
    }

    /// Calls with every column that it uses.
    pub(crate) fn each_column(&self, found: &mut impl FnMut(ColumnId)) {
        self.each_place(&mut |place| {
            if let Place::Column(id) = place {
                found(id);
            }
        });
    }

    /// The same with other expressions in the place of columns; columns for which nothing is given stay.
    pub(crate) fn with_columns(&self, with: &impl Fn(ColumnId) -> Option<Tree>) -> Result<Tree, Problem> {
        self.with_places(&|place| match place {
            Place::Column(id) => with(id),
            _ => None,
        })
    }

    /// The same with other expressions in the place of columns and of what stands beside them.
    pub(crate) fn with_places(&self, with: &impl Fn(Place) -> Option<Tree>) -> Result<Tree, Problem> {
        match self.0.op {
            Op::Column(place) => Ok(with(place).unwrap_or_else(|| self.clone())),
            _ if self.0.arguments.is_empty() => Ok(self.clone()),
            _ => {
                let arguments = self.0.arguments.iter().map(|argument| argument.with_places(with));
                Tree::of(self.0.op.clone(), arguments.collect::<Result<_, _>>()?)
            }
        }
    }

    /// What computes it over batches that have its columns at these positions.
    pub(crate) fn node_over(
        &self,
        position: &impl Fn(ColumnId) -> Option<usize>,
    ) -> Result<(NodeRef, DataType), Problem> {
        let bound = self.bound_over(position)?.settled();
        Ok((bound.node, bound.data_type))
    }

    fn bound_over(&self, position: &impl Fn(ColumnId) -> Option<usize>) -> Result<Bound, Problem> {
        let TreeNode { op, arguments, bound } = &*self.0;
        match *op {
            Op::Column(Place::Column(id)) => {
                let at = position(id).ok_or_else(|| Problem::new(format!("no input has column {}", id.0)))?;
                Ok(Bound::reference(Place::Column(ColumnId(at)), bound.data_type.clone()))
            }
            _ if arguments.is_empty() => Ok(bound.clone()),
            _ => apply(op, arguments.iter().map(|argument| argument.bound_over(position)).collect::<Result<_, _>>()?),
        }
    }

    /// The same as a type that its place needs.
    pub(crate) fn cast_to(&self, to: &DataType) -> Result<Tree, Problem> {
        // A text that cannot be read is wrong now, as it is where a literal meets a column.
        cast_to(self.0.bound.clone(), to)?;
        Tree::of(Op::Cast { to: to.clone(), tries: false }, vec![self.clone()])
    }
}

/// The type in which two are compared.
pub(crate) fn common_type(left: &Tree, right: &Tree) -> Option<DataType> {
    sql_type::common(&left.0.bound, &right.0.bound, false).filter(|common| *common != sql_type::MONTHS)
}

/// The type in which several are compared with one of them.
pub(crate) fn common_type_of(parts: &[&Tree]) -> Option<DataType> {
    let parts: Vec<Bound> = parts.iter().map(|part| part.bound()).collect();
    sql_type::common_of(&parts, false).ok().filter(|common| *common != sql_type::MONTHS)
}

/// The type that holds the values of both sides of a UNION: beside a text everything is one, as in DuckDB.
pub(crate) fn union_type(left: &Tree, right: &Tree) -> Result<DataType, Problem> {
    let parts = [left.bound(), right.bound()];
    sql_type::common_of(&parts, true).or_else(|[left, right]| {
        let is_text = |one: &DataType, other: &DataType| *one == DataType::Utf8 && values::is_cast(other, one);
        if is_text(&left, &right) || is_text(&right, &left) {
            return Ok(DataType::Utf8);
        }
        let (left, right) = (sql_type::name(&left), sql_type::name(&right));
        Err(Problem::new(format!("{left} and {right} have no type in common")).found(format!("{left} and {right}")))
    })
}

fn apply(op: &Op, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let mut arguments = arguments.into_iter().map(plain).collect::<Result<Vec<_>, _>>()?;
    match op {
        Op::Literal(value) => literal(value),
        Op::Constant(constant) => Ok(Bound::literal(constant.value().clone(), None)),
        Op::Function(name) => functions::function(name, arguments),
        Op::Case { operand, otherwise } => case(*operand, *otherwise, arguments),
        Op::Like { folds } => {
            let name = match (folds, arguments.len()) {
                (false, 2) => "~~",
                (true, 2) => "~~*",
                (false, _) => "~~\\",
                (true, _) => "~~*\\",
            };
            functions::function(name, arguments)
        }
        Op::In => {
            let value = arguments.remove(0);
            compare::in_list(value, arguments)
        }
        Op::Between => {
            let [value, low, high] = exact(arguments)?;
            compare::between(value, low, high)
        }
        Op::Arithmetic(_) | Op::Compare(_) | Op::And | Op::Or | Op::Concatenate => {
            let [left, right] = exact(arguments)?;
            binary(op, left, right)
        }
        _ => {
            let [value] = exact(arguments)?;
            unary(op, value)
        }
    }
}

fn exact<const N: usize>(arguments: Vec<Bound>) -> Result<[Bound; N], Problem> {
    let found = arguments.len();
    arguments.try_into().map_err(|_| Problem::new(format!("an operator of {N} arguments has {found}")))
}

fn binary(op: &Op, left: Bound, right: Bound) -> Result<Bound, Problem> {
    match op {
        Op::Arithmetic(operator) => arithmetic::arithmetic(*operator, left, right),
        Op::Compare(comparison) => compare::compare(*comparison, left, right),
        Op::And => compare::logic(true, left, right),
        Op::Or => compare::logic(false, left, right),
        _ => choice::concatenate(left, right),
    }
}

fn unary(op: &Op, value: Bound) -> Result<Bound, Problem> {
    match op {
        Op::Not => compare::not(value),
        Op::Negate => arithmetic::negate(value),
        Op::Cast { to, tries } => cast::cast(value, to, *tries),
        Op::Typed(to) => cast_to(Bound { open: Some(OpenLiteral::Text), ..value }, to),
        Op::IsNull { negated } => compare::null_test(value, !negated),
        Op::Arm(arms) => arm(arms, value),
        Op::Is { wanted, negated } => compare::truth(value, *wanted, *negated),
        _ => Err(Problem::new("an operator has one argument, expected two")),
    }
}

fn case(operand: bool, otherwise: bool, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let mut arguments = arguments.into_iter();
    let operand = if operand { arguments.next() } else { None };
    let mut rest: Vec<Bound> = arguments.collect();
    let otherwise = if otherwise { rest.pop() } else { None };
    let mut branches = Vec::with_capacity(rest.len() / 2);
    let mut rest = rest.into_iter();
    while let (Some(when), Some(then)) = (rest.next(), rest.next()) {
        let when = match &operand {
            Some(operand) => compare::compare(Comparison::Equal, operand.clone(), when)?,
            None => when,
        };
        branches.push((when, then));
    }
    choice::case(branches, otherwise)
}
