//! What a sink of a job writes to: a table, a topic, or the caller of a query.

use crate::job::{Begin, WiredSink};
use crate::open::Project;
use connector_iceberg::TableOptions;
use connector_local::{TopicCommitter, TopicSink};
use dataflow::{Batch, Committable, Committer, Error, EventTime, Output, Result, Sink};
use sql::OutputSpec;
use std::sync::{Arc, Mutex, PoisonError};

/// The producer that writes an output's topic: stable, so that its epochs can be told apart.
fn producer_name(project: &Project, output: &str) -> String {
    format!("{}.{output}", project.name())
}

/// Refuses outputs that are the history of a stream: a job never writes, and `--fresh` never drops, what it reads.
pub fn refuse_history(project: &Project, outputs: &[OutputSpec]) -> Result<()> {
    for (table, stream) in project.statements.history_tables() {
        let written =
            |spec: &&OutputSpec| matches!(&spec.output, Output::Table(name) if name.eq_ignore_ascii_case(&table));
        if outputs.iter().any(|spec| written(&spec)) {
            return Err(Error::invalid(format!(
                "table {table} is the HISTORY of stream \"{stream}\", and a job does not write into what streams are read \
                 from: name another table, or write it with ARCHIVE {stream}"
            )));
        }
    }
    Ok(())
}

/// Refuses outputs that hold rows of this job, since a job starts from its beginning.
pub fn refuse_used(project: &Project, outputs: &[OutputSpec]) -> Result<()> {
    for spec in outputs {
        match &spec.output {
            Output::Table(table) => {
                let Some(warehouse) = project.warehouse_if_there()? else { continue };
                let rows = if warehouse.exists(table)? { warehouse.rows(table)? } else { 0 };
                if rows > 0 {
                    return Err(Error::invalid(format!(
                        "table {table} holds {rows} rows, and the job starts from its beginning: `--fresh` drops the job's \
                         output tables and starts over"
                    )));
                }
            }
            Output::Topic(topic) => {
                if let Some(epoch) = last_epoch(project, topic, &spec.name)? {
                    return Err(Error::invalid(format!(
                        "topic {topic} holds messages of this job (producer {}, epoch {epoch}), and the job starts from \
                         its beginning: `--fresh` writes them again under a new epoch",
                        producer_name(project, &spec.name)
                    )));
                }
            }
            Output::Query => {}
        }
    }
    Ok(())
}

fn last_epoch(project: &Project, topic: &str, output: &str) -> Result<Option<u64>> {
    if !project.topics_path().is_dir() || project.topics()?.topic(topic)?.is_none() {
        return Ok(None);
    }
    project.topics()?.producer(topic, &producer_name(project, output), 0)?.last_epoch()
}

/// Makes the output and binds a sink to it.
pub fn wire(project: &Project, spec: &OutputSpec, begin: Begin, start: EventTime, rows: &Rows) -> Result<WiredSink> {
    match &spec.output {
        _ if begin == Begin::Collect => Ok(collect(spec, rows)),
        Output::Table(table) => table_sink(project, table, spec, begin),
        Output::Topic(topic) => topic_sink(project, topic, spec, start),
        Output::Query => Ok(collect(spec, rows)),
    }
}

fn collect(spec: &OutputSpec, rows: &Rows) -> WiredSink {
    let writer = rows.clone();
    WiredSink {
        name: spec.name.clone(),
        node: String::new(),
        output: spec.output.clone(),
        writer: Box::new(move |_| Ok(Box::new(writer.clone()))),
        committer: Box::new(rows.clone()),
        after: EventTime::MIN,
        epoch: None,
    }
}

fn table_sink(project: &Project, table: &str, spec: &OutputSpec, begin: Begin) -> Result<WiredSink> {
    let warehouse = project.warehouse()?;
    if begin == Begin::Fresh && warehouse.exists(table)? {
        warehouse.drop(table)?;
    }
    if !warehouse.exists(table)? {
        warehouse.create(table, &spec.schema, &TableOptions::default())?;
    }
    let name = table.to_owned();
    let committer = warehouse.committer(table)?;
    Ok(WiredSink {
        name: spec.name.clone(),
        node: String::new(),
        output: spec.output.clone(),
        writer: Box::new(move |worker| warehouse.writer(&name, worker)),
        committer,
        after: EventTime::MIN,
        epoch: None,
    })
}

fn topic_sink(project: &Project, topic: &str, spec: &OutputSpec, start: EventTime) -> Result<WiredSink> {
    let epoch = last_epoch(project, topic, &spec.name)?.map_or(1, |epoch| epoch + 1);
    let topics = project.topics()?.clone();
    topics.topic_or_create(topic, 1)?;
    let (topic, producer) = (topic.to_owned(), producer_name(project, &spec.name));
    let (encode, key) = (crate::dead_letter::encoder(&spec.schema)?, spec.schema.index_of("subject").ok());
    Ok(WiredSink {
        name: spec.name.clone(),
        node: String::new(),
        output: spec.output.clone(),
        writer: Box::new(move |_| {
            let producer = topics.producer(&topic, &producer, epoch)?;
            Ok(Box::new(TopicSink::new(producer, encode.clone(), key, 0)))
        }),
        committer: Box::new(TopicCommitter),
        after: start,
        epoch: Some(epoch),
    })
}

/// Rows of a query on their way to the caller, who takes them while the job runs.
#[derive(Clone, Debug, Default)]
pub struct Rows(Arc<Mutex<Vec<Batch>>>);

impl Rows {
    /// The rows that came since the last call.
    pub fn take(&self) -> Vec<Batch> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Rows {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch.clone());
        Ok(())
    }

    fn prepare(&mut self) -> Result<Option<Committable>> {
        Ok(None)
    }
}

impl Committer for Rows {
    fn commit(&mut self, _: Vec<Committable>) -> Result<()> {
        Ok(())
    }
}
