//! What rules make of logical plans: projects in, the plan as it is bound and after each rule that fired out.
//!
//! `RIVERRUN_REWRITE=1 cargo test --test plans` writes the expected plans anew; read the difference before committing it.

mod statements;

use arrow::array::{ArrayRef, Float32Array};
use arrow::datatypes::{DataType, SchemaRef};
use dataflow::{Error, Result, Scorer, ScorerInput, ScorerValue};
use sql::{Catalog, Model, Rule, SourceFile, Statements, StoredTable, Target, check_with, parse};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Knows no table and no file, and a model for every name.
struct Models;

impl Catalog for Models {
    fn table_schema(&self, table: &str) -> Result<SchemaRef> {
        Err(Error::invalid(format!("table \"{table}\" does not exist")))
    }

    fn files_schema(&self, pattern: &str, _: values::Encoding) -> Result<SchemaRef> {
        Err(Error::invalid(format!("no file matches \"{pattern}\"")))
    }

    fn stored_table(&self, _: &str) -> Result<StoredTable> {
        Ok(StoredTable::Absent { tables: Vec::new() })
    }

    fn scorer(&self, model: &Model) -> Result<Arc<dyn Scorer>> {
        let inputs = model.inputs.iter().flatten();
        Ok(Arc::new(Half(inputs.map(|name| ScorerInput::one(Some(name.text.clone()), ScorerValue::Number)).collect())))
    }
}

/// A model that gives a half for every row.
#[derive(Debug)]
struct Half(Vec<ScorerInput>);

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
        Ok(Arc::new(Float32Array::from(vec![0.5; inputs.first().map_or(0, |input| input.len())])))
    }
}

fn folder() -> PathBuf {
    tests::root().join("tests/plans")
}

fn statements(path: &Path) -> Statements {
    let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).expect("the file can be read");
    parse(&[SourceFile { path: name, text }]).unwrap_or_else(|wrong| panic!("{}", wrong[0]))
}

/// The plan as it is bound, and after each rule that fires.
fn stages(statements: &Statements) -> String {
    let mut text = String::new();
    for count in 0..=Rule::ALL.len() {
        let rules = &Rule::ALL[..count];
        let checked =
            check_with(statements, &Models, &Target::All, rules).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
        let heading = match rules.last() {
            None => "bound".to_owned(),
            Some(last) => match checked.fired().last() {
                Some((fired, times)) if fired == last => format!("{}: {times}", last.name()),
                _ => continue,
            },
        };
        writeln!(text, "== {heading}\n{}", checked.logical()).expect("a String can be written to");
    }
    text
}

#[test]
fn rules_make_the_expected_plans() {
    let entries = std::fs::read_dir(folder()).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    assert!(paths.len() >= 4, "only {} plans", paths.len());
    let mut wrong = Vec::new();
    for path in paths {
        let (actual, expected) = (stages(&statements(&path)), path.with_extension("txt"));
        if std::env::var_os("RIVERRUN_REWRITE").is_some() {
            std::fs::write(&expected, &actual).expect("the file can be written");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != actual {
            wrong.push(format!("{}:\n{actual}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The text of statements that pass a few of many columns on through views and a join.
fn wide_views() -> String {
    let declared: Vec<String> = (0..200).map(|at| format!("c{at} BIGINT")).collect();
    let joined: Vec<String> = (0..200).map(|at| format!("d{at} BIGINT")).collect();
    format!(
        "CREATE STREAM s (k BIGINT, {}, at TIMESTAMP, WATERMARK FOR at AS at) LIVE s;
         CREATE STREAM t (k BIGINT, {}, at TIMESTAMP, WATERMARK FOR at AS at) LIVE t;
         CREATE VIEW one AS SELECT * FROM s;
         CREATE VIEW two AS SELECT o.*, t.* EXCLUDE (k, at) FROM one o ASOF LEFT JOIN t ON t.k = o.k AND t.at <= o.at;
         CREATE VIEW three AS SELECT * FROM two WHERE c7 > 0;
         INSERT INTO lake.few SELECT k, c1, c199, d3, d4 FROM three;",
        declared.join(", "),
        joined.join(", ")
    )
}

fn planned(text: String, rules: &[Rule]) -> sql::CheckedPlan {
    let statements = parse(&[SourceFile { path: "views.sql".to_owned(), text }]).unwrap_or_else(|w| panic!("{}", w[0]));
    check_with(&statements, &Models, &Target::All, rules).unwrap_or_else(|wrong| panic!("{}", wrong[0]))
}

/// The columns of each node that is no stream, of which there are some.
fn widths(checked: &sql::CheckedPlan) -> Vec<(String, usize)> {
    let start = sql::Start { after: dataflow::EventTime::MIN, revision: String::new(), row_text: no_text };
    let graph = checked.lower(&start).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let steps = graph.nodes.iter().filter(|node| !matches!(node.kind, dataflow::NodeKind::Source(_)));
    steps.map(|node| (node.name.clone(), node.schema.fields().len())).collect()
}

fn no_text(_: SchemaRef) -> Result<Arc<dyn dataflow::Encode>> {
    Err(Error::invalid("no row is written as text here"))
}

/// The exchanges of a plan, and the columns that travel through them all.
fn carried(checked: &sql::CheckedPlan) -> (usize, usize) {
    let explained = checked.explained().unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let inputs = explained.nodes.iter().flat_map(|node| &node.inputs);
    let travelling: Vec<usize> = inputs.filter(|input| input.exchange.is_some()).map(|input| input.columns).collect();
    (travelling.len(), travelling.iter().sum())
}

#[test]
fn rules_never_carry_more_through_exchanges() {
    let folders = ["tests/plans", "crates/sql/tests/planning/plans", "crates/sql/tests/planning/rules"];
    let mut better = 0;
    for folder in folders {
        for entry in std::fs::read_dir(tests::root().join(folder)).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            let Ok(statements) = parse(&[SourceFile { path: "x.sql".to_owned(), text }]) else { continue };
            let of = |rules: &[Rule]| check_with(&statements, &Models, &Target::All, rules).ok().map(|c| carried(&c));
            let (Some(before), Some(after)) = (of(&[]), of(&Rule::ALL)) else { continue };
            let name = path.file_name().expect("a file has a name").to_string_lossy();
            eprintln!("{name}: {} exchanges of {} columns, with rules {} of {}", before.0, before.1, after.0, after.1);
            assert!(after.1 <= before.1, "{name}");
            better += usize::from(after.1 < before.1);
        }
    }
    assert!(better >= 5, "rules help {better} projects");
}

#[test]
fn a_job_carries_the_five_of_200_columns_that_it_uses_through_three_views_and_a_join() {
    let whole = widths(&planned(wide_views(), &[]));
    assert!(whole.iter().any(|(_, width)| *width > 400), "{whole:?}");
    for (node, width) in widths(&planned(wide_views(), &Rule::ALL)) {
        // The five, and with them the key of the join and the column of the condition.
        assert!(width <= 6, "{node} has {width} columns");
    }
}

#[test]
#[allow(clippy::disallowed_methods)]
fn large_projects_are_planned_within_two_seconds() {
    let features: Vec<String> = (0..2_000)
        .map(|at| {
            let (key, minutes) = (["a", "b", "a + b", "a % 10"][at % 4], at / 4 + 1);
            format!(
                "count(c) OVER (PARTITION BY {key} ORDER BY at RANGE INTERVAL '{minutes}' MINUTE PRECEDING) AS f{at}"
            )
        })
        .collect();
    let stream = "CREATE STREAM s (a BIGINT, b BIGINT, c BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE s;";
    let windows = format!("{stream} INSERT INTO lake.features SELECT a, {} FROM s;", features.join(", "));
    let mut views = stream.to_owned() + "CREATE VIEW v0 AS SELECT *, a + b AS d FROM s;";
    for at in 1..=300 {
        let before = at - 1;
        write!(views, "CREATE VIEW v{at} AS SELECT * EXCLUDE (d), d + 1 AS d FROM v{before} WHERE d <> {at};")
            .expect("a String can be written to");
    }
    views.push_str("INSERT INTO lake.last SELECT * FROM v300;");
    for (what, text) in [("2,000 windows", windows), ("300 views", views)] {
        let begun = std::time::Instant::now();
        let checked = planned(text, &Rule::ALL);
        let nodes = widths(&checked).len();
        let took = begun.elapsed();
        eprintln!("{what}: {nodes} nodes in {took:?}");
        assert!(took.as_secs_f64() < 2.0, "{what} took {took:?}");
    }
}

/// The numbers of the states of a plan.
fn states(text: &str) -> BTreeSet<u128> {
    let explained = planned(text.to_owned(), &Rule::ALL).explained().unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    explained.nodes.iter().filter_map(|node| Some(node.state.as_ref()?.digest)).collect()
}

#[test]
fn states_are_known_by_what_is_computed() {
    let plays = "CREATE STREAM plays (id BIGINT, k BIGINT, x BIGINT, at TIMESTAMP, WATERMARK FOR at AS at,
        DEDUP ON (id) WITHIN INTERVAL '1' HOUR) LIVE plays;";
    let users = "CREATE STREAM users (k BIGINT, c TEXT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE users;";
    let window = |over: &str, hours: u32| {
        format!("OVER (PARTITION BY {over} ORDER BY at RANGE INTERVAL '{hours}' HOUR PRECEDING)")
    };
    let counted = format!("SELECT k, x + 1 AS y, at, count(x + 1) {} AS n FROM plays WHERE x > 0", window("k", 1));
    let before = states(&format!(
        "{plays} {users} CREATE VIEW v AS {counted};
        INSERT INTO lake.out SELECT v.n, u.c FROM v ASOF LEFT JOIN users u ON u.k = v.k AND u.at <= v.at;"
    ));
    assert_eq!(before.len(), 3, "DEDUP, a window and a join");
    // Other names, another order of statements and of conditions' sides, columns that are carried along.
    let renamed = states(&format!(
        "{users} CREATE VIEW w AS SELECT at AS moment, k AS who, x AS more, n AS howmany FROM
        (SELECT p.*, count(1 * 1 * 0 + p.x + 1) {0} AS unused, count(p.x + 1) {0} AS n FROM plays p WHERE p.x > 0) AS q;
        {plays} INSERT INTO lake.elsewhere SELECT o.c AS country, a.howmany, a.more FROM w a
        ASOF LEFT JOIN users o ON a.who = o.k AND o.at <= a.moment;",
        window("p.k", 1)
    ));
    assert_eq!(before, renamed);
    for (what, other) in [
        ("frame", counted.replace("'1' HOUR", "'2' HOUR")),
        ("key", counted.replace("PARTITION BY k", "PARTITION BY x")),
        ("argument", counted.replace("count(x + 1)", "count(x + 2)")),
        ("condition", counted.replace("x > 0", "x > 1")),
    ] {
        let other = states(&format!(
            "{plays} {users} CREATE VIEW v AS {other};
            INSERT INTO lake.out SELECT v.n, u.c FROM v ASOF LEFT JOIN users u ON u.k = v.k AND u.at <= v.at;"
        ));
        assert!(before != other && before.iter().any(|state| other.contains(state)), "another {what}");
    }
    // A stream is where its rows come from, and a column is its path: both may be called otherwise.
    let of = |plays: &str, k: &str, stream: &str| {
        states(&format!(
            "{plays} INSERT INTO lake.out SELECT count(*) OVER (PARTITION BY {k} ORDER BY at RANGE INTERVAL '1' HOUR
            PRECEDING) AS n, {k} FROM {stream};"
        ))
    };
    let plain = of(plays, "k", "plays");
    let declared = plays.replace("STREAM plays", "STREAM listens").replace("k BIGINT", "who BIGINT FROM k");
    assert_eq!(plain, of(&declared, "who", "listens"));
    for (what, other) in [
        ("delay", plays.replace("AS at,", "AS at - INTERVAL '1' SECOND,")),
        ("path", plays.replace("k BIGINT", "k BIGINT FROM key")),
        ("topic", plays.replace("LIVE plays", "LIVE others")),
        ("expression", plays.replace("k BIGINT", "k BIGINT AS x + 1")),
    ] {
        assert_ne!(plain, of(&other, "k", "plays"), "another {what}");
    }
}

#[test]
fn nothing_after_binding_knows_the_syntax_tree() {
    let mut files = 0;
    for folder in ["plan", "rules", "lower", "explain"] {
        let folder = tests::root().join("crates/sql/src").join(folder);
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            assert!(!text.contains("sqlparser::ast"), "{} looks at the text of statements", path.display());
            files += 1;
        }
    }
    assert!(files >= 15, "only {files} files");
}

#[test]
fn names_that_look_generated_are_columns_like_any_other() {
    let text = "CREATE STREAM s (k BIGINT, x BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE s;
        CREATE VIEW named AS SELECT k, x AS \"count(*)\", at AS \"at_\", x AS \"__w\", x AS \"x + 1\" FROM s;
        INSERT INTO lake.out SELECT \"count(*)\", \"__w\", \"x + 1\" + 1 AS y,
            count(*) OVER (PARTITION BY \"x + 1\" + 1 ORDER BY \"at_\" RANGE INTERVAL '1' HOUR PRECEDING) AS n,
            sum(\"__w\") OVER (PARTITION BY \"count(*)\" ORDER BY \"at_\" RANGE INTERVAL '1' HOUR PRECEDING) + 0 AS m
        FROM named;";
    let checked = planned(text.to_owned(), &Rule::ALL);
    let names: Vec<&str> = checked.outputs[0].schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["count(*)", "__w", "y", "n", "m"]);
    // No name of ours can be written: what stands for a window has none.
    for wrong in ["\"count(*) OVER w\"", "\"sum(x)\"", "__w", "\"__n\""] {
        let text = format!(
            "CREATE STREAM s (k BIGINT, x BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE s;
             INSERT INTO lake.out SELECT {wrong} AS y, 1 + count(*) OVER w AS n, 1 + sum(x) OVER w AS m FROM s
             WINDOW w AS (PARTITION BY k ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING);"
        );
        let statements = parse(&[SourceFile { path: "x.sql".to_owned(), text }]).expect("it is SQL");
        let found = check_with(&statements, &Models, &Target::All, &Rule::ALL).expect_err(wrong);
        assert!(found[0].message.starts_with("no column is named"), "{}", found[0]);
    }
}
