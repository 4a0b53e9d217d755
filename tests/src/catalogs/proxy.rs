//! What stands between a client and an HTTP server, and does to requests and answers what a test says.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request of a client.
#[derive(Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path, and what comes after it.
    pub path: String,
    /// The headers, their names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The same for another host.
    pub fn to_host(mut self, host: &str) -> Request {
        self.headers.retain(|(name, _)| name != "host");
        self.headers.push(("host".to_owned(), host.to_owned()));
        self
    }

    /// Gives it another body.
    pub fn set_body(&mut self, body: Vec<u8>) {
        self.headers.retain(|(name, _)| name != "content-length");
        self.headers.push(("content-length".to_owned(), body.len().to_string()));
        self.body = body;
    }

    /// Whether it changes a table.
    pub fn is_commit(&self) -> bool {
        self.method == "POST" && self.path.rsplit('/').nth(1) == Some("tables")
    }
}

/// What a client is answered.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, without those that say how long the body is.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The answer of a server.
    pub fn of(answer: &[u8]) -> Reply {
        let (status, body) = parsed(answer);
        let head = String::from_utf8_lossy(answer);
        let lines = head.split("\r\n\r\n").next().unwrap_or_default().lines().skip(1);
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            !["content-length", "transfer-encoding", "connection"].contains(&name.as_str())
        });
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Reply { status, headers, body: body.into_bytes() }
    }

    /// The answer as it is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Told\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\nconnection: close\r\n\r\n", self.body.len());
        [head.as_bytes(), &self.body].concat()
    }
}

/// The server that a proxy stands before.
pub struct Upstream(u16);

impl Upstream {
    /// Sends a request; gives the whole answer.
    pub fn send(&self, request: &Request) -> io::Result<Vec<u8>> {
        forwarded(self.0, request)
    }
}

/// What makes the answer to a request, with requests of its own to the server.
pub type Service = Box<dyn FnOnce(&Upstream, Request) -> io::Result<Vec<u8>> + Send>;

/// What becomes of a request.
pub enum Treatment {
    /// It goes to the server, and the answer to the client.
    Pass,
    /// It goes to the server with another path, and without what the client shows to be let in.
    PassTo(String),
    /// It goes to the server and the answer to the client, with texts of the client in place of those of the server: pairs
    /// of both.
    Translate(Vec<(String, String)>),
    /// The client gets an answer, and the server nothing.
    Answer(u16, String),
    /// It goes to the server, and the body of the answer is changed.
    Change(Box<dyn FnOnce(String) -> String + Send>),
    /// The answer is made of others.
    Serve(Service),
    /// A fault.
    Fault(Fault),
}

/// What goes wrong with a request that changes something.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The server does it, and its answer is lost.
    AnswerLost,
    /// The server never gets it.
    RequestLost,
    /// The server gets it after so many milliseconds, whether the client still waits or not.
    Delayed(u64),
    /// The server gets it twice, and the client the second answer.
    Repeated,
    /// The server does it, and the client gets so many bytes of the answer.
    Cut(usize),
    /// The server does it, and the client gets an error in place of the answer.
    ErrorAfter(u16),
    /// The server never gets it, and the client gets an error.
    ErrorBefore(u16),
}

impl Fault {
    /// The names of all kinds.
    pub const KINDS: [&str; 7] =
        ["answer lost", "request lost", "delayed", "repeated", "cut", "error after", "error before"];

    /// The name of its kind.
    pub fn kind(self) -> &'static str {
        let kind = match self {
            Fault::AnswerLost => 0,
            Fault::RequestLost => 1,
            Fault::Delayed(_) => 2,
            Fault::Repeated => 3,
            Fault::Cut(_) => 4,
            Fault::ErrorAfter(_) => 5,
            Fault::ErrorBefore(_) => 6,
        };
        Fault::KINDS[kind]
    }
}

/// A proxy that ends with its owner.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    is_over: Arc<AtomicBool>,
    faults: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Proxy {
    /// Starts one before a port of this machine.
    pub fn start(upstream: u16, treat: impl Fn(&Request) -> Treatment + Send + Sync + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let (is_over, treat) = (Arc::new(AtomicBool::new(false)), Arc::new(treat));
        let (over, faults) = (is_over.clone(), Arc::new(Mutex::new(BTreeMap::new())));
        let counted = faults.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (treat, counted) = (treat.clone(), counted.clone());
                let treat = move |request: &Request| {
                    let treatment = treat(request);
                    if let Treatment::Fault(fault) = treatment {
                        *counted.lock().expect("nobody fails with it").entry(fault.kind()).or_default() += 1;
                    }
                    treatment
                };
                // A connection that breaks is the client's to see.
                thread::spawn(move || client.and_then(|client| serve(client, upstream, &treat)));
            }
        });
        Proxy { port, is_over, faults }
    }

    /// How many faults there have been.
    pub fn faults(&self) -> usize {
        self.faults_by_kind().values().sum()
    }

    /// How many faults there have been of each kind.
    pub fn faults_by_kind(&self) -> BTreeMap<&'static str, usize> {
        self.faults.lock().expect("nobody fails with it").clone()
    }

    /// `http://HOST:PORT`.
    pub fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // So that it looks.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Serves one request of a connection, and closes it.
fn serve(mut client: TcpStream, upstream: u16, treat: &dyn Fn(&Request) -> Treatment) -> io::Result<()> {
    let Some(mut request) = read_request(&mut BufReader::new(client.try_clone()?))? else { return Ok(()) };
    match treat(&request) {
        Treatment::Pass => client.write_all(&forwarded(upstream, &request)?),
        Treatment::PassTo(path) => {
            request.path = path;
            request.headers.retain(|(name, _)| name != "authorization");
            client.write_all(&forwarded(upstream, &request)?)
        }
        Treatment::Translate(pairs) => {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let body = pairs.iter().fold(body, |body, (client, server)| body.replace(client, server));
            request.set_body(body.into_bytes());
            let (status, body) = parsed(&forwarded(upstream, &request)?);
            let body = pairs.iter().fold(body, |body, (client, server)| body.replace(server, client));
            client.write_all(&answer(status, body.as_bytes()))
        }
        Treatment::Answer(status, body) => client.write_all(&answer(status, body.as_bytes())),
        Treatment::Change(change) => {
            let (status, body) = parsed(&forwarded(upstream, &request)?);
            client.write_all(&answer(status, change(body).as_bytes()))
        }
        Treatment::Serve(service) => client.write_all(&service(&Upstream(upstream), request)?),
        Treatment::Fault(fault) => fail(client, upstream, &request, fault),
    }
}

#[expect(clippy::disallowed_methods, reason = "an answer is held up")]
fn fail(mut client: TcpStream, upstream: u16, request: &Request, fault: Fault) -> io::Result<()> {
    match fault {
        Fault::AnswerLost => forwarded(upstream, request).map(drop),
        Fault::RequestLost => Ok(()),
        Fault::Delayed(millis) => {
            thread::sleep(Duration::from_millis(millis));
            let answer = forwarded(upstream, request)?;
            client.write_all(&answer)
        }
        Fault::Repeated => {
            forwarded(upstream, request)?;
            client.write_all(&forwarded(upstream, request)?)
        }
        Fault::Cut(bytes) => {
            let answer = forwarded(upstream, request)?;
            client.write_all(&answer[..bytes.min(answer.len().saturating_sub(1))])
        }
        Fault::ErrorAfter(status) => {
            forwarded(upstream, request)?;
            client.write_all(&answer(status, b""))
        }
        Fault::ErrorBefore(status) => client.write_all(&answer(status, b"")),
    }
}

fn read_request(from: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_whitespace();
    let (method, path) = (parts.next().unwrap_or_default().to_owned(), parts.next().unwrap_or_default().to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { method, path, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    from.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// The whole answer of the server, which closes the connection after it.
fn forwarded(upstream: u16, request: &Request) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        if !["connection", "accept-encoding"].contains(&name.as_str()) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    text += "connection: close\r\n\r\n";
    server.write_all(text.as_bytes())?;
    server.write_all(&request.body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}

fn answer(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The status and the body of an answer, whose pieces are put together.
fn parsed(answer: &[u8]) -> (u16, String) {
    let text = String::from_utf8_lossy(answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(502);
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return (status, body.to_owned());
    }
    let (mut whole, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole.push_str(after.get(..size).unwrap_or_default());
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (status, whole)
}
