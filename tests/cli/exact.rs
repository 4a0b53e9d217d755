//! What is said and put is what is there: digits of messages, files that are checked first, pipes that are no text, and a
//! bounded run that ends where topics end now.

use crate::publish::{Publishing, all_plays, on_topic, users};
use crate::wrong::plays;
use project::{InputOptions, Project, PublishOptions};
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use tests::machine::{Machine, SECOND, now, pause};
use tests::told;
use values::Encoding;

#[test]
fn a_message_is_shown_to_programs_digit_by_digit() {
    let folder = plays();
    folder.replace("pipelines/plays.sql", "LIVE plays;", "LIVE plays ON BAD ROW SKIP;");
    let row = r#"{"user_id":1,"z":0.12345678901234567890123,"a":1.10,"a":1e400,"track":"\u00e9}","at":"2026-01-01T00:00:00Z"}"#;
    let mut publishing = Publishing::start(&folder, &["publish", "plays", "-"]);
    publishing.write(&format!("{row}\n"));
    publishing.end();
    let told = folder.done(&["tail", "plays", "--from-start", "--until-caught-up", "--json"]).out;
    let line = told.lines().next().expect("a message");
    let plain = folder.done(&["tail", "plays", "--from-start", "--until-caught-up"]).out;
    let (_, payload) = plain.trim_end().split_once('{').expect("an object");
    assert!(line.ends_with(&format!(",\"payload\":{{{payload}}}")), "{line}\n{plain}");
    assert!(payload.contains("0.12345678901234567890123") || !payload.contains("\"z\""), "{plain}");
}

#[test]
fn a_file_that_is_still_checked_when_it_is_stopped_puts_nothing() {
    let folder = plays();
    let bad_last = format!("{}{{\"user_id\": \"many\"}}\n", all_plays(0..40_000));
    folder.write("plays.jsonl", &bad_last);
    let project = Project::open(&folder.path(), "dev", Arc::new(Machine)).map_err(told).unwrap();
    let from = folder.path().join("plays.jsonl").to_string_lossy().into_owned();
    let input = InputOptions { from, format: None, encoding: Encoding::Unicode, follow: false };
    let options = PublishOptions { input, partitions: None, producer: None };
    // Stopped after its first batch, and so far before the row that is wrong.
    let published = project.publish("plays", &options, &|| true, &mut |_| {}).map_err(told).unwrap();
    assert_eq!((published.messages, published.is_whole), (0, false));
    assert_eq!(on_topic(&folder), users(0..0));
    assert!(!folder.files().iter().any(|name| name.starts_with("topics/plays")), "no topic is made for it");
    let refused = project.publish("plays", &options, &|| false, &mut |_| {}).map_err(told).unwrap_err();
    assert!(refused.contains("line 40001: field \"user_id\" is \"many\""), "{refused}");
}

#[test]
fn a_pipe_that_is_no_text_is_told_so() {
    let folder = plays();
    for (bytes, arguments, told) in [
        (&b"\x1f\x8b\x08\0\0\0\0\0"[..], &["publish", "plays", "-"][..], "is packed by gzip, expected text"),
        (b"\x28\xb5\x2f\xfd\0\0", &["publish", "plays", "-", "--format", "csv"], "is packed by zstd, expected text"),
    ] {
        let mut command = folder.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let ran = folder.ran(&child.wait_with_output().unwrap());
        assert!(ran.code == 1 && ran.err.contains(told), "{}", ran.err);
    }
    let fifo = folder.path().join("plays.parquet");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let ran = folder.run(&["publish", "plays", "plays.parquet"]);
    assert!(ran.code == 1 && ran.err.contains("cannot be Parquet, which is read from its end"), "{}", ran.err);
}

#[test]
fn a_bounded_run_after_one_that_was_killed_ends_where_topics_end_now() {
    let folder = plays();
    folder.write("pipelines/out.sql", "INSERT INTO lake.copies SELECT user_id, at FROM plays;\n");
    folder.write("plays.jsonl", &all_plays(0..60_000)).write("more.jsonl", &all_plays(60_000..61_000));
    folder.done(&["publish", "plays", "plays.jsonl"]);
    let run = ["run", "--until-caught-up", "--workers", "1", "--commit-every", "100ms"];
    let mut child = folder.command(&run).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Killed after its first checkpoint, which has where the topics end.
    let begun = now();
    let has_checkpoint = || folder.files().iter().any(|name| name.contains("/checkpoints/project/manifest"));
    while !has_checkpoint() && now() < begun + 20 * SECOND {
        pause(SECOND / 1_000);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    folder.done(&["publish", "plays", "more.jsonl"]);
    let ran = folder.done(&["run", "--until-caught-up"]);
    let count = folder.done(&["query", "SELECT count(*) AS n, count(DISTINCT user_id) AS d FROM lake.copies", "--csv"]);
    assert_eq!(count.out, "n,d\n61000,61000\n", "{}", ran.err);
    if ran.err.contains("goes on from checkpoint") {
        assert!(ran.err.contains("the job goes on to where topics end now"), "{}", ran.err);
    }
}

#[test]
fn rows_of_many_small_files_go_out_together_and_in_order() {
    let folder = plays();
    folder.replace("pipelines/plays.sql", "LIVE plays;", "LIVE plays ON BAD ROW SKIP;");
    for n in 0..300 {
        let text = if n == 150 { "{\"user_id\":\"many\"}\n".to_owned() } else { all_plays(n..n + 1) };
        folder.write(&format!("parts/{n:03}.jsonl"), &text);
    }
    let ran = folder.done(&["publish", "plays", "parts/*.jsonl", "--producer", "parts"]);
    assert!(ran.err.contains("published 299 messages") && ran.err.contains("150.jsonl\" line 1: field"), "{}", ran.err);
    let expected: Vec<String> = [users(0..150), users(151..300)].concat();
    assert_eq!(on_topic(&folder), expected);
    folder.write("parts/300.jsonl", &all_plays(300..301));
    let more = folder.done(&["publish", "plays", "parts/*.jsonl", "--producer", "parts"]);
    assert!(more.err.contains("published 1 message"), "{}", more.err);
}
