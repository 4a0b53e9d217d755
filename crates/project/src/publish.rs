//! Events from a file onto a topic, and a topic's messages for people to watch.

use crate::declared_columns::{DeclaredFiles, file_columns};
use crate::failure::Failure;
use crate::open::Project;
use arrow::array::{Array, AsArray, BooleanArray, StringArray, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef, TimestampMicrosecondType};
use codec::JsonEncode;
use connector_local::{FileColumn, Files, Outgoing, Watch};
use dataflow::{
    BadRowPolicy, ERROR_COLUMN, Encode, Error, EventTime, Message, Quiet, Result, Span, TimedFiles, Topic,
    is_bad_row_column,
};
use sql::{Stream, Target};
use std::path::Path;
use std::sync::Arc;
use values::Encoding;

const READ_ROWS: usize = 8192;

/// What `publish` wrote to a topic.
#[derive(Clone, Debug)]
pub struct PublishSummary {
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
    /// Publishes the rows of a file to the topic of a stream, which is created if it does not exist. `each` gets the
    /// number of rows so far. All rows are checked against the stream's columns first; where the stream declares
    /// FAIL, nothing is put when one is wrong, and else the others are.
    pub fn publish(
        &self,
        stream: &str,
        file: &Path,
        encoding: Encoding,
        partitions: u32,
        each: &mut dyn FnMut(usize),
    ) -> Result<PublishSummary, Failure> {
        let stream = self.stream(stream)?;
        let Some(topic) = &stream.live else {
            return Err(Error::invalid(format!("stream \"{}\" has no LIVE topic to publish to", stream.name)).into());
        };
        let pattern = file.to_string_lossy();
        let declared = file_columns(&stream);
        let found = Arc::new(Files::open(&pattern, Path::new("."), &declared, encoding)?);
        let looked = look(&DeclaredFiles::new(found.clone(), &stream)?, &stream)?;
        let topics = self.topics()?.clone();
        let partitions = topics.topic_or_create(topic, partitions)?.partitions();
        let mut producer = topics.producer(topic, "", 0)?;
        let payloads = Payloads::new(found, &declared)?;
        let mut published =
            PublishSummary { topic: topic.clone(), messages: 0, bytes: 0, times: looked.times, warning: None };
        for (index, bad) in looked.bad.iter().enumerate() {
            for payloads in payloads.of_file(index, bad)? {
                let payloads = payloads?;
                let messages: Vec<_> =
                    payloads.iter().map(|payload| Outgoing { sequence: 0, key: None, payload }).collect();
                // Runs of rows go to the partitions in turn.
                let run = messages.len().div_ceil(partitions as usize).max(1);
                for (partition, some) in messages.chunks(run).enumerate() {
                    let appended = producer.append(partition as u32, some);
                    appended.map_err(|error| partly(error, published.messages, topic))?;
                    published.messages += some.len();
                }
                published.bytes += payloads.iter().map(Vec::len).sum::<usize>();
                each(published.messages);
            }
        }
        let left_out: usize = looked.bad.iter().map(Vec::len).sum();
        let left_out = looked.first.map(|first| format!("{left_out} rows are left out as bad; the first: {first}"));
        let warnings: Vec<String> = left_out.into_iter().chain(self.warn_of_old(&published, &stream)).collect();
        published.warning = (!warnings.is_empty()).then(|| warnings.join("\nwarning: "));
        Ok(published)
    }

    /// One stream of the project, planned.
    pub fn stream(&self, name: &str) -> Result<Stream, Failure> {
        let query = format!("SELECT * FROM \"{}\"", name.replace('"', "\"\""));
        let checked = self.check(&Target::Query(query)).map_err(Failure::of_a_name)?;
        let found = checked.streams.into_iter().find(|stream| stream.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| Error::invalid(format!("{name} is a view; events are published to streams")).into())
    }

    fn warn_of_old(&self, published: &PublishSummary, stream: &Stream) -> Option<String> {
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
    pub fn tail(&self, name: &str, from_start: bool) -> Result<TopicTail, Failure> {
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
        Ok(TopicTail { logs })
    }
}

/// Why a file was not published to its end. Its first rows are on the topic by then, and are not to be put again.
fn partly(error: Error, messages: usize, topic: &str) -> Error {
    if messages == 0 {
        return error;
    }
    let there = format!(
        "the first {messages} good rows of the file are on topic {topic}, and the rest is not: publish the rest alone, \
         since publishing the file again would put these twice"
    );
    Error::invalid(there).with_source(error)
}

/// What the rows of files showed: the least and greatest event time, and by file the rows that are bad, ascending.
#[derive(Default)]
struct FileScan {
    times: Option<(EventTime, EventTime)>,
    bad: Vec<Vec<usize>>,
    first: Option<String>,
}

/// Reads every value of every row. One that is wrong is an error where the stream declares FAIL.
fn look(files: &DeclaredFiles, stream: &Stream) -> Result<FileScan> {
    let mut columns: Vec<String> = stream.schema.fields().iter().map(|field| field.name().clone()).collect();
    columns.push(ERROR_COLUMN.to_owned());
    let mut looked = FileScan::default();
    for (index, file) in files.files().iter().enumerate() {
        let (mut before, mut bad) = (0, Vec::new());
        for rows in files.open(index, file.all_groups(), &columns, READ_ROWS)? {
            let rows = rows?;
            let times = rows.column(stream.time_column).as_primitive::<TimestampMicrosecondType>();
            let errors = rows.column(columns.len() - 1).as_string::<i32>();
            for row in 0..rows.num_rows() {
                let Some(why) = why_bad(times, errors, row, &columns[stream.time_column], stream) else {
                    let time = EventTime(times.value(row));
                    let (low, high) = looked.times.unwrap_or((time, time));
                    looked.times = Some((low.min(time), high.max(time)));
                    continue;
                };
                let text = format!("\"{}\" row {}: {why}", file.path, before + row + 1);
                if stream.bad_rows == BadRowPolicy::Fail {
                    return Err(Error::data(text));
                }
                looked.first.get_or_insert(text);
                bad.push(before + row);
            }
            before += rows.num_rows();
        }
        looked.bad.push(bad);
    }
    Ok(looked)
}

/// Why a row cannot be published, if it cannot.
fn why_bad(
    times: &TimestampMicrosecondArray,
    errors: &StringArray,
    row: usize,
    time_name: &str,
    stream: &Stream,
) -> Option<String> {
    if errors.is_valid(row) {
        return Some(errors.value(row).to_owned());
    }
    let why = || format!("column \"{time_name}\" has no value, and it is the event time of stream \"{}\"", stream.name);
    times.is_null(row).then(why)
}

/// The payloads that the rows of files are.
struct Payloads {
    files: Arc<Files>,
    names: Vec<String>,
    encode: JsonEncode,
}

impl Payloads {
    /// Objects of all columns that the files have, declared or not.
    fn new(files: Arc<Files>, declared: &[FileColumn]) -> Result<Payloads> {
        let schema = files.schema();
        let shown = schema.fields().iter().filter(|field| !is_bad_row_column(field.name()));
        let schema: SchemaRef = Arc::new(Schema::new(shown.cloned().collect::<Vec<_>>()));
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let of_name = |name: &String| declared.iter().find(|(path, _)| path.join(".") == *name);
        let path = |name: &String| match of_name(name) {
            Some((path, _)) => path.clone(),
            None => name.split('.').map(str::to_owned).collect(),
        };
        let is_cell = |name: &String| files.are_texts() && of_name(name).is_none();
        let paths = names.iter().map(path).collect();
        let cells = names.iter().map(is_cell).collect();
        Ok(Payloads { files, encode: JsonEncode::with_cells(schema, paths, cells)?, names })
    }

    /// Those of the rows of a file that are not bad: the lines of JSON as they are, others as JSON, some at a time.
    fn of_file<'a>(&'a self, file: usize, bad: &'a [usize]) -> Result<Batches<'a>> {
        if let Some(mut lines) = self.files.json_lines(file)? {
            let mut row = 0;
            return Ok(Box::new(std::iter::from_fn(move || {
                let mut some = Vec::new();
                for line in lines.by_ref().take(READ_ROWS) {
                    match line {
                        Err(error) => return Some(Err(error)),
                        Ok(line) if bad.binary_search(&row).is_err() => some.push(line),
                        Ok(_) => {}
                    }
                    row += 1;
                }
                (!some.is_empty()).then_some(Ok(some))
            })));
        }
        let groups = self.files.files()[file].all_groups();
        let mut before = 0;
        Ok(Box::new(self.files.open(file, groups, &self.names, READ_ROWS)?.map(move |rows| {
            let rows = rows?;
            let is_good = |row: usize| bad.binary_search(&(before + row)).is_err();
            let kept: BooleanArray = (0..rows.num_rows()).map(|row| Some(is_good(row))).collect();
            before += rows.num_rows();
            self.encode.encode(&filter_record_batch(&rows, &kept)?)
        })))
    }
}

type Batches<'a> = Box<dyn Iterator<Item = Result<Vec<Vec<u8>>>> + 'a>;

/// A topic being watched.
pub struct TopicTail {
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

impl TopicTail {
    /// Waits until there are messages that were not taken yet, or until the time is over.
    pub fn wait(&mut self, timeout: std::time::Duration) -> Result<()> {
        Watch::wait_any(&mut self.logs, timeout).map(drop)
    }

    /// The messages since the last call, up to a limit per partition. Never waits.
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
