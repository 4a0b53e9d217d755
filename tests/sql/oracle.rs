//! The same statements in DuckDB.

use std::path::Path;

/// What DuckDB is asked, in the order of the file.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A CREATE STREAM or CREATE VIEW of ours.
    Create(String),
    /// An INSERT.
    Rows(String),
    /// A SELECT and the rows that we gave.
    Select(String, Vec<Vec<String>>),
}

/// What DuckDB says of a SELECT and our answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Agrees,
    /// Both answers.
    Differs(String),
    /// The SELECT, and why it is not taken.
    Refuses(String),
}

/// What DuckDB says of each SELECT.
pub fn judge(asked: &[Asked]) -> Result<Vec<Verdict>, String> {
    let lines: Vec<serde_json::Value> = asked
        .iter()
        .map(|one| match one {
            Asked::Create(text) => serde_json::json!({ "create": text }),
            Asked::Rows(text) => serde_json::json!({ "rows": text }),
            Asked::Select(text, rows) => serde_json::json!({ "select": text, "answer": rows }),
        })
        .collect();
    let folder = tempfile::tempdir().expect("a folder for the test can be made");
    let file = folder.path().join("asked.json");
    std::fs::write(&file, serde_json::Value::Array(lines).to_string()).expect("the file can be written");
    let told = tests::duckdb(&tests::root().join("tests/sql/oracle.py"), &[&file]);
    let verdict = |line: &str| match line.split_once(' ') {
        Some(("agrees", _)) => Ok(Verdict::Agrees),
        Some(("differs", what)) => Ok(Verdict::Differs(what.replace("\\n", "\n"))),
        Some(("refuses", what)) => Ok(Verdict::Refuses(what.to_owned())),
        _ => Err(format!("the oracle said {line:?}")),
    };
    told.lines().map(verdict).collect()
}

/// How many SELECTs DuckDB took and agreed with; an error says where it differs.
pub fn agree(path: &Path, asked: &[Asked]) -> Result<usize, String> {
    let (mut agreed, mut differ) = (0, Vec::new());
    for verdict in judge(asked)? {
        match verdict {
            Verdict::Agrees => agreed += 1,
            Verdict::Differs(what) => differ.push(what),
            Verdict::Refuses(what) => eprintln!("{}: DuckDB does not take {what}", path.display()),
        }
    }
    if differ.is_empty() { Ok(agreed) } else { Err(differ.join("\n")) }
}

#[test]
fn the_oracle_compares_integers_exactly_and_floats_to_nine_digits() {
    let agrees = |select: &str, ours: &str| {
        let asked = [Asked::Select(format!("SELECT {select}"), vec![vec![ours.to_owned()]])];
        agree(Path::new("here"), &asked).is_ok_and(|agreed| agreed == 1)
    };
    assert!(agrees("9007199254740993::BIGINT", "9007199254740993"));
    assert!(!agrees("9007199254740993::BIGINT", "9007199254740992"), "an integer beside it, with the same double");
    assert!(!agrees("1000000000000::BIGINT", "1000000000001"));
    assert!(!agrees("'1.0'::TEXT", "1.00"));
    assert!(!agrees("1::DOUBLE", "1") && !agrees("1::BIGINT", "1.0"), "types differ");
    assert!(agrees("0.1::DOUBLE + 0.2", "0.3"));
    assert!(agrees("1e300::DOUBLE", "1.0000000001e300"));
    assert!(!agrees("1::DOUBLE", "1.00000001"));
    assert!(!agrees("1e-13::DOUBLE", "2e-13"), "small numbers differ as others do");
    assert!(agrees("'NaN'::DOUBLE", "NaN"));
}
