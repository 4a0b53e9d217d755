//! Stands between a client and the broker, and does to connections what networks do, by a seed.

use std::cell::{Cell, RefCell};
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

pub const KINDS: [Fault; 5] = [Fault::Reset, Fault::Cut, Fault::Stall, Fault::Delay, Fault::Refuse];

/// What a connection was doing when its fault came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// It had asked for a consumer or a producer, in part or without an answer.
    Opening,
    /// A batch of messages had gone over in part.
    Batch,
    /// A chunk of a message had.
    Chunk,
    /// Anything else.
    Other,
}

/// How many connections had which fault, and at what moment; those that ended before theirs are left out.
#[derive(Debug, Default)]
pub struct Struck {
    pub faults: BTreeMap<Fault, u32>,
    pub moments: BTreeMap<Moment, u32>,
    /// How many bytes of clients went on to the broker.
    pub passed_up: u64,
}

pub type Counts = Rc<RefCell<Struck>>;

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

/// Every so many connections that open a consumer or a producer have their fault then.
const OPENING_EVERY: u64 = 2;
/// How many bytes after the request for one such a fault comes at most: a request is about as long.
const OPENING_BYTES: u64 = 100;

/// How many bytes come late before a connection with that fault is cut.
const LATE_BYTES: u64 = 2000;

/// Serves connections until it is dropped: the kinds of fault take turns among the connections that live to have one, since
/// clients open and close others in between, and their places come from the seed.
pub async fn serve(listener: TcpListener, broker: String, seed: u64, bytes_max: u64, counts: Counts) {
    let mut chance = Chance(seed);
    let kinds: Kinds = Rc::new(RefCell::new(KINDS.into_iter().filter(|kind| *kind != Fault::Refuse).cycle()));
    let openings = Rc::new(Cell::new(0));
    for turn in 0usize.. {
        let (client, _) = listener.accept().await.expect("the proxy accepts");
        let (bytes, opening) = (chance.below(bytes_max), chance.below(OPENING_BYTES));
        if turn % KINDS.len() == KINDS.len() - 1 {
            *counts.borrow_mut().faults.entry(Fault::Refuse).or_default() += 1;
            continue;
        }
        let Ok(broker) = TcpStream::connect(broker.trim_start_matches("pulsar://")).await else { continue };
        let (up, down) = (Frames::default(), Frames::default());
        let relay = Relay { bytes, opening, openings: openings.clone(), up, down, opens: false, has_opened: false };
        tokio::task::spawn_local(relay.run((client, broker), kinds.clone(), counts.clone()));
    }
}

/// The kind of the next fault.
type Kinds = Rc<RefCell<dyn Iterator<Item = Fault>>>;

/// One connection on its way to its fault.
struct Relay {
    // How many bytes pass before it.
    bytes: u64,
    // How many do after it asks for a consumer or a producer, if its fault comes there.
    opening: u64,
    // How many connections have asked for one.
    openings: Rc<Cell<u64>>,
    up: Frames,
    down: Frames,
    // Whether it has asked for a consumer or a producer and has no answer.
    opens: bool,
    has_opened: bool,
}

impl Relay {
    async fn run(mut self, (mut client, mut broker): (TcpStream, TcpStream), kinds: Kinds, counts: Counts) {
        if !self.relay((&mut client, &mut broker), Duration::ZERO, &counts).await {
            return;
        }
        let fault = kinds.borrow_mut().next().expect("the kinds never end");
        if fault == Fault::Delay {
            self.bytes = LATE_BYTES;
            if !self.relay((&mut client, &mut broker), Duration::from_millis(3), &counts).await {
                return;
            }
        }
        *counts.borrow_mut().faults.entry(fault).or_default() += 1;
        *counts.borrow_mut().moments.entry(self.moment()).or_default() += 1;
        match fault {
            Fault::Reset => {
                let _ = client.set_zero_linger();
            }
            // The client has to find out by itself, and then closes.
            Fault::Stall => {
                let mut rest = vec![0; 4096];
                while client.readable().await.is_ok() && !matches!(client.try_read(&mut rest), Ok(0)) {}
            }
            // What is left unread would make a reset of it.
            Fault::Cut | Fault::Delay | Fault::Refuse => {
                let mut rest = vec![0; 4096];
                for side in [&client, &broker] {
                    while matches!(side.try_read(&mut rest), Ok(1..)) {}
                }
            }
        }
    }

    /// Passes on what comes until the fault; false if a side has ended before.
    async fn relay(
        &mut self,
        (client, broker): (&mut TcpStream, &mut TcpStream),
        late: Duration,
        counts: &Counts,
    ) -> bool {
        let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
        while self.bytes > 0 {
            // Both directions count. What does not pass is left where it is: it may have to pass late.
            let moved = tokio::select! {
                size = client.peek(&mut up) => match self.pass(&up, size, true) {
                    Some(size) => {
                        counts.borrow_mut().passed_up += size as u64;
                        forward(client, &mut up[..size], broker).await
                    }
                    None => false,
                },
                size = broker.peek(&mut down) => match self.pass(&down, size, false) {
                    Some(size) => forward(broker, &mut down[..size], client).await,
                    None => false,
                },
            };
            if !moved {
                return false;
            }
            if !late.is_zero() {
                tokio::time::sleep(late).await;
            }
        }
        true
    }

    /// How many of the bytes that have come go on before the fault; `None` if a side has ended.
    fn pass(&mut self, from: &[u8], size: std::io::Result<usize>, is_up: bool) -> Option<usize> {
        let size = size.ok().filter(|size| *size > 0)?;
        if is_up && !self.has_opened {
            let commands = self.up.clone().pass(&from[..size]);
            if let Some((at, _)) = commands.iter().find(|(_, kind)| OPENING.contains(kind)) {
                self.has_opened = true;
                self.openings.set(self.openings.get() + 1);
                if self.openings.get().is_multiple_of(OPENING_EVERY) {
                    self.bytes = self.bytes.min(*at as u64 + 1 + self.opening);
                }
            }
        }
        let size = size.min(usize::try_from(self.bytes).unwrap_or(usize::MAX));
        self.bytes -= size as u64;
        let frames = if is_up { &mut self.up } else { &mut self.down };
        for (_, kind) in frames.pass(&from[..size]) {
            match is_up {
                true => self.opens |= OPENING.contains(&kind),
                false => self.opens &= !OPENED.contains(&kind),
            }
        }
        Some(size)
    }

    fn moment(&self) -> Moment {
        match [&self.up, &self.down].into_iter().find_map(Frames::entry) {
            _ if self.opens => Moment::Opening,
            Some(moment) => moment,
            None => Moment::Other,
        }
    }
}

/// The commands that ask for a consumer and a producer, those that answer, and those that come with an entry.
const OPENING: [u8; 2] = [4, 5];
const OPENED: [u8; 3] = [13, 14, 17];
const WITH_ENTRY: [u8; 2] = [6, 9];
/// The fields of a message's metadata that say how many messages a batch has, and how many chunks a message.
const BATCH_FIELD: u64 = 11;
const CHUNKS_FIELD: u64 = 27;

/// Follows the frames of one direction.
#[derive(Clone, Default)]
struct Frames {
    // The first bytes of the frame that has begun.
    head: Vec<u8>,
    // How many of its bytes have passed.
    passed: usize,
}

impl Frames {
    const HEAD: usize = 2048;

    /// Follows bytes; gives the kinds of the commands that became known, and where the piece begins that showed each.
    fn pass(&mut self, bytes: &[u8]) -> Vec<(usize, u8)> {
        let (mut kinds, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let size = number(&self.head, 0);
            let wanted = size.map_or(4, |size| 4 + size) - self.passed;
            let (piece, later) = rest.split_at(wanted.min(rest.len()));
            let was_known = self.kind().is_some();
            self.head.extend(piece.iter().take(Self::HEAD - self.head.len()));
            self.passed += piece.len();
            if let Some(kind) = self.kind().filter(|_| !was_known) {
                kinds.push((bytes.len() - rest.len(), kind));
            }
            if size.is_some_and(|size| self.passed == 4 + size) {
                *self = Frames::default();
            }
            rest = later;
        }
        kinds
    }

    /// The kind of a command is its first field.
    fn kind(&self) -> Option<u8> {
        self.head.get(8..10).filter(|field| field[0] == 8).map(|field| field[1])
    }

    /// Whether it is an entry that has passed in part, and of what.
    fn entry(&self) -> Option<Moment> {
        self.kind().filter(|kind| WITH_ENTRY.contains(kind))?;
        let mut at = 8 + number(&self.head, 4)?;
        if self.head.get(at..at + 2)? == [0x0e, 0x02] {
            at += 6 + number(&self.head, at + 2)?;
        }
        if self.head.get(at..at + 2)? == [0x0e, 0x01] {
            at += 6;
        }
        let size = number(&self.head, at)?;
        let fields = fields(self.head.get(at + 4..at + 4 + size)?)?;
        Some(match (fields.contains(&CHUNKS_FIELD), fields.contains(&BATCH_FIELD)) {
            (true, _) => Moment::Chunk,
            (false, true) => Moment::Batch,
            (false, false) => Moment::Other,
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize)
}

/// The numbers of the fields that a message of Protobuf has.
fn fields(mut bytes: &[u8]) -> Option<Vec<u64>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        fields.push(tag >> 3);
        let size = match tag & 7 {
            0 => varint(&mut bytes).map(|_| 0)?,
            1 => 8,
            2 => varint(&mut bytes)? as usize,
            _ => 4,
        };
        bytes = bytes.get(size..)?;
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Passes on so many bytes, which have come; false if a side has ended.
async fn forward(from: &mut TcpStream, piece: &mut [u8], to: &mut TcpStream) -> bool {
    from.read_exact(piece).await.is_ok() && to.write_all(piece).await.is_ok()
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
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    while bytes > 0 {
        let most = up.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        let moved = tokio::select! {
            size = client.read(&mut up[..most]) => match size {
                Ok(size @ 1..) => {
                    bytes -= size as u64;
                    broker.write_all(&up[..size]).await.is_ok()
                }
                _ => false,
            },
            size = broker.read(&mut down) => match size {
                Ok(size @ 1..) => client.write_all(&down[..size]).await.is_ok(),
                _ => false,
            },
        };
        if !moved {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn what_passes_before_a_fault_is_what_was_sent_and_nothing_of_it_is_left_out() {
    // A request for a producer, and a frame without an end.
    let mut sent = vec![0, 0, 0, 6, 0, 0, 0, 2, 8, 5, 0x7f, 0xff, 0xff, 0xff];
    sent.extend((0..50_000u32).flat_map(u32::to_be_bytes));
    let bind = || TcpListener::bind(("127.0.0.1", 0));
    let (broker, proxy) = (bind().await.unwrap(), bind().await.unwrap());
    let port = proxy.local_addr().unwrap().port();
    let counts = Counts::default();
    let serving = serve(proxy, format!("pulsar://{}", broker.local_addr().unwrap()), 3, 20_000, counts.clone());
    let all = std::cell::Cell::new(0);
    let connections = async {
        for _ in 0..60 {
            let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let sending = async {
                // It fails where the fault comes; one that stalls is given up.
                let _ = tokio::time::timeout(Duration::from_secs(1), client.write_all(&sent)).await;
                drop(client);
            };
            let receiving = async {
                let accepted = tokio::time::timeout(Duration::from_millis(500), broker.accept()).await;
                let Ok(Ok((mut side, _))) = accepted else { return };
                let mut came = Vec::new();
                let _ = side.read_to_end(&mut came).await;
                assert!(sent.starts_with(&came), "{} bytes came", came.len());
                all.set(all.get() + came.len() as u64);
            };
            tokio::join!(sending, receiving);
        }
    };
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            tokio::select! { () = serving => {}, () = connections => {} }
        })
        .await;
    assert!(all.get() > 0);
    assert_eq!(counts.borrow().passed_up, all.get(), "all that went on has come");
    assert!(counts.borrow().faults.values().all(|count| *count >= 5), "{:?}", counts.borrow());
    assert_eq!(counts.borrow().faults.len(), KINDS.len());
}
