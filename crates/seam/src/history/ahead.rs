//! Reads pieces of a history ahead, off the caller's thread.

use super::merge::{Merge, Piece};
use dataflow::{Background, Error, Result, panic_text};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// How many pieces may be ready beyond the one that is given out.
const PIECES_MAX: usize = 2;

/// Pieces that are ready, and the merge that makes more of them: one piece of work at a time, which goes on by itself
/// while there is room.
///
/// ```text
/// next_piece ----takes----> pieces <---appends--- piece of work: merge.next_piece
///      |                                             ^         |
///      +---- room again: hands the merge over -------+         +-- gives it back, wakes, goes on while there is room
/// ```
pub(crate) struct ReadAhead {
    state: Mutex<State>,
    is_stopped: AtomicBool,
    background: Arc<dyn Background>,
    name: String,
}

struct State {
    // Not there while a piece of work has it, and after the last piece.
    merge: Option<Box<Merge>>,
    pieces: VecDeque<Result<Piece>>,
    waker: Option<Waker>,
}

impl ReadAhead {
    /// Nothing is read before the first piece is asked for.
    pub fn new(name: &str, merge: Merge, background: Arc<dyn Background>, waker: Option<Waker>) -> Arc<ReadAhead> {
        let state = State { merge: Some(Box::new(merge)), pieces: VecDeque::new(), waker };
        let (state, is_stopped) = (Mutex::new(state), AtomicBool::new(false));
        Arc::new(ReadAhead { state, is_stopped, background, name: name.to_owned() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers whom to wake when a piece is ready.
    pub fn wake(&self, waker: &Waker) {
        self.state().waker = Some(waker.clone());
    }

    /// Whether a piece, or an error, is ready.
    pub fn has_piece(&self) -> bool {
        !self.state().pieces.is_empty()
    }

    /// The next piece if one is ready. Has more made ready, on another thread or at once, where there is room.
    pub fn next_piece(self: &Arc<Self>) -> Option<Result<Piece>> {
        let piece = self.state().pieces.pop_front();
        self.go_on();
        piece
    }

    /// Ends the work soon, and forgets what is ready.
    pub fn stop(&self) {
        self.is_stopped.store(true, Relaxed);
        let mut state = self.state();
        state.pieces.clear();
        let merge = state.merge.take();
        drop(state);
        drop(merge);
    }

    fn go_on(self: &Arc<Self>) {
        let mut state = self.state();
        if state.pieces.len() >= PIECES_MAX {
            return;
        }
        let Some(merge) = state.merge.take() else { return };
        drop(state);
        let this = self.clone();
        self.background.run(Box::new(move || this.make_piece(merge)));
    }

    fn make_piece(self: Arc<Self>, mut merge: Box<Merge>) {
        let made = catch_unwind(AssertUnwindSafe(|| merge.next_piece(&self.is_stopped)));
        let made = made.unwrap_or_else(|panic| {
            Err(Error::internal(format!("reading history \"{}\" ahead panicked: {}", self.name, panic_text(&*panic))))
        });
        let goes_on = made.as_ref().is_ok_and(|piece| !piece.is_last);
        let mut state = self.state();
        if self.is_stopped.load(Relaxed) {
            return;
        }
        state.pieces.push_back(made);
        state.merge = goes_on.then_some(merge);
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.go_on();
    }
}
