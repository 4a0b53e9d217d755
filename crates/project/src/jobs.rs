//! The jobs of a project, as their checkpoints and savepoints on disk show them.

use crate::open::Project;
use crate::savepoints::SavedJob;
use checkpoint::{Holder, Manifest, Savepoint};
use dataflow::{Error, EventTime, Fates, ProcessingTime, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a job has left.
#[derive(Debug)]
pub struct JobOnDisk {
    /// Its name in `riverrun.toml`; none for the job of all outputs.
    pub name: Option<String>,
    /// The folder of its checkpoints.
    pub folder: PathBuf,
    /// The newest checkpoint, or why it cannot be read.
    pub newest: Result<Option<NewestCheckpoint>>,
    /// How many checkpoints there are.
    pub kept: usize,
    /// The process that has run it last, or runs it now.
    pub holder: Option<Holder>,
    /// Savepoints beside its checkpoints, the oldest first; or why one cannot be read.
    pub savepoints: Vec<Result<SavedJob>>,
}

/// What ARCHIVE statements have left, or write now. Their checkpoints are in the tables that they write.
#[derive(Debug)]
pub struct ArchiveOnDisk {
    /// The streams and their tables.
    pub tables: Vec<(String, String)>,
    /// The process that writes them now, and since when.
    pub writer: Option<String>,
}

/// The newest checkpoint of a job.
#[derive(Debug)]
pub struct NewestCheckpoint {
    /// Its number.
    pub number: u64,
    /// When its state was written.
    pub written_at: ProcessingTime,
    /// The bytes of its state.
    pub state_bytes: u64,
    /// Tells one beginning of the job from another.
    pub generation: u64,
    /// The revision of the pipelines.
    pub revision: String,
    /// Whether the run that took it ended with it.
    pub is_end: bool,
    /// Whether it has read all of its inputs to their end, and none of them goes on.
    pub is_over: bool,
    /// What had become of the rows of each stream since the job began; nothing in a checkpoint of an older riverrun.
    pub streams: Vec<(String, Fates)>,
    /// What had become of rows in each step.
    pub steps: Vec<(String, Fates)>,
    /// What came in at each output, and was written.
    pub outputs: Vec<(String, Fates)>,
}

impl Project {
    /// The jobs that have run, the one of all outputs first. What cannot be read of one is said of that one.
    pub fn jobs_on_disk(&self) -> Result<Vec<JobOnDisk>> {
        let whole = self.checkpoints_path(None);
        let mut names: BTreeSet<Option<String>> = BTreeSet::new();
        names.extend(Some(None).filter(|_| whole.is_dir()));
        for folder in folders(whole.parent().unwrap_or(Path::new("")))? {
            let name = folder.file_name().and_then(|name| name.to_str()?.strip_prefix("job-"));
            names.extend(name.map(|name| Some(name.to_owned())));
        }
        names.into_iter().map(|name| self.job_on_disk(name)).collect()
    }

    /// The archive, where one has begun.
    pub fn archive_on_disk(&self) -> Result<Option<ArchiveOnDisk>> {
        let Some(warehouse) = self.warehouse_if_there()? else { return Ok(None) };
        let archives = self.statements.archives();
        let of_archives = |(table, stream): (String, String)| archives.contains(&stream).then_some((stream, table));
        let (mut tables, mut writer) = (Vec::new(), None);
        for (stream, table) in self.statements.history_tables().into_iter().filter_map(of_archives) {
            writer = writer.or(warehouse.writer_of(&table)?);
            if writer.is_some() || warehouse.exists(&table)? {
                tables.push((stream, table));
            }
        }
        Ok((!tables.is_empty()).then_some(ArchiveOnDisk { tables, writer }))
    }

    /// What a job has left.
    pub fn job_on_disk(&self, name: Option<String>) -> Result<JobOnDisk> {
        let folder = self.checkpoints_path(name.as_deref());
        let newest = checkpoint::look(&folder).map(|newest| newest.as_ref().map(NewestCheckpoint::of));
        let saved = folders(&self.savepoints_path(name.as_deref()))?;
        let savepoints = saved.iter().map(|folder| Savepoint::open(folder).map(|saved| SavedJob::of(&saved)));
        Ok(JobOnDisk {
            newest,
            kept: checkpoint::count(&folder)?,
            holder: checkpoint::holder(&folder),
            savepoints: savepoints.collect(),
            folder,
            name,
        })
    }
}

impl NewestCheckpoint {
    fn of(newest: &Manifest) -> NewestCheckpoint {
        let output = |(node, fates): &(String, Fates)| {
            let is_output = newest.outputs.iter().any(|output| output.output == *node);
            is_output.then(|| (node.strip_prefix("into ").unwrap_or(node).to_owned(), *fates))
        };
        let steps = || newest.rows.steps.iter();
        NewestCheckpoint {
            number: newest.coordinator.number,
            written_at: newest.written_at,
            state_bytes: newest.state_bytes(),
            generation: newest.facts.generation,
            revision: newest.facts.revision.clone(),
            is_end: newest.last,
            is_over: newest.last && newest.coordinator.watermarks.iter().all(|at| *at == EventTime::MAX),
            streams: newest.rows.streams.clone(),
            steps: steps().filter(|step| output(step).is_none()).cloned().collect(),
            outputs: steps().filter_map(output).collect(),
        }
    }
}

/// The folders in a folder, sorted; those that are being written begin with a dot. None where there is no such folder.
pub(crate) fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |e| Error::unavailable(format!("cannot list the folder \"{}\"", path.display())).with_source(e);
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        let is_hidden = entry.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        folders.extend(Some(entry).filter(|entry| !is_hidden && entry.is_dir()));
    }
    folders.sort_unstable();
    Ok(folders)
}
