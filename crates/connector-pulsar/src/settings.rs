//! What a client is told: where the broker is, who the client is, and how long to wait.

use crate::error::{Error, Result};
use bytes::Bytes;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The host and port of a broker or a proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

const SCHEME: &str = "pulsar://";
const PORT_DEFAULT: u16 = 6650;

impl Address {
    /// Reads `pulsar://host:port`.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong =
            |what: &str| Error::invalid(format!("Pulsar's address \"{url}\": {what}, expected pulsar://host:port"));
        let Some(rest) = url.strip_prefix(SCHEME) else {
            let is_tls = url.starts_with("pulsar+ssl://");
            return Err(wrong(if is_tls { "connections with TLS are not supported" } else { "the scheme is unknown" }));
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong("the port is not a number"))?)
            }
            _ => (rest, PORT_DEFAULT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', ',']) {
            return Err(wrong("it does not name one host"));
        }
        Ok(Address { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_v6 = self.host.contains(':');
        if is_v6 { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// Where a client's token is found. It is read anew for every connection, so a file may be replaced.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    Text(String),
    File(PathBuf),
    Environment(String),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Text(_) => f.write_str("Text(..)"),
            Token::File(path) => f.debug_tuple("File").field(path).finish(),
            Token::Environment(name) => f.debug_tuple("Environment").field(name).finish(),
        }
    }
}

impl Token {
    /// The token as it is now.
    pub(crate) fn read(&self) -> Result<Credentials> {
        let text = match self {
            Token::Text(text) => text.clone(),
            Token::File(path) => std::fs::read_to_string(path).map_err(|error| {
                Error::unavailable(format!("the file {} with Pulsar's token cannot be read: {error}", path.display()))
            })?,
            Token::Environment(name) => std::env::var(name).map_err(|_| {
                Error::invalid(format!("the environment variable {name} with Pulsar's token is not set"))
            })?,
        };
        Ok(Credentials { method: "token".to_owned(), data: Bytes::from(text.trim().to_owned()) })
    }
}

/// What is said to a broker to be let in. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) method: String,
    pub(crate) data: Bytes,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("method", &self.method).finish_non_exhaustive()
    }
}

/// How a client reaches its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub service: Address,
    pub token: Option<Token>,
    /// Which of the addresses that brokers are known by is asked for; brokers in another network have several.
    pub listener: Option<String>,
    /// How long a broker has for an answer, and a connection for being made.
    pub answer_within: Duration,
    /// After so much silence the broker is asked whether it is there; after twice as much the connection is given up.
    pub keep_alive: Duration,
    /// The longest wait between two attempts to reach a broker.
    pub backoff_max: Duration,
    /// How long another holder of a subscription or a producer's name may stay before that is an error.
    pub busy_max: Duration,
    /// The greatest message after decompression, and with its chunks put together.
    pub message_bytes_max: usize,
}

impl Settings {
    /// The settings for a service address.
    pub fn new(service: Address) -> Self {
        Settings {
            service,
            token: None,
            listener: None,
            answer_within: Duration::from_secs(30),
            keep_alive: Duration::from_secs(30),
            backoff_max: Duration::from_secs(10),
            busy_max: Duration::from_secs(90),
            message_bytes_max: 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let read = |url| Address::parse(url).map(|address| address.to_string());
        assert_eq!(read("pulsar://broker:6651").unwrap(), "broker:6651");
        assert_eq!(read("pulsar://broker/").unwrap(), "broker:6650");
        assert_eq!(read("pulsar://[::1]:7").unwrap(), "[::1]:7");
        assert_eq!(read("pulsar://[::1]").unwrap(), "[::1]:6650");
        for url in ["broker:6650", "pulsar://", "pulsar://a:x", "pulsar://a,b:1", "pulsar+ssl://a:1"] {
            let error = read(url).unwrap_err().to_string();
            assert!(error.contains("expected pulsar://host:port"), "{error}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = Token::Text("secret".into());
        assert!(!format!("{token:?} {:?}", token.read().unwrap()).contains("secret"));
    }
}
