//! What a stage remembers of its inputs.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use arrow::datatypes::{Schema, SchemaRef};
use dataflow::{
    Batch, Budget, Context, Edge, EventTime, Exchange, Frozen, FrozenInput, FrozenStage, Input, JobGraph, KeyGroups,
    Node, NodeKind, Operator, Output, Port, Progress, Result, Snapshot, Stage, StateReader, stages,
};
use std::sync::Arc;

/// Holds nothing and gives nothing.
struct Nothing;

impl Operator for Nothing {
    fn process(&mut self, _: Input, _: &Batch, _: &mut Context) -> Result<Progress> {
        Ok(Progress::Done)
    }
    fn advance(&mut self, _: EventTime, _: &mut Context) -> Result<Progress> {
        Ok(Progress::Done)
    }
    fn next_due(&self, _: EventTime) -> Option<EventTime> {
        None
    }
    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        Ok(Arc::new(()))
    }
    fn restore(&mut self, _: &mut dyn StateReader, _: &mut Context) -> Result<()> {
        Ok(())
    }
}

/// A stage in which two streams meet in a step, before an output.
fn stage() -> Stage {
    let schema: SchemaRef = Arc::new(Schema::empty());
    let node = |name: &str, kind: NodeKind, inputs| {
        let ports = if matches!(kind, NodeKind::Sink(_)) { vec![] } else { vec![Port::MAIN] };
        Node { name: name.to_owned(), kind, inputs, ports, schema: schema.clone(), describe: String::new() }
    };
    let edge = |from, exchange| Edge { from, port: Port::MAIN, exchange };
    let step = NodeKind::Step(Arc::new(|_| Ok(Box::new(Nothing) as Box<dyn Operator>)));
    let graph = JobGraph {
        nodes: vec![
            node("one", NodeKind::Source("one".to_owned()), vec![]),
            node("other", NodeKind::Source("other".to_owned()), vec![]),
            node("meet", step, vec![edge(0, Exchange::Single), edge(1, Exchange::Single)]),
            node("out", NodeKind::Sink(Output::Query(0)), vec![edge(2, Exchange::Forward)]),
        ],
    };
    let plan = stages(&graph).into_iter().find(|plan| plan.nodes.contains(&2)).unwrap();
    Stage::new(&graph, &plan, KeyGroups::ALL, &|_| EventTime::MIN, Budget::default()).unwrap()
}

fn advance(stage: &mut Stage, input: usize, watermark: Option<i64>) {
    assert_eq!(stage.advance(input, watermark.map(EventTime)).unwrap(), Progress::Done);
}

/// A new stage that goes on from what these froze.
fn restored(frozen: &[&FrozenStage]) -> Stage {
    let mut stage = stage();
    for one in frozen {
        for (node, watermark, state) in &one.nodes {
            let mut snapshot = Snapshot::default();
            state.write(&mut snapshot).unwrap();
            stage.restore(*node, *watermark, &mut snapshot).unwrap();
        }
        one.inputs.iter().enumerate().for_each(|(input, &frozen)| stage.restore_input(input, frozen));
    }
    stage
}

/// Two inputs of which one came further than the step, and is absent now.
fn frozen(one: i64, other: i64) -> FrozenStage {
    let mut stage = stage();
    advance(&mut stage, 0, Some(one));
    advance(&mut stage, 1, Some(other));
    advance(&mut stage, 0, None);
    assert_eq!(stage.present_at(0), EventTime(one), "it joins where it was");
    stage.freeze().unwrap()
}

#[test]
fn what_an_absent_input_was_given_outlives_a_restore() {
    let frozen = frozen(10, 5);
    let absent = FrozenInput { given: EventTime(10), is_absent: true };
    assert_eq!(frozen.inputs, [absent, FrozenInput { given: EventTime(5), is_absent: false }]);
    let mut stage = restored(&[&frozen]);
    assert_eq!(stage.input_watermark(0), Some(EventTime(10)), "it stands there until more is told of it");
    advance(&mut stage, 0, None);
    advance(&mut stage, 1, Some(5));
    assert_eq!(stage.present_at(0), EventTime(10), "it joins where it would have without the restore");
    assert_eq!(stage.nodes().map(|node| node.watermark).collect::<Vec<_>>(), [EventTime(5); 2]);
}

#[test]
fn watermarks_below_those_before_a_restore_are_ignored() {
    let mut stage = restored(&[&frozen(10, 5)]);
    for stale in [i64::MIN, 4, 7, 10] {
        advance(&mut stage, 0, Some(stale));
        assert_eq!(stage.input_watermark(0), Some(EventTime(10)), "after {stale}");
    }
    advance(&mut stage, 0, Some(11));
    assert_eq!(stage.input_watermark(0), Some(EventTime(11)));
}

#[test]
fn of_several_workers_the_one_that_was_given_least_counts() {
    let (one, other) = (frozen(10, 5), frozen(8, 6));
    for parts in [[&one, &other], [&other, &one]] {
        let stage = restored(&parts);
        assert_eq!([0, 1].map(|input| stage.input_watermark(input)), [Some(EventTime(8)), Some(EventTime(5))]);
    }
}
