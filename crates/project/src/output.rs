//! What a sink of a job writes to: a table, a topic, or the caller of a query.

use crate::collected_rows::Rows;
use crate::open::Project;
use crate::output_check::check_patterns;
use crate::pubsub_output::with_pubsub;
use crate::queue_output::{after_all, at_least_once};
use crate::topics::Topics;
use checkpoint::Savepoint;
use connector_iceberg::{TableClaim, TableOptions};
use connector_local::{Claim, TopicCommitter, TopicPosition, TopicSink};
use connector_pulsar::{Guarantee, SinkPosition, TopicWriter};
use dataflow::{Clock, Committable, Committer, Error, EventTime, Output, OutputState, Result, Sink, Topic};
use sql::OutputSpec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a job begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// At its last checkpoint; where there is none, at the beginning, and then no output may hold rows of it.
    #[default]
    GoOn,
    /// At the beginning: new tables take the places of those that are there, and topics are written under a new epoch.
    Fresh,
    /// At the beginning, and nothing outside is touched: rows of every output are collected in memory.
    Collect,
}

/// A sink and what it writes to.
pub struct WiredSink {
    /// The output's name.
    pub name: String,
    /// The name of its node in the graph.
    pub node: String,
    /// Where it goes.
    pub output: Output,
    /// Makes the writer of one worker.
    pub writer: Box<dyn Fn(usize) -> Result<Box<dyn Sink>> + Send>,
    /// Makes visible what was prepared.
    pub committer: Box<dyn Committer>,
    /// Only rows with `_time` after this are written.
    pub after: EventTime,
    /// The producer epoch of a topic.
    pub epoch: Option<u64>,
    /// How many rows a topic has from after the checkpoint that the job goes on from.
    pub replay: u64,
    /// Whether the topic holds messages of earlier runs, under lower epochs.
    pub has_earlier: bool,
    /// How many partitions its topic had when it was opened, where partitions may be added while a job runs.
    pub partitions: Option<u32>,
    /// Where it goes on, if that is not as the checkpoint has it.
    pub position: Option<NewPosition>,
    /// Says while the job runs what people should know of how rows are delivered.
    pub notice: Option<Notice>,
}

/// Where an output goes on in place of where the checkpoint has it.
pub struct NewPosition {
    /// Its byte form.
    pub bytes: Vec<u8>,
    /// Whether that is so because partitions were added to its topic.
    pub has_grown: bool,
}

/// What an earlier run of a job has left of an output.
#[derive(Clone, Copy, Default)]
pub struct EarlierOutput<'a> {
    /// What the checkpoint has of it.
    pub state: Option<&'a OutputState>,
    /// Whether no row was put out after the checkpoint.
    pub is_all: bool,
    /// Whether rows that were may be there twice.
    pub accepts_duplicates: bool,
}

impl EarlierOutput<'_> {
    /// Where its writer had come.
    fn position(&self) -> Option<&[u8]> {
        self.state.and_then(|state| state.position.as_deref())
    }
}

/// What there is to say of an output by now; the same again until it changes.
pub type Notice = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The producer that writes an output's topic; stable, so that a later run fences an earlier one.
pub(crate) fn producer_name(project: &Project, output: &str) -> String {
    format!("{}.{output}", project.name())
}

/// Refuses outputs that are the history of a stream: a job never writes, and `--fresh` never replaces, what it reads.
pub fn refuse_history(project: &Project, outputs: &[OutputSpec]) -> Result<()> {
    for (table, stream) in project.statements.history_tables() {
        let written =
            |spec: &&OutputSpec| matches!(&spec.output, Output::Table(name) if name.eq_ignore_ascii_case(&table));
        if outputs.iter().any(|spec| written(&spec)) {
            return Err(Error::invalid(format!(
                "table {table} is the HISTORY of stream \"{stream}\", and a job does not write into what streams are read \
                 from: name another table, or write it with ARCHIVE {stream}"
            )));
        }
    }
    Ok(())
}

/// Refuses outputs that hold rows of this job, since a job starts from its beginning.
pub fn refuse_used(project: &Project, outputs: &[OutputSpec]) -> Result<()> {
    for spec in outputs {
        match &spec.output {
            Output::Table(table) => {
                let Some(warehouse) = project.warehouse_if_there()? else { continue };
                let rows = if warehouse.exists(table)? { warehouse.rows(table)? } else { 0 };
                refuse_rows(table, rows)?;
            }
            Output::Topic(topic) => refuse_messages(project, topic, &spec.name)?,
            Output::Query(_) => {}
        }
    }
    Ok(())
}

fn refuse_messages(project: &Project, topic: &str, output: &str) -> Result<()> {
    // A generation on Pulsar has producers of its own, of which a broker cannot be asked by the output's name.
    let Some(epoch) = last_epoch(project, topic, output)? else { return Ok(()) };
    Err(Error::invalid(format!(
        "topic {topic} holds messages of this job (producer {}, epoch {epoch}), and the job starts from its beginning: \
         `--fresh` writes them again under a new epoch",
        producer_name(project, output)
    )))
}

fn last_epoch(project: &Project, topic: &str, output: &str) -> Result<Option<u64>> {
    match project.topics()? {
        Topics::Local(topics, _) if project.topics()?.topic(topic)?.is_some() => {
            topics.producer(topic, &producer_name(project, output), 0)?.last_epoch()
        }
        Topics::Local(..) | Topics::Pulsar(_) => Ok(None),
    }
}

/// The claims of a job's tables, by table.
pub type Claims = BTreeMap<String, TableClaim>;

/// The tables of a job that starts over: new ones, which nobody sees before they take the places of the old ones.
#[derive(Clone, Default)]
pub struct NewTables(pub(crate) Arc<Claims>);

impl NewTables {
    /// The tables that are to be replaced and keep the rows of an earlier run until then.
    pub fn waiting(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, claim)| claim.is_replacing()).map(|(table, _)| table.as_str()).collect()
    }

    /// Lets the new tables take the places of the old ones, all in one step. A second call changes nothing.
    pub fn take_places(&self) -> Result<()> {
        TableClaim::take_places(self.0.values())
    }
}

/// Claims all tables that outputs write, before anything is made or written.
pub fn claim_tables(project: &Project, outputs: &[OutputSpec]) -> Result<Claims> {
    let mut claims = Claims::new();
    for spec in outputs {
        let Output::Table(table) = &spec.output else { continue };
        if !claims.contains_key(table) {
            claims.insert(table.clone(), project.warehouse()?.claim(table, &producer_name(project, &spec.name))?);
        }
    }
    Ok(claims)
}

/// Goes on with a claimed table where a checkpoint left it; gives what is pending there. What a savepoint has pending is
/// copied from it.
pub fn go_on_with_table(
    claims: &Claims,
    spec: &OutputSpec,
    before: &OutputState,
    savepoint: Option<&Savepoint>,
) -> Result<Vec<Committable>> {
    let Output::Table(table) = &spec.output else { return Ok(before.pending.clone()) };
    match (claims.get(table), savepoint) {
        (Some(claim), None) => claim.go_on(&spec.schema, before),
        (Some(claim), Some(savepoint)) => {
            let copies = savepoint.data_copies(&TableClaim::pending_files(table, &before.pending)?)?;
            claim.go_on_from_copies(&spec.schema, before, &|original| copies.file(original))
        }
        (None, _) => Ok(before.pending.clone()),
    }
}

/// Brings claimed tables of outputs to where a job begins: they exist and are empty. This is checked once more, because
/// another run may have committed since the job was allowed to start, and none can from now on.
pub fn begin_tables(project: &Project, claims: &Claims, outputs: &[&OutputSpec], begin: Begin) -> Result<()> {
    let of_outputs = |table: &str| outputs.iter().any(|spec| spec.output == Output::Table(table.to_owned()));
    if begin != Begin::Fresh {
        let claims = claims.iter().filter(|(table, _)| of_outputs(table));
        claims.map(|(table, claim)| refuse_rows(table, claim.rows()?)).collect::<Result<()>>()?;
    }
    for spec in outputs {
        let Output::Table(table) = &spec.output else { continue };
        let Some(claim) = claims.get(table) else { continue };
        let options = TableOptions { layout: project.statements.table_layout(table), ..TableOptions::default() };
        if begin == Begin::Fresh {
            claim.replace(&spec.schema, &options)?;
            // A run that is killed on its way goes on from its checkpoints, and these name the new table.
            claim.keep_staged();
        } else {
            claim.create(&spec.schema, &options)?;
            claim.check_output(&spec.schema, &options.layout)?;
            refuse_rows(table, claim.rows()?)?;
        }
    }
    Ok(())
}

fn refuse_rows(table: &str, rows: u64) -> Result<()> {
    if rows == 0 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "table {table} holds {rows} rows, and the job starts from its beginning: `--fresh` writes the job's output tables \
         anew, and keeps these rows until then"
    )))
}

/// Binds a sink to an output. `queue` is a stream of the job whose messages come again in another order, if there is one.
pub fn wire(
    project: &Project,
    spec: &OutputSpec,
    claims: Option<&Arc<Claims>>,
    (begin, is_bounded, start): (Begin, bool, EventTime),
    (rows, before): (&Rows, EarlierOutput<'_>),
    queue: Option<&str>,
) -> Result<WiredSink> {
    let Some(claims) = claims else { return Ok(collect(spec, rows)) };
    let sink = wire_outside(project, spec, claims, (begin, is_bounded, start), (rows, before, queue.is_some()))?;
    Ok(match queue {
        Some(stream) => {
            let notice = at_least_once(sink.notice.clone(), &sink.output, stream);
            WiredSink { notice, ..sink }
        }
        None => sink,
    })
}

fn wire_outside(
    project: &Project,
    spec: &OutputSpec,
    claims: &Arc<Claims>,
    (begin, is_bounded, start): (Begin, bool, EventTime),
    (rows, before, is_of_queue): (&Rows, EarlierOutput<'_>, bool),
) -> Result<WiredSink> {
    match &spec.output {
        Output::Table(table) => {
            let sink = table_sink(table, spec, claims)?;
            if is_bounded {
                return Ok(sink);
            }
            // Without an end of its own, a job that starts over has put out something new with its first commit.
            let committer = FirstCommit { inner: sink.committer, new: NewTables(claims.clone()) };
            Ok(WiredSink { committer: Box::new(committer), ..sink })
        }
        Output::Topic(topic) => {
            let sink = topic_sink(project, topic, spec, (begin, start), (before, is_of_queue))?;
            let Some(places) = project.places(topic) else { return Ok(sink) };
            let (is_pulsar, key) =
                (matches!(project.topics()?, Topics::Pulsar(_)), spec.schema.index_of("subject").ok());
            let encode = crate::dead_letter::encoder(&spec.schema)?;
            Ok(WiredSink { writer: with_pubsub(sink.writer, &places.topics, is_pulsar, (encode, key))?, ..sink })
        }
        Output::Query(_) => Ok(collect(spec, rows)),
    }
}

fn collect(spec: &OutputSpec, rows: &Rows) -> WiredSink {
    let writer = rows.clone();
    WiredSink {
        name: spec.name.clone(),
        node: String::new(),
        output: spec.output.clone(),
        writer: Box::new(move |_| Ok(Box::new(writer.clone()))),
        committer: Box::new(rows.clone()),
        after: EventTime::MIN,
        epoch: None,
        replay: 0,
        has_earlier: false,
        partitions: None,
        position: None,
        notice: None,
    }
}

fn table_sink(table: &str, spec: &OutputSpec, claims: &Claims) -> Result<WiredSink> {
    let claim =
        claims.get(table).ok_or_else(|| Error::internal(format!("table {table} is written unclaimed")))?.clone();
    let notes = claim.notes()?.join("\n");
    let notice = (!notes.is_empty()).then(|| Arc::new(move || Some(notes.clone())) as Notice);
    Ok(WiredSink {
        name: spec.name.clone(),
        node: String::new(),
        output: spec.output.clone(),
        committer: claim.committer(),
        writer: Box::new(move |worker| Ok(Box::new(claim.writer(worker)?))),
        after: EventTime::MIN,
        epoch: None,
        replay: 0,
        has_earlier: false,
        partitions: None,
        position: None,
        notice,
    })
}

/// The committer of a table of a job without end: with the first commit of any of them all new tables are seen.
struct FirstCommit {
    inner: Box<dyn Committer>,
    new: NewTables,
}

impl Committer for FirstCommit {
    fn commit(&mut self, committables: Vec<Committable>) -> Result<()> {
        self.inner.commit(committables)?;
        self.new.take_places()
    }
}

fn topic_sink(
    project: &Project,
    topic: &str,
    spec: &OutputSpec,
    (begin, start): (Begin, EventTime),
    (before, is_of_queue): (EarlierOutput<'_>, bool),
) -> Result<WiredSink> {
    let producer = producer_name(project, &spec.name);
    let topics = match project.topics()? {
        Topics::Local(topics, _) => topics,
        Topics::Pulsar(topics) => {
            check_patterns(project, topic)?;
            return pulsar_sink(topics, (topic, &producer), spec, (start, before, is_of_queue), &project.clock);
        }
    };
    let position = before.position().map(TopicPosition::parse).transpose()?;
    let has_earlier = position.is_none() && last_epoch(project, topic, &spec.name)?.is_some();
    let claim = match &position {
        Some(position) => topics.resume(topic, &producer, position.epoch)?,
        None => {
            topics.topic_or_create(topic, 1)?;
            let claim = topics.claim(topic, &producer)?;
            if begin != Begin::Fresh {
                // Another run may have written since this one was allowed to start, and none can from now on.
                refuse_messages(project, topic, &spec.name)?;
            }
            claim
        }
    };
    let producer = claim.producer()?;
    let position = position.unwrap_or_else(|| TopicPosition::start(&producer));
    let replay = position.replay(&producer)?;
    let changed = (is_of_queue && replay > 0).then(|| after_all(position.clone(), replay));
    let (position, replay) = (changed.clone().unwrap_or(position), if is_of_queue { 0 } else { replay });
    let claim = Arc::new(claim);
    let (epoch, of_writer) = (claim.epoch(), claim.clone());
    let (encode, key) = (crate::dead_letter::encoder(&spec.schema)?, spec.schema.index_of("subject").ok());
    Ok(WiredSink {
        name: spec.name.clone(),
        node: String::new(),
        output: spec.output.clone(),
        writer: Box::new(move |_| {
            Ok(Box::new(TopicSink::new(of_writer.producer()?, encode.clone(), key, position.clone())?))
        }),
        replay,
        committer: Box::new(ClaimedTopic { committer: TopicCommitter, _claim: claim }),
        after: start,
        epoch: Some(epoch),
        has_earlier,
        partitions: None,
        position: changed.map(|changed| NewPosition { bytes: changed.to_bytes(), has_grown: false }),
        notice: None,
    })
}

/// The committer of a topic, which holds the claim to it for as long as the job runs.
struct ClaimedTopic {
    committer: TopicCommitter,
    _claim: Arc<Claim>,
}

impl Committer for ClaimedTopic {
    fn commit(&mut self, committables: Vec<Committable>) -> Result<()> {
        self.committer.commit(committables)
    }
}

/// Binds a sink to a topic of Pulsar. The producers of all partitions are open before the job begins, so that an earlier
/// run writes no more.
fn pulsar_sink(
    topics: &connector_pulsar::Topics,
    (topic, producer): (&str, &str),
    spec: &OutputSpec,
    (start, before, is_of_queue): (EventTime, EarlierOutput<'_>, bool),
    clock: &Arc<dyn Clock>,
) -> Result<WiredSink> {
    let there = topics.topic_or_create(topic, 1)?;
    let position = before.position().map(SinkPosition::parse).transpose()?;
    // Other rows come from a queue than came after the checkpoint, so that they never have the numbers of those.
    let position = position.filter(|_| !is_of_queue);
    let is_new = position.is_none();
    let position = position.unwrap_or_else(|| SinkPosition::start(connector_pulsar::chance(), there.partitions()));
    let (had, has) = (position.last.len(), there.partitions() as usize);
    if had > has {
        return Err(Error::invalid(format!(
            "topic {topic} has {has} partitions, and the checkpoint has written to {had}: it was made again, and what was \
             written is gone; start over with --fresh"
        )));
    }
    let name = format!("{producer}-{:016x}", position.generation);
    let earlier = position.earlier(there.partitions(), before.is_all, before.accepts_duplicates);
    let columns = crate::dead_letter::message_columns(&spec.schema)?;
    let schema = topics.output_schema(&there, &columns)?;
    let writer = Arc::new(TopicWriter::open(&there, &name, Guarantee::AsTheBrokerHas, &earlier, Some(&schema))?);
    let replay = writer.taken().map_or(0, |taken| (taken + 1).saturating_sub(position.rows));
    let forgotten = position.without_forgotten(&writer.taken_each());
    let (has_grown, has_forgotten) = (had < has, forgotten.is_some());
    let mut position = forgotten.unwrap_or(position).with_partitions(there.partitions(), writer.taken());
    if before.accepts_duplicates {
        // It is seen anew.
        position.is_deduplicated = None;
    }
    let is_changed = has_grown || has_forgotten || (is_of_queue && is_new);
    let changed = is_changed.then(|| NewPosition { bytes: position.to_bytes(), has_grown });
    let (encode, key) = (crate::dead_letter::encoder(&spec.schema)?, spec.schema.index_of("subject").ok());
    let (of_sink, of_notice, clock, topic) = (writer.clone(), writer, clock.clone(), topic.to_owned());
    let notice = move || {
        (of_notice.is_deduplicated() == Some(false)).then(|| {
            format!(
                "topic {topic}: the broker removes no duplicates there, so delivery is at least once: rows that were \
                 written after the last checkpoint of a run that was killed are there twice, with the same property \
                 riverrun.row; `pulsar-admin namespaces set-deduplication --enable` makes it once"
            )
        })
    };
    Ok(WiredSink {
        name: spec.name.clone(),
        node: String::new(),
        output: spec.output.clone(),
        writer: Box::new(move |_| {
            let (writer, position) = (of_sink.clone(), position.clone());
            Ok(Box::new(connector_pulsar::TopicSink::new(writer, encode.clone(), key, position, clock.clone())))
        }),
        replay,
        committer: Box::new(TopicCommitter),
        after: start,
        epoch: None,
        has_earlier: false,
        partitions: Some(there.partitions()),
        position: changed,
        notice: Some(Arc::new(notice)),
    })
}
