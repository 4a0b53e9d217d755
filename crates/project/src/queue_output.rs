//! Outputs of a job that reads a queue: messages come again that are not acknowledged, and in another order.

use connector_local::TopicPosition;
use connector_pulsar::HeldAnchors;
use dataflow::{Error, Output, Result};
use sql::CheckedPlan;
use std::sync::Arc;

/// Refuses to take outputs over where nothing comes again of what was read.
pub(crate) fn refuse_takeover(checked: &CheckedPlan, takes_over: bool) -> Result<()> {
    let queue = checked.streams.iter().find(|stream| stream.queue.is_some()).filter(|_| takes_over);
    queue.map_or(Ok(()), |stream| {
        Err(Error::invalid(format!(
            "the pipelines have changed, and stream \"{}\" is a queue, whose messages do not come again for outputs that \
             are taken over: put the pipelines back, or name new outputs in a job of another name",
            stream.name
        )))
    })
}

/// The stream of a job whose messages come again in another order, if it reads one by a subscription.
pub(crate) fn queue_of<'p>(checked: &'p CheckedPlan, held: &[HeldAnchors]) -> Option<&'p str> {
    let queue = checked.streams.iter().find(|stream| stream.queue.is_some());
    queue.filter(|_| held.iter().any(|held| held.is_queue)).map(|stream| stream.name.as_str())
}

/// What there is to say of an output by now.
type Notice = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Adds that the delivery of an output is at least once, where it goes outside.
pub(crate) fn at_least_once(notice: Option<Notice>, output: &Output, stream: &str) -> Option<Notice> {
    let place = match output {
        Output::Table(table) => format!("table {table}"),
        Output::Topic(topic) => format!("topic {topic}"),
        Output::Query(_) => return notice,
    };
    let told = format!(
        "{place}: stream \"{stream}\" is a queue, so delivery is at least once: rows of messages that a killed run had not \
         acknowledged may be there twice; DEDUP of the stream removes those that it has seen"
    );
    Some(Arc::new(move || match notice.as_ref().and_then(|before| before()) {
        Some(before) => Some(format!("{before}\n{told}")),
        None => Some(told.clone()),
    }))
}

/// Where the writer of a local topic goes on after so many rows of an earlier run that are there already: other rows come
/// now, and none of them may be taken for one of those.
pub(crate) fn after_all(mut position: TopicPosition, rows: u64) -> TopicPosition {
    position.rows = position.rows.saturating_add(rows);
    position
}
