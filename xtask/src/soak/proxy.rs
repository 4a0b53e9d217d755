//! Stands between clients and the broker, so that connections can be cut and stalled.

use crate::failure;
use dataflow::Result;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tests::machine::{SECOND, pause};

/// What both directions of all connections share.
#[derive(Default)]
struct Relayed {
    broker: OnceLock<String>,
    open: Mutex<Vec<TcpStream>>,
    is_stalled: AtomicBool,
}

/// A proxy, as long as the process lives.
pub struct Proxy {
    relayed: Arc<Relayed>,
    port: u16,
}

impl Proxy {
    /// Listens on a free port.
    pub fn start() -> Result<Proxy> {
        let failed = |error| failure::program("a proxy", error);
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let relayed = Arc::new(Relayed::default());
        let of_thread = relayed.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|client| serve(client, &of_thread)));
        Ok(Proxy { relayed, port })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads to this broker from now on.
    pub fn lead_to(&self, broker: &str) {
        // It has one broker as long as it lives.
        let _ = self.relayed.broker.set(broker.trim_start_matches("pulsar://").to_owned());
    }

    /// Ends all connections.
    pub fn cut(&self) {
        let mut open = self.relayed.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets nothing through, or lets it through again.
    pub fn stall(&self, is_stalled: bool) {
        self.relayed.is_stalled.store(is_stalled, Ordering::Relaxed);
    }
}

/// Relays one connection; one to a broker that is away is closed.
fn serve(client: TcpStream, relayed: &Arc<Relayed>) {
    let Some(Ok(broker)) = relayed.broker.get().map(TcpStream::connect) else { return };
    let copies = || Some([client.try_clone().ok()?, broker.try_clone().ok()?]);
    let (Some(open), Some([client_again, broker_again])) = (copies(), copies()) else { return };
    relayed.open.lock().unwrap_or_else(PoisonError::into_inner).extend(open);
    for (from, to) in [(client, broker_again), (broker, client_again)] {
        let relayed = relayed.clone();
        std::thread::spawn(move || relay(from, to, &relayed));
    }
}

/// Passes on what comes until a side ends, and ends the other one.
fn relay(mut from: TcpStream, mut to: TcpStream, relayed: &Relayed) {
    let mut part = vec![0; 64 << 10];
    while let Ok(size @ 1..) = from.read(&mut part) {
        while relayed.is_stalled.load(Ordering::Relaxed) {
            pause(SECOND / 100);
        }
        if to.write_all(&part[..size]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
