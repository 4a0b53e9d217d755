//! Rows that were left out as bad: one of each stream with its place and the reason, and where the rest are.

use crate::show;
use dataflow::{BadRow, Fate, Output};
use engine::Status;
use project::Project;
use seam::StreamStats;
use std::sync::Arc;

/// Of how many streams a row is told at most.
const STREAMS_MAX: usize = 4;

/// What came of the command that left rows out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Dead letters were written.
    Run,
    /// They were counted alone.
    Query,
}

/// The rows that readers and steps removed as bad.
pub struct LeftOut {
    /// How many.
    pub count: i64,
    /// One of each stream, with its place and the reason.
    rows: Vec<BadRow>,
}

impl LeftOut {
    /// What a job left out so far.
    pub fn of(stats: &[Arc<StreamStats>], status: &Status) -> LeftOut {
        let of_readers = stats.iter().map(|stream| stream.counts());
        let of_readers = of_readers.map(|counts| (counts.bad + counts.quarantined + counts.dead_lettered) as i64);
        let nodes = status.nodes();
        let of_steps = nodes.iter().map(|node| node.fates.of(Fate::Bad) + node.fates.of(Fate::DeadLettered));
        let read = stats.iter().filter_map(|stream| {
            let text = stream.first_bad()?.to_owned();
            Some(BadRow { stream: stream.name.clone(), text })
        });
        let mut rows: Vec<BadRow> = read.collect();
        for row in nodes.iter().filter_map(|node| node.first_bad.as_deref()) {
            if rows.iter().all(|known| known.stream != row.stream) {
                rows.push(row.clone());
            }
        }
        LeftOut { count: of_readers.chain(of_steps).sum(), rows }
    }

    /// A line or more per stream, which a terminal holds.
    pub fn text(&self, project: &Project, command: Command) -> String {
        let shown = self.rows.iter().take(STREAMS_MAX);
        let mut text: String = shown.map(|row| show::sentence(&told(row, project, command))).collect();
        if self.rows.len() > STREAMS_MAX {
            text += &format!("and of {}\n", show::counted((self.rows.len() - STREAMS_MAX) as i64, "more stream"));
        }
        text
    }
}

fn told(row: &BadRow, project: &Project, command: Command) -> String {
    let rest = match (project.dead_letters(&row.stream), command) {
        (Some(Output::Table(table)), Command::Run) => format!("all are in table {table}"),
        (Some(Output::Topic(topic)), Command::Run) => format!("all go to topic {topic}"),
        (Some(Output::Table(to) | Output::Topic(to)), Command::Query) => format!("a run writes all to {to}"),
        _ => "ON BAD ROW DEAD LETTER TO table would keep all".to_owned(),
    };
    format!("a bad row of {}: {}; {rest}", row.stream, row.text)
}
