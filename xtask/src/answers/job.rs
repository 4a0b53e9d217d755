//! A random project on disk, and what its job gives.

use super::cells;
use super::scene::{Archived, Format, START, Scene, Source, Stream};
use super::writer::Statements;
use crate::failure;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use connector_local::Outgoing;
use dataflow::{Error, Output, Result, Span};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use project::{ArchiveEnd, Begin, JobOptions};
use sql::Target;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tests::{Chance, Place, Running, told};

/// The environment of a project.
const ENVIRONMENT: &str = "dev";
const GROUP_ROWS: usize = 64;

/// Where the answers of an output are.
pub type Answers = BTreeMap<String, PathBuf>;

/// A project with everything in place.
pub struct Laid {
    place: Place,
    /// The rows of each stream as DuckDB is to have them.
    pub known: Vec<(String, PathBuf)>,
}

/// Writes a project: its SQL, its files, its topics, and what is archived of them.
pub fn lay(scene: &Scene, said: &Statements, chance: &mut Chance) -> Result<Laid> {
    let place = Place::new("random", &said.ours, &[ENVIRONMENT.to_owned()], START);
    let data = place.path().join("data");
    std::fs::create_dir_all(&data).map_err(|error| failure::file("make", &data, error))?;
    for stream in &scene.streams {
        if let Source::Files { format, files } = stream.source {
            (0..files).try_for_each(|file| write_file(&data, stream, format, file))?;
        }
    }
    publish(&place, scene)?;
    archive(&place, scene, chance)?;
    let mut known = Vec::new();
    for stream in &scene.streams {
        let path = place.path().join(format!("{}_rows.parquet", stream.name));
        write_parquet(&path, &known_rows(stream)?, 1 << 20)?;
        known.push((format!("{}_rows", stream.name), path));
    }
    Ok(Laid { place, known })
}

fn write_file(folder: &Path, stream: &Stream, format: Format, file: u64) -> Result<()> {
    let path = folder.join(format!("{}-{file}.{}", stream.name, format.extension()));
    let sent = || stream.sent.iter().filter(move |sent| sent.part == file);
    let lines = |row: fn(&[cells::Cell]) -> String| -> String {
        let line = |content: &std::result::Result<Vec<cells::Cell>, String>| match content {
            Ok(row_cells) => row(row_cells),
            Err(nonsense) => nonsense.clone(),
        };
        sent().map(|sent| line(&sent.content) + "\n").collect()
    };
    let text = match format {
        Format::Csv => cells::csv_header() + "\n" + &lines(cells::csv_record),
        Format::JsonLines => lines(cells::json_object),
        Format::Parquet => {
            let rows: Vec<&[cells::Cell]> = sent().filter_map(|sent| sent.content.as_deref().ok()).collect();
            return write_parquet(&path, &cells::table(cells::columns(&rows)?)?, GROUP_ROWS);
        }
    };
    std::fs::write(&path, text).map_err(|error| failure::file("write", &path, error))
}

/// Puts what was sent to topics on them, at the moments of its arrival.
fn publish(place: &Place, scene: &Scene) -> Result<()> {
    let topics = place.topics();
    let mut producers = BTreeMap::new();
    let mut all = Vec::new();
    for stream in &scene.streams {
        let Source::Topic { partitions, .. } = stream.source else { continue };
        topics.create(stream.name, partitions)?;
        producers.insert(stream.name, topics.producer(stream.name, "", 0)?);
        all.extend(stream.sent.iter().map(|sent| (sent.arrival, stream.name, sent)));
    }
    all.sort_by_key(|(arrival, ..)| *arrival);
    let mut rest = all.as_slice();
    while let Some((arrival, name, first)) = rest.first() {
        // What comes at once to one partition is one append, as busy producers have it.
        let together = rest.iter().take_while(|(at, to, sent)| (at, to, sent.part) == (arrival, name, first.part));
        let payloads: Vec<String> = together
            .map(|(.., sent)| match &sent.content {
                Ok(row) => cells::json_object(row),
                Err(nonsense) => nonsense.clone(),
            })
            .collect();
        place.advance(Span(arrival - place.now()));
        let outgoing: Vec<Outgoing> = payloads
            .iter()
            .map(|payload| Outgoing { sequence: 0, key: None, payload: payload.as_bytes(), arrived: None })
            .collect();
        if let Some(producer) = producers.get_mut(name) {
            producer.append(first.part as u32, &outgoing)?;
        }
        rest = &rest[payloads.len()..];
    }
    Ok(())
}

/// Archives the streams of which something is archived, each up to places that are drawn.
fn archive(place: &Place, scene: &Scene, chance: &mut Chance) -> Result<()> {
    let mut ends: BTreeMap<String, ArchiveEnd> = BTreeMap::new();
    for stream in &scene.streams {
        let Source::Topic { archived, .. } = stream.source else { continue };
        let messages = place.messages(stream.name);
        let end = |(partition, log): (usize, &Vec<dataflow::Message>)| {
            let count = match archived {
                Archived::All => log.len(),
                _ => chance.below(log.len() as u64 + 1) as usize,
            };
            Some((partition as u32, log[..count].last()?.position))
        };
        let end: ArchiveEnd = messages.iter().enumerate().filter_map(end).collect();
        // Without ARCHIVE nothing can be asked of it, and an empty end would be that of the topic.
        if archived != Archived::Nothing {
            ends.insert(stream.name.to_owned(), end);
        }
    }
    if ends.is_empty() {
        return Ok(());
    }
    tests::archive(&place.project(ENVIRONMENT), ends).map_err(Error::internal)
}

/// A stream's rows with the hidden columns.
fn known_rows(stream: &Stream) -> Result<RecordBatch> {
    let (known, _) = stream.known();
    let rows: Vec<&[cells::Cell]> = known.iter().map(|known| known.row).collect();
    let mut columns = cells::columns(&rows)?;
    let times: TimestampMicrosecondArray = known.iter().map(|known| Some(known.place.time)).collect();
    let orders = Int64Array::from_iter_values(0..known.len() as i64);
    let late: BooleanArray = known.iter().map(|known| Some(known.place.late)).collect();
    columns.push(("_time", Arc::new(times) as ArrayRef));
    columns.push(("_ord", Arc::new(orders)));
    columns.push(("_late", Arc::new(late)));
    cells::table(columns)
}

fn write_parquet(path: &Path, rows: &RecordBatch, group_rows: usize) -> Result<()> {
    let file = File::create(path).map_err(|error| failure::file("write", path, error))?;
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let wrong = |error| failure::file("write", path, error);
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).map_err(wrong)?;
    writer.write(rows).map_err(wrong)?;
    writer.close().map_err(wrong)?;
    Ok(())
}

impl Laid {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Runs the job to where its inputs end, and writes the rows of each output to a file.
    pub fn run(&self, chance: &mut Chance) -> Result<Answers> {
        let project = self.place.project(ENVIRONMENT);
        let options = JobOptions { until_caught_up: true, begin: Begin::Collect, from: None, ..JobOptions::default() };
        let wired = project.job(&Target::All, &options).map_err(|wrong| Error::invalid(told(wrong)))?;
        let outputs: Vec<Output> = wired.sinks.iter().map(|sink| sink.output.clone()).collect();
        let workers = chance.of(&[1, 1, 2, 3, 4]);
        let collected = if chance.permille(600) {
            tests::run_on_threads(wired, workers)?
        } else {
            Running::new(wired, workers, chance.number()).run_to_end()?.collected
        };
        let mut answers = Answers::new();
        for (output, rows) in outputs.iter().zip(collected) {
            let Output::Table(table) = output else { continue };
            let batches = rows.take();
            let Some(first) = batches.first() else { continue };
            let rows = dataflow::concat(&first.schema(), &batches)?;
            let path = self.path().join(format!("{table}.parquet"));
            write_parquet(&path, rows.columns(), 1 << 20)?;
            answers.insert(table.clone(), path);
        }
        Ok(answers)
    }
}
