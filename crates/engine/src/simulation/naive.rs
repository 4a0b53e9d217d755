//! What a job gives, by loops over all rows in memory: no batches, no watermarks, no checkpoints.

use super::scene::{BIG, BIG_SIZE, COUNTED, LABEL, LABELLED, QUIET, REPORTED, Scene, WINDOW};
use dataflow::{EventTime, Message, RowOrder};
use std::collections::BTreeMap;

/// A row with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub time: i64,
    pub order: RowOrder,
    pub id: i64,
    pub sender: Option<i64>,
    pub size: i64,
}

/// What a message says: an id, a sender, a size and when it happened. Anything else is bad.
pub fn parse(payload: &[u8]) -> Option<(i64, Option<i64>, i64, i64)> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut fields = text.split(',');
    let id = fields.next()?.parse().ok()?;
    let sender = match fields.next()? {
        "" => None,
        sender => Some(sender.parse().ok()?),
    };
    Some((id, sender, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The rows of a log by the rule of row time, in (time, order).
pub fn rows_of(logs: &[Vec<Message>], delay: i64, drops_late: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for (partition, log) in logs.iter().enumerate() {
        let (mut clock, mut before): (Option<i64>, Option<i64>) = (None, None);
        for message in log {
            let arrival = message.arrival.0;
            if let (Some(at), Some(before)) = (clock, before) {
                clock = Some(at.max((at + (arrival - before) - QUIET).min(arrival - QUIET)));
            }
            before = Some(before.unwrap_or(arrival).max(arrival));
            let Some((id, sender, size, event)) = parse(&message.payload) else { continue };
            let time = clock.map_or(event, |clock| event.max(clock - delay));
            let order = RowOrder::of_position(partition as u32, message.position).unwrap();
            if time == event || !drops_late {
                rows.push(Row { time, order, id, sender, size });
            }
            clock = Some(clock.map_or(event.min(arrival), |clock| clock.max(event.min(arrival))));
        }
    }
    rows.sort_by_key(|row| (row.time, row.order));
    rows
}

fn without_repeats(rows: Vec<Row>, within: i64) -> Vec<Row> {
    let mut last = BTreeMap::new();
    let is_first = |row: &Row| {
        let before = last.insert(row.id, row.time);
        before.is_none_or(|before| row.time - before > within)
    };
    rows.into_iter()
        .filter({
            let mut is_first = is_first;
            move |row| is_first(row)
        })
        .collect()
}

fn text(value: Option<i64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The rows of each output as text, those of a topic after an instant, in (time, order).
pub fn outputs(
    scene: &Scene,
    messages: &[Vec<Message>],
    logs_of_reports: &[Vec<Message>],
    start: EventTime,
) -> Outputs {
    let mut rows = rows_of(messages, scene.delay_of("messages").0, scene.drops_late);
    if scene.dedup > 0 {
        rows = without_repeats(rows, scene.dedup * 1_000_000);
    }
    let reports = rows_of(logs_of_reports, scene.delay_of("reports").0, false);
    let mut outputs = Outputs::new();
    if scene.has_big {
        let big = rows.iter().filter(|row| row.size > BIG_SIZE && EventTime(row.time) > start);
        outputs.insert(BIG, big.map(|row| format!("{}|{}|{}", row.id, text(row.sender), row.size)).collect());
    }
    if scene.has_counted {
        outputs.insert(COUNTED, (0..rows.len()).map(|at| counted(&rows, at, &reports)).collect());
    }
    if let Some(is_topic) = scene.labels {
        let label = |row: &Row| {
            let meets = |report: &Row| (row.time..=row.time + LABEL).contains(&report.time);
            let is_there = of_sender(&reports, row.sender).any(meets);
            format!("{}|{}|{is_there}", row.id, row.size)
        };
        // A label is there, and leaves, when no report can come any more that it waits for; the last run ends with the last
        // message.
        let end = messages.iter().chain(logs_of_reports).flatten().map(|message| message.arrival.0).max().unwrap_or(0);
        let is_out = |row: &&Row| row.time + LABEL <= end && (!is_topic || EventTime(row.time + LABEL) > start);
        let labelled = rows.iter().filter(is_out);
        outputs.insert(LABELLED, labelled.map(label).collect());
    }
    outputs
}

pub type Outputs = BTreeMap<&'static str, Vec<String>>;

/// A NULL key matches nothing.
fn of_sender(reports: &[Row], sender: Option<i64>) -> impl DoubleEndedIterator<Item = &Row> {
    reports.iter().filter(move |report| sender.is_some() && report.sender == sender)
}

fn counted(rows: &[Row], at: usize, reports: &[Row]) -> String {
    let row = &rows[at];
    let in_frame = |other: &&Row| other.sender == row.sender && (row.time - WINDOW..=row.time).contains(&other.time);
    let frame: Vec<&Row> = rows.iter().filter(in_frame).collect();
    let before = rows[..at].iter().rev().find(|other| other.sender == row.sender).map(|other| other.size);
    let reported = of_sender(reports, row.sender).rev().find(|report| report.time <= row.time).map(|r| r.size);
    let last: Vec<i64> = of_sender(reports, row.sender)
        .filter(|report| (row.time - REPORTED..=row.time).contains(&report.time))
        .map(|report| report.size)
        .collect();
    let of_reports = (!last.is_empty()).then(|| last.iter().sum());
    format!(
        "{}|{}|{}|{}|{}|{}",
        row.id,
        frame.len(),
        frame.iter().map(|row| row.size).sum::<i64>(),
        text(before),
        text(reported),
        text(of_reports)
    )
}
