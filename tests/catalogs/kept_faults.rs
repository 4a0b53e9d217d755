//! Tables in S3 that are kept in order behind a network which loses, delays, repeats and cuts requests and answers, to the
//! catalog and to the store: nothing that a snapshot names is deleted, and no row changes.

use crate::faults::number;
use crate::kept::OUTPUT;
use crate::project::{Folder, history_of, with_history};
use crate::read_by_others;
use crate::tables::warehouse;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};
use tests::Chance;
use tests::catalogs::{Fault, Proxy, Request, RestServer, S3Server, Treatment, can_start};
use tests::machine::now;

/// How long ago all files were written, as the store says before orphans are looked for.
const AGE: Duration = Duration::from_secs(7 * 86_400);
const PART: usize = 60;
/// How often a command may meet so many faults that it gives up.
const ATTEMPTS: usize = 20;

/// A proxy with faults by seed, in so many of a thousand requests.
fn faulty(upstream: u16, permille: u64, seed: u64) -> Proxy {
    let chance = Mutex::new(Chance::new(seed));
    Proxy::start(upstream, move |_: &Request| {
        let chance = &mut *chance.lock().unwrap();
        if !chance.permille(permille) {
            return Treatment::Pass;
        }
        Treatment::Fault(match chance.below(7) {
            0 => Fault::AnswerLost,
            1 => Fault::RequestLost,
            2 => Fault::Delayed(chance.below(300)),
            3 => Fault::Repeated,
            4 => Fault::Cut(chance.below(4000) as usize),
            5 => Fault::ErrorAfter([500, 503][chance.below(2) as usize]),
            _ => Fault::ErrorBefore([500, 502, 503, 504][chance.below(4) as usize]),
        })
    })
}

/// A table on servers, past all proxies.
struct Placed {
    catalog: RestServer,
    s3: S3Server,
    machine: tempfile::TempDir,
}

impl Placed {
    fn file(&self, location: &str) -> PathBuf {
        self.s3.folder().join(location.strip_prefix("s3://").unwrap_or(location))
    }

    /// Looks for all that snapshots name; gives how many files those are.
    fn check_whole(&self) -> usize {
        let (_, told) = self.catalog.request("GET", "/v1/namespaces/lake%1Fdeep/tables/counted", "");
        let told: Value = serde_json::from_str(&told).unwrap();
        let (warehouse, mut found) = (warehouse(&self.catalog, Some(&self.s3), self.machine.path()), 0);
        for snapshot in told["metadata"]["snapshots"].as_array().unwrap() {
            let list = self.file(snapshot["manifest-list"].as_str().unwrap());
            assert!(list.is_file(), "{} is gone", list.display());
            // Planning reads all manifests of a snapshot.
            let files = warehouse.read_at(OUTPUT, snapshot["snapshot-id"].as_i64().unwrap()).unwrap();
            for file in files.files() {
                let path = self.file(&file.path);
                assert!(path.is_file(), "{} is gone", path.display());
                found += 1;
            }
        }
        found
    }

    fn folder(&self) -> PathBuf {
        let (_, told) = self.catalog.request("GET", "/v1/namespaces/lake%1Fdeep/tables/counted", "");
        let told: Value = serde_json::from_str(&told).unwrap();
        self.file(told["metadata"]["location"].as_str().unwrap())
    }
}

/// Lets all files below a folder be old.
fn age(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => age(&path),
            false => File::open(&path)
                .unwrap()
                .set_modified(SystemTime::UNIX_EPOCH + Duration::from_micros(now() as u64) - AGE)
                .unwrap(),
        }
    }
}

/// Runs a command until it meets no more faults than it stands; gives how often it gave up.
fn insist(folder: &Folder, arguments: &[&str]) -> usize {
    for gave_up in 0..ATTEMPTS {
        let ran = folder.command(arguments, "prod");
        if ran.status.success() {
            return gave_up;
        }
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
    }
    panic!("{arguments:?} does not come to an end");
}

#[test]
fn tables_in_s3_are_kept_in_order_behind_a_network_with_faults_and_lose_nothing() {
    if !can_start() {
        return;
    }
    let seed = number("CATALOG_SEED", 1) as u64;
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let placed = Placed { catalog, s3, machine: tempfile::tempdir().unwrap() };
    let (to_catalog, to_store) = (faulty(placed.catalog.port, 60, seed), faulty(placed.s3.port, 150, seed + 1));
    let folder = Folder::new(&with_history(&history_of(&to_catalog.uri(), &to_store.uri())));
    let (mut gave_up, mut named, planted) = (0, 0, "data/left-by-another.parquet");
    for round in 0..number("CATALOG_ROUNDS", 5) {
        for part in 0..3 {
            let first = (round * 3 + part) * PART;
            folder.publish("dev", first..first + PART);
            gave_up += insist(&folder, &["run", "--until-caught-up", "--workers", "1"]);
        }
        gave_up += insist(&folder, &["table", "compact", OUTPUT, "--apply"]);
        named += placed.check_whole();
        gave_up += insist(&folder, &["table", "expire", OUTPUT, "--keep", "3", "--nobody-reads", "--apply"]);
        named += placed.check_whole();
        let location = placed.folder();
        fs::create_dir_all(location.join("data")).unwrap();
        fs::write(location.join(planted), b"nobody names it").unwrap();
        age(&location);
        gave_up += insist(&folder, &["table", "orphans", OUTPUT, "--apply"]);
        named += placed.check_whole();
        assert!(!location.join(planted).exists(), "round {round}: an orphan is left");
    }
    folder.to_end(&["run", "--until-caught-up"], "dev");
    let faults = [to_catalog.faults_by_kind(), to_store.faults_by_kind()];
    eprintln!("seed {seed}: faults {faults:?}, {gave_up} commands gave up, {named} files named by snapshots are there");
    let others = read_by_others(&placed.catalog.uri(), OUTPUT, Some(&placed.s3.endpoint()), &["--order", "id"]);
    assert_eq!(others, folder.rows("dev"));
    assert!(faults.iter().all(|of_one| of_one.values().sum::<usize>() > 5), "{faults:?}");
}
