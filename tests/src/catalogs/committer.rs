//! A committer of a table in a folder as a process of its own, which a test kills, pauses, and takes up again.
//!
//! ```text
//! start   -> epoch in the table -> what is kept and not done is committed -> the next row
//! one row -> file of it -> committable is kept, durably, under its number -> commit -> number is done
//! ```

use super::contention::{TABLE, prepared, rows};
use crate::machine::{SECOND, now, pause};
use checkpoint::{Created, Folder, Store};
use connector_iceberg::{TableClaim, Warehouse};
use dataflow::{Committable, Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// The end of a process whose place another one has taken.
pub const FENCED: i32 = 3;
/// The end of a process whose disk takes nothing.
pub const REFUSED: i32 = 4;

/// How long a catalog may not answer.
const PATIENCE: i64 = 120 * SECOND;
/// How often it is looked whether the next commit may begin.
const LOOK: i64 = SECOND / 500;

/// What a committer works with.
#[derive(Clone, Debug)]
pub struct CommitterPlace {
    /// The folder of the warehouse as this run sees it, with locks of its own.
    pub machine: PathBuf,
    /// What all runs of this committer keep.
    pub state: PathBuf,
    /// A file with the number of commits that are allowed so far.
    pub pace: PathBuf,
    /// Which one it is.
    pub committer: usize,
    /// How many commits it is to make.
    pub commits: usize,
}

impl CommitterPlace {
    /// As one line of text.
    pub fn to_text(&self) -> String {
        let CommitterPlace { machine, state, pace, committer, commits } = self;
        [machine, state, pace].map(|path| path.display().to_string()).join("\n") + &format!("\n{committer}\n{commits}")
    }

    /// From that text.
    pub fn from_text(text: &str) -> CommitterPlace {
        let [machine, state, pace, committer, commits] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("the place of a committer has five lines");
        };
        let number = |text: &str| text.parse().expect("a number");
        let (committer, commits) = (number(committer), number(commits));
        CommitterPlace { machine: machine.into(), state: state.into(), pace: pace.into(), committer, commits }
    }

    /// Whether a commit has been kept and is not known to be done.
    pub fn is_committing(&self) -> bool {
        let names = self.names();
        names.iter().any(|name| name.strip_suffix(KEPT).is_some_and(|number| !names.contains(&done(number))))
    }

    /// How many commits are done.
    pub fn done(&self) -> usize {
        self.names().iter().filter(|name| name.ends_with(DONE)).count()
    }

    fn names(&self) -> Vec<String> {
        Folder::create(&self.state).and_then(|state| state.list("")).expect("the state can be listed")
    }

    /// Makes the commits that are missing; gives the code that the process ends with.
    pub fn run(&self) -> i32 {
        let Err(error) = self.commit_all() else { return 0 };
        eprintln!("{}", error.chain());
        match error.kind() {
            ErrorKind::Refused => REFUSED,
            ErrorKind::Invalid if error.chain().contains("fenced") => FENCED,
            _ => 1,
        }
    }

    fn commit_all(&self) -> Result<()> {
        let claim = until_answered(&mut || Warehouse::open(&self.machine)?.claim(TABLE, &sink(self.committer)))?;
        let state = until_answered(&mut || Folder::create(&self.state))?;
        for number in 0..self.commits {
            let name = format!("{number:04}");
            if state.read(&done(&name))?.is_some() {
                continue;
            }
            self.wait_for(number);
            self.commit(&claim, &state, &name, number)?;
        }
        Ok(())
    }

    fn commit(&self, claim: &TableClaim, state: &Folder, name: &str, number: usize) -> Result<()> {
        let kept = until_answered(&mut || state.read(&format!("{name}{KEPT}")))?;
        let committable = match kept {
            Some(kept) => Committable(kept),
            None => {
                let row = rows(self.committer, number);
                let made = until_answered(&mut || prepared(claim, &row, number as u64 + 1))?;
                match until_answered(&mut || state.create(&format!("{name}{KEPT}"), &made.0))? {
                    Created::New => made,
                    Created::Exists => return Err(Error::invalid("fenced: another run has kept this commit")),
                }
            }
        };
        let mut committer = claim.committer();
        until_answered(&mut || committer.commit(vec![committable.clone()]))?;
        until_answered(&mut || state.create(&done(name), b"")).map(drop)
    }

    fn wait_for(&self, number: usize) {
        let is_allowed = |text: String| text.trim().parse::<usize>().is_ok_and(|allowed| number < allowed);
        while !std::fs::read_to_string(&self.pace).is_ok_and(is_allowed) {
            pause(LOOK);
        }
    }
}

const KEPT: &str = ".kept";
const DONE: &str = ".done";

fn done(name: &str) -> String {
    format!("{name}{DONE}")
}

/// The name of a committer as a sink.
pub fn sink(committer: usize) -> String {
    format!("sink_{committer}")
}

/// A folder that is the same warehouse as another one sees, with locks of its own: as another machine would have it.
pub fn another_machine(folder: &Path, warehouse: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder can be made");
    let catalog = folder.join("catalog.db");
    std::os::unix::fs::symlink(warehouse.join("catalog.db"), catalog).expect("the catalog can be linked to");
    folder.to_owned()
}

/// Tries as the host of a job does: as long as the catalog or the disk does not answer.
fn until_answered<T>(attempt: &mut dyn FnMut() -> Result<T>) -> Result<T> {
    let begun = now();
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::Unavailable && now() < begun + PATIENCE => pause(SECOND / 50),
            other => return other,
        }
    }
}
