//! Whether a store can hold what is made once: it has to give a name to one of those that ask for it at the same moment.
//!
//! Two requests one after the other would not show it: there are stores that look whether a name is free, and then write.

use crate::object_folder::ObjectFolder;
use bytes::Bytes;
use dataflow::{Error, ErrorKind, Result};
use futures::future::join_all;

/// How many names are asked for, each by so many at once.
const ROUNDS: usize = 4;
const RIVALS: usize = 8;

/// What the names begin with; an id of 32 letters follows.
const PROBE: &str = "probe-";

/// Whether a name was made to find out what a store does; whoever is killed meanwhile leaves one.
pub fn is_probe(name: &str) -> bool {
    let id = name.strip_prefix(PROBE);
    id.is_some_and(|id| id.len() == 32 && id.bytes().all(|letter| letter.is_ascii_hexdigit()))
}

/// Finds out whether the store of a folder gives a name to one of those that ask for it at once, and shows what was written;
/// refused by name where it does not. Takes some dozens of requests.
pub fn check_exclusive(folder: &ObjectFolder) -> Result<()> {
    folder.wait_for(check(folder))
}

async fn check(folder: &ObjectFolder) -> Result<()> {
    let mut unknown = None;
    for _ in 0..ROUNDS {
        let name = format!("{PROBE}{}", uuid::Uuid::new_v4().simple());
        let checked = round(folder, &name).await;
        let removed = folder.delete_here(&name).await;
        match checked.and(removed) {
            Err(error) if error.kind() == ErrorKind::Unavailable => unknown = Some(error),
            done => done?,
        }
    }
    unknown.map_or(Ok(()), Err)
}

async fn round(folder: &ObjectFolder, name: &str) -> Result<()> {
    let bytes = |rival: usize| Bytes::from(format!("{name} {rival}"));
    let asked = join_all((0..RIVALS).map(async |rival| folder.create_here(name, &bytes(rival)).await)).await;
    let mut won = 0;
    for created in asked {
        match created {
            Ok(created) => won += usize::from(created),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(error) => return Err(error.context(unfit(folder, "it does not make an object only if there is none"))),
        }
    }
    if won != 1 {
        let what = format!("{won} of {RIVALS} that made one object at the same moment were told that it is theirs");
        return Err(Error::invalid(unfit(folder, &what)));
    }
    if folder.create_here(name, &bytes(RIVALS)).await? {
        return Err(Error::invalid(unfit(folder, "it takes a name twice")));
    }
    match folder.list_here().await?.0.iter().any(|found| found == name) {
        true => Ok(()),
        false => Err(Error::invalid(unfit(folder, "it does not list what was written"))),
    }
}

fn unfit(folder: &ObjectFolder, why: &str) -> String {
    format!(
        "the store of \"{}\" cannot hold checkpoints: {why}; expected a store with conditional writes (If-None-Match), as \
         those of Amazon, Google and Azure are",
        folder.location()
    )
}
