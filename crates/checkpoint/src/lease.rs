//! The lease of checkpoints in a store: one run at a time, as long as it renews it.
//!
//! ```text
//! lease     who holds it, and a count that rises every two seconds; or that it is free
//! take      free, or of a run of this very folder of this machine, whose lock is ours: replaced as it was read.
//!           Else it is watched: it changes, and its holder lives; or it stays for eight seconds, and is replaced
//! ```
//!
//! What a run writes is safe without it, by epochs. It is there so that a second run is refused before it takes over.

use dataflow::{Clock, Error, ErrorKind, ProcessingTime, Result};
use object_stores::{ObjectFolder, Version};
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const LEASE: &str = "lease";
/// The first line of what a lease holds.
const HEAD: &str = "riverrun lease 1";
const FREE: &str = "free";

/// How often a lease is renewed.
const RENEW: Duration = Duration::from_secs(2);
/// How often one of another run is looked at, and how often it may be the same before it has lapsed: after eight seconds by
/// the clock of whoever looks.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u32 = 8;
/// How many others may take the lease at the same time.
const RIVALS_MAX: u32 = 20;

/// The right to put checkpoints into a folder of a store, until this is dropped or could not be renewed for long.
pub(crate) struct Lease {
    // Dropped first: its thread gives the lease back.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    lost: Arc<Mutex<Option<String>>>,
}

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    // Of this run alone.
    token: String,
    // The folder that the run holds on its machine.
    folder: String,
    /// The id of its process.
    pub process: u32,
    /// When it took the lease.
    pub since: ProcessingTime,
    /// The name of its machine.
    pub machine: String,
}

impl fmt::Display for LeaseHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {} since {}", self.process, self.machine, self.since)
    }
}

/// What is seen of a lease for a while.
enum Seen {
    /// It was renewed.
    Renewed,
    /// It is the same.
    Lapsed,
    /// Another run has it, or nobody.
    Moved,
}

impl LeaseHolder {
    /// This process, which holds a folder of this machine that has an id.
    pub fn own(folder: String, clock: &dyn Clock) -> LeaseHolder {
        let token = uuid::Uuid::new_v4().simple().to_string();
        LeaseHolder { token, folder, process: std::process::id(), since: clock.now(), machine: machine() }
    }

    fn bytes(&self, count: u64) -> Vec<u8> {
        let LeaseHolder { token, folder, process, since, machine } = self;
        format!("{HEAD}\n{token}\n{count}\n{folder}\n{process}\n{}\n{machine}\n", since.0).into_bytes()
    }

    /// Reads what a lease holds; none where it is free, or was written by nobody of ours.
    fn parse(bytes: &[u8]) -> Option<LeaseHolder> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        let mut line = || lines.next().map(str::to_owned);
        if line()? != HEAD {
            return None;
        }
        let (token, _count, folder) = (line()?, line()?, line()?);
        let (process, since) = (line()?.parse().ok()?, ProcessingTime(line()?.parse().ok()?));
        Some(LeaseHolder { token, folder, process, since, machine: line()? })
    }

    /// Whether a run that held the same folder of the same machine holds it.
    fn is_of(&self, own: &LeaseHolder) -> bool {
        (&self.folder, &self.machine) == (&own.folder, &own.machine)
    }
}

impl Lease {
    /// Waits until nobody holds the lease, or names who does; writes nothing. Gives a lease that has lapsed, which need not be
    /// watched again.
    pub fn look(objects: &ObjectFolder, own: &LeaseHolder) -> Result<Option<Vec<u8>>> {
        for _ in 0..RIVALS_MAX {
            let Some((bytes, _)) = objects.read_version(LEASE)? else { return Ok(None) };
            let Some(holder) = LeaseHolder::parse(&bytes).filter(|holder| !holder.is_of(own)) else { return Ok(None) };
            match watch(objects, &bytes)? {
                Seen::Renewed => return Err(held(objects, &holder)),
                Seen::Lapsed => return Ok(Some(bytes)),
                Seen::Moved => {}
            }
        }
        Err(too_fast(objects))
    }

    /// Takes the lease of a folder, or names who holds it. The caller holds the folder of this machine that `own` names, so
    /// that no other run that does is alive.
    pub fn take(objects: &ObjectFolder, own: LeaseHolder, lapsed: Option<&[u8]>) -> Result<Lease> {
        for _ in 0..RIVALS_MAX {
            match objects.read_version(LEASE)? {
                None => drop(objects.create(LEASE, &own.bytes(0))?),
                Some((bytes, version)) => match LeaseHolder::parse(&bytes) {
                    Some(holder) if holder.token == own.token => return Lease::keep(objects, own, version),
                    Some(holder) if !holder.is_of(&own) && lapsed != Some(&bytes) => match watch(objects, &bytes)? {
                        Seen::Renewed => return Err(held(objects, &holder)),
                        Seen::Moved => {}
                        Seen::Lapsed => replace(objects, &own, &version)?,
                    },
                    _ => replace(objects, &own, &version)?,
                },
            }
        }
        Err(too_fast(objects))
    }

    /// Renews a lease that was taken, on a thread of its own.
    fn keep(objects: &ObjectFolder, own: LeaseHolder, version: Version) -> Result<Lease> {
        let (lost, (stop, stopped)) = (Arc::new(Mutex::new(None)), channel());
        let (objects, tell) = (objects.clone(), lost.clone());
        let mut renewal = Renewal { objects, own, version, count: 0 };
        let thread = std::thread::Builder::new().name("lease".to_owned()).spawn(move || {
            if let Some(why) = renewal.run(&stopped) {
                *tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            }
        });
        let thread = thread.map_err(|error| Error::unavailable("no thread can be started").with_source(error))?;
        Ok(Lease { stop: Some(stop), thread: Some(thread), lost })
    }

    /// An error once another run has taken the lease over.
    pub fn check(&self) -> Result<()> {
        match &*self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(why) => Err(Error::invalid(why.clone())),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop = None;
        // One that has panicked has given nothing back, which costs the next run some seconds.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What the thread of a lease does.
struct Renewal {
    objects: ObjectFolder,
    own: LeaseHolder,
    version: Version,
    count: u64,
}

impl Renewal {
    /// Renews the lease until it is to be given back, or another run has it, which is told.
    fn run(&mut self, stopped: &Receiver<()>) -> Option<String> {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(RENEW) {
            self.count += 1;
            match self.objects.replace(LEASE, &self.own.bytes(self.count), &self.version) {
                Ok(Some(version)) => self.version = version,
                // The store may be away for a while; that others may take over then is what a lease is for.
                Err(_) => {}
                Ok(None) => match self.objects.read_version(LEASE) {
                    Ok(Some((bytes, version))) => match LeaseHolder::parse(&bytes) {
                        // An earlier request has been done whose answer was lost.
                        Some(holder) if holder.token == self.own.token => self.version = version,
                        holder => return Some(self.lost(holder.as_ref())),
                    },
                    Ok(None) => return Some(self.lost(None)),
                    Err(_) => {}
                },
            }
        }
        // Who comes next waits for it to lapse where this does not arrive.
        let _ = self.objects.replace(LEASE, format!("{HEAD}\n{FREE}\n").as_bytes(), &self.version);
        None
    }

    fn lost(&self, to: Option<&LeaseHolder>) -> String {
        let who = to.map_or_else(|| "somebody".to_owned(), LeaseHolder::to_string);
        format!(
            "{who} has taken over the checkpoints in \"{}\", since this run could not renew its lease of them for {} s or \
             more; only one run of a job may go on from its checkpoints, stop the other one first",
            self.objects.location(),
            LOOKS
        )
    }
}

/// Who holds the lease of a folder, if somebody does that lives. One that held a folder of this machine which nobody holds now
/// does not; any other is watched, for up to eight seconds.
pub(crate) fn living_holder(objects: &ObjectFolder, free: Option<&str>) -> Result<Option<LeaseHolder>> {
    let Some((bytes, _)) = objects.read_version(LEASE)? else { return Ok(None) };
    let Some(holder) = LeaseHolder::parse(&bytes) else { return Ok(None) };
    if Some(holder.folder.as_str()) == free && holder.machine == machine() {
        return Ok(None);
    }
    match watch(objects, &bytes)? {
        Seen::Renewed => Ok(Some(holder)),
        Seen::Lapsed | Seen::Moved => Ok(None),
    }
}

/// Looks at a lease until it changes or has lapsed.
#[expect(clippy::disallowed_methods, reason = "waits for another machine, which wakes nobody")]
fn watch(objects: &ObjectFolder, bytes: &[u8]) -> Result<Seen> {
    let token = |bytes: &[u8]| LeaseHolder::parse(bytes).map(|holder| holder.token);
    for _ in 0..LOOKS {
        std::thread::sleep(LOOK);
        match objects.read_version(LEASE)? {
            Some((now, _)) if now == bytes => {}
            Some((now, _)) if token(&now).is_some() && token(&now) == token(bytes) => return Ok(Seen::Renewed),
            _ => return Ok(Seen::Moved),
        }
    }
    Ok(Seen::Lapsed)
}

/// Takes the place of what is there; the next look tells whether that is done.
fn replace(objects: &ObjectFolder, own: &LeaseHolder, version: &Version) -> Result<()> {
    match objects.replace(LEASE, &own.bytes(0), version) {
        Err(error) if error.kind() != ErrorKind::Unavailable => Err(error),
        _ => Ok(()),
    }
}

fn too_fast(objects: &ObjectFolder) -> Error {
    Error::unavailable(format!("others take the lease \"{}\" faster than this run", objects.place_of(LEASE)))
}

fn held(objects: &ObjectFolder, holder: &LeaseHolder) -> Error {
    Error::invalid(format!(
        "the checkpoints in \"{}\" are held by {holder}, and only one run of a job may go on from them: stop that run, or \
         wait until it ends",
        objects.location()
    ))
}

/// The name of this machine.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "a machine without a name".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lease_is_read_as_it_was_written() {
        let clock = dataflow::ManualClock::new(ProcessingTime(7));
        let own = LeaseHolder::own("a-folder".to_owned(), &clock);
        assert_eq!(LeaseHolder::parse(&own.bytes(17)), Some(own.clone()));
        assert_ne!(own.bytes(17), own.bytes(18));
        for other in ["", "free", "riverrun lease 1\nfree\n", "riverrun lease 2\na\n0\nb\n1\n2\nc\n", "\u{1}\n\n\n"] {
            assert_eq!(LeaseHolder::parse(other.as_bytes()), None, "{other}");
        }
    }
}
