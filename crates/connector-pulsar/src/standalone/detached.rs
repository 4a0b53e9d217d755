//! A broker that goes on after the process that started it has ended, until it is told to stop.
//!
//! ```text
//! FOLDER/ports     broker, admin and storage; kept over restarts, since the stored data names the last one
//! FOLDER/process   the number of the process that runs
//! ```

use super::broker::{Ports, Role, Standalone, at, free_ports, wait_until_ready};
use super::jars::fetch;
use crate::error::{Error, Result};
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A broker ends within some seconds of being asked to.
const STOP_ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(100);

/// A broker that runs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// Where clients connect.
    pub service_url: String,
    /// Where its admin interface is.
    pub admin_url: String,
    /// Its process.
    pub process: u32,
    /// Whether it ran before it was to be started.
    pub ran_before: bool,
}

/// Starts a broker whose data is in a folder, and waits until clients can use it; one that runs there goes on. Clients
/// connect to the port that is asked for, or else to one that is free and stays that of the folder.
pub fn start(cache: &Path, folder: &Path, settings: &str, port: Option<u16>) -> Result<Detached> {
    fs::create_dir_all(folder).map_err(at(folder))?;
    let folder = folder.canonicalize().map_err(at(folder))?;
    let known = known_ports(&folder)?;
    if let (Some(process), Some(ports)) = (running(&folder)?, known) {
        let runs = detached(ports, process, true);
        return match port {
            Some(port) if port != ports[0] => Err(Error::invalid(format!(
                "the broker with data in {} runs at {}, and is wanted at port {port}: stop it first",
                folder.display(),
                runs.service_url
            ))),
            _ => Ok(runs),
        };
    }
    let jars = fetch(cache)?;
    let mut ports = known.map_or_else(free_ports, Ok)?;
    if let Some(port) = port {
        TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
            Error::unavailable(format!(
                "the broker is wanted at port {port} of 127.0.0.1, which cannot be had: {error}"
            ))
        })?;
        ports[0] = port;
    }
    let broker = Standalone {
        folder: folder.clone(),
        jars,
        settings: settings.to_owned(),
        ports,
        process: None,
        environment: Vec::new(),
        role: Role::Only,
    };
    broker.prepare()?;
    write(&folder.join("ports"), &ports.map(|port| port.to_string()).join(" "))?;
    let mut command = Command::new("java");
    broker.complete(&mut command)?;
    // Ctrl-C in the terminal that started it is not meant for it.
    let child = command.stdin(Stdio::null()).process_group(0).spawn();
    let mut child = child.map_err(|error| Error::unavailable(format!("java does not start: {error}")))?;
    write(&folder.join("process"), &child.id().to_string())?;
    let log = broker.log();
    let ready = wait_until_ready(&broker.admin(), &log, || child.try_wait().map_err(at(&log)));
    if let Err(error) = ready {
        // It has ended, or it is of no use.
        let _ = child.kill();
        return Err(error);
    }
    Ok(detached(ports, child.id(), false))
}

/// Stops the broker of a folder; false if none runs there.
pub fn stop(folder: &Path) -> Result<bool> {
    let Ok(folder) = folder.canonicalize() else { return Ok(false) };
    let Some(process) = running(&folder)? else { return Ok(false) };
    for signal in ["-TERM", "-KILL"] {
        let sent = Command::new("kill").args([signal, &process.to_string()]).output();
        sent.map_err(|error| Error::unavailable(format!("kill does not start: {error}")))?;
        for _ in 0..STOP_ATTEMPTS {
            if running(&folder)?.is_none() {
                return Ok(true);
            }
            std::thread::park_timeout(PAUSE);
        }
    }
    Err(Error::unavailable(format!("process {process} of the broker does not end")))
}

fn detached([broker, admin, _]: Ports, process: u32, ran_before: bool) -> Detached {
    let service_url = format!("pulsar://127.0.0.1:{broker}");
    Detached { service_url, admin_url: format!("http://127.0.0.1:{admin}"), process, ran_before }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(at(path))
}

fn read(path: PathBuf) -> Result<Option<String>> {
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(&path)(error)),
    }
}

fn known_ports(folder: &Path) -> Result<Option<Ports>> {
    let path = folder.join("ports");
    let Some(text) = read(path.clone())? else { return Ok(None) };
    let ports: Option<Vec<u16>> = text.split_whitespace().map(|port| port.parse().ok()).collect();
    match ports.and_then(|ports| ports.try_into().ok()) {
        Some(ports) => Ok(Some(ports)),
        None => Err(Error::invalid(format!("{} does not hold three ports; start in another folder", path.display()))),
    }
}

/// The process of the broker of a folder, if it runs. A number that another program has got since is none.
fn running(folder: &Path) -> Result<Option<u32>> {
    let Some(process) = read(folder.join("process"))?.and_then(|text| text.trim().parse::<u32>().ok()) else {
        return Ok(None);
    };
    let shown = Command::new("ps").args(["-ww", "-o", "stat=,command=", "-p", &process.to_string()]).output();
    let shown = shown.map_err(|error| Error::unavailable(format!("ps does not start: {error}")))?;
    let line = String::from_utf8_lossy(&shown.stdout).into_owned();
    let is_ours = line.contains(&format!("{}", folder.join("standalone.conf").display()));
    // One that has ended and that nobody has waited for is shown with a Z.
    Ok(Some(process).filter(|_| is_ours && !line.trim_start().starts_with('Z')))
}
