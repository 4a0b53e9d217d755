//! A running job's side of the channel: what others ask is answered by threads beside the job, each for a bounded time,
//! and nothing that they send reaches the job but what it is asked for.

use crate::anchors;
use crate::channel::{Ask, SOCKET, SocketPath, VERSION, savepoint_json};
use crate::clock::{Stopwatch, SystemClock, rest};
use crate::print;
use crate::signals::Stop;
use crate::watermark;
use dataflow::{Checkpoint, CheckpointStore, Clock, Error, EventTime, ProcessingTime, Result};
use engine::Control;
use project::{HeldAnchors, SavedJob, SavepointRequests};
use seam::StreamStats;
use serde_json::{Value, json};
use std::fs::Permissions;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// How long somebody may take to say what he asks, and to take an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest line that is read.
const LINE_BYTES_MAX: usize = 64 << 10;
/// How many may ask at a time.
const ASKING_MAX: usize = 32;

/// When a process began to run a job, and what it has written since: both go on where topics with more partitions make it
/// open its inputs again.
#[derive(Clone)]
pub struct Begun {
    pub at: ProcessingTime,
    /// Rows that its outputs have written.
    pub written: Arc<AtomicI64>,
}

impl Begun {
    /// Begins now.
    pub fn now() -> Begun {
        Begun { at: SystemClock.now(), written: Arc::default() }
    }
}

/// What a running job shows, and what it takes.
pub struct RunningJob {
    pub begun: Begun,
    pub workers: usize,
    /// Whether it builds the state of changed pipelines, before the job goes on.
    pub builds: bool,
    pub stats: Vec<Arc<StreamStats>>,
    /// How much state there is.
    pub state: StateSize,
    pub control: Arc<Control>,
    pub stop: Stop,
    pub savepoints: SavepointRequests,
    /// The subscriptions that keep what it has not read.
    pub anchors: Vec<HeldAnchors>,
    /// How many wait to be told of a savepoint.
    pub waiting: AtomicUsize,
}

/// The bytes of the state of a job, as they were looked at last.
#[derive(Default)]
pub struct StateSize {
    memory: AtomicUsize,
    disk: AtomicUsize,
}

impl StateSize {
    /// Says how many there are in memory and on disk.
    pub fn set(&self, (memory, disk): (usize, usize)) {
        self.memory.store(memory, Relaxed);
        self.disk.store(disk, Relaxed);
    }
}

/// Checkpoints, and the socket beside them: it goes before their lock is free, so that it is never a successor's.
pub struct Attended {
    // Fields are dropped in this sequence.
    _socket: Option<Socket>,
    checkpoints: Box<dyn CheckpointStore>,
}

impl Attended {
    /// Listens beside the checkpoints in a folder, which this run holds: a socket that is there is one of a run that was
    /// killed. Where it cannot, the job runs all the same.
    pub fn listen(folder: &Path, job: Arc<RunningJob>, checkpoints: Box<dyn CheckpointStore>) -> Attended {
        let socket = Socket::listen(folder, job);
        if let Err(error) = &socket {
            print::note(format_args!(
                "`riverrun stop` and `riverrun savepoint` cannot reach this run, and Ctrl-C stops it: no socket can be made \
                 in {}: {error}",
                folder.display()
            ));
        }
        Attended { _socket: socket.ok(), checkpoints }
    }
}

impl CheckpointStore for Attended {
    fn put(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.checkpoints.put(checkpoint)
    }
}

/// The socket, until it is dropped.
struct Socket(PathBuf);

impl Socket {
    fn listen(folder: &Path, job: Arc<RunningJob>) -> io::Result<Socket> {
        // It has its name once only its owner may write to it; a name that is taken is taken over.
        let unfinished = format!(".{SOCKET}-{}", std::process::id());
        let path = SocketPath::of(folder, &unfinished)?;
        let _ = std::fs::remove_file(&path.path);
        let listener = UnixListener::bind(&path.path)?;
        let owned = std::fs::set_permissions(&path.path, Permissions::from_mode(0o600))
            .and_then(|()| std::fs::rename(folder.join(&unfinished), folder.join(SOCKET)));
        if let Err(error) = owned {
            let _ = std::fs::remove_file(folder.join(&unfinished));
            return Err(error);
        }
        let socket = Socket(folder.join(SOCKET));
        std::thread::Builder::new().name("control".to_owned()).spawn(move || attend(&listener, &job))?;
        Ok(socket)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A socket that stays is taken over by the next run.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Takes whoever comes, until the process ends.
fn attend(listener: &UnixListener, job: &Arc<RunningJob>) {
    let asking = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            // Whoever it was has gone, or too many files are open; the next one may have more luck.
            Err(_) => {
                rest();
                continue;
            }
        };
        if asking.load(Relaxed) >= ASKING_MAX {
            // Who is turned away without a word is told by the end of his connection.
            continue;
        }
        asking.fetch_add(1, Relaxed);
        let (job, of_thread) = (job.clone(), asking.clone());
        let serve = move || {
            if answer(&stream, &job).unwrap_or(false) {
                // The connection of who has asked for the end ends with the process.
                loop {
                    std::thread::park();
                }
            }
            of_thread.fetch_sub(1, Relaxed);
        };
        if std::thread::Builder::new().name("control".to_owned()).spawn(serve).is_err() {
            asking.fetch_sub(1, Relaxed);
        }
    }
}

/// Answers one; true if the connection is to stay until the process ends.
fn answer(stream: &UnixStream, job: &RunningJob) -> io::Result<bool> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let asked = match read_line(stream)? {
        Some(line) => Ask::parse(&line),
        None => Err(Error::invalid(format!("what is asked has no end within {LINE_BYTES_MAX} bytes"))),
    };
    match asked {
        Ok(Ask::Status) => say(stream, "status", job.status()).map(|()| false),
        Ok(Ask::Watermarks) => {
            let watermarks = job.stats.iter().map(|stats| watermark::as_json(stats)).collect();
            say(stream, "watermarks", Value::Array(watermarks)).map(|()| false)
        }
        Ok(Ask::Savepoint(_)) if job.builds => {
            say_error(stream, &building("ask again once the job runs")).map(|()| false)
        }
        Ok(Ask::Stop(savepoint)) if job.builds => {
            job.stop.ask();
            say(stream, "stopping", true.into())?;
            let told =
                savepoint.is_some().then(|| say_error(stream, &building("the run ends, and nothing has changed")));
            told.unwrap_or(Ok(())).map(|()| true)
        }
        Ok(Ask::Savepoint(to)) => {
            let _waiting = Waiting::of(job);
            let saved = job.savepoints.ask(to, false);
            job.control.commit();
            say_saved(stream, &saved).map(|()| false)
        }
        Ok(Ask::Stop(savepoint)) => {
            let _waiting = savepoint.is_some().then(|| Waiting::of(job));
            let saved = savepoint.map(|to| job.savepoints.ask(to, true));
            job.stop.ask();
            // Whoever has asked may have gone; the job ends all the same.
            say(stream, "stopping", true.into())?;
            saved.map_or(Ok(()), |saved| say_saved(stream, &saved)).map(|()| true)
        }
        Err(error) => say_error(stream, &error).map(|()| false),
    }
}

/// The error of a savepoint of a job that has not begun to go on.
fn building(then: &str) -> Error {
    Error::unavailable(format!(
        "no savepoint is made while the state of changed pipelines is built; the newest checkpoint is as it was, and {then}"
    ))
}

/// Somebody who waits to be told of a savepoint.
struct Waiting<'a>(&'a RunningJob);

impl Waiting<'_> {
    fn of(job: &RunningJob) -> Waiting<'_> {
        job.waiting.fetch_add(1, Relaxed);
        Waiting(job)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// The first line, without its end; `None` when it is too long. What has not come in time never does.
fn read_line(mut stream: &UnixStream) -> io::Result<Option<String>> {
    let (watch, mut line, mut buffer) = (Stopwatch::start(), Vec::new(), [0; 1024]);
    loop {
        let read = stream.read(&mut buffer)?;
        line.extend_from_slice(&buffer[..read]);
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
        }
        if line.len() > LINE_BYTES_MAX {
            return Ok(None);
        }
        if read == 0 || watch.elapsed() > PATIENCE {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

fn say_saved(stream: &UnixStream, saved: &Receiver<Result<SavedJob>>) -> io::Result<()> {
    let ended = || Err(Error::unavailable("the job ended before it had made the savepoint; see what it said"));
    match saved.recv().unwrap_or_else(|_| ended()) {
        Ok(saved) => say(stream, "savepoint", savepoint_json(&saved)),
        Err(error) => say_error(stream, &error),
    }
}

fn say_error(stream: &UnixStream, error: &Error) -> io::Result<()> {
    say(stream, "error", json!({ "message": error.chain() }))
}

fn say(mut stream: &UnixStream, what: &str, value: Value) -> io::Result<()> {
    stream.write_all(format!("{}\n", json!({ "version": VERSION, what: value })).as_bytes())
}

impl RunningJob {
    /// Waits until those who wait for a savepoint that was made have been told of it: with the process their connections
    /// end.
    pub fn tell_all(&self) {
        let watch = Stopwatch::start();
        while self.waiting.load(Relaxed) > 0 && watch.elapsed() < PATIENCE {
            rest();
        }
    }

    /// How the job stands.
    fn status(&self) -> Value {
        let stream = |stats: &Arc<StreamStats>| {
            let counts = stats.counts();
            let watermark = match counts.watermark {
                EventTime::MIN => Value::Null,
                at => at.to_string().into(),
            };
            json!({
                "stream": stats.name, "history_rows": counts.history_rows, "history_total": stats.history_total,
                "live_rows": counts.live_rows, "in_history": counts.in_history, "watermark": watermark,
                "watermark_us": counts.watermark.0,
            })
        };
        json!({
            "process": std::process::id(), "since": self.begun.at.to_string(), "workers": self.workers,
            "builds_state": self.builds, "rows_written": self.begun.written.load(Relaxed), "state_bytes_in_memory": self.state.memory.load(Relaxed),
            "state_bytes_on_disk": self.state.disk.load(Relaxed), "streams": self.stats.iter().map(stream).collect::<Vec<_>>(),
            "anchors": self.anchors.iter().map(anchors::running_json).collect::<Vec<_>>(),
        })
    }
}
