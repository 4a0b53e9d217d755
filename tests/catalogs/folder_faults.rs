//! Committers of a table in a folder, each a process: killed in the middle of a commit, paused until another one has taken
//! their place, shut out of the catalog, and without room on the disk.

use crate::faults::number;
use crate::read_by_others;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::catalogs::{
    CommitterPlace, FENCED, REFUSED, TABLE, another_machine, can_start, keep_in_order, lost_and_doubled, options, rows,
    sink,
};
use tests::machine::{SECOND, now, pause};
use tests::{Chance, Program};

const COMMITTERS: usize = 8;
/// So many snapshots stay while the table is kept in order beside them.
const SNAPSHOTS_KEPT: u32 = 5;
/// What is wrong now and then.
const KINDS: [&str; 4] = ["killed", "paused", "shut out", "no room"];
/// The variable that makes a process of this binary a committer.
const PLACE: &str = "RIVERRUN_TEST_COMMITTER";
/// How long all of it may take after the last fault.
const REST: i64 = 300 * SECOND;

/// Not a test by itself: what a committer's process runs.
#[test]
fn a_committer() {
    if let Ok(place) = std::env::var(PLACE) {
        std::process::exit(CommitterPlace::from_text(&place).run());
    }
}

#[test]
fn committers_that_are_killed_paused_and_shut_out_lose_and_double_nothing() {
    if !can_start() {
        return;
    }
    let (commits, faults) = (number("CATALOG_COMMITS", 5), number("CATALOG_FAULTS", 24));
    let folder = tempfile::tempdir().unwrap();
    let mut trial = Trial::new(folder.path(), commits, number("CATALOG_SEED", 1) as u64);
    let machine = another_machine(&folder.path().join("keeper"), &trial.warehouse);
    let (keeper, is_done) = (connector_iceberg::Warehouse::open(&machine).unwrap(), AtomicBool::new(false));
    let compactions = std::thread::scope(|scope| {
        let done = Done(&is_done);
        let keeping = scope.spawn(|| keep_in_order(&keeper, &is_done, SNAPSHOTS_KEPT));
        trial.run(faults);
        drop(done);
        keeping.join().expect("who keeps the table in order comes to an end")
    });
    eprintln!(
        "{COMMITTERS} committers of {commits} commits each, faults {:?}, {}, {compactions} compactions",
        trial.faults,
        trial.told()
    );
    assert!(compactions > 0);
    assert_eq!(trial.lost_and_doubled(COMMITTERS), (0, 0));
    assert_eq!(trial.faults.values().sum::<usize>(), faults);
    let missing: Vec<_> = KINDS.iter().filter(|kind| !trial.faults.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "nobody was {missing:?}: take another CATALOG_SEED, or more CATALOG_FAULTS");
}

/// An acknowledged commit was lost where the error of a sync that SQLite meets was thrown away.
#[test]
fn a_sync_that_fails_acknowledges_nothing_that_is_not_there() {
    if !can_start() {
        return;
    }
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("THE TEST OF SYNCS THAT FAIL DOES NOT RUN: there is no strace");
        return;
    }
    let (commits, folder) = (20, tempfile::tempdir().unwrap());
    let mut trial = Trial::new(folder.path(), commits, 1);
    trial.allow(commits);
    let (state, pace) = (folder.path().join("state-of-one"), folder.path().join("pace"));
    let mut place = CommitterPlace { machine: PathBuf::new(), state, pace, committer: 0, commits };
    let (begun, mut failed) = (now(), 0);
    loop {
        place = trial.on_a_machine(place);
        let trace = folder.path().join(format!("trace-{}", trial.starts));
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=9+23"]);
        command.arg("-o").arg(&trace).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "folder_faults::a_committer", "--nocapture"]).env(PLACE, place.to_text());
        let ended = Program::spawn(command).ended(REST).expect("a committer comes to an end");
        failed += std::fs::read_to_string(trace).unwrap().matches("(INJECTED)").count();
        match ended.code {
            Some(0) => break,
            // Who has kept a commit and does not know it looks for it as the next run.
            Some(FENCED | REFUSED) => assert!(now() < begun + REST, "no end: {}", ended.told),
            code => panic!("the committer gave up with {code:?}: {}", ended.told),
        }
    }
    assert!(failed > 5, "{failed} syncs failed");
    assert_eq!(trial.lost_and_doubled(1), (0, 0));
}

/// Lets who keeps the table in order come to an end, also when a test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The committers, and what has happened to them.
struct Trial {
    folder: PathBuf,
    warehouse: PathBuf,
    commits: usize,
    chance: Chance,
    committers: Vec<Process>,
    // Those whose place another one has taken, until they notice.
    replaced: Vec<Program>,
    starts: usize,
    faults: BTreeMap<&'static str, usize>,
    // How many were killed while a commit was under way, were fenced, and ended since their disk took nothing.
    in_commit: usize,
    fenced: usize,
    refused: usize,
}

struct Process {
    place: CommitterPlace,
    program: Program,
    is_over: bool,
}

impl Trial {
    /// A table, and nobody yet who commits to it.
    fn new(folder: &Path, commits: usize, seed: u64) -> Trial {
        let warehouse = folder.join("warehouse");
        let opened = connector_iceberg::Warehouse::open(&warehouse).unwrap();
        for committer in 0..COMMITTERS {
            // All are known to the table before the first fault.
            let claim = opened.claim(TABLE, &sink(committer)).unwrap();
            claim.create(&rows(0, 0).schema(), &options()).unwrap();
        }
        Trial {
            folder: folder.to_owned(),
            warehouse,
            commits,
            chance: Chance::new(seed),
            committers: Vec::new(),
            replaced: Vec::new(),
            starts: 0,
            faults: BTreeMap::new(),
            in_commit: 0,
            fenced: 0,
            refused: 0,
        }
    }

    /// Lets all committers make all their commits, while so many faults happen.
    fn run(&mut self, faults: usize) {
        self.begin_all();
        for done in 0..faults {
            // The last commit of each is made after the last fault, so that no fault comes too late.
            self.allow((self.commits * (done + 1) / faults).min(self.commits - 1));
            self.one_fault();
            self.look_after();
        }
        self.allow(self.commits);
        let begun = now();
        while !self.look_after() {
            assert!(now() < begun + REST, "the committers do not come to an end");
            pause(SECOND / 20);
        }
    }

    fn begin_all(&mut self) {
        self.allow(0);
        for committer in 0..COMMITTERS {
            let (state, pace) = (self.folder.join(format!("state-{committer}")), self.folder.join("pace"));
            let place = CommitterPlace { machine: PathBuf::new(), state, pace, committer, commits: self.commits };
            let process = self.begin(place);
            self.committers.push(process);
        }
    }

    /// The place of a committer as its next process sees it, which has a machine of its own.
    fn on_a_machine(&mut self, place: CommitterPlace) -> CommitterPlace {
        self.starts += 1;
        let machine = another_machine(&self.folder.join(format!("machine-{}", self.starts)), &self.warehouse);
        CommitterPlace { machine, ..place }
    }

    /// Starts a committer's process.
    fn begin(&mut self, place: CommitterPlace) -> Process {
        let place = self.on_a_machine(place);
        // A file that may not grow is an error then, and not the end of the process.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "folder_faults::a_committer", "--nocapture"]).env(PLACE, place.to_text());
        Process { place, program: Program::spawn(command), is_over: false }
    }

    fn begin_again(&mut self, committer: usize) -> Program {
        let process = self.begin(self.committers[committer].place.clone());
        std::mem::replace(&mut self.committers[committer], process).program
    }

    fn one_fault(&mut self) {
        let kind = KINDS[self.chance.below(KINDS.len() as u64) as usize];
        let committer = self.chance.below(COMMITTERS as u64) as usize;
        *self.faults.entry(kind).or_default() += 1;
        match kind {
            "killed" => self.kill(),
            "paused" => self.pause(committer),
            "shut out" => self.shut_out(),
            _ => self.take_room(committer),
        }
        pause(self.chance.below(50) as i64 * SECOND / 1000);
    }

    /// Kills a committer that is in the middle of a commit, or any where none is so for a while.
    fn kill(&mut self) {
        let (first, begun) = (self.chance.below(COMMITTERS as u64) as usize, now());
        let mut committer = first;
        while !self.committers[committer].place.is_committing() && now() < begun + SECOND / 2 {
            committer = (committer + 1) % COMMITTERS;
            pause(SECOND / 5000);
        }
        pause(self.chance.below(15_000) as i64);
        if self.ended(committer).is_none() {
            self.committers[committer].program.signal("KILL");
        }
        self.in_commit += usize::from(self.committers[committer].place.is_committing());
        self.begin_again(committer);
    }

    /// Pauses a committer until another process has taken its place, or can do nothing since it holds the catalog.
    fn pause(&mut self, committer: usize) {
        if self.ended(committer).is_some() {
            self.begin_again(committer);
            return;
        }
        let program = &self.committers[committer].program;
        program.signal("STOP");
        let id = program.id();
        let before = self.committers[committer].place.done();
        let paused = self.begin_again(committer);
        let begun = now();
        while self.committers[committer].place.done() == before && now() < begun + 2 * SECOND {
            pause(SECOND / 100);
        }
        assert_eq!(paused.id(), id);
        paused.signal("CONT");
        self.replaced.push(paused);
    }

    /// Holds the catalog as another process does; now and then for longer than SQLite waits.
    fn shut_out(&mut self) {
        let catalog = Connection::open(self.warehouse.join("catalog.db")).unwrap();
        catalog.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
        catalog.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let millis = if self.chance.below(10) == 0 { 6000 } else { 50 + self.chance.below(800) };
        pause(millis as i64 * SECOND / 1000);
        catalog.execute_batch("ROLLBACK").unwrap();
    }

    /// Lets no file of a process grow beyond some kilobytes for a while.
    fn take_room(&mut self, committer: usize) {
        let limit = self.chance.below(60_000).to_string();
        let millis = 50 + self.chance.below(300);
        for limit in [limit.as_str(), "unlimited"] {
            if self.ended(committer).is_none() {
                let id = self.committers[committer].program.id().to_string();
                let mut change = Command::new("prlimit");
                // The process may have ended since it was looked for.
                let _ = change.args(["--pid", &id, &format!("--fsize={limit}:unlimited")]).output().unwrap();
            }
            if limit != "unlimited" {
                pause(millis as i64 * SECOND / 1000);
            }
        }
    }

    /// How the process of a committer has ended, if it has.
    fn ended(&mut self, committer: usize) -> Option<Option<i32>> {
        self.committers[committer].program.ended(0).map(|ended| ended.code)
    }

    fn allow(&self, commits: usize) {
        let unfinished = self.folder.join("pace.new");
        std::fs::write(&unfinished, commits.to_string()).unwrap();
        std::fs::rename(unfinished, self.folder.join("pace")).unwrap();
    }

    /// Starts what has ended by a fault again; true when all have made all their commits.
    fn look_after(&mut self) -> bool {
        for committer in 0..COMMITTERS {
            if self.committers[committer].is_over {
                continue;
            }
            let Some(ended) = self.committers[committer].program.ended(0) else { continue };
            match ended.code {
                Some(0) => self.committers[committer].is_over = true,
                Some(FENCED) => self.fenced += 1,
                Some(REFUSED) => self.refused += 1,
                code => panic!("committer {committer} gave up with {code:?}: {}", ended.told),
            }
            if ended.code != Some(0) {
                self.begin_again(committer);
            }
        }
        let mut still = Vec::new();
        for mut program in std::mem::take(&mut self.replaced) {
            match program.ended(0) {
                None => still.push(program),
                Some(ended) => {
                    assert!(matches!(ended.code, Some(0 | FENCED | REFUSED)), "{:?}: {}", ended.code, ended.told);
                    self.fenced += usize::from(ended.code == Some(FENCED));
                }
            }
        }
        self.replaced = still;
        self.replaced.is_empty() && self.committers.iter().all(|committer| committer.is_over)
    }

    /// How many commits are not in the table, and how many more than once, as PyIceberg reads it.
    fn lost_and_doubled(&self, committers: usize) -> (usize, usize) {
        let catalog = format!("sqlite:///{}", self.warehouse.join("catalog.db").display());
        let row = |line: String| {
            let (committer, number) = line.split_once(',').unwrap();
            (committer.parse().unwrap(), number.parse().unwrap())
        };
        let found: Vec<(i64, i64)> = read_by_others(&catalog, TABLE, None, &[]).into_iter().map(row).collect();
        lost_and_doubled(&found, (committers, self.commits))
    }

    fn told(&self) -> String {
        let Trial { starts, in_commit, fenced, refused, .. } = self;
        format!("{starts} starts, {in_commit} killed in a commit, {fenced} fenced, {refused} without room")
    }
}
