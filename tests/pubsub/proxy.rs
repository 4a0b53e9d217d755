//! Stands between a mirror and the server, and makes connections stand still, or cuts them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};

/// What clients send first over a connection for gRPC, and not over one for plain HTTP.
const OF_GRPC: &[u8] = b"PRI";
/// `/google.pubsub.v1.Subscriber/StreamingPull` as HTTP/2 writes it: what is asked first over a connection for messages.
const OF_MESSAGES: &[u8] = &[
    0x62, 0x63, 0x9e, 0x6a, 0x0a, 0xbd, 0x76, 0xc6, 0x8b, 0x63, 0x5f, 0xb8, 0x57, 0xdd, 0x6c, 0x68, 0x25, 0x86, 0x8c,
    0xb6, 0x31, 0xb9, 0x36, 0x14, 0x74, 0x9a, 0xa9, 0xb5, 0xdb, 0x45, 0x1f,
];

/// Which connections are cut, those that there are and those to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Nothing,
    /// Those for messages, while subscriptions can be looked at.
    Messages,
    /// All for gRPC, while plain HTTP is answered.
    Grpc,
}

/// A proxy, until the process ends.
pub struct Proxy {
    /// HOST:PORT.
    pub address: String,
    // Those that are over are gone, and their sockets with them: clients that are cut off come again at once.
    connections: Arc<Mutex<Vec<Weak<Connection>>>>,
    cut: Arc<Mutex<Cut>>,
}

struct Connection {
    client: TcpStream,
    cut: Arc<Mutex<Cut>>,
    is_of_grpc: AtomicBool,
    is_of_messages: AtomicBool,
    stands_still: AtomicBool,
}

impl Proxy {
    pub fn start(server: &str) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections: Arc<Mutex<Vec<Weak<Connection>>>> = Arc::default();
        let cut = Arc::new(Mutex::new(Cut::Nothing));
        let (all, cuts, server) = (connections.clone(), cut.clone(), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let connection = Arc::new(Connection {
                    client: client.try_clone().unwrap(),
                    cut: cuts.clone(),
                    is_of_grpc: false.into(),
                    is_of_messages: false.into(),
                    stands_still: false.into(),
                });
                let mut all = all.lock().unwrap();
                all.retain(|connection| connection.strong_count() > 0);
                all.push(Arc::downgrade(&connection));
                drop(all);
                relay(client, server, connection);
            }
        });
        Proxy { address, connections, cut }
    }

    /// Cuts connections from now on.
    pub fn cut(&self, what: Cut) {
        *self.cut.lock().unwrap() = what;
        let connections = self.connections.lock().unwrap();
        for connection in connections.iter().filter_map(Weak::upgrade).filter(|connection| connection.is_cut()) {
            // It may be over already.
            let _ = connection.client.shutdown(Shutdown::Both);
        }
    }

    /// From now on nothing moves over the connections for messages that there are, and nobody is told; gives how many they
    /// are. New ones are not concerned.
    pub fn hold_messages(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        let of_messages =
            connections.iter().filter_map(Weak::upgrade).filter(|connection| connection.is_of_messages.load(SeqCst));
        of_messages.map(|connection| connection.stands_still.store(true, SeqCst)).count()
    }
}

impl Connection {
    fn is_cut(&self) -> bool {
        match *self.cut.lock().unwrap() {
            Cut::Nothing => false,
            Cut::Messages => self.is_of_messages.load(SeqCst),
            Cut::Grpc => self.is_of_grpc.load(SeqCst),
        }
    }

    fn note(&self, bytes: &[u8]) {
        if bytes.starts_with(OF_GRPC) {
            self.is_of_grpc.store(true, SeqCst);
        }
        if bytes.windows(OF_MESSAGES.len()).any(|some| some == OF_MESSAGES) {
            self.is_of_messages.store(true, SeqCst);
        }
    }
}

fn relay(client: TcpStream, server: TcpStream, connection: Arc<Connection>) {
    let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let other = connection.clone();
    std::thread::spawn(move || {
        pass(from_client, server, &connection, true);
    });
    std::thread::spawn(move || pass(from_server, client, &other, false));
}

/// Passes on what comes, unless the connection stands still; its end is passed on in any case.
fn pass(mut from: TcpStream, mut to: TcpStream, connection: &Connection, is_from_client: bool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(size @ 1..) = from.read(&mut bytes) {
        if is_from_client {
            connection.note(&bytes[..size]);
        }
        if connection.is_cut() {
            break;
        }
        if !connection.stands_still.load(SeqCst) && to.write_all(&bytes[..size]).is_err() {
            break;
        }
    }
    // The other side may have ended before.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
