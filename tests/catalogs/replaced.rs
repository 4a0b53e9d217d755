//! Jobs that start over on tables of a REST catalog: the new tables take the places of the old ones, whatever the network
//! does and wherever a run is killed.

use crate::project::{EVENTS, Folder, RUN, history_of, with_history};
use crate::read_by_others;
use connector_iceberg::{RestSettings, TableClaim, TableOptions, Warehouse};
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::all_rows;
use tests::catalogs::{Fault, Proxy, Request, RestServer, S3Server, TABLE, Treatment, can_start, prepared, rows};
use tests::machine::{SECOND, now, pause};

/// How long a client waits for an answer.
const PATIENCE_MS: u64 = 2000;
/// The changes that put a new table in place: it is decided, the old one gives way, the new one has the name.
const STEPS: usize = 3;
const OLD_ROWS: usize = 2;
const NEW_ROWS: usize = 3;

/// A catalog behind a proxy that lets so many changes pass, and nothing at all after them; the changes that pass may meet
/// a fault.
struct Steps {
    catalog: RestServer,
    proxy: Proxy,
    left: Arc<AtomicUsize>,
    fault: Arc<Mutex<Option<(usize, Fault)>>>,
}

impl Steps {
    fn start() -> Steps {
        let catalog = RestServer::start(None);
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let fault: Arc<Mutex<Option<(usize, Fault)>>> = Arc::default();
        let (of_left, of_fault) = (left.clone(), fault.clone());
        let proxy = Proxy::start(catalog.port, move |request: &Request| {
            if of_left.load(Ordering::SeqCst) == 0 {
                return Treatment::Fault(Fault::RequestLost);
            }
            if !request.is_commit() {
                return Treatment::Pass;
            }
            of_left.fetch_sub(1, Ordering::SeqCst);
            let next = &mut *of_fault.lock().unwrap();
            match next {
                Some((0, fault)) => {
                    let fault = *fault;
                    *next = None;
                    Treatment::Fault(fault)
                }
                Some((wait, _)) => {
                    *wait -= 1;
                    Treatment::Pass
                }
                None => Treatment::Pass,
            }
        });
        Steps { catalog, proxy, left, fault }
    }

    fn claim(&self, machine: &Path) -> TableClaim {
        let mut settings = RestSettings::new(self.proxy.uri());
        settings.timeout = Duration::from_millis(PATIENCE_MS);
        let warehouse = Warehouse::open_rest(settings, machine).unwrap();
        // The catalog may take long for its first table on a machine that does much else.
        (0..20).find_map(|_| warehouse.claim(TABLE, "sink").ok()).expect("the catalog answers")
    }

    /// Begins a table anew with so many rows, which nobody sees yet where it has rows already.
    fn begin(&self, machine: &Path, count: usize) -> TableClaim {
        let claim = self.claim(machine);
        claim.replace(&rows(0, 0).schema(), &TableOptions::default()).unwrap();
        claim.keep_staged();
        let prepared = (0..count).map(|number| prepared(&claim, &rows(count, number), 1).unwrap()).collect();
        claim.committer().commit(prepared).unwrap();
        claim
    }

    /// How many rows the table has, past the proxy; `None` while there is none.
    fn rows(&self, folder: &Path) -> Option<usize> {
        let warehouse = Warehouse::open_rest(RestSettings::new(self.catalog.uri()), folder).unwrap();
        let is_there = warehouse.exists(TABLE).unwrap();
        is_there.then(|| all_rows(&warehouse, TABLE).iter().map(|rows| rows.num_rows()).sum())
    }

    /// The tables that the catalog has beside the one of the name.
    fn others(&self) -> Vec<String> {
        let (_, listed) = self.catalog.request("GET", "/v1/namespaces/lake/tables", "");
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let names =
            listed["identifiers"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned());
        names.filter(|name| *name != "contended").collect()
    }
}

#[test]
fn the_old_table_stays_for_an_hour_from_when_it_gave_way() {
    if !can_start() {
        return;
    }
    let (steps, folder) = (Steps::start(), tempfile::tempdir().unwrap());
    let machine = folder.path().join("machine");
    drop(steps.begin(&machine, OLD_ROWS));
    let claim = steps.begin(&machine, NEW_ROWS);
    // As if the run had begun long ago.
    let lock = std::fs::File::options().write(true).open(machine.join(".locks/lake/contended.lock")).unwrap();
    let begun = lock.metadata().unwrap().modified().unwrap() - Duration::from_secs(7200);
    lock.set_modified(begun).unwrap();
    // And another one had decided it then, and was killed.
    let path = |name: &str| format!("/v1/namespaces/lake/tables/{name}");
    let (_, staged) = steps.catalog.request("GET", &path("contended__riverrun_new"), "");
    let staged: Value = serde_json::from_str(&staged).unwrap();
    let decided = serde_json::json!({
        "riverrun.replaced-by": staged["metadata"]["table-uuid"],
        "riverrun.replaced-at-ms": begun.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis().to_string(),
    });
    let change =
        serde_json::json!({ "requirements": [], "updates": [{ "action": "set-properties", "updates": decided }] });
    let (status, told) = steps.catalog.request("POST", &path("contended"), &change.to_string());
    assert!(status < 300, "{told}");
    TableClaim::take_places([&claim]).unwrap();
    drop(claim);
    drop(steps.claim(&machine));
    assert_eq!((steps.rows(folder.path()), steps.others().len()), (Some(NEW_ROWS), 1));
}

#[test]
fn a_new_table_takes_its_place_also_where_somebody_has_dropped_the_old_one() {
    if !can_start() {
        return;
    }
    let (steps, folder) = (Steps::start(), tempfile::tempdir().unwrap());
    let machine = folder.path().join("machine");
    drop(steps.begin(&machine, OLD_ROWS));
    let claim = steps.begin(&machine, NEW_ROWS);
    let (status, _) = steps.catalog.request("DELETE", "/v1/namespaces/lake/tables/contended", "");
    assert!(status < 300, "{status}");
    TableClaim::take_places([&claim]).unwrap();
    drop(claim);
    assert_eq!(steps.rows(folder.path()), Some(NEW_ROWS));
}

#[test]
fn a_run_that_ends_between_two_steps_leaves_the_old_table_or_the_next_one_puts_the_new_one_in_place() {
    if !can_start() {
        return;
    }
    for passed in 0..=STEPS {
        let (steps, folder) = (Steps::start(), tempfile::tempdir().unwrap());
        let machine = folder.path().join("machine");
        drop(steps.begin(&machine, OLD_ROWS));
        let claim = steps.begin(&machine, NEW_ROWS);
        assert_eq!(steps.rows(folder.path()), Some(OLD_ROWS), "nobody sees the new one");
        steps.left.store(passed, Ordering::SeqCst);
        let placed = TableClaim::take_places([&claim]);
        assert!(placed.is_err(), "{passed} changes pass, and then nothing");
        drop(claim);
        let expected = [Some(OLD_ROWS), Some(OLD_ROWS), None, Some(NEW_ROWS)][passed];
        assert_eq!(steps.rows(folder.path()), expected, "after {passed} changes");
        steps.left.store(usize::MAX, Ordering::SeqCst);
        drop(steps.claim(&machine));
        let expected = if passed < 2 { OLD_ROWS } else { NEW_ROWS };
        assert_eq!(steps.rows(folder.path()), Some(expected), "after {passed} changes and another run");
        let others = steps.others();
        assert_eq!(others.len(), 1, "{others:?}");
        assert_eq!(others[0].contains("__riverrun_new"), passed < 2, "{others:?}");
    }
}

#[test]
fn a_new_table_is_in_place_once_whatever_the_network_does() {
    if !can_start() {
        return;
    }
    let (steps, folder) = (Steps::start(), tempfile::tempdir().unwrap());
    let machine = folder.path().join("machine");
    drop(steps.begin(&machine, OLD_ROWS));
    let faults = [
        Fault::AnswerLost,
        Fault::RequestLost,
        Fault::Repeated,
        Fault::Cut(20),
        Fault::ErrorAfter(503),
        Fault::ErrorBefore(502),
    ];
    let mut count = OLD_ROWS;
    for fault in faults {
        for step in 0..STEPS {
            count += 1;
            let claim = steps.begin(&machine, count);
            *steps.fault.lock().unwrap() = Some((step, fault));
            let placed = TableClaim::take_places([&claim]);
            placed.unwrap_or_else(|error| panic!("{fault:?} at step {step}: {}", error.chain()));
            TableClaim::take_places([&claim]).expect("a second call changes nothing");
            assert!(steps.fault.lock().unwrap().is_none(), "{fault:?} at step {step}");
            assert_eq!(steps.rows(folder.path()), Some(count), "{fault:?} at step {step}");
        }
    }
    let others = steps.others();
    assert!(others.iter().all(|name| name.contains("__riverrun_old_")), "{others:?}");
    let warehouse = Warehouse::open_rest(RestSettings::new(steps.catalog.uri()), folder.path()).unwrap();
    assert_eq!(warehouse.tables().unwrap(), [TABLE], "those that gave way are no tables to people");
}

#[test]
fn a_new_table_takes_its_place_while_others_change_the_old_one_all_the_time() {
    if !can_start() {
        return;
    }
    let catalog = RestServer::start(None);
    let left = Arc::new(AtomicUsize::new(0));
    let refusals = left.clone();
    let proxy = Proxy::start(catalog.port, move |request: &Request| {
        let decides = String::from_utf8_lossy(&request.body).contains("riverrun.replaced-by");
        let overtaken = || refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if decides && overtaken().is_ok() {
            let refused = r#"{"error":{"message":"the table has changed","type":"CommitFailedException","code":409}}"#;
            return Treatment::Answer(409, refused.to_owned());
        }
        Treatment::Pass
    });
    let steps = Steps { catalog, proxy, left: Arc::default(), fault: Arc::default() };
    let folder = tempfile::tempdir().unwrap();
    let machine = folder.path().join("machine");
    drop(steps.begin(&machine, OLD_ROWS));
    let claim = steps.begin(&machine, NEW_ROWS);
    left.store(10, Ordering::SeqCst);
    TableClaim::take_places([&claim]).unwrap();
    assert_eq!((left.load(Ordering::SeqCst), steps.rows(folder.path())), (0, Some(NEW_ROWS)));
}

/// Lets the table which gave way be one that did so long ago.
fn age(catalog: &RestServer) -> String {
    let (_, listed) = catalog.request("GET", "/v1/namespaces/lake%1Fdeep/tables", "");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut names = listed["identifiers"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str());
    let old = names.find(|name| name.contains("__riverrun_old_")).expect("the old table is there").to_owned();
    let body =
        r#"{"requirements":[],"updates":[{"action":"set-properties","updates":{"riverrun.replaced-at-ms":"1"}}]}"#;
    let (status, told) = catalog.request("POST", &format!("/v1/namespaces/lake%1Fdeep/tables/{old}"), body);
    assert_eq!(status, 200, "{told}");
    old
}

#[test]
fn a_job_starts_over_on_tables_with_rows_and_is_killed_while_there_is_no_table() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let (is_held, is_seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (held, seen) = (is_held.clone(), is_seen.clone());
    let proxy = Proxy::start(catalog.port, move |request: &Request| {
        let body = String::from_utf8_lossy(&request.body);
        let is_last = request.path.ends_with("/tables/rename") && body.contains("__riverrun_new");
        if !is_last || !held.load(Ordering::SeqCst) {
            return Treatment::Pass;
        }
        seen.store(true, Ordering::SeqCst);
        Treatment::Fault(Fault::RequestLost)
    });
    let folder = Folder::new(&with_history(&history_of(&proxy.uri(), &s3.endpoint())));
    folder.publish("dev", 0..EVENTS / 2);
    folder.to_end(&["run", "--until-caught-up"], "prod");
    folder.publish("dev", EVENTS / 2..EVENTS);
    folder.to_end(&["run", "--fresh", "--until-caught-up"], "prod");
    folder.to_end(&["run", "--until-caught-up"], "dev");
    let local = folder.rows("dev");
    assert_eq!((local.len(), folder.rows("prod")), (EVENTS, local.clone()));
    let others = read_by_others(&catalog.uri(), "lake.deep.counted", Some(&s3.endpoint()), &["--order", "id"]);
    assert_eq!(others, local);
    let orphans = folder.printed(&["table", "orphans", "lake.deep.counted", "--json"], "prod");
    assert_eq!(serde_json::from_str::<Value>(&orphans).unwrap()["files"], Value::Array(Vec::new()), "{orphans}");

    let old = age(&catalog);
    is_held.store(true, Ordering::SeqCst);
    let mut killed = folder.start(&["run", "--fresh", "--until-caught-up"], "prod");
    let begun = now();
    while !is_seen.load(Ordering::SeqCst) {
        assert!(now() < begun + RUN, "no table takes the place of the other: {}", killed.told());
        pause(SECOND / 100);
    }
    killed.signal("KILL");
    killed.ended(RUN).expect("a killed run ends");
    is_held.store(false, Ordering::SeqCst);
    let missing = folder.refused(&["query", "SELECT * FROM lake.deep.counted"], "prod");
    assert!(missing.contains("lake.deep.counted"), "{missing}");
    let (status, _) = catalog.request("GET", &format!("/v1/namespaces/lake%1Fdeep/tables/{old}"), "");
    assert_eq!(status, 404, "what gave way over an hour ago is gone");
    folder.to_end(&["run", "--until-caught-up"], "prod");
    assert_eq!(folder.rows("prod"), local);
}
