//! The conservation of rows: at a barrier, what every part of a job has taken is what others have sent to it.

use crate::parts::{EdgeId, Names, PartRows};
use dataflow::{Error, Fate, Fates, JobRows, Result};
use std::collections::BTreeMap;

/// The rows that passed all parts of a job in this run, up to a barrier.
#[derive(Debug, Default)]
pub struct Conservation {
    // What was sent and what was received.
    edges: BTreeMap<EdgeId, (u64, u64)>,
    // By node, what was put into the queues of an output, and what its writers have taken.
    outputs: BTreeMap<usize, (u64, u64)>,
    fates: BTreeMap<usize, Fates>,
}

impl Conservation {
    /// Adds the rows of a reader or of a stage.
    pub fn add(&mut self, part: &PartRows) {
        for (edge, rows) in &part.sent {
            self.edges.entry(*edge).or_default().0 += rows;
        }
        for (edge, rows) in &part.received {
            self.edges.entry(*edge).or_default().1 += rows;
        }
        for (node, rows) in &part.queued {
            self.outputs.entry(*node).or_default().0 += rows;
        }
        for (node, fates) in &part.fates {
            self.fates.entry(*node).or_default().merge(fates);
        }
    }

    /// Adds the rows that one writer of an output has taken, so many of which it has left out.
    pub fn add_written(&mut self, node: usize, rows: u64, left_out: u64) {
        self.outputs.entry(node).or_default().1 += rows;
        let (rows, left_out) = [rows, left_out].map(|rows| i64::try_from(rows).unwrap_or(i64::MAX)).into();
        let fates = self.fates.entry(node).or_default();
        fates.add(Fate::Out, rows - left_out);
        fates.add(Fate::LeftOut, left_out);
    }

    /// Refuses a checkpoint before which rows were lost on their way, or came twice.
    pub fn check(&self, names: &Names, checkpoint: u64) -> Result<()> {
        let differ = |from: &str, to: &str, (sent, received): (u64, u64)| {
            Err(Error::internal(format!(
                "rows do not add up at checkpoint {checkpoint}: {from} has sent {sent} to {to}, which has received {received}; \
                 the checkpoint was not put, and tables hold nothing after the one before it; where the job writes topics, \
                 start over with --fresh"
            )))
        };
        if let Some((&(stage, input), &rows)) = self.edges.iter().find(|(_, (sent, received))| sent != received) {
            return differ(&names.inputs[stage][input], &names.stages[stage], rows);
        }
        if let Some((&node, &rows)) = self.outputs.iter().find(|(_, (queued, written))| queued != written) {
            return differ("the stage before it", &names.nodes[node], rows);
        }
        Ok(())
    }

    /// What became of rows since the job began, where `before` is what had until this run.
    pub fn job_rows(&self, names: &Names, before: &JobRows) -> JobRows {
        let (mut streams, mut steps) = (sums(&before.streams), sums(&before.steps));
        for (&node, fates) in &self.fates {
            let kind = if names.is_source[node] { &mut streams } else { &mut steps };
            kind.entry(names.nodes[node].clone()).or_default().merge(fates);
        }
        JobRows { streams: streams.into_iter().collect(), steps: steps.into_iter().collect() }
    }
}

/// What earlier runs have counted, by name. Rows that waited are taken up by this run, which counts those that wait now.
fn sums(before: &[(String, Fates)]) -> BTreeMap<String, Fates> {
    let without_held = |(name, fates): &(String, Fates)| {
        let mut fates = *fates;
        fates.add(Fate::Held, -fates.of(Fate::Held));
        (name.clone(), fates)
    };
    before.iter().map(without_held).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            nodes: vec!["m".to_owned(), "w".to_owned(), "lake.t".to_owned()],
            is_source: vec![true, false, false],
            stages: vec!["w".to_owned()],
            inputs: vec![vec!["m".to_owned()]],
        }
    }

    fn fates(fate: Fate, rows: i64) -> Fates {
        let mut fates = Fates::default();
        fates.add(fate, rows);
        fates
    }

    /// Two readers have sent five rows to a stage in two workers, which have queued four of them.
    fn whole() -> Conservation {
        let mut all = Conservation::default();
        all.add(&PartRows { sent: vec![((0, 0), 3)], fates: vec![(0, fates(Fate::Out, 3))], ..PartRows::default() });
        all.add(&PartRows { sent: vec![((0, 0), 2)], fates: vec![(0, fates(Fate::Out, 2))], ..PartRows::default() });
        for (received, queued) in [(4, 3), (1, 1)] {
            let held = vec![(1, fates(Fate::Held, received - queued))];
            let (received, queued) = (vec![((0, 0), received as u64)], vec![(2, queued as u64)]);
            all.add(&PartRows { received, queued, fates: held, ..PartRows::default() });
        }
        all
    }

    #[test]
    fn rows_that_add_up_pass() {
        let mut all = whole();
        all.add_written(2, 4, 0);
        all.check(&names(), 7).unwrap();
    }

    #[test]
    fn rows_that_a_writer_leaves_out_are_taken_and_not_written() {
        let mut all = whole();
        all.add_written(2, 3, 1);
        all.add_written(2, 1, 1);
        all.check(&names(), 7).unwrap();
        let steps: BTreeMap<String, Fates> = all.job_rows(&names(), &JobRows::default()).steps.into_iter().collect();
        assert_eq!((steps["lake.t"].of(Fate::Out), steps["lake.t"].of(Fate::LeftOut)), (2, 2));
    }

    #[test]
    fn a_row_that_is_lost_or_doubled_is_named() {
        let mut all = whole();
        all.add_written(2, 3, 0);
        let error = all.check(&names(), 7).unwrap_err().to_string();
        assert!(
            error.contains("at checkpoint 7") && error.contains("sent 4 to lake.t, which has received 3"),
            "{error}"
        );
        let mut all = whole();
        all.add_written(2, 4, 0);
        all.add(&PartRows { received: vec![((0, 0), 1)], ..PartRows::default() });
        let error = all.check(&names(), 7).unwrap_err().to_string();
        assert!(error.contains("m has sent 5 to w, which has received 6"), "{error}");
    }

    #[test]
    fn counts_go_on_over_runs_and_rows_that_wait_are_counted_once() {
        let mut all = whole();
        all.add_written(2, 4, 0);
        let mut waited = fates(Fate::Held, 1);
        waited.add(Fate::Filtered, 10);
        let streams = vec![("m".to_owned(), fates(Fate::Out, 100))];
        let before = JobRows { streams, steps: vec![("w".to_owned(), waited)] };
        let now = all.job_rows(&names(), &before);
        assert_eq!(now.streams, [("m".to_owned(), fates(Fate::Out, 105))]);
        let steps: BTreeMap<String, Fates> = now.steps.into_iter().collect();
        assert_eq!((steps["w"].of(Fate::Held), steps["w"].of(Fate::Filtered)), (1, 10));
        assert_eq!(steps["lake.t"], fates(Fate::Out, 4));
    }
}
