//! Reads checkpoints: the newest manifest, and the state that a manifest names.

use crate::manifest::{Manifest, Piece, StateFile};
use crate::names;
use crate::place::Place;
use crate::store::Store;
use dataflow::{Error, Pieces, RestoredJob, Result, Scope, StepState, StoredPieces};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// How often a manifest may be collected between the moment when it is seen and that when it is read.
const LOOKS_MAX: usize = 100;

/// The newest checkpoint in a place, whoever holds it; its state is not read, and nothing is written.
pub fn look(place: impl Into<Place>) -> Result<Option<Manifest>> {
    place.into().opened()?.map_or(Ok(None), |store| newest(&*store))
}

/// All checkpoints in a place, the oldest first; those that are collected meanwhile are left out.
pub fn look_at_all(place: impl Into<Place>) -> Result<Vec<Manifest>> {
    let Some(store) = place.into().opened()? else { return Ok(Vec::new()) };
    let store = &*store;
    let numbers = names::manifests(store)?;
    let mut all = Vec::with_capacity(numbers.len());
    for number in numbers {
        all.extend(manifest(store, number)?);
    }
    // A checkpoint that was put meanwhile names what those before it have pending.
    let newest = newest(store)?;
    all.extend(newest.filter(|newest| all.iter().all(|known| known.number != newest.number)));
    Ok(all)
}

/// How many checkpoints there are in a place; nothing of them is read.
pub fn count(place: impl Into<Place>) -> Result<usize> {
    place.into().opened()?.map_or(Ok(0), |store| names::manifests(&*store).map(|manifests| manifests.len()))
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

/// So much state is read at once, and is in memory while all workers take it up.
pub(crate) const AT_ONCE_BYTES: u64 = 256 << 20;

/// What a step has in each worker; its pieces are read when they are asked for.
pub(crate) fn pieces_of_step(store: &Arc<dyn Store>, manifest: &Manifest, step: &str) -> Vec<Pieces> {
    let files: Arc<[StateFile]> = manifest.files.clone().into();
    let of_step = manifest.steps.iter().filter(|state| state.step == step);
    let pieces = |state: &StepState<Vec<Piece>>| -> Pieces {
        Arc::new(PiecesOfStep { store: store.clone(), files: files.clone(), pieces: state.state.clone() })
    };
    of_step.map(pieces).collect()
}

/// Reads the state that a manifest names; more than so many bytes of it are read when steps take them up.
pub(crate) fn restore_from(store: &Arc<dyn Store>, manifest: &Manifest, at_once_bytes: u64) -> Result<RestoredJob> {
    if manifest.state_bytes() <= at_once_bytes {
        return restore(&**store, manifest);
    }
    let files: Arc<[StateFile]> = manifest.files.clone().into();
    let step = |step: &StepState<Vec<Piece>>| -> Pieces {
        Arc::new(PiecesOfStep { store: store.clone(), files: files.clone(), pieces: step.state.clone() })
    };
    Ok(restored(manifest, manifest.steps.iter().map(step)))
}

/// Reads the state that a manifest names, all of it at once.
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
    Ok(restored(manifest, steps.into_iter().map(|pieces| -> Pieces { Arc::new(pieces) })))
}

fn restored(manifest: &Manifest, steps: impl Iterator<Item = Pieces>) -> RestoredJob {
    let step = |(step, state): (&StepState<Vec<Piece>>, Pieces)| StepState {
        step: step.step.clone(),
        watermark: step.watermark,
        state,
    };
    RestoredJob {
        coordinator: manifest.coordinator.clone(),
        steps: manifest.steps.iter().zip(steps).map(step).collect(),
        inputs: manifest.inputs.clone(),
        outputs: manifest.outputs.clone(),
        rows: manifest.rows.clone(),
        last: manifest.last,
    }
}

/// The pieces of a step, each of which is read when it is asked for. What was written at different times lies in different
/// files, and pieces of both may follow each other, so that whole files would be read over and over.
struct PiecesOfStep {
    store: Arc<dyn Store>,
    files: Arc<[StateFile]>,
    pieces: Vec<Piece>,
}

impl StoredPieces for PiecesOfStep {
    fn scope(&self, piece: usize) -> Option<Scope> {
        self.pieces.get(piece).map(|piece| piece.scope)
    }

    fn read(&self, piece: usize) -> Result<Vec<u8>> {
        let piece = &self.pieces[piece];
        let file = &self.files[piece.file];
        match self.store.read_range(&file.name, piece.offset, piece.bytes)? {
            Some(bytes) => checked(&*self.store, file, &bytes, piece).map(|()| bytes),
            None => Err(lost(&format!("{} is gone", self.store.place(&file.name)))),
        }
    }
}

impl std::fmt::Debug for PiecesOfStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PiecesOfStep").field("pieces", &self.pieces).finish_non_exhaustive()
    }
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
    checked(store, file, bytes, piece).map(|()| bytes)
}

/// Refuses bytes that are not those of a piece.
fn checked(store: &dyn Store, file: &StateFile, bytes: &[u8], piece: &Piece) -> Result<()> {
    let found = xxh3_128(bytes);
    match found == piece.checksum {
        true => Ok(()),
        false => Err(lost(&format!(
            "{} is damaged: the checksum of bytes {} to {} is {found:032x}, expected {:032x}",
            store.place(&file.name),
            piece.offset,
            piece.offset.saturating_add(piece.bytes),
            piece.checksum
        ))),
    }
}

/// State that a checkpoint names cannot be had.
fn lost(what: &str) -> Error {
    Error::corrupt(format!("state of a checkpoint: {what}; bring it back as it was, or begin anew with --fresh"))
}
