//! Stands between a client and the broker, and does to connections what networks do, by a seed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is reset after some bytes.
    Reset,
    /// It ends after some bytes, and those before are delivered.
    Cut,
    /// After some bytes nothing moves any more.
    Stall,
    /// Some bytes come late, and then it is cut.
    Delay,
    /// It is accepted, and closed at once.
    Refuse,
}

const FAULTS: [Fault; 5] = [Fault::Reset, Fault::Cut, Fault::Stall, Fault::Delay, Fault::Refuse];

/// How many connections had which fault.
pub type Counts = Rc<RefCell<BTreeMap<Fault, u32>>>;

/// A stream of numbers from a seed.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Serves connections until it is dropped: the kinds of fault take turns, and their places come from the seed.
pub async fn serve(listener: TcpListener, broker: String, seed: u64, bytes_max: u64, counts: Counts) {
    let mut chance = Chance(seed);
    for fault in FAULTS.iter().cycle() {
        let (client, _) = listener.accept().await.expect("the proxy accepts");
        *counts.borrow_mut().entry(*fault).or_default() += 1;
        let bytes = chance.below(bytes_max);
        let broker = TcpStream::connect(broker.trim_start_matches("pulsar://")).await;
        if let (Ok(broker), true) = (broker, *fault != Fault::Refuse) {
            tokio::task::spawn_local(relay(client, broker, *fault, bytes));
        }
    }
}

async fn relay(mut client: TcpStream, mut broker: TcpStream, fault: Fault, mut bytes: u64) {
    let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
    while bytes > 0 {
        // Both directions count.
        let moved = tokio::select! {
            size = client.read(&mut up) => forward(&up, size, &mut broker, &mut bytes).await,
            size = broker.read(&mut down) => forward(&down, size, &mut client, &mut bytes).await,
        };
        if !moved {
            return;
        }
        if fault == Fault::Delay {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    match fault {
        Fault::Reset => {
            let _ = client.set_zero_linger();
        }
        // The client has to find out by itself, and then closes.
        Fault::Stall => while client.readable().await.is_ok() && !matches!(client.try_read(&mut up), Ok(0)) {},
        Fault::Cut | Fault::Delay | Fault::Refuse => {}
    }
}

/// Passes on what was read, up to the byte at which the fault comes; false if a side has ended.
async fn forward(from: &[u8], size: std::io::Result<usize>, to: &mut TcpStream, bytes: &mut u64) -> bool {
    let Ok(size @ 1..) = size else { return false };
    let size = size.min(usize::try_from(*bytes).unwrap_or(usize::MAX));
    *bytes -= size as u64;
    to.write_all(&from[..size]).await.is_ok()
}

/// Serves connections until it is dropped, one after the other. The first are stopped after so many bytes of their client,
/// and something is done then; the connection ends with that, or goes on.
pub async fn serve_stopping(
    listener: TcpListener,
    broker: String,
    stops: &[(u64, bool)],
    mut meanwhile: impl AsyncFnMut(usize),
) {
    let mut at = 0;
    loop {
        let (mut client, _) = listener.accept().await.expect("the proxy accepts");
        let broker = TcpStream::connect(broker.trim_start_matches("pulsar://")).await;
        let mut broker = broker.expect("the broker is there");
        if let Some((bytes, ends)) = stops.get(at) {
            // One that a test before has left behind ends by itself.
            if !pass(&mut client, &mut broker, *bytes).await {
                continue;
            }
            meanwhile(at).await;
            at += 1;
            if *ends {
                continue;
            }
        }
        pass(&mut client, &mut broker, u64::MAX).await;
    }
}

/// Passes on both ways until the client has sent so many bytes; false if a side has ended before.
async fn pass(client: &mut TcpStream, broker: &mut TcpStream, mut bytes: u64) -> bool {
    let (mut up, mut down, mut endless) = (vec![0; 65536], vec![0; 65536], u64::MAX);
    while bytes > 0 {
        let moved = tokio::select! {
            size = client.read(&mut up) => forward(&up, size, broker, &mut bytes).await,
            size = broker.read(&mut down) => forward(&down, size, client, &mut endless).await,
        };
        if !moved {
            return false;
        }
    }
    true
}
