//! Joins whose keys stand in WHERE: which equalities are keys, and that a query of rows that never pair is stopped.

use bounded::Plan;
use sql::Target;
use std::fmt::Write;
use tests::machine::{SECOND, now, pause};
use tests::{Place, Program};

const SQL: &str = "
CREATE STREAM a (k BIGINT, n BIGINT, t TEXT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'a.csv';
CREATE STREAM b (k BIGINT, n BIGINT, t TEXT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'b.csv';
CREATE STREAM c (k BIGINT, n BIGINT, t TEXT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'c.csv';
";

fn place(rows: usize) -> Place {
    let place = Place::new("early", SQL, &["dev".to_owned()], 0);
    let mut text = "k,n,t,at\n".to_owned();
    for row in 0..rows {
        writeln!(text, "{row},{},{row},2026-01-01T00:00:00Z", row % 7).expect("a text takes more text");
    }
    for name in ["a", "b", "c"] {
        std::fs::write(place.path().join(format!("{name}.csv")), &text).expect("the file can be written");
    }
    place
}

/// How many keys each join of a plan has, the outer ones first.
fn keys(plan: &Plan, found: &mut Vec<usize>) {
    match plan {
        Plan::Input { .. } => {}
        Plan::Filter { from, .. }
        | Plan::Project { from, .. }
        | Plan::Group { from, .. }
        | Plan::Sort { from, .. }
        | Plan::Limit { from, .. } => keys(from, found),
        Plan::Union(sides) => sides.iter().for_each(|side| keys(side, found)),
        Plan::Join(join) => {
            found.push(join.keys.len());
            keys(&join.left, found);
            keys(&join.right, found);
        }
        Plan::Answered(answered) => keys(&answered.from, found),
    }
}

#[test]
fn equalities_of_where_between_two_sides_are_keys() {
    let place = place(3);
    let project = place.project("dev");
    for (from, expected) in [
        ("a, b WHERE a.k = b.k", &[1][..]),
        ("a CROSS JOIN b WHERE a.k = b.k", &[1]),
        ("a JOIN b ON a.n < b.n WHERE a.k = b.k", &[1]),
        ("a, b WHERE a.k = b.k AND b.t = a.t AND a.n < b.n", &[2]),
        ("a, b WHERE a.k + 1 = b.k * 2 AND a.n > 1", &[1]),
        ("a, b, c WHERE a.k = c.k AND b.n = c.n", &[1, 1]),
        ("a CROSS JOIN b, c WHERE a.k = c.k AND b.n = c.n", &[1, 1]),
        ("a, b, c WHERE a.k = b.k AND b.k = c.k AND a.k = c.k", &[2, 1]),
        ("a, b WHERE a.k IN (SELECT k FROM c) AND a.k = b.k", &[1]),
        ("a, b WHERE a.k > (SELECT min(k) FROM c) AND a.k = b.k", &[1]),
        // Another condition than an equality, and one that is not true of all rows, are no keys.
        ("a, b WHERE a.k = b.k OR a.n = b.n", &[0]),
        ("a, b WHERE a.k = a.n", &[0]),
        // Whether a row fails must not depend on whether it has a pair, where the text has it fail first.
        ("a, b WHERE 10 // a.n > 1 AND a.k = b.k", &[0]),
        ("a, b WHERE a.k = b.k AND 10 // a.n > 1", &[1]),
        // An equality that can fail is a key where nothing before it could protect it.
        ("a, b WHERE a.t::BIGINT = b.k", &[1]),
        ("a, b WHERE a.t <> 'x' AND a.t::BIGINT = b.k", &[1]),
        ("a, b WHERE a.n < b.n AND a.t::BIGINT = b.k", &[0]),
        // Outer joins keep their meaning.
        ("a LEFT JOIN b ON a.n < b.n WHERE a.k = b.k", &[0]),
        ("a CROSS JOIN b LEFT JOIN c ON c.k = a.k WHERE a.k = b.k", &[1, 1]),
        ("a CROSS JOIN b FULL JOIN c ON c.k = a.k WHERE a.k = b.k", &[1, 0]),
    ] {
        let query = format!("SELECT a.k FROM {from}");
        let checked =
            project.check(&Target::Query(query)).unwrap_or_else(|wrong| panic!("{from}: {}", tests::told(wrong)));
        let mut found = Vec::new();
        keys(&checked.query.expect("a query has a plan").plan, &mut found);
        assert_eq!(found, expected, "{from}");
    }
}

#[test]
fn a_query_whose_rows_never_pair_ends_at_the_first_signal() {
    let place = place(20_000);
    for (query, signal, code) in [
        ("SELECT count(*) FROM a, b, c WHERE a.n + b.n + c.n < 0", "INT", 130),
        ("SELECT a.k FROM a LEFT JOIN b ON a.n + b.n < 0, c", "TERM", 143),
        ("SELECT a.k FROM a, b, c ORDER BY a.t, b.t, c.t DESC", "INT", 130),
        ("SELECT a.t, b.t, c.t, count(*) FROM a, b, c GROUP BY ALL", "TERM", 143),
        ("SELECT a.t FROM a, b WHERE a.n IN (SELECT x.k + y.k + 7 FROM b x, c y)", "INT", 130),
    ] {
        let mut program = Program::start(place.path(), &["query", query, "--json"]);
        pause(2 * SECOND);
        assert!(program.ended(0).is_none(), "{query}: it has ended by itself");
        let begun = now();
        program.signal(signal);
        let ended = program.ended(20 * SECOND).expect("it ends");
        let took = now() - begun;
        assert_eq!(ended.code, Some(code), "{query}: {}", ended.told);
        // It takes a tenth of this; the rest is for a machine that does much else.
        assert!(took <= SECOND, "{query}: it took {} ms", took / 1000);
        println!("{} ms: {query}", took / 1000);
    }
}
