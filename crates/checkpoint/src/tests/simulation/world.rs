//! The objects, the requests on their way, and the checks, which see everything.

use super::chance::Chance;
use super::job::Job;
use crate::manifest::Manifest;
use crate::names;
use crate::reading;
use crate::store::{Created, Store};
use crate::tests::objects::Objects;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many checkpoints are kept.
pub const KEPT: usize = 2;

/// A change that is asked for.
#[derive(Clone)]
pub enum Change {
    Create(String, Vec<u8>),
    Delete(String),
}

/// What kind of a store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Like a folder: who hears nothing asks again.
    Syncing,
    /// A folder whose files a power cut may take.
    Unsynced,
    /// Like an object store: a request of which nothing was heard is made again, and these very bytes under the name are
    /// taken for its own.
    Finding,
}

/// All that there is.
pub struct World {
    pub chance: Chance,
    pub job: Job,
    pub objects: Objects,
    /// Savepoints, which no run changes.
    pub savepoints: Vec<Arc<Objects>>,
    /// Requests that arrive later.
    pub flights: Vec<Change>,
    /// Objects that a power cut may take.
    unsynced: BTreeSet<String>,
    pub kind: StoreKind,
    /// How often in ten thousand a request goes wrong.
    pub unreliable: usize,
    /// How often in ten thousand a row is followed by a checkpoint.
    pub freezes: usize,
    /// Rows that are there to be read.
    pub end: usize,
    pub closing: bool,
    /// The greatest number that a run was told is durable.
    promised: u64,
    /// By epoch, the greatest number of a manifest that was put.
    put: BTreeMap<u64, u64>,
    pub seen: BTreeMap<&'static str, usize>,
    /// The first check that failed.
    pub wrong: Option<String>,
    pub is_tracing: bool,
}

impl World {
    pub fn new(seed: u64, kind: StoreKind, is_tracing: bool) -> World {
        let mut chance = Chance(seed);
        let job = Job::new(&mut chance);
        let (unreliable, freezes) = (chance.of(&[0, 300, 1500]), chance.of(&[1000, 3000, 7000]));
        World {
            end: chance.below(6).min(job.rows.len()),
            chance,
            job,
            objects: Objects::default(),
            savepoints: Vec::new(),
            flights: Vec::new(),
            unsynced: BTreeSet::new(),
            kind,
            unreliable,
            freezes,
            closing: false,
            promised: 0,
            put: BTreeMap::new(),
            seen: BTreeMap::new(),
            wrong: None,
            is_tracing,
        }
    }

    pub fn trace(&self, text: impl FnOnce() -> String) {
        if self.is_tracing {
            println!("{}", text());
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_insert(0) += 1;
    }

    pub fn check(&mut self, right: bool, what: &str) {
        if !right && self.wrong.is_none() {
            self.trace(|| format!("WRONG: {what}"));
            self.wrong = Some(what.to_owned());
        }
    }

    /// Whether a request is answered, and whether it is carried out now.
    pub fn fate(&mut self, change: Option<&Change>) -> (bool, bool) {
        let unreliable = self.unreliable;
        if !self.chance.hits(unreliable) {
            return (true, true);
        }
        let (fate, is_done) = self.chance.of(&[("unheard", true), ("lost", false), ("late", false)]);
        self.count(fate);
        if fate == "late" {
            self.flights.extend(change.cloned());
        }
        (false, is_done)
    }

    pub fn change(&mut self, change: &Change) -> Created {
        match change {
            Change::Create(name, bytes) => self.create(name, bytes),
            Change::Delete(name) => {
                let _ = self.objects.delete(name);
                self.unsynced.remove(name);
                if name.starts_with(names::STATE) {
                    self.check_named();
                }
                Created::Exists
            }
        }
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> Created {
        let before = self.newest();
        let created = self.objects.create(name, bytes).unwrap();
        self.trace(|| format!("  {name}: {created:?}"));
        if created == Created::Exists {
            let same = self.objects.read(name).unwrap().is_some_and(|found| found == bytes);
            self.check(same || !name.starts_with(names::STATE), "state written twice under a name");
            return created;
        }
        if !(self.kind != StoreKind::Unsynced) {
            self.unsynced.insert(name.to_owned());
        }
        if let Some(newest) = self.newest().filter(|newest| names::manifest(newest.number) == name) {
            self.put.insert(newest.epoch, newest.number);
            let is_earlier = before.as_ref().is_some_and(|before| before.facts.generation > newest.facts.generation);
            self.check(!is_earlier, "manifest of an earlier generation after one of a later");
            let is_zombie = before.is_some_and(|before| before.epoch > newest.epoch);
            self.check(!is_zombie, "manifest of a zombie after its successor's");
            self.check_named();
            self.check_state(&newest);
        }
        created
    }

    pub fn newest(&mut self) -> Option<Manifest> {
        let number = *names::manifests(&self.objects).unwrap().last()?;
        self.manifest(number)
    }

    /// A manifest that is there; what runs have put can be read.
    fn manifest(&mut self, number: u64) -> Option<Manifest> {
        match reading::manifest(&self.objects, number) {
            Ok(manifest) => manifest,
            Err(e) => {
                self.check(false, &e.chain());
                None
            }
        }
    }

    /// A run was told that its manifest is durable: it or a later one is there.
    pub fn promise(&mut self, epoch: u64) {
        self.promised = self.promised.max(self.put.get(&epoch).copied().unwrap_or(u64::MAX));
        self.check_promise();
    }

    fn check_promise(&mut self) {
        let newest = self.newest().map_or(0, |newest| newest.number);
        self.check(newest >= self.promised, "durable checkpoint is gone");
    }

    fn check_state(&mut self, manifest: &Manifest) {
        match reading::restore(&self.objects, manifest) {
            Ok(restored) => {
                let right = self.job.is_right(&manifest.facts, &restored);
                self.check(right, "state in a manifest differs from the naive run's");
            }
            Err(e) => self.check(false, &format!("state in a manifest cannot be read: {e}")),
        }
    }

    /// Kept manifests of the newest generation name only what is there; nothing is taken up from earlier ones.
    fn check_named(&mut self) {
        let numbers = names::manifests(&self.objects).unwrap();
        let kept = numbers[numbers.len().saturating_sub(KEPT)..].iter();
        let kept: Vec<Manifest> = kept.filter_map(|&number| self.manifest(number)).collect();
        let newest = kept.last().map(|newest| newest.facts.generation);
        for manifest in kept.iter().filter(|kept| Some(kept.facts.generation) == newest) {
            let there = manifest.files.iter().all(|file| self.objects.read(&file.name).unwrap().is_some());
            self.check(there, "state that a manifest names is gone");
        }
    }

    /// The power goes: requests on their way are lost, and what was not synced may be.
    pub fn power_cut(&mut self) {
        self.flights.clear();
        for name in std::mem::take(&mut self.unsynced) {
            if self.chance.hits(5000) {
                let _ = self.objects.delete(&name);
            }
        }
        self.check_named();
        self.check_promise();
    }

    /// Nothing is left but what kept manifests name.
    pub fn check_end(&mut self) {
        let numbers = names::manifests(&self.objects).unwrap();
        let mut named = BTreeSet::new();
        for &number in &numbers {
            let files = self.manifest(number).map(|manifest| manifest.files).unwrap_or_default();
            named.extend(files.into_iter().map(|file| file.name));
        }
        let states: BTreeSet<String> = self.objects.list(names::STATE).unwrap().into_iter().collect();
        self.check(numbers.len() == KEPT && named == states, "garbage after collection");
        self.check(names::epochs(&self.objects).unwrap().len() == 1, "epochs of runs that are dead are left");
    }
}
