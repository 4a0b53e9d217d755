//! Stands between programs and a broker of Pulsar, and does to their connections what a test says.
//!
//! A broker tells clients its own address; the proxy puts that of itself in its place, so that they come back to it:
//!
//! ```text
//! program -> proxy -> broker         frames of the protocol, passed on one by one
//! program <- proxy <- broker         with the proxy's address in answers to lookups
//! ```

use crate::chance::Chance;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The kinds of commands that the proxy knows.
const PRODUCER: u8 = 5;
const SEND: u8 = 6;
const LOOKUP_RESPONSE: u8 = 24;

/// No frame is larger: an entry, and the command that it comes with.
const FRAME_BYTES_MAX: usize = 6 << 20;

/// A proxy in front of a broker, until it is dropped.
pub struct PulsarProxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    /// The broker's address, and the proxy's. They are of one length, so that frames stay as long as they say.
    addresses: (String, String),
    connections: Mutex<Vec<Arc<Connection>>>,
    /// Where the first entry of the next producer that is opened is cut.
    first_entry_cut: Mutex<Option<u64>>,
    first_entries_cut: AtomicU32,
    /// Whether nothing moves on connections of producers.
    is_still: Mutex<bool>,
    moves_again: Condvar,
    has_ended: AtomicBool,
}

/// One connection of a program, and that to the broker which belongs to it.
struct Connection {
    client: TcpStream,
    broker: TcpStream,
    has_producer: AtomicBool,
    has_sent: AtomicBool,
}

impl PulsarProxy {
    /// Starts a proxy in front of the broker of an address.
    pub fn start(service_url: &str) -> PulsarProxy {
        let broker = service_url.trim_start_matches("pulsar://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener.local_addr().expect("a bound listener has a port").port();
        let own = format!("127.0.0.1:{port}");
        assert_eq!(broker.len(), own.len(), "{broker} and {own} are not of one length");
        let state = Arc::new(State {
            addresses: (broker, own),
            connections: Mutex::default(),
            first_entry_cut: Mutex::default(),
            first_entries_cut: AtomicU32::new(0),
            is_still: Mutex::new(false),
            moves_again: Condvar::new(),
            has_ended: AtomicBool::new(false),
        });
        let of_thread = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if of_thread.has_ended.load(SeqCst) {
                    return;
                }
                // Whoever comes while there is no broker is sent away.
                if let Ok(broker) = TcpStream::connect(&of_thread.addresses.0) {
                    of_thread.serve(client, broker);
                }
            }
        });
        PulsarProxy { port, state }
    }

    /// Where clients connect.
    pub fn service_url(&self) -> String {
        format!("pulsar://{}", self.state.addresses.1)
    }

    /// Breaks one of the connections, half of the time one of a producer; false if there is none.
    pub fn break_one(&self, chance: &mut Chance) -> bool {
        let connections = locked(&self.state.connections).clone();
        let (of_producers, others): (Vec<_>, Vec<_>) =
            connections.into_iter().partition(|connection| connection.has_producer.load(Relaxed));
        let of_kind = if others.is_empty() || chance.permille(500) { of_producers } else { others };
        if of_kind.is_empty() {
            return false;
        }
        of_kind[chance.below(of_kind.len() as u64) as usize].end();
        true
    }

    /// Cuts the first entry of the next producer that is opened after so many of its bytes, or whole with its receipt where
    /// it has no more.
    pub fn cut_next_first_entry(&self, bytes: u64) {
        *locked(&self.state.first_entry_cut) = Some(bytes);
    }

    /// How many first entries were cut.
    pub fn first_entries_cut(&self) -> u32 {
        self.state.first_entries_cut.load(SeqCst)
    }

    /// Lets nothing move on connections of producers, or lets it move again.
    pub fn hold_producers(&self, is_held: bool) {
        *locked(&self.state.is_still) = is_held;
        self.state.moves_again.notify_all();
    }
}

impl Drop for PulsarProxy {
    fn drop(&mut self) {
        self.state.has_ended.store(true, SeqCst);
        self.hold_producers(false);
        locked(&self.state.connections).iter().for_each(|connection| connection.end());
        // It waits for somebody to come.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Connection {
    fn end(&self) {
        for side in [&self.client, &self.broker] {
            // It may have ended by itself.
            let _ = side.shutdown(Shutdown::Both);
        }
    }

    /// Ends after what was sent: the broker gets all of it, and its answers go nowhere.
    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Write);
    }
}

impl State {
    fn serve(self: &Arc<Self>, client: TcpStream, broker: TcpStream) {
        let _ = (client.set_nodelay(true), broker.set_nodelay(true));
        let (has_producer, has_sent) = (AtomicBool::new(false), AtomicBool::new(false));
        let connection = Arc::new(Connection { client, broker, has_producer, has_sent });
        locked(&self.connections).push(connection.clone());
        for is_up in [true, false] {
            let (state, connection) = (self.clone(), connection.clone());
            thread::spawn(move || {
                // However it ends, the other way ends too; the broker gets all that its client has sent.
                let _ = state.pass(&connection, is_up);
                if is_up {
                    connection.cut()
                } else {
                    connection.end()
                }
                locked(&state.connections).retain(|other| !Arc::ptr_eq(other, &connection));
            });
        }
    }

    /// Passes on frames in one direction.
    fn pass(&self, connection: &Connection, is_up: bool) -> Result<()> {
        let (mut from, mut to) = match is_up {
            true => (&connection.client, &connection.broker),
            false => (&connection.broker, &connection.client),
        };
        loop {
            let mut frame = read_frame(&mut from)?;
            match kind(&frame) {
                Some(PRODUCER) if is_up => connection.has_producer.store(true, Relaxed),
                Some(LOOKUP_RESPONSE) if !is_up => replace(&mut frame, &self.addresses),
                _ => {}
            }
            if connection.has_producer.load(Relaxed) {
                let mut is_still = locked(&self.is_still);
                while *is_still {
                    is_still = self.moves_again.wait(is_still).unwrap_or_else(PoisonError::into_inner);
                }
            }
            let is_first = is_up && kind(&frame) == Some(SEND) && !connection.has_sent.swap(true, Relaxed);
            if let Some(bytes) = locked(&self.first_entry_cut).take_if(|_| is_first) {
                to.write_all(&frame[..(bytes as usize).min(frame.len())])?;
                self.first_entries_cut.fetch_add(1, SeqCst);
                connection.cut();
                return Ok(());
            }
            to.write_all(&frame)?;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next frame, with the size that it begins with.
fn read_frame(from: &mut impl Read) -> Result<Vec<u8>> {
    let mut size = [0; 4];
    from.read_exact(&mut size)?;
    let bytes = u32::from_be_bytes(size) as usize;
    if bytes > FRAME_BYTES_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; 4 + bytes];
    frame[..4].copy_from_slice(&size);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// The kind of a frame's command, which is the first field of it.
fn kind(frame: &[u8]) -> Option<u8> {
    frame.get(8..10).filter(|field| field[0] == 8).map(|field| field[1])
}

/// Puts one address in place of another wherever that stands.
fn replace(frame: &mut [u8], (from, to): &(String, String)) {
    for at in 0..frame.len().saturating_sub(from.len() - 1) {
        if frame[at..].starts_with(from.as_bytes()) {
            frame[at..at + from.len()].copy_from_slice(to.as_bytes());
        }
    }
}
