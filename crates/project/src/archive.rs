//! The archive job: every ARCHIVE statement's topic into its history table, every message once.
//!
//! ```text
//! topic -> archiver -> open Parquet files -> (every 60 s, 128 MiB, or at the end) prepare -> commit, on its own thread
//!            frontier ------------------------------------------------------------------------^
//! ```

use crate::anchors::AnchorsOf;
use crate::archive_check::{check_archive, frontier_in, places_of, topic_is_gone};
use crate::archive_commit::{ArchiveEvent, CommitThread};
use crate::failure::Failure;
use crate::open::Project;
use crate::stream_input::{decoder, stream_spec};
use connector_iceberg::{TableClaim, TableOptions, TableWriter};
use connector_pulsar::AnchorsBegin;
use dataflow::{Error, ErrorKind, Position, ProcessingTime, Result, Topic};
use seam::{
    Archiver, CLOCK_PROPERTY, FRONTIER_PROPERTY, Frontier, archive_schema, check_clock_property, clock_property,
};
use sql::{Stream, Target, near_or_all};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

/// A stream commits when it has written so much since the last time, however young that is.
const COMMIT_BYTES: u64 = 128 << 20;
const READ_ROWS: usize = 16_384;
/// How often it is looked whether a topic that could not be made is there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The sink of every archive job, so that they exclude each other whoever runs them.
const SINK: &str = "archive";

/// Where a stream's archive stops: per partition the last position to take.
pub type ArchiveEnd = BTreeMap<u32, Position>;

/// How an archive job runs.
#[derive(Clone, Debug)]
pub struct ArchiveOptions {
    /// Per stream where to stop.
    pub ends: BTreeMap<String, ArchiveEnd>,
    /// How old rows become at most before they are committed.
    pub commit_every: Duration,
}

/// What a step has done.
#[derive(Debug, Default)]
pub struct ArchiveStep {
    /// Rows that were read.
    pub rows: u64,
    /// Whether every topic that is there was read to its end, or to where its archive stops.
    pub caught_up: bool,
    /// Commits that have happened since the last step.
    pub committed: Vec<ArchiveCommit>,
    /// What people should know.
    pub told: Vec<String>,
}

/// One commit.
#[derive(Debug)]
pub struct ArchiveCommit {
    /// The stream.
    pub stream: String,
    /// Its table.
    pub table: String,
    /// The rows that it added.
    pub rows: u64,
}

/// What became of a stream in a job.
#[derive(Debug)]
pub struct Archived {
    /// The stream.
    pub stream: String,
    /// Its table.
    pub table: String,
    /// Rows that this job has committed.
    pub rows: u64,
    /// The commits of this job.
    pub commits: u64,
    /// Rows in the table.
    pub total: u64,
}

/// The archive job of a project.
pub struct Archive<'a> {
    project: &'a Project,
    options: ArchiveOptions,
    streams: Vec<StreamArchive>,
    absent: Vec<MissingTopic>,
    looked: Duration,
    // What people should know and was not told.
    told: Vec<String>,
    answers: Receiver<(usize, ArchiveEvent)>,
    answer: Sender<(usize, ArchiveEvent)>,
    growth: Arc<GrowthWaker>,
    // Answers that came while nothing was done but wait for them.
    waiting: Vec<(usize, ArchiveEvent)>,
    finishing: bool,
    // Whether commits wait no longer.
    stop: Arc<AtomicBool>,
}

/// A stream whose topic is not there and could not be made.
struct MissingTopic {
    stream: Stream,
    why: Error,
}

struct StreamArchive {
    stream: String,
    table: String,
    // The name of its topic, and the partitions that are read.
    topic: (String, u32),
    claim: TableClaim,
    archiver: Archiver,
    writer: TableWriter,
    // Rows that were written and not handed to a commit, and when the first of them was.
    rows: u64,
    since: Duration,
    // The arrival of the last row that was read; `None` when the topic was read to its end.
    behind: Option<ProcessingTime>,
    // The frontier that the table has, and the rows and the frontier of the commit that is under way.
    frontier: Option<String>,
    under_way: Option<(u64, Frontier)>,
    commits: CommitThread,
    committed_rows: u64,
    committed: u64,
}

impl<'a> Archive<'a> {
    /// Opens all ARCHIVE statements at their frontiers. A topic that is not there is made; where it cannot be, the job
    /// waits for it, and copies the others meanwhile.
    pub fn open(project: &'a Project, options: ArchiveOptions) -> Result<Archive<'a>, Failure> {
        project.refuse_as("the archive writes")?;
        let names = project.statements.archives();
        if names.is_empty() {
            return Err(Error::invalid("the project has no ARCHIVE statement; write `ARCHIVE stream;`").into());
        }
        if let Some(unknown) = options.ends.keys().find(|name| !names.contains(name)) {
            return Err(Error::invalid(format!(
                "--to names {unknown}, which no ARCHIVE statement copies; {}",
                near_or_all(unknown, names.iter().map(String::as_str), "those copy:", "")
            ))
            .into());
        }
        project.check(&Target::Archives)?;
        let mut checked = Vec::new();
        for name in &names {
            checked.push(project.stream(name)?);
        }
        checked.iter().try_for_each(|stream| check_archive(project, stream))?;
        let (answer, answers) = channel();
        let growth = Arc::new(GrowthWaker { answer: Mutex::new(answer.clone()), called: AtomicBool::new(false) });
        let mut archive = Archive {
            project,
            options,
            streams: Vec::new(),
            absent: Vec::new(),
            looked: Duration::ZERO,
            told: Vec::new(),
            answers,
            answer,
            growth,
            waiting: Vec::new(),
            finishing: false,
            stop: Arc::default(),
        };
        checked.into_iter().try_for_each(|stream| archive.add(stream))?;
        archive.let_go_of_others()?;
        Ok(archive)
    }

    /// Lets go of what the archive had kept under other names, once it is kept under those of today: a topic that nobody
    /// keeps for a moment may lose what was not copied. The others of a topic that is still waited for stay.
    fn let_go_of_others(&self) -> Result<()> {
        let names = self.project.statements.archives();
        let subscriptions: Vec<String> = names.iter().filter_map(|name| self.project.archive_anchor(name)).collect();
        let waits: Vec<&str> =
            self.absent.iter().map(|absent| Ok(places_of(&absent.stream)?.1)).collect::<Result<_>>()?;
        self.project.let_go_of_others(AnchorsOf::Archive, |topic, made| {
            waits.contains(&topic) || subscriptions.iter().any(|kept| kept == made)
        })
    }

    /// Opens a stream, or remembers that it waits for its topic.
    fn add(&mut self, stream: Stream) -> Result<()> {
        let (table, name) = places_of(&stream)?;
        let topic = match topic_of(self.project, &stream, table, name)? {
            Ok(topic) => topic,
            Err(why) => {
                self.absent.push(MissingTopic { stream, why });
                return Ok(());
            }
        };
        let (index, end) = (self.streams.len(), self.options.ends.get(&stream.name));
        let answer = (index, self.answer.clone());
        let mut opened = StreamArchive::open(self.project, &stream, topic, end, (answer, self.stop.clone()))?;
        self.told.extend(opened.claim.notes()?);
        opened.archiver.wake(&Waker::from(self.growth.clone()))?;
        self.streams.push(opened);
        Ok(())
    }

    /// Reads some of each stream into files, and commits what is due. `now` is the time since the job began.
    pub fn step(&mut self, now: Duration) -> Result<ArchiveStep> {
        let told = std::mem::take(&mut self.told);
        let mut step = ArchiveStep { caught_up: true, told, ..ArchiveStep::default() };
        // Before the look at the topics: what comes during it is another call.
        self.growth.called.store(false, SeqCst);
        let came: Vec<_> = self.waiting.drain(..).chain(self.answers.try_iter()).collect();
        for (index, answer) in came {
            match answer {
                ArchiveEvent::TopicGrown => {}
                ArchiveEvent::CommitWaits(line) => step.told.push(line),
                ArchiveEvent::CommitDone(result) => step.committed.push(self.streams[index].committed(result)?),
            }
        }
        self.look_for_topics(now)?;
        for stream in &mut self.streams {
            let (rows, at_end) = if self.finishing { (0, true) } else { stream.read(now)? };
            step.rows += rows;
            step.caught_up &= at_end;
            let age = now.saturating_sub(stream.since);
            if self.finishing || age >= self.options.commit_every || stream.writer.bytes() >= COMMIT_BYTES {
                stream.commit()?;
            }
        }
        Ok(step)
    }

    /// Looks whether topics that were not there have come.
    fn look_for_topics(&mut self, now: Duration) -> Result<()> {
        if self.finishing || self.absent.is_empty() || now < self.looked + LOOK_EVERY {
            return Ok(());
        }
        self.looked = now;
        let (absent, opened) = (std::mem::take(&mut self.absent), self.streams.len());
        absent.into_iter().try_for_each(|absent| self.add(absent.stream))?;
        if self.streams.len() > opened { self.let_go_of_others() } else { Ok(()) }
    }

    /// Reads no more: what was read is committed by the steps that follow.
    pub fn finish(&mut self) {
        self.finishing = true;
    }

    /// The same, where somebody wants it to end soon: a commit that waits for the outside is tried once more.
    pub fn stop(&mut self) {
        self.finish();
        self.stop.store(true, SeqCst);
    }

    /// Whether all that was read before `finish` is committed.
    pub fn is_done(&self) -> bool {
        self.finishing && self.streams.iter().all(|stream| stream.rows == 0 && stream.under_way.is_none())
    }

    /// Waits until a commit answers or a topic has grown, at most so long.
    pub fn wait(&mut self, at_most: Duration) {
        self.waiting.extend(self.answers.recv_timeout(at_most));
    }

    /// How long ago the last row that was read arrived on its topic, for the stream that lags furthest; `None` when all
    /// topics are read to their end.
    pub fn lag(&self) -> Option<Duration> {
        let last = self.streams.iter().filter_map(|stream| stream.behind).min()?;
        Some(Duration::from_micros(u64::try_from(self.project.clock.now().0 - last.0).unwrap_or_default()))
    }

    /// The topics that are read, each with the number of partitions that are: those that are added need the archive opened
    /// again.
    pub fn partitions(&self) -> Vec<(String, u32)> {
        self.streams.iter().map(|stream| stream.topic.clone()).collect()
    }

    /// The streams that wait for their topics, and why those are not there.
    pub fn absent(&self) -> impl Iterator<Item = (&str, String)> {
        self.absent.iter().map(|absent| (absent.stream.name.as_str(), absent.why.chain()))
    }

    /// What became of each stream.
    pub fn archived(&self) -> Result<Vec<Archived>> {
        let archived = |stream: &StreamArchive| {
            Ok(Archived {
                stream: stream.stream.clone(),
                table: stream.table.clone(),
                rows: stream.committed_rows,
                commits: stream.committed,
                total: stream.claim.rows()?,
            })
        };
        self.streams.iter().map(archived).collect()
    }
}

/// Is called when a topic may have grown. Calls that were not answered yet are one call.
struct GrowthWaker {
    answer: Mutex<Sender<(usize, ArchiveEvent)>>,
    called: AtomicBool,
}

impl Wake for GrowthWaker {
    fn wake(self: Arc<Self>) {
        if !self.called.swap(true, SeqCst) {
            // Whoever waited has gone when nobody takes it. It is of no stream in particular.
            let _ = self.answer.lock().unwrap_or_else(PoisonError::into_inner).send((0, ArchiveEvent::TopicGrown));
        }
    }
}

impl StreamArchive {
    fn open(
        project: &Project,
        stream: &Stream,
        topic: Arc<dyn Topic>,
        end: Option<&ArchiveEnd>,
        (answer, stop): ((usize, Sender<(usize, ArchiveEvent)>), Arc<AtomicBool>),
    ) -> Result<StreamArchive> {
        let (table, name) = places_of(stream)?;
        let (spec, warehouse) = (stream_spec(stream), project.warehouse()?);
        let claim = warehouse.claim(table, SINK)?;
        // With the frontier of a topic of which nothing was read, a table without rows is an archive already.
        let properties = vec![
            (CLOCK_PROPERTY.to_owned(), clock_property(&spec)),
            (FRONTIER_PROPERTY.to_owned(), Frontier::start_of(topic.as_ref()).to_text()),
        ];
        let layout = project.statements.archive_layout(&stream.name);
        let partition_day = layout.partition_by.is_empty().then(|| "_arrival".to_owned());
        let options = TableOptions { partition_day, layout, properties };
        claim.create(&archive_schema(&spec.schema), &options)?;
        claim.check_layout(&options.layout)?;
        let (clock, frontier) = frontier_in(&warehouse, &stream.name, table)?;
        check_clock_property(&spec, table, &clock)?;
        let at = frontier.as_deref().map(Frontier::parse).transpose();
        let at = at.map_err(|error| error.context(format!("table {table}")))?;
        let to = end.map(|end| (0..topic.partitions()).map(|partition| end.get(&partition).copied()).collect());
        let is_new = at.as_ref().is_none_or(|at| at.partitions.iter().all(Option::is_none));
        let begin = if is_new { AnchorsBegin::Anew } else { AnchorsBegin::WhereTheyStand };
        let held = project.hold_topic(AnchorsOf::Archive, &stream.name, name, begin)?;
        let topic = held.map_or(topic, |held| held as Arc<dyn Topic>);
        let archiver = Archiver::new(spec, topic.as_ref(), decoder(stream, name)?, at, to)?;
        Ok(StreamArchive {
            stream: stream.name.clone(),
            table: table.to_owned(),
            topic: (name.to_owned(), topic.partitions()),
            archiver,
            writer: claim.writer(0)?,
            rows: 0,
            since: Duration::ZERO,
            behind: None,
            frontier,
            under_way: None,
            commits: CommitThread::start(claim.clone(), answer, stop)?,
            claim,
            committed_rows: 0,
            committed: 0,
        })
    }

    fn failed(&self, error: Error) -> Error {
        error.context(format!("archive of {}", self.stream))
    }

    /// Reads some rows into files, and says whether there are no more now. A stream whose commit is still under way
    /// when the next one is full waits for it.
    fn read(&mut self, now: Duration) -> Result<(u64, bool)> {
        if self.under_way.is_some() && self.writer.bytes() >= COMMIT_BYTES {
            return Ok((0, false));
        }
        let Some((batch, _)) = self.archiver.next(READ_ROWS).map_err(|error| self.failed(error))? else {
            self.behind = None;
            return Ok((0, true));
        };
        if self.rows == 0 {
            self.since = now;
        }
        self.behind = last_arrival(&batch);
        self.rows += batch.num_rows() as u64;
        self.writer.write_rows(&batch).map_err(|error| self.failed(error))?;
        Ok((batch.num_rows() as u64, false))
    }

    /// Hands what was written since the last commit to the next one, unless one is under way.
    fn commit(&mut self) -> Result<()> {
        if self.rows == 0 || self.under_way.is_some() {
            return Ok(());
        }
        let prepared = self.writer.finish(None).map_err(|error| self.failed(error))?;
        let frontier = self.archiver.frontier().to_text();
        let properties = vec![(FRONTIER_PROPERTY.to_owned(), frontier)];
        self.commits.commit(prepared.into_iter().collect(), properties, self.frontier.clone())?;
        self.under_way = Some((std::mem::take(&mut self.rows), self.archiver.frontier()));
        Ok(())
    }

    /// Takes the answer of a commit.
    fn committed(&mut self, result: Result<()>) -> Result<ArchiveCommit> {
        self.commits.answered();
        result.map_err(|error| self.failed(error))?;
        let (rows, frontier) =
            self.under_way.take().ok_or_else(|| Error::internal("a commit answers that was not begun"))?;
        self.archiver.durable(&frontier);
        self.frontier = Some(frontier.to_text());
        self.committed_rows += rows;
        self.committed += 1;
        Ok(ArchiveCommit { stream: self.stream.clone(), table: self.table.clone(), rows })
    }
}

/// The arrival of the last row of an archive's batch.
fn last_arrival(batch: &arrow::array::RecordBatch) -> Option<ProcessingTime> {
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampMicrosecondType;
    let arrivals = batch.column_by_name("_arrival")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    arrivals.values().last().map(|&micros| ProcessingTime(micros))
}

/// The topic of a stream, made when it is not there. The inner error says why it cannot be made for now.
fn topic_of(project: &Project, stream: &Stream, table: &str, name: &str) -> Result<Result<Arc<dyn Topic>, Error>> {
    let topics = project.topics()?;
    let found = match topics.topic(name) {
        Ok(Some(topic)) => return Ok(Ok(topic)),
        Ok(None) => None,
        Err(error) if error.kind() == ErrorKind::Unavailable => Some(error),
        Err(error) => return Err(error),
    };
    let archived = project.warehouse_if_there()?.map_or(Ok(false), |warehouse| warehouse.exists(table))?;
    match found {
        Some(error) => Ok(Err(error)),
        None if archived => Err(topic_is_gone(project, stream, table, name)),
        None => match topics.topic_or_create(name, 1) {
            Ok(topic) => Ok(Ok(topic)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Err(error),
            Err(error) => Ok(Err(error)),
        },
    }
}
