//! State that does not fit in memory, in files without names that vanish with the process.
//!
//! A log has a file of its own, of slots as long as its pages: a slot that is let go is the next to be written, so that a
//! file is as long as the most that was put aside at one time.

use crossbeam_channel::{Sender, TrySendError, bounded};
use dataflow::{Error, Result, SpillFile, SpillStore, SpilledPiece, StateMemory};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// How many pieces may wait to be fetched; what does not fit is read when it is needed.
const FETCHES_MAX: usize = 64;

/// Memory for the state of a job: so many bytes, and files in a folder for the rest.
pub fn state_memory(bytes: usize, folder: &Path) -> Arc<StateMemory> {
    StateMemory::bounded(bytes, Box::new(StateSpill::new(bytes, folder.to_owned())))
}

struct StateSpill {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    // What is said when the folder takes no more.
    limit: usize,
    // Pieces for the thread that reads ahead; made with the first of them.
    // One that was let go meanwhile is not read.
    fetches: Mutex<Option<Sender<Weak<Slot>>>>,
}

struct SlotFile {
    shared: Arc<Shared>,
    slots: Arc<Slots>,
}

struct Slots {
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    file: Option<Arc<File>>,
    // The length of a slot.
    bytes: usize,
    // How many slots the file has, and those among them that hold nothing.
    end: u64,
    free: BTreeSet<u64>,
}

/// A piece in its slot.
struct Slot {
    file: Arc<File>,
    slots: Arc<Slots>,
    number: u64,
    bytes: usize,
    ahead: Mutex<Ahead>,
}

enum Ahead {
    Nothing,
    Read(Vec<u8>),
}

struct Piece {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

impl StateSpill {
    fn new(limit: usize, folder: PathBuf) -> StateSpill {
        StateSpill { shared: Arc::new(Shared { folder, limit, fetches: Mutex::new(None) }) }
    }
}

impl SpillStore for StateSpill {
    fn file(&self) -> Box<dyn SpillFile> {
        let slots = Arc::new(Slots { state: Mutex::default() });
        Box::new(SlotFile { shared: self.shared.clone(), slots })
    }
}

impl SpillFile for SlotFile {
    fn write(&self, bytes: Vec<u8>) -> Result<Box<dyn SpilledPiece>> {
        let (file, number) = {
            let mut state = self.slots.lock();
            if state.file.is_none() {
                (state.file, state.bytes) = (Some(Arc::new(self.shared.new_file()?)), bytes.len());
            }
            if state.bytes != bytes.len() {
                let wanted = state.bytes;
                return Err(Error::internal(format!("a page of state has {} bytes, expected {wanted}", bytes.len())));
            }
            let Some(file) = state.file.clone() else { return Err(Error::internal("a file of state is gone")) };
            (file, state.take())
        };
        let slot =
            Slot { file, slots: self.slots.clone(), number, bytes: bytes.len(), ahead: Mutex::new(Ahead::Nothing) };
        slot.file
            .write_all_at(&bytes, slot.offset())
            .map_err(|error| self.shared.refused("grows no further", error))?;
        Ok(Box::new(Piece { shared: self.shared.clone(), slot: Arc::new(slot) }))
    }
}

impl Shared {
    fn new_file(&self) -> Result<File> {
        let made = std::fs::create_dir_all(&self.folder).and_then(|()| tempfile::tempfile_in(&self.folder));
        made.map_err(|error| self.refused("cannot be made", error))
    }

    /// A disk that takes no more: whoever reads this chooses between more disk and more memory.
    fn refused(&self, what: &str, error: std::io::Error) -> Error {
        Error::of_file(
            format!(
                "state beyond the {} bytes of state_memory goes to files in {}, and one {what} (another disk for the \
                 warehouse, or a greater state_memory in riverrun.toml helps, too; the job goes on from its checkpoint)",
                self.limit,
                self.folder.display()
            ),
            error,
        )
    }

    /// Has a piece read by the thread that reads ahead, if that has room for it.
    fn fetch(&self, slot: &Arc<Slot>) {
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = fetches.get_or_insert_with(|| {
            let (sender, slots) = bounded::<Weak<Slot>>(FETCHES_MAX);
            let read = move || slots.iter().filter_map(|slot| slot.upgrade()).for_each(|slot| slot.read_ahead());
            // Without the thread every piece is read when it is needed.
            drop(std::thread::Builder::new().name("state-ahead".to_owned()).spawn(read));
            sender
        });
        match sender.try_send(Arc::downgrade(slot)) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

impl Slots {
    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotState {
    /// The first slot that holds nothing.
    fn take(&mut self) -> u64 {
        self.free.pop_first().unwrap_or_else(|| {
            self.end += 1;
            self.end - 1
        })
    }

    /// Lets go of a slot; the file ends with the last one that holds something.
    fn release(&mut self, slot: u64) {
        self.free.insert(slot);
        let before = self.end;
        while self.end > 0 && self.free.remove(&(self.end - 1)) {
            self.end -= 1;
        }
        if let (Some(file), true) = (&self.file, self.end < before) {
            // A file that stays longer than it need be takes room and nothing else.
            let _ = file.set_len(self.end * self.bytes as u64);
        }
    }
}

impl Slot {
    fn offset(&self) -> u64 {
        self.number * self.bytes as u64
    }

    fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.bytes];
        let read = self.file.read_exact_at(&mut bytes, self.offset());
        let failed = |error| Error::unavailable("state that was put aside on disk cannot be read").with_source(error);
        read.map(|()| bytes).map_err(failed)
    }

    fn read_ahead(&self) {
        let mut ahead = self.ahead();
        if let (Ahead::Nothing, Ok(bytes)) = (&*ahead, self.read()) {
            *ahead = Ahead::Read(bytes);
        }
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().release(self.number);
    }
}

impl SpilledPiece for Piece {
    fn fetch(&self) {
        self.shared.fetch(&self.slot);
    }

    fn read(&self) -> Result<Vec<u8>> {
        // Waits for the thread that reads ahead, if it is at this piece.
        match std::mem::replace(&mut *self.slot.ahead(), Ahead::Nothing) {
            Ahead::Read(bytes) => Ok(bytes),
            Ahead::Nothing => self.slot.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::ErrorKind;

    fn piece(number: u8) -> Vec<u8> {
        vec![number; 1000]
    }

    #[test]
    fn pieces_come_back_and_their_room_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let spill = StateSpill::new(0, folder.path().join("spill"));
        let slots = Arc::new(Slots { state: Mutex::default() });
        let file = SlotFile { shared: spill.shared.clone(), slots: slots.clone() };
        let mut held = std::collections::VecDeque::new();
        for number in 0..200u8 {
            held.push_back((number, file.write(piece(number)).unwrap()));
            if number % 3 == 0 {
                held.back().unwrap().1.fetch();
            }
            if held.len() > 10 {
                let (number, first) = held.pop_front().unwrap();
                assert_eq!(first.read().unwrap(), piece(number));
                assert_eq!(first.read().unwrap(), piece(number), "a piece is read as often as one likes");
            }
        }
        let length = slots.lock().file.as_ref().unwrap().metadata().unwrap().len();
        // The thread that reads ahead may hold one more.
        assert!(length <= 13 * 1000, "{length} bytes for at most 11 pieces of 1000 at one time");
        for (number, last) in held.drain(..) {
            assert_eq!(last.read().unwrap(), piece(number));
        }
        // A fetch that is still under way holds what it fetches.
        let ends = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while slots.lock().end > 0 && std::time::Instant::now() < ends {
            std::thread::yield_now();
        }
        assert_eq!(slots.lock().file.as_ref().unwrap().metadata().unwrap().len(), 0);
        // The files have no names: a process that is killed leaves none.
        assert_eq!(std::fs::read_dir(folder.path().join("spill")).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_takes_nothing_is_named_with_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let error = StateSpill::new(4096, blocked.join("spill")).file().write(piece(1)).err().unwrap();
        let text = error.chain();
        assert!(text.contains("4096 bytes of state_memory") && text.contains(&*blocked.to_string_lossy()), "{text}");
        let full =
            StateSpill::new(1, blocked).shared.refused("grows no further", std::io::ErrorKind::StorageFull.into());
        assert_eq!(full.kind(), ErrorKind::Refused);
    }
}
