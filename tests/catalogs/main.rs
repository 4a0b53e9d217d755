//! The real program on a real REST catalog and a real S3 server: what a project gives there is what it gives on a disk, also
//! when its runs are killed; commits through a network that loses, delays, repeats and cuts; and what is said when
//! something is wrong.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod azure;
mod checkpoints;
mod deletes;
mod errors;
mod faults;
mod folder_faults;
mod google;
mod kept;
mod kept_faults;
mod late_commits;
mod project;
mod replaced;
mod secrets;
mod tables;
mod ways_in;

use project::{EVENTS, Folder, RUN, history_of, with_history};
use std::path::Path;
use std::process::Command;
use tests::catalogs::{ACCESS_KEY, RestServer, S3Server, SECRET_KEY, can_start, pyiceberg};

/// What PyIceberg and DuckDB read in a table, as lines.
fn read_by_others(catalog: &str, table: &str, s3: Option<&str>, arguments: &[&str]) -> Vec<String> {
    let mut read = Command::new(pyiceberg());
    read.arg(tests::root().join("tests/catalogs/read.py")).args([catalog, table]).args(arguments);
    if let Some(endpoint) = s3 {
        read.args(["--s3", endpoint, ACCESS_KEY, SECRET_KEY]);
    }
    let read = read.output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    String::from_utf8(read.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[test]
fn rows_are_those_of_the_local_run_over_a_kill_and_a_resume() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let folder = Folder::new(&with_history(&history_of(&catalog.uri(), &s3.endpoint())));
    let local = rows_over_a_kill_and_a_resume(&folder);
    let others = read_by_others(&catalog.uri(), "lake.deep.counted", Some(&s3.endpoint()), &["--order", "id"]);
    assert_eq!(others, local);
}

/// Runs the project on disk, and on servers with a run that is killed and one that is stopped; gives the rows of both.
fn rows_over_a_kill_and_a_resume(folder: &Folder) -> Vec<String> {
    // The first part is archived, so a run begins with history.
    folder.publish("dev", 0..EVENTS / 4);
    for environment in ["dev", "prod"] {
        folder.to_end(&["run", "archive", "--until-caught-up"], environment);
    }
    let uploads = folder.path().join("_riverrun/prod/_riverrun/uploads");
    assert_eq!(files_below(&uploads), 0, "nothing is left of files that were on their way");
    folder.publish("dev", EVENTS / 4..EVENTS / 2);
    let mut first = folder.start(&["run", "--workers", "1"], "prod");
    folder.wait_for_rows("prod", 1);
    first.signal("KILL");
    first.ended(RUN).expect("a killed run ends");

    folder.publish("dev", EVENTS / 2..3 * EVENTS / 4);
    let mut second = folder.start(&["run", "--workers", "2"], "prod");
    second.ready();
    let savepoint = folder.path().join("savepoint");
    folder.to_end(&["stop", "--to", savepoint.to_str().unwrap()], "prod");
    let stopped = second.ended(RUN).expect("a run that is stopped ends");
    assert_eq!(stopped.code, Some(0), "{}", stopped.told);

    folder.publish("dev", 3 * EVENTS / 4..EVENTS);
    let mut resumed = folder.start(&["resume", "--from", savepoint.to_str().unwrap()], "prod");
    resumed.ready();
    resumed.interrupt();
    let resumed = resumed.ended(RUN).expect("a run that is interrupted ends");
    assert_eq!(resumed.code, Some(0), "{}", resumed.told);
    for environment in ["dev", "prod"] {
        folder.to_end(&["run", "--until-caught-up"], environment);
    }
    let (local, remote) = (folder.rows("dev"), folder.rows("prod"));
    assert_eq!(local.len(), EVENTS);
    assert_eq!(remote, local);
    let events =
        |environment| folder.printed(&["query", "SELECT count(*), min(id), max(id) FROM plays", "--csv"], environment);
    assert_eq!(events("prod"), events("dev"));
    local
}
