//! What a stream reads: its history, its topic, and how their rows become those that it declares.

use crate::arrivals::with_clocks;
use crate::dead_letter::row_text;
use crate::declared_columns::{ComputedDecode, DeclaredFiles, file_columns};
use crate::failure::Failure;
use crate::near_path::with_near_path;
use crate::open::Project;
use crate::spill_folder::SpillFolder;
use crate::topic_place::TopicPlace;
use crate::wanted_rows::WantedRows;
use arrow::datatypes::SchemaRef;
use codec::JsonDecode;
use connector_iceberg::SNAPSHOT;
use connector_local::Files;
use dataflow::{Decode, Error, ErrorKind, Result, TimedFiles, read_what_is_there};
use seam::{CLOCK_PROPERTY, FRONTIER_PROPERTY, Frontier, StreamInput, StreamSpec};
use sql::{ColumnSource, History, Stream};
use std::sync::Arc;

/// Messages that are read at once to count them.
const READ_MESSAGES: usize = 8192;
/// About how many bytes of messages one read takes.
const READ_BYTES: usize = 4 << 20;

/// The properties of a table that say which columns the values of its files are.
const TABLE_STATE: [&str; 2] = ["current-schema", "schema.name-mapping.default"];

impl Project {
    /// Shows what is wrong with the inputs of a stream where its text names them.
    pub(crate) fn at_inputs(&self, stream: &Stream, error: Error) -> Failure {
        let is_of_text = matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Refused);
        let placed = is_of_text.then(|| self.statements.at_inputs(&stream.name, &error.chain()));
        placed.flatten().map_or(Failure::Error(error), |placed| Failure::Diagnostics(vec![placed]))
    }

    /// The history and the topic of a stream; where none exists yet, an empty topic if one is to be made. Files of a table
    /// that hold no wanted row are not part of its history.
    pub(crate) fn input(
        &self,
        stream: &Stream,
        makes_topic: bool,
        snapshot: Option<i64>,
        wanted: &WantedRows,
    ) -> Result<StreamInput> {
        // Not at once, for a name may stand for topics that are only read.
        if let Some(topic) = stream.live.as_ref().filter(|_| makes_topic)
            && self.topics()?.topic(topic)?.is_none()
        {
            self.topics()?.topic_or_create(topic, 1)?;
        }
        let (mut input, state) = self.input_where(stream, snapshot, wanted)?;
        if input.history.is_none() && input.live.is_none() {
            return Err(self.nothing_there(stream));
        }
        if let (Some(files), Some(state)) = (&input.history, state) {
            input.history = Some(self.with_clocks(files.clone(), stream, &state)?);
        }
        Ok(input)
    }

    /// The history and the topic of a stream, as far as they are there. The text is the state of a history whose rows
    /// may have an arrival of their own; their clocks are not looked for, since that reads them all and writes a file.
    pub(crate) fn input_there(&self, stream: &Stream, snapshot: Option<i64>) -> Result<(StreamInput, Option<String>)> {
        self.input_where(stream, snapshot, &WantedRows::default())
    }

    fn input_where(
        &self,
        stream: &Stream,
        snapshot: Option<i64>,
        wanted: &WantedRows,
    ) -> Result<(StreamInput, Option<String>)> {
        let live = stream.live.as_ref().map_or(Ok(None), |topic| self.live(stream, topic))?;
        let (history, history_frontier, state) = match &stream.history {
            Some(History::Table(table)) => match self.table(stream, table, snapshot, wanted)? {
                // Beside a topic, and in an archive, the broker's arrivals stand.
                (Some(files), None) if stream.live.is_none() => {
                    let state = TABLE_STATE.map(|property| files.property(property).unwrap_or_default()).concat();
                    (Some(files), None, Some(state))
                }
                (files, frontier) => (files, frontier, None),
            },
            Some(History::Files(pattern, encoding)) => {
                let root = &self.folder.root;
                let files = Files::open(pattern, root, &file_columns(stream), *encoding);
                let files = Arc::new(with_near_path(files, root, pattern)?);
                let declared: Arc<dyn TimedFiles> = Arc::new(DeclaredFiles::new(files.clone(), stream)?);
                (Some(declared), None, Some(files.state().to_owned()))
            }
            None => (None, None, None),
        };
        Ok((StreamInput { spec: stream_spec(stream), history, history_frontier, live }, state))
    }

    fn with_clocks(&self, files: Arc<dyn TimedFiles>, stream: &Stream, state: &str) -> Result<Arc<dyn TimedFiles>> {
        let (warehouse, spec) = (self.warehouse_path(), stream_spec(stream));
        let spill = SpillFolder::new(&warehouse);
        let tell = |rows: u64| self.reads_arrivals.get().into_iter().for_each(|tell| tell(&stream.name, rows));
        with_clocks(files, (stream, &spec), state, (&warehouse, spill.path()), &tell)
    }

    /// Why a stream cannot be read of which there is nothing.
    pub(crate) fn nothing_there(&self, stream: &Stream) -> Error {
        let name = &stream.name;
        Error::invalid(match (&stream.history, &stream.live) {
            (Some(History::Table(table)), None) => format!(
                "stream \"{name}\": table {table} does not exist in {}, and no LIVE names a topic to read instead",
                self.tables_place()
            ),
            (_, Some(topic)) if self.is_pattern(topic) => format!(
                "stream \"{name}\" has neither history nor a topic yet: no topic matches the pattern of {topic} in live of \
                 environment {}",
                self.environment_name()
            ),
            _ => format!(
                "stream \"{name}\" has neither history nor a topic yet: `riverrun publish {name} FILE` makes its topic"
            ),
        })
    }

    /// Whether a name stands for topics that match a pattern.
    fn is_pattern(&self, topic: &str) -> bool {
        matches!(self.topic_place(), TopicPlace::Pulsar(place) if place.patterns.contains_key(topic))
    }

    /// Whether a stream is a queue that jobs of this environment take messages away from: a local topic is read as always.
    pub fn is_consumed(&self, stream: &str) -> bool {
        let is_queue = self.stream(stream).is_ok_and(|stream| stream.queue.is_some());
        is_queue && matches!(self.topic_place(), TopicPlace::Pulsar(_)) && self.person().is_none()
    }

    /// The topic of a stream, if it is there.
    pub(crate) fn live(&self, stream: &Stream, topic: &str) -> Result<Option<seam::Live>> {
        if stream.queue.is_some() && self.is_pattern(topic) {
            return Err(Error::invalid(format!(
                "stream \"{}\" is a queue, which is one topic, and {topic} stands for all that match a pattern in live of \
                 environment {}: leave out QUEUE, or read a topic by its own name",
                stream.name,
                self.environment_name()
            )));
        }
        let Some(topic) = self.topics()?.topic_to_read(topic)? else { return Ok(None) };
        let decode = decoder(stream, topic.name())?;
        Ok(Some(seam::Live { topic, decode }))
    }

    /// A snapshot of a stream's history, the current one where none is named, with its frontier where it is an archive. One
    /// that has expired is read as it is now: a job that had read it to its end does not need it, and any other is refused,
    /// since its files are others.
    pub(crate) fn table(
        &self,
        stream: &Stream,
        table: &str,
        snapshot: Option<i64>,
        wanted: &WantedRows,
    ) -> Result<(Option<Arc<dyn TimedFiles>>, Option<Frontier>)> {
        let warehouse = match self.warehouse_if_there()? {
            Some(warehouse) if warehouse.exists(table)? => warehouse,
            _ => return Ok((None, None)),
        };
        let wanted = |schema: &SchemaRef| wanted.in_table(stream, schema);
        let at = snapshot.and_then(|snapshot| warehouse.read_where(table, Some(snapshot), &wanted).ok());
        let files = at.map_or_else(|| warehouse.read_where(table, None, &wanted), Ok)?;
        match files.property(FRONTIER_PROPERTY) {
            Some(text) => {
                let frontier = Frontier::parse(&text).map_err(|error| error.context(format!("table {table}")))?;
                Ok((Some(files), Some(frontier)))
            }
            // An archive of an empty topic: live begins where the topic does.
            None if stream.live.is_some() && files.property(CLOCK_PROPERTY).is_some() && files.files().is_empty() => {
                Ok((Some(files), None))
            }
            None if stream.live.is_some() => Err(Error::invalid(format!(
                "stream \"{}\": table {table} was not written by ARCHIVE and holds no frontier, so where it ends on topic \
                 {} is not known: leave out LIVE, or archive the topic into a table of its own",
                stream.name,
                stream.live.as_deref().unwrap_or_default()
            ))),
            None => Ok((Some(Arc::new(DeclaredFiles::of_table(files, stream)?)), None)),
        }
    }
}

/// Messages that wait on the topic of a stream.
pub struct WaitingMessages {
    /// The stream.
    pub stream: String,
    /// Whether they follow what an archive holds, and not the topic's beginning.
    pub after_archive: bool,
    /// How many there are; about [`WAITING_MAX`] where there are so many or more.
    pub messages: u64,
}

/// The snapshot that is read as a stream's history.
pub(crate) fn snapshot_of(input: &StreamInput) -> Option<(String, String)> {
    Some((input.spec.name.clone(), input.history.as_ref()?.property(SNAPSHOT)?))
}

/// The most messages of a topic that are counted before a job starts.
pub const WAITING_MAX: u64 = 1_000_000;

/// How many messages of a stream's topic follow its archive's frontier, or its beginning where there is no archive.
pub(crate) fn waiting(input: &StreamInput) -> Result<Option<WaitingMessages>> {
    let Some(live) = &input.live else { return Ok(None) };
    let mut count = 0;
    for partition in 0..live.topic.partitions() {
        let frontier = input.history_frontier.as_ref().and_then(|frontier| frontier.partitions.get(partition as usize));
        let after = frontier.copied().flatten().map(|frontier| frontier.position);
        let mut log = live.topic.open(partition, after)?;
        while count < WAITING_MAX {
            match read_what_is_there(log.as_mut(), READ_MESSAGES, READ_BYTES)?.len() {
                0 => break,
                messages => count += messages as u64,
            }
        }
    }
    let after_archive = input.history_frontier.is_some();
    Ok(Some(WaitingMessages { stream: input.spec.name.clone(), after_archive, messages: count }))
}

/// The decoder of a stream's messages.
pub(crate) fn decoder(stream: &Stream, topic: &str) -> Result<Arc<dyn Decode>> {
    let paths = stream.sources.iter().filter_map(|source| match source {
        ColumnSource::Path(path) => Some(path.clone()),
        ColumnSource::Computed(_) => None,
    });
    let raw = JsonDecode::new(topic, stream.raw.clone(), paths.collect())?;
    let computes = stream.sources.iter().any(|source| matches!(source, ColumnSource::Computed(_)));
    Ok(if computes { Arc::new(ComputedDecode::new(Box::new(raw), stream)) } else { Arc::new(raw) })
}

/// A stream as its reader needs it.
pub(crate) fn stream_spec(stream: &Stream) -> StreamSpec {
    StreamSpec {
        name: stream.name.clone(),
        schema: stream.schema.clone(),
        time_column: stream.time_column,
        delay: stream.delay,
        quiet: stream.quiet,
        late: stream.late,
        arrival: stream.arrival,
        dedup_key: stream.dedup.as_ref().map(|dedup| dedup.keys.clone()).unwrap_or_default(),
        bad_rows: stream.bad_rows,
        row_text,
    }
}
