//! The naive twins composed: what every node of a job puts out over whole streams.

use super::super::{as_of, decision, dedup, letters, range_aggregate, window, zip};
use super::job::{Job, Step};
use crate::harness::{Row, Value, sort};
use dataflow::{BadRowPolicy, EventTime, NodeKind, Port};
use std::collections::BTreeMap;

/// The rows of each port of each node, in order of time, order and values.
pub(super) struct Naive(BTreeMap<(usize, Port), Vec<Row>>);

impl Naive {
    pub(super) fn of(&self, node: usize, port: Port) -> &[Row] {
        self.0.get(&(node, port)).map_or(&[], |rows| rows)
    }

    /// The rows that come into a node, of one input or of all.
    pub(super) fn into(&self, job: &Job, node: usize, input: Option<usize>) -> Vec<Row> {
        let edges = job.graph.nodes[node].inputs.iter().enumerate();
        let edges = edges.filter(|(at, _)| input.is_none_or(|input| input == *at));
        let mut rows: Vec<Row> = edges.flat_map(|(_, edge)| self.of(edge.from, edge.port).to_vec()).collect();
        sort(&mut rows);
        rows
    }
}

/// Runs a job over the rows of its streams.
pub(super) fn run(job: &Job, streams: &[Vec<Row>]) -> Naive {
    let mut naive = Naive(BTreeMap::new());
    let mut streams = streams.iter();
    for (node, step) in job.steps.iter().enumerate() {
        let (main, bad, records) = match &job.graph.nodes[node].kind {
            NodeKind::Source(_) => (streams.next().unwrap().clone(), vec![], vec![]),
            _ => put_out(job, node, step, &naive),
        };
        let policy = match step {
            Step::Filter(_, policy) | Step::Project(_, policy) | Step::Decision(_, policy) => *policy,
            Step::Window(_, policy) | Step::Range(_, policy) => *policy,
            _ => BadRowPolicy::Fail,
        };
        let bad = if policy == BadRowPolicy::DeadLetter { letters(&bad) } else { vec![] };
        for (port, mut rows) in [(Port::MAIN, main), (Port::DEAD_LETTER, bad), (Port::RECORDS, records)] {
            sort(&mut rows);
            naive.0.insert((node, port), rows);
        }
    }
    naive
}

/// The main rows, the bad ones, and the records of a node.
fn put_out(job: &Job, node: usize, step: &Step, naive: &Naive) -> (Vec<Row>, Vec<(Row, String)>, Vec<Row>) {
    let (all, left) = (naive.into(job, node, None), naive.into(job, node, Some(0)));
    let right = || naive.into(job, node, Some(1));
    let with_bad = |(main, bad)| (main, bad, vec![]);
    let alone = |main| (main, vec![], vec![]);
    match step {
        Step::Source | Step::Merge => alone(all),
        Step::Sink(after) => alone(all.into_iter().filter(|row| EventTime(row.time) > *after).collect()),
        Step::Filter(condition, _) => {
            let mut bad = Vec::new();
            let is_kept = |row: &Row| match condition.of(row) {
                Ok(value) => value == Value::Boolean(true),
                Err(()) => {
                    bad.push((row.clone(), "the number is 3".to_owned()));
                    false
                }
            };
            let main = all.into_iter().filter(is_kept).collect();
            (main, bad, vec![])
        }
        Step::Project(condition, _) => {
            let (mut main, mut bad) = (Vec::new(), Vec::new());
            for mut row in all {
                match condition.of(&row) {
                    Ok(value) => {
                        row.values.truncate(4);
                        row.values.push(value);
                        main.push(row);
                    }
                    Err(()) => bad.push((row, "column \"flag\": the number is 3".to_owned())),
                }
            }
            (main, bad, vec![])
        }
        Step::Dedup(keys, within) => alone(dedup::twin(&all, keys, *within)),
        Step::Window(spec, _) => with_bad(window::twin(spec, &all)),
        Step::AsOf(spec) => alone(as_of::twin(spec, &left, &right())),
        Step::Keep(columns) => {
            let kept = |row: Row| {
                let values = columns.iter().map(|&column| row.values[column].clone()).collect();
                Row { values, ..row }
            };
            alone(all.into_iter().map(kept).collect())
        }
        Step::Zip(spec) => alone(zip::twin(spec, &left, &right())),
        Step::Range(spec, _) => with_bad(range_aggregate::twin(spec, &left, &right())),
        Step::Decision(rules, _) => {
            let (actions, records, bad) = decision::twin(rules, &all);
            (actions, bad, records)
        }
    }
}
