//! Random queries over input that ends give DuckDB's answers: over NULL, NaN, infinities and -0.0, grouped, joined,
//! united, sorted and cut off.

use crate::harness::{Bench, By, Host};
use crate::oracle;
use sqllogictest::DB;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tests::Chance;

const STREAMS: [&str; 2] = ["one", "two"];
const COLUMNS: [&str; 4] = ["i", "d", "t", "f"];

fn value(chance: &mut Chance, column: &str) -> String {
    if chance.permille(150) {
        return "NULL".to_owned();
    }
    match column {
        "i" => chance.between(-3, 4).to_string(),
        "d" => {
            let some =
                ["'NaN'::DOUBLE", "'inf'::DOUBLE", "'-inf'::DOUBLE", "'-0.0'::DOUBLE", "0.0", "0.25", "1.5", "-7.75"];
            chance.of(&some).to_owned()
        }
        "t" => format!("'{}'", chance.of(&["", "a", "b", "ab", "é", "Z"])),
        _ => chance.of(&["true", "false"]).to_owned(),
    }
}

fn rows(chance: &mut Chance, stream: &str) -> String {
    let count = chance.between(1, 40);
    let row = |at: i64, chance: &mut Chance| {
        let values: Vec<String> = COLUMNS.iter().map(|column| value(chance, column)).collect();
        format!("({}, TIMESTAMP '2025-12-01 00:00:00' + INTERVAL '{at}' SECOND)", values.join(", "))
    };
    let rows: Vec<String> = (0..count).map(|at| row(at, chance)).collect();
    format!("INSERT INTO {stream} VALUES {}", rows.join(", "))
}

/// A condition over the columns of a name.
fn condition(chance: &mut Chance, of: &str) -> String {
    let some = [
        format!("{of}.i > 0"),
        format!("{of}.d < 1.5"),
        format!("{of}.t IS DISTINCT FROM 'a'"),
        format!("{of}.f"),
        format!("{of}.i BETWEEN -1 AND 2.5 OR {of}.t LIKE '%b'"),
        format!("{of}.i IN (1, 2, NULL) IS NULL"),
    ];
    if chance.permille(250) {
        return of_subquery(chance, of);
    }
    if chance.permille(200) {
        return of_operators(chance, of);
    }
    some[chance.below(some.len() as u64) as usize].clone()
}

/// A condition with CASE, casts, times, NOT before operators, and lists.
fn of_operators(chance: &mut Chance, of: &str) -> String {
    let some = [
        format!("NOT {of}.i = 1"),
        format!("NOT {of}.t LIKE 'a%' AND NOT {of}.i IS NULL"),
        format!("NOT {of}.i BETWEEN 0 AND 2 OR NOT {of}.t IN ('a', 'b')"),
        format!("CASE {of}.i WHEN 1 THEN {of}.f WHEN NULL THEN true ELSE {of}.d > 0 END"),
        format!("CASE WHEN {of}.f THEN {of}.i > 0 WHEN NOT {of}.f THEN {of}.t = 'b' END"),
        format!("{of}.i::TEXT || coalesce({of}.t, '-') > '0'"),
        format!("TRY_CAST({of}.t AS BIGINT) IS NULL"),
        format!("{of}.d::TEXT IN ('nan', 'inf', '0.0', '-0.0', '0.25')"),
        format!("date_trunc('minute', {of}.ts) = TIMESTAMP '2025-12-01 00:00:00'"),
        format!("date_part('second', {of}.ts) % 3 = 0"),
        format!("{of}.ts - INTERVAL '5' SECOND < TIMESTAMP '2025-12-01 00:00:10'"),
        format!("date_diff('second', TIMESTAMP '2025-12-01 00:00:00', {of}.ts) > {of}.i"),
        format!("{of}.ts::DATE = DATE '2025-12-01' AND {of}.i <> 0"),
        format!("{of}.i IN ((SELECT min(i) FROM {}), 2)", chance.of(&STREAMS)),
        format!("{of}.d NOT IN ((SELECT max(d) FROM {}), 1.5, {of}.i)", chance.of(&STREAMS)),
        format!("greatest({of}.i, 1) = least({of}.d, 3)"),
        format!("nullif({of}.i, 2) IS DISTINCT FROM {of}.d"),
        "NULL".to_owned(),
    ];
    some[chance.below(some.len() as u64) as usize].clone()
}

/// A condition on what a query of its own answers.
fn of_subquery(chance: &mut Chance, of: &str) -> String {
    let stream = chance.of(&STREAMS);
    let some = [
        format!("{of}.i IN (SELECT i FROM {stream} WHERE i > 0)"),
        format!("{of}.i NOT IN (SELECT d FROM {stream} WHERE d < 2)"),
        format!("({of}.d NOT IN (SELECT d FROM {stream})) IS NULL"),
        format!("{of}.t IN (SELECT t FROM {stream} WHERE i = 3 OR t IS NULL) IS DISTINCT FROM false"),
        format!("{of}.t NOT IN (SELECT min(t) FROM {stream} GROUP BY i ORDER BY 1 LIMIT 2)"),
        format!("{of}.i >= (SELECT avg(i) FROM {stream})"),
        format!("{of}.d IS DISTINCT FROM (SELECT d FROM {stream} ORDER BY ts, i, d, t, f LIMIT 1)"),
        format!("EXISTS (SELECT 1 FROM {stream} WHERE i = 2) AND {of}.f"),
        format!("NOT EXISTS (SELECT 1 FROM {stream} WHERE t = 'ab' AND f) OR {of}.i = 0"),
        format!("NOT EXISTS (SELECT 1 FROM {stream} WHERE i = 2) IS NULL OR {of}.f"),
        format!("NOT EXISTS (SELECT 1 FROM {stream} WHERE i = 3) IN (SELECT f FROM {stream} WHERE {stream}.f)"),
        format!("{of}.i = (SELECT count(*) FROM {stream} x WHERE x.i IN (SELECT y.i FROM {stream} y WHERE y.f)) % 4"),
    ];
    some[chance.below(some.len() as u64) as usize].clone()
}

fn aggregate(chance: &mut Chance, of: &str) -> String {
    let some = [
        "count(*)".to_owned(),
        format!("count({of}.t)"),
        format!("count(DISTINCT {of}.t)"),
        format!("count(DISTINCT {of}.d)"),
        format!("sum({of}.i)"),
        format!("sum({of}.d)"),
        format!("avg({of}.i)"),
        format!("min({of}.d)"),
        format!("max({of}.d)"),
        format!("min({of}.t)"),
        format!("max({of}.f)"),
        format!("max({of}.ts)"),
        format!("stddev({of}.i)"),
        format!("var_pop({of}.i)"),
        format!("sum({of}.i * 2) + count(*)"),
        format!("sum(DISTINCT {of}.i)"),
        format!("avg(DISTINCT {of}.i)"),
        format!("var_pop(DISTINCT {of}.i)"),
        format!("avg({of}.ts)"),
        format!("avg(DISTINCT {of}.ts::DATE)"),
    ];
    let call = some[chance.below(some.len() as u64) as usize].clone();
    if chance.permille(200) && !call.contains('+') {
        return format!("{call} FILTER (WHERE {})", condition(chance, of));
    }
    call
}

fn key(chance: &mut Chance, of: &str) -> String {
    let some = [
        format!("{of}.i"),
        format!("{of}.d"),
        format!("{of}.t"),
        format!("{of}.f"),
        format!("{of}.i % 2"),
        format!("length({of}.t) > 1"),
        format!("coalesce({of}.t, 'none')"),
        format!("CASE WHEN {of}.i > 1 THEN 'more' WHEN {of}.f THEN {of}.t END"),
        format!("{of}.d::TEXT"),
        format!("-{of}.d"),
        format!("date_trunc('minute', {of}.ts)"),
        format!("date_part('second', {of}.ts) // 7"),
        format!("{of}.ts::DATE"),
        format!("{of}.i / 2"),
        format!("{of}.i::DECIMAL(6,2) * 1.5"),
        format!("{of}.i + (SELECT max(i) FROM {})", chance.of(&STREAMS)),
        format!("{of}.t IN (SELECT t FROM {})", chance.of(&STREAMS)),
    ];
    some[chance.below(some.len() as u64) as usize].clone()
}

/// Every column of the answer orders it, so that only equal rows are in no order.
fn order(chance: &mut Chance, columns: usize) -> String {
    let mut places: Vec<usize> = (1..=columns).collect();
    for at in (1..places.len()).rev() {
        places.swap(at, chance.below(at as u64 + 1) as usize);
    }
    let key = |place: usize, chance: &mut Chance| {
        let direction = chance.of(&["", " ASC", " DESC"]);
        format!("{place}{direction}{}", chance.of(&["", " NULLS FIRST", " NULLS LAST"]))
    };
    let keys: Vec<String> = places.into_iter().map(|place| key(place, chance)).collect();
    let limit = chance.of(&["", "", " LIMIT 7", " LIMIT 5 OFFSET 3", " OFFSET 4", " LIMIT 0"]);
    format!(" ORDER BY {}{limit}", keys.join(", "))
}

/// What a SELECT reads, and a name in it with all columns.
fn from(chance: &mut Chance) -> (String, &'static str) {
    let (one, other) = (chance.of(&STREAMS), chance.of(&STREAMS));
    let filter = condition(chance, "s");
    let on =
        chance.of(&["a.i = b.i", "a.t = b.t AND a.f = b.f", "a.i = b.d", "a.i = b.i AND a.d < b.d", "a.i + 1 = b.i"]);
    let join = chance.of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    let using = chance.of(&["i", "t", "i, t"]);
    match chance.below(12) {
        8 => (format!("{one} a {join} {other} b ON {on} {join} {one} c ON b.i = c.i"), chance.of(&["a", "b", "c"])),
        9 => (format!("{one} a CROSS JOIN {other} b {join} {other} c ON c.i = b.i"), "b"),
        10 => (format!("{one} a, {other} b"), chance.of(&["a", "b"])),
        11 => (format!("{one} c, {other} a, (SELECT i, max(d) AS d FROM {one} GROUP BY i) b"), chance.of(&["a", "c"])),
        6 => (format!("{one} a {join} {other} b USING ({using})"), chance.of(&["a", "b"])),
        7 => (format!("(SELECT 1 AS i, d, t, f, ts FROM {one} UNION ALL FROM {other}) a"), "a"),
        0 | 1 => (format!("{one} a"), "a"),
        2 => (format!("(SELECT * FROM {one} s WHERE {filter}) a"), "a"),
        3 => (format!("{one} a {join} {other} b ON {on}"), "a"),
        4 => (format!("{one} b {join} (SELECT * FROM {other} s WHERE {filter}) a ON {on}"), "a"),
        _ => (format!("(SELECT DISTINCT i, d, t, f, ts FROM {one} UNION ALL FROM {other}) a"), "a"),
    }
}

/// What ties the sides of a comma to each other, before and after another condition.
fn tied(chance: &mut Chance, from: &str, condition: String) -> String {
    if !from.contains(", ") || !from.contains(" b") || from.contains("USING") {
        return condition;
    }
    let keys = ["a.i = b.i", "b.d = a.i", "a.d = b.d AND a.i + 1 = b.i", "a.i = b.i AND a.d <= b.d", "b.i % 2 = a.i"];
    let mut all = vec![chance.of(&keys).to_owned()];
    if from.contains(" c, ") && chance.permille(700) {
        all.push(chance.of(&["c.t = a.t", "c.i = a.i AND c.f = a.f", "c.d = b.d"]).to_owned());
    }
    all.insert(chance.below(all.len() as u64 + 1) as usize, format!("({condition})"));
    all.join(" AND ")
}

fn grouped(chance: &mut Chance) -> (String, usize) {
    let (from, of) = from(chance);
    let mut keys: Vec<String> = Vec::new();
    for _ in 0..chance.below(3) {
        let key = key(chance, of);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let aggregates: Vec<String> = (0..chance.between(1, 3)).map(|_| aggregate(chance, of)).collect();
    let all: Vec<String> = keys.iter().chain(&aggregates).cloned().collect();
    let named: Vec<String> = all.iter().enumerate().map(|(at, expr)| format!("{expr} AS c{at}")).collect();
    let mut select = format!("SELECT {} FROM {from}", named.join(", "));
    if chance.permille(400) || from.contains(" b, ") || from.contains(" c, ") {
        let condition = condition(chance, of);
        select += &format!(" WHERE {}", tied(chance, &from, condition));
    }
    let by: Vec<String> = match chance.below(5) {
        0 => keys.clone(),
        1 if !keys.is_empty() => vec!["ALL".to_owned()],
        2 => keys.iter().cloned().chain([chance.of(&["'x'", "false", "NULL", "1.5"]).to_owned()]).collect(),
        1 => (1..=keys.len()).map(|place| place.to_string()).collect(),
        _ => (0..keys.len()).map(|at| format!("c{at}")).collect(),
    };
    if !by.is_empty() {
        select += &format!(" GROUP BY {}", by.join(", "));
    }
    if chance.permille(300) {
        select += chance.of(&[
            " HAVING count(*) > 1",
            " HAVING count(*) > 1 OR count(DISTINCT t_) = 0",
            " HAVING count(*) > (SELECT count(*) // 9 FROM one)",
            // Of GROUP BY ALL, DuckDB makes groups by the columns of such a key as well.
            if by == ["ALL"] { " HAVING count(*) > 1" } else { " HAVING c0 IS NOT NULL" },
            " HAVING sum(t_i) NOT IN (SELECT i FROM two WHERE i IS NOT NULL)",
        ]);
    }
    (select.replace("t_i", &format!("{of}.i")).replace("t_", &format!("{of}.t")), all.len())
}

fn plain(chance: &mut Chance) -> (String, usize) {
    let (from, of) = from(chance);
    let distinct = chance.of(&["", "DISTINCT "]);
    let columns: Vec<String> = (0..chance.between(1, 3)).map(|at| format!("{} AS c{at}", key(chance, of))).collect();
    let mut condition = condition(chance, of);
    if chance.permille(200) {
        condition = format!("({condition}) AND c0 IS NOT NULL");
    }
    let condition = tied(chance, &from, condition);
    (format!("SELECT {distinct}{} FROM {from} WHERE {condition}", columns.join(", ")), columns.len())
}

fn query(chance: &mut Chance) -> String {
    let (select, columns) = if chance.permille(600) { grouped(chance) } else { plain(chance) };
    match chance.below(8) {
        0 => format!("WITH w AS ({select}) SELECT c0, count(*) AS n FROM w GROUP BY c0{}", order(chance, 2)),
        1 => format!("{select} UNION {} {select}{}", chance.of(&["", "ALL"]), order(chance, columns)),
        2 => format!("SELECT * FROM ({select}) x{}", order(chance, columns)),
        _ => select + &order(chance, columns),
    }
}

fn agreed(seed: u64) -> usize {
    let mut chance = Chance::new(seed);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut bench = Bench::new(Host { workers: 2, archives: false, by: By::Seed(seed) }, asked.clone());
    for stream in STREAMS {
        let columns = "i BIGINT, d DOUBLE, t TEXT, f BOOLEAN, ts TIMESTAMP";
        let create = format!("CREATE STREAM {stream} ({columns}, WATERMARK FOR ts AS ts) LIVE {stream}");
        bench.run(&create).unwrap_or_else(|error| panic!("{create}: {error}"));
        let insert = rows(&mut chance, stream);
        bench.run(&insert).unwrap_or_else(|error| panic!("{insert}: {error}"));
    }
    for _ in 0..25 {
        let select = query(&mut chance);
        bench.run(&select).unwrap_or_else(|error| panic!("seed {seed}: {select}: {error}"));
    }
    let asked = asked.lock().expect("no other thread fails");
    oracle::agree(&PathBuf::from(format!("seed {seed}")), &asked).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"))
}

/// `QUERY_SEEDS` says how many seeds are played, after the first 16.
#[test]
fn random_queries_give_duckdbs_answers() {
    let more = std::env::var("QUERY_SEEDS").ok().and_then(|count| count.parse::<u64>().ok());
    let seeds = more.map_or(0..16, |more| 16..16 + more);
    let count = seeds.end - seeds.start;
    let agreed: usize = seeds.map(agreed).sum();
    assert!(agreed as u64 > count * 22, "DuckDB took only {agreed} of {} queries", count * 25);
}
