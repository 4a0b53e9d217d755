//! Random jobs of real operators, cut into stages and driven by hosts, against the naive twins composed over whole
//! streams.
//!
//! ```text
//! rows of streams --> twins, node by node ----------------------------------> rows of each outlet
//!                `--> splits: batches, watermarks --> stages, workers ------> rows of each outlet
//! ```
//!
//! Hosts take events in any order, at any budget, freeze one worker between any two calls, and all of them at a barrier,
//! where their number may change and splits turn present that had shown nothing.

mod dice;
mod feed;
mod held;
mod host;
mod job;
mod naive;
mod seen;
mod specs;

use super::rows;
use crate::harness::{Row, assert_same, sort};
use dataflow::{EventTime, NodeKind, Outlet, Port, stages};
use dice::Dice;
use feed::{Event, Sender, Timeline};
use host::Sent;
use job::Job;
use naive::Naive;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use seen::Seen;
use std::collections::HashMap;

/// Runs a job that a seed determines and holds it against its twins.
fn check(seed: u64, size: usize, streams: &[Vec<Row>], seen: &mut Seen) {
    let dice = &mut Dice::new(seed);
    let job = job::job(dice, streams.len(), size);
    let timeline = Timeline::new(dice);
    let splits: Vec<_> = streams.iter().enumerate().map(|(at, rows)| feed::splits(dice, at, rows, &timeline)).collect();
    let whole: Vec<Vec<Row>> =
        splits.iter().map(|splits| splits.iter().flat_map(|split| split.rows.clone()).collect()).collect();
    let naive = naive::run(&job, &whole);
    let mut sent = Sent::new();
    let sources = (0..job.steps.len()).filter(|&node| matches!(job.graph.nodes[node].kind, NodeKind::Source(_)));
    for (node, splits) in sources.zip(&splits) {
        sent.insert((node, Port::MAIN), feed::senders(dice, splits, &timeline));
    }
    for plan in &stages(&job.graph) {
        seen.look_at(&job, plan, &naive);
        let left = host::run((&job, plan, &naive), &timeline.workers, &sent, (dice, seen));
        for (outlet, senders) in plan.outlets.iter().zip(left) {
            check_outlet(&job, &naive, *outlet, &senders);
            if let Outlet::Port(node, port) = *outlet {
                sent.insert((node, port), senders);
            }
        }
    }
}

/// What left at an outlet is what the twins say: no row behind a watermark, no watermark that goes back, in order where
/// rows come in order.
fn check_outlet(job: &Job, naive: &Naive, outlet: Outlet, senders: &[Vec<Sender>]) {
    let (node, port) = match outlet {
        Outlet::Port(node, port) => (node, port),
        Outlet::Sink(node) => (node, Port::MAIN),
    };
    let (mut found, mut last) = (Vec::new(), HashMap::<usize, Row>::new());
    // A barrier after which others go on leaves them the least watermark of those that were.
    let mut floor = EventTime::MIN;
    for workers in senders {
        let mut reached = Vec::new();
        for sender in workers {
            let mut watermark = floor;
            for event in &sender.events {
                match event {
                    Event::Watermark(Some(now)) => {
                        assert!(watermark <= *now, "the watermark of {outlet:?} went back to {now}");
                        watermark = *now;
                    }
                    Event::Watermark(None) => {}
                    Event::Rows(batch) => {
                        for row in crate::harness::rows(batch) {
                            let is_ahead = watermark == EventTime::MIN || watermark.0 < row.time;
                            assert!(is_ahead, "{outlet:?}: {row:?} is behind {watermark}");
                            let before = last.insert(sender.worker, row.clone());
                            let in_order = before.is_none_or(|one| (one.time, one.order) < (row.time, row.order));
                            assert!(!job.sorted[node] || in_order, "{outlet:?}: {row:?} is out of order");
                            found.push(row);
                        }
                    }
                }
            }
            reached.push(watermark);
        }
        floor = reached.into_iter().min().unwrap_or(floor);
    }
    sort(&mut found);
    assert_same(&found, naive.of(node, port));
}

fn cases() -> impl Strategy<Value = (u64, usize, Vec<Vec<Row>>)> {
    (any::<u64>().no_shrink(), 1usize..9, prop::collection::vec(rows(30), 1..4))
}

proptest! {
    #![proptest_config(super::config())]

    #[test]
    fn stages_are_the_twins_composed((seed, size, streams) in cases()) {
        check(seed, size, &streams, &mut Seen::default());
    }
}

/// What the property is about happens in its cases.
#[test]
fn cases_go_through_everything() {
    let (mut runner, mut seen) = (TestRunner::deterministic(), Seen::default());
    for _ in 0..200 {
        let (seed, size, streams) = cases().new_tree(&mut runner).unwrap().current();
        check(seed, size, &streams, &mut seen);
    }
    let Seen { more, freezes, rescales, joins, due, fused, shared, meeting, letters, records, zipped } = seen;
    let often = [more, freezes, due];
    assert!(often.iter().all(|&times| times > 1000), "{seen:?}");
    let rarely = [rescales, joins, fused, shared, meeting, letters, records, zipped];
    assert!(rarely.iter().all(|&times| times > 30), "{seen:?}");
}
