//! Statements that are not plans: archives, tests, streams as the project sees them, queries and outputs by name.

use crate::catalog::Known;
use crate::{folder, source};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use dataflow::{FilterComparison, FilterValue, Late, Output, Quiet, RowFilter, Span, TableLayout};
use sql::{
    CheckedPlan, ColumnSource, ExpectedRows, History, LookBack, QueryInput, SourceFile, Statements, Target, check,
    parse,
};

fn project(name: &str) -> Statements {
    parse(&[source(&folder().join("plans").join(name))]).unwrap()
}

fn checked(name: &str, target: Target) -> CheckedPlan {
    check(&project(name), &Known, &target).unwrap_or_else(|wrong| panic!("{}", wrong[0]))
}

fn outputs(checked: &CheckedPlan) -> Vec<String> {
    checked.outputs.iter().map(|output| format!("{:?}", output.output)).collect()
}

#[test]
fn streams_carry_their_declaration() {
    let checked = checked("windows.sql", Target::All);
    let plays = &checked.streams[0];
    assert_eq!((plays.delay, plays.quiet, plays.late), (Span::seconds(10), Quiet::After(Span::seconds(3)), Late::Drop));
    assert_eq!(plays.history, Some(History::Files("data/plays*.parquet".to_owned(), Default::default())));
    assert_eq!(plays.schema.field(plays.time_column).name(), "played_at");
    assert_eq!((plays.schema.fields().len(), plays.raw.fields().len()), (6, 5));
    assert!(matches!(plays.sources[5], ColumnSource::Computed(_)));
}

#[test]
fn columns_of_a_table_are_inferred_without_hidden_ones() {
    let checked = checked("other_streams.sql", Target::View("recent".to_owned()));
    let events = checked.streams.iter().find(|stream| stream.name == "events").unwrap();
    let names: Vec<&str> = events.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["user_id", "at", "amount"]);
}

#[test]
fn a_target_plans_only_what_it_needs() {
    let training = checked("dm_spam.sql", Target::Outputs(vec!["lake.*".to_owned()]));
    assert_eq!(outputs(&training), ["Table(\"lake.spam_training\")"]);
    assert!(training.models.is_empty());
    let decision = checked("dm_spam.sql", Target::Outputs(vec!["dm_spam".to_owned()]));
    assert_eq!(outputs(&decision), ["Topic(\"actions\")", "Table(\"dm_spam__log\")"]);
    assert_eq!(decision.models, [("spam".to_owned(), "half".to_owned())]);
    let query =
        checked("dm_spam.sql", Target::Query("SELECT message_id, _late AS late FROM messages LIMIT 9".to_owned()));
    assert_eq!(query.streams.len(), 1);
    assert_eq!(query.outputs[0].output, Output::Query(0));
    assert_eq!(query.query.and_then(|query| query.limit()), Some(9));
}

#[test]
fn what_no_output_needs_is_checked_and_not_run() {
    let mut file = source(&folder().join("plans/dm_spam.sql"));
    file.text.push_str(
        "CREATE STREAM idle (at TIMESTAMP, WATERMARK FOR at AS at) LIVE idle; CREATE VIEW v AS SELECT at FROM idle;",
    );
    let checked = check(&parse(&[file.clone()]).unwrap(), &Known, &Target::All).unwrap();
    assert!(checked.streams.iter().all(|stream| stream.name != "idle"));
    assert!(checked.explained().unwrap().nodes.iter().all(|node| !node.name.contains("idle")));
    file.text.push_str("CREATE VIEW w AS SELECT att FROM idle;");
    let wrong = check(&parse(&[file]).unwrap(), &Known, &Target::All).unwrap_err();
    assert_eq!(wrong[0].hint.as_deref(), Some("did you mean \"at\"?"));
}

#[test]
fn an_unknown_output_or_view_is_named() {
    for (target, expected) in [
        (Target::Outputs(vec!["lake.spam_trainin".to_owned()]), "did you mean \"lake.spam_training\"?"),
        (Target::View("score".to_owned()), "did you mean \"scored\"?"),
    ] {
        let wrong = check(&project("dm_spam.sql"), &Known, &target).unwrap_err();
        assert_eq!(wrong[0].hint.as_deref(), Some(expected));
    }
}

#[test]
fn a_query_has_places_of_its_own() {
    let target = Target::Query("SELECT messageid FROM messages".to_owned());
    let wrong = check(&project("dm_spam.sql"), &Known, &target).unwrap_err();
    assert_eq!((wrong[0].path.as_str(), wrong[0].line, wrong[0].column), ("<query>", 1, 8));
}

#[test]
fn tests_give_and_expect_rows_of_the_declared_types() {
    let statements = project("dm_spam.sql");
    assert_eq!(statements.archives(), ["messages"]);
    let tests = statements.tests();
    assert_eq!(tests[0].targets(), ["sender_features", "dm_spam"]);
    let checked = check(&statements, &Known, &Target::Collect(tests[0].targets())).unwrap();
    let bound = checked.bind_test(&tests[0]).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let sql::GivenRows { stream, rows, .. } = &bound.givens[0];
    assert_eq!((stream.as_str(), rows.num_rows(), rows.num_columns()), ("messages", 61, 6));
    assert_eq!(rows.column(0).as_string::<i32>().value(60), "m61");
    let first = rows.column(5).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(first.value(1) - first.value(0), 500_000);
    assert_eq!(bound.scores, [("spam".to_owned(), 0.1)]);
    let among = |rows: &ExpectedRows| match rows {
        ExpectedRows::Among { rows, .. } => rows.clone(),
        other => panic!("{other:?}"),
    };
    let features: RecordBatch = among(&bound.expects[0].rows);
    assert_eq!(features.column(1).as_primitive::<Int64Type>().value(0), 61);
    let actions: RecordBatch = among(&bound.expects[1].rows);
    assert_eq!(actions.column(1).as_string::<i32>().value(0), "rate_limit");
}

#[test]
fn a_wrong_row_of_a_test_is_named() {
    let mut file = source(&folder().join("plans/dm_spam.sql"));
    file.text.push_str(
        "TEST 'wrong'; GIVEN messages (sender_id) VALUES ('one'); EXPECT sender_features (msgs_2m) VALUES (1);",
    );
    let statements = parse(&[SourceFile { ..file }]).unwrap();
    let test = &statements.tests()[1];
    let checked = check(&statements, &Known, &Target::Collect(test.targets())).unwrap();
    let wrong = checked.bind_test(test).unwrap_err();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].to_string().contains("'one'"), "{}", wrong[0]);
    assert_eq!(wrong[1].message, "\"sender_features\" has no column \"msgs_2m\"");
}

#[test]
fn look_back_adds_up_along_the_plan() {
    let training = checked("dm_spam.sql", Target::Outputs(vec!["lake.*".to_owned()]));
    let days = |days: i64| LookBack::For(Span(days * Span::DAY.0));
    // Labels wait 7 days for reports; features of those messages look 7 days further back.
    assert_eq!(
        training.look_back(),
        [
            ("messages".to_owned(), LookBack::All),
            ("accounts".to_owned(), LookBack::All),
            ("reports".to_owned(), days(14))
        ]
    );
    let kept = checked("windows.sql", Target::Query("SELECT user_id, count(*) OVER (PARTITION BY user_id ORDER BY played_at RANGE INTERVAL '2' DAY PRECEDING) AS n FROM plays".to_owned()));
    assert_eq!(kept.look_back(), [("plays".to_owned(), days(2))]);
}

/// What a query wants of the rows of its only table.
fn wanted(query: &str) -> RowFilter {
    let statements = parse(&[]).unwrap();
    let checked = check(&statements, &Known, &Target::Query(query.to_owned())).unwrap_or_else(|w| panic!("{}", w[0]));
    match checked.query.unwrap().inputs.as_slice() {
        [QueryInput::Table { wanted, .. }] => wanted.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_query_says_which_rows_of_a_table_it_wants() {
    use FilterComparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    let of = RowFilter::compare;
    let (whole, number) = (FilterValue::Whole, FilterValue::Number);
    let where_is = |condition: &str| wanted(&format!("SELECT amount FROM lake.events WHERE {condition}"));
    assert_eq!(where_is("user_id > 3"), of("user_id", Greater, whole(3)));
    assert_eq!(where_is("3 > user_id"), of("user_id", Less, whole(3)));
    assert_eq!(where_is("NOT (user_id <= 3)"), of("user_id", Greater, whole(3)));
    let between = vec![of("user_id", GreaterOrEqual, whole(1)), of("user_id", LessOrEqual, whole(4))];
    assert_eq!(where_is("user_id BETWEEN 1 AND 4"), RowFilter::all(between));
    let outside = vec![of("user_id", Less, whole(1)), of("user_id", Greater, whole(4))];
    assert_eq!(where_is("user_id NOT BETWEEN 1 AND 4"), RowFilter::any(outside));
    let list = vec![of("user_id", Equal, whole(1)), of("user_id", Equal, whole(7))];
    assert_eq!(where_is("user_id IN (1, 7)"), RowFilter::any(list));
    // The comparison is one of DOUBLE, in which numbers of BIGINT may be the same that are not.
    assert_eq!(where_is("user_id = 2e0"), of("user_id", Equal, number(2.0)));
    assert_eq!(where_is("CAST(user_id AS DOUBLE) < 2"), of("user_id", Less, number(2.0)));
    let either = vec![of("amount", Less, number(0.5)), RowFilter::IsNull("user_id".to_owned())];
    assert_eq!(where_is("amount < 0.5 OR user_id IS NULL"), RowFilter::any(either));
    assert_eq!(where_is("(amount IS NOT NULL) IS TRUE"), RowFilter::IsNotNull("amount".to_owned()));
    // A row on which a condition fails is told, whatever those after it say, and those before it where they are NULL.
    assert_eq!(
        where_is("user_id IS NOT NULL AND CAST(user_id AS INTEGER) > 3 AND amount < 0.5"),
        RowFilter::IsNotNull("user_id".to_owned())
    );
    assert_eq!(where_is("user_id = 4 AND CAST(user_id AS INTEGER) > 3"), RowFilter::everything());
    // One side that says nothing leaves the other, and of one of several conditions nothing is left.
    assert_eq!(where_is("amount % 2 = 1 AND user_id = 4"), of("user_id", Equal, whole(4)));
    assert_eq!(where_is("amount % 2 = 1 OR user_id = 4"), RowFilter::everything());
    assert_eq!(where_is("user_id > NULL"), RowFilter::nothing());
    for nothing_said in [
        "user_id <> 4",
        "user_id NOT IN (4)",
        "user_id IS DISTINCT FROM 4",
        "(user_id > 4) IS NOT TRUE",
        "CAST(amount AS BIGINT) = 4",
        "CAST(user_id AS INTEGER) = 4",
        "CAST(CAST(user_id AS DOUBLE) AS TEXT) LIKE '4%'",
        "user_id + 1 = 4",
        "user_id = amount",
        "CASE WHEN user_id = 4 THEN TRUE ELSE FALSE END",
    ] {
        assert_eq!(where_is(nothing_said), RowFilter::everything(), "{nothing_said}");
    }
}

#[test]
fn conditions_reach_a_table_through_selects_and_no_further() {
    let expected = RowFilter::compare("user_id", FilterComparison::Equal, FilterValue::Whole(4));
    let through = "SELECT * FROM (SELECT user_id AS u, amount FROM lake.events) WHERE u = 4 AND amount + 1 > 2";
    assert_eq!(wanted(through), expected);
    assert_eq!(wanted("SELECT count(*) FROM lake.events WHERE user_id = 4 GROUP BY amount"), expected);
    for beyond in [
        "SELECT * FROM (SELECT user_id, count(*) AS n FROM lake.events GROUP BY user_id) WHERE n = 4",
        "SELECT * FROM (SELECT user_id FROM lake.events ORDER BY amount LIMIT 3) WHERE user_id = 4",
    ] {
        assert_eq!(wanted(beyond), RowFilter::everything(), "{beyond}");
    }
}

#[test]
fn a_query_says_which_rows_of_a_stream_it_wants() {
    let of = |query: &str| checked("windows.sql", Target::Query(query.to_owned())).wanted["plays"].clone();
    let since = RowFilter::compare("user_id", FilterComparison::Equal, FilterValue::Whole(7));
    assert_eq!(of("SELECT played_at FROM plays WHERE user_id = 7"), since);
    let late = "SELECT user_id, count(*) OVER (PARTITION BY user_id ORDER BY played_at RANGE INTERVAL '2' DAY PRECEDING) \
                AS n FROM plays";
    assert_eq!(of(late), RowFilter::everything());
    assert_eq!(
        of("SELECT * FROM (SELECT user_id FROM plays UNION ALL SELECT user_id FROM plays WHERE user_id = 7)"),
        RowFilter::everything()
    );
}

#[test]
fn a_layout_is_printed_as_it_is_written() {
    let text = "CREATE STREAM plays (user_id BIGINT, track TEXT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY raw.plays LIVE plays;
        ARCHIVE plays PARTITION BY month(at) PROPERTIES ('a' = TRUE);
        INSERT INTO lake.t PARTITION BY day(at), bucket(16, user_id), truncate(2, track), user_id
          SORT BY user_id DESC NULLS FIRST, at PROPERTIES ('b' = 'it''s', 'c' = 7)
          WITH p AS (SELECT * FROM plays) SELECT * FROM p;";
    let read = |text: String| parse(&[SourceFile { path: "a.sql".to_owned(), text }]).unwrap();
    let statements = read(text.to_owned());
    let layout = statements.table_layout("lake.t");
    let shown = |layout: &TableLayout| {
        let partitions: Vec<String> = layout.partition_by.iter().map(ToString::to_string).collect();
        let order: Vec<String> = layout.sort_by.iter().map(ToString::to_string).collect();
        (partitions.join(", "), order.join(", "))
    };
    let expected = "day(at), bucket(16, user_id), truncate(2, track), user_id";
    assert_eq!(shown(&layout), (expected.to_owned(), "user_id DESC NULLS FIRST, at NULLS LAST".to_owned()));
    assert_eq!(layout.properties, [("b".into(), "it's".into()), ("c".into(), "7".into())]);
    assert_eq!(shown(&statements.archive_layout("PLAYS")).0, "month(at)");
    let checked = check(&statements, &Known, &Target::All).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let stream = text.split(';').next().unwrap();
    assert_eq!(read(format!("{stream};{}", checked.bound())).table_layout("lake.t"), layout, "{}", checked.bound());
}

#[test]
fn a_test_of_no_view_has_its_place() {
    let mut file = source(&folder().join("plans/dm_spam.sql"));
    file.text.push_str("TEST 'wrong';\nEXPECT sender_featurs (msgs_1m) VALUES (1);");
    let lines = file.text.lines().count() as u64;
    let statements = parse(&[file]).unwrap();
    let test = &statements.tests()[1];
    let wrong = check(&statements, &Known, &Target::Collect(test.targets())).unwrap_err();
    assert_eq!((wrong[0].path.as_str(), wrong[0].line, wrong[0].column), ("dm_spam.sql", lines, 8));
    assert_eq!(wrong[0].hint.as_deref(), Some("did you mean \"sender_features\"?"));
}

#[test]
fn intervals_of_thousands_of_years_are_planned_or_refused() {
    let planned = |ahead: i64, back: i64| {
        let text = format!(
            "CREATE STREAM a (k BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE a;
             CREATE STREAM b (k BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE b;
             CREATE VIEW v AS SELECT *, EXISTS (SELECT 1 FROM b WHERE b.k = a.k
                AND b.ts BETWEEN a.ts - INTERVAL '{back}' DAY AND a.ts + INTERVAL '{ahead}' DAY) AS x FROM a;
             CREATE VIEW w AS SELECT *, EXISTS (SELECT 1 FROM b WHERE b.k = v.k
                AND b.ts BETWEEN v._time AND v._time + INTERVAL '{ahead}' DAY) AS y FROM v;"
        );
        let statements = parse(&[SourceFile { path: "long.sql".to_owned(), text }]).unwrap();
        let checked =
            check(&statements, &Known, &Target::View("w".to_owned())).map_err(|wrong| wrong[0].message.clone())?;
        Ok::<_, String>((checked.look_back(), checked.explained().unwrap().to_string()))
    };
    let (look_back, explained) = planned(20_000_000, 10_000_000).unwrap();
    let days = |days: i64| LookBack::For(Span(days * Span::DAY.0));
    assert!(look_back.contains(&("b".to_owned(), days(50_000_000))), "{look_back:?}");
    assert!(explained.contains("rows of b of the last 30000000 d"), "{explained}");
    let refused = "the bounds of time of these subqueries add up to more than 146,000 years";
    for (ahead, back) in [(30_000_000, 10_000_000), (0, 106_751_991), (106_751_991, 0), (106_751_991, 106_751_991)] {
        assert_eq!(planned(ahead, back).unwrap_err(), refused, "{ahead} days ahead and {back} back");
    }
}

#[test]
fn values_that_are_no_keys_are_refused_where_they_are_written() {
    let statements = parse(&[]).unwrap();
    let refused = |query: &str| {
        let target = Target::Query(query.to_owned());
        check(&statements, &Known, &target).expect_err(query).remove(0)
    };
    for (column, name) in [("tags", "BIGINT[]"), ("who", "STRUCT(p BIGINT)"), ("props", "MAP"), ("opens", "TIME")] {
        for (query, message) in [
            ("SELECT $, count(*) FROM lake.nested GROUP BY $", "cannot be a key"),
            ("SELECT count(*) FROM lake.nested GROUP BY id, $", "cannot be a key"),
            ("SELECT DISTINCT id, $ FROM lake.nested", "cannot tell rows apart"),
            ("SELECT count(DISTINCT $) FROM lake.nested", "cannot be a key"),
            ("SELECT $ FROM lake.nested UNION SELECT $ FROM lake.nested", "cannot tell rows apart"),
            ("SELECT id FROM lake.nested WHERE $ IN (SELECT $ FROM lake.nested)", "cannot be a key"),
            ("SELECT a.id FROM lake.nested a JOIN lake.nested b ON a.$ = b.$", "cannot be a key"),
            ("SELECT id FROM lake.nested a JOIN lake.nested b USING ($)", "cannot be a key"),
        ] {
            let (query, wrong) = (query.replace('$', column), refused(&query.replace('$', column)));
            assert_eq!(wrong.message, format!("{name} {message}"), "{query}");
            assert_eq!(wrong.hint.as_deref(), Some("write CAST(x AS TEXT)"), "{query}");
            assert!(wrong.column > 1, "{query}: no place\n{wrong}");
        }
        if name == "TIME" {
            continue;
        }
        for query in [
            "SELECT id FROM lake.nested ORDER BY $",
            "SELECT max($) FROM lake.nested",
            "SELECT $ FROM lake.nested UNION ALL SELECT $ FROM lake.nested ORDER BY 1",
        ] {
            let wrong = refused(&query.replace('$', column));
            assert_eq!(wrong.message, format!("{name} has no order here"), "{query}");
        }
        let wrong = refused(&format!("SELECT id FROM lake.nested WHERE {column} = {column}"));
        assert_eq!(wrong.message, format!("{name} and {name} cannot be compared"));
        let text = format!("SELECT {column}::TEXT AS t, count(*) FROM lake.nested GROUP BY 1 ORDER BY t");
        assert!(check(&statements, &Known, &Target::Query(text)).is_ok());
    }
}
