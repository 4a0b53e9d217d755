//! What went wrong, and what should happen now.

use crate::wire::protocol::ServerError;
use std::fmt;

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what a host or a person should do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A name, a setting or a right is wrong; trying again gives the same.
    Invalid,
    /// The broker does not let the client in: its credentials are wrong, or no longer right.
    Denied,
    /// The broker or the network does not answer; trying again later may succeed.
    Unavailable,
    /// What was stored is gone or cannot be read; going on would lose messages.
    Lost,
    /// This message cannot be stored, whenever it is tried; others can.
    Unfit,
}

/// An error: a kind, and a message that names the thing, its place and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// A name, a setting or a right is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error { kind: ErrorKind::Invalid, message: message.into() }
    }

    /// The broker does not let the client in, or is not the one that the client wants.
    pub fn denied(message: impl Into<String>) -> Self {
        Error { kind: ErrorKind::Denied, message: message.into() }
    }

    /// The broker or the network does not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Error { kind: ErrorKind::Unavailable, message: message.into() }
    }

    /// What was stored is gone or cannot be read.
    pub fn lost(message: impl Into<String>) -> Self {
        Error { kind: ErrorKind::Lost, message: message.into() }
    }

    /// A message cannot be stored, whenever it is tried.
    pub fn unfit(message: impl Into<String>) -> Self {
        Error { kind: ErrorKind::Unfit, message: message.into() }
    }

    /// The same error, when it has become clear that trying again does not help.
    pub(crate) fn into_lost(self) -> Self {
        Error { kind: ErrorKind::Lost, ..self }
    }

    /// What should happen now.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Says where this error happened; keeps the kind.
    #[must_use]
    pub fn context(self, place: impl fmt::Display) -> Self {
        Error { kind: self.kind, message: format!("{place}: {}", self.message) }
    }

    /// Says of which topic it is, if it does not say so already; keeps the kind.
    #[must_use]
    pub(crate) fn of_topic(self, topic: impl fmt::Display) -> Self {
        if self.message.starts_with("topic \"") { self } else { self.context(format_args!("topic \"{topic}\"")) }
    }

    /// Says what to do; keeps the kind.
    #[must_use]
    pub(crate) fn with_hint(self, hint: &str) -> Self {
        Error { kind: self.kind, message: format!("{}; {hint}", self.message) }
    }

    /// The error that a broker answered with.
    pub(crate) fn from_broker(code: i32, message: &str) -> Self {
        let name = ServerError::try_from(code).map_or_else(|_| format!("error {code}"), |error| error.to_string());
        // Brokers put stack traces after the first line.
        let told: String =
            message.lines().next().unwrap_or_default().chars().filter(|letter| !letter.is_control()).collect();
        let text = format!("the broker answered {name}: {told}");
        let kind = match code {
            _ if code == ServerError::AuthenticationError as i32 => ErrorKind::Denied,
            _ if is_final(code) => ErrorKind::Invalid,
            _ => ErrorKind::Unavailable,
        };
        Error { kind, message: text }
    }
}

/// Whether a broker would answer the same to the same question, whatever time goes by.
fn is_final(code: i32) -> bool {
    use ServerError as E;
    let errors = [
        E::AuthorizationError,
        E::UnsupportedVersionError,
        E::TopicNotFound,
        E::SubscriptionNotFound,
        E::TopicTerminatedError,
        E::InvalidTopicName,
        E::IncompatibleSchema,
        E::NotAllowedError,
        E::ProducerFenced,
    ];
    errors.iter().any(|error| *error as i32 == code)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What was wrong with a secret or a token server.
impl From<dataflow::Error> for Error {
    fn from(error: dataflow::Error) -> Self {
        let kind = match error.kind() {
            dataflow::ErrorKind::Refused => ErrorKind::Denied,
            dataflow::ErrorKind::Unavailable => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        };
        let mut message = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            message = format!("{message}: {cause}");
            next = cause.source();
        }
        Error { kind, message }
    }
}

impl From<Error> for dataflow::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Invalid | ErrorKind::Denied => dataflow::ErrorKind::Invalid,
            ErrorKind::Unavailable => dataflow::ErrorKind::Unavailable,
            ErrorKind::Lost => dataflow::ErrorKind::Corrupt,
            ErrorKind::Unfit => dataflow::ErrorKind::Data,
        };
        dataflow::Error::new(kind, error.message)
    }
}
