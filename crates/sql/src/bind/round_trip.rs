//! Random projects bind, are printed as SQL, and bind again to the same trees.

use super::bound::{
    BoundDecision, BoundJoin, BoundSelect, Calls, Definition, LateFilter, RangeCall, ScoreCall, WindowCall,
};
use super::print_statements::statements;
use super::{Binding, Target, bind_query, bind_targets, once};
use crate::catalog::{Catalog, StoredTable};
use crate::expression::{ColumnId, Tree};
use crate::source_file::SourceFile;
use crate::statement::{Model, Statements};
use arrow::array::{Array, ArrayRef, Float32Array};
use arrow::datatypes::{DataType, SchemaRef};
use dataflow::{Error, Result, Scorer, ScorerInput, ScorerValue};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

const STREAMS: &str = "
CREATE STREAM rows (k BIGINT, b BIGINT, d DOUBLE, t TEXT, f BOOLEAN, at TIMESTAMP, WATERMARK FOR at AS at) LIVE rows;
CREATE STREAM others (k BIGINT, x INTEGER, s TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE others;
CREATE STREAM \"Odd names\" (\"a \"\"b\"\"\" BIGINT, k BIGINT, \"select\" TEXT, ts TIMESTAMP, WATERMARK FOR ts AS ts) LIVE odd;
";

/// What the SELECTs and the decisions name beside streams.
const NAMED: &str = "
CREATE MODEL half FROM 'models/it''s half.onnx' INPUTS (one, two) OUTPUT probability OF '1';
CREATE EXPERIMENT cut ON k ARMS (control 99.93, \"other arm\" 0.07);
";

/// Knows one model.
struct Half([ScorerInput; 2]);

impl std::fmt::Debug for Half {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("half")
    }
}

impl Scorer for Half {
    fn inputs(&self) -> &[ScorerInput] {
        &self.0
    }

    fn output(&self) -> DataType {
        DataType::Float32
    }

    fn version(&self) -> &str {
        "half"
    }

    fn score(&self, inputs: &[ArrayRef]) -> Result<ArrayRef> {
        Ok(Arc::new(Float32Array::from(vec![0.5; inputs[0].len()])))
    }
}

struct Known;

impl Catalog for Known {
    fn table_schema(&self, table: &str) -> Result<SchemaRef> {
        Err(Error::invalid(format!("table \"{table}\" does not exist")))
    }

    fn files_schema(&self, pattern: &str, _: values::Encoding) -> Result<SchemaRef> {
        Err(Error::invalid(format!("no file matches \"{pattern}\"")))
    }

    fn stored_table(&self, _: &str) -> Result<StoredTable> {
        Ok(StoredTable::Absent { tables: Vec::new() })
    }

    fn scorer(&self, _: &Model) -> Result<Arc<dyn Scorer>> {
        Ok(Arc::new(Half([ScorerInput::one(None, ScorerValue::Number), ScorerInput::one(None, ScorerValue::Number)])))
    }
}

fn parsed(text: &str) -> Statements {
    let file = SourceFile { path: "random.sql".to_owned(), text: text.to_owned() };
    crate::parse(&[file]).unwrap_or_else(|wrong| panic!("{}\n{text}", wrong[0]))
}

fn bound(statements: &Statements) -> std::result::Result<Binding<'_>, String> {
    let mut binding = Binding::new(statements, &Known, bind_query);
    once::names(&mut binding);
    bind_targets(&mut binding, &Target::All, None);
    match binding.wrong.first() {
        Some(wrong) => Err(wrong.to_string()),
        None => Ok(binding),
    }
}

/// The columns of one binding by those of another, as far as both have been compared.
struct Same<'a> {
    one: &'a Binding<'a>,
    ids: HashMap<ColumnId, ColumnId>,
}

macro_rules! same {
    ($one:expr, $other:expr, $($field:ident)*) => {
        $(assert_eq!($one.$field, $other.$field, stringify!($field));)*
    };
}

impl Same<'_> {
    fn id(&mut self, one: ColumnId, other: ColumnId) {
        assert_eq!(*self.ids.entry(one).or_insert(other), other, "column {}", self.one.columns.name(one));
    }

    fn tree(&self, one: &Tree, other: &Tree) {
        let with = |id: ColumnId| {
            let known =
                self.ids.get(&id).unwrap_or_else(|| panic!("column {} is not known", self.one.columns.name(id)));
            Some(Tree::column(*known, self.one.columns.get(id).data_type.clone()))
        };
        assert_eq!(&one.with_columns(&with).unwrap(), other);
    }

    fn trees<'t>(&self, one: impl IntoIterator<Item = &'t Tree>, other: impl IntoIterator<Item = &'t Tree>) {
        let (one, other): (Vec<_>, Vec<_>) = (one.into_iter().collect(), other.into_iter().collect());
        assert_eq!(one.len(), other.len(), "{one:?} and {other:?}");
        one.into_iter().zip(other).for_each(|(one, other)| self.tree(one, other));
    }

    fn keys(&self, one: &[(Tree, Tree)], other: &[(Tree, Tree)]) {
        self.trees(one.iter().flat_map(|(a, b)| [a, b]), other.iter().flat_map(|(a, b)| [a, b]));
    }

    fn definition(&mut self, one: &Definition, other: &Definition) {
        match (one, other) {
            (Definition::Stream { at, columns }, Definition::Stream { at: other_at, columns: other }) => {
                assert_eq!((at, columns.len()), (other_at, other.len()));
                columns.iter().zip(other).for_each(|(one, other)| self.id(*one, *other));
            }
            (Definition::Select(one), Definition::Select(other)) => self.select(one, other),
            _ => panic!("{one:?} and {other:?}"),
        }
    }

    fn select(&mut self, one: &BoundSelect, other: &BoundSelect) {
        same!(one, other, from keeps_input);
        // Of two SELECTs that one view owns, the first is a view of another name.
        assert_eq!(one.owner.trim_end_matches('_'), other.owner.trim_end_matches('_'));
        assert_eq!(one.joins.len(), other.joins.len());
        one.joins.iter().zip(&other.joins).for_each(|(one, other)| self.join(one, other));
        self.trees(&one.filter, &other.filter);
        let before = |select: &BoundSelect| select.late_filter.as_ref().and_then(|late| late.before_windows.clone());
        let (early, other_early) = (before(one), before(other));
        assert_eq!(early.is_some(), other_early.is_some());
        if let (Some(early), Some(other)) = (&early, &other_early) {
            self.calls(early, other);
        }
        self.calls(&one.calls, &other.calls);
        let condition = |late: &LateFilter| late.condition.clone();
        self.trees(&one.late_filter.as_ref().map(condition), &other.late_filter.as_ref().map(condition));
        assert_eq!(one.items.len(), other.items.len());
        for (one, other) in one.items.iter().zip(&other.items) {
            same!(one, other, name);
            self.tree(&one.tree, &other.tree);
            self.id(one.id, other.id);
        }
    }

    fn join(&mut self, one: &BoundJoin, other: &BoundJoin) {
        same!(one, other, right alias behind strict inner);
        self.keys(&one.keys, &other.keys);
        assert_eq!(one.columns.len(), other.columns.len());
        for ((id, name, right), (other_id, other_name, other_right)) in one.columns.iter().zip(&other.columns) {
            assert_eq!(name, other_name);
            self.id(*right, *other_right);
            self.id(*id, *other_id);
        }
    }

    fn calls(&mut self, one: &Calls, other: &Calls) {
        let count = |calls: &Calls| (calls.windows.len(), calls.ranges.len(), calls.scores.len());
        assert_eq!(count(one), count(other));
        one.windows.iter().zip(&other.windows).for_each(|(one, other)| self.window(one, other));
        one.ranges.iter().zip(&other.ranges).for_each(|(one, other)| self.range(one, other));
        one.scores.iter().zip(&other.scores).for_each(|(one, other)| self.score(one, other));
    }

    fn window(&mut self, one: &WindowCall, other: &WindowCall) {
        same!(one, other, aggregate frame);
        self.trees(&one.argument, &other.argument);
        self.trees(&one.filter, &other.filter);
        self.trees(&one.keys, &other.keys);
        self.trees(&one.order, &other.order);
        self.id(one.id, other.id);
    }

    fn range(&mut self, one: &RangeCall, other: &RangeCall) {
        same!(one, other, right computes from to);
        self.keys(&one.keys, &other.keys);
        self.trees(&one.argument, &other.argument);
        self.trees(&one.filter, &other.filter);
        self.id(one.id, other.id);
    }

    fn decision(&mut self, one: &BoundDecision, other: &BoundDecision) {
        same!(one, other, name view model_versions);
        assert_eq!(self.ids[&one.subject], other.subject);
        assert_eq!((one.arms.len(), one.rules.len()), (other.arms.len(), other.rules.len()));
        for (one, other) in one.arms.iter().zip(&other.arms) {
            same!(one, other, name);
            self.tree(&one.tree, &other.tree);
            self.id(one.id, other.id);
        }
        for (one, other) in one.rules.iter().zip(&other.rules) {
            same!(one, other, scored name action shadow once_per);
            self.tree(&one.condition, &other.condition);
        }
    }

    fn score(&mut self, one: &ScoreCall, other: &ScoreCall) {
        same!(one, other, model input_names);
        self.trees(&one.inputs, &other.inputs);
        assert_eq!(one.columns.len(), other.columns.len());
        for ((part, id), (other_part, other)) in one.columns.iter().zip(&other.columns) {
            assert_eq!(part, other_part);
            self.id(*id, *other);
        }
    }
}

/// An expression over the columns of `rows`, which is called `r`.
fn value() -> BoxedStrategy<String> {
    let leaf = select(vec![
        "r.k",
        "b",
        "d",
        "2",
        "0.5",
        "NULL",
        "length(t)",
        "epoch(r._time)",
        "CAST(f AS INTEGER)",
        "(r.b::SMALLINT)",
        "1e3",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(2, 8, 3, |inner| {
            let operator = select(vec!["+", "-", "*", "/", "//", "%"]);
            prop_oneof![
                (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("CASE WHEN {a} > 1 THEN {a} ELSE {b} END")),
                inner.clone().prop_map(|a| format!("TRY_CAST({a} AS SMALLINT)")),
                inner.clone().prop_map(|a| format!("(- {a})")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("coalesce({a}, greatest({b}, 1))")),
            ]
        })
        .boxed()
}

fn condition() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        (value(), select(vec!["=", "<>", "<", ">=", "IS NOT DISTINCT FROM"]), value())
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        value().prop_map(|a| format!("{a} IS NOT NULL")),
        (value(), value()).prop_map(|(a, b)| format!("{a} IN (1, {b})")),
        select(vec![
            "f",
            "t LIKE 'a%'",
            "NOT r.f",
            "r._late",
            "t BETWEEN 'a' AND 'c'",
            "r._time > TIMESTAMP '2026-01-01 00:00:03'"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        (inner.clone(), select(vec!["AND", "OR"]), inner).prop_map(|(a, op, b)| format!("({a} {op} {b})"))
    })
    .boxed()
}

fn window() -> BoxedStrategy<String> {
    let function = prop_oneof![
        Just("count(*)".to_owned()),
        (select(vec!["sum", "avg", "min", "max", "count", "stddev", "var_pop", "count(DISTINCT"]), value()).prop_map(
            |(function, value)| match function.strip_suffix("(DISTINCT") {
                Some(name) => format!("{name}(DISTINCT {value})"),
                None => format!("{function}({value})"),
            }
        ),
    ];
    let filter = prop_oneof![2 => Just(String::new()), 1 => condition().prop_map(|c| format!(" FILTER (WHERE {c})"))];
    let key = prop_oneof![
        Just(String::new()),
        select(vec!["PARTITION BY r.k ", "PARTITION BY t, r.k ", "PARTITION BY b % 2, f "]).prop_map(str::to_owned),
        value().prop_map(|key| format!("PARTITION BY {key} ")),
    ];
    let frame = select(vec![
        "RANGE INTERVAL '90' MINUTE PRECEDING",
        "RANGE BETWEEN INTERVAL '3' SECOND PRECEDING AND INTERVAL '1500 ms' PRECEDING",
        "RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW",
    ]);
    let framed = (function, filter, key.clone(), frame)
        .prop_map(|(function, filter, key, frame)| format!("{function}{filter} OVER ({key}ORDER BY r.at {frame})"));
    let lag = (value(), 1..4u8, key, select(vec!["", ", t", ", b, d"]))
        .prop_map(|(value, back, key, order)| format!("lag({value}, {back}) OVER ({key}ORDER BY _time{order})"));
    prop_oneof![4 => framed, 1 => lag, 1 => Just("sum(b) OVER w".to_owned())].boxed()
}

/// What correlates a stream with `r`.
fn correlation(ahead: bool) -> BoxedStrategy<String> {
    let until = if ahead { "r._time + INTERVAL '2' SECOND" } else { "r._time" };
    (
        select(vec!["o.k = r.k", "r.k = o.k AND o.x + 1 = r.b", "o.s = r.t AND o.k = r.k + 1"]),
        select(vec!["", " AND o.x > 1", " AND (o.x > 1 OR o.s IS NULL) AND o.k <> 3"]),
    )
        .prop_map(move |(keys, filter)| {
            format!("FROM others o WHERE {keys}{filter} AND o.at BETWEEN r._time - INTERVAL '1' HOUR AND {until}")
        })
        .boxed()
}

fn subquery(ahead: bool) -> BoxedStrategy<String> {
    let item = select(vec![
        "count(*)",
        "sum(o.x)",
        "coalesce(max(o.x) FILTER (WHERE o.s > 'a' AND o.k > 0), 0) + count(DISTINCT o.s)",
        "min(s)",
    ]);
    prop_oneof![
        (item, correlation(ahead)).prop_map(|(item, from)| format!("(SELECT {item} {from})")),
        (select(vec!["", "NOT "]), correlation(ahead)).prop_map(|(not, from)| format!("{not}EXISTS (SELECT 1 {from})")),
    ]
    .boxed()
}

fn call() -> BoxedStrategy<String> {
    let number = prop_oneof![value(), window()];
    prop_oneof![
        3 => window(),
        2 => any::<bool>().prop_flat_map(subquery),
        2 => (number.clone(), number, select(vec!["", "_version", "_fault"]))
            .prop_map(|(a, b, part)| format!("predict{part}(half, two => {a}, one => {b})")),
        1 => Just("predict_fault(half, one => r.k, two => b)".to_owned()),
        1 => (window(), value()).prop_map(|(a, b)| format!("CAST({a} AS DOUBLE) / nullif({b}, 0)")),
        1 => Just("1 - predict(half, one => r.k, two => b)".to_owned()),
    ]
    .boxed()
}

/// What comes before FROM's end, with the relation `r`.
fn from() -> BoxedStrategy<String> {
    let join = (
        select(vec!["LEFT JOIN", "JOIN"]),
        select(vec!["o2.k = r.k", "r.k = o2.k AND o2.x = r.b % 3"]),
        select(vec![
            "o2.at <= r.at",
            "o2._time < r._time",
            "o2.at + INTERVAL '250 ms' <= r.at",
            "r._time > o2.at + INTERVAL '1' MINUTE",
        ]),
    )
        .prop_map(|(kind, keys, time)| format!("ASOF {kind} others o2 ON {keys} AND {time}"));
    let odd = Just(
        "ASOF LEFT JOIN \"Odd names\" AS \"My Odd\" ON \"my odd\".\"a \"\"b\"\"\" = r.k AND \"my odd\".ts <= r.at"
            .to_owned(),
    );
    let joins = prop::collection::vec(prop_oneof![join, odd], 0..2).prop_map(|all| all.join(" "));
    let first = prop_oneof![
        2 => Just("rows r".to_owned()),
        1 => Just("rows AS r(b, k)".to_owned()),
        1 => condition().prop_map(|c| format!("(SELECT * FROM rows r WHERE {c}) AS r")),
        1 => (value(), condition())
            .prop_map(|(v, c)| format!("(WITH c AS (SELECT *, {v} AS more FROM rows r) SELECT r.* FROM c AS r WHERE {c}) AS r")),
    ];
    (first, joins).prop_map(|(first, joins)| format!("FROM {first} {joins}")).boxed()
}

/// A decision on a view or a stream, or none.
fn decision() -> BoxedStrategy<String> {
    let rule = (
        select(vec![
            "r.k > 1",
            "arm(cut) = 'control' AND b + 1 > 2",
            "_late OR f",
            "CASE WHEN f THEN arm(cut) ELSE t END LIKE 'c%'",
            "r._time > TIMESTAMP '2026-01-01 00:00:03'",
        ]),
        select(vec!["'hold'", "'it''s \"held\"'"]),
        select(vec!["", " ONCE PER INTERVAL '90' SECOND", " ONCE PER INTERVAL '2' HOUR"]),
        any::<bool>(),
    );
    let rules = prop::collection::vec(rule, 1..4);
    (select(vec!["rows", "decided"]), rules)
        .prop_map(|(on, rules)| {
            let rules = rules.into_iter().enumerate().map(|(at, (condition, action, once, shadow))| {
                let (name, shadow) = (["one", "\"and two\"", "three"][at], if shadow { " SHADOW" } else { "" });
                format!("RULE {name}{shadow} WHEN {} THEN {action}{once}", condition.replace("r.", &format!("{on}.")))
            });
            let rules: Vec<String> = rules.collect();
            format!("CREATE DECISION act ON {on} SUBJECT k TO \"some topic\".actions AS {};", rules.join(", "))
        })
        .boxed()
}

fn project() -> BoxedStrategy<String> {
    let items = prop::collection::vec(prop_oneof![value(), call()], 1..5);
    let star = select(vec!["", "r.*, ", "r.* EXCLUDE (t, f), ", "r.k, r.at AS moment, _late, "]);
    let late = prop_oneof![2 => Just(None), 1 => subquery(false).prop_map(Some)];
    let filter = prop_oneof![1 => Just(None), 1 => condition().prop_map(Some)];
    let decisions = prop_oneof![1 => Just([String::new(), String::new()]),
        1 => decision().prop_map(|one| [one, String::new()]), 1 => decision().prop_map(|one| [String::new(), one])];
    (star, items, from(), filter, late, decisions, any::<bool>())
        .prop_map(|(star, items, from, filter, late, [before, after], topic)| {
            let items = items.iter().enumerate().map(|(at, item)| format!("{item} AS e{at}")).collect::<Vec<_>>();
            let late = late.map(|late| if late.contains("EXISTS") { late } else { format!("{late} IS NOT NULL") });
            let conditions: Vec<String> = filter.into_iter().chain(late).collect();
            let filter =
                if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
            format!(
                "CREATE VIEW one AS SELECT {star}{} {from} {filter}
                 WINDOW w AS (PARTITION BY t ORDER BY r.at RANGE INTERVAL '1' DAY PRECEDING);
                 CREATE VIEW two AS SELECT * FROM one WHERE e0 IS NOT NULL;
                 CREATE VIEW three AS SELECT e0, _time AS again FROM one;
                 CREATE VIEW decided AS SELECT * FROM rows WHERE k IS NOT NULL;
                 {before}
                 INSERT INTO {}lake.out SELECT o.again, t.* EXCLUDE (e0) FROM two t
                   ASOF JOIN three AS o ON o.e0 = t.e0 AND o._time <= t._time;
                 {after}
                 INSERT INTO \"odd lake\".\"more\" SELECT o.* FROM three AS o(x);",
                items.join(", "),
                if topic { "TOPIC " } else { "" }
            )
        })
        .boxed()
}

#[test]
fn random_projects_bind_again_as_they_are_printed() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let (tried, checked) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(config);
    let ran = runner.run(&project(), |text| {
        tried.set(tried.get() + 1);
        let written = parsed(&format!("{STREAMS}{NAMED}{text}"));
        // Some have no answer: decimals that grow too wide, keys of no type, a WHERE that waits beside windows.
        let Ok(one) = bound(&written) else { return Ok(()) };
        checked.set(checked.get() + 1);
        let printed = statements(&one);
        let again = parsed(&format!("{STREAMS}{printed}"));
        let other = bound(&again).unwrap_or_else(|wrong| panic!("{wrong}\n{text}\nis printed as\n{printed}"));
        assert_eq!(one.relations.len(), other.relations.len(), "{printed}");
        let mut same = Same { one: &one, ids: HashMap::new() };
        for (definition, other) in one.relations.iter().zip(&other.relations) {
            same.definition(definition, other);
        }
        assert_eq!(one.outputs, other.outputs, "{printed}");
        assert_eq!(one.decisions.len(), other.decisions.len());
        one.decisions.iter().zip(&other.decisions).for_each(|(one, other)| same.decision(one, other));
        assert_eq!(statements(&other), printed);
        Ok(())
    });
    ran.unwrap_or_else(|failed| panic!("{failed}"));
    assert!(checked.get() * 2 > tried.get(), "{} of {} projects bind", checked.get(), tried.get());
}
