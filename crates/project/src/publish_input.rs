//! What is published: its rows one after the other, each checked and as a message.

use crate::declared_columns::{DeclaredFiles, DeclaredRows, file_columns};
use arrow::array::{Array, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef, TimestampMicrosecondType};
use codec::JsonEncode;
use connector_local::{FileColumn, Files, Format, GrowingEnd, GrowingFile, StopSignal, TextFeed, TextFeeds, TextRows};
use dataflow::{BadRowPolicy, ERROR_COLUMN, Encode, Error, EventTime, RAW_COLUMN, RecordBatches, Result, TimedFiles};
use sql::Stream;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use values::Encoding;

const READ_ROWS: usize = 8192;

/// What standard input is called.
const STDIN: &str = "-";

/// Where rows are to come from.
#[derive(Clone, Debug)]
pub struct InputOptions {
    /// A file, a pattern of files, a FIFO, or `-` for standard input.
    pub from: String,
    /// The format, where its name does not tell it.
    pub format: Option<Format>,
    /// How text is stored.
    pub encoding: Encoding,
    /// Waits at the end of the file for more.
    pub follow: bool,
}

/// A row.
pub struct InputRow {
    /// The message that it is.
    pub payload: Vec<u8>,
    /// Its event time, or why it is bad.
    pub time: std::result::Result<EventTime, BadRow>,
}

/// Why a row is bad.
pub struct BadRow {
    /// Its place and the reason.
    pub why: String,
    /// Whether the message holds what is wrong, so that whoever reads it finds the same.
    pub is_told: bool,
}

/// What comes of an input.
pub enum InputEvent {
    /// Its next rows.
    Rows(Vec<InputRow>),
    /// Another file follows under the same name, and why.
    NextFile(String),
}

/// An input that was opened, and whose columns are those of its stream as far as they are known by now.
pub struct Input {
    stream: Stream,
    declared: Vec<FileColumn>,
    options: InputOptions,
    source: Source,
    stop: Arc<StopSignal>,
    is_waiting: Arc<AtomicBool>,
}

enum Source {
    Texts(TextFeeds),
    Parquet(Arc<Files>),
    /// Read once, as it comes: standard input or a FIFO.
    Stream(Format),
    Growing(Format),
}

impl Input {
    /// Finds the input. Whoever is asked to stop reads no more than is there.
    pub fn open(options: &InputOptions, stream: &Stream, stop: Arc<StopSignal>) -> Result<Input> {
        let declared = file_columns(stream);
        let source = Source::open(options, stream, &declared)?;
        let is_waiting = Arc::default();
        Ok(Input { stream: stream.clone(), declared, options: options.clone(), source, stop, is_waiting })
    }

    /// Whether rows may come at any time, until somebody stops it.
    pub fn is_live(&self) -> bool {
        matches!(self.source, Source::Stream(_) | Source::Growing(_))
    }

    /// Says, from another thread, whether reading waits for whoever writes the input.
    pub fn waiting(&self) -> Arc<AtomicBool> {
        self.is_waiting.clone()
    }

    /// What it is called.
    pub fn name(&self) -> String {
        if self.options.from == STDIN { "stdin".to_owned() } else { format!("\"{}\"", self.options.from) }
    }

    /// Reads it from its start, and hands over what comes until nobody takes it. True at its end.
    pub fn read(&self, put: &mut dyn FnMut(InputEvent) -> bool) -> Result<bool> {
        match &self.source {
            Source::Texts(feeds) => {
                for file in 0..feeds.count() {
                    let name = format!("\"{}\"", feeds.path(file)?);
                    if !self.feed(&name, feeds.open(file)?, put)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Source::Parquet(files) => self.parquet(files, put),
            Source::Stream(format) => {
                let bytes = self.bytes()?;
                let feed =
                    TextFeed::of_stream(&self.options.from, bytes, *format, &self.declared, self.options.encoding);
                self.feed(&self.name(), feed?, put)
            }
            Source::Growing(format) => self.growing(*format, put),
        }
    }

    fn bytes(&self) -> Result<Box<dyn Read + Send>> {
        // A FIFO is opened when somebody opens its other end.
        self.is_waiting.store(true, SeqCst);
        let opened = match self.options.from.as_str() {
            STDIN => std::io::stdin().as_fd().try_clone_to_owned().map(File::from),
            path => File::open(path),
        };
        let failed = |error| Error::unavailable(format!("{} cannot be read", self.name())).with_source(error);
        Ok(Box::new(WaitingRead { bytes: opened.map_err(failed)?, is_waiting: self.is_waiting.clone() }))
    }

    /// Hands over the rows of a text; false when nobody wants more of it.
    fn feed(&self, name: &str, mut feed: TextFeed, put: &mut dyn FnMut(InputEvent) -> bool) -> Result<bool> {
        let messages = TextMessages::new(name, feed.schema(), &self.stream, &self.declared)?;
        loop {
            // What was taken out of a pipe is in nobody else's hands.
            if self.stop.is_asked() && !(self.is_live() && feed.is_ready()) {
                return Ok(false);
            }
            let Some(rows) = feed.next_rows()? else { return Ok(true) };
            if !put(InputEvent::Rows(messages.of(rows)?)) {
                return Ok(false);
            }
        }
    }

    /// Reads a file, and those that take its place, until it is asked to stop.
    fn growing(&self, format: Format, put: &mut dyn FnMut(InputEvent) -> bool) -> Result<bool> {
        let path = &self.options.from;
        while let Some((file, end)) = GrowingFile::open(Path::new(path), &self.stop)? {
            let read = TextFeed::of_stream(path, Box::new(file), format, &self.declared, self.options.encoding)
                .and_then(|feed| self.feed(&self.name(), feed, put));
            let why = match (end.get(), read) {
                (Some(GrowingEnd::Stopped), _) => return Ok(false),
                (_, Err(error)) => return Err(error),
                (_, Ok(false)) | (None, Ok(true)) => return Ok(false),
                (Some(GrowingEnd::Replaced), Ok(true)) => "is another file by now: it is read from its start",
                (Some(GrowingEnd::Truncated), Ok(true)) => {
                    "was cut shorter than what was read of it: it is read from its start"
                }
            };
            if !put(InputEvent::NextFile(format!("{} {why}", self.name()))) {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Hands over the rows of Parquet files.
    fn parquet(&self, files: &Arc<Files>, put: &mut dyn FnMut(InputEvent) -> bool) -> Result<bool> {
        let checked = DeclaredRows::new(files.name(), &files.schema(), &self.stream)?;
        let payloads = Payloads::new(&files.schema(), &self.declared, false)?;
        // Values as they are stored: a bad one is told to those who read the message.
        let stored = match self.stream.bad_rows {
            BadRowPolicy::DeadLetter => {
                Some(Files::open(&self.options.from, Path::new("."), &[], self.options.encoding)?)
            }
            BadRowPolicy::Fail | BadRowPolicy::Skip => None,
        };
        let as_stored =
            stored.as_ref().map(|files| Payloads::new(&files.schema(), &self.declared, false)).transpose()?;
        for (index, file) in files.files().iter().enumerate() {
            let mut stored = match (&stored, &as_stored) {
                (Some(stored), Some(payloads)) => Some((all_rows(stored, index)?, payloads)),
                _ => None,
            };
            let mut before = 0;
            for rows in all_rows(files, index)? {
                let rows = rows?;
                let mut bad = match &mut stored {
                    Some((stored, payloads)) => {
                        stored.next().transpose()?.map(|rows| payloads.encode(&rows)).transpose()?
                    }
                    None => None,
                };
                let found = found(&checked.of(&rows)?, &self.stream)?;
                let row = |(at, (payload, found)): (usize, (Vec<u8>, Found))| {
                    let time = found.map_err(|why| BadRow {
                        why: format!("\"{}\" row {}: {why}", file.path, before + at + 1),
                        is_told: bad.is_some(),
                    });
                    let stored = bad.as_mut().filter(|_| time.is_err()).map(|bad| std::mem::take(&mut bad[at]));
                    InputRow { payload: stored.unwrap_or(payload), time }
                };
                let taken = payloads.encode(&rows)?.into_iter().zip(found).enumerate().map(row).collect();
                before += rows.num_rows();
                if self.stop.is_asked() || !put(InputEvent::Rows(taken)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Bytes that somebody else writes, as they come.
struct WaitingRead {
    bytes: File,
    is_waiting: Arc<AtomicBool>,
}

impl Read for WaitingRead {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.is_waiting.store(true, SeqCst);
        let read = self.bytes.read(into);
        self.is_waiting.store(false, SeqCst);
        read
    }
}

impl Source {
    fn open(options: &InputOptions, stream: &Stream, declared: &[FileColumn]) -> Result<Source> {
        let from = options.from.as_str();
        let of_stream = |what: &str| match options.format {
            Some(Format::Parquet) => Err(Error::invalid(format!(
                "{what} cannot be Parquet, which is read from its end; expected jsonl or csv"
            ))),
            format => Ok(format.or_else(|| by_name(from)).unwrap_or(Format::JsonLines)),
        };
        let is_stream = from == STDIN
            || std::fs::metadata(from).is_ok_and(|file| {
                file.file_type().is_fifo() || file.file_type().is_char_device() || file.file_type().is_socket()
            });
        if is_stream && options.follow {
            return Err(Error::invalid(format!(
                "--follow is for files: {from} is read until whoever writes to it is done"
            )));
        }
        if is_stream {
            return Ok(Source::Stream(of_stream("a stream")?));
        }
        let feeds = Files::feeds(from, Path::new("."), declared, options.encoding, options.format)?;
        match feeds {
            Some(feeds) if options.follow => match feeds.count() {
                1 if !from.ends_with(".gz") && !from.ends_with(".zst") => {
                    Ok(Source::Growing(of_stream("a file that grows")?))
                }
                _ => Err(Error::invalid(format!(
                    "--follow reads one file that is not compressed, and \"{from}\" is none"
                ))),
            },
            Some(feeds) => {
                DeclaredRows::new(feeds.name(), feeds.schema(), stream)?;
                Ok(Source::Texts(feeds))
            }
            None if options.follow => {
                Err(Error::invalid(format!("--follow reads a text file, and \"{from}\" is Parquet")))
            }
            None => {
                let files = Arc::new(Files::open(from, Path::new("."), declared, options.encoding)?);
                DeclaredFiles::new(files.clone(), stream)?;
                Ok(Source::Parquet(files))
            }
        }
    }
}

/// The format that a name's ending tells.
fn by_name(name: &str) -> Option<Format> {
    let bare = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    let (_, ending) = bare.rsplit_once('.')?;
    Format::named(&ending.to_lowercase()).filter(|format| *format != Format::Parquet)
}

fn all_rows(files: &Files, file: usize) -> Result<RecordBatches> {
    let names: Vec<String> = files.schema().fields().iter().map(|field| field.name().clone()).collect();
    files.open(file, files.files()[file].all_groups(), &names, READ_ROWS)
}

/// The event time of a row, or why it is bad.
type Found = std::result::Result<EventTime, String>;

/// What a stream finds in rows of its declared columns.
fn found(rows: &RecordBatch, stream: &Stream) -> Result<Vec<Found>> {
    let times = rows.column(stream.time_column).as_primitive_opt::<TimestampMicrosecondType>();
    let errors = rows.column_by_name(ERROR_COLUMN).and_then(|errors| errors.as_string_opt::<i32>());
    let (Some(times), Some(errors)) = (times, errors) else {
        return Err(Error::internal("rows to publish come without their time or without their errors"));
    };
    Ok((0..rows.num_rows()).map(|row| found_in(times, errors, row, stream)).collect())
}

fn found_in(times: &TimestampMicrosecondArray, errors: &StringArray, row: usize, stream: &Stream) -> Found {
    if errors.is_valid(row) {
        return Err(errors.value(row).to_owned());
    }
    if times.is_valid(row) {
        return Ok(EventTime(times.value(row)));
    }
    let name = stream.schema.field(stream.time_column).name();
    Err(format!("column \"{name}\" has no value, and it is the event time of stream \"{}\"", stream.name))
}

/// The rows of a text as messages.
struct TextMessages {
    name: String,
    checked: DeclaredRows,
    stream: Stream,
    payloads: Payloads,
}

impl TextMessages {
    fn new(name: &str, schema: &SchemaRef, stream: &Stream, declared: &[FileColumn]) -> Result<TextMessages> {
        Ok(TextMessages {
            name: name.to_owned(),
            checked: DeclaredRows::new(name.trim_matches('"'), schema, stream)?,
            stream: stream.clone(),
            payloads: Payloads::new(schema, declared, true)?,
        })
    }

    fn of(&self, text: TextRows) -> Result<Vec<InputRow>> {
        let found = found(&self.checked.of(&text.rows)?, &self.stream)?;
        let payloads = match text.payloads {
            Some(payloads) => payloads,
            None => self.payloads.encode(&text.rows)?,
        };
        let mut wrong: BTreeMap<usize, Vec<u8>> = text.wrong.into_iter().collect();
        let unreadable = text.rows.column_by_name(ERROR_COLUMN).cloned();
        let row = |(at, (payload, found)): (usize, (Vec<u8>, Found))| {
            let message = wrong.remove(&at);
            // What stands in a file's path is in no message.
            let is_told = message.is_some() || unreadable.as_ref().is_none_or(|errors| errors.is_null(at));
            let why = |why: String| BadRow { why: format!("{} line {}: {why}", self.name, text.lines[at]), is_told };
            InputRow { payload: message.unwrap_or(payload), time: found.map_err(why) }
        };
        Ok(payloads.into_iter().zip(found).enumerate().map(row).collect())
    }
}

/// Rows as JSON.
struct Payloads {
    names: Vec<String>,
    encode: JsonEncode,
}

impl Payloads {
    /// Objects of all columns that there are, declared or not; those of a text that are not declared tell no type.
    fn new(schema: &SchemaRef, declared: &[FileColumn], are_texts: bool) -> Result<Payloads> {
        let shown = schema.fields().iter().filter(|field| ![ERROR_COLUMN, RAW_COLUMN].contains(&field.name().as_str()));
        let schema: SchemaRef = Arc::new(Schema::new(shown.cloned().collect::<Vec<_>>()));
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let of_name = |name: &String| declared.iter().find(|(path, _)| path.join(".") == *name);
        let path = |name: &String| match of_name(name) {
            Some((path, _)) => path.clone(),
            None => name.split('.').map(str::to_owned).collect(),
        };
        let is_cell = |name: &String| are_texts && of_name(name).is_none();
        let paths = names.iter().map(path).collect();
        let cells = names.iter().map(is_cell).collect();
        Ok(Payloads { encode: JsonEncode::with_cells(schema, paths, cells)?, names })
    }

    fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        let places = self.names.iter().map(|name| Ok(rows.schema_ref().index_of(name)?)).collect::<Result<Vec<_>>>()?;
        self.encode.encode(&rows.project(&places)?)
    }
}
