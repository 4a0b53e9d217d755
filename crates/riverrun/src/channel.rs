//! The channel to a running job: a socket beside its checkpoints. One line of JSON is asked, lines of JSON are answered.
//!
//! ```text
//! {"version":1,"ask":"status"}                       {"version":1,"status":{..}}
//! {"version":1,"ask":"watermarks"}                   {"version":1,"watermarks":{..}}
//! {"version":1,"ask":"savepoint","to":"/a/folder"}   {"version":1,"savepoint":{..}}; also to a location in a store
//! {"version":1,"ask":"stop","savepoint":true}        {"version":1,"stopping":true}, then the savepoint; the connection
//!                                                    ends with the process
//! anything else                                      {"version":1,"error":{"message":"..","hint":".."}}
//! ```

use dataflow::{Error, ProcessingTime, Result};
use project::{SavedJob, is_location};
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The version of what is asked and answered.
pub const VERSION: u64 = 1;
/// The name of the socket in the folder of the checkpoints.
pub const SOCKET: &str = "control";
/// The longest path of a socket: 108 bytes with a zero at its end.
const PATH_BYTES_MAX: usize = 107;

/// What a running job is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// How it stands.
    Status,
    /// How the partitions of its topics stand.
    Watermarks,
    /// To copy its next checkpoint; into a folder named after it if none is given.
    Savepoint(Option<PathBuf>),
    /// To end, and to copy its last checkpoint if a place is given.
    Stop(Option<Option<PathBuf>>),
}

impl Ask {
    /// The line that asks for it.
    pub fn line(&self) -> Result<String> {
        let to = |to: &Option<PathBuf>| match to.as_deref().map(|to| (to.to_str(), to)) {
            None => Ok(Value::Null),
            Some((Some(text), _)) => Ok(text.into()),
            Some((None, to)) => Err(Error::invalid(format!(
                "the name of the folder {} is no UTF-8, expected one that is",
                to.display()
            ))),
        };
        let asked = match self {
            Ask::Status => json!({ "version": VERSION, "ask": "status" }),
            Ask::Watermarks => json!({ "version": VERSION, "ask": "watermarks" }),
            Ask::Savepoint(folder) => json!({ "version": VERSION, "ask": "savepoint", "to": to(folder)? }),
            Ask::Stop(None) => json!({ "version": VERSION, "ask": "stop", "savepoint": false }),
            Ask::Stop(Some(folder)) => {
                json!({ "version": VERSION, "ask": "stop", "savepoint": true, "to": to(folder)? })
            }
        };
        Ok(format!("{asked}\n"))
    }

    /// Reads such a line, which may come from anyone.
    pub fn parse(line: &str) -> Result<Ask> {
        let wrong = |what: &str| {
            Error::invalid(format!("{what}, expected a line such as {{\"version\":{VERSION},\"ask\":\"status\"}}"))
        };
        let asked: Value = serde_json::from_str(line).map_err(|e| wrong("what is asked is no JSON").with_source(e))?;
        match asked["version"].as_u64() {
            Some(VERSION) => {}
            Some(other) => {
                return Err(Error::invalid(format!(
                    "version {other} is asked, and this job answers version {VERSION}: use the riverrun that runs the job"
                )));
            }
            None => return Err(wrong("what is asked has no version")),
        }
        let to = match &asked["to"] {
            Value::Null => None,
            Value::String(to) if is_location(to) || Path::new(to).is_absolute() => Some(PathBuf::from(to)),
            other => return Err(wrong(&format!("\"to\" is {other}, which is no path from the root of the disk"))),
        };
        match (asked["ask"].as_str(), asked["savepoint"].as_bool()) {
            (Some("status"), _) => Ok(Ask::Status),
            (Some("watermarks"), _) => Ok(Ask::Watermarks),
            (Some("savepoint"), _) => Ok(Ask::Savepoint(to)),
            (Some("stop"), Some(true)) => Ok(Ask::Stop(Some(to))),
            (Some("stop"), Some(false)) => Ok(Ask::Stop(None)),
            (Some("stop"), None) => Err(wrong("a stop does not say whether it wants a savepoint")),
            (other, _) => Err(wrong(&format!("{} is asked, which is not known", other.unwrap_or("nothing")))),
        }
    }
}

/// A savepoint as JSON; who reads it may be in another folder.
pub fn savepoint_json(saved: &SavedJob) -> Value {
    let folder = match is_location(&saved.folder.to_string_lossy()) {
        true => saved.folder.clone(),
        false => std::path::absolute(&saved.folder).unwrap_or_else(|_| saved.folder.clone()),
    };
    json!({
        "folder": folder.to_string_lossy(), "checkpoint": saved.checkpoint,
        "written_at": saved.written_at.to_string(), "written_at_us": saved.written_at.0, "state_bytes": saved.bytes,
    })
}

/// Reads a savepoint.
pub fn savepoint_of(told: &Value) -> Option<SavedJob> {
    Some(SavedJob {
        folder: told["folder"].as_str()?.into(),
        checkpoint: told["checkpoint"].as_u64()?,
        written_at: ProcessingTime(told["written_at_us"].as_i64()?),
        bytes: told["state_bytes"].as_u64()?,
    })
}

/// A path of a socket that the system takes.
pub struct SocketPath {
    pub path: PathBuf,
    // The folder is reached through it, where the path is too long.
    _folder: Option<File>,
}

impl SocketPath {
    /// The path of a name in a folder, however long that of the folder is.
    pub fn of(folder: &Path, name: &str) -> io::Result<SocketPath> {
        let path = folder.join(name);
        if path.as_os_str().len() <= PATH_BYTES_MAX {
            return Ok(SocketPath { path, _folder: None });
        }
        let opened = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", opened.as_raw_fd()));
        Ok(SocketPath { path, _folder: Some(opened) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read_as_it_was_written() {
        let folder = Some(PathBuf::from("/a \"folder\""));
        let asks =
            [Ask::Status, Ask::Watermarks, Ask::Savepoint(None), Ask::Savepoint(folder.clone()), Ask::Stop(None)];
        for ask in asks.into_iter().chain([
            Ask::Stop(Some(None)),
            Ask::Stop(Some(folder)),
            Ask::Savepoint(Some("s3://lake/saved".into())),
        ]) {
            assert_eq!(Ask::parse(ask.line().unwrap().trim_end()).unwrap(), ask);
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (line, why) in [
            ("", "no JSON"),
            ("[]", "has no version"),
            ("{\"ask\":\"status\"}", "has no version"),
            ("{\"version\":2,\"ask\":\"status\"}", "version 2 is asked, and this job answers version 1"),
            ("{\"version\":1}", "nothing is asked"),
            ("{\"version\":1,\"ask\":\"kill\"}", "kill is asked, which is not known"),
            ("{\"version\":1,\"ask\":\"stop\"}", "whether it wants a savepoint"),
            ("{\"version\":1,\"ask\":\"savepoint\",\"to\":\"here\"}", "which is no path from the root"),
            ("{\"version\":1,\"ask\":\"savepoint\",\"to\":7}", "\"to\" is 7"),
        ] {
            let error = Ask::parse(line).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
