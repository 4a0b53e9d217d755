//! The aggregates over a list of values.

use crate::Aggregate;
use crate::harness::Value;
use std::cmp::Ordering;

/// The aggregate of values that may be NULL; `None` where an integer sum does not fit.
pub(super) fn aggregate(aggregate: Aggregate, values: &[Value]) -> Option<Value> {
    let there: Vec<&Value> = values.iter().filter(|value| **value != Value::Null).collect();
    let floats: Vec<f64> = there
        .iter()
        .map(|value| match value {
            Value::Integer(value) => *value as f64,
            Value::Float(value) => *value,
            _ => f64::NAN,
        })
        .collect();
    let count = there.len() as f64;
    Some(match aggregate {
        Aggregate::Count => Value::Integer(there.len() as i64),
        Aggregate::CountDistinct => {
            let mut distinct: Vec<&Value> = Vec::new();
            for value in there {
                if !distinct.iter().any(|other| compare(other, value).is_eq()) {
                    distinct.push(value);
                }
            }
            Value::Integer(distinct.len() as i64)
        }
        _ if there.is_empty() => Value::Null,
        Aggregate::Min => there.into_iter().min_by(|left, right| compare(left, right))?.clone(),
        Aggregate::Max => there.into_iter().max_by(|left, right| compare(left, right))?.clone(),
        Aggregate::Sum => match there[0] {
            Value::Float(_) => Value::Float(sum(&floats)),
            _ => Value::Integer(i64::try_from(integer_sum(&there)).ok()?),
        },
        Aggregate::Avg => match there[0] {
            Value::Float(_) => Value::Float(sum(&floats) / count),
            _ => Value::Float(integer_sum(&there) as f64 / count),
        },
        Aggregate::VarSamp | Aggregate::StddevSamp if there.len() < 2 => Value::Null,
        Aggregate::VarSamp => Value::Float(squares(&floats) / (count - 1.0)),
        Aggregate::VarPop => Value::Float(squares(&floats) / count),
        Aggregate::StddevSamp => Value::Float((squares(&floats) / (count - 1.0)).sqrt()),
        Aggregate::StddevPop => Value::Float((squares(&floats) / count).sqrt()),
        Aggregate::Lag { .. } => return None,
    })
}

pub(super) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Float(left), Value::Float(right)) => {
            left.partial_cmp(right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
        }
        _ => left.partial_cmp(right).unwrap_or(Ordering::Equal),
    }
}

fn integer_sum(values: &[&Value]) -> i128 {
    values.iter().map(|value| if let Value::Integer(value) = value { i128::from(*value) } else { 0 }).sum()
}

/// The sum without loss, as a list of floats that do not overlap; special values as they add.
fn sum(values: &[f64]) -> f64 {
    if values.iter().any(|value| !value.is_finite()) {
        return values.iter().filter(|value| !value.is_finite()).sum();
    }
    let mut parts: Vec<f64> = Vec::new();
    for &value in values {
        let (mut carried, mut kept) = (value, Vec::new());
        for part in parts {
            let (large, small) = if carried.abs() >= part.abs() { (carried, part) } else { (part, carried) };
            let high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                kept.push(low);
            }
            carried = high;
        }
        kept.push(carried);
        parts = kept;
    }
    parts.iter().sum()
}

/// The sum of squared distances from the mean. It is taken of the distances from the first value, so that it is wrong by
/// a share of the spread and not of the values: a mean that is rounded may be none of three values that are the same.
fn squares(values: &[f64]) -> f64 {
    if values.iter().any(|value| !value.is_finite()) {
        return f64::NAN;
    }
    let moved: Vec<f64> = values.iter().map(|value| value - values[0]).collect();
    let mean = sum(&moved) / moved.len() as f64;
    let distances: Vec<f64> = moved.iter().map(|value| (value - mean).powi(2)).collect();
    sum(&distances)
}

#[test]
fn values_that_are_the_same_have_no_variance() {
    for count in 1..100 {
        assert_eq!(squares(&vec![0.1; count]), 0.0, "{count} values");
    }
}
