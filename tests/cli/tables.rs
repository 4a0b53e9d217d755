//! `riverrun table`: a plan is shown, `--apply` carries it out, and jobs and queries give the same as before.

use crate::folder::Folder;
use serde_json::Value;
use tests::machine::{SECOND, now, pause};

const SETTINGS: &str =
    "[project]\nname = \"p\"\n[env.dev]\nhistory = { warehouse = \"w\" }\nlive = { topics = \"t\" }\n";
const SQL: &str = "
CREATE STREAM events (id BIGINT, n BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND)
  HISTORY raw.events LIVE events;
ARCHIVE events;
INSERT INTO lake.rows SELECT id, n, sum(n) OVER w AS total FROM events
  WINDOW w AS (PARTITION BY n ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING);
";
const ROUNDS: i64 = 4;
const ROWS: &str = "SELECT id, n, total FROM lake.rows ORDER BY id";
const EVENTS: &str = "SELECT id, n, at FROM events ORDER BY id";

/// A project whose archive and output were written in several runs.
fn project() -> Folder {
    let folder = Folder::empty();
    folder.write("riverrun.toml", SETTINGS).write("pipelines/a.sql", SQL);
    for round in 0..ROUNDS {
        publish(&folder, round);
        folder.done(&["run", "archive", "--until-caught-up"]);
        folder.done(&["run", "--until-caught-up", "--workers", "1"]);
    }
    folder
}

fn publish(folder: &Folder, round: i64) {
    let event = |id: i64| format!("{id},{},2026-01-01 00:{:02}:{:02}\n", id % 5, id / 60, id % 60);
    let events: String = (round * 50..round * 50 + 50).map(event).collect();
    folder.write("events.csv", &format!("id,n,at\n{events}"));
    folder.done(&["publish", "events", "events.csv"]);
}

fn json(folder: &Folder, arguments: &[&str]) -> Value {
    let printed = folder.done(&[arguments, &["--json"]].concat()).out;
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

fn answer(folder: &Folder, query: &str) -> String {
    folder.done(&["query", query, "--csv"]).out
}

#[test]
fn tables_are_kept_in_order_and_everything_goes_on() {
    let folder = project();
    let (rows, events) = (answer(&folder, ROWS), answer(&folder, EVENTS));
    let savepoint = folder.path().join("saved");
    folder.done(&["savepoint", "--to", savepoint.to_str().expect("a path of the test")]);

    let told = folder.done(&["table", "describe", "lake.rows"]).out;
    for part in
        ["table lake.rows, version 2", "total  long", "partitioned by  nothing", "data files  4,", "by riverrun"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let archive = folder.done(&["table", "describe", "raw.events"]).out;
    for part in ["day(_arrival)", "archive of topic events, up to", "tag riverrun-p-p", "job p-p reads"] {
        assert!(archive.contains(part), "{part}: {archive}");
    }
    for table in ["lake.rows", "raw.events"] {
        let before = json(&folder, &["table", "describe", table]);
        assert_eq!(before["files"]["data_files"], ROUNDS, "{before}");
        let plan = folder.done(&["table", "compact", table]).out;
        assert!(plan.contains("the same command with --apply carries it out"), "{plan}");
        if table == "raw.events" {
            let of_ana = folder.done(&["table", "compact", table, "--as", "ana"]).out;
            assert!(of_ana.contains("with --apply and without --as carries it out"), "{of_ana}");
        }
        assert_eq!(json(&folder, &["table", "describe", table]), before, "a plan changes nothing");
        let done = json(&folder, &["table", "compact", table, "--apply"]);
        assert_eq!((&done["files_before"], &done["files_after"]), (&ROUNDS.into(), &1.into()), "{done}");
        let again = folder.done(&["table", "compact", table]).out;
        assert!(again.contains("nothing is to be done"), "{again}");
    }
    assert_eq!((answer(&folder, ROWS), answer(&folder, EVENTS)), (rows.clone(), events.clone()));

    let recent = folder.done(&["table", "expire", "raw.events", "--keep", "1"]).out;
    assert!(recent.contains("nothing is to be done"), "queries may be reading them: {recent}");
    for table in ["lake.rows", "raw.events"] {
        let arguments = ["table", "expire", table, "--keep", "1", "--nobody-reads"];
        let plan = folder.done(&arguments).out;
        assert!(plan.contains("the same command with --apply carries it out"), "{plan}");
        let is_held = plan.contains("held, and stays");
        assert_eq!(is_held, table == "raw.events", "{plan}");
        let done = json(&folder, &[&arguments[..], &["--apply"]].concat());
        assert!(done["snapshots"].as_i64() > Some(0) && done["files_left"] == 0, "{done}");
    }
    assert_eq!((answer(&folder, ROWS), answer(&folder, EVENTS)), (rows, events));

    // The job goes on, from its checkpoint and from the savepoint, and one that begins anew reads the same history.
    let on = folder.done(&["run", "--until-caught-up"]).err;
    assert!(on.contains("rows in: 0"), "{on}");
    publish(&folder, ROUNDS);
    folder.done(&["resume", "--from", savepoint.to_str().expect("a path of the test"), "--until-caught-up"]);
    let whole = answer(&folder, ROWS);
    assert_eq!(whole.lines().count() as i64, (ROUNDS + 1) * 50 + 1);
    folder.done(&["run", "--fresh", "--until-caught-up"]);
    assert_eq!(answer(&folder, ROWS), whole);
    folder.done(&["run", "archive", "--until-caught-up"]);
    folder.done(&["table", "compact", "raw.events", "--apply"]);
    folder.done(&["run", "--fresh", "--until-caught-up"]);
    assert_eq!(answer(&folder, ROWS), whole);
}

#[test]
fn an_archive_of_another_layout_than_its_statement_says_is_told_that_it_keeps_it() {
    let folder = project();
    folder.write("pipelines/a.sql", &SQL.replace("ARCHIVE events;", "ARCHIVE events PARTITION BY n;"));
    for arguments in [&["check"][..], &["run", "archive", "--until-caught-up"]] {
        let refused = folder.run(arguments);
        let told = refused.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(refused.code == 1 && told.contains("an archive keeps how it was made"), "{arguments:?}: {told}");
        assert!(!told.contains("--fresh"), "{told}");
    }
}

#[test]
fn files_that_a_checkpoint_has_prepared_are_no_orphans() {
    let folder = project();
    let stray = "w/lake/rows/data/part-0.parquet";
    folder.write(stray, "no table names it");
    let path = folder.path().join(stray);
    let young = json(&folder, &["table", "orphans", "lake.rows"]);
    assert_eq!((&young["files"], &young["young"]), (&Value::Array(Vec::new()), &1.into()), "{young}");
    let file = std::fs::File::options().write(true).open(&path).expect("the file is there");
    let written = file.metadata().and_then(|about| about.modified()).expect("it has a time");
    file.set_modified(written - std::time::Duration::from_secs(4 * 86_400)).expect("it can be made older");
    let plan = folder.done(&["table", "orphans", "lake.rows"]).out;
    assert!(plan.contains("part-0.parquet") && plan.contains("1 of "), "{plan}");
    assert!(path.exists(), "a plan changes nothing");
    assert_eq!(json(&folder, &["table", "orphans", "lake.rows", "--apply"])["files"], 1);
    assert!(!path.exists());
    assert_eq!(answer(&folder, ROWS).lines().count() as i64, ROUNDS * 50 + 1);
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let folder = project();
    let refused = |arguments: &[&str]| {
        let ran = folder.run(arguments);
        assert_eq!(ran.code, 1, "{arguments:?}: {}{}", ran.out, ran.err);
        ran.err
    };
    let near = refused(&["table", "describe", "lake.row"]);
    assert!(near.contains("there is no table \"lake.row\"") && near.contains("did you mean \"lake.rows\"?"), "{near}");
    let young = refused(&["table", "orphans", "lake.rows", "--older-than", "1h"]);
    assert!(young.contains("--older-than is less than 6h"), "{young}");
    for command in ["compact", "expire", "orphans"] {
        let others = refused(&["table", command, "raw.events", "--apply", "--as", "ana"]);
        assert!(others.contains("--as ana writes under names of its own"), "{others}");
    }
    let ran = folder.run(&["table", "expire", "lake.rows", "--keep", "0"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn a_job_compacts_what_it_writes_where_the_settings_say_so() {
    let folder = Folder::empty();
    let every = "[project]\nname = \"p\"\ncompact_every = \"1s\"\ncommit_every = \"100ms\"\n";
    folder.write("riverrun.toml", &SETTINGS.replace("[project]\nname = \"p\"\n", every));
    folder.write("pipelines/a.sql", SQL);
    publish(&folder, 0);
    let mut job = tests::Program::start(&folder.path(), &["run", "--workers", "1"]);
    job.ready();
    let told = "compacted into";
    for round in 1..60 {
        publish(&folder, round % 70);
        if job.told().contains(told) {
            break;
        }
    }
    let begun = now();
    while !job.told().contains(told) && now() < begun + 60 * SECOND {
        pause(SECOND / 10);
    }
    job.interrupt();
    let ended = job.ended(60_000_000).expect("a job that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert!(ended.told.contains(told), "{}", ended.told);
    let rows: Vec<i64> = answer(&folder, ROWS)
        .lines()
        .skip(1)
        .map(|l| l.split(',').next().unwrap_or("").parse().unwrap_or(-1))
        .collect();
    assert_eq!(rows, (0..rows.len() as i64).collect::<Vec<_>>(), "each row once");
}
