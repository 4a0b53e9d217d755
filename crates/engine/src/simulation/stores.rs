//! The store of checkpoints, the tables and the topics as a run sees them. They keep the contracts of the real ones.

use super::bugs::Bug;
use super::saved::Saved;
use super::savepoints;
use super::world::{Access, CommitRequest, Committed, Flight, Table, World};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use checkpoint::{Checkpoints, Created, Store};
use dataflow::{
    Batch, ByteReader, ByteWriter, Checkpoint, CheckpointStore, Committable, Committer, Error, ErrorKind, OutputState,
    Result, Sink,
};
use std::sync::Arc;

/// The objects of checkpoints.
pub struct Objects(pub Arc<Access>);

impl Store for Objects {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        let flight = Flight::Create(name.to_owned(), bytes.to_vec());
        self.0.change("create", Some(flight), |world| {
            Ok(if world.create(name, bytes) { Created::New } else { Created::Exists })
        })
    }
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.0.ask("read", |world| Ok(world.objects.get(name).cloned()))
    }
    fn read_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        self.0.ask("read", |world| Ok(world.objects.get(name).map(|object| range(object, offset, bytes))))
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let names = |name: &&String| name.starts_with(prefix);
        self.0.ask("list", |world| Ok(world.objects.keys().filter(names).cloned().collect()))
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.0.change("delete", Some(Flight::Delete(name.to_owned())), |world| {
            world.objects.remove(name);
            Ok(())
        })
    }
    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// At most so many bytes of an object from an offset on.
pub fn range(object: &[u8], offset: u64, bytes: u64) -> Vec<u8> {
    let from = object.len().min(offset as usize);
    object[from..object.len().min(from + bytes as usize)].to_vec()
}

/// The checkpoints of a run, which are looked at as they become durable.
pub struct Watched {
    pub checkpoints: Checkpoints,
    pub generation: u64,
    pub access: Arc<Access>,
}

impl CheckpointStore for Watched {
    fn put(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        if checkpoint.last {
            self.access.meets_end()?;
        }
        self.checkpoints.put(checkpoint)?;
        let mut world = self.access.shared.world();
        world.count("checkpoint");
        // A job that begins anew begins before all rows, also where a run before it has put one more.
        let is_same = world.generation == self.generation;
        let (last, number) = (world.number, checkpoint.coordinator.number);
        world.check(!is_same || number > last, || format!("a checkpoint has number {number} after one with {last}"));
        let now = &checkpoint.coordinator.watermarks;
        let before = if is_same { world.watermarks.clone() } else { vec![] };
        let falls = before.iter().zip(now).find(|(before, now)| now < before);
        if let Some((before, now)) = falls {
            world.check(false, || format!("a watermark falls from {before} to {now}"));
        }
        // Of one that is put beside a successor nobody may know: the successor goes on from what it has found before.
        if !self.access.is_succeeded() {
            (world.generation, world.number) = (self.generation, number);
            (world.watermarks, world.rows) = (now.clone(), checkpoint.rows.clone());
        }
        if checkpoint.last && !self.access.is_succeeded() {
            let has_more = has_more(&world, &checkpoint.outputs)?;
            let replays = checkpoint.replays;
            world.check(has_more == replays, || {
                format!("rows come again after the last checkpoint: {has_more}, and it says {replays}")
            });
        }
        drop(world);
        savepoints::save(&self.access, &self.checkpoints, checkpoint);
        Ok(())
    }
}

/// Whether a topic has rows from after a checkpoint.
fn has_more(world: &World, outputs: &[OutputState]) -> Result<bool> {
    for output in outputs {
        let (Some(position), Some(topic)) =
            (&output.position, world.topics.get(output.output.trim_start_matches("into ")))
        else {
            continue;
        };
        let position = TopicPosition::parse(position)?;
        let of_epoch = topic.partitions.iter().filter(|written| written.epoch == position.epoch);
        if of_epoch.filter_map(|written| written.last).any(|last| last >= position.rows) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The rows of a batch as text.
fn texts(batch: &Batch) -> Result<Vec<String>> {
    let options = FormatOptions::new().with_null("-");
    let columns = batch.columns().columns().iter();
    let columns = columns.map(|column| Ok(ArrayFormatter::try_new(column.as_ref(), &options)?));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let text = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    Ok((0..batch.rows()).map(text).collect())
}

/// The right of a run to write a table.
#[derive(Clone)]
pub struct Claim {
    pub access: Arc<Access>,
    pub table: String,
    pub epoch: u64,
}

impl Claim {
    /// Takes an epoch in a table by a commit without rows.
    pub fn take(access: &Arc<Access>, table: &str) -> Result<Claim> {
        let name = table.to_owned();
        let epoch = access.change("claim", None, |world| {
            let table = world.tables.entry(name).or_default();
            table.epoch += 1;
            table.version += 1;
            Ok(table.epoch)
        })?;
        Ok(Claim { access: access.clone(), table: table.to_owned(), epoch })
    }

    pub fn look(&self) -> Result<Table> {
        self.access.ask("load", |world| Ok(world.tables.get(&self.table).cloned().unwrap_or_default()))
    }

    /// Refuses a table that is not where a checkpoint left it, or further by nothing but what that has pending. Leaves out what
    /// was committed before the last commit, of what it has pending, the oldest first.
    pub fn fit(&self, state: &mut OutputState) -> Result<()> {
        let table = self.look()?;
        let pending = tokens(&state.pending);
        let is_pending = !table.tokens.is_empty() && table.tokens.iter().all(|token| pending.contains(token));
        if table.checkpoint != state.known && !is_pending {
            return Err(Error::invalid(format!(
                "table {} has checkpoint {}, and the job's checkpoint knows {}",
                self.table, table.checkpoint, state.known
            )));
        }
        let first = pending.iter().position(|token| table.tokens.contains(token)).unwrap_or(0);
        let is_earlier = |at: usize| at < first && checkpoint_of(&pending[at]) < table.checkpoint;
        let mut at = 0..;
        state.pending.retain(|_| at.next().is_none_or(|at| !is_earlier(at)));
        Ok(())
    }

    /// Copies data files that were pending of a savepoint to names of this claim, unless the table has them. Gives what is pending then.
    pub fn adopt(&self, saved: &Saved, pending: Vec<Committable>) -> Result<Vec<Committable>> {
        let table = self.look()?;
        let mut adopted = Vec::with_capacity(pending.len());
        for (count, committable) in pending.into_iter().enumerate() {
            let token = String::from_utf8_lossy(&committable.0).into_owned();
            let is_there = table.tokens.contains(&token) || table.earlier.contains(&token);
            if is_there {
                adopted.push(committable);
                continue;
            }
            let rows = saved.files.get(&(self.table.clone(), token.clone()));
            let rows = rows.ok_or_else(|| Error::invalid(format!("the savepoint has no copy of data file {token}")))?;
            let checkpoint = token.rsplit('-').next().unwrap_or_default();
            let copy = format!("{}-saved{count}-{checkpoint}", self.epoch);
            let key = (self.table.clone(), copy.clone());
            self.access.change("write file", None, |world| {
                world.files.insert(key, rows.clone());
                Ok(())
            })?;
            adopted.push(Committable(copy.into_bytes()));
        }
        Ok(adopted)
    }

    /// Deletes files of earlier epochs that nobody will commit.
    pub fn collect(&self, state: &OutputState) -> Result<()> {
        let pending = tokens(&state.pending);
        self.access.change("collect", None, |world| {
            let live = world.tables.get(&self.table).map(|table| table.files.clone()).unwrap_or_default();
            let epoch = self.epoch;
            let is_kept = |token: &String| {
                live.contains(token) || pending.contains(token) || epoch_of(token).is_none_or(|of| of >= epoch)
            };
            world.files.retain(|(table, token), _| *table != self.table || is_kept(token));
            Ok(())
        })
    }
}

fn tokens(committables: &[Committable]) -> Vec<String> {
    committables.iter().map(|one| String::from_utf8_lossy(&one.0).into_owned()).collect()
}

fn epoch_of(token: &str) -> Option<u64> {
    token.split('-').next()?.parse().ok()
}

fn checkpoint_of(token: &str) -> u64 {
    token.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Writes the rows of one worker to data files.
pub struct TableWriter {
    pub claim: Claim,
    pub worker: usize,
    pub rows: Vec<String>,
}

impl Sink for TableWriter {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.rows.extend(texts(batch)?);
        Ok(())
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<Option<Committable>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let token = format!("{}-{}-{checkpoint}", self.claim.epoch, self.worker);
        let (rows, key) = (std::mem::take(&mut self.rows), (self.claim.table.clone(), token.clone()));
        self.claim.access.change("write file", None, |world| {
            let is_new = world.files.insert(key, rows).is_none();
            world.check(is_new, || "a data file is written twice under a name".to_owned());
            Ok(())
        })?;
        Ok(Some(Committable(token.into_bytes())))
    }
}

/// Makes data files part of a table.
pub struct TableCommitter(pub Claim);

const ATTEMPTS_MAX: usize = 5;

impl Committer for TableCommitter {
    fn commit(&mut self, committables: Vec<Committable>) -> Result<()> {
        let Claim { access, table: name, epoch } = &self.0;
        let tokens = tokens(&committables);
        for _ in 0..ATTEMPTS_MAX {
            let table = self.0.look()?;
            let is_there = |token: &&String| table.tokens.contains(*token) || table.earlier.contains(*token);
            let added: Vec<String> = tokens.iter().filter(|token| !is_there(token)).cloned().collect();
            if added.is_empty() {
                return Ok(());
            }
            if table.epoch != *epoch && !access.has(Bug::EpochUnchecked) {
                return Err(Error::invalid(format!("fenced: table {name} has epoch {}, not {epoch}", table.epoch)));
            }
            let checkpoint = tokens.iter().map(|token| checkpoint_of(token)).max().unwrap_or(0);
            let request = CommitRequest {
                table: name.clone(),
                base: table.version,
                epoch: *epoch,
                checkpoint,
                tokens: tokens.clone(),
                added,
            };
            let flight = Flight::Commit(request.clone());
            let committed = access.change("commit", Some(flight), |world| Ok(world.commit(&request)));
            if committed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable)
                && access.has(Bug::FilesGoOnUnknown)
            {
                let mut world = access.shared.world();
                request.added.iter().for_each(|token| drop(world.files.remove(&(name.clone(), token.clone()))));
            }
            if committed? == Committed::Done {
                return Ok(());
            }
        }
        Err(Error::unavailable(format!("table {name} is changed by others all the time")))
    }
}

/// Where the writer of a topic goes on: the epoch of its producer, and how many rows it has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPosition {
    pub epoch: u64,
    pub rows: u64,
}

impl TopicPosition {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::new(1);
        out.u64(self.epoch);
        out.u64(self.rows);
        out.finish()
    }

    pub fn parse(bytes: &[u8]) -> Result<TopicPosition> {
        let mut from = ByteReader::new("the position of a topic's writer", bytes, 1)?;
        let (epoch, rows) = (from.u64()?, from.u64()?);
        from.end()?;
        Ok(TopicPosition { epoch, rows })
    }
}

/// How many partitions topics have that are written.
pub const PARTITIONS: usize = 2;

/// Writes rows to a topic as they come.
pub struct TopicSink {
    pub access: Arc<Access>,
    pub topic: String,
    pub position: TopicPosition,
    /// What was taken and not sent yet; nothing but where a rule is left out.
    pub unsent: Vec<(usize, u64, String)>,
}

impl TopicSink {
    /// Opens a topic, which shuts out the runs before. Gives how many rows it has after the position.
    pub fn open(access: &Arc<Access>, topic: &str, position: &TopicPosition) -> Result<u64> {
        let TopicPosition { epoch, rows } = *position;
        access.change("open topic", None, |world| {
            let topic = world.topics.entry(topic.to_owned()).or_default();
            topic.holder = access.run;
            topic.partitions.resize(PARTITIONS, Default::default());
            let of_epoch = topic.partitions.iter().filter(|written| written.epoch == epoch);
            let last = of_epoch.filter_map(|written| written.last).max();
            Ok(last.map_or(0, |last| last + 1).saturating_sub(rows))
        })
    }

    fn send(&self, messages: &[(usize, u64, String)]) -> Result<()> {
        let (half, from) = (messages.len() / 2, (self.access.run, self.position.epoch));
        // A request that is cut off leaves its first part.
        self.access.change("append", None, |world| world.append(&self.topic, from, &messages[..half]))?;
        self.access.change("append", None, |world| world.append(&self.topic, from, &messages[half..]))
    }
}

impl Sink for TopicSink {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let partition = |text: &str| text.bytes().map(usize::from).sum::<usize>() % PARTITIONS;
        let rows = texts(batch)?.into_iter().enumerate();
        let messages: Vec<_> =
            rows.map(|(row, text)| (partition(&text), self.position.rows + row as u64, text)).collect();
        self.position.rows += batch.rows() as u64;
        if self.access.has(Bug::TopicUnflushed) {
            let before = std::mem::replace(&mut self.unsent, messages);
            return self.send(&before);
        }
        self.send(&messages)
    }

    fn prepare(&mut self, _: u64) -> Result<Option<Committable>> {
        Ok(None)
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(self.position.to_bytes())
    }
}

/// Nothing is left to do for a topic.
pub struct TopicCommitter;

impl Committer for TopicCommitter {
    fn commit(&mut self, _: Vec<Committable>) -> Result<()> {
        Ok(())
    }
}
