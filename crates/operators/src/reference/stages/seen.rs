//! What runs have gone through, so that a test can say that they go through everything.

use super::held;
use super::job::{Job, Step};
use super::naive::Naive;
use dataflow::{Edge, Port, StagePlan};

/// What runs have gone through.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) more: usize,
    pub(super) freezes: usize,
    pub(super) rescales: usize,
    pub(super) joins: usize,
    pub(super) due: usize,
    pub(super) fused: usize,
    pub(super) shared: usize,
    pub(super) meeting: usize,
    pub(super) letters: usize,
    pub(super) records: usize,
    pub(super) zipped: usize,
}

impl Seen {
    /// Counts what a stage and its rows are.
    pub(super) fn look_at(&mut self, job: &Job, plan: &StagePlan, naive: &Naive) {
        let nodes = || plan.nodes.iter().map(|&node| &job.graph.nodes[node]);
        let within = |edge: &&Edge| plan.nodes.contains(&edge.from);
        self.fused += usize::from(nodes().flat_map(|node| &node.inputs).filter(within).count() > 1);
        let reads = |from: usize| nodes().filter(|node| node.inputs.iter().any(|edge| edge.from == from)).count();
        self.shared += usize::from(plan.nodes.iter().any(|&node| reads(node) > 1));
        let meets = |&node: &usize| held::reached_by(job, plan, node).len() > 1;
        self.meeting += usize::from(plan.nodes.iter().any(meets));
        let leaves = |node: usize, port| usize::from(!naive.of(node, port).is_empty());
        for &node in &plan.nodes {
            self.letters += leaves(node, Port::DEAD_LETTER);
            self.records += leaves(node, Port::RECORDS);
            self.zipped += usize::from(matches!(job.steps[node], Step::Zip(_))) * leaves(node, Port::MAIN);
        }
    }
}
