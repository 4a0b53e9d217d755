//! Results that are longer than what a command may hold.

use crate::folder::Folder;
use std::fmt::Write;
use std::process::{Command, Stdio};
use tests::Program;
use tests::machine::{SECOND, now, pause};

const SQL: &str = "\
CREATE STREAM events (n BIGINT, text TEXT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'events.csv';
CREATE VIEW numbered AS SELECT n, text, at FROM events;
";

/// Rows of about 300 bytes, in the order of their time.
fn events(rows: usize) -> Folder {
    let folder = Folder::empty();
    let mut text = "n,text,at\n".to_owned();
    for n in 0..rows {
        let at = format!("2026-01-{:02}T{:02}:{:02}:{:02}Z", 1 + n / 86_400, n / 3600 % 24, n / 60 % 60, n % 60);
        writeln!(text, "{n},{},{at}", "x".repeat(270)).expect("a text takes more text");
    }
    folder.write("pipelines/events.sql", SQL).write("events.csv", &text);
    folder
}

/// The most memory that a query over so many rows takes.
fn peak(rows: usize, select: &str) -> u64 {
    let folder = events(rows);
    let mut command = Command::new(tests::riverrun());
    command.arg("--project").arg(folder.path()).args(["query", select, "--json", "--workers", "1"]);
    let mut program = Program::spawn(command);
    let (begun, mut peak) = (now(), 0);
    while program.ended(0).is_none() {
        peak = peak.max(program.memory().map_or(0, |(_, most)| most));
        assert!(now() < begun + 60 * SECOND, "the query does not end");
        pause(SECOND / 200);
    }
    let ended = program.ended(0).expect("it has ended");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    peak
}

#[test]
fn a_query_holds_a_part_of_its_rows() {
    let select = "SELECT * FROM numbered";
    let (few, many) = (peak(50_000, select), peak(2_400_000, select));
    // Their text alone takes 648 MiB; what a history holds before it spills (256 MiB), what waits in the queue of the
    // output (64 MiB) and what waits to be printed (32 MiB) has bounds of its own.
    assert!(many < few + (400 << 20), "{} MiB for 2,400,000 rows, {} MiB for 50,000", many >> 20, few >> 20);
}

#[test]
fn a_sort_holds_a_part_of_its_rows() {
    // Rows and keys take 1,300 MiB; the sort holds 256 MiB of them beside what a query holds anyway.
    let select = "SELECT n, text FROM numbered ORDER BY text, n DESC OFFSET";
    let few = peak(50_000, &format!("{select} 49999"));
    let many = peak(2_400_000, &format!("{select} 2399999"));
    assert!(many < few + (700 << 20), "{} MiB for 2,400,000 rows, {} MiB for 50,000", many >> 20, few >> 20);
}

#[test]
fn the_first_rows_of_a_query_are_printed_before_it_ends() {
    let folder = events(400_000);
    let mut command = folder.command(&["query", "SELECT * FROM numbered", "--csv"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the command starts");
    let mut out = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).expect("a line comes");
    // Nobody reads on, and the pipe holds less than the rest: the command has to be running still.
    assert!(line.starts_with("n,text,at") && child.try_wait().expect("it is ours").is_none(), "{line}");
    drop(out);
    assert!(child.wait().expect("it ends").success(), "a reader that goes away is no error");
}

/// Runs a SELECT over two rows; gives the exit code and what was said.
fn select(items: &str) -> (i32, String) {
    let folder = Folder::empty();
    let sql = format!(
        "CREATE STREAM events (n BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'events.csv';\n\
         INSERT INTO lake.out SELECT n, {items} FROM events;\n"
    );
    folder
        .write("pipelines/events.sql", &sql)
        .write("events.csv", "n,at\n1,2026-01-01T00:00:00Z\n2,2026-01-02T00:00:00Z\n");
    let ran = folder.run(&["run"]);
    (ran.code, ran.err)
}

#[test]
fn expressions_are_as_long_as_programs_write_them() {
    let numbers = |between: &str| (0..5_000).map(|n| format!("n = {n}")).collect::<Vec<_>>().join(between);
    let repeated = |term: &str, between: &str| vec![term; 5_000].join(between);
    for (kind, items) in [
        ("AND", format!("({}) AS x", numbers(" AND "))),
        ("OR", format!("({}) AS x", numbers(" OR "))),
        ("+", format!("{} AS x", repeated("n", " + "))),
        ("||", format!("{} AS x", repeated("'a'", " || "))),
        ("IN", format!("n IN ({}) AS x", repeated("7", ", "))),
        ("CASE", format!("CASE {} END AS x", repeated("WHEN n = 7 THEN 1", " "))),
    ] {
        let (code, told) = select(&items);
        assert!(code == 0, "{kind}: {code}\n{}", &told[..told.len().min(2_000)]);
    }
}

#[test]
fn expressions_that_are_too_deep_or_too_long_are_refused_by_name() {
    let nested =
        |before: &str, after: &str, depth: usize| format!("{}n{} AS x", before.repeat(depth), after.repeat(depth));
    let kinds = [("(", ")"), ("abs(", ")"), ("- ", ""), ("CASE WHEN n = 1 THEN 1 ELSE ", " END")];
    for (before, after) in kinds {
        let (code, told) = select(&nested(before, after, 60));
        assert!(code == 0, "{before}: {code}\n{}", &told[..told.len().min(2_000)]);
        for depth in [150, 5_000, 100_000] {
            let (code, told) = select(&nested(before, after, depth));
            assert!(code == 1 && told.contains("nested too deeply"), "{before} {depth} times: {code}");
        }
    }
    let (code, told) = select(&format!("{}(n = 1) AS x", "NOT ".repeat(150)));
    assert!(code == 1 && told.contains("nested too deeply"), "{code} {told}");
    // Each level is read twice where something inside is wrong.
    let rereads = [
        "CAST(",
        "INTERVAL ",
        "INTERVAL -",
        "INTERVAL abs(",
        "n + INTERVAL (",
        "SUBSTRING(",
        "ARRAY[",
        "n IN ((SELECT n FROM events WHERE ",
        "abs(a := ",
        "(n, n) -> ",
    ];
    for before in rereads {
        let (code, told) = select(&format!("{}) y", before.repeat(40)));
        assert!(code == 1 && told.contains("nested too deeply"), "{before}: {code} {told}");
    }
    let (code, told) = select(&nested("CAST(FLOOR(", ") AS BIGINT)", 6));
    assert!(code == 0, "{code} {told}");
    for (term, operator) in [("n = 1", " OR "), ("n = 1", " AND "), ("n IS DISTINCT FROM 1", " AND ")] {
        let (code, told) = select(&format!("({}) AS x", vec![term; 50_000].join(operator)));
        assert!(code == 1 && told.contains("the expression is too long"), "{operator}: {code}");
    }
}
