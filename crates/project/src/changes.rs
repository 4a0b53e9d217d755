//! What has changed between a job as its checkpoint knows it and as it is planned now.

use checkpoint::{JobPlan, Manifest, PlannedPart};
use std::collections::BTreeMap;

/// Parts of a job, and the same parts as they were: streams by their numbers, steps and inputs of stages by their places.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Per stream the number that it had.
    pub streams: Vec<Option<usize>>,
    /// Per step its place among those that there were.
    pub steps: Vec<Option<usize>>,
    inputs: Vec<Option<usize>>,
    // Whether outputs, and all other parts, are those that there were.
    is_same: bool,
}

impl Changes {
    /// Finds each part of a job among those that there were, by what it does.
    pub fn between(before: &JobPlan, now: &JobPlan) -> Changes {
        let streams = pairs(&settings(before), &settings(now));
        let (steps, inputs) = (
            pairs(&contents(&before.steps), &contents(&now.steps)),
            pairs(&contents(&before.inputs), &contents(&now.inputs)),
        );
        let is_all =
            |pairs: &[Option<usize>], before: usize| pairs.len() == before && pairs.iter().all(Option::is_some);
        let is_same = is_all(&streams, before.streams.len())
            && is_all(&steps, before.steps.len())
            && is_all(&inputs, before.inputs.len())
            && outputs(before) == outputs(now);
        Changes { streams, steps, inputs, is_same }
    }

    /// Whether the job gives the rows that it gave, with the same state, whatever its parts are called now.
    pub fn is_same(&self) -> bool {
        self.is_same
    }

    /// The place that an input of a stage had, by its place now.
    pub fn input(&self, at: usize) -> Option<usize> {
        self.inputs.get(at).copied().flatten()
    }

    /// Gives the parts of a checkpoint the names and numbers that they have now; all of them are there.
    pub fn rename(&self, checkpoint: &mut Manifest, now: &JobPlan) {
        let before = std::mem::take(&mut checkpoint.facts.plan);
        let (steps, inputs) =
            (new_names(&before.steps, &now.steps, &self.steps), new_names(&before.inputs, &now.inputs, &self.inputs));
        let of = |names: &BTreeMap<&str, &str>, name: &str| names.get(name).map_or(name, |now| now).to_owned();
        checkpoint.rename(&|step| of(&steps, step), &|input| of(&inputs, input));
        let number = |was: usize| self.streams.iter().position(|stream| *stream == Some(was)).unwrap_or(was);
        for (stream, _) in &mut checkpoint.coordinator.splits {
            *stream = number(*stream);
        }
        let watermarks = checkpoint.coordinator.watermarks.clone();
        for (was, watermark) in watermarks.into_iter().enumerate() {
            if let Some(place) = checkpoint.coordinator.watermarks.get_mut(number(was)) {
                *place = watermark;
            }
        }
        for (step, _) in &mut checkpoint.rows.steps {
            *step = of(&steps, step);
        }
        let histories = checkpoint.facts.histories.iter_mut().map(|(stream, _)| stream);
        for stream in histories.chain(checkpoint.rows.streams.iter_mut().map(|(stream, _)| stream)) {
            let was = before.streams.iter().position(|was| was.name == *stream);
            if let Some(now) = was.and_then(|was| now.streams.get(number(was))) {
                stream.clone_from(&now.name);
            }
        }
        checkpoint.facts.plan = now.clone();
    }
}

fn settings(plan: &JobPlan) -> Vec<(&str, &[(String, String)])> {
    plan.streams.iter().map(|stream| (stream.name.as_str(), stream.settings.as_slice())).collect()
}

fn contents(parts: &[PlannedPart]) -> Vec<(&str, u128)> {
    parts.iter().map(|part| (part.name.as_str(), part.content)).collect()
}

/// Outputs by their names: the order in which they are planned says nothing.
fn outputs(plan: &JobPlan) -> BTreeMap<&str, (u128, &[(String, String)])> {
    plan.outputs.iter().map(|output| (output.name.as_str(), (output.content, output.columns.as_slice()))).collect()
}

fn new_names<'a>(
    before: &'a [PlannedPart],
    now: &'a [PlannedPart],
    pairs: &[Option<usize>],
) -> BTreeMap<&'a str, &'a str> {
    let pair =
        |(now, was): (&'a PlannedPart, &Option<usize>)| Some((before.get((*was)?)?.name.as_str(), now.name.as_str()));
    now.iter().zip(pairs).filter_map(pair).collect()
}

/// Per part the place of the one that was the same, each once: one of the same name first.
fn pairs<K: PartialEq>(before: &[(&str, K)], now: &[(&str, K)]) -> Vec<Option<usize>> {
    let mut found = vec![None; now.len()];
    let mut left: Vec<usize> = (0..before.len()).collect();
    for by_name in [true, false] {
        for ((name, content), found) in now.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            let is_it = |&was: &usize| before[was].1 == *content && (!by_name || before[was].0 == *name);
            *found = left.iter().position(is_it).map(|at| left.remove(at));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use checkpoint::PlannedStream;

    fn parts(parts: &[(&str, u128)]) -> Vec<PlannedPart> {
        let part = |&(name, content): &(&str, u128)| PlannedPart {
            name: name.to_owned(),
            content,
            computes: String::new(),
            state: None,
        };
        parts.iter().map(part).collect()
    }

    fn plan(streams: &[(&str, &str)], steps: &[(&str, u128)]) -> JobPlan {
        let stream = |&(name, topic): &(&str, &str)| PlannedStream {
            name: name.to_owned(),
            settings: vec![("live".to_owned(), topic.to_owned())],
        };
        let streams = streams.iter().map(stream).collect();
        JobPlan { streams, steps: parts(steps), ..JobPlan::default() }
    }

    #[test]
    fn parts_are_found_by_what_they_do_each_once() {
        let before = plan(&[("a", "one"), ("b", "two")], &[("v.window", 7), ("v.dedup", 7), ("v", 8)]);
        let now = plan(&[("c", "two"), ("a", "one")], &[("w", 8), ("v.dedup", 7), ("w.window", 7)]);
        let changes = Changes::between(&before, &now);
        assert!(changes.is_same());
        assert_eq!(changes.streams, [Some(1), Some(0)]);
        assert_eq!(changes.steps, [Some(2), Some(1), Some(0)]);
    }

    #[test]
    fn a_part_more_or_less_or_another_is_a_change() {
        let before = plan(&[("a", "one")], &[("v", 7), ("w", 7)]);
        for (streams, steps) in [
            (&[("a", "one")][..], &[("v", 7)][..]),
            (&[("a", "one")], &[("v", 7), ("w", 7), ("x", 7)]),
            (&[("a", "one")], &[("v", 7), ("w", 9)]),
            (&[("a", "two")], &[("v", 7), ("w", 7)]),
        ] {
            assert!(!Changes::between(&before, &plan(streams, steps)).is_same(), "{streams:?} {steps:?}");
        }
    }
}
