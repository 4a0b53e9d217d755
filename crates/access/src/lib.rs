//! How a client shows who it is: secrets that lie in settings, the environment or files, tokens that a server gives for
//! them, and what messages may show of what was answered.
#![forbid(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test says what went wrong by failing"))]

mod secret;

mod secret_file;

mod told;

mod client_credentials;

pub use client_credentials::{ClientCredentials, Tokens};
pub use secret::Secret;
pub use told::{hidden, told, without};
