//! What becomes of the state of each step of a job whose pipelines have changed.
//!
//! A step that is not the same may hold the same all the same: rows that only carry other columns make no other state, as
//! long as the step holds none of these rows itself. Rows of a step that puts them out in order are not held by what comes
//! after it, where both have come equally far.
//!
//! Windows of one PARTITION BY keep the state of each function that they had, whatever functions they have now.

use crate::changes::Changes;
use checkpoint::{JobPlan, PlannedPart, PlannedState};
use dataflow::{Edge, EventTime, JobGraph, NodeKind};
use sql::{CheckedPlan, NodeIdentity, WindowJoin};
use std::collections::BTreeMap;

/// What the job is now.
pub(crate) struct PlannedJob<'a> {
    pub plan: &'a JobPlan,
    pub graph: &'a JobGraph,
    pub nodes: &'a [NodeIdentity],
    pub checked: &'a CheckedPlan,
}

/// What becomes of the state of each node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeState {
    /// It is no step.
    NoStep,
    /// It goes on with what it has.
    Kept,
    /// It gets rows with other columns, and goes on with what the step at this place held.
    Moved(usize),
    /// Its windows have other functions: what they had is kept of the step at this place, the rest is built.
    Joined(usize),
    /// It is new or another, and has none.
    Stateless,
    /// It is new or another, and what it holds is built from history.
    Built,
}

impl NodeState {
    /// Whether it goes on with state that it has.
    pub fn is_kept(self) -> bool {
        matches!(self, NodeState::Kept | NodeState::Moved(_) | NodeState::Joined(_))
    }
}

/// What becomes of the state of nodes.
pub(crate) struct NodeStates {
    pub nodes: Vec<NodeState>,
    /// By the node of windows that have other functions than they had how their state is put together.
    pub joins: BTreeMap<usize, WindowJoin>,
}

impl NodeStates {
    /// What becomes of each node, given up to when each has released everything.
    pub fn of(before: &JobPlan, now: &PlannedJob, changes: &Changes, levels: &[EventTime]) -> NodeStates {
        let left = (0..before.steps.len()).filter(|at| !changes.steps.contains(&Some(*at))).collect();
        let mut finding = Finding { before, now, levels, left };
        let (mut found, mut nodes) = (now.plan.steps.iter().zip(&changes.steps), Vec::new());
        for (at, node) in now.graph.nodes.iter().enumerate() {
            let step = match &node.kind {
                NodeKind::Step(_) => found.next(),
                _ => None,
            };
            nodes.push(match step {
                None => NodeState::NoStep,
                Some((_, Some(_))) => NodeState::Kept,
                Some(_) if !now.nodes[at].has_state => NodeState::Stateless,
                Some((step, None)) => finding.state(at, step),
            });
        }
        let mut states = NodeStates { nodes, joins: BTreeMap::new() };
        states.find_joins(finding);
        states.build_all_that_is_read(now.graph);
        states
    }

    /// Finds windows that have other functions than they had, after those that have the same.
    fn find_joins(&mut self, mut finding: Finding) {
        let mut steps = finding.now.plan.steps.iter();
        for (at, state) in self.nodes.iter_mut().enumerate().filter(|(_, state)| **state != NodeState::NoStep) {
            let Some(step) = steps.next() else { return };
            if *state == NodeState::Built
                && let Some((was, join)) = finding.join(at, step)
            {
                *state = NodeState::Joined(was);
                self.joins.insert(at, join);
            }
        }
    }

    /// Whether functions of a node are built whose others keep their state.
    pub fn is_partly_built(&self, node: usize) -> bool {
        self.joins.get(&node).is_some_and(|join| join.is_added().contains(&true))
    }

    /// Whether something of a node is built from history.
    pub fn is_read(&self, node: usize) -> bool {
        self.nodes[node] == NodeState::Built || self.is_partly_built(node)
    }

    /// Windows whose columns are read while other steps are built have to have all functions meanwhile, and so all of their
    /// state.
    fn build_all_that_is_read(&mut self, graph: &JobGraph) {
        let mut above = vec![false; graph.nodes.len()];
        // Every node stands after those that it reads.
        for at in (0..graph.nodes.len()).rev() {
            if above[at] && self.is_partly_built(at) {
                self.nodes[at] = NodeState::Built;
                self.joins.remove(&at);
            }
            if above[at] || self.is_read(at) {
                graph.nodes[at].inputs.iter().for_each(|edge| above[edge.from] = true);
            }
        }
    }
}

/// Finds steps that held the same among those that there were.
struct Finding<'a> {
    before: &'a JobPlan,
    now: &'a PlannedJob<'a>,
    levels: &'a [EventTime],
    /// The places of steps that have not been found yet.
    left: Vec<usize>,
}

impl Finding<'_> {
    /// What becomes of a step that is not the same.
    fn state(&mut self, at: usize, step: &PlannedPart) -> NodeState {
        let inputs = &self.now.graph.nodes[at].inputs;
        let Some(state) = &step.state else {
            let is_empty = inputs.iter().all(|edge| self.is_released(edge, at));
            return if is_empty { NodeState::Stateless } else { NodeState::Built };
        };
        let contents = |state: &PlannedState| state.functions.iter().map(|(content, _)| *content).collect::<Vec<_>>();
        let same = self.find(&step.name, &|was| {
            was.held == state.held
                && contents(was) == contents(state)
                && was.layout == state.layout
                && self.may_take(at, was, state)
        });
        match same {
            Some(place) => NodeState::Moved(self.left.remove(place)),
            None => NodeState::Built,
        }
    }

    /// How windows take over the state of those that had other functions, and the place of these.
    fn join(&mut self, at: usize, step: &PlannedPart) -> Option<(usize, WindowJoin)> {
        let state = step.state.as_ref().filter(|state| !state.layout.is_empty())?;
        let place = self.find(&step.name, &|was| was.held == state.held && self.may_take(at, was, state))?;
        let was = self.before.steps[self.left[place]].state.as_ref()?;
        // State that cannot be read as it was is built.
        let join = self.now.checked.window_join(at, &was.layout, was.carried == state.carried).ok()??;
        Some((self.left.remove(place), join))
    }

    /// Whether a step may take over another's state: rows that it holds as a whole have to carry the same.
    fn may_take(&self, at: usize, was: &PlannedState, state: &PlannedState) -> bool {
        let first = self.now.graph.nodes[at].inputs.first();
        was.carried == state.carried || first.is_none_or(|edge| self.is_released(edge, at))
    }

    /// Whether all rows that have come along an edge so far have gone through the node that it leads to.
    fn is_released(&self, edge: &Edge, to: usize) -> bool {
        let (from, node) = (&self.now.nodes[edge.from], &self.now.nodes[to]);
        // Rows that wait for those that follow them are held however far streams have come.
        let waits = from.wait.is_none() || from.wait != node.wait;
        !waits && from.is_ordered && self.levels[edge.from] <= self.levels[to]
    }

    /// The place among those left of a step with such a state, one of this name first.
    fn find(&self, name: &str, is_it: &dyn Fn(&PlannedState) -> bool) -> Option<usize> {
        let steps = &self.before.steps;
        let find = |is_named: &dyn Fn(&str) -> bool| {
            let fits = |&at: &usize| is_named(&steps[at].name) && steps[at].state.as_ref().is_some_and(is_it);
            self.left.iter().position(fits)
        };
        find(&|other| other == name).or_else(|| find(&|_| true))
    }
}
