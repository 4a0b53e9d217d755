//! Every command does what its help says, over the project that `init` writes and one with a topic.

use crate::folder::{Folder, template_files};
use crate::wrong::{EVENTS, plays, published};
use serde_json::Value;

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn init_writes_a_project_that_runs_and_whose_tests_pass() {
    let folder = Folder::empty();
    let made = folder.done(&["init", "demo"]);
    assert!(made.err.contains("riverrun run") && made.err.contains("riverrun test"), "{}", made.err);
    let files: Vec<String> = folder.files().into_iter().filter(|name| !name.ends_with('/')).collect();
    let expected: Vec<String> = template_files().into_iter().map(|name| format!("demo/{name}")).collect();
    assert_eq!(files, expected);
    let name = |folder: &Folder, path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
    assert!(name(&folder, "demo/riverrun.toml").contains("name = \"demo\""));
    folder.done(&["init", "spam of 2026"]);
    assert!(name(&folder, "spam of 2026/riverrun.toml").contains("name = \"spam_of_2026\""));
    folder.done(&["check", "-C", "spam of 2026"]);
    let ran = folder.done(&["run", "-C", "demo"]);
    assert!(ran.out.is_empty() && ran.err.lines().count() <= 20, "{}", ran.err);
    for part in
        ["demo done in", "1,682 rows", "decision dm_spam", "model_high", "riverrun tail actions", "riverrun why "]
    {
        assert!(ran.err.contains(part), "no {part:?} in\n{}", ran.err);
    }
    let tested = folder.done(&["test", "-C", "demo"]);
    assert_eq!(tested.out.lines().filter(|line| line.starts_with("ok ")).count(), 2, "{}{}", tested.out, tested.err);
}

#[test]
fn the_commands_that_the_summary_names_work() {
    let folder = Folder::demo();
    let settings = std::fs::read_to_string(folder.path().join("riverrun.toml")).unwrap();
    let other = "[env.other]\nhistory = { warehouse = \"other\" }\nlive = { topics = \"other_topics\" }\n";
    folder.write("riverrun.toml", &format!("{settings}\n{other}"));
    for environment in ["other", "dev"] {
        let summary = folder.done(&["run", "--env", environment]).err;
        let named = summary.lines().filter_map(|line| line.trim().strip_prefix("riverrun "));
        let mut count = 0;
        for command in named {
            let words: Vec<&str> = command.split(' ').collect();
            assert!(!folder.done(&words).out.is_empty(), "riverrun {command} shows nothing");
            count += 1;
        }
        assert_eq!(count, 2, "{summary}");
    }
}

#[test]
fn the_summary_names_a_decision_that_is_in_the_log_though_no_rule_acted() {
    let folder = Folder::demo();
    folder.replace("pipelines/spam.sql", "msgs_1m > 20 ", "msgs_1m > 2000 ");
    folder.replace("pipelines/spam.sql", "score > 0.9 ", "score > 9 ");
    let summary = folder.done(&["run"]).err;
    let command = summary.lines().find_map(|line| line.trim().strip_prefix("riverrun why ")).expect("it is named");
    assert!(folder.done(&["why", command]).out.contains("decision dm_spam"), "{command}");
    // Without a row there is nothing to ask for.
    folder.write("data/messages.csv", "message_id,sender_id,recipient_id,text_len,has_link,sent_at\n");
    let summary = folder.done(&["run", "--fresh"]).err;
    assert!(!summary.contains("riverrun why"), "{summary}");
}

#[test]
fn tail_says_that_it_waits() {
    let folder = published();
    let mut program = tests::Program::start(&folder.path(), &["tail", "plays"]);
    program.ready();
    program.interrupt();
    let ended = program.ended(20_000_000).expect("it ends");
    assert!(ended.told.contains("waiting for messages on topic plays; Ctrl-C ends it"), "{}", ended.told);
    let silent = folder.done(&["tail", "plays", "--from-start", "--until-caught-up"]);
    assert!(silent.err.is_empty(), "{}", silent.err);
}

#[test]
fn an_answer_without_rows_has_its_columns() {
    let folder = Folder::demo();
    let sql = "SELECT message_id, sender_id FROM messages WHERE sender_id < 0";
    assert_eq!(folder.done(&["query", sql, "--csv"]).out, "message_id,sender_id\n");
    assert_eq!(folder.done(&["query", sql]).out, "message_id  sender_id\n----------  ---------\n");
    assert_eq!(folder.done(&["query", sql, "--json"]).out, "");
}

#[test]
fn a_second_run_has_nothing_to_do_and_fresh_starts_over() {
    let folder = Folder::demo();
    let rows = |folder: &Folder| {
        json_lines(&folder.done(&["tail", "actions", "--from-start", "--until-caught-up", "--json"]).out)
    };
    folder.done(&["run"]);
    let first = rows(&folder);
    let again = folder.done(&["run"]);
    assert!(again.err.contains("all inputs were read to their end at checkpoint"), "{}", again.err);
    assert!(again.err.contains("`--fresh` runs the job"), "{}", again.err);
    assert_eq!(rows(&folder), first);
    folder.done(&["run", "--fresh"]);
    let both = rows(&folder);
    assert_eq!(both.len(), first.len() * 2);
    let of_epoch = |epoch: u64| -> Vec<Value> {
        both.iter().filter(|row| row["epoch"] == epoch).map(|row| row["payload"].clone()).collect()
    };
    assert_eq!(of_epoch(1), of_epoch(2), "the same actions under a new epoch");
    let count = folder.done(&["query", "SELECT message_id FROM sender_features", "--json"]).out.lines().count();
    assert_eq!(count, 1682);
}

#[test]
fn a_query_gives_tables_json_csv_and_parquet() {
    let folder = Folder::demo();
    let sql = "SELECT message_id, sender_id, sent_at FROM messages WHERE sender_id = 30";
    let table = folder.done(&["query", sql, "-n", "2"]);
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines[0], "message_id  sender_id  sent_at");
    assert_eq!(lines[2], "m0                 30  2026-01-01 08:00:00.559");
    assert_eq!(lines.len(), 4, "a header, a rule, and the two rows of the limit");
    assert_eq!(table.err, "2 rows\n");
    let json = json_lines(&folder.done(&["query", sql, "--json"]).out);
    assert!(json.len() > 20 && json.iter().all(|row| row["sender_id"] == 30), "{json:?}");
    let csv = folder.done(&["query", sql, "--csv"]).out;
    assert_eq!(csv.lines().next(), Some("message_id,sender_id,sent_at"));
    assert_eq!(csv.lines().count(), json.len() + 1);
    folder.done(&["query", sql, "--out", "thirty.parquet"]);
    folder.replace("pipelines/spam.sql", "data/messages.csv", "thirty.parquet");
    folder.replace("pipelines/spam.sql", "  recipient_id BIGINT,\n  text_len     INT,\n  has_link     BOOLEAN,\n", "");
    let read =
        json_lines(&folder.done(&["query", "SELECT message_id, sender_id, sent_at FROM messages", "--json"]).out);
    assert_eq!(read, json);
}

#[test]
fn a_query_is_bounded_by_from_to_and_limit() {
    let folder = Folder::demo();
    let sql = "SELECT sent_at, count(*) OVER (PARTITION BY sender_id ORDER BY sent_at RANGE INTERVAL '1' HOUR PRECEDING) AS n FROM messages";
    let all = json_lines(&folder.done(&["query", sql, "--json"]).out);
    let some = json_lines(
        &folder.done(&["query", sql, "--json", "--from", "2026-01-01T09:00", "--to", "2026-01-01T09:30:00Z"]).out,
    );
    let text = |row: &Value| row["sent_at"].as_str().unwrap().to_owned();
    let expected: Vec<_> = all
        .iter()
        .filter(|row| *text(row) > *"2026-01-01T09:00:00" && *text(row) <= *"2026-01-01T09:30:00")
        .cloned()
        .collect();
    assert!(!expected.is_empty() && expected.len() < all.len());
    assert_eq!(some, expected, "what lies before is still counted, and not shown");
    assert_eq!(json_lines(&folder.done(&["query", sql, "--json", "--limit", "7"]).out), all[..7]);
    let limited = format!("{sql} LIMIT 7");
    assert_eq!(json_lines(&folder.done(&["query", &limited, "--json"]).out), all[..7]);
    assert_eq!(json_lines(&folder.done(&["query", &limited, "--json", "--limit", "5"]).out), all[..5]);
    assert_eq!(json_lines(&folder.done(&["query", &limited, "--json", "--limit", "9"]).out), all[..7]);
}

#[test]
fn a_query_groups_and_sorts_streams_views_and_tables() {
    let folder = Folder::demo();
    folder.done(&["run"]);
    let rows = |sql: &str| json_lines(&folder.done(&["query", sql, "--json"]).out);
    let all = rows("SELECT sender_id, text_len FROM messages");
    let counted = rows("SELECT sender_id, count(*) AS n FROM messages GROUP BY sender_id ORDER BY n DESC, 1 LIMIT 3");
    let count = |sender: &Value| all.iter().filter(|row| row["sender_id"] == *sender).count();
    assert_eq!(counted.len(), 3);
    assert!(counted.iter().all(|row| row["n"] == count(&row["sender_id"])), "{counted:?}");
    assert!(counted.windows(2).all(|pair| pair[0]["n"].as_i64() >= pair[1]["n"].as_i64()), "{counted:?}");
    // The log of the decision and the table of features are there now.
    let log = rows("SELECT count(*) AS n, count(action) AS acted FROM dm_spam__log");
    assert_eq!(log[0]["n"], 1682, "{log:?}");
    let acted =
        rows("SELECT action, count(*) AS n FROM dm_spam__log WHERE action IS NOT NULL GROUP BY ALL ORDER BY ALL");
    let sum: i64 = acted.iter().filter_map(|row| row["n"].as_i64()).sum();
    assert_eq!(log[0]["acted"], sum, "{acted:?}");
    let joined = rows("SELECT count(*) AS n FROM messages m JOIN dm_spam__log l ON l.message_id = m.message_id");
    assert_eq!(joined[0]["n"], 1682);
    let refused = folder.run(&["query", "SELECT count(*) FROM dm_spam__log", "--from", "2026-01-01"]);
    assert!(refused.code == 1 && refused.err.contains("use WHERE"), "{}", refused.err);
}

#[test]
fn check_and_test_speak_json() {
    let folder = Folder::demo();
    assert_eq!(json_lines(&folder.done(&["check", "--json"]).out).len(), 1);
    let tests = json_lines(&folder.done(&["test", "--json"]).out);
    assert_eq!(tests.len(), 2);
    assert!(tests.iter().all(|test| test["failures"] == Value::Array(vec![])), "{tests:?}");
    assert_eq!(json_lines(&folder.done(&["test", "--json", "bursts"]).out).len(), 1);
    let ran = folder.run(&["test", "brusts"]);
    assert!(ran.code == 1 && ran.err.contains("no test has \"brusts\" in its name; the tests are: "), "{}", ran.err);
    let summary = json_lines(&folder.done(&["run", "--json"]).out);
    assert_eq!(summary[0]["streams"][0]["history_rows"], 1682);
    assert!(summary[0]["decisions"][0]["rules"].as_array().is_some_and(|rules| rules.len() == 3));
}

#[test]
fn a_project_without_outputs_is_checked() {
    let stream = |id| {
        format!(
            "CREATE STREAM m (id {id}, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND) \
             HISTORY raw.m LIVE m ON BAD ROW DEAD LETTER TO raw.bad;\nARCHIVE m;\n"
        )
    };
    let folder = Folder::demo();
    for more in ["", "CREATE VIEW v AS SELECT id FROM m;\n"] {
        folder.write("pipelines/spam.sql", &format!("{}{more}", stream("BIGINT")));
        let told = folder.done(&["check"]).err;
        assert!(told.contains("1 stream and 1 output, all planned"), "dead letters alone: {told}");
        let told = folder.run(&["run", "--until-caught-up"]);
        assert!(told.code == 1 && told.err.contains("no statement writes anything"), "{}", told.err);
    }
    folder.write("pipelines/spam.sql", &(stream("BIGINT") + "ARCHIVE m;\n"));
    let told = folder.run(&["check"]);
    assert!(told.code == 1 && told.err.contains("two ARCHIVE write the table raw.m"), "{}", told.err);
}

#[test]
fn archive_finds_its_stream_however_its_name_is_written() {
    for (stream, archived) in [("messages", "Messages"), ("\"my stream\"", "\"My stream\""), ("\"table\"", "\"table\"")]
    {
        let folder = Folder::demo();
        let sql = format!(
            "CREATE STREAM {stream} (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND) \
             HISTORY raw.m LIVE m;\nARCHIVE {archived};\n"
        );
        folder.write("pipelines/spam.sql", &sql);
        folder.write("one.jsonl", "{\"id\": 1, \"at\": \"2026-01-01T00:00:00Z\"}\n");
        folder.done(&["publish", stream.trim_matches('"'), "one.jsonl"]);
        let told = folder.done(&["run", "archive", "--until-caught-up"]);
        assert!(told.err.contains("committed 1 row to raw.m"), "{}{}", told.out, told.err);
    }
}

#[test]
fn check_refuses_an_archive_that_its_table_cannot_hold() {
    let folder = Folder::demo();
    let sql = "CREATE STREAM m (id SMALLINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND) \
               HISTORY raw.m LIVE m;\nARCHIVE m;\n";
    folder.write("pipelines/spam.sql", sql);
    let told = folder.run(&["check"]).err;
    assert!(told.contains("pipelines/spam.sql:1:") && told.contains("which tables cannot hold"), "{told}");
}

#[test]
fn explain_shows_steps_and_what_bounds_their_state() {
    let folder = Folder::demo();
    for name in ["scored", "dm_spam", "lake.sender_features", "sender_features"] {
        let plan = folder.done(&["explain", name]).out;
        assert!(plan.contains("rows of the last 1 h") && plan.contains("messages"), "{name}: {plan}");
    }
    let all = folder.done(&["explain"]).out;
    assert!(all.contains("lake.sender_features") && all.contains("dm_spam__log"), "{all}");
    let json: serde_json::Value = serde_json::from_str(&folder.done(&["explain", "--json"]).out).expect("it is JSON");
    let nodes = json["nodes"].as_array().expect("there are nodes");
    assert!(nodes.iter().any(|node| node["kind"] == "windows" && node["stage"].as_u64() > Some(0)), "{json}");
    let outputs = json["outputs"].as_array().expect("there are outputs");
    let features = outputs.iter().find(|output| output["name"] == "lake.sender_features").expect("it is an output");
    let column = |name: &str| {
        let columns = features["columns"].as_array().expect("it has columns");
        columns.iter().find(|column| column["name"] == name).expect("it has the column")["from"].clone()
    };
    assert_eq!(column("msgs_1h"), serde_json::json!([{ "stream": "messages", "column": "sender_id" }]));
    let dot = folder.done(&["explain", "dm_spam", "--dot"]).out;
    assert!(dot.starts_with("digraph plan {") && dot.contains("style = dashed") && dot.ends_with("}\n"), "{dot}");
    let sql = folder.done(&["explain", "scored", "--sql"]).out;
    assert!(sql.contains("CREATE VIEW \"scored\" AS") && sql.contains("predict(\"spam\", \"msgs_1m\" => "), "{sql}");
    let sql = folder.done(&["explain", "--sql"]).out;
    for statement in [
        "CREATE MODEL \"spam\" FROM 'models/",
        "CREATE DECISION \"dm_spam\" ON \"scored\" SUBJECT \"sender_id\" TO \"",
        "INSERT INTO \"lake\".\"sender_features\"\nSELECT ",
        "THEN 'block'",
    ] {
        assert!(sql.contains(statement), "{statement} is not in {sql}");
    }
    assert!(!folder.files().iter().any(|name| name.starts_with("warehouse")), "explaining writes nothing");
}

#[test]
fn published_events_come_out_of_tail_the_archive_and_the_job() {
    let folder = plays();
    let published = folder.done(&["publish", "plays", "plays.jsonl", "--partitions", "2"]);
    assert!(published.err.contains("published 3 messages"), "{}", published.err);
    assert!(!published.err.contains("warning"), "the stream is QUIET NEVER: {}", published.err);
    let tailed = json_lines(&folder.done(&["tail", "plays", "--from-start", "--until-caught-up", "--json"]).out);
    let mut tracks: Vec<&str> = tailed.iter().filter_map(|row| row["payload"]["track"].as_str()).collect();
    tracks.sort_unstable();
    assert_eq!(tracks, ["a", "b", "c"]);
    assert_eq!(folder.done(&["tail", "plays", "--from-start", "-n", "1"]).out.lines().count(), 1);
    let archived = json_lines(&folder.done(&["run", "archive", "--until-caught-up", "--json"]).out);
    assert_eq!(archived[0]["archived"][0]["rows"], 3);
    let nothing = json_lines(&folder.done(&["run", "archive", "--until-caught-up", "--json"]).out);
    assert_eq!((&nothing[0]["archived"][0]["rows"], &nothing[0]["archived"][0]["total"]), (&0.into(), &3.into()));
    folder.write("more.jsonl", "{\"user_id\": 1, \"track\": \"d\", \"at\": \"2026-01-01T08:45:00Z\"}\n");
    folder.done(&["publish", "plays", "more.jsonl"]);
    let summary = json_lines(&folder.done(&["run", "--until-caught-up", "--json"]).out);
    assert_eq!(
        (&summary[0]["streams"][0]["history_rows"], &summary[0]["streams"][0]["live_rows"]),
        (&3.into(), &1.into())
    );
}

#[test]
fn csv_and_parquet_are_published_like_json_lines() {
    let (lines, other) = (published(), plays());
    let rows = |folder: &Folder| -> Vec<Value> {
        json_lines(&folder.done(&["query", "SELECT user_id, track, at FROM plays", "--json"]).out)
    };
    let expected = rows(&lines);
    assert_eq!(expected.len(), EVENTS.lines().count());
    lines.done(&["query", "SELECT * FROM plays", "--out", "plays.parquet"]);
    let bytes = std::fs::read(lines.path().join("plays.parquet")).unwrap();
    other.write_bytes("plays.parquet", &bytes);
    other.done(&["publish", "plays", "plays.parquet"]);
    assert_eq!(rows(&other), expected);
    let csv = plays();
    csv.write("plays.csv", &lines.done(&["query", "SELECT * FROM plays", "--csv"]).out);
    csv.done(&["publish", "plays", "plays.csv"]);
    assert_eq!(rows(&csv), expected);
}

#[test]
fn old_events_on_a_stream_that_runs_on_are_warned_of() {
    let folder = plays();
    folder.replace("pipelines/plays.sql", " QUIET NEVER", "");
    let published = folder.done(&["publish", "plays", "plays.jsonl"]);
    assert!(published.err.contains("warning") && published.err.contains("QUIET NEVER"), "{}", published.err);
}

#[test]
fn why_shows_a_decision_by_the_first_characters_of_its_id() {
    let folder = Folder::demo();
    folder.done(&["run"]);
    let action = json_lines(&folder.done(&["tail", "actions", "--from-start", "-n", "1", "--json"]).out);
    let id = action[0]["payload"]["decision_id"].as_str().unwrap();
    let shown = folder.done(&["why", &id[..12]]).out;
    for part in ["decision dm_spam", "msgs_1m", "score", "model_version", id] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    let row = &json_lines(&folder.done(&["why", id, "--json"]).out)[0];
    assert_eq!(row["subject"], action[0]["payload"]["subject"]);
    assert_eq!(row["acted"], action[0]["payload"]["rule"]);
    let many = folder.run(&["why", ""]);
    assert!(many.code == 1 && many.err.contains("give more of it"), "{}", many.err);
}

#[test]
fn a_run_that_failed_on_a_row_runs_when_the_row_is_mended() {
    let folder = Folder::demo();
    folder.replace("data/messages.csv", "m1,3,109,122,", "m1,3,109,many,");
    assert_eq!(folder.run(&["run"]).code, 1);
    assert_eq!(folder.done(&["tail", "actions", "--from-start", "--until-caught-up"]).out, "");
    folder.replace("data/messages.csv", "m1,3,109,many,", "m1,3,109,122,");
    let summary = json_lines(&folder.done(&["run", "--json"]).out);
    assert_eq!(summary[0]["streams"][0]["history_rows"], 1682);
}

#[test]
fn completions_know_every_command() {
    let folder = Folder::empty();
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.done(&["completions", shell]).out;
        for command in ["init", "publish", "explain", "until-caught-up"] {
            assert!(script.contains(command), "{shell}: no {command}");
        }
    }
}

#[test]
fn one_sql_file_is_a_project() {
    let folder = plays();
    folder.write("one.sql", &std::fs::read_to_string(folder.path().join("pipelines/plays.sql")).unwrap());
    folder.done(&["publish", "-C", "one.sql", "plays", "plays.jsonl"]);
    let rows = folder.done(&["query", "-C", "one.sql", "SELECT * FROM plays", "--json"]).out;
    assert_eq!(rows.lines().count(), 3);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::demo();
    let mut shell = std::process::Command::new("sh");
    let program = tests::riverrun();
    shell.args(["-c", "\"$0\" query 'SELECT * FROM messages' --json | head -n 1", &program.to_string_lossy()]);
    folder.here(&mut shell);
    let ran = folder.ran(&shell.output().unwrap());
    assert_eq!((ran.out.lines().count(), ran.err.as_str()), (1, ""));
}

#[test]
fn a_project_that_writes_nothing_is_checked_and_says_that_nothing_runs() {
    let stream = "CREATE STREAM m (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at)";
    let archived = format!("{stream} HISTORY raw.m LIVE m;\nARCHIVE m;\n");
    for sql in [format!("{stream} LIVE m;\nCREATE VIEW v AS SELECT id FROM m;\n"), archived] {
        let folder = Folder::empty();
        folder.write("pipelines/m.sql", &sql);
        folder.done(&["check"]);
        let ran = folder.run(&["run", "--until-caught-up"]);
        assert!(ran.code == 1 && ran.err.contains("no statement writes anything"), "{}", ran.err);
    }
    let folder = Folder::empty();
    folder.write("pipelines/m.sql", &format!("{stream} LIVE m;\nINSERT INTO \"\" SELECT id FROM m;\n"));
    for command in ["check", "run"] {
        let refused = folder.run(&[command]);
        assert!(refused.code == 1 && refused.err.contains("a name is empty"), "{}", refused.err);
    }
}

#[test]
fn a_quote_of_a_csv_file_that_is_not_closed_makes_one_bad_row() {
    let folder = Folder::empty();
    let stream = "CREATE STREAM m (id BIGINT, text TEXT, at TIMESTAMP, WATERMARK FOR at AS at) HISTORY FILES 'm.csv'";
    folder.write("pipelines/m.sql", &format!("{stream} ON BAD ROW SKIP;\nINSERT INTO lake.m SELECT id FROM m;\n"));
    let rows = (0..1_400_000)
        .map(|id| format!("{id},{}aaaaaaaaaaaaaaaaaaaaaaaaaa,2026-01-01 10:00:00\n", if id == 9 { "\"" } else { "" }));
    folder.write("m.csv", &(String::from("id,text,at\n") + &rows.collect::<String>()));
    let ran = folder.run(&["run"]);
    assert!(
        ran.code == 0 && ran.err.contains(" used + 1 bad") && ran.err.contains("lake.m 1,399,999 rows"),
        "{}",
        ran.err
    );
    folder.replace("pipelines/m.sql", "ON BAD ROW SKIP", "ON BAD ROW FAIL");
    let ran = folder.run(&["run", "--fresh"]);
    assert!(ran.code == 1 && ran.err.contains("line 11: a row of more than 64 MiB begins"), "{}", ran.err);
}
