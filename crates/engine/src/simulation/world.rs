//! Everything outside a run that outlives it: objects of checkpoints, tables, topics that are written, and requests that
//! are on their way; and what goes wrong there.

use super::bugs::Bug;
use super::chance::{Chance, Trace};
use super::saved::{Asked, Saved};
use dataflow::{Error, EventTime, JobRows, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often things go wrong, of ten thousand requests or steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A run is killed at a request, before or after its effect.
    pub killed: usize,
    /// A request never arrives.
    pub lost: usize,
    /// It arrives, and nobody hears of it.
    pub unheard: usize,
    /// It arrives much later.
    pub late: usize,
    /// What is asked for is not answered.
    pub unanswered: usize,
    /// The store of checkpoints, or the catalog of tables, is away for some requests to come.
    pub away: usize,
    /// A topic that is read cannot be reached.
    pub unread: usize,
    /// A run that is followed by another goes on all the same.
    pub zombie: usize,
    /// The writers of outputs stand still for a while.
    pub slow: usize,
    /// The process is stopped in good order.
    pub stopped: usize,
    /// A run is killed before its last checkpoint.
    pub at_end: usize,
}

impl Faults {
    /// A random subset of all faults, each as often as chance says.
    pub fn draw(chance: &mut Chance) -> Faults {
        let mut rate = |rates: &[usize]| if chance.hits(6000) { chance.of(rates) } else { 0 };
        Faults {
            killed: rate(&[100, 300, 1000]),
            lost: rate(&[100, 500, 2000]),
            unheard: rate(&[100, 500, 2000]),
            late: rate(&[100, 500, 2000]),
            unanswered: rate(&[50, 200, 1000]),
            away: rate(&[50, 200]),
            unread: rate(&[5, 20]),
            zombie: rate(&[3000, 7000]),
            slow: rate(&[100, 300]),
            stopped: rate(&[3000]),
            at_end: 0,
        }
    }
}

/// A request that is on its way.
#[derive(Clone, Debug)]
pub enum Flight {
    Create(String, Vec<u8>),
    Delete(String),
    Commit(CommitRequest),
}

impl Flight {
    fn told(&self) -> String {
        match self {
            Flight::Create(name, _) => format!("create {name}"),
            Flight::Delete(name) => format!("delete {name}"),
            Flight::Commit(request) => format!("commit {} to {}", request.added.join(", "), request.table),
        }
    }
}

/// What a committer asks a catalog for: a change of the table as it was looked at.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    pub table: String,
    pub base: u64,
    pub epoch: u64,
    pub checkpoint: u64,
    pub tokens: Vec<String>,
    pub added: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Table {
    pub version: u64,
    /// Of the run that may write it.
    pub epoch: u64,
    /// The last checkpoint of which it has rows, and the tokens of the last commit.
    pub checkpoint: u64,
    pub tokens: BTreeSet<String>,
    /// Those of the commit before it. Snapshots expire, and all others with them.
    pub earlier: BTreeSet<String>,
    pub files: BTreeSet<String>,
}

/// A topic that is written.
#[derive(Clone, Debug, Default)]
pub struct WrittenTopic {
    /// The run that may write it.
    pub holder: u64,
    pub partitions: Vec<Written>,
}

/// A partition of it: the epoch of its last producer, and what it has.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub epoch: u64,
    pub last: Option<u64>,
    pub messages: Vec<(u64, u64, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    Done,
    Conflict,
}

pub struct World {
    pub chance: Chance,
    pub faults: Faults,
    pub bug: Option<Bug>,
    pub trace: Trace,
    pub objects: BTreeMap<String, Vec<u8>>,
    pub tables: BTreeMap<String, Table>,
    /// Data files, by table and token.
    pub files: BTreeMap<(String, String), Vec<String>>,
    pub topics: BTreeMap<String, WrittenTopic>,
    pub flights: Vec<Flight>,
    pub savepoints: Vec<Arc<Saved>>,
    /// For how many requests to come each is away.
    pub away: BTreeMap<&'static str, usize>,
    /// What the last durable checkpoint says, and the generation of the job that it is of.
    pub generation: u64,
    pub number: u64,
    pub watermarks: Vec<EventTime>,
    pub rows: JobRows,
    /// The epochs of runs that were to go on from a savepoint, and may have without hearing of it.
    pub saved_epochs: BTreeSet<u64>,
    /// Requests so far, and at which one the run is killed that makes it: before it arrives, or after.
    pub requests: u64,
    pub killed_at: Option<(u64, bool)>,
    /// Whether the last run that began had no checkpoint to go on from.
    pub began_anew: bool,
    /// How often each thing happened.
    pub counts: BTreeMap<&'static str, u64>,
    pub wrong: Option<String>,
    /// What is printed of a seed that is looked at.
    pub is_shown: bool,
}

impl World {
    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
        self.trace.text(what);
    }

    /// Notes what is wrong; the first thing counts.
    pub fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.wrong.is_none() {
            self.wrong = Some(what());
        }
    }

    pub fn show(&mut self, line: impl FnOnce() -> String) {
        if self.is_shown {
            println!("{}", line());
        }
    }

    /// Whether an output has rows.
    pub fn is_used(&self) -> bool {
        let mut partitions = self.topics.values().flat_map(|topic| &topic.partitions);
        partitions.any(|written| !written.messages.is_empty()) || self.tables.values().any(|t| !t.files.is_empty())
    }

    /// Lets a request that is on its way arrive.
    pub fn land(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let at = self.chance.below(self.flights.len());
        let flight = self.flights.remove(at);
        self.count("request that came late");
        self.show(|| format!("  late: {}", flight.told()));
        self.arrive(&flight);
    }

    pub fn arrive(&mut self, flight: &Flight) {
        match flight {
            Flight::Create(name, bytes) => drop(self.create(name, bytes)),
            Flight::Delete(name) => drop(self.objects.remove(name)),
            Flight::Commit(request) => drop(self.commit(request)),
        }
    }

    /// Whether the name was free.
    pub fn create(&mut self, name: &str, bytes: &[u8]) -> bool {
        if self.objects.contains_key(name) {
            return false;
        }
        self.objects.insert(name.to_owned(), bytes.to_vec());
        true
    }

    pub fn commit(&mut self, request: &CommitRequest) -> Committed {
        let CommitRequest { table: name, base, epoch, checkpoint, tokens, added } = request;
        let unpinned = self.has(Bug::CommitUnpinned);
        let table = self.tables.entry(name.clone()).or_default();
        if table.version != *base && !unpinned {
            return Committed::Conflict;
        }
        let (is_older, rises) = (*epoch < table.epoch, added.is_empty() || *checkpoint > table.checkpoint);
        let twice = added.iter().find(|token| table.files.contains(*token)).cloned();
        table.version += 1;
        table.checkpoint = table.checkpoint.max(*checkpoint);
        table.files.extend(added.iter().cloned());
        let before = std::mem::replace(&mut table.tokens, tokens.iter().cloned().collect());
        table.earlier = before;
        self.check(!is_older, || format!("a commit of epoch {epoch} to {name} after one of a later"));
        self.check(twice.is_none(), || format!("{name} has token {} twice", twice.unwrap_or_default()));
        self.check(rises, || format!("{name} has checkpoint {checkpoint} after a later one"));
        for token in added {
            let is_there = self.files.contains_key(&(name.clone(), token.clone()));
            self.check(is_there, || format!("{name} names a file that is gone: {token}"));
        }
        self.count("commit");
        Committed::Done
    }

    /// Appends messages of a producer's epoch to a topic; those that it has are not written again.
    pub fn append(&mut self, name: &str, (run, epoch): (u64, u64), messages: &[(usize, u64, String)]) -> Result<()> {
        let is_unfenced = self.has(Bug::TopicUnfenced);
        let topic =
            self.topics.get_mut(name).ok_or_else(|| Error::internal("a topic is written that was not opened"))?;
        if topic.holder != run && !is_unfenced {
            return Err(Error::invalid(format!("fenced: another run has opened topic {name}")));
        }
        let mut wrong = None;
        for (partition, sequence, payload) in messages {
            let written = &mut topic.partitions[*partition];
            if epoch < written.epoch {
                wrong = Some(format!("topic {name} gets rows of epoch {epoch} after those of {}", written.epoch));
            }
            if epoch > written.epoch {
                (written.epoch, written.last) = (epoch, None);
            }
            if written.last.is_none_or(|last| *sequence > last) {
                written.last = Some(*sequence);
                written.messages.push((epoch, *sequence, payload.clone()));
                continue;
            }
            let there = written.messages.iter().find(|(of, number, _)| (*of, *number) == (epoch, *sequence));
            if there.is_none_or(|(_, _, there)| there != payload) {
                wrong = Some(format!("topic {name}: row {sequence} comes again as another: {payload}"));
            }
        }
        self.check(wrong.is_none(), || wrong.unwrap_or_default());
        Ok(())
    }
}

/// What goes on beside a run: makes so many steps; whether it goes on after them.
pub type Zombie = Box<dyn FnMut(usize) -> bool + Send>;

/// What all runs share.
pub struct Shared {
    pub world: Mutex<World>,
    /// Runs that were taken for dead and are not.
    pub zombies: Mutex<Vec<Zombie>>,
}

impl Shared {
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass for what goes on beside a run: requests on their way arrive, and zombies make steps.
    pub fn disturb(&self, often: usize) {
        let (lands, steps) = {
            let mut world = self.world();
            let lands = world.chance.hits(often / 2);
            (lands, if world.chance.hits(often) { 1 + world.chance.below(40) } else { 0 })
        };
        if lands {
            self.world().land();
        }
        if steps > 0 {
            let mut zombies = std::mem::take(&mut *self.zombies.lock().unwrap());
            zombies.retain_mut(|zombie| zombie(steps));
            self.zombies.lock().unwrap().append(&mut zombies);
        }
    }
}

/// A run's way to the outside.
pub struct Access {
    pub shared: Arc<Shared>,
    pub run: u64,
    /// The savepoint that it was asked for.
    pub savepoint: Asked,
    is_dead: AtomicBool,
    has_successor: AtomicBool,
}

fn killed() -> Error {
    Error::internal("killed")
}

impl Access {
    pub fn new(shared: &Arc<Shared>, run: u64) -> Arc<Access> {
        let (is_dead, has_successor) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Access { shared: shared.clone(), run, savepoint: Asked::default(), is_dead, has_successor })
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Relaxed)
    }

    pub fn kill(&self) {
        self.is_dead.store(true, Relaxed);
    }

    pub fn is_succeeded(&self) -> bool {
        self.has_successor.load(Relaxed)
    }

    pub fn succeed(&self) {
        self.has_successor.store(true, Relaxed);
    }

    pub fn has(&self, bug: Bug) -> bool {
        self.shared.world().has(bug)
    }

    fn begin(&self, what: &'static str) -> Result<MutexGuard<'_, World>> {
        if self.is_dead() {
            return Err(killed());
        }
        self.shared.disturb(500);
        let mut world = self.shared.world();
        world.trace.add(self.run);
        world.trace.text(what);
        world.requests += 1;
        if self.is_killed(&mut world, false) {
            return Err(killed());
        }
        Ok(world)
    }

    /// Whether a topic cannot be reached now.
    pub fn reads_nothing(&self) -> bool {
        let mut world = self.shared.world();
        let often = world.faults.unread;
        let fails = world.chance.hits(often);
        if fails {
            world.count("topic that was away");
        }
        fails
    }

    /// Whether what is asked is away, for a while.
    fn is_away(world: &mut World, what: &'static str) -> bool {
        let of = if ["create", "delete", "read", "list"].contains(&what) { "store" } else { what };
        let left = world.away.get(of).copied().unwrap_or(0);
        let often = world.faults.away;
        if left == 0 && !world.chance.hits(often) {
            return false;
        }
        let left = if left == 0 { 1 + world.chance.below(60) } else { left };
        world.away.insert(of, left - 1);
        world.count("request to what was away");
        true
    }

    fn is_killed(&self, world: &mut World, is_done: bool) -> bool {
        let often = world.faults.killed;
        let is_killed = world.chance.hits(often) || world.killed_at == Some((world.requests, is_done));
        if is_killed {
            self.killed_at_request(world);
        }
        is_killed
    }

    fn killed_at_request(&self, world: &mut World) {
        world.count("kill at a request");
        let run = self.run;
        world.show(|| format!("  run {run} is killed at a request"));
        self.kill();
    }

    /// Before its last checkpoint a run may have put out what it puts out at its end alone.
    pub fn meets_end(&self) -> Result<()> {
        let mut world = self.shared.world();
        let often = world.faults.at_end;
        if often > 0 && world.chance.hits(often) {
            world.count("kill at an end");
            self.killed_at_request(&mut world);
            return Err(killed());
        }
        Ok(())
    }

    /// Asks for something.
    pub fn ask<T>(&self, what: &'static str, ask: impl FnOnce(&mut World) -> Result<T>) -> Result<T> {
        let mut world = self.begin(what)?;
        let often = world.faults.unanswered;
        if world.chance.hits(often) || Access::is_away(&mut world, what) {
            world.count("question without an answer");
            return Err(Error::unavailable(format!("{what}: no answer")));
        }
        ask(&mut world)
    }

    /// Has something changed. What may come late says what it is then.
    pub fn change<T>(
        &self,
        what: &'static str,
        flight: Option<Flight>,
        change: impl FnOnce(&mut World) -> Result<T>,
    ) -> Result<T> {
        let mut world = self.begin(what)?;
        let Faults { lost, unheard, late, .. } = world.faults;
        let no_answer = || Err(Error::unavailable(format!("{what}: no answer")));
        if world.chance.hits(lost) || Access::is_away(&mut world, what) {
            world.count("request that was lost");
            return no_answer();
        }
        if let Some(flight) = flight
            && world.chance.hits(late)
        {
            world.flights.push(flight);
            world.count("request on its way");
            return no_answer();
        }
        let run = self.run;
        world.show(|| format!("  run {run}: {what}"));
        let done = change(&mut world);
        if self.is_killed(&mut world, true) {
            return Err(killed());
        }
        if world.chance.hits(unheard) {
            world.count("request without an answer");
            return no_answer();
        }
        done
    }
}
