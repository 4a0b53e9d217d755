//! A server of Pub/Sub on this machine, for development: the one that Google tests its own clients with, built with Go.
//!
//! ```text
//! CACHE/pubsub-emulator-DIGEST/emulator   the program, built once from the sources that lie here
//! FOLDER/address   where it listens; kept over restarts
//! FOLDER/process   the number of the process that runs
//! FOLDER/log       what it says
//! ```

use dataflow::{Error, Result};
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the program is built from.
const SOURCES: [(&str, &str); 3] = [
    ("main.go", include_str!("server/main.go")),
    ("go.mod", include_str!("server/go.mod")),
    ("go.sum", include_str!("server/go.sum")),
];
/// A server is ready, or has ended, within some seconds.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// A server that runs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// HOST:PORT, for `PUBSUB_EMULATOR_HOST`.
    pub address: String,
    /// Its process.
    pub process: u32,
    /// Whether it ran before it was to be started.
    pub ran_before: bool,
}

/// Whether the program is built already.
pub fn is_built(cache: &Path) -> bool {
    program(cache).exists()
}

/// Starts a server, and waits until clients can use it; one that runs there goes on. What it holds is in memory.
pub fn start(cache: &Path, folder: &Path) -> Result<Detached> {
    fs::create_dir_all(folder).map_err(at(folder))?;
    let folder = folder.canonicalize().map_err(at(folder))?;
    let known = read(&folder.join("address"))?;
    if let (Some(process), Some(address)) = (running(&folder)?, &known) {
        return Ok(Detached { address: address.clone(), process, ran_before: true });
    }
    let program = build(cache)?;
    let address = match known {
        Some(address) => address,
        None => free_address()?,
    };
    let log = folder.join("log");
    let told = fs::File::create(&log).map_err(at(&log))?;
    // The folder is named so that the process is known as that of this folder. Ctrl-C in the terminal is not meant for it.
    let mut command = Command::new(&program);
    command.arg(&address).arg(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(told).process_group(0);
    let child = command.spawn();
    let mut child = child.map_err(|error| Error::unavailable("the server does not start").with_source(error))?;
    write(&folder.join("address"), &address)?;
    write(&folder.join("process"), &child.id().to_string())?;
    for _ in 0..ATTEMPTS {
        if TcpStream::connect(&address).is_ok() {
            return Ok(Detached { address, process: child.id(), ran_before: false });
        }
        if child.try_wait().map_err(at(&program))?.is_some() {
            break;
        }
        std::thread::park_timeout(PAUSE);
    }
    // It has ended, or it is of no use.
    let _ = child.kill();
    let told = read(&log)?.unwrap_or_default();
    Err(Error::unavailable(format!("the server of Pub/Sub does not listen on {address}: {told}")))
}

/// Stops the server of a folder; false if none runs there.
pub fn stop(folder: &Path) -> Result<bool> {
    let Ok(folder) = folder.canonicalize() else { return Ok(false) };
    let Some(process) = running(&folder)? else { return Ok(false) };
    for signal in ["-TERM", "-KILL"] {
        let sent = Command::new("kill").args([signal, &process.to_string()]).output();
        sent.map_err(|error| Error::unavailable("kill does not start").with_source(error))?;
        for _ in 0..ATTEMPTS {
            if running(&folder)?.is_none() {
                return Ok(true);
            }
            std::thread::park_timeout(PAUSE);
        }
    }
    Err(Error::unavailable(format!("process {process} of the server does not end")))
}

/// The program, in a folder that is named after what it is built from.
fn program(cache: &Path) -> PathBuf {
    let mut digest = xxhash_rust::xxh3::Xxh3::new();
    SOURCES.iter().for_each(|(name, text)| digest.update(format!("{name}\0{text}\0").as_bytes()));
    cache.join(format!("pubsub-emulator-{:016x}", digest.digest())).join("emulator")
}

/// Builds the program unless it is there. It takes its name when it is whole, so that others may build it at once.
fn build(cache: &Path) -> Result<PathBuf> {
    let program = program(cache);
    if program.exists() {
        return Ok(program);
    }
    let folder = program.parent().unwrap_or(cache);
    let sources = folder.join(format!("build-{}", std::process::id()));
    fs::create_dir_all(&sources).map_err(at(&sources))?;
    for (name, text) in SOURCES {
        write(&sources.join(name), text)?;
    }
    // Settings of the machine must not change the versions that are pinned.
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-mod=readonly", "-o", "emulator", "."]).current_dir(&sources).env("GOWORK", "off");
    let built = go.output().map_err(|error| {
        Error::unavailable("the server of Pub/Sub is built with Go, 1.26 or newer, and `go` does not start: install it")
            .with_source(error)
    })?;
    if !built.status.success() {
        let told = String::from_utf8_lossy(&built.stderr).trim().to_owned();
        return Err(Error::unavailable(format!("`go build` of the server of Pub/Sub fails: {told}")));
    }
    fs::rename(sources.join("emulator"), &program).map_err(at(&program))?;
    // Nobody needs them any more.
    let _ = fs::remove_dir_all(&sources);
    Ok(program)
}

fn free_address() -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let address = listener.map_err(|error| Error::unavailable("no port is free").with_source(error))?;
    Ok(address.to_string())
}

/// The process of the server of a folder, if it runs. A number that another program has got since is none.
fn running(folder: &Path) -> Result<Option<u32>> {
    let Some(process) = read(&folder.join("process"))?.and_then(|text| text.trim().parse::<u32>().ok()) else {
        return Ok(None);
    };
    let shown = Command::new("ps").args(["-ww", "-o", "stat=,command=", "-p", &process.to_string()]).output();
    let shown = shown.map_err(|error| Error::unavailable("ps does not start").with_source(error))?;
    let line = String::from_utf8_lossy(&shown.stdout).into_owned();
    let is_ours = line.trim_end().ends_with(&format!(" {}", folder.display()));
    // One that has ended and that nobody has waited for is shown with a Z.
    Ok(Some(process).filter(|_| is_ours && !line.trim_start().starts_with('Z')))
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |error| Error::unavailable(format!("\"{path}\" cannot be used")).with_source(error)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::File::create(path).map_err(at(path))?;
    file.write_all(text.as_bytes()).map_err(at(path))
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}
