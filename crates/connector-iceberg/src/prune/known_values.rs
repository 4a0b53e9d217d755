//! What is known of the values of one column in the rows of a file or of many, and whether a wanted one may be among them.

use super::column_values::{begins_with, order, stored_value};
use super::inverse::{first_of_unit, last_of_truncated, last_of_unit, may_be_wrapped};
use dataflow::{FilterComparison, FilterValue};
use iceberg::spec::{Datum, PrimitiveType, Transform};
use iceberg::transform::create_transform_function;
use std::cmp::Ordering;

/// What is known of the values of a column. What is not known lets everything be there.
#[derive(Clone, Debug)]
pub struct KnownValues {
    /// A value that none is below.
    pub lower: Option<FilterValue>,
    /// A value that none is above; where it was cut off, none but those that begin with it.
    pub upper: Option<FilterValue>,
    pub is_upper_cut: bool,
    /// The column's type, the number of buckets, and those of them in which values are.
    pub buckets: Option<(PrimitiveType, u32, (i64, i64))>,
    pub may_be_null: bool,
    pub may_be_nan: bool,
    /// Whether there may be values that are neither NULL nor NaN.
    pub may_have_values: bool,
}

impl Default for KnownValues {
    fn default() -> KnownValues {
        KnownValues {
            lower: None,
            upper: None,
            is_upper_cut: false,
            buckets: None,
            may_be_null: true,
            may_be_nan: true,
            may_have_values: true,
        }
    }
}

impl KnownValues {
    /// What values of a partition, the least and the greatest, say of its column; `None` where they say nothing at all. The
    /// values are those of the transform, as Iceberg stores bounds. NULL and NaN are for the caller to say.
    pub fn of_partition(
        transform: Transform,
        column: &PrimitiveType,
        least: Option<&[u8]>,
        greatest: Option<&[u8]>,
    ) -> Option<KnownValues> {
        let mut known = KnownValues::default();
        let whole = |stored: Option<&[u8]>| match stored_value(stored?, &PrimitiveType::Long)? {
            FilterValue::Whole(value) => Some(value),
            _ => None,
        };
        let value = |stored: Option<&[u8]>| stored_value(stored?, column);
        match transform {
            // Some writers keep 32 bits of a value of 64 there. Bounds say as much of the column.
            Transform::Identity if matches!(column, PrimitiveType::Float | PrimitiveType::Double) => return None,
            Transform::Identity => (known.lower, known.upper) = (value(least), value(greatest)),
            Transform::Truncate(width) => {
                (known.lower, known.upper) = (value(least), value(greatest));
                let is_wrapped = whole(least).zip(whole(greatest)).is_none_or(|between| may_be_wrapped(between, width));
                match &mut known.upper {
                    Some(FilterValue::Whole(_)) if is_wrapped => (known.lower, known.upper) = (None, None),
                    Some(FilterValue::Whole(greatest)) => *greatest = last_of_truncated(*greatest, width),
                    Some(FilterValue::Text(_) | FilterValue::Bytes(_)) => known.is_upper_cut = true,
                    _ => (known.lower, known.upper) = (None, None),
                }
            }
            Transform::Year | Transform::Month | Transform::Day | Transform::Hour => {
                known.lower = whole(least).and_then(|unit| first_of_unit(transform, column, unit));
                known.upper = whole(greatest).and_then(|unit| last_of_unit(transform, column, unit));
            }
            Transform::Bucket(count) => {
                let buckets = whole(least).zip(whole(greatest));
                known.buckets = buckets.map(|buckets| (column.clone(), count, buckets));
            }
            // Their partition says nothing of NULL either.
            Transform::Void | Transform::Unknown => return None,
        }
        Some(known)
    }

    /// Whether a value that compares so with another may be there.
    pub fn may_compare(&self, comparison: FilterComparison, value: &FilterValue) -> bool {
        use FilterComparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        if matches!(value, FilterValue::Number(value) if value.is_nan()) {
            // NaN is greater than all others: whatever is asked, nothing is told by bounds.
            return self.may_be_nan || self.may_have_values;
        }
        if self.may_be_nan && matches!(value, FilterValue::Number(_)) && matches!(comparison, Greater | GreaterOrEqual)
        {
            return true;
        }
        if !self.may_have_values {
            return false;
        }
        // Not below the value, and not above it.
        let from_above = |is: &dyn Fn(Ordering) -> bool| {
            let upper = self.upper.as_ref();
            let is_cut = |upper: &FilterValue| self.is_upper_cut && begins_with(value, upper);
            upper.is_none_or(|upper| is_cut(upper) || order(upper, value).is_none_or(is))
        };
        let from_below =
            |is: &dyn Fn(Ordering) -> bool| self.lower.as_ref().and_then(|lower| order(lower, value)).is_none_or(is);
        match comparison {
            Equal => from_below(&Ordering::is_le) && from_above(&Ordering::is_ge) && self.may_be_in_bucket(value),
            Less => from_below(&Ordering::is_lt),
            LessOrEqual => from_below(&Ordering::is_le),
            Greater => from_above(&Ordering::is_gt),
            GreaterOrEqual => from_above(&Ordering::is_ge),
        }
    }

    fn may_be_in_bucket(&self, value: &FilterValue) -> bool {
        let Some((column, count, (least, greatest))) = &self.buckets else { return true };
        bucket_of(column, *count, value).is_none_or(|bucket| (*least..=*greatest).contains(&bucket))
    }
}

/// The bucket in which a value of a column is; `None` where the value is not of the column's type.
fn bucket_of(column: &PrimitiveType, count: u32, value: &FilterValue) -> Option<i64> {
    let datum = match (column, value) {
        // A number is hashed as one of 64 bits.
        (PrimitiveType::Int | PrimitiveType::Long, FilterValue::Whole(value)) => Datum::long(*value),
        (PrimitiveType::Date, FilterValue::Date(days)) => Datum::date(*days),
        (PrimitiveType::Timestamp | PrimitiveType::Timestamptz, FilterValue::Instant(micros)) => {
            Datum::timestamp_micros(*micros)
        }
        (PrimitiveType::String, FilterValue::Text(text)) => Datum::string(text),
        (PrimitiveType::Binary, FilterValue::Bytes(bytes)) => Datum::binary(bytes.iter().copied()),
        _ => return None,
    };
    let function = create_transform_function(&Transform::Bucket(count)).ok()?;
    let bucket = function.transform_literal(&datum).ok()??;
    match stored_value(&bucket.to_bytes().ok()?, &PrimitiveType::Int)? {
        FilterValue::Whole(bucket) => Some(bucket),
        _ => None,
    }
}
