//! What `publish` makes of rows: bad ones by the stream's policy, those of every format, and names that it takes.

use crate::folder::Folder;
use crate::publish::{Publishing, all_plays, on_topic, play, users};
use crate::wrong::plays;
use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use std::sync::Arc;

/// The project of plays, whose stream has a policy.
fn with_policy(policy: &str) -> Folder {
    let folder = plays();
    folder.replace("pipelines/plays.sql", "LIVE plays;", &format!("LIVE plays {policy};"));
    folder
}

#[test]
fn bad_rows_of_what_comes_follow_the_policy() {
    let text = format!("{}{{\"user_id\": \"many\"}}\n{}", all_plays(0..2), play(2));
    let run = |folder: &Folder| {
        let mut publishing = Publishing::start(folder, &["publish", "plays", "-"]);
        publishing.write(&text);
        publishing.end()
    };
    let folder = with_policy("");
    let ran = run(&folder);
    assert_eq!((ran.code, on_topic(&folder)), (1, users(0..2)), "{}", ran.err);
    for part in ["stdin line 3: field \"user_id\" is \"many\", expected BIGINT", "the first 2 good rows"] {
        assert!(ran.err.contains(part), "no {part:?} in\n{}", ran.err);
    }
    let folder = with_policy("ON BAD ROW SKIP");
    let ran = run(&folder);
    assert_eq!((ran.code, on_topic(&folder)), (0, users(0..3)), "{}", ran.err);
    assert!(ran.err.contains("1 row is left out as bad: stdin line 3: field"), "{}", ran.err);
}

#[test]
fn what_goes_to_dead_letters_is_the_same_from_any_format() {
    let bad = ["stdin line 3: ", "\"rows.csv\" line 3: ", "\"rows.jsonl\" line 2: "];
    let texts = [
        "user_id,track,at\n0,a,2026-01-01 08:00:00\nmany,a,2026-01-01 08:00:01\n1,a\n2,a,2026-01-01 08:00:02\n",
        "user_id,track,at\n0,a,2026-01-01 08:00:00\nmany,a,2026-01-01 08:00:01\n1,a\n2,a,2026-01-01 08:00:02\n",
        "{\"user_id\":0,\"at\":\"2026-01-01 08:00:00\"}\n{\"user_id\":\"many\"}\n{\"user_id\": 1\n{\"user_id\":2,\"at\":\"2026-01-01 08:00:02\"}\n",
    ];
    for (arguments, (text, bad)) in
        [&["-", "--format", "csv"][..], &["rows.csv"], &["rows.jsonl"]].into_iter().zip(texts.into_iter().zip(bad))
    {
        let folder = with_policy("ON BAD ROW DEAD LETTER TO lake.bad");
        folder.write("rows.csv", text).write("rows.jsonl", text);
        let arguments: Vec<&str> = ["publish", "plays"].iter().chain(arguments).copied().collect();
        let mut publishing = Publishing::start(&folder, &arguments);
        if arguments[2] == "-" {
            publishing.write(text);
        }
        let ran = publishing.end();
        assert_eq!(ran.code, 0, "{}", ran.err);
        let told = format!(
            "2 bad rows are on the topic as they stand: jobs that read it write them where dead letters go; the first: {bad}"
        );
        assert!(ran.err.contains(&told) && ran.err.contains("published 4 messages"), "{}", ran.err);
        let ran = folder.done(&["run", "--until-caught-up"]);
        assert!(ran.err.contains("lake.play_counts 2 rows") && ran.err.contains("lake.bad 2 rows"), "{}", ran.err);
        let warehouse = connector_iceberg::Warehouse::open(&folder.path().join("warehouse")).expect("it opens");
        let letters = tests::table_rows(&warehouse, "lake.bad").join("\n");
        assert!(letters.contains("\"user_id\" is \"many\", expected BIGINT"), "{letters}");
    }
}

#[test]
fn bad_rows_of_parquet_go_to_dead_letters_as_they_are_stored() {
    let folder = with_policy("ON BAD ROW DEAD LETTER TO lake.bad");
    let texts = |values: [Option<&str>; 3]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let at = ["2026-01-01 08:00:00", "2026-01-01 08:00:01", "2026-01-01 08:00:02"].map(Some);
    let columns = [
        ("user_id", texts([Some("0"), Some("many"), Some("2")])),
        ("track", texts([Some("a"), None, Some("b")])),
        ("at", texts(at)),
    ];
    folder.write_bytes("rows.parquet", &parquet(columns));
    let ran = folder.done(&["publish", "plays", "rows.parquet"]);
    let told = "1 bad row is on the topic as it stands: jobs that read it write it where dead letters go: \
                \"rows.parquet\" row 2: ";
    assert!(ran.err.contains(told) && ran.err.contains("published 3 messages"), "{}", ran.err);
    assert_eq!(on_topic(&folder), ["0", "\"many\"", "2"]);
    let ran = folder.done(&["run", "--until-caught-up"]);
    assert!(ran.err.contains("lake.play_counts 2 rows") && ran.err.contains("lake.bad 1 row"), "{}", ran.err);
    let warehouse = connector_iceberg::Warehouse::open(&folder.path().join("warehouse")).expect("it opens");
    let letters = tests::table_rows(&warehouse, "lake.bad").join("\n");
    assert!(letters.contains("\"user_id\" is \"many\", expected BIGINT"), "{letters}");
}

/// The rows of the table of dead letters after a run, whose other rows are as many as those of plays.
fn letters(folder: &Folder, good: &str, bad: &str) -> String {
    let ran = folder.done(&["run", "--until-caught-up"]);
    for part in [format!("lake.play_counts {good}"), format!("lake.bad {bad}")] {
        assert!(ran.err.contains(&part), "no {part:?} in\n{}", ran.err);
    }
    let warehouse = connector_iceberg::Warehouse::open(&folder.path().join("warehouse")).expect("it opens");
    tests::table_rows(&warehouse, "lake.bad").join("\n")
}

#[test]
fn a_bad_row_is_bad_for_those_who_read_the_topic_whatever_its_message_would_say() {
    let policy = "ON BAD ROW DEAD LETTER TO lake.bad";
    // A line of CSV that is an object of JSON by itself.
    let folder = with_policy(policy);
    let forged = r#"{"user_id":7,"track":"x","at":"2026-01-01"}"#;
    folder.write("rows.csv", &format!("user_id;track;at\n0;a;2026-01-01 08:00:00\n{forged}\n"));
    let ran = folder.done(&["publish", "plays", "rows.csv", "--producer", "p"]);
    assert!(ran.err.contains("1 bad row is on the topic") && !ran.err.contains("there already"), "{}", ran.err);
    assert!(letters(&folder, "1 row", "1 row").contains("expected an object"));
    // What a folder says of its rows, in CSV and in JSON.
    for (name, text) in [
        ("track=b/rows.csv", "user_id,track,at\n0,b,2026-01-01 08:00:00\n1,a,2026-01-01 08:00:01\n"),
        (
            "track=b/rows.jsonl",
            "{\"user_id\":0,\"at\":\"2026-01-01 08:00:00\"}\n{\"user_id\":1,\"track\":\"a\",\"at\":\"2026-01-01 08:00:01\"}\n",
        ),
    ] {
        let folder = with_policy(policy);
        folder.write(name, text);
        let ran = folder.done(&["publish", "plays", name, "--producer", "p"]);
        assert!(ran.err.contains("1 bad row is on the topic") && !ran.err.contains("there already"), "{}", ran.err);
        let ran = folder.done(&["tail", "plays", "--from-start", "--until-caught-up", "--json"]);
        assert!(ran.out.contains(r#""track":"b""#), "{}", ran.out);
        assert!(letters(&folder, "1 row", "1 row").contains("expected an object"));
    }
    // Bytes of Parquet that are no text.
    let folder = with_policy(policy);
    let texts = |values: [&str; 2]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let columns: [(&str, ArrayRef); 3] = [
        ("user_id", texts(["0", "1"])),
        ("track", Arc::new(BinaryArray::from(vec![&b"a"[..], &b"\xff\x01"[..]]))),
        ("at", texts(["2026-01-01 08:00:00", "2026-01-01 08:00:01"])),
    ];
    folder.write_bytes("rows.parquet", &parquet(columns));
    folder.done(&["publish", "plays", "rows.parquet"]);
    assert!(letters(&folder, "1 row", "1 row").contains("expected an object"));
}

fn parquet<const N: usize>(columns: [(&str, ArrayRef); N]) -> Vec<u8> {
    let rows = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).expect("it can be written");
    writer.write(&rows).expect("it can be written");
    writer.close().expect("it can be written");
    bytes
}

#[test]
fn a_row_that_is_no_message_is_bad() {
    let folder = with_policy("ON BAD ROW DEAD LETTER TO lake.bad");
    let great = "\u{1}".repeat(12 << 20);
    folder.write(
        "rows.csv",
        &format!("user_id,track,at\n0,a,2026-01-01 08:00:00\n1,{great},2026-01-01 08:00:01\n2,a,2026-01-01 08:00:02\n"),
    );
    let ran = folder.done(&["publish", "plays", "rows.csv"]);
    for part in ["published 3 messages", "\"rows.csv\" line 3: as a message it has ", "expected at most 67108864"] {
        assert!(ran.err.contains(part), "no {part:?} in\n{}", ran.err);
    }
    assert!(letters(&folder, "2 rows", "1 row").contains("expected an object"));
}

#[test]
fn columns_that_nothing_declares_are_published_under_names_of_any_kind() {
    let folder = plays();
    folder.write("rows.csv", "user_id,track,at,User_ID,a,a.b,c.d,.e,f..g,\n0,t,2026-01-01 08:00:00,9,1,2,3,4,5,6\n");
    folder.done(&["publish", "plays", "rows.csv"]);
    let ran = folder.done(&["tail", "plays", "--from-start", "--until-caught-up", "--json"]);
    let row: serde_json::Value = serde_json::from_str(&ran.out).expect("tail prints JSON");
    let expected = serde_json::json!({
        "user_id": 0, "track": "t", "at": "2026-01-01T08:00:00.000000Z", "User_ID": 9, "a": 1, "a.b": 2, "c": {"d": 3},
        ".e": 4, "f..g": 5, "": 6
    });
    assert_eq!(row["payload"], expected);
}

#[test]
fn years_of_any_size_are_told() {
    let folder = plays();
    folder.write("rows.csv", "user_id,track,at\n0,a,0044-03-15 (BC)\n1,a,294000-01-01\n");
    let ran = folder.done(&["publish", "plays", "rows.csv"]);
    assert!(ran.err.contains("from 0044-03-15 (BC) 00:00:00 to 294000-01-01 00:00:00"), "{}", ran.err);
}

#[test]
fn a_stream_without_a_topic_gets_one_as_its_message_says() {
    let columns = "user_id BIGINT, track TEXT, at TIMESTAMP, ";
    for (history, columns) in [
        ("HISTORY FILES 'old.jsonl'", columns),
        ("HISTORY FILES 'old.jsonl' ENCODING 'latin1'", columns),
        ("HISTORY raw.new", columns),
        ("HISTORY FILES 'old.jsonl'", ""),
        // Another stream has the topic that would be offered.
        ("HISTORY FILES 'old.jsonl' --taken\n", columns),
    ] {
        let folder = Folder::empty();
        let create = |columns: &str, history: &str| {
            format!("CREATE STREAM plays ({columns}WATERMARK FOR at AS at) {history};\n")
        };
        folder.write("old.jsonl", &all_plays(0..3)).write("plays.jsonl", &all_plays(3..6));
        let old = "CREATE STREAM old (user_id BIGINT, track TEXT, at TIMESTAMP, WATERMARK FOR at AS at) \
                   HISTORY FILES 'old.jsonl';\nINSERT INTO lake.old SELECT * FROM old;\n";
        folder.write("pipelines/old.sql", old).done(&["run"]);
        if history.contains("taken") {
            let other = "CREATE STREAM other (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE plays;\n";
            folder.write("pipelines/other.sql", other);
        }
        folder.write("pipelines/plays.sql", &create(columns, history));
        // Of files that show no type for the time nothing can be read as they are.
        if !columns.is_empty() {
            folder.run(&["check"]);
        }
        let ran = folder.run(&["publish", "plays", "plays.jsonl"]);
        assert_eq!(ran.code, 1, "{history}: {}", ran.err);
        if columns.is_empty() {
            assert!(ran.err.contains("and declare its columns"), "{}", ran.err);
            continue;
        }
        // What stands between backticks is what to write: the inputs of the stream, and the statement beside it.
        let written: Vec<&str> = ran.err.split('`').skip(1).step_by(2).collect();
        let (inputs, beside) = (written[0], written.get(1).copied().unwrap_or_default());
        assert_eq!(inputs.contains("LIVE plays_2"), history.contains("taken"), "{inputs}");
        folder.write("pipelines/plays.sql", &format!("{}{beside}\n", create(columns, inputs)));
        folder.done(&["check"]);
        folder.done(&["publish", "plays", "plays.jsonl"]);
        let count = || folder.done(&["query", "SELECT count(*) FROM plays", "--csv"]).out;
        assert_eq!(count().lines().last(), Some("3"), "{history}: {inputs}");
        if !beside.is_empty() {
            folder.done(&["run", "archive", "--until-caught-up"]);
            assert_eq!(count().lines().last(), Some("3"), "{history}: {inputs}");
        }
    }
}

#[test]
fn a_file_is_taken_from_the_current_folder_and_not_from_the_project() {
    let folder = plays();
    let above = folder.path();
    let (above, name) = (above.parent().expect("it has one"), above.file_name().expect("it has one"));
    let name = name.to_string_lossy();
    let run = |file: &str| {
        let mut command = folder.command(&["-C", &name, "publish", "plays", file]);
        folder.ran(&command.current_dir(above).output().expect("the command starts"))
    };
    let ran = run("plays.jsonl");
    let told = "is taken from the current folder, not from the project: write \"";
    assert!(ran.code == 1 && ran.err.contains(told) && ran.err.contains("/plays.jsonl\""), "{}", ran.err);
    let ran = run("project/plays.jsonl");
    assert_eq!(ran.code, 0, "{}", ran.err);
}
