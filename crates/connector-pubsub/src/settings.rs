//! Where Pub/Sub is: Google's, or a server on this machine.

use crate::error::{GOOGLE, emulator_is_down, no_client, no_runtime, without_credentials};
use dataflow::{Error, Result};
use google_cloud_auth::credentials::{Builder, Credentials, anonymous};
use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;
use tokio::runtime::Runtime;

/// What all clients of Pub/Sub read to find a server that is not Google's.
const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";
/// How long a connection to a server on this machine may take.
const CONNECT: Duration = Duration::from_secs(3);

/// What names a file of credentials.
const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// The file of somebody who has logged in, in the folder of their home.
const OF_LOGIN: &str = ".config/gcloud/application_default_credentials.json";
/// What names a metadata server that is not at the usual address.
const METADATA: &str = "GCE_METADATA_HOST";
/// Where every machine in Google's cloud finds its metadata server.
const METADATA_ADDRESS: &str = "169.254.169.254";
/// It is on the same machine, so to speak.
const METADATA_ANSWER: Duration = Duration::from_secs(1);

/// Where Pub/Sub is.
#[derive(Clone, Debug)]
pub struct Settings {
    // HOST:PORT of a server that asks for no credentials; Google's service without one.
    emulator: Option<String>,
}

impl Settings {
    /// What the environment says: `PUBSUB_EMULATOR_HOST`, as for all clients of Pub/Sub; without it Google's service, with
    /// the application default credentials.
    pub fn of_environment() -> Settings {
        Settings { emulator: std::env::var(EMULATOR).ok().filter(|host| !host.is_empty()) }
    }

    /// Where that is, for messages to people.
    pub(crate) fn place(&self) -> String {
        self.emulator.as_ref().map_or_else(|| GOOGLE.to_owned(), |host| format!("{EMULATOR}={host}"))
    }

    /// The URL of a server that is not Google's.
    pub(crate) fn endpoint(&self) -> Option<String> {
        self.emulator.as_ref().map(|host| format!("http://{host}"))
    }

    /// The application default credentials, and none for a server that is not Google's.
    pub(crate) fn credentials(&self) -> Result<Credentials> {
        match self.emulator {
            Some(_) => Ok(anonymous::Builder::new().build()),
            None => Builder::default().build().map_err(|error| no_client(&self.place(), error)),
        }
    }

    /// Refuses a server on this machine that does not answer, and a machine without credentials: the client would try for
    /// ever.
    pub(crate) fn check_reachable(&self) -> Result<()> {
        let Some(host) = &self.emulator else { return self.check_credentials() };
        let addresses = host.to_socket_addrs().map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => Error::invalid(format!("{EMULATOR} is \"{host}\", expected HOST:PORT")),
            // The name of the host is not known.
            _ => emulator_is_down(&self.place(), Some(error)),
        })?;
        let mut refused = None;
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(_) => return Ok(()),
                Err(error) => refused = Some(error),
            }
        }
        Err(emulator_is_down(&self.place(), refused))
    }

    fn check_credentials(&self) -> Result<()> {
        match names_credentials() || has_metadata_server() {
            true => Ok(()),
            false => Err(without_credentials(&self.place())),
        }
    }
}

/// Whether some variable names a file of credentials, or somebody has logged in here. What is wrong with the file is told
/// by whoever reads it.
fn names_credentials() -> bool {
    let of_login = || std::env::var_os("HOME").is_some_and(|home| PathBuf::from(home).join(OF_LOGIN).exists());
    std::env::var_os(FILE).is_some() || of_login()
}

/// Whether this machine is one in Google's cloud.
fn has_metadata_server() -> bool {
    let named = std::env::var(METADATA).ok().filter(|host| !host.is_empty());
    let host = named.unwrap_or_else(|| METADATA_ADDRESS.to_owned());
    let address = if host.contains(':') { host } else { format!("{host}:80") };
    let addresses = address.to_socket_addrs().into_iter().flatten();
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, METADATA_ANSWER).is_ok())
}

/// What runs the client: one thread, which is the caller's.
pub(crate) fn runtime() -> Result<Runtime> {
    static PROVIDER: Once = Once::new();
    // Another part of the process may have installed one, and then that serves.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_runtime)
}
