//! Rows that fail, from the command line: what ends a run, and what it counts and writes when it goes on.

use crate::folder::{Folder, Ran};
use connector_iceberg::Warehouse;
use tests::table_rows;

/// How many rows the file has; those from 22 on do not fit once they are multiplied.
const ROWS: usize = 364;

/// A project whose view fails on most rows of its file.
fn project(policy: &str) -> Folder {
    let folder = Folder::empty();
    let rows: String = (0..ROWS).map(|id| format!("{id},2026-01-01 08:{:02}:{:02}\n", id / 60, id % 60)).collect();
    folder.write("data/events.csv", &format!("id,at\n{rows}"));
    let stream = "CREATE STREAM events (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at)\n  HISTORY FILES 'data/*.csv'";
    let insert = "INSERT INTO lake.large SELECT id, CAST(id * 100000000 AS INTEGER) AS large FROM events;";
    folder.write("pipelines/events.sql", &format!("{stream} {policy};\n\n{insert}\n"));
    folder
}

fn written(folder: &Folder, table: &str) -> Vec<String> {
    let warehouse = Warehouse::open(&folder.path().join("warehouse")).expect("the warehouse opens");
    table_rows(&warehouse, table)
}

fn assert_says(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, code, "{}", ran.err);
    for part in parts {
        assert!(ran.err.contains(part), "no {part:?} in\n{}", ran.err);
    }
}

#[test]
fn a_row_that_fails_ends_the_run_with_its_place_and_the_reason() {
    for policy in ["", "ON BAD ROW FAIL"] {
        let folder = project(policy);
        let ran = folder.run(&["run"]);
        let parts = [
            "error: step lake.large: stream \"events\": the row at 2026-01-01 08:00:22",
            "{\"id\":22,",
            "column \"large\": ",
            "ON BAD ROW SKIP would count it and go on",
        ];
        assert_says(&ran, 1, &parts);
        assert_says(
            &folder.run(&["query", "SELECT CAST(id * 100000000 AS INTEGER) AS large FROM events"]),
            1,
            &parts[1..],
        );
    }
}

#[test]
fn rows_that_are_skipped_are_counted() {
    let folder = project("ON BAD ROW SKIP");
    assert_says(&folder.run(&["run", "--workers", "2"]), 0, &["in steps: 342 bad\n", "lake.large 22 rows"]);
    assert_eq!(written(&folder, "lake.large").len(), 22);
}

#[test]
fn dead_letters_are_written_with_place_and_reason() {
    let folder = project("ON BAD ROW DEAD LETTER TO lake.bad");
    let ran = folder.run(&["run", "--workers", "3"]);
    assert_says(&ran, 0, &["lake.large 22 rows", "lake.bad 342 rows"]);
    assert_eq!(written(&folder, "lake.large").len(), 22);
    let letters = written(&folder, "lake.bad");
    assert_eq!(letters.len(), ROWS - 22);
    let first = letters.iter().find(|letter| letter.contains("{\"id\":22,")).expect("row 22 fails");
    assert!(first.contains("|events|lake.large|_ord ") && first.contains("|column \"large\": "), "{first}");
    assert_says(&folder.run(&["run"]), 0, &["all inputs were read to their end at checkpoint", "lake.large 0 rows"]);
    assert_says(&folder.run(&["run", "--fresh"]), 0, &["lake.bad 342 rows"]);
}

#[test]
fn what_is_told_of_a_bad_row_holds_the_columns_of_the_sql_alone() {
    let folder = project("ON BAD ROW DEAD LETTER TO lake.bad");
    let stream = std::fs::read_to_string(folder.path().join("pipelines/events.sql")).expect("the SQL is there");
    let (stream, _) = stream.split_once("INSERT").expect("the SQL has an INSERT");
    let insert = "INSERT INTO lake.large SELECT id, CAST(count(*) OVER w * 100000000 AS INTEGER) AS large,\n  \
                  min(id) OVER w AS low FROM events WINDOW w AS (ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING);\n";
    folder.write("pipelines/events.sql", &format!("{stream}{insert}"));
    assert_says(&folder.run(&["run"]), 0, &["lake.large 21 rows", "lake.bad 343 rows"]);
    let letters = written(&folder, "lake.bad");
    let first = letters.iter().find(|letter| letter.contains("{\"id\":21,")).expect("row 21 fails");
    assert!(!first.contains("__"), "{first}");
    folder.write("pipelines/events.sql", &format!("{}{insert}", stream.replace("DEAD LETTER TO lake.bad", "FAIL")));
    let ran = folder.run(&["run", "--fresh"]);
    assert_says(&ran, 1, &["{\"id\":21,", "column \"large\": "]);
    assert!(!ran.err.contains("__"), "{}", ran.err);
}

#[test]
fn dead_letters_and_late_rows_can_go_to_topics() {
    let folder = Folder::empty();
    let stream = "CREATE STREAM plays (user_id BIGINT, at TIMESTAMP,\n  \
                  WATERMARK FOR at AS at - INTERVAL '2' SECOND QUIET NEVER LATE TO TOPIC late_plays\n) LIVE plays \
                  ON BAD ROW DEAD LETTER TO TOPIC bad_plays;\n\n";
    let insert = "INSERT INTO lake.plays SELECT user_id, CAST(user_id * 1000000000 AS INTEGER) AS n, at FROM plays;\n";
    folder.write("pipelines/plays.sql", &format!("{stream}{insert}"));
    let events = "{\"user_id\": 1, \"at\": \"2026-01-01T08:00:00Z\"}\n{\"user_id\": 3, \"at\": \"2026-01-01T08:00:05Z\"}\n\
                  {\"user_id\": 2, \"at\": \"2026-01-01T08:00:01Z\"}\n{\"user_id\": 2, \"at\": \"2026-01-01T08:00:09Z\"}\n";
    folder.write("plays.jsonl", events);
    folder.done(&["publish", "plays", "plays.jsonl"]);
    let ran = folder.done(&["run", "--until-caught-up"]);
    assert!(ran.err.contains("lake.plays 2 rows"), "{}", ran.err);
    let tail = |topic: &str| folder.done(&["tail", topic, "--from-start", "--until-caught-up", "--json"]).out;
    let (bad, late) = (tail("bad_plays"), tail("late_plays"));
    assert_eq!((bad.lines().count(), late.lines().count()), (1, 1), "{bad}{late}");
    assert!(bad.contains("partition 0, message 0:1:0") && bad.contains("\\\"user_id\\\":3"), "{bad}");
    assert!(late.contains("\"user_id\":2") && late.contains("\"_time\":\"2026-01-01T08:00:03.000000Z\""), "{late}");
}

/// A project over a file of which three rows cannot be read: a value of another type, a value too many, no event time.
fn unreadable(policy: &str) -> Folder {
    let folder = Folder::empty();
    let rows = "1,2026-01-01 08:00:00\nmany,2026-01-01 08:00:01\n2,2026-01-01 08:00:02,3\n3,\n4,2026-01-01 08:00:04\n";
    folder.write("data/events.csv", &format!("id,at\n{rows}"));
    let stream = "CREATE STREAM events (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at)\n  HISTORY FILES 'data/*.csv'";
    folder
        .write("pipelines/events.sql", &format!("{stream} {policy};\n\nINSERT INTO lake.ids SELECT id FROM events;\n"));
    folder
}

#[test]
fn rows_of_files_follow_the_policy() {
    let ran = unreadable("").run(&["run"]);
    assert_says(&ran, 1, &["stream \"events\": file ", "row 2: line 3: column \"id\" is \"many\"", "ON BAD ROW SKIP"]);
    let folder = unreadable("ON BAD ROW SKIP");
    assert_says(&folder.run(&["run"]), 0, &["rows in: 5 = 2 used + 3 bad\n", "lake.ids 2 rows"]);
    let folder = unreadable("ON BAD ROW DEAD LETTER TO lake.bad");
    assert_says(&folder.run(&["run"]), 0, &["lake.ids 2 rows", "lake.bad 3 rows"]);
    let letters = written(&folder, "lake.bad").join("\n");
    for part in
        ["row 2|line 3: column \"id\" is \"many\"", "line 4: it has 3 values, expected 2", "row 4|it has no event time"]
    {
        assert!(letters.contains(part), "no {part:?} in\n{letters}");
    }
}

#[test]
fn publish_follows_the_policy_of_the_stream() {
    let project = |policy: &str| {
        let folder = Folder::empty();
        let stream = "CREATE STREAM events (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at)\n  LIVE events";
        folder.write("pipelines/events.sql", &format!("{stream} {policy};\n"));
        folder
            .write("events.csv", "id,at\n1,2026-01-01 08:00:00\nmany,2026-01-01 08:00:01\n3,\n4,2026-01-01 08:00:04\n");
        folder
    };
    let refused = project("").run(&["publish", "events", "events.csv"]);
    assert_says(&refused, 1, &["\"events.csv\" line 3: column \"id\" is \"many\", expected BIGINT"]);
    let told = ["2 rows are left out as bad; the first: \"events.csv\" line 3", "published 2 messages"];
    assert_says(&project("ON BAD ROW SKIP").run(&["publish", "events", "events.csv"]), 0, &told);
    let told =
        ["2 bad rows are on the topic as they stand", "the first: \"events.csv\" line 3", "published 4 messages"];
    assert_says(&project("ON BAD ROW DEAD LETTER TO lake.bad").run(&["publish", "events", "events.csv"]), 0, &told);
}

#[test]
fn jobs_that_read_one_stream_keep_its_bad_rows_apart() {
    let folder = unreadable("ON BAD ROW DEAD LETTER TO lake.bad");
    let sql = "INSERT INTO lake.ids SELECT id FROM events;\nINSERT INTO lake.twice SELECT id * 2 AS id FROM events;\n";
    let stream = "CREATE STREAM events (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at)\n  HISTORY FILES \
                  'data/*.csv' ON BAD ROW DEAD LETTER TO lake.bad;\n";
    let settings =
        "[project]\nname = \"jobs\"\n[job.one]\noutputs = [\"lake.ids\"]\n[job.two]\noutputs = [\"lake.twice\"]\n";
    folder.write("pipelines/events.sql", &format!("{stream}{sql}")).write("riverrun.toml", settings);
    assert_says(&folder.run(&["run", "one"]), 0, &["lake.ids 2 rows", "lake.bad__one 3 rows"]);
    assert_says(&folder.run(&["run", "two"]), 0, &["lake.twice 2 rows", "lake.bad__two 3 rows"]);
    assert_eq!(written(&folder, "lake.bad__one").len(), written(&folder, "lake.bad__two").len());
}

#[test]
fn a_column_of_a_table_that_has_the_name_of_ours_makes_no_row_bad() {
    let folder = Folder::empty();
    folder.write("data/jobs.csv", "id,at,error\n1,2026-01-01 00:00:00,\n2,2026-01-01 00:00:01,it timed out once\n");
    let columns = "id BIGINT, at TIMESTAMP, error TEXT";
    let insert = "INSERT INTO lake.jobs SELECT id, at, error AS \"_error\", error AS \"_raw\" FROM jobs;";
    let stream = format!("CREATE STREAM jobs ({columns}, WATERMARK FOR at AS at)");
    folder.write("pipelines/jobs.sql", &format!("{stream} HISTORY FILES 'data/jobs.csv';\n{insert}\n"));
    assert_says(&folder.run(&["run"]), 0, &["lake.jobs 2 rows"]);
    folder.write(
        "pipelines/jobs.sql",
        &format!("{} HISTORY lake.jobs ON BAD ROW SKIP;\n", stream.replace("error TEXT", "error TEXT FROM _error")),
    );
    let ran = folder.run(&["query", "--csv", "SELECT id, error FROM jobs"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "id,error\n1,\n2,it timed out once\n"), "{}", ran.err);
}

/// A project with a computed column, and a test that gives rows of which it fails on the second.
fn computing(policy: &str, expects: &str) -> Folder {
    let folder = Folder::empty();
    let stream = "CREATE STREAM rides (id TEXT, started TEXT, at TIMESTAMP AS CAST(started AS TIMESTAMP), WATERMARK FOR at AS at)\n  LIVE rides";
    folder.write(
        "pipelines/rides.sql",
        &format!("{stream} {policy};\nINSERT INTO lake.rides SELECT id, at FROM rides;\n"),
    );
    let rows = "('a', '2026-01-01 00:00:00'), ('b', 'soon'), ('c', '2026-01-01 00:00:01'), ('d', NULL)";
    let test = format!("TEST 'rides';\n  GIVEN rides (id, started) VALUES {rows};\n{expects}\n");
    folder.write("tests/rides.test.sql", &test);
    folder
}

#[test]
fn rows_that_a_test_gives_follow_the_policy_where_a_column_cannot_be_computed() {
    let good = "EXPECT EXACTLY lake.rides (id) VALUES ('a'), ('c');";
    let letters = "EXPECT EXACTLY lake.bad (reason, row) VALUES\n  \
        ('column \"at\": the text ''soon'' cannot be read as TIMESTAMP', '{\"id\":\"b\",\"started\":\"soon\",\"at\":null}'),\n  \
        ('it has no event time', '{\"id\":\"d\",\"started\":null,\"at\":null}');";
    let dead = computing("ON BAD ROW DEAD LETTER TO lake.bad", &format!("{good}\n{letters}"));
    let ran = dead.run(&["test"]);
    assert!(ran.code == 0, "{}{}", ran.out, ran.err);
    let ran = computing("ON BAD ROW SKIP", good).run(&["test"]);
    assert!(ran.code == 0, "{}{}", ran.out, ran.err);
    let ran = computing("", good).run(&["test"]);
    let place = "stream \"rides\": file tests/rides.test.sql:2:9 (GIVEN rides), row 2: column \"at\": the text 'soon'";
    assert_says(&ran, 1, &[place, "ON BAD ROW SKIP would count it and go on"]);
}

#[test]
fn a_row_without_a_time_is_told_with_its_place_and_what_it_holds() {
    let folder = Folder::empty();
    let create = |policy: &str| {
        format!(
            "CREATE STREAM s (id BIGINT, name TEXT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'rows.csv' {policy};\n\
             INSERT INTO lake.s SELECT id FROM s;\n"
        )
    };
    folder.write("rows.csv", "id,name,at\n1,a,2024-01-01\n,b,\n3,c,2024-01-02\n");
    let told = "file rows.csv, row 2: it has no event time: at is NULL; its name is b";
    folder.write("pipelines/a.sql", &create(""));
    let ran = folder.run(&["run"]);
    assert!(ran.code == 1 && ran.err.contains(told), "{}", ran.err);
    folder.write("pipelines/a.sql", &create("ON BAD ROW SKIP"));
    let ran = folder.done(&["run", "--fresh"]);
    assert!(ran.err.replace("\n  ", " ").contains(told), "{}", ran.err);
    folder.write("rows.csv", "id,name,at\n,,\n");
    folder.write("pipelines/a.sql", &create(""));
    let ran = folder.run(&["run", "--fresh"]);
    assert!(ran.err.contains("row 1: it has no event time: at is NULL; it has no other value"), "{}", ran.err);
}
