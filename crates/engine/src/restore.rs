//! Gives the stages of a new run what those of an earlier one had frozen.

use crate::seeded::{self, Rule};
use dataflow::{Error, FrozenInput, JobGraph, KeyGroups, NodeKind, PiecesOf, RestoredJob, Result, Stage, StagePlan};
use std::collections::{BTreeMap, BTreeSet};

/// What an earlier run froze, by the names of the parts of this one.
pub struct Restore<'a> {
    job: &'a RestoredJob,
    inputs: BTreeMap<&'a str, &'a [FrozenInput]>,
}

impl<'a> Restore<'a> {
    /// Refuses what does not fit the job: a step without its state, or state without its step, would be lost silently.
    pub fn new(job: &'a RestoredJob, graph: &JobGraph, stages: &[StagePlan]) -> Result<Restore<'a>> {
        let inputs: BTreeMap<&str, &[FrozenInput]> =
            job.inputs.iter().map(|(name, frozen)| (name.as_str(), frozen.as_slice())).collect();
        let is_step = |kind: &NodeKind| matches!(kind, NodeKind::Step(_));
        let steps = graph.nodes.iter().filter(|node| is_step(&node.kind)).map(|node| node.name.clone());
        let edges = stages.iter().flat_map(|plan| plan.inputs.iter().map(|edge| graph.edge_name(edge)));
        let had = job.steps.iter().map(|state| state.step.clone());
        fits("step", steps.collect(), had.collect())?;
        fits("input", edges.collect(), inputs.keys().map(|&name| name.to_owned()).collect())?;
        Ok(Restore { job, inputs })
    }

    /// Gives a new stage of a worker its share.
    pub fn stage(&self, stage: &mut Stage, graph: &JobGraph, plan: &StagePlan, groups: KeyGroups) -> Result<()> {
        for &node in &plan.nodes {
            let name = &graph.nodes[node].name;
            for state in self.job.steps.iter().filter(|state| state.step == *name) {
                let groups = groups_taken_up(groups);
                let restored = stage.restore(node, state.watermark, &mut PiecesOf::new(&state.state, groups));
                restored.map_err(|error| error.context(format!("the state of step {name}")))?;
            }
        }
        for (input, edge) in plan.inputs.iter().enumerate() {
            for &frozen in self.inputs.get(graph.edge_name(edge).as_str()).copied().unwrap_or_default() {
                stage.restore_input(input, frozen);
            }
        }
        Ok(())
    }
}

/// The key groups whose state a worker takes up: its own.
fn groups_taken_up(own: KeyGroups) -> KeyGroups {
    let from = own.from + u16::from(seeded::leaves_out(Rule::AllGroups) && own.from > 0);
    KeyGroups { from, ..own }
}

fn fits(what: &str, wanted: BTreeSet<String>, found: BTreeSet<String>) -> Result<()> {
    let wrong = |text: String| Error::corrupt(format!("the checkpoint does not fit the job: {text}"));
    if let Some(name) = wanted.difference(&found).next() {
        return Err(wrong(format!("it has nothing of {what} {name}")));
    }
    if let Some(name) = found.difference(&wanted).next() {
        return Err(wrong(format!("it has {what} {name}, and the job has none such")));
    }
    Ok(())
}
