//! The jobs of a project, as their checkpoints and savepoints on disk show them.

use crate::checkpoint_places::WHOLE_PROJECT;
use crate::open::Project;
use crate::savepoints::SavedJob;
use checkpoint::{Holder, Manifest, Place, Savepoint};
use dataflow::{Error, ErrorKind, EventTime, Fates, ProcessingTime, Result};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What a job has left.
#[derive(Debug)]
pub struct JobOnDisk {
    /// Its name in `riverrun.toml`; none for the job of all outputs.
    pub name: Option<String>,
    /// The folder of its checkpoints, or of what a run of it keeps on this machine beside those in a store.
    pub folder: PathBuf,
    /// The newest checkpoint, or why it cannot be read.
    pub newest: Result<Option<NewestCheckpoint>>,
    /// How many checkpoints there are; not known where the store that holds them is away.
    pub kept: Option<usize>,
    /// The process that has run it last, or runs it now.
    pub holder: Option<Holder>,
    /// Savepoints beside its checkpoints, the oldest first; or why one cannot be read.
    pub savepoints: Vec<Result<SavedJob>>,
}

/// A job that has run on this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobHere {
    /// Its name in `riverrun.toml`; none for the job of all outputs.
    pub name: Option<String>,
    /// The folder with the socket that a run of it is asked by.
    pub folder: PathBuf,
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
    /// The jobs that have run, the one of all outputs first. What cannot be read of one is said of that one: where a store is
    /// away, those that have run on this machine are there, with its error in place of a checkpoint. An error where there is
    /// none of these.
    pub fn jobs_on_disk(&self) -> Result<Vec<JobOnDisk>> {
        let here = self.jobs_here()?;
        let names = here.iter().map(|job| job.name.clone());
        match self.checkpoints_root()?.folders() {
            Ok(places) => {
                let all: BTreeSet<_> = names.chain(places.iter().filter_map(job_in)).collect();
                all.into_iter().map(|name| self.job_on_disk(name)).collect()
            }
            Err(error) if here.is_empty() => Err(error),
            // It is not asked again for each of them.
            Err(error) => Ok(here.into_iter().map(|job| JobOnDisk::of_store_away(job, &error)).collect()),
        }
    }

    /// The jobs that have run on this machine, the one of all outputs first; no store is asked.
    pub fn jobs_here(&self) -> Result<Vec<JobHere>> {
        let root = self.checkpoints_root()?;
        let here = Place::from(root.local()).folders()?;
        let names: BTreeSet<_> = here.iter().filter_map(job_in).collect();
        Ok(names.into_iter().map(|name| JobHere { folder: self.checkpoints_path(name.as_deref()), name }).collect())
    }

    /// The jobs that have left checkpoints, or savepoints, wherever they ran.
    pub fn job_names(&self) -> Result<Vec<Option<String>>> {
        let names: BTreeSet<_> = self.checkpoints_root()?.folders()?.iter().filter_map(job_in).collect();
        Ok(names.into_iter().collect())
    }

    /// The newest checkpoint of a job.
    pub fn newest_checkpoint(&self, name: Option<&str>) -> Result<Option<NewestCheckpoint>> {
        let newest = checkpoint::look(&self.checkpoints_place(name)?)?;
        Ok(newest.as_ref().map(NewestCheckpoint::of))
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
    fn job_on_disk(&self, name: Option<String>) -> Result<JobOnDisk> {
        let (folder, place) = (self.checkpoints_path(name.as_deref()), self.checkpoints_place(name.as_deref())?);
        let newest = self.newest_checkpoint(name.as_deref());
        // A store that is away would be waited for again.
        if let Err(error) = &newest
            && error.kind() == ErrorKind::Unavailable
        {
            return Ok(JobOnDisk::of_store_away(JobHere { name, folder }, error));
        }
        let saved = self.savepoints_place(name.as_deref())?.folders()?;
        let savepoints = saved.iter().map(|place| Savepoint::open(place).map(|saved| SavedJob::of(&saved)));
        Ok(JobOnDisk {
            newest,
            kept: Some(checkpoint::count(&place)?),
            holder: checkpoint::holder(&folder),
            savepoints: savepoints.collect(),
            folder,
            name,
        })
    }
}

/// The job whose checkpoints a place holds, if it is one of the folders for that.
fn job_in(place: &Place) -> Option<Option<String>> {
    match place.name() {
        WHOLE_PROJECT => Some(None),
        name => Some(Some(name.strip_prefix("job-")?.to_owned())),
    }
}

impl JobOnDisk {
    /// A job of which only this machine can be asked.
    fn of_store_away(JobHere { name, folder }: JobHere, error: &Error) -> JobOnDisk {
        let newest = Err(Error::new(error.kind(), error.chain()));
        JobOnDisk { newest, kept: None, holder: checkpoint::holder(&folder), savepoints: Vec::new(), folder, name }
    }

    /// Whether the store that holds its checkpoints is away, so that only this machine could be asked.
    pub fn is_store_away(&self) -> bool {
        self.kept.is_none()
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
