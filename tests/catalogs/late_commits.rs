//! Commits of which nobody knows what has become of them, and that come late: they are in the table once, whoever looks.

use connector_iceberg::{RestSettings, TableClaim, TableOptions, Warehouse};
use dataflow::Committable;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::all_rows;
use tests::catalogs::{Fault, Proxy, Request, RestServer, TABLE, Treatment, can_start, prepared, rows};
use tests::machine::{SECOND, pause};

/// How long a client waits for an answer.
const PATIENCE_MS: u64 = 1000;

/// A catalog behind a proxy that treats the next commit as it is told to.
struct OneFault {
    catalog: RestServer,
    proxy: Proxy,
    next: Arc<Mutex<Option<Fault>>>,
}

impl OneFault {
    fn start() -> OneFault {
        let catalog = RestServer::start(None);
        let next: Arc<Mutex<Option<Fault>>> = Arc::default();
        let taken = next.clone();
        let proxy = Proxy::start(catalog.port, move |request: &Request| {
            let fault = if request.is_commit() { taken.lock().unwrap().take() } else { None };
            fault.map_or(Treatment::Pass, Treatment::Fault)
        });
        OneFault { catalog, proxy, next }
    }

    /// The right to write the table, as a run has it whose machine is this folder.
    fn claim(&self, machine: &Path) -> TableClaim {
        let mut settings = RestSettings::new(self.proxy.uri());
        settings.timeout = Duration::from_millis(PATIENCE_MS);
        let warehouse = Warehouse::open_rest(settings, machine).unwrap();
        // The catalog may take long for its first table on a machine that does much else.
        let claimed = (0..20).find_map(|_| {
            let claim = warehouse.claim(TABLE, "sink").ok()?;
            claim.create(&rows(0, 0).schema(), &TableOptions::default()).ok()?;
            Some(claim)
        });
        claimed.expect("the catalog answers")
    }

    fn commits(&self, claim: &TableClaim, fault: Option<Fault>, committable: &Committable) -> dataflow::Result<()> {
        *self.next.lock().unwrap() = fault;
        claim.committer().commit(vec![committable.clone()])
    }

    /// Commits without a fault, and again while the catalog takes longer than a client waits.
    fn until_answered(&self, claim: &TableClaim, committable: &Committable) -> dataflow::Result<()> {
        let mut committed = self.commits(claim, None, committable);
        for _ in 0..20 {
            match &committed {
                Err(error) if error.kind() == dataflow::ErrorKind::Unavailable => {
                    committed = self.commits(claim, None, committable);
                }
                _ => break,
            }
        }
        committed
    }

    /// How many rows the table has, past the proxy.
    fn rows(&self, folder: &Path) -> usize {
        let warehouse = Warehouse::open_rest(RestSettings::new(self.catalog.uri()), folder).unwrap();
        all_rows(&warehouse, TABLE).iter().map(|rows| rows.num_rows()).sum()
    }
}

#[test]
fn an_answer_that_is_lost_or_says_something_else_changes_nothing_that_is_in_the_table() {
    if !can_start() {
        return;
    }
    let (trial, folder) = (OneFault::start(), tempfile::tempdir().unwrap());
    let claim = trial.claim(&folder.path().join("machine"));
    let mut faults = vec![Fault::AnswerLost, Fault::RequestLost, Fault::Repeated, Fault::Cut(0), Fault::Cut(50)];
    // Proxies answer for a catalog in any way, also with a conflict that is the answer to our own commit.
    for status in [408, 409, 425, 429, 500, 502, 503, 504] {
        faults.extend([Fault::ErrorAfter(status), Fault::ErrorBefore(status)]);
    }
    for (number, fault) in faults.into_iter().enumerate() {
        let committable = prepared(&claim, &rows(0, number), number as u64 + 1).unwrap();
        let mut committed = trial.commits(&claim, Some(fault), &committable);
        if let Err(error) = &committed {
            assert_eq!(error.kind(), dataflow::ErrorKind::Unavailable, "{fault:?}: {}", error.chain());
            committed = trial.until_answered(&claim, &committable);
        }
        committed.unwrap_or_else(|error| panic!("{fault:?}: {}", error.chain()));
        assert_eq!(trial.rows(folder.path()), number + 1, "{fault:?}");
    }
}

#[test]
fn a_run_that_ends_before_it_hears_of_its_commit_leaves_it_to_the_next() {
    if !can_start() {
        return;
    }
    for fault in [Fault::AnswerLost, Fault::RequestLost, Fault::Delayed(4 * PATIENCE_MS)] {
        let (trial, folder) = (OneFault::start(), tempfile::tempdir().unwrap());
        let first = trial.claim(&folder.path().join("first"));
        let committable = prepared(&first, &rows(0, 0), 1).unwrap();
        let unknown = trial.commits(&first, Some(fault), &committable);
        let landed = matches!(fault, Fault::AnswerLost);
        assert_eq!(unknown.is_ok(), landed, "{fault:?}");
        // The next run knows the same checkpoint, and takes the table before a commit that is late comes to it.
        let second = trial.claim(&folder.path().join("second"));
        trial.until_answered(&second, &committable).unwrap();
        trial.until_answered(&second, &committable).unwrap();
        pause(5 * PATIENCE_MS as i64 * SECOND / 1000);
        assert_eq!(trial.rows(folder.path()), 1, "{fault:?}");
        let fenced = prepared(&first, &rows(0, 1), 2).and_then(|late| trial.commits(&first, None, &late));
        assert!(fenced.unwrap_err().chain().contains("fenced"), "{fault:?}");
        assert_eq!(trial.rows(folder.path()), 1, "{fault:?}");
    }
}
