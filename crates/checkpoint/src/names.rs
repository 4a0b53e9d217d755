//! The names of objects.
//!
//! ```text
//! epoch-<epoch>              a run has this epoch
//! manifest-<number>          a checkpoint
//! state-<epoch>-<serial>     pieces of state, written by the run of this epoch
//! ```
//!
//! Numbers have ten digits, so that a list of names is in their sequence.

use crate::store::Store;
use dataflow::Result;

const EPOCH: &str = "epoch-";
const MANIFEST: &str = "manifest-";
pub(crate) const STATE: &str = "state-";

const DIGITS: usize = 10;

/// The name of a run's epoch.
pub(crate) fn epoch(epoch: u64) -> String {
    format!("{EPOCH}{epoch:010}")
}

/// The name of a manifest.
pub(crate) fn manifest(number: u64) -> String {
    format!("{MANIFEST}{number:010}")
}

/// The name of a file of state.
pub(crate) fn state(epoch: u64, serial: u64) -> String {
    format!("{STATE}{epoch:010}-{serial:010}")
}

/// The epoch of a file of state, if the name is that of one.
pub(crate) fn epoch_of_state(name: &str) -> Option<u64> {
    let (of_run, serial) = name.strip_prefix(STATE)?.split_once('-')?;
    let (of_run, serial) = (of_run.parse().ok()?, serial.parse().ok()?);
    (state(of_run, serial) == name).then_some(of_run)
}

/// The numbers of the runs' epochs, in their sequence.
pub(crate) fn epochs(store: &dyn Store) -> Result<Vec<u64>> {
    numbers(store, EPOCH, epoch)
}

/// The numbers of the manifests, in their sequence.
pub(crate) fn manifests(store: &dyn Store) -> Result<Vec<u64>> {
    numbers(store, MANIFEST, manifest)
}

/// What stands beside ours, say copies that a person made, is left alone.
fn numbers(store: &dyn Store, prefix: &str, name_of: fn(u64) -> String) -> Result<Vec<u64>> {
    let of = |name: &String| name.strip_prefix(prefix).filter(|digits| digits.len() == DIGITS)?.parse().ok();
    let names = store.list(prefix)?;
    Ok(names.iter().filter_map(|name| of(name).filter(|&number| name_of(number) == *name)).collect())
}
