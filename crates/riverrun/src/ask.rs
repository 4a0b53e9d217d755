//! Asks a running job something, through the socket beside its checkpoints.

use crate::channel::{Ask, SOCKET, SocketPath, VERSION};
use dataflow::{Error, Result};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a running job may take to say how it stands: one that is stopped by a signal says nothing.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a running job.
pub struct Connection {
    reader: BufReader<UnixStream>,
}

/// What a running job said.
#[derive(Debug)]
pub enum Answer {
    Status(Value),
    Watermarks(Value),
    Stopping,
    Savepoint(Value),
    /// Nothing more comes: the process has ended, or has turned us away.
    End,
}

impl Connection {
    /// Connects to the run of a job; none where nobody runs it.
    pub fn open(folder: &Path) -> Result<Option<Connection>> {
        let failed = |e: io::Error| {
            Error::unavailable(format!("the run of \"{}\" cannot be reached", folder.display())).with_source(e)
        };
        if !folder.is_dir() {
            return Ok(None);
        }
        let path = SocketPath::of(folder, SOCKET).map_err(failed)?;
        match UnixStream::connect(&path.path) {
            Ok(stream) => Ok(Some(Connection { reader: BufReader::new(stream) })),
            // A run that was killed has left its socket.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            Err(e) if e.kind() == ErrorKind::PermissionDenied => Err(Error::invalid(format!(
                "the job in \"{}\" is run by another user, and only that one may ask it",
                folder.display()
            ))),
            Err(e) => Err(failed(e)),
        }
    }

    /// As [`Connection::open`], for what is waited for without end: a process that is stopped by a signal takes what it is
    /// asked and does nothing, which is an error here.
    pub fn to_attentive(folder: &Path) -> Result<Option<Connection>> {
        let Some(mut first) = Connection::open(folder)? else { return Ok(None) };
        first.ask(&Ask::Status)?;
        first.answer().map_err(|e| {
            e.context(
                "the job cannot be asked: its process may be stopped by Ctrl-Z or SIGSTOP, which `kill -CONT` ends",
            )
        })?;
        Connection::open(folder)
    }

    /// Asks for something.
    pub fn ask(&mut self, ask: &Ask) -> Result<()> {
        let line = ask.line()?;
        let patience = matches!(ask, Ask::Status | Ask::Watermarks).then_some(STATUS_PATIENCE);
        let stream = self.reader.get_mut();
        let asked = stream.set_read_timeout(patience).and_then(|()| stream.write_all(line.as_bytes()));
        asked.map_err(|e| Error::unavailable("the job does not take what it is asked").with_source(e))
    }

    /// Waits for what it says next.
    pub fn answer(&mut self) -> Result<Answer> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => return Ok(Answer::End),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(Answer::End),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(Error::unavailable(format!("it says nothing for {} s", STATUS_PATIENCE.as_secs())));
            }
            Err(e) => return Err(Error::unavailable("the connection to the job broke").with_source(e)),
            Ok(_) => {}
        }
        let unknown =
            || Error::invalid(format!("the job answers what this riverrun does not know: {}", line.trim_end()));
        let mut told: Value = serde_json::from_str(&line).map_err(|e| unknown().with_source(e))?;
        if told["version"] != VERSION {
            return Err(unknown());
        }
        if let Some(message) = told["error"]["message"].as_str() {
            return Err(Error::unavailable(message.to_owned()));
        }
        match ["status", "savepoint", "stopping", "watermarks"].map(|key| told[key].take()) {
            [status @ Value::Object(_), ..] => Ok(Answer::Status(status)),
            [_, saved @ Value::Object(_), ..] => Ok(Answer::Savepoint(saved)),
            [_, _, Value::Bool(true), _] => Ok(Answer::Stopping),
            [.., watermarks @ Value::Array(_)] => Ok(Answer::Watermarks(watermarks)),
            _ => Err(unknown()),
        }
    }
}
