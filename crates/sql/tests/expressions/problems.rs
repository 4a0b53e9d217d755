//! Wrong expressions are refused with a message, a place and, where one is known, what to write instead.

use crate::table::{batch, compiled, parse, scope};
use arrow::array::{AsArray, Int32Array};
use arrow::datatypes::{DurationMicrosecondType, TimestampMicrosecondType};
use sql::expression::{ColumnId, Place, Scope, ScopeColumn, constant, interval_micros};

/// Expression, the text at its place, a part of the message, a part of the hint.
const WRONG: [(&str, &str, &str, &str); 63] = [
    ("lenght(t)", "lenght", "no function is named \"lenght\"", "did you mean \"length\"?"),
    ("cuont(*)", "cuont", "no function is named \"cuont\"", "did you mean \"count\"?"),
    ("smu(i)", "smu", "no function is named \"smu\"", "did you mean \"sum\"?"),
    ("medain(i)", "medain", "no function is named \"medain\"", "the aggregate median is not supported"),
    ("nvl(i, 0)", "nvl", "no function is named \"nvl\"", "coalesce(x, y)"),
    ("to_timestamp(i)", "to_timestamp", "no function is named", "epoch_ms(x * 1000)"),
    ("strftime(ts, '%Y')", "strftime", "no function is named", "x::TEXT"),
    ("strptime(t, u)", "strptime", "the format of strptime must be a constant text", ""),
    ("strptime(i, '%Y')", "strptime", "strptime reads TEXT", "x::TEXT"),
    ("strptime(t, '%Y-%q')", "strptime", "the format of a time is wrong", ""),
    ("strptime(t, '%Y-%é')", "strptime", "the format of a time is wrong", ""),
    ("strptime(t, '%Y-%')", "strptime", "the format of a time is wrong", ""),
    ("strptime(t, '')", "strptime", "the format of a time is wrong", ""),
    ("strptime(t, '%-p')", "strptime", "the format of a time is wrong", ""),
    ("try_strptime(t, '%z')", "try_strptime", "the format of a time is wrong", "x::TIMESTAMPTZ"),
    ("date_trunc('huor', ts)", "date_trunc", "\"huor\" is not a part of a time", "did you mean \"hour\"?"),
    ("9223372036854775808", "9223372036854775808", "does not fit into 64 bits", "1e20"),
    ("i + nn", "nn", "no column is named \"nn\"", ""),
    ("y.i + 1", "y", "no stream or view is named \"y\"", ""),
    ("x.tss", "tss", "no column is named \"tss\"", "did you mean \"ts\"?"),
    ("t + 1", "t + 1", "no operator TEXT + INTEGER", "cast the text to a number"),
    ("f * 2", "f * 2", "no operator BOOLEAN * INTEGER", "x::INT"),
    ("ts + 1", "ts + 1", "no operator TIMESTAMP + INTEGER", ""),
    ("ts > 'yesterday'", "ts > 'yesterday'", "the text 'yesterday' cannot be read as TIMESTAMP", ""),
    ("now()", "now", "now() is refused", "the row's own time"),
    ("ts > current_timestamp", "current_timestamp", "current_timestamp() is refused", "the row's own time"),
    ("random() < 0.5", "random", "random() is refused", "derive it from the row"),
    ("uuid()", "uuid", "uuid() is refused", "a column that identifies the row"),
    ("gen_random_uuid()", "gen_random_uuid", "is refused", "a column that identifies the row"),
    ("sum(i)", "sum", "sum is an aggregate", "OVER"),
    ("count(*) OVER ()", "count", "over a window cannot stand here", "SELECT list"),
    ("i IN (SELECT 1)", "i IN (SELECT 1", "a subquery cannot stand here", "SELECT list"),
    ("i::HUGEINT", "i", "HUGEINT", "BIGINT"),
    ("i::NUMBR", "i", "the type NUMBR is not known", ""),
    ("ts::BIGINT", "ts", "TIMESTAMP cannot be cast to BIGINT", "epoch_us(x)"),
    ("i::TIMESTAMP", "i", "INTEGER cannot be cast to TIMESTAMP", "epoch_ms(x)"),
    ("date_trunc('hours_', ts)", "date_trunc", "\"hours_\" is not a part of a time", ""),
    ("date_trunc(t, ts)", "date_trunc", "must be a constant text", ""),
    (
        "CASE WHEN f THEN i ELSE t END",
        "CASE WHEN f THEN i ELSE t END",
        "INTEGER and TEXT cannot be mixed in CASE",
        "cast",
    ),
    ("lower(i)", "lower", "lower needs TEXT as argument 1", "x::TEXT"),
    ("lower(t, u)", "lower", "lower does not take 2 arguments", ""),
    ("substr(t)", "t", "substr does not take 1 argument", ""),
    ("regexp_matches(t, 'a', u)", "regexp_matches", "the options of regexp_matches must be a constant text", ""),
    ("regexp_matches(t, 'a', 'q')", "regexp_matches", "\"q\" is no option of regexp_matches", ""),
    ("regexp_full_match(t, 'a', 'ig')", "regexp_full_match", "regexp_replace alone has it", ""),
    ("regexp_matches(t, 'a', NULL)", "regexp_matches", "must not be NULL", ""),
    ("regexp_replace(t, 'a', 'b', i)", "regexp_replace", "the options of regexp_replace must be a text", ""),
    ("regexp_extract(t, 'a', i)", "regexp_extract", "the group of regexp_extract must be a constant", ""),
    ("regexp_extract(t, 'a', 10)", "regexp_extract", "the group of regexp_extract is out of range", ""),
    ("regexp_extract(t, 'a', -1)", "regexp_extract", "the group of regexp_extract is out of range", ""),
    ("make_timestamp(d)", "make_timestamp", "make_timestamp takes microseconds, as a whole number", "x::BIGINT"),
    ("make_timestamp(t)", "make_timestamp", "make_timestamp takes microseconds, as a whole number", "x::BIGINT"),
    ("to_days(d)", "to_days", "to_days takes a whole number", "x * INTERVAL '1' DAY"),
    ("to_microseconds(1.5)", "to_microseconds", "to_microseconds takes a whole number", "INTERVAL '1' MICROSECOND"),
    ("ifelse(f, 1, 2)", "ifelse", "no function is named \"ifelse\"", "if(condition, x, y)"),
    ("upper(t) IGNORE NULLS", "upper", "upper takes plain arguments", ""),
    ("CAST(i AS INTEGER FORMAT 'x')", "i", "CAST has no FORMAT", "strptime"),
    ("i LIKE 'x'", "i LIKE", "LIKE needs TEXT as argument 1", "x::TEXT"),
    ("t NOT ILIKE i", "t NOT ILIKE", "ILIKE needs TEXT as argument 2", "x::TEXT"),
    ("abs()", "abs", "abs takes 1 argument", ""),
    ("99999999999999999999 + i", "99999999999999999999", "does not fit into 64 bits", "1e20"),
    ("ts = i", "ts = i", "TIMESTAMP and INTEGER cannot be compared", "cast"),
    ("ts AT TIME ZONE 'CET'", "ts", "AT TIME ZONE is not known", "leave it out"),
];

#[test]
fn wrong_expressions_are_refused_at_their_place() {
    let scope = scope(&batch());
    for (text, place, message, hint) in WRONG {
        let problem = compiled(text, &scope).expect_err(text);
        assert!(problem.message.contains(message), "{text}: {problem:?}");
        assert!(problem.hint.as_deref().unwrap_or("").contains(hint), "{text}: {problem:?}");
        let span = problem.span.unwrap_or_else(|| panic!("{text} has no place: {problem:?}"));
        let (start, end) = (span.start.column as usize - 1, span.end.column as usize - 1);
        assert!(text[start..end.min(text.len())].starts_with(place), "{text}: {:?}", &text[start..end]);
    }
}

#[test]
fn a_name_of_two_streams_is_ambiguous_unless_it_is_qualified() {
    let scope = scope(&batch());
    let place = Place::Column(ColumnId(2));
    let twin = ScopeColumn { qualifier: Some("z".into()), place, ..scope.columns()[2].clone() };
    let scope: Scope = scope.columns().iter().cloned().chain([twin]).collect();
    let problem = compiled("i + 1", &scope).expect_err("ambiguous");
    assert_eq!(&*problem.message, "column \"i\" is ambiguous");
    assert_eq!(problem.expected.as_deref(), Some("x.i or z.i"));
    assert!(compiled("X.I + z.i", &scope).is_ok());
}

#[test]
fn constants_are_folded_and_intervals_measured() {
    let value = |text: &str| constant(&parse(text)).unwrap();
    assert_eq!(value("1 + 2 * 3").as_ref(), &Int32Array::from(vec![7]) as &dyn arrow::array::Array);
    let instant = value("TIMESTAMP '1970-01-01 00:00:01'");
    assert_eq!(instant.as_primitive::<TimestampMicrosecondType>().value(0), 1_000_000);
    let day = value("INTERVAL '1' DAY");
    assert_eq!(day.as_primitive::<DurationMicrosecondType>().value(0), 86_400_000_000);
    assert_eq!(interval_micros(&parse("INTERVAL '1' HOUR * 2")), Ok(7_200_000_000));
    let months = interval_micros(&parse("INTERVAL '1' MONTH")).unwrap_err();
    assert_eq!(&*months.message, "an interval with months has no length");
    assert_eq!(months.hint.as_deref(), Some("write days, e.g. INTERVAL '30' DAY"));
    assert!(constant(&parse("1 // 0")).unwrap_err().message.contains("division by zero"));
    assert!(constant(&parse("x")).unwrap_err().message.contains("no column is named"));
}
