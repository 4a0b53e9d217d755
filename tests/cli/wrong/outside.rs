//! Wrong settings, wrong places, and tables and topics that do not belong together.

use super::inputs::{PLAYS, plays, published};
use super::{Wrong, all};
use crate::folder::Folder;
use std::fs::File;
use std::io::Write;

const TOML: &str = "riverrun.toml";
const SQL: &str = "pipelines/plays.sql";

fn with_settings(from: &str, to: &str) -> Folder {
    let folder = Folder::demo();
    folder.replace(TOML, from, to);
    folder
}

/// The project of plays after its archive job, with its SQL changed.
fn archived(from: &str, to: &str) -> Folder {
    let folder = published();
    folder.done(&["run", "archive", "--until-caught-up"]);
    folder.replace(SQL, from, to);
    folder
}

/// A table that a job wrote, named as the history of a stream that goes on with a topic.
fn foreign() -> Folder {
    let folder = published();
    folder.done(&["run", "--until-caught-up"]);
    folder.write(
        SQL,
        "\
CREATE STREAM counted (user_id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '2' SECOND)
  HISTORY lake.play_counts LIVE plays;
INSERT INTO lake.copy SELECT * FROM counted;
",
    );
    folder
}

/// A project whose catalog is no database any more.
fn catalog(bytes: &[u8]) -> Folder {
    let folder = published();
    folder.done(&["run", "--until-caught-up"]);
    folder.write_bytes("warehouse/catalog.db", bytes);
    folder
}

/// A table whose data files somebody removed.
fn without_data() -> Folder {
    let folder = archived("raw.plays", "raw.plays");
    let data: Vec<String> = folder.files().into_iter().filter(|name| name.ends_with(".parquet")).collect();
    assert!(!data.is_empty(), "the archive wrote no file");
    data.iter().for_each(|name| std::fs::remove_file(folder.path().join(name)).expect("the file can be removed"));
    folder
}

/// A history table that another archive job holds.
fn held() -> Folder {
    let folder = archived("raw.plays", "raw.plays");
    let path = folder.path().join("warehouse/.locks/raw/plays.lock");
    let mut lock = File::options().write(true).truncate(true).open(path).expect("the archive made its lock");
    lock.lock().expect("nobody holds it");
    lock.write_all(b"process 7, since 2026-01-01 00:00:00").expect("the holder can sign");
    // Held until the process ends.
    std::mem::forget(lock);
    folder
}

pub const WRONG: &[Wrong] = &[
    Wrong { name: "settings_unknown_key", before: || with_settings("warehouse =", "warehuose ="), command: &["run"] },
    Wrong {
        name: "settings_wrong_type",
        before: || with_settings("{ topics = \"./topics\" }", "\"./topics\""),
        command: &["run"],
    },
    Wrong {
        name: "settings_no_name",
        before: || with_settings("name = \"demo\"", "name = \"de mo\""),
        command: &["check"],
    },
    Wrong { name: "unknown_env", before: Folder::demo, command: &["run", "--env", "prod"] },
    Wrong { name: "unknown_job", before: Folder::demo, command: &["run", "decide"] },
    Wrong {
        name: "job_without_outputs",
        before: || {
            let folder = Folder::demo();
            folder.replace(TOML, "[env.dev]", "[job.train]\noutputs = [\"lke.*\"]\n\n[env.dev]");
            folder
        },
        command: &["run", "train"],
    },
    Wrong { name: "project_missing", before: Folder::empty, command: &["run", "-C", "demo"] },
    Wrong { name: "project_empty", before: Folder::empty, command: &["run"] },
    Wrong {
        name: "project_is_no_text",
        before: || {
            let folder = Folder::demo();
            folder.write_bytes("pipelines/other.sql", &[0xff, 0xfe, 0x00]);
            folder
        },
        command: &["check"],
    },
    Wrong {
        name: "warehouse_is_a_file",
        before: || {
            let folder = Folder::demo();
            folder.write("warehouse", "in the way\n");
            folder
        },
        command: &["run"],
    },
    Wrong {
        name: "topics_is_a_file",
        before: || {
            let folder = plays();
            folder.write("topics", "in the way\n");
            folder
        },
        command: &["publish", "plays", "plays.jsonl"],
    },
    Wrong { name: "init_in_a_used_folder", before: Folder::demo, command: &["init", "."] },
    Wrong { name: "bad_from", before: Folder::demo, command: &["run", "--from", "yesterday"] },
    Wrong { name: "bad_to", before: Folder::demo, command: &["query", "SELECT * FROM messages", "--to", "2026-13-01"] },
    Wrong { name: "bad_positions", before: published, command: &["run", "archive", "--to", "plays=0:1"] },
    Wrong {
        name: "positions_of_another_stream",
        before: published,
        command: &["run", "archive", "--to", "play=0:0:0:0"],
    },
    Wrong { name: "nothing_to_read", before: plays, command: &["run", "--until-caught-up"] },
    Wrong { name: "tail_topic_missing", before: published, command: &["tail", "actions", "--until-caught-up"] },
    Wrong { name: "archive_without_statement", before: Folder::demo, command: &["run", "archive"] },
    Wrong {
        name: "archive_without_table",
        before: || {
            let folder = plays();
            folder.write(SQL, &PLAYS.replace("HISTORY raw.plays ", ""));
            folder
        },
        command: &["run", "archive"],
    },
    Wrong { name: "archive_held_by_another", before: held, command: &["run", "archive", "--until-caught-up"] },
    Wrong {
        name: "history_of_another_clock",
        before: || archived(" QUIET NEVER", ""),
        command: &["run", "--until-caught-up"],
    },
    Wrong {
        name: "archive_of_another_clock",
        before: || archived(" QUIET NEVER", ""),
        command: &["run", "archive", "--until-caught-up"],
    },
    Wrong {
        name: "history_of_other_columns",
        before: || archived("track TEXT", "song TEXT"),
        command: &["run", "--until-caught-up"],
    },
    Wrong { name: "foreign_history", before: foreign, command: &["run", "--fresh", "--until-caught-up"] },
    Wrong {
        name: "catalog_corrupt",
        before: || catalog(b"this is no database, and long enough to be read as one by mistake"),
        command: &["run", "--until-caught-up"],
    },
    Wrong { name: "catalog_empty", before: || catalog(b""), command: &["why", "0123"] },
    Wrong { name: "data_file_missing", before: without_data, command: &["run", "--until-caught-up"] },
    Wrong {
        name: "table_used",
        before: || {
            let folder = published();
            folder.done(&["run", "--until-caught-up"]);
            let checkpoints = folder.path().join("warehouse/_riverrun/checkpoints");
            std::fs::remove_dir_all(checkpoints).expect("the folder is there");
            folder
        },
        command: &["run", "--until-caught-up"],
    },
    Wrong { name: "explain_typo", before: Folder::demo, command: &["explain", "sender_feature"] },
    Wrong { name: "why_unknown", before: Folder::demo, command: &["why", "0123"] },
    Wrong {
        name: "test_fails",
        before: || {
            let folder = Folder::demo();
            folder.replace("tests/spam.test.sql", "('m30', 30, 30)", "('m30', 31, 30)");
            folder
        },
        command: &["test"],
    },
    Wrong {
        name: "test_typo",
        before: || {
            let folder = Folder::demo();
            folder.replace("tests/spam.test.sql", "EXPECT sender_features", "EXPECT sender_feature");
            folder
        },
        command: &["test"],
    },
    Wrong { name: "usage_unknown_command", before: Folder::empty, command: &["rnu"] },
    Wrong { name: "usage_unknown_option", before: Folder::demo, command: &["run", "--fersh"] },
    Wrong { name: "usage_argument_missing", before: Folder::demo, command: &["publish", "messages"] },
    Wrong {
        name: "usage_both_formats",
        before: Folder::demo,
        command: &["query", "SELECT * FROM messages", "--json", "--csv"],
    },
    Wrong { name: "usage_workers", before: Folder::demo, command: &["run", "--workers", "two"] },
    Wrong { name: "usage_no_workers", before: Folder::demo, command: &["run", "--workers", "0"] },
    Wrong { name: "usage_many_workers", before: Folder::demo, command: &["run", "--workers", "60000"] },
];

#[test]
fn wrong_places() {
    all(WRONG);
}
