//! Which steps of a job whose pipelines have changed go on with the state that they have, which are built again up to
//! where the job was stopped, and why nothing of it can be kept, where that is so.

use crate::changes::Changes;
use crate::moved_state::NodeStates;
pub(crate) use crate::moved_state::{NodeState, PlannedJob};
use crate::waits::{wait_of, wait_of_step};
use checkpoint::{Feed, JobPlan, Manifest, OutputCut, PlannedOutput, PlannedPart};
use dataflow::{CoordinatorState, EventTime, NodeKind};
use std::collections::BTreeMap;

/// How a job goes on with the state that it has.
pub(crate) struct KeptState {
    pub changes: Changes,
    /// What becomes of each node of the graph.
    pub states: NodeStates,
    /// Up to when each node has released everything.
    pub levels: Vec<EventTime>,
    /// Positions and watermarks of the streams as they are numbered now.
    pub coordinator: CoordinatorState,
}

impl KeptState {
    /// How a job goes on from the checkpoint of one that was stopped, or why it keeps no state. `cuts` say what is written.
    pub fn of(before: &Manifest, now: &PlannedJob, cuts: &[OutputCut]) -> Result<KeptState, String> {
        let changes = Changes::between(&before.facts.plan, now.plan);
        let coordinator = renumbered(before, now.plan, &changes)?;
        let levels = levels(now, &coordinator)?;
        let states = NodeStates::of(&before.facts.plan, now, &changes, &levels);
        let kept = KeptState { changes, states, levels, coordinator };
        for output in &now.plan.outputs {
            kept.check_output(before, now, output, cuts)?;
        }
        kept.check_levels(before, now)?;
        if kept.waits(now.plan) != kept.waited(&before.facts.plan) {
            return Err("rows wait for those that follow them for another time than they did".to_owned());
        }
        Ok(kept)
    }

    /// The steps of a plan, each with its node and what becomes of it.
    pub fn steps<'a>(&'a self, now: &'a JobPlan) -> impl Iterator<Item = (usize, &'a PlannedPart, NodeState)> {
        let nodes = self.states.nodes.iter().enumerate().filter(|(_, state)| **state != NodeState::NoStep);
        nodes.zip(&now.steps).map(|((node, state), step)| (node, step, *state))
    }

    /// Rows that steps hold or have put out are those that an output has, or has not: else they would be lost.
    fn check_output(
        &self,
        before: &Manifest,
        now: &PlannedJob,
        output: &PlannedOutput,
        cuts: &[OutputCut],
    ) -> Result<(), String> {
        let place = output.place();
        let was = before.facts.plan.same_output(output);
        let cut = cuts.iter().find(|cut| cut.output == output.name);
        let (Some(was), Some(cut)) = (was, cut) else {
            return Err(match output.is_topic {
                true => format!("topic {place} is new"),
                false => format!("table {place} is new and gets all rows"),
            });
        };
        if was.content != output.content && wait_of(&before.facts.plan, was) != wait_of(now.plan, output) {
            return Err(format!("rows of {place} wait for those that follow them for another time than they did"));
        }
        let came_as_messages = was.feeds.iter().any(|feed| !feed.is_ordered && !feed.is_removed);
        for feed in output.feeds.iter().filter(|feed| !feed.is_removed) {
            if !feed.is_ordered && !came_as_messages {
                return Err(format!("rows of {place} came in time order, and would come as their messages do"));
            }
            if feed.is_ordered && !came_as_messages && self.level_of(now, feed) > cut.after {
                return Err(format!("rows of {place} waited for streams that they wait for no more"));
            }
        }
        Ok(())
    }

    fn level_of(&self, now: &PlannedJob, feed: &Feed) -> EventTime {
        let node = now.graph.nodes.iter().position(|node| node.name == feed.node);
        node.map_or(EventTime::MAX, |node| self.levels[node])
    }

    /// What is built stands where streams stood, so what is kept has to stand there, too.
    fn check_levels(&self, before: &Manifest, now: &PlannedJob) -> Result<(), String> {
        let was = &before.facts.plan.steps;
        for ((node, step, state), found) in self.steps(now.plan).zip(&self.changes.steps) {
            let place = match state {
                NodeState::Kept => *found,
                NodeState::Moved(place) | NodeState::Joined(place) => Some(place),
                _ => None,
            };
            let name = place.and_then(|at| was.get(at)).map(|was| was.name.as_str());
            let Some(name) = name.filter(|_| now.nodes[node].has_state) else { continue };
            if before.watermark_of(name) != Some(self.levels[node]) {
                return Err(format!("step {} had not come as far as its streams", step.name));
            }
        }
        Ok(())
    }

    /// How long rows wait in steps that are not kept, by their names.
    fn waits<'a>(&'a self, now: &'a JobPlan) -> BTreeMap<&'a str, &'a str> {
        let others = self.steps(now).filter(|(_, _, state)| !state.is_kept());
        others.filter_map(|(_, step, _)| wait_of_step(step)).collect()
    }

    /// The same for the steps that there were.
    fn waited<'a>(&self, before: &'a JobPlan) -> BTreeMap<&'a str, &'a str> {
        let goes_on = |at: usize| {
            let states = [NodeState::Moved(at), NodeState::Joined(at)];
            self.changes.steps.contains(&Some(at)) || self.states.nodes.iter().any(|state| states.contains(state))
        };
        let is_lost = |at: &usize| !goes_on(*at);
        let lost = (0..before.steps.len()).filter(is_lost);
        lost.filter_map(|at| wait_of_step(&before.steps[at])).collect()
    }
}

/// Positions and watermarks as the streams are numbered now; a stream has to be one that was read.
fn renumbered(before: &Manifest, now: &JobPlan, changes: &Changes) -> Result<CoordinatorState, String> {
    let was = &before.coordinator;
    let mut watermarks = Vec::with_capacity(now.streams.len());
    for (stream, found) in now.streams.iter().zip(&changes.streams) {
        let is_there = before.facts.plan.streams.iter().any(|was| was.name == stream.name);
        let what = if is_there { "is declared otherwise than it was" } else { "is new" };
        let watermark = found.and_then(|was_number| was.watermarks.get(was_number));
        watermarks.push(*watermark.ok_or_else(|| format!("stream {} {what}", stream.name))?);
    }
    let number = |stream: usize| changes.streams.iter().position(|was| *was == Some(stream));
    let splits = was.splits.iter().filter_map(|(stream, split)| Some((number(*stream)?, split.clone())));
    Ok(CoordinatorState { number: was.number, splits: splits.collect(), watermarks })
}

/// Up to when each node has released everything, where streams stand at these watermarks.
fn levels(now: &PlannedJob, coordinator: &CoordinatorState) -> Result<Vec<EventTime>, String> {
    let sources = now.graph.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Source(name) => Some(name.as_str()),
        _ => None,
    });
    if !sources.eq(now.plan.streams.iter().map(|stream| stream.name.as_str())) {
        return Err("a stream is read twice".to_owned());
    }
    let of = |reach: &Vec<usize>| reach.iter().map(|&stream| coordinator.watermarks[stream]).min();
    Ok(now.graph.sources_by_node().iter().map(|reach| of(reach).unwrap_or(EventTime::MIN)).collect())
}
