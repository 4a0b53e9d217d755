//! What tells one revision of a project from another, and one plan from another.

use crate::load::Folder;
use dataflow::{BadRowPolicy, JobGraph, Late, QueueSharing, Quiet};
use sql::{CheckedPlan, History, Stream};
use values::Encoding;
use xxhash_rust::xxh3::Xxh3;

/// The version of what is hashed of a plan.
const VERSION: u64 = 1;

/// The revision of a project's pipelines: 16 hex digits that change with any of their text.
pub fn revision(folder: &Folder) -> String {
    let mut hash = Text(Xxh3::new());
    folder.pipelines.iter().for_each(|file| hash.text(&file.text));
    format!("{:016x}", hash.0.digest())
}

/// The fingerprint of a plan: 32 hex digits that change when rows, their times, or what is kept of them would. Comments,
/// spaces and statements that the job does not use are no part of it; the versions of its models are.
pub fn plan(checked: &CheckedPlan, graph: &JobGraph) -> String {
    let mut hash = Text(Xxh3::new());
    hash.number(VERSION);
    hash.text(checked.selects());
    hash.text(&checked.logical());
    checked.rules().iter().for_each(|rule| hash.text(rule));
    checked.streams.iter().for_each(|stream| hash.stream(stream));
    hash.number(graph.nodes.len() as u64);
    for node in &graph.nodes {
        hash.text(&node.name);
        hash.text(&node.describe);
        hash.columns(&node.schema);
        node.ports.iter().for_each(|port| hash.number(port.0.into()));
        node.inputs.iter().for_each(|edge| hash.text(&graph.edge_name(edge)));
    }
    for spec in &checked.outputs {
        hash.text(&spec.name);
        hash.columns(&spec.schema);
    }
    format!("{:032x}", hash.0.digest128())
}

/// Hashes texts and numbers so that no two sequences of them look alike.
struct Text(Xxh3);

impl Text {
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn columns(&mut self, schema: &arrow::datatypes::Schema) {
        self.number(schema.fields().len() as u64);
        for field in schema.fields() {
            self.text(field.name());
            self.text(&values::name(field.data_type()));
        }
    }

    fn stream(&mut self, stream: &Stream) {
        self.text(&stream.name);
        self.columns(&stream.schema);
        stream.origins.iter().for_each(|origin| self.text(origin));
        self.number(stream.time_column as u64);
        self.number(stream.delay.0 as u64);
        match stream.quiet {
            Quiet::After(span) => self.number(span.0 as u64),
            Quiet::Never => self.number(u64::MAX),
        }
        self.number(stream.arrival.map_or(u64::MAX, |column| column as u64));
        self.text(match stream.late {
            Late::Move => "move",
            Late::Drop => "drop",
            Late::Aside => "aside",
        });
        self.text(match stream.bad_rows {
            BadRowPolicy::Fail => "fail",
            BadRowPolicy::Skip => "skip",
            BadRowPolicy::DeadLetter => "dead letter",
        });
        if let Some(dedup) = &stream.dedup {
            dedup.keys.iter().for_each(|&key| self.number(key as u64));
            self.number(dedup.within.0 as u64);
        }
        match &stream.history {
            Some(History::Table(table)) => self.text(table),
            Some(History::Files(pattern, encoding)) => {
                self.text(pattern);
                self.text(match encoding {
                    Encoding::Unicode => "utf-8",
                    Encoding::Latin1 => "latin1",
                    Encoding::Utf16 => "utf-16",
                });
            }
            None => self.text(""),
        }
        self.text(stream.live.as_deref().unwrap_or_default());
        match stream.queue {
            None => {}
            Some(QueueSharing::Any) => self.text("queue"),
            Some(QueueSharing::ByKey) => self.text("queue by key"),
        }
    }
}
