//! The pieces of state that operators have frozen, read one after the other while they are written.

use dataflow::{Error, Frozen, Result, Scope, StateReader, StateWriter};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// How many pieces may be written before they are read.
const PIECES_AHEAD: usize = 2;

/// What comes from the thread that writes: a piece, or nothing after the last.
type Given = Result<Option<(Scope, Vec<u8>)>>;

/// Calls with all pieces of what operators have frozen, of which few are in memory at a time.
pub(crate) fn with_pieces<T>(
    frozen: &[Arc<dyn Frozen>],
    read: impl FnOnce(&mut dyn StateReader) -> Result<T>,
) -> Result<T> {
    let (give, take) = sync_channel(PIECES_AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut giver = Giver(give);
            let written = frozen.iter().try_for_each(|frozen| frozen.write(&mut giver));
            // Nobody hears of it where reading has ended early, and has an error of its own.
            let _ = giver.0.send(written.map(|()| None));
        });
        // Where reading ends early, the thread has to end too before this returns.
        let mut pieces = Taker(take);
        read(&mut pieces)
    })
}

struct Giver(SyncSender<Given>);

impl StateWriter for Giver {
    fn put(&mut self, scope: Scope, bytes: &[u8]) -> Result<()> {
        let given = self.0.send(Ok(Some((scope, bytes.to_vec()))));
        given.map_err(|_| Error::internal("state that is written is not read any more"))
    }
}

struct Taker(Receiver<Given>);

impl StateReader for Taker {
    fn next(&mut self) -> Result<Option<(Scope, Vec<u8>)>> {
        match self.0.recv() {
            Ok(given) => given,
            Err(_) => Err(Error::internal("state that is read was not written to its end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::KeyGroup;

    struct Pieces(u16, Option<u16>);

    impl Frozen for Pieces {
        fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
            for piece in 0..self.0 {
                if self.1 == Some(piece) {
                    return Err(Error::corrupt("no more"));
                }
                out.put(Scope::Group(KeyGroup(piece)), &[1])?;
            }
            Ok(())
        }
    }

    fn count(pieces: &mut dyn StateReader, most: usize) -> Result<usize> {
        let mut count = 0;
        while count < most && pieces.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn all_pieces_come_in_turn_and_an_error_is_one() {
        let frozen = |fails| -> Vec<Arc<dyn Frozen>> { vec![Arc::new(Pieces(5, None)), Arc::new(Pieces(9, fails))] };
        assert_eq!(with_pieces(&frozen(None), |pieces| count(pieces, 99)).unwrap(), 14);
        assert_eq!(with_pieces(&frozen(None), |pieces| count(pieces, 3)).unwrap(), 3);
        let error = with_pieces(&frozen(Some(4)), |pieces| count(pieces, 99)).unwrap_err();
        assert_eq!(error.to_string(), "no more");
    }
}
