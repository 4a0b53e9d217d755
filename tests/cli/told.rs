//! What a newcomer is told: all errors at once, rows that are left out, and how jobs stand.

use crate::folder::Folder;
use crate::wrong::published;

#[test]
fn check_tells_of_errors_of_all_files_and_inputs_at_once() {
    let folder = Folder::demo();
    folder.write(
        "pipelines/a.sql",
        "CREATE VIEW broken AS SELECT FROM WHERE;\nCREATE VIEW on_it AS SELECT * FROM broken;\n",
    );
    folder.write("pipelines/b.sql", "CREATE VIEW other AS SELECT sendr_id FROM messages;\n");
    folder.write(
        "pipelines/c.sql",
        "CREATE STREAM absent (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'nothing/*.csv';\n",
    );
    let ran = folder.run(&["check"]);
    for part in [
        "pipelines/a.sql:1:",
        "pipelines/b.sql:1:29: error: no column is named \"sendr_id\"",
        "pipelines/c.sql:1:",
        "3 errors",
    ] {
        assert!(ran.err.contains(part), "no {part:?} in\n{}", ran.err);
    }
    assert!(
        !ran.err.contains("on_it") && !ran.err.contains("a.sql:2"),
        "what depends is not told of again\n{}",
        ran.err
    );
    // Settings that are wrong keep nothing of the SQL from being read.
    let toml = std::fs::read_to_string(folder.path().join("riverrun.toml")).unwrap();
    folder.write("riverrun.toml", &toml.replace("warehouse", "warehuose"));
    let ran = folder.run(&["check"]);
    assert!(ran.err.contains("unknown field `warehuose`") && ran.err.contains("pipelines/a.sql:1:"), "{}", ran.err);
    folder.write("riverrun.toml", &toml);
    // Of a file that cannot be read at all any name may be.
    folder.write("pipelines/a.sql", "CREATE VIEW broken AS SELECT 'it never ends FROM messages;\n");
    folder.write(
        "pipelines/b.sql",
        "CREATE VIEW other AS SELECT * FROM anything;\nCREATE VIEW third AS SELECT nme FROM messages;\n",
    );
    let ran = folder.run(&["check"]);
    assert!(
        ran.err.contains("a.sql:1:") && ran.err.contains("\"nme\"") && !ran.err.contains("anything"),
        "{}",
        ran.err
    );
}

#[test]
fn a_model_that_nothing_uses_keeps_no_job_from_running() {
    let folder = Folder::demo();
    folder.write("pipelines/more.sql", "CREATE MODEL later FROM 'models/later.onnx' OUTPUT probability OF 1;\n");
    let checked = folder.done(&["check"]);
    let warning = "pipelines/more.sql:1:25: warning: nothing uses model \"later\": ";
    assert!(checked.err.contains(warning) && checked.err.contains("models/later.onnx"), "{}", checked.err);
    let lines = folder.done(&["check", "--json"]).out;
    assert!(lines.lines().count() == 2 && lines.contains("\"severity\":\"warning\""), "{lines}");
    folder.done(&["run"]);
    folder.write("pipelines/uses.sql", "CREATE VIEW uses AS SELECT *, predict(later) AS s FROM sender_features;\n");
    assert_eq!(folder.run(&["check"]).code, 1);
}

/// A project over a file with two rows that cannot be read, and one that a step fails on.
fn with_bad_rows(policy: &str) -> Folder {
    let folder = Folder::empty();
    let long = "x".repeat(1_000);
    folder.write("data/events.csv", &format!("id,at\n1,2026-01-01 08:00:00\n{long},2026-01-01 08:00:01\n3,\n"));
    folder.write(
        "pipelines/events.sql",
        &format!(
            "CREATE STREAM events (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'data/*.csv' {policy};\n\
             INSERT INTO lake.ids SELECT id FROM events;\n"
        ),
    );
    folder.write(
        "tests/events.test.sql",
        "TEST 'ids';\nGIVEN events (id, at) VALUES (1, TIMESTAMP '2026-01-01 00:00:00'), (2, NULL);\n\
         EXPECT EXACTLY lake.ids (id) VALUES (1), (2);\n",
    );
    folder
}

/// A text without line ends, as it was before it was put into lines.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_bad_row_is_told_of_with_its_place_and_the_reason() {
    let folder = with_bad_rows("ON BAD ROW SKIP");
    let row = "a bad row of events: file data/events.csv, row 2: line 3: column \"id\" is \"xxx";
    let ran = folder.done(&["run"]);
    let told = joined(&ran.err);
    assert!(told.contains(row), "{}", ran.err);
    assert!(told.contains("; ON BAD ROW DEAD LETTER TO table would keep all"), "{}", ran.err);
    assert!(told.len() < 2_000, "a long value is cut: {}", ran.err);
    let asked = folder.done(&["query", "FROM events"]);
    assert!(
        joined(&asked.err).contains(&format!("2 bad rows left out, as ON BAD ROW of their streams says {row}")),
        "{}",
        asked.err
    );
    let tested = folder.run(&["test"]);
    let place = "a bad row of events: file tests/events.test.sql:2:7 (GIVEN events), row 2: it has no event time";
    assert!(tested.code == 1 && joined(&tested.out).contains(place), "{}{}", tested.out, tested.err);
    let ran = with_bad_rows("ON BAD ROW DEAD LETTER TO lake.bad").done(&["run"]);
    assert!(joined(&ran.err).contains("; all are in table lake.bad"), "{}", ran.err);
    let asked = with_bad_rows("ON BAD ROW DEAD LETTER TO lake.bad").done(&["query", "FROM events"]);
    assert!(joined(&asked.err).contains("; a run writes all to lake.bad"), "{}", asked.err);
}

#[test]
fn a_row_that_a_step_fails_on_is_told_of() {
    let folder = with_bad_rows("ON BAD ROW SKIP");
    folder.write("data/events.csv", "id,at\n1,2026-01-01 08:00:00\n7000000000,2026-01-01 08:00:01\n");
    folder.replace("pipelines/events.sql", "SELECT id FROM", "SELECT CAST(id AS INTEGER) AS id FROM");
    let told = joined(&folder.done(&["run"]).err);
    assert!(told.contains("a bad row of events: the row at 2026-01-01 08:00:01"), "{told}");
    assert!(!told.contains("_ord"), "{told}");
    assert!(told.contains("{\"id\":7000000000,") && told.contains("column \"id\": "), "{told}");
}

#[test]
fn a_test_says_how_many_more_rows_differ() {
    let folder = with_bad_rows("");
    folder.write(
        "tests/events.test.sql",
        "TEST 'ids';\nGIVEN events (id, at) SELECT i, TIMESTAMP '2026-01-01 00:00:00' + i * INTERVAL '1' SECOND\n\
         FROM generate_series(1, 3000) AS g(i);\nEXPECT NO ROWS lake.ids;\n",
    );
    let ran = folder.run(&["test"]);
    assert_eq!(ran.out.matches("unexpected row").count(), 10, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("and 2,990 more rows; `riverrun test --json` lists all"), "{}", ran.out);
    let all = folder.run(&["test", "--json"]).out;
    assert_eq!(all.matches("unexpected row").count(), 3_000);
}

#[test]
fn csv_tells_null_from_an_empty_text() {
    let folder = Folder::empty();
    folder.write("a.jsonl", "{\"id\":1,\"t\":\"\",\"at\":\"2026-01-01T00:00:00Z\"}\n{\"id\":2,\"t\":null,\"at\":\"2026-01-01T00:00:01Z\"}\n");
    folder.write(
        "pipelines/a.sql",
        "CREATE STREAM a (id BIGINT, t TEXT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'a.jsonl';\n",
    );
    let csv = folder.done(&["query", "SELECT id, t, id FROM a", "--csv"]).out;
    assert_eq!(csv, "id,t,id_1\n1,\"\",1\n2,,2\n");
    assert_eq!(folder.done(&["query", "SELECT t FROM a", "--csv"]).out, "t\n\"\"\n\n");
}

#[test]
fn jobs_says_of_a_job_that_has_read_everything_that_it_is_done_and_lists_the_archive() {
    let folder = Folder::demo();
    folder.done(&["run"]);
    let told = folder.done(&["jobs"]).out;
    assert!(
        joined(&told).contains("done: it has read all inputs to their end; `riverrun run --fresh` would run it again"),
        "{told}"
    );
    let folder = published();
    assert!(folder.done(&["jobs"]).err.contains("no job has run here yet"));
    let mut running = tests::Program::start(&folder.path(), &["run", "archive"]);
    let begun = tests::machine::now();
    while !folder.done(&["jobs"]).out.contains("archive: running, process ") {
        assert!(tests::machine::now() < begun + 60 * tests::machine::SECOND, "{}", running.told());
    }
    let json = folder.done(&["jobs", "--json"]).out;
    assert!(json.contains("\"job\":\"archive\"") && json.contains("\"state\":\"running\""), "{json}");
    running.interrupt();
    running.ended(60 * tests::machine::SECOND).expect("it ends");
    let told = folder.done(&["jobs"]).out;
    assert!(told.contains("archive: does not run;") && told.contains("plays to table raw.plays"), "{told}");
}

/// Rows of which one has no decision, and why: a rule that ONCE PER held back, and an experiment of few.
const SUPPRESSED: &str = "
CREATE STREAM s (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'rows.csv';
CREATE EXPERIMENT cut ON id ARMS (control 50, strict 50);
CREATE DECISION d ON s SUBJECT id TO actions AS
  RULE often WHEN id = 1 THEN 'x' ONCE PER INTERVAL '1' HOUR
  RULE few WHEN id = 2 AND arm(cut) <> 'none' THEN 'y';
";

#[test]
fn a_summary_says_why_rules_have_not_acted() {
    let folder = Folder::empty();
    let mut rows = "id,at\n".to_owned();
    (0..3000).for_each(|n| rows += &format!("{},2024-01-01 {:02}:{:02}:00\n", 10 + n, n / 60 % 24, n % 60));
    (0..500).for_each(|n| rows += &format!("1,2024-01-{:02} {:02}:00:00\n", 3 + n / 24 % 20, n % 24));
    (0..7).for_each(|_| rows += "1,2024-01-30 10:00:00\n");
    rows += "2,2024-01-30 11:00:00\n";
    folder.write("pipelines/a.sql", SUPPRESSED).write("rows.csv", &rows);
    let ran = folder.done(&["run"]).err;
    let line = |name: &str| {
        let line = ran.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("rule"), "rule matched acted suppressed published share", "{ran}");
    let often: Vec<i64> = line("often").split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(often.len() >= 4 && often[2] > 0 && often[0] == often[1] + often[2], "{ran}");
    assert!(line("few").ends_with("0.2 %"), "few of many are not none of them: {ran}");
    let arms = line("arms of cut:");
    let counts: Vec<i64> = arms.replace(',', "").split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(arms.contains("control") && counts.iter().sum::<i64>() == 3508, "{ran}");
    let again = folder.replace("pipelines/a.sql", "id = 1", "id = -1").replace("pipelines/a.sql", "id = 2", "id = -2");
    let none = again.done(&["run", "--fresh"]).err;
    assert!(none.contains("0 actions") && !none.contains(" % ") && !none.contains("0 %"), "{none}");
}
