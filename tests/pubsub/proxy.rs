//! Stands between a mirror and the server, and makes connections stand still.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// What clients send first over a connection for messages, and not over one for questions.
const OF_MESSAGES: &[u8] = b"PRI";

/// A proxy, until the process ends.
pub struct Proxy {
    /// HOST:PORT.
    pub address: String,
    connections: Arc<Mutex<Vec<Arc<Connection>>>>,
}

struct Connection {
    is_of_messages: AtomicBool,
    stands_still: AtomicBool,
}

impl Proxy {
    pub fn start(server: &str) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (all, server) = (connections.clone(), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let connection = Connection { is_of_messages: false.into(), stands_still: false.into() };
                let connection = Arc::new(connection);
                all.lock().unwrap().push(connection.clone());
                relay(client, server, connection);
            }
        });
        Proxy { address, connections }
    }

    /// From now on nothing moves over the connections for messages that there are, and nobody is told; gives how many they
    /// are. New ones are not concerned.
    pub fn hold_messages(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        let of_messages = connections.iter().filter(|connection| connection.is_of_messages.load(SeqCst));
        of_messages.map(|connection| connection.stands_still.store(true, SeqCst)).count()
    }
}

fn relay(client: TcpStream, server: TcpStream, connection: Arc<Connection>) {
    let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let other = connection.clone();
    std::thread::spawn(move || {
        let is_first = |bytes: &[u8]| bytes.starts_with(OF_MESSAGES);
        pass(from_client, server, &connection, is_first);
    });
    std::thread::spawn(move || pass(from_server, client, &other, |_| false));
}

/// Passes on what comes, unless the connection stands still; its end is passed on in any case.
fn pass(mut from: TcpStream, mut to: TcpStream, connection: &Connection, is_of_messages: impl Fn(&[u8]) -> bool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(size @ 1..) = from.read(&mut bytes) {
        if is_of_messages(&bytes[..size]) {
            connection.is_of_messages.store(true, SeqCst);
        }
        if !connection.stands_still.load(SeqCst) && to.write_all(&bytes[..size]).is_err() {
            break;
        }
    }
    // The other side may have ended before.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
