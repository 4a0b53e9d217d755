//! Comparison, and the three values of logic.

use super::bound::{Bound, total};
use super::cast::cast_to;
use super::kernel::{Argument, KernelResult, fails};
use super::node::{Failures, Node, NodeRef, Values};
use super::scope::Problem;
use super::sql_type;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::{boolean, cmp, zip::zip};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use dataflow::Batch;
use std::cmp::Ordering;
use std::sync::Arc;

/// The comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Distinct,
    NotDistinct,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Equal | Comparison::NotDistinct => ordering.is_eq(),
            Comparison::NotEqual | Comparison::Distinct => ordering.is_ne(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// Compares two expressions in the type they meet in.
pub(crate) fn compare(operation: Comparison, left: Bound, right: Bound) -> Result<Bound, Problem> {
    let [left, right] = meet(left, right)?;
    let nullable = !matches!(operation, Comparison::Distinct | Comparison::NotDistinct);
    let nullable = nullable && (left.nullable || right.nullable);
    total("compare", vec![left, right], DataType::Boolean, nullable, move |arguments, rows| {
        Ok(Arc::new(compared(operation, &arguments[0], &arguments[1], rows)?))
    })
}

/// The two in their common type.
pub(crate) fn meet(left: Bound, right: Bound) -> Result<[Bound; 2], Problem> {
    let common = sql_type::common(&left, &right, false).filter(is_compared);
    let Some(common) = common else { return Err(incomparable(&left.data_type, &right.data_type)) };
    Ok([cast_to(left, &common)?, cast_to(right, &common)?])
}

/// All in the one type that they have in common.
fn meet_all(parts: Vec<Bound>) -> Result<Vec<Bound>, Problem> {
    let common = match sql_type::common_of(&parts, false) {
        Ok(common) if is_compared(&common) => common,
        Ok(common) => return Err(incomparable(&common, &common)),
        Err([left, right]) => return Err(incomparable(&left, &right)),
    };
    parts.into_iter().map(|part| cast_to(part, &common)).collect()
}

/// Whether values of a type are compared at all.
fn is_compared(data_type: &DataType) -> bool {
    *data_type != sql_type::MONTHS && !data_type.is_nested()
}

fn incomparable(left: &DataType, right: &DataType) -> Problem {
    let hint = match (left, right) {
        (DataType::Struct(fields), other) | (other, DataType::Struct(fields)) if !other.is_nested() => {
            let names: Vec<&str> = fields.iter().take(20).map(|field| field.name().as_str()).collect();
            format!("compare a field of it: s.field, with one of {}", names.join(", "))
        }
        _ if left.is_nested() || right.is_nested() => "compare their texts, e.g. x::TEXT".to_owned(),
        _ => "cast one of them, e.g. x::DOUBLE; intervals with months have no length".to_owned(),
    };
    let (left, right) = (sql_type::name(left), sql_type::name(right));
    Problem::new(format!("{left} and {right} cannot be compared")).found(format!("{left} and {right}")).hint(hint)
}

fn compared(
    operation: Comparison,
    left: &Argument,
    right: &Argument,
    rows: usize,
) -> Result<BooleanArray, arrow::error::ArrowError> {
    match left.data_type() {
        DataType::Float64 => floats::<Float64Type>(operation, left, right, rows),
        DataType::Float32 => floats::<Float32Type>(operation, left, right, rows),
        DataType::Null => Ok(match operation {
            Comparison::Distinct => vec![false; rows].into(),
            Comparison::NotDistinct => vec![true; rows].into(),
            _ => BooleanArray::new_null(rows),
        }),
        _ => match operation {
            Comparison::Equal => cmp::eq(left, right),
            Comparison::NotEqual => cmp::neq(left, right),
            Comparison::Less => cmp::lt(left, right),
            Comparison::LessOrEqual => cmp::lt_eq(left, right),
            Comparison::Greater => cmp::gt(left, right),
            Comparison::GreaterOrEqual => cmp::gt_eq(left, right),
            Comparison::Distinct => cmp::distinct(left, right),
            Comparison::NotDistinct => cmp::not_distinct(left, right),
        },
    }
}

/// NaN equals itself and is greater than all else; -0.0 equals 0.0. Arrow's own order tells them apart.
pub(crate) fn order<T: PartialOrd + Copy>(left: T, right: T) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| is_nan(left).cmp(&is_nan(right)))
}

#[expect(clippy::eq_op, reason = "only NaN differs from itself")]
fn is_nan<T: PartialOrd + Copy>(value: T) -> bool {
    value != value
}

fn floats<T: ArrowPrimitiveType<Native: PartialOrd>>(
    operation: Comparison,
    left: &Argument,
    right: &Argument,
    rows: usize,
) -> Result<BooleanArray, arrow::error::ArrowError> {
    let (l, r) = (left.raw().as_primitive::<T>(), right.raw().as_primitive::<T>());
    if matches!(operation, Comparison::Distinct | Comparison::NotDistinct) {
        let same = |row: usize| match (left.row(row), right.row(row)) {
            (i, j) if l.is_valid(i) && r.is_valid(j) => order(l.value(i), r.value(j)).is_eq(),
            (i, j) => l.is_null(i) && r.is_null(j),
        };
        return Ok((0..rows).map(|row| Some(same(row) == (operation == Comparison::NotDistinct))).collect());
    }
    let nulls_of_one = |one: &arrow::array::PrimitiveArray<T>| one.is_null(0);
    match (left.one(), right.one()) {
        (None, None) => Ok(BooleanArray::from_binary(l, r, |a, b| operation.holds(order(a, b)))),
        (Some(_), _) if nulls_of_one(l) => Ok(BooleanArray::new_null(rows)),
        (_, Some(_)) if nulls_of_one(r) => Ok(BooleanArray::new_null(rows)),
        (None, Some(_)) => {
            let one = r.value(0);
            Ok(BooleanArray::from_unary(l, |a| operation.holds(order(a, one))))
        }
        (Some(_), None) => {
            let one = l.value(0);
            Ok(BooleanArray::from_unary(r, |b| operation.holds(order(one, b))))
        }
        (Some(_), Some(_)) => Ok(vec![operation.holds(order(l.value(0), r.value(0))); rows].into()),
    }
}

/// `x BETWEEN low AND high`: all three in one type.
pub(crate) fn between(value: Bound, low: Bound, high: Bound) -> Result<Bound, Problem> {
    let parts = meet_all(vec![value, low, high])?;
    let nullable = parts.iter().any(|part| part.nullable);
    total("between", parts, DataType::Boolean, nullable, |arguments, rows| {
        let value = Argument::column(arguments[0].array(rows)?);
        let from = compared(Comparison::GreaterOrEqual, &value, &arguments[1], rows)?;
        let to = compared(Comparison::LessOrEqual, &value, &arguments[2], rows)?;
        Ok(Arc::new(boolean::and_kleene(&from, &to)?))
    })
}

/// `x IN (a, b)`: true when one is equal, else NULL when one is NULL. All of them are of one type.
pub(crate) fn in_list(value: Bound, list: Vec<Bound>) -> Result<Bound, Problem> {
    let parts = meet_all([vec![value], list].concat())?;
    let nullable = parts.iter().any(|part| part.nullable);
    total("in", parts, DataType::Boolean, nullable, |arguments, rows| {
        let (value, list) = arguments.split_first().ok_or_else(|| fails("no value for IN"))?;
        let value = Argument::column(value.array(rows)?);
        let mut any = BooleanArray::from(vec![false; rows]);
        for one in list {
            any = boolean::or_kleene(&any, &compared(Comparison::Equal, &value, one, rows)?)?;
        }
        Ok(Arc::new(any))
    })
}

/// `NOT x`.
pub(crate) fn not(value: Bound) -> Result<Bound, Problem> {
    let value = cast_to(value, &DataType::Boolean)?;
    let nullable = value.nullable;
    total("not", vec![value], DataType::Boolean, nullable, |arguments, rows| {
        Ok(Arc::new(boolean::not(arguments[0].array(rows)?.as_boolean())?))
    })
}

/// `x IS NULL`, or with `is_null` false `x IS NOT NULL`.
pub(crate) fn null_test(value: Bound, is_null: bool) -> Result<Bound, Problem> {
    total("is null", vec![value.settled()], DataType::Boolean, false, move |arguments, rows| {
        let array = arguments[0].array(rows)?;
        let nulls = if is_null { boolean::is_null(&array)? } else { boolean::is_not_null(&array)? };
        Ok(Arc::new(nulls))
    })
}

/// `x IS TRUE` and its like: whether a condition has a value and it is this one.
pub(crate) fn truth(value: Bound, wanted: bool, negated: bool) -> Result<Bound, Problem> {
    let value = cast_to(value, &DataType::Boolean)?;
    total("is true", vec![value], DataType::Boolean, false, move |arguments, rows| {
        let array = arguments[0].array(rows)?;
        let array = array.as_boolean();
        let is = |row: usize| array.is_valid(row) && array.value(row) == wanted;
        Ok(Arc::new((0..rows).map(|row| Some(is(row) != negated)).collect::<BooleanArray>()))
    })
}

/// `a AND b`, `a OR b`: what fails on the right does not matter where the left decides.
pub(crate) fn logic(and: bool, left: Bound, right: Bound) -> Result<Bound, Problem> {
    let (left, right) = (cast_to(left, &DataType::Boolean)?, cast_to(right, &DataType::Boolean)?);
    let node = Arc::new(Logic { and, left: left.node.clone(), right: right.node.clone() });
    Bound::over(node, DataType::Boolean, left.nullable || right.nullable, &[&left, &right])
}

#[derive(Debug)]
struct Logic {
    and: bool,
    left: NodeRef,
    right: NodeRef,
}

impl Node for Logic {
    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Values> {
        let rows = batch.rows();
        let left = self.left.evaluate(batch)?.into_column(rows)?;
        let decided = settled_rows(left.array.as_boolean(), !self.and);
        if decided.count_set_bits() == rows {
            return Ok(left);
        }
        let right = self.right.evaluate(batch)?.into_column(rows)?;
        let mut failed = left.failed;
        add(&mut failed, right.failed, |row| !decided.value(row));
        let (left, right) = (left.array.as_boolean(), right.array.as_boolean());
        let array = if self.and { boolean::and_kleene(left, right)? } else { boolean::or_kleene(left, right)? };
        Ok(Values::with_failures(Arc::new(array), failed)?)
    }
}

/// The rows that have this value.
fn settled_rows(values: &BooleanArray, wanted: bool) -> BooleanBuffer {
    let found = if wanted { values.values().clone() } else { !values.values() };
    match values.nulls() {
        Some(nulls) => &found & nulls.inner(),
        None => found,
    }
}

fn add(failed: &mut Failures, more: Failures, counts: impl Fn(usize) -> bool) {
    for (row, message) in more {
        if counts(row) {
            failed.entry(row).or_insert(message);
        }
    }
}

/// One branch after another: `(condition, result)` pairs and the rest; a row takes part only up to its branch.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) branches: Vec<(NodeRef, NodeRef)>,
    pub(crate) otherwise: NodeRef,
    pub(crate) data_type: DataType,
}

impl Node for Case {
    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Values> {
        let rows = batch.rows();
        let mut open = BooleanBuffer::new_set(rows);
        let mut failed = Failures::new();
        let mut array = new_null_array(&self.data_type, rows);
        for (condition, result) in &self.branches {
            if open.count_set_bits() == 0 {
                return Ok(Values { array, scalar: false, failed });
            }
            let condition = condition.evaluate(batch)?.into_column(rows)?;
            let taken = &open & &settled_rows(condition.array.as_boolean(), true);
            open = &open & &!&taken;
            if !condition.failed.is_empty() {
                let stopped: BooleanBuffer = (0..rows).map(|row| condition.failed.contains_key(&row)).collect();
                add(&mut failed, condition.failed, |row| open.value(row));
                open = &open & &!&stopped;
            }
            array = choose(&taken, result, batch, array, &mut failed)?;
        }
        array = choose(&open, &self.otherwise, batch, array, &mut failed)?;
        Ok(Values { array, scalar: false, failed })
    }
}

fn choose(
    taken: &BooleanBuffer,
    result: &NodeRef,
    batch: &Batch,
    rest: ArrayRef,
    failed: &mut Failures,
) -> dataflow::Result<ArrayRef> {
    match taken.count_set_bits() {
        0 => Ok(rest),
        count => {
            let result = result.evaluate(batch)?.into_column(batch.rows())?;
            add(failed, result.failed, |row| taken.value(row));
            if count == batch.rows() {
                return Ok(result.array);
            }
            Ok(zip(&BooleanArray::new(taken.clone(), None), &result.array, &rest)?)
        }
    }
}

/// The first that is not NULL; what follows it is not computed.
#[derive(Debug)]
pub(crate) struct Coalesce {
    pub(crate) parts: Vec<NodeRef>,
    pub(crate) data_type: DataType,
}

impl Node for Coalesce {
    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Values> {
        let rows = batch.rows();
        let mut open = BooleanBuffer::new_set(rows);
        let mut failed = Failures::new();
        let mut array = new_null_array(&self.data_type, rows);
        for part in &self.parts {
            if open.count_set_bits() == 0 {
                break;
            }
            let part = part.evaluate(batch)?.into_column(rows)?;
            let here = match part.array.nulls() {
                Some(nulls) => &open & nulls.inner(),
                None => open.clone(),
            };
            open = &open & &!&here;
            if !part.failed.is_empty() {
                let stopped: BooleanBuffer = (0..rows).map(|row| part.failed.contains_key(&row)).collect();
                add(&mut failed, part.failed, |row| open.value(row));
                open = &open & &!&stopped;
            }
            array = match here.count_set_bits() {
                0 => array,
                count if count == rows => part.array,
                _ => zip(&BooleanArray::new(here, None), &part.array, &array)?,
            };
        }
        Ok(Values { array, scalar: false, failed })
    }
}

/// `TRY(x)`: NULL where x fails.
#[derive(Debug)]
pub(crate) struct Try(pub(crate) NodeRef);

impl Node for Try {
    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Values> {
        Ok(Values { failed: Failures::new(), ..self.0.evaluate(batch)? })
    }
}

/// The greatest or the least of the arguments that are not NULL.
pub(crate) fn extreme(greatest: bool, arguments: &[Argument], rows: usize) -> KernelResult {
    let operation = if greatest { Comparison::Greater } else { Comparison::Less };
    let (first, rest) = arguments.split_first().ok_or_else(|| fails("no arguments"))?;
    let mut best = first.array(rows)?;
    for argument in rest {
        let next = argument.array(rows)?;
        let better = compared(operation, &Argument::column(next.clone()), &Argument::column(best.clone()), rows)?;
        let better: BooleanArray = (0..rows)
            .map(|row| Some(next.is_valid(row) && (best.is_null(row) || (better.is_valid(row) && better.value(row)))))
            .collect();
        best = zip(&better, &next, &best)?;
    }
    Ok(best)
}

/// The first argument, NULL where it equals the second.
pub(crate) fn null_if(arguments: &[Argument], rows: usize) -> KernelResult {
    let equal = arguments[1].array(rows)?;
    arrow::compute::nullif(&arguments[0].array(rows)?, equal.as_boolean())
}
