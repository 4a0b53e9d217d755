//! Many committers of one table at the same time.

use super::committer::sink;
use crate::all_rows;
use crate::machine::{SECOND, now, pause};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use connector_iceberg::{CompactOptions, ExpireOptions, TableClaim, TableHolds, TableOptions, Warehouse};
use dataflow::{Clock, Committable, ErrorKind, ProcessingTime, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// The table that all commit to.
pub const TABLE: &str = "lake.contended";
/// So many snapshots stay in it, so that others expire while it is committed to.
const SNAPSHOTS_MAX: &str = "20";
/// Later than all that happens here.
const LATER_MS: i64 = 4_000_000_000_000;
/// How long one commit may be tried.
const COMMIT: i64 = 600 * SECOND;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Contention {
    /// Commits whose rows are not in the table.
    pub lost: usize,
    /// Commits whose rows are there more than once.
    pub doubled: usize,
    /// How often a commit was tried again by its owner.
    pub again: usize,
    /// How many snapshots a compaction made meanwhile, as far as it has heard.
    pub compactions: usize,
}

/// Lets so many committers commit so often, each under a sink of its own. `open` gives each its warehouse, and a way to
/// take the table although another one of this machine holds it, as one of another machine would. `beside` is another
/// engine that commits as often meanwhile, under the number after the last committer's. All the while the table is compacted,
/// and snapshots go, of which so many stay.
pub fn commit_at_once(
    (committers, commits): (usize, usize),
    open: &(dyn Fn(usize) -> Warehouse + Sync),
    forget_locks: &(dyn Fn() + Sync),
    beside: Option<&(dyn Fn() + Sync)>,
    keep: u32,
) -> Contention {
    let claims: Vec<TableClaim> = (0..committers)
        .map(|committer| {
            let claim = tried(&mut || {
                let claim = open(committer).claim(TABLE, &sink(committer))?;
                claim.create(&rows(0, 0).schema(), &options())?;
                Ok(claim)
            });
            forget_locks();
            claim.0
        })
        .collect();
    let (is_done, keeper) = (AtomicBool::new(false), open(committers));
    let (again, compactions) = thread::scope(|scope| {
        let run = |(committer, claim): (usize, &TableClaim)| {
            let claim = claim.clone();
            scope.spawn(move || (0..commits).map(|number| commit(&claim, committer, number)).sum::<usize>())
        };
        let beside = beside.map(|beside| scope.spawn(beside));
        let keeping = scope.spawn(|| keep_in_order(&keeper, &is_done, keep));
        let threads: Vec<_> = claims.iter().enumerate().map(run).collect();
        beside.into_iter().for_each(|beside| beside.join().expect("the other engine comes to its end"));
        let again: usize = threads.into_iter().map(|thread| thread.join().expect("a committer comes to its end")).sum();
        is_done.store(true, Ordering::SeqCst);
        (again, keeping.join().expect("who keeps the table in order comes to an end"))
    });
    let mut found = Vec::new();
    for batch in all_rows(&open(0), TABLE) {
        let column = |index: usize| batch.column(index).as_primitive::<Int64Type>().values().to_vec();
        found.extend(column(0).into_iter().zip(column(1)));
    }
    let writers = committers + usize::from(beside.is_some());
    let (lost, doubled) = lost_and_doubled(&found, (writers, commits));
    Contention { lost, doubled, again, compactions }
}

/// A clock that stands: a snapshot is never older than the state of the table that it is made of.
struct Stands;

impl Clock for Stands {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(0)
    }
}

/// Compacts the table and lets snapshots go until the others are done; gives how many snapshots it has made.
pub fn keep_in_order(warehouse: &Warehouse, is_done: &AtomicBool, keep: u32) -> usize {
    let mut made = 0;
    while !is_done.load(Ordering::SeqCst) {
        let compacted = warehouse.compact(TABLE, CompactOptions::default(), &Stands, &mut |_| true);
        let options = ExpireOptions { older_than: None, keep: Some(keep as usize), readers: Duration::ZERO };
        let expired = warehouse.expire(TABLE, options, &TableHolds::default(), LATER_MS, &mut |_, _| {});
        made += compacted.as_ref().map_or(0, |compacted| compacted.snapshots);
        // What has met a fault is tried again with the next turn.
        for error in compacted.err().into_iter().chain(expired.err()) {
            assert!(error.kind() == ErrorKind::Unavailable, "{}", error.chain());
        }
        pause(SECOND / 20);
    }
    made
}

/// How many commits of so many writers have no row in what was found, and how many have more than one.
pub fn lost_and_doubled(found: &[(i64, i64)], (writers, commits): (usize, usize)) -> (usize, usize) {
    let mut counts: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    found.iter().for_each(|commit| *counts.entry(*commit).or_default() += 1);
    let expected = (0..writers as i64).flat_map(|writer| (0..commits as i64).map(move |number| (writer, number)));
    let lost = expected.filter(|commit| !counts.contains_key(commit)).count();
    (lost, counts.values().filter(|&&count| count != 1).count())
}

/// The options of the table: few snapshots stay.
pub fn options() -> TableOptions {
    let properties = vec![("riverrun.history.max-snapshots".to_owned(), SNAPSHOTS_MAX.to_owned())];
    TableOptions { properties, ..TableOptions::default() }
}

fn commit(claim: &TableClaim, committer: usize, number: usize) -> usize {
    let prepared = tried(&mut || prepared(claim, &rows(committer, number), number as u64 + 1)).0;
    let mut commits = claim.committer();
    tried(&mut || commits.commit(vec![prepared.clone()])).1
}

/// Rows that a checkpoint has prepared.
pub fn prepared(claim: &TableClaim, rows: &RecordBatch, checkpoint: u64) -> Result<Committable> {
    let mut writer = claim.writer(0)?;
    writer.write_rows(rows)?;
    Ok(writer.finish(Some(checkpoint))?.expect("there are rows"))
}

/// Tries as the host of a job does: as long as the catalog does not answer.
fn tried<T>(attempt: &mut dyn FnMut() -> Result<T>) -> (T, usize) {
    let (begun, mut again) = (now(), 0);
    loop {
        match attempt() {
            Ok(done) => return (done, again),
            Err(error) if error.kind() == ErrorKind::Unavailable && now() < begun + COMMIT => again += 1,
            Err(error) => panic!("a committer gave up: {}", error.chain()),
        }
        pause(SECOND / 50);
    }
}

/// The row of one commit.
pub fn rows(committer: usize, number: usize) -> RecordBatch {
    let column = |value: usize| Arc::new(Int64Array::from(vec![value as i64])) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([("committer", column(committer), true), ("number", column(number), true)])
        .expect("the rows are a batch")
}
