//! Events from a file onto a topic, and a topic's messages for people to watch.

use crate::declared::{DeclaredFiles, file_types};
use crate::open::{Failure, Project};
use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use codec::JsonEncode;
use connector_local::{Files, Outgoing, Watch};
use dataflow::{Encode, Error, EventTime, Message, Result, Span, TimedFiles, Topic};
use sql::{Quiet, Stream, Target};
use std::path::Path;
use std::sync::Arc;

const READ_ROWS: usize = 8192;

/// What `publish` put on a topic.
#[derive(Clone, Debug)]
pub struct Published {
    /// The topic.
    pub topic: String,
    /// How many messages.
    pub messages: usize,
    /// Their size together.
    pub bytes: usize,
    /// The least and greatest event time among them.
    pub times: Option<(EventTime, EventTime)>,
    /// What the publisher should know.
    pub warning: Option<String>,
}

impl Project {
    /// Puts the rows of a file on the topic of a stream; the topic is made when it is not there. `each` is told how
    /// many rows have been put. All rows are checked against the stream's columns first; nothing is put when one is wrong.
    pub fn publish(
        &self,
        stream: &str,
        file: &Path,
        partitions: u32,
        each: &mut dyn FnMut(usize),
    ) -> Result<Published, Failure> {
        let stream = self.stream(stream)?;
        let Some(topic) = &stream.live else {
            return Err(Error::invalid(format!("stream \"{}\" has no LIVE topic to publish to", stream.name)).into());
        };
        let pattern = file.to_string_lossy();
        let found: Arc<dyn TimedFiles> =
            Arc::new(Files::open(&pattern, Path::new("."))?.with_types(&file_types(&stream))?);
        let times = times(&DeclaredFiles::new(found.clone(), &stream)?, &stream)?;
        let topics = self.topics()?.clone();
        let partitions = topics.topic_or_create(topic, partitions)?.partitions();
        let mut producer = topics.producer(topic, "", 0)?;
        let schema = found.schema();
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let paths = names.iter().map(|name| name.split('.').map(str::to_owned).collect()).collect();
        let encode = JsonEncode::nested(schema, paths)?;
        let mut published = Published { topic: topic.clone(), messages: 0, bytes: 0, times, warning: None };
        for index in 0..found.files().len() {
            for rows in found.open(index, &names, READ_ROWS)? {
                let payloads = encode.encode(&rows?)?;
                let messages: Vec<_> =
                    payloads.iter().map(|payload| Outgoing { sequence: 0, key: None, payload }).collect();
                // Runs of rows go to the partitions in turn.
                let run = messages.len().div_ceil(partitions as usize).max(1);
                for (partition, some) in messages.chunks(run).enumerate() {
                    producer.append(partition as u32, some)?;
                }
                published.messages += payloads.len();
                published.bytes += payloads.iter().map(Vec::len).sum::<usize>();
                each(published.messages);
            }
        }
        published.warning = self.warn_of_old(&published, &stream);
        Ok(published)
    }

    /// One stream of the project, planned.
    pub fn stream(&self, name: &str) -> Result<Stream, Failure> {
        let checked = self.check(&Target::Query(format!("SELECT * FROM {name}"))).map_err(Failure::of_a_name)?;
        let found = checked.streams.into_iter().find(|stream| stream.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| Error::invalid(format!("{name} is a view; events are published to streams")).into())
    }

    fn warn_of_old(&self, published: &Published, stream: &Stream) -> Option<String> {
        let (oldest, _) = published.times?;
        let now = self.clock.now();
        let old = oldest < EventTime(now.0).minus(Span::DAY);
        (old && stream.quiet != Quiet::Never).then(|| {
            format!(
                "events go back to {oldest}, more than a day, and stream \"{}\" is not QUIET NEVER: a pause of the \
                 publisher lets its clock run on, and what comes then is late",
                stream.name
            )
        })
    }

    /// Opens a topic to watch it: by a stream's name, or by its own.
    pub fn tail(&self, name: &str, from_start: bool) -> Result<Tail, Failure> {
        let topic = match self.stream(name) {
            Ok(Stream { live: Some(topic), .. }) => topic,
            _ => name.to_owned(),
        };
        let there = if self.topics_path().is_dir() { self.topics()?.topic(&topic)? } else { None };
        let Some(topic) = there else {
            let known = if self.topics_path().is_dir() { self.topics()?.names()? } else { Vec::new() };
            return Err(Error::invalid(format!(
                "topic {topic} does not exist in {}; there are: {}",
                self.topics_path().display(),
                known.join(", ")
            ))
            .into());
        };
        let mut logs = Vec::new();
        for (partition, end) in topic.ends()?.into_iter().enumerate() {
            let after = if from_start { None } else { end.last };
            logs.push(topic.watch(partition as u32, after)?);
        }
        Ok(Tail { logs })
    }
}

/// The least and greatest event time of files. Every value of every row is read, so that one that is wrong is an error.
fn times(files: &DeclaredFiles, stream: &Stream) -> Result<Option<(EventTime, EventTime)>> {
    let columns: Vec<String> = stream.schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut least_greatest: Option<(EventTime, EventTime)> = None;
    for (index, file) in files.files().iter().enumerate() {
        let mut before = 0;
        for rows in files.open(index, &columns, READ_ROWS)? {
            let rows = rows?;
            let column = rows.column(stream.time_column).as_primitive::<TimestampMicrosecondType>();
            if let Some(row) = (0..column.len()).find(|&row| column.is_null(row)) {
                return Err(Error::data(format!(
                    "\"{}\" row {}: column \"{}\" has no value, and it is the event time of stream \"{}\"",
                    file.path,
                    before + row + 1,
                    columns[stream.time_column],
                    stream.name
                )));
            }
            before += column.len();
            let (Some(least), Some(greatest)) = (arrow::compute::min(column), arrow::compute::max(column)) else {
                continue;
            };
            let (low, high) = least_greatest.unwrap_or((EventTime::MAX, EventTime::MIN));
            least_greatest = Some((low.min(EventTime(least)), high.max(EventTime(greatest))));
        }
    }
    Ok(least_greatest)
}

/// A topic being watched.
pub struct Tail {
    logs: Vec<Watch>,
}

/// A message and the partition that it lies in.
#[derive(Debug)]
pub struct TailRow {
    /// The partition.
    pub partition: usize,
    /// The message.
    pub message: Message,
    /// The producer that wrote it and its epoch; `None` for messages of `publish`.
    pub producer: Option<(String, u64)>,
}

impl Tail {
    /// Waits until there are messages that were not taken yet, or until the time is over.
    pub fn wait(&mut self, timeout: std::time::Duration) -> Result<()> {
        Watch::wait_any(&mut self.logs, timeout).map(drop)
    }

    /// The messages that have come since the last call, at most so many per partition. Never waits.
    pub fn next(&mut self, messages_max: usize) -> Result<Vec<TailRow>> {
        let mut rows = Vec::new();
        for (partition, log) in self.logs.iter_mut().enumerate() {
            for (message, producer, epoch) in log.next(messages_max)? {
                let producer = (!producer.is_empty()).then_some((producer, epoch));
                rows.push(TailRow { partition, message, producer });
            }
        }
        rows.sort_by_key(|row| row.message.arrival);
        Ok(rows)
    }
}
