//! Many committers of one table: in a catalog of a folder, and in a REST catalog behind a network with faults.

use connector_iceberg::{RestSettings, Warehouse};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use tests::Chance;
use tests::catalogs::{Contention, Fault, Proxy, Request, RestServer, Treatment, can_start, commit_at_once, pyiceberg};

/// How long a client waits for an answer; a delayed request comes after that.
const PATIENCE_MS: u64 = 1000;

#[test]
fn committers_of_a_table_in_a_folder_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let locks = folder.path().join(".locks");
    let open = |_| Warehouse::open(folder.path()).unwrap();
    let told = commit_at_once(8, 10, &open, &|| std::fs::remove_dir_all(&locks).unwrap());
    assert_eq!((told.lost, told.doubled), (0, 0), "{told:?}");
}

#[test]
fn committers_of_a_rest_catalog_lose_and_double_nothing_when_the_network_does() {
    if !can_start() {
        return;
    }
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (commits, wanted) = (number("CATALOG_COMMITS", 5), number("CATALOG_FAULTS", 40));
    let (told, faults) = through_faults(8, commits, wanted, number("CATALOG_SEED", 1) as u64);
    println!("{commits} commits each, {faults} faults: {told:?}");
    assert_eq!((told.lost, told.doubled), (0, 0), "{told:?}");
    assert_eq!(faults, wanted);
}

/// Lets committers commit through a proxy that puts so many faults into the requests that change the table.
fn through_faults(committers: usize, commits: usize, faults: usize, seed: u64) -> (Contention, usize) {
    let catalog = RestServer::start(None);
    let chance = Mutex::new((Chance::new(seed), 0));
    let treat = move |request: &Request| {
        let (chance, done) = &mut *chance.lock().unwrap();
        if !request.is_commit() || *done == faults || !chance.permille(600) {
            return Treatment::Pass;
        }
        *done += 1;
        Treatment::Fault(match chance.below(7) {
            0 => Fault::AnswerLost,
            1 => Fault::RequestLost,
            2 => Fault::Delayed(PATIENCE_MS + chance.below(500)),
            3 => Fault::Repeated,
            4 => Fault::Cut(chance.below(400) as usize),
            5 => Fault::ErrorAfter([500, 502, 503, 504][chance.below(4) as usize]),
            _ => Fault::ErrorBefore([500, 502, 503, 504][chance.below(4) as usize]),
        })
    };
    let proxy = Proxy::start(catalog.port, treat);
    let folders = tempfile::tempdir().unwrap();
    let open = |committer: usize| {
        let mut settings = RestSettings::new(proxy.uri());
        settings.timeout = Duration::from_millis(PATIENCE_MS);
        Warehouse::open_rest(settings, &folders.path().join(committer.to_string())).unwrap()
    };
    let told = commit_at_once(committers, commits, &open, &|| {});
    let mut read = Command::new(pyiceberg());
    read.arg(tests::root().join("tests/catalogs/read.py")).args([
        &catalog.uri(),
        "lake.contended",
        "committer, number",
    ]);
    let read = read.output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    assert_eq!(String::from_utf8(read.stdout).unwrap().lines().count(), committers * commits);
    (told, proxy.faults())
}
