//! What partitions and bounds say is compared with the values themselves.

use super::column_values::{DAY_MICROS, order};
use super::known_values::KnownValues;
use dataflow::{FilterComparison, FilterValue};
use iceberg::spec::{Datum, PrimitiveType, Transform};
use iceberg::transform::create_transform_function;
use proptest::prelude::*;

fn datum(value: &FilterValue, column: &PrimitiveType) -> Datum {
    match (value, column) {
        (FilterValue::Whole(value), PrimitiveType::Int) => Datum::int(*value as i32),
        (FilterValue::Whole(value), _) => Datum::long(*value),
        (FilterValue::Number(value), _) => Datum::double(*value),
        (FilterValue::Text(text), _) => Datum::string(text),
        (FilterValue::Bytes(bytes), _) => Datum::binary(bytes.iter().copied()),
        (FilterValue::Date(days), _) => Datum::date(*days),
        (FilterValue::Instant(micros), _) => Datum::timestamp_micros(*micros),
        (FilterValue::Boolean(value), _) => Datum::bool(*value),
    }
}

/// The partition of a value, as a manifest list stores it.
fn partition(transform: Transform, value: &FilterValue, column: &PrimitiveType) -> Vec<u8> {
    if let (Transform::Truncate(width), FilterValue::Bytes(bytes)) = (transform, value) {
        // The library truncates columns of bytes alone, and no single value.
        return bytes[..bytes.len().min(width as usize)].to_vec();
    }
    let function = create_transform_function(&transform).unwrap();
    let result = function.transform_literal(&datum(value, column)).unwrap().unwrap();
    result.to_bytes().unwrap().to_vec()
}

fn holds(left: &FilterValue, comparison: FilterComparison, right: &FilterValue) -> bool {
    let order = order(left, right).unwrap();
    match comparison {
        FilterComparison::Equal => order.is_eq(),
        FilterComparison::Less => order.is_lt(),
        FilterComparison::LessOrEqual => order.is_le(),
        FilterComparison::Greater => order.is_gt(),
        FilterComparison::GreaterOrEqual => order.is_ge(),
    }
}

const COMPARISONS: [FilterComparison; 5] = [
    FilterComparison::Equal,
    FilterComparison::Less,
    FilterComparison::LessOrEqual,
    FilterComparison::Greater,
    FilterComparison::GreaterOrEqual,
];

/// A type of a column, with the transforms that it has.
fn columns() -> impl Strategy<Value = (PrimitiveType, Transform)> {
    use Transform::{Bucket, Day, Hour, Identity, Month, Truncate, Year};
    let whole = [Identity, Bucket(7), Truncate(10)];
    let of = |column: PrimitiveType, transforms: &[Transform]| {
        transforms.iter().map(|transform| (column.clone(), *transform)).collect::<Vec<_>>()
    };
    let all = [
        of(PrimitiveType::Int, &whole),
        of(PrimitiveType::Long, &whole),
        of(PrimitiveType::String, &[Identity, Bucket(7), Truncate(2)]),
        of(PrimitiveType::Binary, &[Identity, Bucket(7), Truncate(2)]),
        of(PrimitiveType::Date, &[Identity, Bucket(7), Year, Month, Day]),
        of(PrimitiveType::Timestamp, &[Identity, Bucket(7), Year, Month, Day, Hour]),
    ];
    proptest::sample::select(all.concat())
}

fn value(column: &PrimitiveType) -> BoxedStrategy<FilterValue> {
    let letters = || proptest::collection::vec(proptest::sample::select(vec!['a', 'b', 'ß', '\u{ffff}', '😀']), 0..5);
    match column {
        PrimitiveType::Int => (-30i64..30).prop_map(FilterValue::Whole).boxed(),
        PrimitiveType::Long => prop_oneof![-30i64..30, any::<i64>()].prop_map(FilterValue::Whole).boxed(),
        PrimitiveType::String => letters().prop_map(|letters| FilterValue::Text(letters.into_iter().collect())).boxed(),
        PrimitiveType::Binary => proptest::collection::vec(prop_oneof![Just(0u8), Just(255), Just(7)], 0..4)
            .prop_map(FilterValue::Bytes)
            .boxed(),
        PrimitiveType::Date => (-1500i32..1500).prop_map(FilterValue::Date).boxed(),
        _ => {
            let near = -400 * DAY_MICROS..400 * DAY_MICROS;
            prop_oneof![near, -DAY_MICROS * 200_000..DAY_MICROS * 200_000].prop_map(FilterValue::Instant).boxed()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_partition_that_holds_a_wanted_value_is_never_left_out(
        ((column, transform), one, other, wanted) in columns().prop_flat_map(|(column, transform)| {
            let one = value(&column);
            (Just((column.clone(), transform)), one, value(&column), value(&column))
        })
    ) {
        let parts = [partition(transform, &one, &column), partition(transform, &other, &column)];
        let alone = KnownValues::of_partition(transform, &column, Some(&parts[0]), Some(&parts[0])).unwrap();
        let alone = KnownValues { may_be_nan: false, ..alone };
        for comparison in COMPARISONS {
            if holds(&one, comparison, &wanted) {
                prop_assert!(alone.may_compare(comparison, &wanted), "{transform} {column}: {one:?} {comparison:?}");
            }
            prop_assert!(!holds(&one, comparison, &one) || alone.may_compare(comparison, &one));
        }
        // A manifest with both says the least and the greatest partition.
        let result = transform.result_type(&iceberg::spec::Type::Primitive(column.clone())).unwrap();
        let result = result.as_primitive_type().unwrap().clone();
        let bounds = parts.clone().map(|part| Datum::try_from_bytes(&part, result.clone()).unwrap());
        let (least, greatest) = if bounds[0] <= bounds[1] { (0, 1) } else { (1, 0) };
        let both = KnownValues::of_partition(transform, &column, Some(&parts[least]), Some(&parts[greatest])).unwrap();
        for comparison in COMPARISONS {
            if holds(&one, comparison, &wanted) || holds(&other, comparison, &wanted) {
                prop_assert!(both.may_compare(comparison, &wanted), "{transform} {column}: {one:?} {other:?}");
            }
        }
    }
}

#[test]
fn other_partitions_are_left_out() {
    let known = |transform, column: PrimitiveType, one: FilterValue| {
        let part = partition(transform, &one, &column);
        let known = KnownValues::of_partition(transform, &column, Some(&part), Some(&part)).unwrap();
        KnownValues { may_be_nan: false, ..known }
    };
    let day = known(Transform::Day, PrimitiveType::Timestamp, FilterValue::Instant(40 * DAY_MICROS + 5));
    assert!(!day.may_compare(FilterComparison::Less, &FilterValue::Instant(40 * DAY_MICROS)));
    assert!(!day.may_compare(FilterComparison::GreaterOrEqual, &FilterValue::Instant(41 * DAY_MICROS)));
    assert!(!day.may_compare(FilterComparison::Equal, &FilterValue::Date(41)));
    assert!(day.may_compare(FilterComparison::Equal, &FilterValue::Date(40)));
    let text = known(Transform::Truncate(2), PrimitiveType::String, FilterValue::Text("abc".to_owned()));
    assert!(!text.may_compare(FilterComparison::Equal, &FilterValue::Text("b".to_owned())));
    assert!(text.may_compare(FilterComparison::Equal, &FilterValue::Text("abz".to_owned())));
    assert!(!text.may_compare(FilterComparison::Greater, &FilterValue::Text("ac".to_owned())));
    let bucket = known(Transform::Bucket(1000), PrimitiveType::Long, FilterValue::Whole(34));
    assert!(bucket.may_compare(FilterComparison::Equal, &FilterValue::Whole(34)));
    assert!(!bucket.may_compare(FilterComparison::Equal, &FilterValue::Whole(35)));
    assert!(bucket.may_compare(FilterComparison::Less, &FilterValue::Whole(-1)));
}

#[test]
fn nan_is_above_all_numbers_and_outside_of_bounds() {
    let known = KnownValues {
        lower: Some(FilterValue::Number(-0.0)),
        upper: Some(FilterValue::Number(1.0)),
        ..KnownValues::default()
    };
    let number = FilterValue::Number;
    assert!(known.may_compare(FilterComparison::Greater, &number(2.0)));
    assert!(known.may_compare(FilterComparison::Equal, &number(f64::NAN)));
    assert!(known.may_compare(FilterComparison::Equal, &number(0.0)));
    assert!(!known.may_compare(FilterComparison::Equal, &number(2.0)));
    assert!(!known.may_compare(FilterComparison::Less, &number(0.0)));
    let known = KnownValues { may_be_nan: false, ..known };
    assert!(!known.may_compare(FilterComparison::Greater, &number(1.0)));
    assert!(known.may_compare(FilterComparison::Equal, &FilterValue::Text("of another type".to_owned())));
    let nulls = KnownValues { may_have_values: false, may_be_nan: false, ..KnownValues::default() };
    assert!(!nulls.may_compare(FilterComparison::LessOrEqual, &number(0.0)));
}
