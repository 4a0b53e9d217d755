//! What a job whose pipelines have changed takes over from the one that it was: each output goes on after what is there.
//!
//! All state is built again from history, with nothing written that the job before has written. What that is, the last
//! checkpoint of a job that was stopped says: rows that came in time order up to a time, and other rows up to a message.

use crate::gone_outputs::gone;
use crate::lacking_rows::RowsRead;
use crate::waits::{moved, wait_of, wrong_wait};
use checkpoint::{Feed, JobPlan, Manifest, OutputCut, PlannedOutput};
use dataflow::{
    Batch, Committable, CoordinatorState, Error, EventTime, Fate, Fates, JobRows, OutputState, RestoredJob, Result,
    RowOrder, Sink,
};
use seam::{ReadSoFar, read_so_far};
use std::collections::BTreeMap;

/// What a job takes over.
pub struct Takeover {
    /// Where outputs go on that there were.
    pub cuts: Vec<OutputCut>,
    /// Where actions, and topics that are new, begin.
    pub start: EventTime,
    /// From when on rows have to come out, where that is not all of them.
    pub reads_from: Option<EventTime>,
    /// The number of the checkpoint.
    pub number: u64,
    /// The outputs that there were and are written on.
    pub outputs: Vec<OutputState>,
    /// Those that are written no more, and for which something is prepared.
    pub gone: Vec<OutputState>,
    /// How much the job had read.
    pub read: RowsRead,
    // What was written to them.
    written: Vec<(String, Fates)>,
}

impl Takeover {
    /// What the job of a plan takes over from a checkpoint, or why it cannot.
    pub fn of(before: &Manifest, now: &JobPlan) -> Result<Takeover> {
        let wrong = refusals(before, now)?;
        if !wrong.is_empty() {
            return Err(Error::invalid(format!("the job cannot go on as it is now: {}", wrong.join("; "))));
        }
        let was = |output: &PlannedOutput| before.facts.plan.same_output(output);
        let cut_of = |output: &PlannedOutput| {
            let (plan, was) = (&before.facts.plan, was(output)?);
            let mut cut = cut(before, was, comes_at_once((plan, was), (now, output)));
            let waits = wait_of(plan, was).zip(wait_of(now, output));
            if let (Ok(cut), Some(waits)) = (&mut cut, waits) {
                cut.after = moved(cut.after, waits);
            }
            Some(cut)
        };
        let cuts = now.outputs.iter().filter_map(cut_of).collect::<Result<Vec<_>>>()?;
        let stopped = stopped_at(before);
        let is_new_table = |output: &&PlannedOutput| was(output).is_none() && !output.is_topic;
        let reads_from = match now.outputs.iter().find(is_new_table) {
            // It gets all rows.
            Some(_) => None,
            None => {
                let afters = cuts.iter().filter(|cut| cut.messages.is_empty()).map(|cut| cut.after);
                let from = afters.chain([stopped]).min();
                from.filter(|from| *from > EventTime::MIN)
            }
        };
        let is_written = |state: &&OutputState| cuts.iter().any(|cut| cut.output == state.output);
        let written = before.rows.steps.iter().filter(|(node, _)| cuts.iter().any(|cut| cut.output == *node));
        let only_out = |(node, fates): &(String, Fates)| {
            let mut written = Fates::default();
            written.add(Fate::Out, fates.of(Fate::Out));
            (node.clone(), written)
        };
        Ok(Takeover {
            start: before.facts.start.max(stopped),
            reads_from,
            number: before.coordinator.number,
            outputs: before.outputs.iter().filter(is_written).cloned().collect(),
            gone: gone(&before.facts.plan, &before.outputs, now).into_iter().cloned().collect(),
            read: RowsRead::of(before),
            written: written.map(only_out).collect(),
            cuts,
        })
    }

    /// What the engine goes on from: nothing but the outputs.
    pub fn restored(&self, coordinator: CoordinatorState) -> RestoredJob {
        RestoredJob {
            coordinator,
            steps: vec![],
            inputs: vec![],
            outputs: self.outputs.clone(),
            rows: JobRows { streams: vec![], steps: self.written.clone() },
            last: false,
        }
    }
}

/// Where the job was stopped: what its streams had all released.
fn stopped_at(before: &Manifest) -> EventTime {
    let given = before.coordinator.watermarks.iter().copied();
    given.filter(|at| ![EventTime::MIN, EventTime::MAX].contains(at)).min().unwrap_or(EventTime::MIN)
}

/// Why a job cannot go on from a checkpoint as it is planned now.
pub fn refusals(before: &Manifest, now: &JobPlan) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let was = &before.facts.plan;
    if was.streams.is_empty() {
        wrong.push(
            "its checkpoint was written by an earlier riverrun, which did not record what the job was: run the pipelines as \
             they were once more, and stop that run"
                .to_owned(),
        );
        return Ok(wrong);
    }
    if before.facts.bounded {
        wrong.push(
            "its last run released all rows up to the end of its inputs (`--until-caught-up`, or no stream is LIVE), and \
             what comes after that has no place any more in what was written: start over with `--fresh`, or, where streams \
             are LIVE, run the pipelines as they were once without it, until all that waits has come out, and stop that run"
                .to_owned(),
        );
    } else if !before.last {
        wrong.push(
            "it was killed or still runs, and what it has written after its checkpoint is not known: run the pipelines as \
             they were once more, and end that run with `riverrun stop` or Ctrl-C"
                .to_owned(),
        );
    } else if before.replays {
        wrong.push(
            "it was stopped before all rows had come again that a run which was killed had written after its last \
             checkpoint: run the pipelines as they were once more, until these rows have come, and end that run with \
             `riverrun stop` or Ctrl-C"
                .to_owned(),
        );
    }
    for (number, stream) in was.streams.iter().enumerate() {
        let read = read_so_far(&before.coordinator, number)?;
        if !read.has_read_history {
            wrong.push(format!(
                "it was stopped before it had read the history of stream \"{}\" to its end: run the pipelines as they were \
                 until it has, or start over with `--fresh`",
                stream.name
            ));
        }
        if let Some(partition) = read.apart {
            wrong.push(format!(
                "partition {partition} of stream \"{}\" joined late, and its rows have not caught up with the others: run \
                 the pipelines as they were until they have",
                stream.name
            ));
        }
    }
    for (was, output) in now.outputs.iter().filter_map(|now| Some((was.same_output(now)?, now))) {
        wrong.extend(wrong_columns(was, output));
        wrong.extend(wrong_order(before, now, (was, output)));
        wrong.extend(wrong_wait((&before.facts.plan, was), (now, output)));
    }
    Ok(wrong)
}

/// Columns that rows which are there have, and the output has no more, or of another type.
fn wrong_columns(was: &PlannedOutput, now: &PlannedOutput) -> Vec<String> {
    let name = was.place();
    let wrong = |(column, of): &(String, String)| match now.columns.iter().find(|(other, _)| other == column) {
        Some((_, found)) if found == of => None,
        Some((_, found)) => Some(format!(
            "column \"{column}\" of {name} would be {found}, and the rows that are there have {of}: cast it, write it into a \
             column of another name, or write all to another output"
        )),
        None => Some(format!(
            "column \"{column}\" of {name} is gone, and readers of the rows that are there may use it: write it on (NULL, \
             cast to {of}, will do), or write to another output"
        )),
    };
    was.columns.iter().filter_map(wrong).collect()
}

/// Rows that were written as their messages came have to be of the same messages.
fn wrong_order(before: &Manifest, now: &JobPlan, (was, output): (&PlannedOutput, &PlannedOutput)) -> Option<String> {
    let unordered = was.feeds.iter().find(|feed| !feed.is_ordered && !feed.is_removed)?;
    let from = topic(&before.facts.plan, unordered);
    let is_same = output.feeds.iter().all(|feed| topic(now, feed) == from);
    (!is_same).then(|| {
        format!(
            "{} was written as the messages of topic {} came, and now gets rows of others: write them to another output",
            was.place(),
            from.unwrap_or_default()
        )
    })
}

/// Whether rows of an output are those that one stream removes as it reads its messages, as it does now: they come at once,
/// whatever their times are.
fn comes_at_once((before, was): (&JobPlan, &PlannedOutput), (plan, now): (&JobPlan, &PlannedOutput)) -> bool {
    let is_step = |plan: &JobPlan, node: &str| plan.steps.iter().any(|step| step.name == node);
    let first = was.feeds.first().map(|feed| topic(before, feed));
    let is_of_it = |plan: &JobPlan, feed: &Feed| {
        feed.is_removed && !is_step(plan, &feed.node) && feed.stream.is_some() && first == Some(topic(plan, feed))
    };
    was.feeds.iter().all(|feed| is_of_it(before, feed)) && now.feeds.iter().all(|feed| is_of_it(plan, feed))
}

/// The topic that the stream of a feed reads.
fn topic(plan: &JobPlan, feed: &Feed) -> Option<String> {
    let stream = plan.streams.get(usize::try_from(feed.stream?).ok()?)?;
    stream.settings.iter().find(|(name, _)| name == "live").map(|(_, topic)| topic.clone())
}

/// What was written of an output, whose rows may have come as their messages did although they were removed.
fn cut(before: &Manifest, output: &PlannedOutput, comes_at_once: bool) -> Result<OutputCut> {
    let (mut after, mut messages): (Option<EventTime>, BTreeMap<u32, RowOrder>) = (None, BTreeMap::new());
    for feed in &output.feeds {
        let stream = feed.stream.and_then(|stream| usize::try_from(stream).ok());
        let of_stream = stream.and_then(|stream| before.coordinator.watermarks.get(stream)).copied();
        if feed.is_ordered || feed.is_removed && !comes_at_once {
            let released = before.watermark_of(&feed.node).or(of_stream).unwrap_or(EventTime::MIN);
            after = Some(after.map_or(released, |after| after.min(released)));
            continue;
        }
        let ReadSoFar { messages: read, has_topic, .. } = match stream {
            Some(stream) => read_so_far(&before.coordinator, stream)?,
            None => return Err(Error::internal(format!("rows of {} are of no stream", output.name))),
        };
        if !has_topic {
            // The history was read to its end, and all of it is written.
            after = Some(EventTime::MAX);
        }
        messages.extend(read.into_iter().map(|message| (message.position().0, message)));
    }
    let mut after = after.unwrap_or(EventTime::MIN);
    // An output that was taken over before, and that may not have come that far, holds what it held then.
    if let Some(earlier) = before.facts.cuts.iter().find(|cut| cut.output == output.name) {
        after = after.max(earlier.after);
        for &message in &earlier.messages {
            let at = messages.entry(message.position().0).or_insert(message);
            *at = message.max(*at);
        }
    }
    Ok(OutputCut { output: output.name.clone(), after, messages: messages.into_values().collect() })
}

/// A writer that leaves out rows of messages whose rows are there.
pub struct UnwrittenRows {
    inner: Box<dyn Sink>,
    // Per partition the last message whose row is there.
    after: Vec<RowOrder>,
    left_out: u64,
}

impl UnwrittenRows {
    /// A writer that leaves out the rows of each partition up to that of a message.
    pub fn after(messages: Vec<RowOrder>, inner: Box<dyn Sink>) -> UnwrittenRows {
        UnwrittenRows { inner, after: messages, left_out: 0 }
    }

    fn is_written(&self, row: RowOrder) -> bool {
        let partition = row.position().0;
        self.after.iter().any(|last| last.position().0 == partition && row <= *last)
    }
}

impl Sink for UnwrittenRows {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let rows = (0..batch.rows() as u32).filter(|&row| !self.is_written(batch.order(row as usize)));
        let rows: Vec<u32> = rows.collect();
        match rows.len() == batch.rows() {
            true => self.inner.write(batch),
            false => {
                self.left_out += (batch.rows() - rows.len()) as u64;
                self.inner.write(&batch.take(&rows)?)
            }
        }
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<Option<Committable>> {
        self.inner.prepare(checkpoint)
    }

    fn position(&self) -> Option<Vec<u8>> {
        self.inner.position()
    }

    fn left_out(&self) -> u64 {
        self.left_out + self.inner.left_out()
    }
}
