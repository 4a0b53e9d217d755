//! The archive job: every ARCHIVE statement's topic into its history table, every message once.

use crate::job::stream_spec;
use crate::open::{Failure, Project};
use arrow::array::RecordBatch;
use connector_iceberg::{TableOptions, Warehouse};
use dataflow::{Error, Position, Result};
use seam::{
    Archiver, CLOCK_PROPERTY, FRONTIER_PROPERTY, Frontier, archive_schema, check_clock_property, clock_property,
};
use sql::{History, Stream, Target};
use std::collections::BTreeMap;
use std::fs::File;

/// Rows that one commit holds at most, so that memory stays bounded.
const COMMIT_ROWS_MAX: usize = 524_288;
const READ_ROWS: usize = 16_384;

/// Where a stream's archive stops: per partition the last position to take.
pub type ArchiveEnd = BTreeMap<u32, Position>;

/// What a call archived.
#[derive(Clone, Debug)]
pub struct ArchiveProgress {
    /// The stream.
    pub stream: String,
    /// Its table.
    pub table: String,
    /// Rows committed by this call.
    pub rows: usize,
}

/// The archive job of a project.
pub struct Archive {
    warehouse: Warehouse,
    streams: Vec<StreamArchive>,
}

struct StreamArchive {
    stream: String,
    table: String,
    archiver: Archiver,
    // Held for as long as this job lives, so that no second one copies the same messages.
    _lock: File,
}

impl Archive {
    /// Opens all ARCHIVE statements at their frontiers. `ends` says per stream where to stop.
    pub fn open(project: &Project, ends: &BTreeMap<String, ArchiveEnd>) -> Result<Archive, Failure> {
        let names = project.statements.archives();
        if names.is_empty() {
            return Err(Error::invalid("the project has no ARCHIVE statement; write `ARCHIVE stream;`").into());
        }
        if let Some(unknown) = ends.keys().find(|name| !names.contains(name)) {
            return Err(Error::invalid(format!(
                "--to names {unknown}, which is not archived; archived are: {}",
                names.join(", ")
            ))
            .into());
        }
        project.check(&Target::Archives)?;
        let mut checked = Vec::new();
        for name in &names {
            let planned = project.check(&Target::Query(format!("SELECT * FROM {name}")))?;
            checked.extend(planned.streams.into_iter().filter(|stream| stream.name == *name));
        }
        checked.iter().try_for_each(|stream| source_of(project, stream).map(drop))?;
        let warehouse = project.warehouse()?;
        let streams = checked
            .iter()
            .map(|stream| StreamArchive::open(project, &warehouse, stream, ends.get(&stream.name)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Archive { warehouse, streams })
    }

    /// Copies what there is of each stream, at most one commit each. Nothing anywhere means caught up.
    pub fn step(&mut self) -> Result<Vec<ArchiveProgress>> {
        let mut moved = Vec::new();
        for stream in &mut self.streams {
            let rows =
                stream.step(&self.warehouse).map_err(|error| error.context(format!("archive of {}", stream.stream)))?;
            if rows > 0 {
                moved.push(ArchiveProgress { stream: stream.stream.clone(), table: stream.table.clone(), rows });
            }
        }
        Ok(moved)
    }

    /// The streams, their tables, and the rows in them.
    pub fn tables(&self) -> Result<Vec<(String, String, u64)>> {
        let rows = |stream: &StreamArchive| {
            Ok((stream.stream.clone(), stream.table.clone(), self.warehouse.rows(&stream.table)?))
        };
        self.streams.iter().map(rows).collect()
    }
}

impl StreamArchive {
    fn open(
        project: &Project,
        warehouse: &Warehouse,
        stream: &Stream,
        end: Option<&ArchiveEnd>,
    ) -> Result<StreamArchive> {
        let (table, live) = source_of(project, stream)?;
        let spec = stream_spec(stream);
        let lock = lock(warehouse, table)?;
        if !warehouse.exists(table)? {
            let options = TableOptions {
                partition_day: Some("_arrival".to_owned()),
                properties: vec![(CLOCK_PROPERTY.to_owned(), clock_property(&spec))],
            };
            warehouse.create(table, &archive_schema(&spec.schema), &options)?;
        }
        let files = warehouse.read(table)?;
        if let Some(property) = files.property(CLOCK_PROPERTY) {
            check_clock_property(&spec, files.name(), &property)?;
        }
        let frontier = match files.property(FRONTIER_PROPERTY) {
            Some(text) => Some(Frontier::parse(&text).map_err(|error| error.context(format!("table {table}")))?),
            None if warehouse.rows(table)? > 0 => {
                return Err(Error::invalid(format!(
                    "ARCHIVE {}: table {table} holds rows that no archive wrote; name another table",
                    stream.name
                )));
            }
            None => None,
        };
        let to = end
            .map(|end| (0..live.topic.partitions()).map(|partition| end.get(&partition).copied()).collect::<Vec<_>>());
        let archiver = Archiver::new(spec, live.topic.as_ref(), live.decode, frontier, to)?;
        Ok(StreamArchive { stream: stream.name.clone(), table: table.to_owned(), archiver, _lock: lock })
    }

    fn step(&mut self, warehouse: &Warehouse) -> Result<usize> {
        let (mut batches, mut rows, mut frontier): (Vec<RecordBatch>, usize, Option<Frontier>) = (vec![], 0, None);
        while rows < COMMIT_ROWS_MAX {
            let Some((batch, behind)) = self.archiver.next(READ_ROWS)? else { break };
            rows += batch.num_rows();
            batches.push(batch);
            frontier = Some(behind);
        }
        if let Some(frontier) = frontier {
            warehouse.append(&self.table, &batches, &[(FRONTIER_PROPERTY.to_owned(), frontier.to_text())])?;
        }
        Ok(rows)
    }
}

/// The table that a stream's archive writes and the topic that it copies, which has to be there.
fn source_of<'a>(project: &Project, stream: &'a Stream) -> Result<(&'a str, seam::Live)> {
    let (Some(History::Table(table)), Some(topic)) = (&stream.history, &stream.live) else {
        return Err(Error::invalid(format!(
            "ARCHIVE {}: the stream needs HISTORY with a table and LIVE with a topic",
            stream.name
        )));
    };
    let live = project.live(stream, topic)?.ok_or_else(|| {
        Error::invalid(format!(
            "ARCHIVE {0}: topic {topic} does not exist in {1}; `riverrun publish {0} FILE` makes it",
            stream.name,
            project.topics_path().display()
        ))
    })?;
    Ok((table, live))
}

/// Takes the lock that one archive job per table holds; it goes with the process.
fn lock(warehouse: &Warehouse, table: &str) -> Result<File> {
    let path = warehouse.dir().join(format!("{table}.archive.lock"));
    let failed = |error| Error::unavailable(format!("lock file {} cannot be made", path.display())).with_source(error);
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::unavailable(format!(
            "table {table} is being archived by another process, which holds {}",
            path.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}
