//! What a job that begins anew over all of history finds no more of the messages that it had read.

use checkpoint::Manifest;
use dataflow::{CoordinatorState, EventTime, Fate, Result, read_what_is_there};
use seam::{StreamInput, archived_to, read_so_far, rows_there};
use sql::{CheckedPlan, LookBack};
use std::collections::BTreeSet;

/// How much a job had read of its streams.
pub struct RowsRead {
    coordinator: CoordinatorState,
    // By the number of the stream: its name, and the rows that were read.
    streams: Vec<(String, i64)>,
}

impl RowsRead {
    /// As a checkpoint says.
    pub fn of(before: &Manifest) -> RowsRead {
        let read = |name: &String| {
            let found = before.rows.streams.iter().find(|(of, _)| of == name);
            (name.clone(), found.map_or(0, |(_, fates)| fates.of(Fate::In)))
        };
        let streams = before.facts.plan.streams.iter().map(|stream| read(&stream.name)).collect();
        RowsRead { coordinator: before.coordinator.clone(), streams }
    }

    /// Says of each stream whose messages are not all there any more how many are; rows from `from` on are to come out, or
    /// all. Nothing is said where windows look back to none of those that are gone.
    pub fn lacking(
        &self,
        checked: &CheckedPlan,
        inputs: &[StreamInput],
        from: Option<EventTime>,
    ) -> Result<Vec<String>> {
        let (reaches, mut lacking) = (checked.look_back(), Vec::new());
        for input in inputs {
            let name = &input.spec.name;
            let Some(number) = self.streams.iter().position(|(of, _)| of == name) else { continue };
            let reach = reaches.iter().find(|(of, _)| of == name).map(|(_, reach)| *reach);
            if let (Some(from), Some(LookBack::For(span))) = (from, reach)
                && topic_reaches(input, from.minus(span), (&self.coordinator, number))?
            {
                continue;
            }
            // Counting reads the topic.
            let Some(there) = rows_there(input, &self.coordinator, number)? else { continue };
            let read = self.streams[number].1;
            if there < read {
                lacking.push(format!(
                    "{there} of the {read} rows of stream {name} that the job had read are there: the others are lacking in \
                     windows and joins that look back to them, and in outputs that are new"
                ));
            }
        }
        Ok(lacking)
    }
}

/// Whether the topic of a stream, as far as its archive does not have it, begins at or before an instant: what is gone of it
/// had arrived by its first message, and lies no later than that. A partition without a message may have lost all, but for
/// one of which a checkpoint says that nothing was read.
pub(crate) fn topic_reaches(
    input: &StreamInput,
    from: EventTime,
    (state, number): (&CoordinatorState, usize),
) -> Result<bool> {
    let Some(live) = &input.live else { return Ok(true) };
    let read: BTreeSet<u32> =
        read_so_far(state, number)?.messages.into_iter().map(|message| message.position().0).collect();
    for (partition, archived) in archived_to(input)?.into_iter().enumerate() {
        if archived.is_some() || !read.contains(&(partition as u32)) {
            continue;
        }
        let mut log = live.topic.open(partition as u32, None)?;
        let first = read_what_is_there(log.as_mut(), 1, usize::MAX)?;
        if first.first().is_none_or(|first| first.arrival.0 > from.0) {
            return Ok(false);
        }
    }
    Ok(true)
}
