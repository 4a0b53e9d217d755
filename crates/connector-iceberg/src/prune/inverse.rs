//! From values of a partition back to the values of its column: what a transform says of the rows of a partition.

use super::column_values::DAY_MICROS;
use dataflow::FilterValue;
use iceberg::spec::{PrimitiveType, Transform};
use values::calendar;

const SECOND_MICROS: i64 = 1_000_000;

/// The least value of a column that a transform may take to a number of years, months, days or hours since 1970, or to a
/// greater one; `None` where it is not known.
///
/// Some writers have cut numbers before 1970 towards 0, so that a unit at or before it may hold the rows of the one before.
pub fn first_of_unit(transform: Transform, column: &PrimitiveType, unit: i64) -> Option<FilterValue> {
    let unit = if unit <= 0 { unit.checked_sub(1)? } else { unit };
    start_of_unit(transform, column, unit)
}

/// The greatest value of a column that a transform may take to a number of years, months, days or hours since 1970, or to
/// a smaller one; `None` where it is not known.
///
/// Iceberg's library for Java takes the last microsecond of a unit's first second to the unit before, before 1970.
pub fn last_of_unit(transform: Transform, column: &PrimitiveType, unit: i64) -> Option<FilterValue> {
    match start_of_unit(transform, column, unit.checked_add(1)?)? {
        FilterValue::Date(days) => days.checked_sub(1).map(FilterValue::Date),
        FilterValue::Instant(micros) if unit < 0 => micros.checked_add(SECOND_MICROS).map(FilterValue::Instant),
        FilterValue::Instant(micros) => micros.checked_sub(1).map(FilterValue::Instant),
        _ => None,
    }
}

fn start_of_unit(transform: Transform, column: &PrimitiveType, unit: i64) -> Option<FilterValue> {
    let days = match transform {
        Transform::Year => first_of_month(unit.checked_mul(12)?)?,
        Transform::Month => first_of_month(unit)?,
        Transform::Day => unit,
        Transform::Hour => match column {
            PrimitiveType::Timestamp | PrimitiveType::Timestamptz => {
                return unit.checked_mul(DAY_MICROS / 24).map(FilterValue::Instant);
            }
            _ => return None,
        },
        _ => return None,
    };
    match column {
        PrimitiveType::Date => i32::try_from(days).ok().map(FilterValue::Date),
        PrimitiveType::Timestamp | PrimitiveType::Timestamptz => days.checked_mul(DAY_MICROS).map(FilterValue::Instant),
        _ => None,
    }
}

/// The days from 1970 to the first of a month, by the months since 1970; `None` far beyond all dates.
fn first_of_month(months: i64) -> Option<i64> {
    // About 600,000 years: a timestamp has fewer.
    (months.unsigned_abs() <= 12 * 600_000)
        .then(|| calendar::days(1970 + months.div_euclid(12), months.rem_euclid(12) + 1, 1))
}

/// The greatest whole number that truncation to a width takes to a value.
pub fn last_of_truncated(value: i64, width: u32) -> i64 {
    value.saturating_add(i64::from(width.max(1)) - 1)
}

/// Whether one of the values from one to another may be that of numbers near the least of INTEGER or BIGINT: the multiple of
/// the width below these is beyond the type, and goes around to its other end.
pub fn may_be_wrapped((least, greatest): (i64, i64), width: u32) -> bool {
    let first = |end: i64| end.saturating_sub(i64::from(width.max(1)) - 2);
    let ends = [i64::from(i32::MAX), i64::MAX];
    ends.into_iter().any(|end| greatest >= first(end) && least <= end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_where_the_calendar_has_them() {
        let days = [0, 1, 2, -1, 12, 360, 361, 362, -24].map(|months| first_of_month(months).unwrap());
        assert_eq!(days, [0, 31, 59, -31, 365, 10_957, 10_988, 11_017, -731]);
    }

    #[test]
    fn a_truncated_number_at_an_end_may_be_one_of_the_other() {
        // -2147483648 truncated to 10 is -2147483650, which is 2147483646 in 32 bits.
        assert!(may_be_wrapped((2_147_483_646, 2_147_483_646), 10));
        assert!(may_be_wrapped((-20, 3_000_000_000), 10), "one of them is among these");
        assert!(!may_be_wrapped((-20, 2_147_483_630), 10));
        assert!(!may_be_wrapped((2_147_483_650, 9_000_000_000), 10));
        assert!(may_be_wrapped((i64::MAX - 2, i64::MAX - 2), 5));
        assert!(!may_be_wrapped((0, 0), u32::MAX / 2));
    }

    #[test]
    fn a_unit_before_1970_holds_the_one_before_it_too() {
        let first = |unit| first_of_unit(Transform::Day, &PrimitiveType::Timestamp, unit);
        assert_eq!(first(1), Some(FilterValue::Instant(DAY_MICROS)));
        assert_eq!(first(0), Some(FilterValue::Instant(-DAY_MICROS)));
        let last = |unit| last_of_unit(Transform::Year, &PrimitiveType::Date, unit);
        assert_eq!(last(0), Some(FilterValue::Date(364)));
        assert_eq!(last(-1), Some(FilterValue::Date(-1)));
        // What Java has in hour -25 is of hour -24.
        let hours = |unit| last_of_unit(Transform::Hour, &PrimitiveType::Timestamp, unit);
        assert_eq!(hours(-25), Some(FilterValue::Instant(-86_399_000_000)));
        assert_eq!(hours(0), Some(FilterValue::Instant(DAY_MICROS / 24 - 1)));
        assert_eq!(first_of_unit(Transform::Hour, &PrimitiveType::Date, 1), None);
        assert_eq!(first(i64::MIN), None);
    }
}
