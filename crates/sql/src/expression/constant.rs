//! Literals and constants.

use super::bound::{Bound, OpenLiteral};
use super::cast;
use super::scope::Problem;
use super::sql_type;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType};
use sqlparser::ast::Value;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One value of a settled type, known by the SQL that gives it.
#[derive(Clone, Debug)]
pub(crate) struct Constant {
    value: ArrayRef,
    text: Arc<str>,
}

impl PartialEq for Constant {
    fn eq(&self, other: &Constant) -> bool {
        self.text == other.text
    }
}

impl Eq for Constant {}

impl Hash for Constant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Constant {
    /// A constant of an array of one value.
    pub(crate) fn new(value: ArrayRef) -> Result<Constant, Problem> {
        let text = text(&value)?.into();
        Ok(Constant { value, text })
    }

    pub(crate) fn value(&self) -> &ArrayRef {
        &self.value
    }

    /// The SQL that gives it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// The value as SQL: a cast of its text, except where text cannot be read as its type.
fn text(value: &ArrayRef) -> Result<String, Problem> {
    let data_type = value.data_type();
    if value.is_null(0) {
        return Ok(format!("CAST(NULL AS {})", sql_type::name(data_type)));
    }
    if let DataType::Interval(_) = data_type {
        let parts = value.as_primitive::<IntervalMonthDayNanoType>().value(0);
        let (months, days, micros) = (parts.months, parts.days, parts.nanoseconds / 1000);
        return Ok(format!("INTERVAL '{months} months {days} days {micros} us'"));
    }
    let text = cast::text_of(value).map_err(|error| Problem::new(error.to_string()))?;
    let text = text.replace('\'', "''");
    match data_type {
        DataType::Boolean => Ok(text.to_uppercase()),
        DataType::Duration(_) => Ok(format!("INTERVAL '{text}'")),
        _ => Ok(format!("CAST('{text}' AS {})", sql_type::name(data_type))),
    }
}

/// A literal as it is written.
pub(crate) fn literal(value: &Value) -> Result<Bound, Problem> {
    let (value, open) = match value {
        Value::Null => return Ok(Bound::null()),
        Value::Boolean(value) => (one(BooleanArray::from(vec![*value])), None),
        Value::SingleQuotedString(text) => (one(StringArray::from(vec![text.as_str()])), Some(OpenLiteral::Text)),
        Value::Number(text, _) => number(&text.replace('_', ""))?,
        other => return Err(Problem::new(format!("the literal {other} is not known")).found(other.to_string())),
    };
    Ok(Bound::literal(value, open))
}

fn one(value: impl Array + 'static) -> ArrayRef {
    Arc::new(value)
}

/// Whole numbers are INTEGER or BIGINT, those with a point DECIMAL, those with an exponent DOUBLE.
fn number(text: &str) -> Result<(ArrayRef, Option<OpenLiteral>), Problem> {
    let bad = || Problem::new(format!("{text} is not a number")).found(text);
    if let Ok(value) = text.parse::<i32>() {
        return Ok((one(Int32Array::from(vec![value])), Some(OpenLiteral::Integer)));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Ok((one(Int64Array::from(vec![value])), Some(OpenLiteral::Integer)));
    }
    if text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Problem::new(format!("{text} does not fit into 64 bits"))
            .found(text)
            .expected("at most 9223372036854775807")
            .hint("write it with a point or an exponent, e.g. 1e20"));
    }
    if let (Some((whole, fraction)), false) = (text.split_once('.'), text.contains(['e', 'E'])) {
        let (digits, scale) = ((whole.len() + fraction.len()).max(1), fraction.len());
        if digits <= usize::from(sql_type::DIGITS_MAX) {
            let value = values::read_exact(text, scale as i32).ok_or_else(bad)?;
            let value = Decimal128Array::from(vec![value]).with_precision_and_scale(digits as u8, scale as i8);
            return Ok((one(value.map_err(|error| Problem::new(error.to_string()))?), None));
        }
    }
    Ok((one(Float64Array::from(vec![text.parse::<f64>().map_err(|_| bad())?])), None))
}
