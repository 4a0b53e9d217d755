//! What is published: its rows one after the other, each checked and as a message.

use crate::declared_columns::{DeclaredFiles, DeclaredRows, file_columns};
use crate::near_path::with_near_path;
use crate::publish_messages::{BadMessages, Found, InputRow, Payloads, TextMessages, found};
use arrow::datatypes::DataType;
use connector_local::{FileColumn, Files, Format, GrowingFiles, InputEnd, Pipe, StopSignal, TextFeed, TextFeeds};
use dataflow::{BadRowPolicy, Error, RecordBatches, Result, TimedFiles};
use sql::Stream;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use values::Encoding;

const READ_ROWS: usize = 8192;

/// What standard input is called.
const STDIN: &str = "-";

/// Rows of small files go out together, up to so many and so many bytes.
const TOGETHER_ROWS: usize = 8_192;
const TOGETHER_BYTES: usize = 8 << 20;

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

/// What comes of an input.
pub enum InputEvent {
    /// Its next rows.
    Rows(Vec<InputRow>),
    /// Another file follows under the same name, and why.
    NextFile(String),
    /// What people should know.
    Note(String),
}

/// An input that was opened, and whose columns are those of its stream as far as they are known by now.
pub struct Input {
    stream: Stream,
    declared: Vec<FileColumn>,
    options: InputOptions,
    source: Source,
    stop: Arc<StopSignal>,
    is_opening: Arc<AtomicBool>,
}

enum Source {
    Texts(TextFeeds),
    Parquet(Arc<Files>),
    /// Read once, as it comes: standard input or a FIFO.
    Stream(Format),
    Growing(Format),
}

impl Input {
    /// Finds the input. Whoever is asked to stop takes no more of it, and gives out what was taken.
    pub fn open(options: &InputOptions, stream: &Stream, stop: Arc<StopSignal>) -> Result<Input> {
        let declared = file_columns(stream);
        let source = Source::open(options, stream, &declared)?;
        let is_opening = Arc::default();
        Ok(Input { stream: stream.clone(), declared, options: options.clone(), source, stop, is_opening })
    }

    /// Whether rows may come at any time, until somebody stops it.
    pub fn is_live(&self) -> bool {
        matches!(self.source, Source::Stream(_) | Source::Growing(_))
    }

    /// Says, from another thread, whether reading waits until somebody opens the other end.
    pub fn opening(&self) -> Arc<AtomicBool> {
        self.is_opening.clone()
    }

    /// What it is called.
    pub fn name(&self) -> String {
        if self.options.from == STDIN { "stdin".to_owned() } else { format!("\"{}\"", self.options.from) }
    }

    /// Reads it from its start, and hands over what comes until nobody takes it. True at its end.
    pub fn read(&self, put: &mut dyn FnMut(InputEvent) -> bool) -> Result<bool> {
        match &self.source {
            Source::Texts(feeds) => Together::of(put, |put| {
                for file in 0..feeds.count() {
                    let name = format!("\"{}\"", feeds.path(file)?);
                    if !self.feed(&name, feeds.open(file)?, put)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }),
            Source::Parquet(files) => Together::of(put, |put| self.parquet(files, put)),
            Source::Stream(format) => {
                let (pipe, end) = self.pipe()?;
                let read = self.stream_feed(Box::new(pipe), *format);
                let read = read.and_then(|feed| self.feed(&self.name(), feed, put));
                if end.get().is_some() { Ok(false) } else { read }
            }
            Source::Growing(format) => self.growing(*format, put),
        }
    }

    fn pipe(&self) -> Result<(Pipe, Arc<OnceLock<InputEnd>>)> {
        // A FIFO is opened when somebody opens its other end.
        self.is_opening.store(true, SeqCst);
        let opened = match self.options.from.as_str() {
            STDIN => std::io::stdin().as_fd().try_clone_to_owned().map(File::from),
            path => File::open(path),
        };
        self.is_opening.store(false, SeqCst);
        let failed = |error| Error::unavailable(format!("{} cannot be read", self.name())).with_source(error);
        Ok(Pipe::new(opened.map_err(failed)?, &self.stop))
    }

    fn stream_feed(&self, bytes: Box<dyn std::io::Read + Send>, format: Format) -> Result<TextFeed> {
        TextFeed::of_stream(&self.options.from, bytes, format, &self.declared, self.options.encoding)
    }

    /// Hands over the rows of a text; false when nobody wants more of it.
    fn feed(&self, name: &str, mut feed: TextFeed, put: &mut dyn FnMut(InputEvent) -> bool) -> Result<bool> {
        let messages = TextMessages::new(name, feed.schema(), &self.stream, &self.declared)?;
        loop {
            // What others still write ends by itself, after what was taken of it.
            if self.stop.is_asked() && !self.is_live() {
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
        let path = Path::new(&self.options.from);
        if !path.exists() && !put(InputEvent::Note(format!("{} is not there yet: it is waited for", self.name()))) {
            return Ok(false);
        }
        let mut files = GrowingFiles::new(path, &self.stop);
        while let Some((file, end)) = files.next_file()? {
            let feed = self.stream_feed(Box::new(file), format);
            let read = feed.and_then(|feed| self.feed(&self.name(), feed, put));
            let why = match (end.get(), read) {
                (Some(InputEnd::Stopped), _) => return Ok(false),
                (_, Err(error)) => return Err(error),
                (_, Ok(false)) | (None, Ok(true)) => return Ok(false),
                (Some(InputEnd::Replaced), Ok(true)) => "is another file by now: it is read from its start",
                (Some(InputEnd::Truncated), Ok(true)) => {
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
        let bad_messages = BadMessages::new(&self.stream)?;
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
                    let time = found.map_err(|why| format!("\"{}\" row {}: {why}", file.path, before + at + 1));
                    let stored = bad.as_mut().filter(|_| time.is_err()).map(|bad| std::mem::take(&mut bad[at]));
                    InputRow { payload: stored.unwrap_or(payload), time }
                };
                let mut taken: Vec<_> = payloads.encode(&rows)?.into_iter().zip(found).enumerate().map(row).collect();
                let place = |at: usize| format!("\"{}\" row {}", file.path, before + at + 1);
                bad_messages.put_in(&mut taken, &place)?;
                before += rows.num_rows();
                if self.stop.is_asked() || !put(InputEvent::Rows(taken)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Rows of several files, which are put together: each batch is synced once.
struct Together {
    rows: Vec<InputRow>,
    bytes: usize,
}

impl Together {
    /// Lets rows be read, and hands them over together. What came before an error, or before nobody wanted more, goes out
    /// first.
    fn of(
        put: &mut dyn FnMut(InputEvent) -> bool,
        read: impl FnOnce(&mut dyn FnMut(InputEvent) -> bool) -> Result<bool>,
    ) -> Result<bool> {
        let mut together = Together { rows: Vec::new(), bytes: 0 };
        let read = read(&mut |event| together.take(event, put));
        let is_taken = together.give(put);
        Ok(read? && is_taken)
    }

    fn take(&mut self, event: InputEvent, put: &mut dyn FnMut(InputEvent) -> bool) -> bool {
        match event {
            InputEvent::Rows(rows) => {
                self.bytes += rows.iter().map(|row| row.payload.len()).sum::<usize>();
                self.rows.extend(rows);
                let is_full = self.rows.len() >= TOGETHER_ROWS || self.bytes >= TOGETHER_BYTES;
                !is_full || self.give(put)
            }
            other => self.give(put) && put(other),
        }
    }

    fn give(&mut self, put: &mut dyn FnMut(InputEvent) -> bool) -> bool {
        self.bytes = 0;
        self.rows.is_empty() || put(InputEvent::Rows(std::mem::take(&mut self.rows)))
    }
}

impl Source {
    fn open(options: &InputOptions, stream: &Stream, declared: &[FileColumn]) -> Result<Source> {
        let from = options.from.as_str();
        let of_stream = |what: &str| match options.format.or(by_name(from)) {
            Some(Format::Parquet) => Err(Error::invalid(format!(
                "{what} cannot be Parquet, which is read from its end; expected jsonl or csv, as --format says"
            ))),
            format => Ok(format.unwrap_or(Format::JsonLines)),
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
        if options.follow {
            return Source::growing(options);
        }
        let feeds = Files::feeds(from, Path::new("."), declared, options.encoding, options.format);
        match with_near_path(feeds, Path::new("."), from)? {
            Some(feeds) => {
                DeclaredRows::new(feeds.name(), feeds.schema(), stream)?;
                Ok(Source::Texts(feeds))
            }
            None => {
                let files = Arc::new(Files::open(from, Path::new("."), declared, options.encoding)?);
                DeclaredFiles::new(files.clone(), stream)?;
                check_texts(&files)?;
                Ok(Source::Parquet(files))
            }
        }
    }

    /// A file that is followed, which need not be there yet.
    fn growing(options: &InputOptions) -> Result<Source> {
        let from = options.from.as_str();
        let refused = |why: String| Err(Error::invalid(why));
        if from.contains(['*', '?']) && !Path::new(from).exists() {
            return refused(format!("--follow reads one file, and \"{from}\" is a pattern of names"));
        }
        if from.ends_with(".gz") || from.ends_with(".zst") {
            return refused(format!("--follow reads a file that is not compressed, and \"{from}\" is"));
        }
        match options.format.or_else(|| by_name(from)) {
            Some(Format::Parquet) => refused(format!("--follow reads a text file, and \"{from}\" is Parquet")),
            Some(format) => Ok(Source::Growing(format)),
            None => refused(format!(
                "\"{from}\" has no known format, expected a name ending in .csv, .tsv, .jsonl, .ndjson or .json, or \
                 --format"
            )),
        }
    }
}

/// Refuses files with a column whose values no message can hold, declared or not: they would be others there.
fn check_texts(files: &Files) -> Result<()> {
    let schema = files.schema();
    let Some(field) = schema.fields().iter().find(|field| !values::is_read(field.data_type(), &DataType::Utf8)) else {
        return Ok(());
    };
    let hint = values::hint(field.data_type(), &DataType::Utf8).unwrap_or("leave the column out of the file");
    Err(Error::invalid(format!(
        "column \"{}\" of {} is {}, which no message can hold; {hint}",
        field.name(),
        files.name(),
        values::name(field.data_type())
    )))
}

/// The format that a name's ending tells.
fn by_name(name: &str) -> Option<Format> {
    let bare = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    let (_, ending) = bare.rsplit_once('.')?;
    Format::named(&ending.to_lowercase())
}

fn all_rows(files: &Files, file: usize) -> Result<RecordBatches> {
    let names: Vec<String> = files.schema().fields().iter().map(|field| field.name().clone()).collect();
    files.open(file, files.files()[file].all_groups(), &names, READ_ROWS)
}
