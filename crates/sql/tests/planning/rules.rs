//! Rules change no row, no dead letter and no count of what becomes of rows: every plan gives the same with each of them
//! left out, and with none. Scores of rows that nobody wants are work that a rule may spare.

use crate::catalog::Known;
use crate::run::{run, texts};
use crate::{files, folder, source};
use dataflow::{Batch, Fate};
use proptest::prelude::*;
use sql::{Rule, SourceFile, Target, check_with, parse};
use std::collections::BTreeMap;

/// What becomes of rows that no plan may change: how many a condition removes depends on what stands before it, but
/// not how many are repeated, or fail in a step.
const FATES: [Fate; 4] = [Fate::Deduplicated, Fate::Bad, Fate::DeadLettered, Fate::RuleFailed];

/// What a plan makes of its rows.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// What comes to each table, dead letters among them, without the names of steps.
    tables: BTreeMap<String, Vec<String>>,
    /// How many rows meet each of the fates.
    fates: [i64; FATES.len()],
}

/// How many scores failed, and how many rows at least came out with a fault: a table shows it as `fault`.
#[derive(Clone, Copy, Debug)]
struct FailedScores {
    counted: i64,
    shown: i64,
}

/// What a plan makes of its rows, its failed scores, and which rules fired.
struct Ran {
    outcome: Outcome,
    scores: FailedScores,
    fired: Vec<Rule>,
}

/// A plan with rules gives what it gives without some of them, and no score more fails than without them, but all that
/// come out.
fn agree(with: &Ran, without: &Ran) -> Result<(), String> {
    if with.outcome != without.outcome {
        return Err(format!("{:?}, and without it {:?}", with.outcome, without.outcome));
    }
    let all_that_show = |of: FailedScores| of.shown <= of.counted;
    let agree = with.scores.counted <= without.scores.counted
        && with.scores.shown == without.scores.shown
        && all_that_show(with.scores);
    if agree { Ok(()) } else { Err(format!("{:?}, and without it {:?}", with.scores, without.scores)) }
}

/// Runs the test of a file.
fn outcome(file: &SourceFile, rules: &[Rule], workers: usize) -> Ran {
    let statements = parse(std::slice::from_ref(file)).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let tests = statements.tests();
    let test = &tests[0];
    let target = Target::Collect(test.targets());
    let checked = check_with(&statements, &Known, &target, rules).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let bound = checked.bind_test(test).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let ran = run(&checked, &bound, workers);
    let faults = |table: &Batch| {
        let fault = table.columns().column_by_name("fault");
        fault.map_or(0, |fault| fault.len() - fault.null_count()) as i64
    };
    let shown = ran.tables.values().map(faults).max().unwrap_or(0);
    let scores = FailedScores { counted: ran.fates.of(Fate::ScoreFailed), shown };
    let tables = ran.tables.into_iter().map(|(name, table)| {
        let schema = table.schema();
        let told = |name: &str| !["step", "row"].contains(&name);
        let kept: Vec<usize> = (0..schema.fields().len()).filter(|&at| told(schema.field(at).name())).collect();
        let mut rows = texts(&table.columns().project(&kept).unwrap());
        rows.sort();
        (name, rows)
    });
    let fates = FATES.map(|fate| ran.fates.of(fate));
    let fired = checked.fired().iter().map(|(rule, _)| *rule).collect();
    Ran { outcome: Outcome { tables: tables.collect(), fates }, scores, fired }
}

#[test]
fn every_rule_can_be_left_out() {
    let mut cases = files(&folder().join("answers"), ".sql");
    cases.extend(files(&folder().join("rules"), ".sql"));
    cases.push(folder().join("plans/dm_spam.sql"));
    let (mut dead_letters, mut shown, mut spared) = (0, 0, 0);
    let mut fired: Vec<Rule> = Vec::new();
    for path in cases {
        let file = source(&path);
        let all = outcome(&file, &Rule::ALL, 2);
        let tables = &all.outcome.tables;
        fired.extend(&all.fired);
        dead_letters += tables.get("lake.bad").map_or(0, Vec::len);
        assert!(tables.values().any(|rows| !rows.is_empty()), "{} gives no rows", path.display());
        let none = outcome(&file, &[], 3);
        agree(&all, &none).unwrap_or_else(|wrong| panic!("{} with every rule: {wrong}", path.display()));
        shown += all.scores.shown;
        spared += none.scores.counted - all.scores.counted;
        for left_out in Rule::ALL {
            let others: Vec<Rule> = Rule::ALL.into_iter().filter(|rule| *rule != left_out).collect();
            let name = left_out.name();
            agree(&all, &outcome(&file, &others, 1))
                .unwrap_or_else(|wrong| panic!("{} with the rule \"{name}\": {wrong}", path.display()));
        }
    }
    assert!(dead_letters >= 5, "only {dead_letters} rows are bad");
    let idle: Vec<Rule> = Rule::ALL.into_iter().filter(|rule| !fired.contains(rule)).collect();
    assert!(idle.is_empty() && fired.len() >= 8, "rules fired {} times, and {idle:?} never", fired.len());
    assert!(shown > 0 && spared > 0, "{shown} failed scores come out, and {spared} are spared");
}

fn value() -> BoxedStrategy<String> {
    let leaf =
        prop::sample::select(vec!["k", "b", "d", "2", "0", "1 + 1", "length(t)", "NULL"]).prop_map(str::to_owned);
    leaf.prop_recursive(2, 6, 2, |inner| {
        let operator = prop::sample::select(vec!["+", "*", "//", "/"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            inner.clone().prop_map(|a| format!("CAST({a} AS SMALLINT)")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("coalesce({a}, {b})")),
        ]
    })
    .boxed()
}

fn condition() -> BoxedStrategy<String> {
    let simple = prop_oneof![
        (value(), prop::sample::select(vec!["=", "<>", "<", ">="]), value())
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        prop::sample::select(vec![
            "k = 1",
            "k >= 1",
            "b > 0",
            "t <> 'a'",
            "TRUE",
            "1 < 2",
            "_time > TIMESTAMP '2026-01-01 00:00:03'"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(simple, 1..4).prop_map(|all| all.join(" AND ")).boxed()
}

/// A window, or an aggregate over the other stream.
fn call() -> BoxedStrategy<String> {
    let function = prop::sample::select(vec!["count(*)", "sum(b)", "sum(d)", "max(t)", "count(DISTINCT b)", "lag(b)"]);
    let key = prop::sample::select(vec![
        "PARTITION BY k ",
        "PARTITION BY t ",
        "PARTITION BY k, t ",
        "PARTITION BY b % 2 ",
        "",
    ]);
    let window = (function, key, 1..4u8).prop_map(|(function, key, seconds)| {
        let frame = if function.starts_with("lag") {
            String::new()
        } else {
            format!(" RANGE INTERVAL '{seconds}' SECOND PRECEDING")
        };
        format!("{function} OVER ({key}ORDER BY _time{frame})")
    });
    let other = (prop::sample::select(vec!["count(*)", "sum(x)", "max(x)"]), prop::sample::select(vec!["", "AND o.x > 1 "]), 0..3u8)
        .prop_map(|(function, filter, ahead)| {
            format!(
                "(SELECT {function} FROM others o WHERE o.k = r.k {filter}AND o.ts BETWEEN r._time - INTERVAL '5' SECOND \
                 AND r._time + INTERVAL '{ahead}' SECOND)"
            )
        });
    prop_oneof![3 => window, 1 => other].boxed()
}

fn given() -> BoxedStrategy<String> {
    let row = (
        prop::option::weighted(0.9, 0..3i64),
        prop::option::weighted(0.9, prop_oneof![8 => -2..4i64, 1 => Just(i64::MAX)]),
        prop::option::weighted(0.9, -2..4i64),
        prop::sample::select(vec!["a", "b", ""]),
    );
    let text = |value: Option<i64>| value.map_or("NULL".to_owned(), |value| value.to_string());
    prop::collection::vec(row, 1..12)
        .prop_map(move |rows| {
            let rows = rows.into_iter().enumerate().map(|(at, (k, b, d, t))| {
                let ts = format!("TIMESTAMP '2026-01-01 00:00:{:02}'", at / 2);
                format!("({}, {}, {}, '{t}', {ts})", text(k), text(b), text(d))
            });
            rows.collect::<Vec<_>>().join(", ")
        })
        .boxed()
}

/// Views over each other, of which tests look at three.
fn project() -> impl Strategy<Value = String> {
    let filter = || prop_oneof![1 => Just(String::new()), 2 => condition().prop_map(|all| format!(" WHERE {all}"))];
    let policy = prop::sample::select(vec!["DEAD LETTER TO lake.bad", "SKIP"]);
    // Columns that only pass go around steps by several keys.
    let passing: Vec<String> = (0..48).map(|at| format!("p{at} BIGINT, ")).collect();
    let passing = prop::sample::select(vec![String::new(), passing.concat()]);
    let dedup = prop::sample::select(vec!["", "", ", DEDUP ON (b, t) WITHIN INTERVAL '2' SECOND"]);
    let joined = (
        prop::sample::select(vec!["JOIN", "LEFT JOIN", "LEFT JOIN"]),
        prop::sample::select(vec!["r.k", "r.b", "r.b % 3"]),
        prop::sample::select(vec!["<=", "<"]),
        prop::sample::select(vec!["one", "joined"]),
    );
    let views = (value(), call(), filter(), filter(), joined);
    (value(), call(), call(), filter(), views, given(), policy, (passing, dedup)).prop_map(
        |(e1, w1, w2, f1, (e2, w3, f2, f3, joined), rows, policy, (passing, dedup))| {
            let (join, key, less, from) = joined;
            format!(
                "CREATE STREAM rows (k BIGINT, b BIGINT, d DOUBLE, t TEXT, {passing}ts TIMESTAMP, WATERMARK FOR ts AS ts{dedup}) LIVE rows
                   ON BAD ROW {policy};
                 CREATE STREAM others (k BIGINT, x BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE others;
                 CREATE VIEW one AS SELECT *, {e1} AS e1, {w1} AS w1, {w2} AS w2 FROM rows r{f1};
                 CREATE VIEW joined AS SELECT r.*, o.x AS x FROM one r ASOF {join} others o ON o.k = {key} AND o.ts {less} r._time;
                 CREATE VIEW two AS SELECT *, {e2} AS e2, {w3} AS w3 FROM {from} r{f2};
                 CREATE VIEW three AS SELECT k, t, w3 FROM two r{f3};
                 CREATE VIEW again AS SELECT b, {w1} AS w1 FROM rows r;
                 TEST 'rows';
                 GIVEN rows (k, b, d, t, ts) VALUES {rows};
                 GIVEN others (k, x, ts) VALUES (1, 1, TIMESTAMP '2026-01-01 00:00:01'), (1, 2, TIMESTAMP '2026-01-01 00:00:02'),
                   (2, 3, TIMESTAMP '2026-01-01 00:00:02');
                 EXPECT NO ROWS three WHERE FALSE;
                 EXPECT NO ROWS again WHERE FALSE;
                 EXPECT NO ROWS others WHERE FALSE;
                 EXPECT NO ROWS one WHERE FALSE;"
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_views_give_the_same_rows_and_counts_with_any_rule_left_out(text in project()) {
        let file = SourceFile { path: "views.sql".to_owned(), text };
        let statements = parse(std::slice::from_ref(&file)).unwrap();
        let target = Target::Collect(statements.tests()[0].targets());
        // Some views have no answer: a window over what waits, or decimals that grow too wide.
        if check_with(&statements, &Known, &target, &[]).is_err() {
            return Ok(());
        }
        let all = outcome(&file, &Rule::ALL, 2);
        let same = agree(&all, &outcome(&file, &[], 1));
        prop_assert_eq!(same, Ok(()), "{}", file.text);
        for left_out in Rule::ALL {
            let others: Vec<Rule> = Rule::ALL.into_iter().filter(|rule| *rule != left_out).collect();
            let same = agree(&all, &outcome(&file, &others, 1));
            prop_assert_eq!(same, Ok(()), "with the rule \"{}\": {}", left_out.name(), file.text);
        }
    }
}
