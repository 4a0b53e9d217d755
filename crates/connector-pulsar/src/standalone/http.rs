//! Requests to the broker's admin interface.

use crate::error::{Error, Result};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The admin interface answers slowly while it deletes or unloads.
const WITHIN: Duration = Duration::from_secs(60);

const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// An HTTP server that is asked one question a connection.
#[derive(Clone, Debug)]
pub struct Http {
    host: String,
    port: u16,
}

impl Http {
    pub fn new(host: &str, port: u16) -> Self {
        Http { host: host.to_owned(), port }
    }

    /// The status and the body of an answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        self.request("GET", path, "")
    }

    /// Sends a request with JSON, and gives the status and the body of the answer.
    pub fn request(&self, method: &str, path: &str, json: &str) -> Result<(u16, String)> {
        let place = format!("http://{}:{}{path}", self.host, self.port);
        let answer = self.exchange(method, path, json);
        let answer = answer.map_err(|error| Error::unavailable(format!("{place} did not answer: {error}")))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Error::unavailable(format!("{place} did not answer with HTTP")))?;
        Ok((status, body.to_owned()))
    }

    fn exchange(&self, method: &str, path: &str, json: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port))?;
        stream.set_read_timeout(Some(WITHIN))?;
        stream.set_write_timeout(Some(WITHIN))?;
        // By version 1.0 the answer comes in one piece, and its end is the end of the connection.
        let (host, size) = (&self.host, json.len());
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n{json}"
        )?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
