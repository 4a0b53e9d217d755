//! Whether a store can hold what is made once: it has to give a name to one of those that ask for it at the same moment.
//!
//! Two requests one after the other would not show it: there are stores that look whether a name is free, and then write.

use crate::object_folder::ObjectFolder;
use bytes::Bytes;
use dataflow::{Error, ErrorKind, ProcessingTime, Result, Span};
use futures::future::join_all;

/// How many names are asked for, each by so many at once.
const ROUNDS: usize = 4;
const RIVALS: usize = 8;

/// What the names begin with; the time in 16 hexadecimal digits, a hyphen and an id of 32 letters follow.
const PROBE: &str = "probe-";

/// For how long a probe is left alone, whatever the clocks of two machines say: who finds out what the store does would take
/// it for a name that was given twice, or is not shown, if another run removed it meanwhile.
const LEFT_AFTER: Span = Span::seconds(3600);

/// Whether a name was made to find out what a store does, by somebody who was killed meanwhile: one of the last hour may be
/// in use.
pub fn is_left_probe(name: &str, now: ProcessingTime) -> bool {
    let is_hex = |text: &str| text.bytes().all(|letter| letter.is_ascii_hexdigit());
    let Some(id) = name.strip_prefix(PROBE) else { return false };
    match id.split_once('-') {
        Some((at, id)) if at.len() == 16 && id.len() == 32 && is_hex(id) => {
            let at = i64::from_str_radix(at, 16);
            at.is_ok_and(|at| at.abs_diff(now.0) > LEFT_AFTER.0.unsigned_abs())
        }
        // Those of an older riverrun say no time.
        _ => id.len() == 32 && is_hex(id),
    }
}

/// Finds out whether the store of a folder gives a name to one of those that ask for it at once, and shows what was written;
/// refused by name where it does not. Takes some dozens of requests.
pub fn check_exclusive(folder: &ObjectFolder, now: ProcessingTime) -> Result<()> {
    folder.wait_for(check(folder, now))
}

async fn check(folder: &ObjectFolder, now: ProcessingTime) -> Result<()> {
    let mut unknown = None;
    for _ in 0..ROUNDS {
        let name = format!("{PROBE}{:016x}-{}", now.0.max(0), uuid::Uuid::new_v4().simple());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_left_alone_for_an_hour_by_whatever_clock() {
        let at = ProcessingTime(7_200_000_000);
        let id = "0123456789abcdef0123456789abcdef";
        let name = format!("{PROBE}{:016x}-{id}", at.0);
        for (now, is_left) in [(at.0, false), (at.0 + LEFT_AFTER.0, false), (at.0 + LEFT_AFTER.0 + 1, true), (0, true)]
        {
            assert_eq!(is_left_probe(&name, ProcessingTime(now)), is_left, "{now}");
        }
        assert!(is_left_probe(&format!("{PROBE}{id}"), at), "one of an older riverrun");
        for other in [format!("{PROBE}of a person"), format!("{PROBE}{:016x}-", at.0), format!("{PROBE}x-{id}")] {
            assert!(!is_left_probe(&other, at), "{other}");
        }
    }
}
