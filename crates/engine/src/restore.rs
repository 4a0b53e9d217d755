//! Gives the stages of a new run what those of an earlier one had frozen.

use crate::seeded::{self, Rule};
use dataflow::{
    Error, FrozenInput, JobGraph, KeyGroups, NodeKind, PiecesOf, RestoredJob, Result, Stage, StageId, StagePlan,
};
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

    /// Gives the new stages of all workers their shares, those of each worker on a thread of its own.
    pub fn stages(
        &self,
        made: &mut [(StageId, Stage)],
        graph: &JobGraph,
        plans: &[StagePlan],
        workers: usize,
    ) -> Result<()> {
        let mut by_worker: BTreeMap<usize, Vec<Share<'_>>> = BTreeMap::new();
        for (id, stage) in made {
            let plan = &plans[id.stage];
            let groups = groups_taken_up(groups(plan, id.worker, workers));
            by_worker.entry(id.worker).or_default().push(Share { stage, plan, groups });
        }
        let of_worker = |shares: Vec<Share<'_>>| shares.into_iter().try_for_each(|share| self.stage(share, graph));
        std::thread::scope(|scope| {
            let of_worker = &of_worker;
            let running: Vec<_> =
                by_worker.into_values().map(|shares| scope.spawn(move || of_worker(shares))).collect();
            let ended = running.into_iter().map(|running| running.join());
            // A panic in there is one here.
            let ended: Vec<Result<()>> =
                ended.map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect();
            ended.into_iter().collect()
        })
    }

    /// Gives a new stage of a worker its share.
    fn stage(&self, share: Share<'_>, graph: &JobGraph) -> Result<()> {
        let Share { stage, plan, groups } = share;
        for &node in &plan.nodes {
            let name = &graph.nodes[node].name;
            for state in self.job.steps.iter().filter(|state| state.step == *name) {
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

/// A stage of one worker, and the key groups whose state it takes up.
struct Share<'a> {
    stage: &'a mut Stage,
    plan: &'a StagePlan,
    groups: KeyGroups,
}

/// The key groups of a stage in a worker; what has one writer has the rows of all keys.
pub fn groups(plan: &StagePlan, worker: usize, workers: usize) -> KeyGroups {
    if plan.single { KeyGroups::ALL } else { KeyGroups::of_worker(worker, workers) }
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
