//! Many committers of one table: in a catalog of a folder, and in a REST catalog behind a network with faults.

use crate::project::{EVENTS, Folder, RUN, history_of, with_history};
use crate::read_by_others;
use crate::ways_in::archives;
use connector_iceberg::{RestSettings, Warehouse};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::Chance;
use tests::catalogs::{
    Contention, Fault, Proxy, Request, RestServer, S3Server, Treatment, can_start, commit_at_once, pyiceberg,
};
use tests::machine::{SECOND, now, pause};

/// How long a client waits for an answer; a delayed request comes after that.
const PATIENCE_MS: u64 = 1000;

#[test]
fn committers_of_a_table_in_a_folder_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let locks = folder.path().join(".locks");
    let open = |_| Warehouse::open(folder.path()).unwrap();
    let told = commit_at_once((8, 10), &open, &|| std::fs::remove_dir_all(&locks).unwrap(), None, 5);
    assert_eq!((told.lost, told.doubled), (0, 0), "{told:?}");
    assert!(told.compactions > 0, "{told:?}");
}

#[test]
fn committers_of_a_rest_catalog_lose_and_double_nothing_when_the_network_does() {
    if !can_start() {
        return;
    }
    let (commits, wanted) = (number("CATALOG_COMMITS", 5), number("CATALOG_FAULTS", 40));
    let (told, faults) = through_faults(8, commits, wanted, number("CATALOG_SEED", 1) as u64);
    eprintln!("8 committers of {commits} commits each, faults {faults:?}: {told:?}");
    assert_eq!((told.lost, told.doubled), (0, 0), "{told:?}");
    assert_eq!(faults.values().sum::<usize>(), wanted);
    let missing: Vec<_> = Fault::KINDS.iter().filter(|kind| !faults.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "no fault was {missing:?}: take another CATALOG_SEED, or more CATALOG_FAULTS");
}

#[test]
fn a_job_waits_for_a_catalog_that_is_away_and_ends_when_it_may_not_enter() {
    if !can_start() {
        return;
    }
    let catalog = RestServer::start(None);
    let mode = Arc::new(AtomicU16::new(200));
    let current = mode.clone();
    let proxy = Proxy::start(catalog.port, move |_: &Request| match current.load(Ordering::SeqCst) {
        200 => Treatment::Pass,
        status => Treatment::Fault(Fault::ErrorBefore(status)),
    });
    let folder = Folder::new(&with_history(&format!("catalog = \"{}\", token = \"env:TEST_TOKEN\"", proxy.uri())));
    folder.publish("dev", 0..EVENTS / 4);
    let mut job = folder.start(&["run"], "prod");
    folder.wait_for_rows("prod", 1);
    mode.store(503, Ordering::SeqCst);
    folder.publish("dev", EVENTS / 4..EVENTS / 2);
    let begun = now();
    while !job.told().contains("waits to be committed") {
        assert!(now() < begun + RUN, "it does not say that it waits: {}", job.told());
        pause(SECOND / 20);
    }
    assert!(job.told().contains("answers 503"), "{}", job.told());
    mode.store(200, Ordering::SeqCst);
    folder.wait_for_rows("prod", EVENTS / 4 + 1);
    mode.store(401, Ordering::SeqCst);
    folder.publish("dev", EVENTS / 2..EVENTS);
    let ended = job.ended(RUN).expect("a job that may not enter ends by itself");
    let told = ended.told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(ended.code, Some(1), "{told}");
    assert!(told.contains("the token is wrong or has expired") && told.contains("it goes on where it was"), "{told}");
    assert!(!told.contains("CANARY"), "a secret is shown: {told}");
    mode.store(200, Ordering::SeqCst);
    for environment in ["dev", "prod"] {
        folder.to_end(&["run", "--until-caught-up"], environment);
    }
    assert_eq!(folder.rows("prod"), folder.rows("dev"));
}

#[test]
fn what_a_catalog_and_a_store_fail_to_do_now_and_then_is_asked_for_again() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let flaky = |port: u16, fails: fn(&Request) -> bool| {
        let requests = AtomicUsize::new(0);
        Proxy::start(port, move |request: &Request| {
            let is_second = fails(request) && requests.fetch_add(1, Ordering::SeqCst) % 2 == 1;
            if is_second { Treatment::Fault(Fault::ErrorBefore(503)) } else { Treatment::Pass }
        })
    };
    let (catalog, store) = (flaky(catalog.port, |request| request.method == "GET"), flaky(s3.port, |_| true));
    archives(&Folder::new(&with_history(&history_of(&catalog.uri(), &store.uri()))));
    assert!(catalog.faults() > 3 && store.faults() > 3, "{} and {} faults", catalog.faults(), store.faults());
}

#[test]
fn files_are_whole_in_a_store_behind_a_network_with_faults() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let chance = Mutex::new(Chance::new(number("CATALOG_SEED", 1) as u64));
    let store = Proxy::start(s3.port, move |_: &Request| {
        let chance = &mut *chance.lock().unwrap();
        if !chance.permille(400) {
            return Treatment::Pass;
        }
        Treatment::Fault(match chance.below(7) {
            0 => Fault::AnswerLost,
            1 => Fault::RequestLost,
            2 => Fault::Delayed(chance.below(300)),
            3 => Fault::Repeated,
            4 => Fault::Cut(chance.below(4000) as usize),
            5 => Fault::ErrorAfter([500, 503][chance.below(2) as usize]),
            _ => Fault::ErrorBefore([500, 502, 503, 504, 429][chance.below(5) as usize]),
        })
    });
    let folder = Folder::new(&with_history(&history_of(&catalog.uri(), &store.uri())));
    for part in 0..6 {
        folder.publish("dev", part * 100..(part + 1) * 100);
        folder.to_end(&["run", "archive", "--until-caught-up"], "prod");
        folder.to_end(&["run", "--until-caught-up", "--workers", "2"], "prod");
    }
    folder.to_end(&["run", "archive", "--until-caught-up"], "dev");
    folder.to_end(&["run", "--until-caught-up"], "dev");
    let faults = store.faults_by_kind();
    eprintln!("faults of the store: {faults:?}");
    assert_eq!(folder.rows("prod"), folder.rows("dev"));
    assert!(faults.len() > 4, "{faults:?}");
}

/// A number of the environment.
pub fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Lets committers commit through a proxy that puts so many faults into the requests that change the table.
fn through_faults(
    committers: usize,
    commits: usize,
    faults: usize,
    seed: u64,
) -> (Contention, BTreeMap<&'static str, usize>) {
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
    // Another engine, which no fault hits: it knows of no commit whose outcome is unknown.
    let pyiceberg_appends = || {
        let mut append = Command::new(pyiceberg());
        append.arg(tests::root().join("tests/catalogs/append.py")).arg(catalog.uri());
        append.args([committers, commits].map(|number| number.to_string()));
        let appended = append.output().unwrap();
        assert!(appended.status.success(), "{}", String::from_utf8_lossy(&appended.stderr));
    };
    // So many that none goes under the other engine's hands, which would not try again.
    let told = commit_at_once((committers, commits), &open, &|| {}, Some(&pyiceberg_appends), 100);
    let rows = read_by_others(&catalog.uri(), "lake.contended", None, &[]);
    assert_eq!(rows.len(), (committers + 1) * commits);
    (told, proxy.faults_by_kind())
}
