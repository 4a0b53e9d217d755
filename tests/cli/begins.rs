//! What a run says before it begins: where its topics and actions begin, and which messages wait.

use crate::folder::Folder;

/// Two streams with topics, of which the first may have an archive, and a decision over both.
fn project(archived: bool) -> Folder {
    let folder = Folder::empty();
    let stream = |name: &str, history: &str| {
        format!(
            "CREATE STREAM {name} (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND) {history} LIVE {name};\n"
        )
    };
    let history = if archived { "HISTORY raw.orders" } else { "" };
    let archive = if archived { "ARCHIVE orders;\n" } else { "" };
    let sql = format!(
        "{}{}{archive}CREATE VIEW seen AS SELECT o.id, o.at, c.id AS click FROM orders o \
         ASOF LEFT JOIN clicks c ON c.id = o.id AND c.at <= o.at;\n\
         CREATE DECISION watch ON seen SUBJECT id TO actions AS RULE all_of_them WHEN id > 0 THEN 'look';\n",
        stream("orders", history),
        stream("clicks", "")
    );
    folder.write("pipelines/all.sql", &sql);
    folder
}

fn publish(folder: &Folder, stream: &str, ids: std::ops::Range<usize>) {
    let row = |id: usize| format!("{{\"id\": {id}, \"at\": \"2026-01-01 00:00:{id:02}\"}}\n");
    folder.write("rows.jsonl", &ids.map(row).collect::<String>());
    folder.done(&["publish", stream, "rows.jsonl"]);
}

/// What a run said, as one line.
fn told(folder: &Folder, arguments: &[&str]) -> String {
    let ran = folder.done(&[&["run", "--until-caught-up"], arguments].concat());
    ran.err.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn messages_that_wait_are_counted_by_stream_and_after_an_archive_only_where_there_is_one() {
    let folder = project(true);
    publish(&folder, "orders", 1..6);
    folder.done(&["run", "archive", "--until-caught-up"]);
    publish(&folder, "orders", 6..8);
    publish(&folder, "clicks", 1..4);
    let text = told(&folder, &[]);
    let begin = "topics and actions begin after ";
    let waits =
        "; these messages wait, and what they lead to is acted on: 2 of orders (after its archive), 3 of clicks";
    assert!(text.starts_with(begin) && text.contains(waits), "{text}");

    let folder = project(false);
    publish(&folder, "orders", 1..6);
    publish(&folder, "clicks", 1..2);
    let text = told(&folder, &["--from", "2026-01-01T00:00:03"]);
    let waits = "; these messages wait, and what they lead to is acted on: 5 of orders, 1 of clicks";
    assert!(text.starts_with(begin) && text.contains(waits) && !text.contains("archive"), "{text}");
}

#[test]
fn where_nothing_waits_that_is_said() {
    let folder = project(true);
    publish(&folder, "orders", 1..6);
    folder.done(&["run", "archive", "--until-caught-up"]);
    folder.replace("pipelines/all.sql", "DECISION watch ON seen", "DECISION watch ON orders");
    let text = told(&folder, &[]);
    assert!(text.contains("; no message waits"), "{text}");
    // Without a topic there is nothing that could wait.
    let text = told(&Folder::demo(), &["--from", "2026-01-01"]);
    assert!(text.starts_with("topics and actions begin after 2026-01-01"), "{text}");
    assert!(!text.contains("message waits") && !text.contains("messages wait"), "{text}");
}
