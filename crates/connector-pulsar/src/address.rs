//! Where brokers are.

use crate::error::{Error, Result};
use std::fmt;

/// The host and port of a broker or a proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// A broker or a proxy, and whether it is talked to in TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Where it is.
    pub address: Address,
    /// Whether connections are encrypted.
    pub is_tls: bool,
}

const SCHEME: &str = "pulsar://";
const SCHEME_TLS: &str = "pulsar+ssl://";
const PORT_DEFAULT: u16 = 6650;
const PORT_TLS_DEFAULT: u16 = 6651;

impl Service {
    /// Reads `pulsar://host:port` or, with TLS, `pulsar+ssl://host:port`.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |what: &str| {
            let expected = "expected pulsar://host:port, or pulsar+ssl://host:port with TLS";
            Error::invalid(format!("Pulsar's address \"{url}\": {what}, {expected}"))
        };
        let (rest, is_tls) = match (url.strip_prefix(SCHEME), url.strip_prefix(SCHEME_TLS)) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => return Err(wrong("the scheme is unknown")),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong("the port is not a number"))?)
            }
            _ => (rest, if is_tls { PORT_TLS_DEFAULT } else { PORT_DEFAULT }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', ',']) {
            return Err(wrong("it does not name one host"));
        }
        Ok(Service { address: Address { host: host.to_owned(), port }, is_tls })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_tls { SCHEME_TLS } else { SCHEME }, self.address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_v6 = self.host.contains(':');
        if is_v6 { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let read = |url| Service::parse(url).map(|service| service.to_string());
        assert_eq!(read("pulsar://broker:6651").unwrap(), "pulsar://broker:6651");
        assert_eq!(read("pulsar://broker/").unwrap(), "pulsar://broker:6650");
        assert_eq!(read("pulsar+ssl://broker").unwrap(), "pulsar+ssl://broker:6651");
        assert_eq!(read("pulsar://[::1]:7").unwrap(), "pulsar://[::1]:7");
        assert_eq!(read("pulsar://[::1]").unwrap(), "pulsar://[::1]:6650");
        for url in ["broker:6650", "pulsar://", "pulsar://a:x", "pulsar://a,b:1", "pulsar+tls://a:1"] {
            let error = read(url).unwrap_err().to_string();
            assert!(error.contains("expected pulsar://host:port"), "{error}");
        }
    }
}
