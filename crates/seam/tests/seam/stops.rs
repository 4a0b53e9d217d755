//! Jobs that are told to end while a checkpoint is on its way.

use crate::going_on::only_live;
use crate::host::{Host, Run};
use crate::memory::*;
use dataflow::{Message, ReaderState};
use seam::Quiet;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// Messages of two partitions, ten milliseconds apart.
fn logs() -> Vec<Vec<Message>> {
    let mut logs = vec![Vec::new(); 2];
    for id in 0..1_000 {
        let at = 1_000_000 * SECOND + id * 10 * MILLI;
        push(&mut logs[id as usize % 2], at, format!("{id},{at}"), false);
    }
    logs
}

#[test]
fn nothing_is_read_after_the_end_was_asked_for_however_long_a_checkpoint_takes() {
    let topic = Arc::new(MemoryTopic::new("t", logs()));
    let last = topic.now.load(SeqCst);
    // Half of the messages are there when it begins.
    let begun = last - 5_000 * MILLI;
    topic.set_now(begun);
    let run = Run { now: begun, ..Run::new(false, 2) };
    let mut host = Host::open(vec![only_live(&topic, 10 * MILLI, Quiet::Never)], run).unwrap();
    host.rest(20).unwrap();
    let read = host.rows[0].len();
    assert!(read > 400, "{read} rows were read");
    host.store_is_away = true;
    host.want_checkpoint().unwrap();
    host.want_end().unwrap();
    let checkpoints = host.checkpoints;
    topic.set_now(last);
    host.now = last;
    host.rest(20).unwrap();
    for reader in host.readers() {
        let state = host.state(reader);
        assert!(matches!(state, ReaderState::Waiting { .. }), "{reader:?} would be polled without end: {state:?}");
    }
    assert_eq!((host.rows[0].len(), host.checkpoints), (read, checkpoints));
    host.store_is_back().unwrap();
    let kept = host.kept.take().expect("a checkpoint was stored");
    assert!(kept.last && kept.rows == [read], "the last checkpoint has {:?} of {read} rows", kept.rows);
    // What was not read is read by the next run.
    let run = Run { now: last, ..Run::new(false, 1) };
    let mut next = Host::go_on(vec![only_live(&topic, 10 * MILLI, Quiet::Never)], run, Some(&kept)).unwrap();
    next.rest(20).unwrap();
    assert_eq!(read + next.rows[0].len(), topic.messages());
}
