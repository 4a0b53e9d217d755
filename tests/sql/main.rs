//! What SQL means, and when rows come out: files of statements with virtual time, in a matrix of hosts, and DuckDB as
//! judge of what it knows.
//!
//! A file is for the sqllogictest crate. Beside the SQL of a project it holds, as statements: `INSERT INTO stream ..`
//! (rows arrive on the stream's topic now, `INTO stream PARTITION 1 ..` says where), `PARTITIONS stream n`,
//! `PUT stream 'payload'`, `ADVANCE n SECONDS` and `ARCHIVE stream`, after which jobs start anew. Queries are SELECTs,
//! which run to where their inputs end, and `TAKE [columns FROM] view`, which gives the rows that have come out of a
//! job that goes on since the last one; `TAKE [columns FROM] table BESIDE view` gives what the job of a view writes to a
//! table of dead letters or late rows.

mod aggregates;
mod bounded;
mod conservation;
mod early;
mod errors;
mod harness;
mod oracle;
mod place;
mod rules;

use harness::{Bench, By, Host};
use sqllogictest::{Runner, default_column_validator, default_normalizer, default_validator};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Workers, whether what ARCHIVE names is copied or stays on its topic, who chooses what happens next, and whether jobs are
/// killed on their way.
const HOSTS: [Host; 11] = [
    Host { workers: 1, archives: false, by: By::Seed(1) },
    Host { workers: 2, archives: false, by: By::Seed(2) },
    Host { workers: 4, archives: false, by: By::Seed(3) },
    Host { workers: 1, archives: true, by: By::Seed(4) },
    Host { workers: 2, archives: true, by: By::Seed(5) },
    Host { workers: 4, archives: true, by: By::Seed(6) },
    Host { workers: 4, archives: true, by: By::Seed(7) },
    Host { workers: 2, archives: true, by: By::Threads },
    Host { workers: 3, archives: false, by: By::Threads },
    Host { workers: 2, archives: true, by: By::Kills(8) },
    Host { workers: 2, archives: false, by: By::Kills(9) },
];

fn files() -> Vec<PathBuf> {
    let folder = tests::root().join("tests/sql/files");
    let entries = std::fs::read_dir(folder).expect("the files are there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("the files are there").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    files
}

/// Polls something that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a file of statements waited for something"),
    }
}

#[test]
fn files_give_the_same_rows_at_the_same_time_on_every_host() {
    let rewrite = std::env::var_os("RIVERRUN_REWRITE").is_some();
    let mut wrong = Vec::new();
    for path in files() {
        if rewrite {
            let mut runner = Runner::new(|| async { Ok(Bench::new(HOSTS[0], Arc::default())) });
            let written =
                runner.update_test_file(&path, "\t", default_validator, default_normalizer, default_column_validator);
            now(written).expect("the file can be written");
        }
        for host in HOSTS {
            let mut runner = Runner::new(|| async { Ok(Bench::new(host, Arc::default())) });
            if let Err(error) = runner.run_file(&path) {
                wrong.push(format!("{host:?}: {}", error.display(false)));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn duckdb_agrees_with_every_select_that_it_takes() {
    let mut agreed = 0;
    for path in files() {
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        if text.starts_with("# Not for DuckDB: ") {
            continue;
        }
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut runner = Runner::new(|| async { Ok(Bench::new(HOSTS[0], asked.clone())) });
        runner.run_file(&path).unwrap_or_else(|error| panic!("{}", error.display(false)));
        let asked = asked.lock().expect("no other thread fails");
        let of_file = oracle::agree(&path, &asked).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()));
        assert!(of_file > 0, "{}: DuckDB takes no SELECT; say \"# Not for DuckDB: \" and why", path.display());
        agreed += of_file;
    }
    assert!(agreed >= 25, "DuckDB took only {agreed} SELECTs");
}
