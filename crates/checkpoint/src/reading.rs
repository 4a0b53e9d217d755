//! Reads checkpoints: the newest manifest, and the state that a manifest names.

use crate::folder::Folder;
use crate::manifest::{Manifest, Piece, StateFile};
use crate::names;
use crate::store::Store;
use dataflow::{Error, RestoredJob, Result, Scope, StepState};
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// How often a manifest may be collected between the moment when it is seen and that when it is read.
const LOOKS_MAX: usize = 100;

/// The newest checkpoint in a folder, whoever holds it; its state is not read, and nothing is written.
pub fn look(folder: &Path) -> Result<Option<Manifest>> {
    match folder.exists() {
        true => newest(&Folder::existing(folder)?),
        false => Ok(None),
    }
}

/// All checkpoints in a folder, the oldest first; those that are collected meanwhile are left out.
pub fn look_at_all(folder: &Path) -> Result<Vec<Manifest>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let store = Folder::existing(folder)?;
    let numbers = names::manifests(&store)?;
    let mut all = Vec::with_capacity(numbers.len());
    for number in numbers {
        all.extend(manifest(&store, number)?);
    }
    // A checkpoint that was put meanwhile names what those before it have pending.
    let newest = newest(&store)?;
    all.extend(newest.filter(|newest| all.iter().all(|known| known.number != newest.number)));
    Ok(all)
}

/// How many checkpoints there are in a folder; nothing of them is read.
pub fn count(folder: &Path) -> Result<usize> {
    match folder.exists() {
        true => names::manifests(&Folder::existing(folder)?).map(|manifests| manifests.len()),
        false => Ok(0),
    }
}

/// The newest manifest.
pub(crate) fn newest(store: &dyn Store) -> Result<Option<Manifest>> {
    for _ in 0..LOOKS_MAX {
        let Some(&number) = names::manifests(store)?.last() else { return Ok(None) };
        if let Some(manifest) = manifest(store, number)? {
            return Ok(Some(manifest));
        }
    }
    Err(Error::unavailable(format!(
        "the checkpoints {} are collected faster than they can be read",
        store.place(&names::manifest(0))
    )))
}

/// The manifest of a number, if it is there.
pub(crate) fn manifest(store: &dyn Store, number: u64) -> Result<Option<Manifest>> {
    let name = names::manifest(number);
    let Some(bytes) = store.read(&name)? else { return Ok(None) };
    Manifest::parse(&store.place(&name), number, &bytes).map(Some)
}

/// Reads the state that a manifest names.
pub(crate) fn restore(store: &dyn Store, manifest: &Manifest) -> Result<RestoredJob> {
    let mut steps: Vec<Vec<(Scope, Vec<u8>)>> = Vec::new();
    // Pieces lie in files in about the sequence in which they are named, so a file is read once and let go.
    let mut by_file: Vec<Vec<(usize, usize, &Piece)>> = vec![Vec::new(); manifest.files.len()];
    for (at, step) in manifest.steps.iter().enumerate() {
        steps.push(step.state.iter().map(|piece| (piece.scope, Vec::new())).collect());
        for (index, piece) in step.state.iter().enumerate() {
            by_file[piece.file].push((at, index, piece));
        }
    }
    for (file, pieces) in manifest.files.iter().zip(by_file) {
        let bytes = read_file(store, file)?;
        for (at, index, piece) in pieces {
            steps[at][index].1 = piece_of(store, file, &bytes, piece)?.to_vec();
        }
    }
    let step = |(step, pieces): (&StepState<Vec<Piece>>, _)| StepState {
        step: step.step.clone(),
        watermark: step.watermark,
        state: Arc::new(pieces),
    };
    Ok(RestoredJob {
        coordinator: manifest.coordinator.clone(),
        steps: manifest.steps.iter().zip(steps).map(step).collect(),
        inputs: manifest.inputs.clone(),
        outputs: manifest.outputs.clone(),
        rows: manifest.rows.clone(),
        last: manifest.last,
    })
}

/// Reads a whole file of state.
pub(crate) fn read_file(store: &dyn Store, file: &StateFile) -> Result<Vec<u8>> {
    let place = store.place(&file.name);
    let Some(bytes) = store.read(&file.name)? else {
        return Err(lost(&format!("{place} is gone")));
    };
    match bytes.len() as u64 == file.bytes {
        true => Ok(bytes),
        false => Err(lost(&format!("{place} has {} bytes, expected {}", bytes.len(), file.bytes))),
    }
}

fn piece_of<'a>(store: &dyn Store, file: &StateFile, bytes: &'a [u8], piece: &Piece) -> Result<&'a [u8]> {
    let end = piece.offset.saturating_add(piece.bytes);
    let range = usize::try_from(piece.offset).ok().zip(usize::try_from(end).ok());
    let bytes = range.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default();
    let found = xxh3_128(bytes);
    match found == piece.checksum {
        true => Ok(bytes),
        false => Err(lost(&format!(
            "{} is damaged: the checksum of bytes {} to {end} is {found:032x}, expected {:032x}",
            store.place(&file.name),
            piece.offset,
            piece.checksum
        ))),
    }
}

/// State that a checkpoint names cannot be had.
fn lost(what: &str) -> Error {
    Error::corrupt(format!("state of a checkpoint: {what}; bring it back as it was, or begin anew with --fresh"))
}
