//! A matrix of aggregates: each over each type, plain, with DISTINCT and with FILTER, over groups, as a window and as an
//! aggregate over another stream; of many values, of NULL alone, of one value, of none, of NaN and infinities, and of the
//! ends of each range. DuckDB is the judge; where answers differ on purpose, that is listed, and has to be so.

use crate::harness::{Bench, By, Host};
use crate::oracle::{self, Asked, Verdict};
use sqllogictest::DB;
use std::sync::{Arc, Mutex};

const AGGREGATES: [&str; 9] = ["count", "sum", "avg", "min", "max", "stddev_samp", "stddev_pop", "var_samp", "var_pop"];

/// A type: values of it, the least and the greatest.
struct Type {
    name: &'static str,
    many: [&'static str; 4],
    ends: [&'static str; 2],
}

const TYPES: [Type; 9] = [
    Type {
        name: "BIGINT",
        many: ["7", "-3", "7", "40"],
        ends: ["'-9223372036854775808'::BIGINT", "9223372036854775807"],
    },
    Type { name: "INTEGER", many: ["7", "-3", "7", "40"], ends: ["-2147483648", "2147483647"] },
    Type { name: "SMALLINT", many: ["7", "-3", "7", "40"], ends: ["-32768", "32767"] },
    Type { name: "DOUBLE", many: ["0.5", "-3.25", "0.5", "1e10"], ends: ["-1e150", "1e150"] },
    Type { name: "FLOAT", many: ["0.5", "-3.25", "0.5", "1e10"], ends: ["-1.2676506e30", "1.2676506e30"] },
    Type { name: "BOOLEAN", many: ["true", "false", "true", "true"], ends: ["false", "true"] },
    Type { name: "TEXT", many: ["'b'", "'ä'", "'b'", "'a''c'"], ends: ["''", "'\u{10ffff}'"] },
    Type {
        name: "TIMESTAMP",
        many: [
            "TIMESTAMP '2024-02-29 10:00:00.123456'",
            "TIMESTAMP '1969-12-31 23:59:59'",
            "TIMESTAMP '2024-02-29 10:00:00.123456'",
            "TIMESTAMP '2030-01-01 00:00:00'",
        ],
        ends: ["TIMESTAMP '0001-01-01 00:00:00'", "TIMESTAMP '9999-12-31 23:59:59.999999'"],
    },
    Type {
        name: "DATE",
        many: ["DATE '2024-02-29'", "DATE '1969-12-31'", "DATE '2024-02-29'", "DATE '2030-01-01'"],
        ends: ["DATE '0001-01-01'", "DATE '9999-12-31'"],
    },
];

/// How our answer and DuckDB's stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// They are the same, or both refuse.
    Same,
    Differs,
    OnlyOurs,
    OnlyDuckdb,
}

/// What is to come out of a call, each difference with its reason in docs/sql-differences.md.
fn expected(aggregate: &str, of: &Type, form: &str, (shape, sets): (&str, &str)) -> Outcome {
    let is_of_numbers = !["count", "min", "max"].contains(&aggregate);
    let has_frame = ["window", "subquery"].contains(&shape);
    let is_time = ["TIMESTAMP", "DATE"].contains(&of.name);
    let duckdb_takes = match aggregate {
        "sum" => of.name != "TEXT" && !is_time,
        "avg" => of.name != "TEXT" && of.name != "BOOLEAN",
        _ => of.name != "TEXT" && of.name != "BOOLEAN" && !is_time,
    };
    match () {
        () if is_of_numbers && form == "DISTINCT" && has_frame && duckdb_takes => Outcome::OnlyDuckdb,
        () if is_of_numbers && form == "DISTINCT" && has_frame => Outcome::Same,
        () if is_of_numbers && aggregate != "sum" && of.name == "BOOLEAN" => Outcome::OnlyOurs,
        // One value that is NaN or infinite has no distance from its mean there.
        () if ["stddev_pop", "var_pop"].contains(&aggregate) && of.is_float() && sets == "odd" && has_frame => {
            Outcome::Differs
        }
        () => Outcome::Same,
    }
}

const SETS: [&str; 6] = ["many", "nulls", "one", "nan", "infinite", "ends"];

impl Type {
    fn is_float(&self) -> bool {
        ["DOUBLE", "FLOAT"].contains(&self.name)
    }

    /// The values of a set.
    fn values(&self, set: &str) -> Vec<String> {
        let [first, second, third, fourth] = self.many;
        let float = |text: &str| format!("'{text}'::{}", self.name);
        match set {
            "many" => [first, second, "NULL", third, fourth, "NULL"].map(str::to_owned).to_vec(),
            "nulls" => vec!["NULL".to_owned(); 3],
            "one" => vec![first.to_owned()],
            "nan" if self.is_float() => vec![float("nan"), first.to_owned(), float("-inf"), float("nan")],
            "infinite" if self.is_float() => vec![float("inf"), first.to_owned(), float("inf")],
            "ends" => self.ends.map(str::to_owned).to_vec(),
            _ => Vec::new(),
        }
    }

    /// A call of an aggregate.
    fn call(&self, aggregate: &str, form: &str) -> String {
        let column = self.name.to_lowercase();
        match form {
            "DISTINCT" => format!("{aggregate}(DISTINCT r.x_{column})"),
            "FILTER" => format!("{aggregate}(r.x_{column}) FILTER (WHERE r.n % 2 = 0)"),
            _ => format!("{aggregate}(r.x_{column})"),
        }
    }
}

const FORMS: [&str; 3] = ["", "DISTINCT", "FILTER"];
const SHAPES: [&str; 4] = ["groups", "none", "window", "subquery"];

/// A SELECT of a call over the rows of some sets.
fn select(call: &str, shape: &str, sets: &str) -> String {
    let sets = match sets {
        "odd" => "r.s IN ('nan', 'infinite', 'ends')",
        _ => "r.s IN ('many', 'nulls', 'one')",
    };
    match shape {
        "groups" => format!("SELECT r.s, {call} AS a FROM given r WHERE {sets} GROUP BY r.s"),
        "none" => format!("SELECT {call} AS a FROM given r WHERE {sets} AND r.n > 100"),
        "window" => format!(
            "SELECT s, n, {call} OVER (PARTITION BY s ORDER BY ts RANGE INTERVAL '2' SECOND PRECEDING) AS a FROM given r \
             WHERE {sets}"
        ),
        _ => format!(
            "SELECT l.s, l.n, (SELECT {call} FROM given r WHERE r.s = l.s \
             AND r.ts BETWEEN l.ts - INTERVAL '2' SECOND AND l.ts) AS a FROM given l WHERE {}",
            sets.replace("r.s", "l.s")
        ),
    }
}

fn bench(asked: &Arc<Mutex<Vec<Asked>>>) -> Bench {
    let mut bench = Bench::new(Host { workers: 2, archives: false, by: By::Seed(1) }, asked.clone());
    let columns: String = TYPES.iter().map(|of| format!(", x_{} {}", of.name.to_lowercase(), of.name)).collect();
    let create =
        format!("CREATE STREAM given (s TEXT, n BIGINT, ts TIMESTAMP{columns}, WATERMARK FOR ts AS ts) LIVE given");
    bench.run(&create).unwrap_or_else(|error| panic!("{create}: {error}"));
    let mut rows = Vec::new();
    for set in SETS {
        let values: Vec<Vec<String>> = TYPES.iter().map(|of| of.values(set)).collect();
        for n in 0..values.iter().map(Vec::len).max().unwrap_or(0) {
            let of_type = values.iter().map(|of| of.get(n).map_or("NULL", String::as_str));
            let cells = of_type.map(|value| format!(", {value}")).collect::<String>();
            rows.push(format!(
                "('{set}', {n}, TIMESTAMP '2025-12-01 00:00:00' + INTERVAL '{}' SECOND{cells})",
                rows.len()
            ));
        }
    }
    let insert = format!("INSERT INTO given VALUES {}", rows.join(", "));
    bench.run(&insert).unwrap_or_else(|error| panic!("{insert}: {error}"));
    bench
}

#[test]
fn each_aggregate_of_each_type_is_that_of_duckdb() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut bench = bench(&asked);
    let mut cases = Vec::new();
    for of in &TYPES {
        for (aggregate, form) in AGGREGATES.iter().flat_map(|aggregate| FORMS.map(|form| (*aggregate, form))) {
            for (shape, sets) in SHAPES.iter().flat_map(|shape| ["usual", "odd"].map(|sets| (*shape, sets))) {
                let select = select(&of.call(aggregate, form), shape, sets);
                let ours = bench.run(&select).map(drop).map_err(|error| error.to_string());
                if ours.is_err() {
                    // Whether DuckDB takes it.
                    asked.lock().expect("no other thread fails").push(Asked::Select(select.clone(), Vec::new()));
                }
                cases.push((select, ours, expected(aggregate, of, form, (shape, sets))));
            }
        }
    }
    let asked = asked.lock().expect("no other thread fails");
    let verdicts = oracle::judge(&asked).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(verdicts.len(), cases.len());
    let mut wrong = Vec::new();
    for ((select, ours, expected), verdict) in cases.iter().zip(verdicts) {
        let outcome = match (ours, &verdict) {
            (Ok(()), Verdict::Agrees) | (Err(_), Verdict::Refuses(_)) => Outcome::Same,
            (Ok(()), Verdict::Differs(_)) => Outcome::Differs,
            (Ok(()), Verdict::Refuses(_)) => Outcome::OnlyOurs,
            (Err(_), _) => Outcome::OnlyDuckdb,
        };
        if outcome != *expected {
            let error = ours.as_ref().err().map_or("", String::as_str);
            wrong.push(format!("{select}: {outcome:?}, expected {expected:?}\n{error}\n{verdict:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
