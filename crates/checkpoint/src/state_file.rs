//! Writes the pieces of a checkpoint's state: those that the checkpoint before names are named again, the others go into
//! files, one after the other.

use crate::manifest::{Manifest, Piece, StateFile};
use crate::names;
use crate::seeded::{self, Bug};
use crate::store::{Created, Store};
use dataflow::{Error, ErrorKind, KeyGroups, PageAt, Result, Scope, StateWriter};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_128;

/// About how large a file becomes; so much of a checkpoint is in memory while it is written, and while it is read.
// Tests have few bytes, and are to fill files with them.
const FILE_BYTES: usize = if cfg!(test) { 64 } else { 32 << 20 };
/// How many files below half that size there may be, before the next checkpoint writes their pieces again into one.
const SMALL_FILES_MAX: usize = if cfg!(test) { 4 } else { 64 };

/// What need not be written again.
#[derive(Default)]
struct Known {
    /// Where pieces lie, by checksum and size.
    places: HashMap<(u128, u64), Vec<(usize, u64)>>,
    /// Pages that this process has written, by their numbers.
    pages: HashMap<u64, Piece>,
}

/// The files of a checkpoint that is being written.
pub(crate) struct StateFiles<'a> {
    store: &'a dyn Store,
    epoch: u64,
    serial: &'a mut u64,
    before: &'a [StateFile],
    // Invariant: what is named is taken out, so that no manifest names a place twice.
    known: Known,
    // By the index of a file in the manifest before, its index in this one.
    named: HashMap<usize, usize>,
    files: Vec<StateFile>,
    // The file that is being filled, and what it holds so far.
    open: Option<usize>,
    buffer: Vec<u8>,
    created: Vec<String>,
    pieces: Vec<Piece>,
}

impl<'a> StateFiles<'a> {
    /// Writes files under an epoch. The serial counts those that the run has begun. Pieces that the manifest names need
    /// not be written; it is the last one that this run has put or restored.
    pub fn new(store: &'a dyn Store, epoch: u64, serial: &'a mut u64, before: Option<&'a Manifest>) -> StateFiles<'a> {
        let known = before.map(known_pieces).unwrap_or_default();
        let before = before.map_or(&[][..], |before| &before.files);
        let (named, files, open, buffer) = (HashMap::new(), Vec::new(), None, Vec::new());
        StateFiles { store, epoch, serial, before, known, named, files, open, buffer, created: vec![], pieces: vec![] }
    }

    /// The same, but that of the manifest only those pieces are named that [`name_piece`](Self::name_piece) is given: of
    /// two that hold the same bytes, one may be to go on and the other not.
    pub fn of_changed_job(
        store: &'a dyn Store,
        epoch: u64,
        serial: &'a mut u64,
        before: &'a Manifest,
    ) -> StateFiles<'a> {
        StateFiles { known: Known::default(), ..StateFiles::new(store, epoch, serial, Some(before)) }
    }

    /// Names a piece of the manifest before in this one, where it lies; each at most once.
    pub fn name_piece(&mut self, piece: &Piece) -> Piece {
        Piece { file: self.name_again(piece.file), ..*piece }
    }

    /// The pieces written since this was last asked for.
    pub fn take_pieces(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.pieces)
    }

    /// Writes what is still in memory, and gives the files that pieces lie in.
    pub fn finish(mut self) -> Result<Vec<StateFile>> {
        let finished = self.close();
        match finished {
            Ok(()) => Ok(self.files),
            Err(e) => Err(self.abandon(e)),
        }
    }

    /// Removes what was written, since no manifest will name it: a full disk would stay full.
    pub fn abandon(self, error: Error) -> Error {
        for name in &self.created {
            // A file that stays is collected after a later checkpoint; the error that matters is the first one. A store
            // that is away is not waited for once for each.
            if self.store.delete(name).is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
                break;
            }
        }
        if seeded::has(Bug::NamesReused) {
            *self.serial -= self.created.len() as u64;
        }
        error
    }

    /// The index of a file of the manifest before in this one.
    fn name_again(&mut self, file: usize) -> usize {
        *self.named.entry(file).or_insert_with(|| {
            self.files.push(self.before[file].clone());
            self.files.len() - 1
        })
    }

    fn place(&mut self, bytes: &[u8], checksum: u128) -> Result<(usize, u64)> {
        let places = self.known.places.get_mut(&(checksum, bytes.len() as u64));
        let known = match seeded::has(Bug::PlaceNamedTwice) {
            true => places.and_then(|places| places.last().copied()),
            false => places.and_then(Vec::pop),
        };
        if let Some((file, offset)) = known {
            return Ok((self.name_again(file), offset));
        }
        if self.buffer.len() + bytes.len() > FILE_BYTES {
            self.close()?;
        }
        let file = self.open.unwrap_or(self.files.len());
        if self.open.is_none() {
            *self.serial += 1;
            self.files.push(StateFile { name: names::state(self.epoch, *self.serial), bytes: 0 });
            self.open = Some(file);
        }
        let offset = self.files[file].bytes;
        self.files[file].bytes += bytes.len() as u64;
        if bytes.len() >= FILE_BYTES {
            // Such a piece is a file of its own, and need not be in memory twice.
            self.create(file, bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok((file, offset))
    }

    /// Writes the file that is being filled.
    fn close(&mut self) -> Result<()> {
        let Some(file) = self.open else { return Ok(()) };
        let buffer = std::mem::take(&mut self.buffer);
        self.create(file, &buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn create(&mut self, file: usize, bytes: &[u8]) -> Result<()> {
        let name = &self.files[file].name;
        self.open = None;
        self.created.push(name.clone());
        match self.store.upload(name, bytes)? {
            Created::New => Ok(()),
            Created::Exists if seeded::has(Bug::NamesReused) => Ok(()),
            // A request of this run that was long under way; the next try has another name.
            Created::Exists => Err(Error::unavailable(format!("{} is there already", self.store.place(name)))),
        }
    }

    fn put_piece(&mut self, scope: Scope, bytes: &[u8], page: Option<u64>) -> Result<()> {
        let checksum = xxh3_128(bytes);
        let (file, offset) = self.place(bytes, checksum)?;
        self.pieces.push(Piece { scope, file, offset, bytes: bytes.len() as u64, checksum, page });
        Ok(())
    }
}

impl StateWriter for StateFiles<'_> {
    fn put(&mut self, scope: Scope, bytes: &[u8]) -> Result<()> {
        self.put_piece(scope, bytes, None)
    }

    fn put_page(&mut self, page: &PageAt, encode: &dyn Fn() -> Result<(KeyGroups, Vec<u8>)>) -> Result<()> {
        if let Some(known) = self.known.pages.remove(&page.number)
            && let Scope::Page(stored) = known.scope
        {
            let (scope, file) = (Scope::Page(page.scope(stored.groups)), self.name_again(known.file));
            self.pieces.push(Piece { scope, file, ..known });
            return Ok(());
        }
        let (groups, bytes) = encode()?;
        self.put_piece(Scope::Page(page.scope(groups)), &bytes, Some(page.number))
    }
}

/// The pieces of a manifest, but for those in files that are to go.
fn known_pieces(manifest: &Manifest) -> Known {
    let mut named = vec![0u64; manifest.files.len()];
    manifest.pieces().for_each(|piece| named[piece.file] += piece.bytes);
    let is_small = |file: &StateFile| file.bytes < FILE_BYTES as u64 / 2;
    let many = manifest.files.iter().filter(|file| is_small(file)).count() > SMALL_FILES_MAX;
    let goes = |index: usize| {
        let file = &manifest.files[index];
        named[index] < file.bytes / 4 || many && is_small(file)
    };
    let mut known = Known::default();
    for piece in manifest.pieces().filter(|piece| !goes(piece.file)) {
        match piece.page {
            // Known by its number alone, so that nothing names its place twice.
            Some(number) => drop(known.pages.insert(number, *piece)),
            None => {
                known.places.entry((piece.checksum, piece.bytes)).or_default().push((piece.file, piece.offset));
            }
        }
    }
    known
}
