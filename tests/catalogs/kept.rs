//! Tables that are compacted and expire, in a REST catalog with files in S3 and as Iceberg's library for Java writes them:
//! others read the same as before, and jobs that write and read them meanwhile lose and double nothing.

use crate::project::{EVENTS, Folder, RUN, history_of, with_history};
use crate::read_by_others;
use connector_iceberg::Warehouse;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tests::catalogs::{RestServer, S3Server, can_start, read_java_tables, write_java_tables};
use tests::machine::{SECOND, pause};
use tests::{Chance, surplus, table_rows};

pub const OUTPUT: &str = "lake.deep.counted";

fn json(folder: &Folder, arguments: &[&str], environment: &str) -> Value {
    let printed = folder.printed(&[arguments, &["--json"]].concat(), environment);
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

fn compact(folder: &Folder, table: &str, environment: &str) -> Value {
    json(folder, &["table", "compact", table, "--apply"], environment)
}

fn expire(folder: &Folder, table: &str, environment: &str) -> Value {
    json(folder, &["table", "expire", table, "--keep", "1", "--nobody-reads", "--apply"], environment)
}

/// A project whose archive was copied in several runs, in a folder and in the catalog, and compacted there.
fn with_compacted_archive(catalog: &RestServer, s3: &S3Server) -> Folder {
    let folder = Folder::new(&with_history(&history_of(&catalog.uri(), &s3.endpoint())));
    for part in 0..4 {
        folder.publish("dev", part * EVENTS / 16..(part + 1) * EVENTS / 16);
        for environment in ["dev", "prod"] {
            folder.to_end(&["run", "archive", "--until-caught-up"], environment);
        }
    }
    let before = json(&folder, &["table", "describe", "raw.plays"], "prod");
    let told = (before["files"]["data_files"].as_i64(), before["frontier"]["topic"].as_str());
    assert_eq!(told, (Some(4), Some("plays")), "{before}");
    assert_eq!(compact(&folder, "raw.plays", "prod")["files_after"], 1);
    let after = json(&folder, &["table", "describe", "raw.plays"], "prod");
    assert_eq!((&after["frontier"], &after["files"]["rows"]), (&before["frontier"], &before["files"]["rows"]));
    folder
}

/// Runs the job while its tables are compacted and expire, kills it, and ends it with a savepoint from which it goes on.
fn run_beside_housekeeping(folder: &Folder) {
    let mut job = folder.start(&["run", "--workers", "2"], "prod");
    folder.wait_for_rows("prod", 1);
    let savepoint = folder.path().join("savepoint");
    let (mut compacted, mut expired) = (0, 0);
    for part in 4..16 {
        folder.publish("dev", part * EVENTS / 16..(part + 1) * EVENTS / 16);
        pause(SECOND / 2);
        compacted += compact(folder, OUTPUT, "prod")["files_before"].as_i64().unwrap();
        expired += expire(folder, OUTPUT, "prod")["snapshots"].as_i64().unwrap();
        expired += expire(folder, "raw.plays", "prod")["snapshots"].as_i64().unwrap();
        match part {
            7 => {
                job.signal("KILL");
                job.ended(RUN).expect("a killed run ends");
                compact(folder, OUTPUT, "prod");
                job = folder.start(&["run", "--workers", "1"], "prod");
                job.ready();
            }
            11 => {
                // What `stop` says is a test of its own; here it counts that the job ends with a savepoint.
                folder.command(&["stop", "--to", savepoint.to_str().unwrap()], "prod");
                let stopped = job.ended(RUN).expect("a run that is stopped ends");
                assert!(stopped.code == Some(0) && savepoint.is_dir(), "{}", stopped.told);
                compact(folder, OUTPUT, "prod");
                expire(folder, OUTPUT, "prod");
                job = folder.start(&["resume", "--from", savepoint.to_str().unwrap()], "prod");
                job.ready();
            }
            _ => {}
        }
    }
    job.interrupt();
    let ended = job.ended(RUN).expect("a run that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert!(compacted > 0 && expired > 0, "{compacted} {expired}");
}

#[test]
fn a_job_writes_reads_and_goes_on_while_its_tables_are_compacted_and_expire() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let folder = with_compacted_archive(&catalog, &s3);
    run_beside_housekeeping(&folder);
    for environment in ["dev", "prod"] {
        folder.to_end(&["run", "--until-caught-up"], environment);
    }
    compact(&folder, OUTPUT, "prod");
    expire(&folder, OUTPUT, "prod");
    let (local, remote) = (folder.rows("dev"), folder.rows("prod"));
    assert_eq!(local.len(), EVENTS);
    assert_eq!(remote, local);
    let others = read_by_others(&catalog.uri(), OUTPUT, Some(&s3.endpoint()), &["--order", "id"]);
    assert_eq!(others, local);
    let left = json(&folder, &["table", "describe", OUTPUT], "prod");
    assert_eq!((&left["files"]["data_files"], &left["snapshots"]), (&1.into(), &1.into()), "{left}");
    let orphans = json(&folder, &["table", "orphans", OUTPUT], "prod");
    assert_eq!(
        (&orphans["files"], orphans["listed"].as_i64() > Some(2)),
        (&Value::Array(Vec::new()), true),
        "{orphans}"
    );
}

#[test]
fn a_compaction_that_is_killed_has_changed_nothing_or_all() {
    let folder = Folder::new(&with_history("warehouse = \"./other\""));
    for part in 0..8 {
        folder.publish("dev", part * EVENTS / 8..(part + 1) * EVENTS / 8);
        folder.to_end(&["run", "--until-caught-up", "--workers", "1"], "dev");
    }
    let rows = folder.rows("dev");
    let files = || json(&folder, &["table", "describe", OUTPUT], "dev")["files"]["data_files"].as_i64().unwrap();
    let begun = files();
    let mut chance = Chance::new(7);
    for _ in 0..12 {
        let mut killed = folder.start(&["table", "compact", OUTPUT, "--apply"], "dev");
        pause(chance.between(0, 150_000));
        // One that has ended by itself is no longer there to be killed.
        if killed.ended(0).is_none() {
            killed.signal("KILL");
        }
        killed.ended(RUN).expect("it ends");
        assert_eq!(folder.rows("dev"), rows);
        assert!([begun, 1].contains(&files()));
    }
    compact(&folder, OUTPUT, "dev");
    assert_eq!((files(), folder.rows("dev")), (1, rows));
}

fn lines(file: &Path) -> Vec<String> {
    let mut lines: Vec<String> = fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn rows_that_others_deleted_are_gone_for_good_and_so_are_their_deletes() {
    let settings = with_history("warehouse = \"./other\"");
    let folder = Folder::new(&settings);
    fs::write(folder.path().join("pipelines/all.sql"), "").unwrap();
    let (place, rows, again) =
        (folder.path().join("warehouse"), folder.path().join("rows"), folder.path().join("again"));
    let program = tests::root().join("tests/catalogs/JavaTables.java");
    if !write_java_tables(&program, &place, &rows) {
        return;
    }
    let warehouse = Warehouse::open(&place).unwrap();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&rows).unwrap() {
        let name = entry.unwrap().file_name().to_str().unwrap().to_owned();
        let table = format!("java.{name}");
        let described = folder.printed(&["table", "describe", &table], "dev");
        assert!(described.contains("deletes     "), "{described}");
        let done = compact(&folder, &table, "dev");
        assert!(done["deletes"].as_i64() > Some(0), "{name}: {done}");
        let after = json(&folder, &["table", "describe", &table], "dev");
        for kind in ["position_deletes", "vectors", "equality_deletes"] {
            assert_eq!(after["files"][kind], 0, "{name}: {after}");
        }
        let (found, expected) = (table_rows(&warehouse, &table), lines(&rows.join(&name)));
        let (more, less) = (surplus(&found, &expected), surplus(&expected, &found));
        assert!(more.is_empty() && less.is_empty(), "{name}: {more:?} are too many, and {less:?} too few");
        assert_eq!(warehouse.rows(&table).unwrap(), expected.len() as u64, "{name}");
        expire(&folder, &table, "dev");
        names.insert(name);
    }
    assert!(
        names.contains("vectors") && names.contains("evolved_spec") && names.contains("key_uuid") && names.len() > 20,
        "{names:?}"
    );
    let all: Vec<String> = names.iter().cloned().collect();
    assert!(read_java_tables(&program, &place, &again, &all));
    for name in names {
        assert_eq!(lines(&again.join(&name)), lines(&rows.join(&name)), "{name} as Java reads it");
    }
    for (table, kind) in [("variant", "variant"), ("unknown", "unknown")] {
        let described = folder.printed(&["table", "describe", &format!("java.{table}")], "dev");
        assert!(described.contains(&format!("other  {kind}")), "{described}");
        let refused = folder.refused(&["table", "compact", &format!("java.{table}"), "--apply"], "dev");
        assert!(refused.contains(&format!("column \"other\" has type {kind}")), "{refused}");
    }
}
