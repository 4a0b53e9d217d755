//! Wrong data: files, messages, and what a publisher gives.

use super::{Wrong, all};
use crate::folder::Folder;
use connector_local::{Outgoing, Topics};
use dataflow::{ManualClock, ProcessingTime};
use std::sync::Arc;

/// A stream of plays with a topic and an archive, and a table that counts them.
pub const PLAYS: &str = "\
CREATE STREAM plays (
  user_id BIGINT, track TEXT, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '2' SECOND QUIET NEVER
) HISTORY raw.plays LIVE plays;

ARCHIVE plays;

INSERT INTO lake.play_counts
SELECT user_id, at,
       count(*) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) AS plays_1h
FROM plays;
";

/// Three plays.
pub const EVENTS: &str = "\
{\"user_id\": 1, \"track\": \"a\", \"at\": \"2026-01-01T08:00:00Z\"}
{\"user_id\": 2, \"track\": \"b\", \"at\": \"2026-01-01T08:00:05Z\"}
{\"user_id\": 1, \"track\": \"c\", \"at\": \"2026-01-01T08:30:00Z\"}
";

/// The project of plays, with nothing on its topic.
pub fn plays() -> Folder {
    let folder = Folder::empty();
    folder.write("pipelines/plays.sql", PLAYS).write("plays.jsonl", EVENTS);
    folder
}

/// The project of plays, with its events on the topic.
pub fn published() -> Folder {
    let folder = plays();
    folder.done(&["publish", "plays", "plays.jsonl"]);
    folder
}

/// The project of plays with a message on its topic that no `publish` would have put there.
fn with_message(payload: &str) -> Folder {
    let folder = published();
    let clock = Arc::new(ManualClock::new(ProcessingTime(1_767_254_400_000_000)));
    let topics = Topics::open(folder.path().join("topics"), clock).expect("the topics open");
    let mut producer = topics.producer("plays", "", 0).expect("the topic is there");
    let message = Outgoing { sequence: 0, key: None, payload: payload.as_bytes(), arrived: None };
    producer.append(0, &[message]).expect("the message is written");
    folder
}

/// The project of plays with other lines in the file that is published.
fn with_line(line: &str) -> Folder {
    let folder = plays();
    folder.write("plays.jsonl", &format!("{EVENTS}{line}\n"));
    folder
}

/// The project of `init` with a line of its history changed.
fn with_cell(from: &str, to: &str) -> Folder {
    let folder = Folder::demo();
    folder.replace("data/messages.csv", from, to);
    folder
}

/// The project of `init` over a Parquet file that is cut short, or is none.
fn with_parquet(change: fn(Vec<u8>) -> Vec<u8>) -> Folder {
    let folder = Folder::demo();
    folder.done(&["query", "SELECT * FROM messages", "--out", "data/messages.parquet"]);
    let bytes = std::fs::read(folder.path().join("data/messages.parquet")).expect("the query wrote it");
    folder.write_bytes("data/messages.parquet", &change(bytes));
    folder.replace("pipelines/spam.sql", "data/messages.csv", "data/messages.parquet");
    folder
}

/// A Parquet file with some bytes of its first column changed, so that only reading it shows it.
fn scratched(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[20..400].fill(0xff);
    bytes
}

pub const WRONG: &[Wrong] = &[
    Wrong {
        name: "history_missing",
        before: || {
            let folder = Folder::demo();
            folder.replace("pipelines/spam.sql", "data/messages.csv", "data/message.csv");
            folder
        },
        command: &["run"],
    },
    Wrong { name: "history_column_missing", before: || with_cell("recipient_id", "recipient"), command: &["run"] },
    Wrong { name: "history_wrong_value", before: || with_cell("m1,3,109,122,", "m1,3,109,many,"), command: &["run"] },
    Wrong {
        name: "history_no_time",
        before: || with_cell(",false,2026-01-01 08:00:16.529", ",false,"),
        command: &["run"],
    },
    Wrong {
        name: "parquet_cut_short",
        before: || with_parquet(|bytes| bytes[..bytes.len() / 2].to_vec()),
        command: &["run"],
    },
    Wrong {
        name: "parquet_is_text",
        before: || with_parquet(|_| b"message_id,sender_id\n".to_vec()),
        command: &["run"],
    },
    Wrong { name: "parquet_scratched", before: || with_parquet(scratched), command: &["run"] },
    Wrong {
        name: "publish_bad_json",
        before: || with_line("{\"user_id\": 3, \"track\": \"d\", \"at\": "),
        command: &["publish", "plays", "plays.jsonl"],
    },
    Wrong {
        name: "publish_wrong_type",
        before: || with_line("{\"user_id\": \"three\", \"track\": \"d\", \"at\": \"2026-01-01T09:00:00Z\"}"),
        command: &["publish", "plays", "plays.jsonl"],
    },
    Wrong {
        name: "publish_no_instant",
        before: || with_line("{\"user_id\": 3, \"track\": \"d\", \"at\": \"yesterday\"}"),
        command: &["publish", "plays", "plays.jsonl"],
    },
    Wrong {
        name: "publish_without_time",
        before: || with_line("{\"user_id\": 3, \"track\": \"d\"}"),
        command: &["publish", "plays", "plays.jsonl"],
    },
    Wrong {
        name: "publish_column_missing",
        before: || {
            let folder = plays();
            folder.write("plays.csv", "user,track,at\n1,a,2026-01-01 08:00:00\n");
            folder
        },
        command: &["publish", "plays", "plays.csv"],
    },
    Wrong { name: "publish_file_missing", before: plays, command: &["publish", "plays", "play.jsonl"] },
    Wrong {
        name: "publish_file_unknown",
        before: || {
            let folder = plays();
            folder.write("plays.xml", "<plays/>");
            folder
        },
        command: &["publish", "plays", "plays.xml"],
    },
    Wrong { name: "publish_stream_typo", before: plays, command: &["publish", "play", "plays.jsonl"] },
    Wrong {
        name: "publish_without_topic",
        before: Folder::demo,
        command: &["publish", "messages", "data/messages.csv"],
    },
    Wrong {
        name: "topic_bad_json",
        before: || with_message("{\"user_id\": 3, "),
        command: &["run", "--until-caught-up"],
    },
    Wrong {
        name: "topic_wrong_type",
        before: || with_message("{\"user_id\": \"three\", \"at\": \"2026-01-01T08:40:00Z\"}"),
        command: &["run", "--until-caught-up"],
    },
    Wrong {
        name: "topic_without_time",
        before: || with_message("{\"user_id\": 3}"),
        command: &["run", "--until-caught-up"],
    },
];

#[test]
fn wrong_inputs() {
    all(WRONG);
}
