//! What a condition says of single columns, for readers that leave out files which hold no row that fulfils it.

use super::compare::Comparison;
use super::scope::ColumnId;
use super::tree::{Op, Tree, common_type, common_type_of};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use dataflow::{FilterComparison, FilterValue, RowFilter};

/// A longer list says nothing: to ask every file for each of its values would take longer than it spares.
const IN_ITEMS_MAX: usize = 256;

/// A filter that every row fulfils on which the condition is true, or on which it fails. `name` gives the columns that are
/// read as they are stored; what is said of others, or in other ways than comparisons with a constant, is left out.
pub(crate) fn row_filter(condition: &Tree, name: &dyn Fn(ColumnId) -> Option<String>) -> RowFilter {
    let mut conjuncts = Vec::new();
    add_conjuncts(condition, &mut conjuncts);
    // AND goes from left to right: what fails on a row is told, whatever the conditions after it say of the row. It goes on
    // after NULL, so that one which may be NULL keeps no row from those after it.
    let first = conjuncts.iter().position(|conjunct| conjunct.can_fail());
    let sound = conjuncts.into_iter().take(first.unwrap_or(usize::MAX));
    let sound = sound.filter(|conjunct| first.is_none() || !conjunct.nullable());
    RowFilter::all(sound.map(|conjunct| Names(name).filter(conjunct, true)).collect())
}

fn add_conjuncts<'t>(condition: &'t Tree, to: &mut Vec<&'t Tree>) {
    match condition.op() {
        Op::And => condition.arguments().iter().for_each(|argument| add_conjuncts(argument, to)),
        _ => to.push(condition),
    }
}

struct Names<'n>(&'n dyn Fn(ColumnId) -> Option<String>);

impl Names<'_> {
    /// Of the rows on which a condition is true, or on which it is false. NULL is neither.
    fn filter(&self, tree: &Tree, is_true: bool) -> RowFilter {
        let arguments = tree.arguments();
        let each = |is_true| arguments.iter().map(|argument| self.filter(argument, is_true)).collect();
        let found = match (tree.op(), arguments) {
            (Op::Not, [inner]) => return self.filter(inner, !is_true),
            (Op::Is { wanted, negated: false }, [inner]) if is_true => return self.filter(inner, *wanted),
            (Op::And, _) if is_true => return RowFilter::all(each(true)),
            (Op::And, _) => return RowFilter::any(each(false)),
            (Op::Or, _) if is_true => return RowFilter::any(each(true)),
            (Op::Or, _) => return RowFilter::all(each(false)),
            (Op::IsNull { negated }, [value]) => self.column(value).map(|column| match is_true ^ *negated {
                true => RowFilter::IsNull(column),
                false => RowFilter::IsNotNull(column),
            }),
            (Op::Compare(comparison), [left, right]) => self.compared(*comparison, left, right, is_true),
            (Op::Between, [value, low, high]) => self.between(value, low, high, is_true),
            (Op::In, [value, items @ ..]) if is_true => self.in_list(value, items),
            (Op::Like { folds: false }, [value, pattern]) if is_true => self.like(value, pattern),
            (Op::Column(_), _) => self
                .column(tree)
                .map(|column| RowFilter::compare(column, FilterComparison::Equal, FilterValue::Boolean(is_true))),
            _ => None,
        };
        found.unwrap_or_else(RowFilter::everything)
    }

    /// The name of the column that an expression is.
    fn column(&self, tree: &Tree) -> Option<String> {
        self.0(tree.as_column()?)
    }

    fn compared(&self, comparison: Comparison, left: &Tree, right: &Tree, is_true: bool) -> Option<RowFilter> {
        let common = common_type(left, right)?;
        let comparison =
            if is_true { comparison_of(comparison) } else { comparison_of(comparison).and_then(opposite) }?;
        match self.compared_column(left, &common) {
            Some(column) => comparison_with(column, comparison, right, &common),
            None => comparison_with(self.compared_column(right, &common)?, turned(comparison), left, &common),
        }
    }

    /// The name of the column that an expression is, where a value of it is compared in a type as a cast from the column's
    /// has it that keeps the order of values.
    fn compared_column(&self, tree: &Tree, common: &DataType) -> Option<String> {
        match (tree.op(), tree.arguments()) {
            (Op::Cast { to, .. }, [inner]) if to == common => {
                let is_day = matches!((inner.data_type(), to), (DataType::Timestamp(..), DataType::Date32));
                self.column(inner).filter(|_| is_day || is_widened(inner.data_type(), to))
            }
            _ => self.column(tree).filter(|_| is_widened(tree.data_type(), common)),
        }
    }

    fn between(&self, value: &Tree, low: &Tree, high: &Tree, is_true: bool) -> Option<RowFilter> {
        let common = common_type_of(&[value, low, high])?;
        let column = self.compared_column(value, &common)?;
        let side = |comparison, limit| {
            let comparison = if is_true { Some(comparison) } else { opposite(comparison) };
            let found = comparison.and_then(|comparison| comparison_with(column.clone(), comparison, limit, &common));
            found.unwrap_or_else(RowFilter::everything)
        };
        let sides = vec![side(FilterComparison::GreaterOrEqual, low), side(FilterComparison::LessOrEqual, high)];
        Some(if is_true { RowFilter::all(sides) } else { RowFilter::any(sides) })
    }

    fn in_list(&self, value: &Tree, items: &[Tree]) -> Option<RowFilter> {
        if items.len() > IN_ITEMS_MAX {
            return None;
        }
        let all: Vec<&Tree> = std::iter::once(value).chain(items).collect();
        let common = common_type_of(&all)?;
        let column = self.compared_column(value, &common)?;
        let equal = |item| comparison_with(column.clone(), FilterComparison::Equal, item, &common);
        Some(RowFilter::any(items.iter().map(equal).collect::<Option<_>>()?))
    }

    /// LIKE with a pattern that begins with more than a wildcard.
    fn like(&self, value: &Tree, pattern: &Tree) -> Option<RowFilter> {
        let column = self.column(value).filter(|_| *value.data_type() == DataType::Utf8)?;
        let Some(FilterValue::Text(pattern)) = constant_in(pattern, &DataType::Utf8)? else {
            return Some(RowFilter::nothing());
        };
        let Some(wildcard) = pattern.find(['%', '_']) else {
            return Some(RowFilter::compare(column, FilterComparison::Equal, FilterValue::Text(pattern)));
        };
        let prefix = pattern.get(..wildcard).filter(|prefix| !prefix.is_empty())?;
        let from = FilterValue::Text(prefix.to_owned());
        let mut both = vec![RowFilter::compare(column.clone(), FilterComparison::GreaterOrEqual, from)];
        if let Some(after) = after_prefix(prefix) {
            both.push(RowFilter::compare(column, FilterComparison::Less, FilterValue::Text(after)));
        }
        Some(RowFilter::all(both))
    }
}

/// The least text that is greater than all that begin with a prefix, if there is one.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // Between the last before the surrogates and the first after them there is no character.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

/// A column compared with a constant; no row where that is NULL.
fn comparison_with(column: String, comparison: FilterComparison, value: &Tree, common: &DataType) -> Option<RowFilter> {
    Some(match constant_in(value, common)? {
        Some(value) => RowFilter::compare(column, comparison, value),
        None => RowFilter::nothing(),
    })
}

fn comparison_of(comparison: Comparison) -> Option<FilterComparison> {
    Some(match comparison {
        Comparison::Equal => FilterComparison::Equal,
        Comparison::Less => FilterComparison::Less,
        Comparison::LessOrEqual => FilterComparison::LessOrEqual,
        Comparison::Greater => FilterComparison::Greater,
        Comparison::GreaterOrEqual => FilterComparison::GreaterOrEqual,
        // With these NULL may be true.
        Comparison::NotEqual | Comparison::Distinct | Comparison::NotDistinct => return None,
    })
}

/// What holds where a comparison is false.
fn opposite(comparison: FilterComparison) -> Option<FilterComparison> {
    Some(match comparison {
        FilterComparison::Equal => return None,
        FilterComparison::Less => FilterComparison::GreaterOrEqual,
        FilterComparison::LessOrEqual => FilterComparison::Greater,
        FilterComparison::Greater => FilterComparison::LessOrEqual,
        FilterComparison::GreaterOrEqual => FilterComparison::Less,
    })
}

/// The comparison with its sides turned.
fn turned(comparison: FilterComparison) -> FilterComparison {
    match comparison {
        FilterComparison::Equal => FilterComparison::Equal,
        FilterComparison::Less => FilterComparison::Greater,
        FilterComparison::LessOrEqual => FilterComparison::GreaterOrEqual,
        FilterComparison::Greater => FilterComparison::Less,
        FilterComparison::GreaterOrEqual => FilterComparison::LessOrEqual,
    }
}

/// The value of an expression without columns in a type, `None` within for NULL; `None` if it has none, or none of a type
/// that is compared.
fn constant_in(tree: &Tree, to: &DataType) -> Option<Option<FilterValue>> {
    let value = tree.cast_to(to).ok()?.constant().ok()?;
    if value.is_null(0) {
        return Some(None);
    }
    value_of(&value).map(Some)
}

fn value_of(value: &ArrayRef) -> Option<FilterValue> {
    Some(match value.data_type() {
        DataType::Boolean => FilterValue::Boolean(value.as_boolean().value(0)),
        DataType::Int32 => FilterValue::Whole(i64::from(value.as_primitive::<Int32Type>().value(0))),
        DataType::Int64 => FilterValue::Whole(value.as_primitive::<Int64Type>().value(0)),
        DataType::Float32 => FilterValue::Number(f64::from(value.as_primitive::<Float32Type>().value(0))),
        DataType::Float64 => FilterValue::Number(value.as_primitive::<Float64Type>().value(0)),
        DataType::Utf8 => FilterValue::Text(value.as_string::<i32>().value(0).to_owned()),
        DataType::Binary => FilterValue::Bytes(value.as_binary::<i32>().value(0).to_owned()),
        DataType::Date32 => FilterValue::Date(value.as_primitive::<Date32Type>().value(0)),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            FilterValue::Instant(value.as_primitive::<TimestampMicrosecondType>().value(0))
        }
        _ => return None,
    })
}

/// Whether the cast from one type to another keeps the order of values, and gives the value that readers compare.
fn is_widened(from: &DataType, to: &DataType) -> bool {
    from == to
        || matches!(
            (from, to),
            (DataType::Int32, DataType::Int64)
                | (DataType::Int32 | DataType::Int64 | DataType::Float32, DataType::Float64)
                | (DataType::Date32, DataType::Timestamp(TimeUnit::Microsecond, None))
        )
}
