//! A real broker on this machine, for development and tests: fetched once with Maven, started on free ports.
//!
//! Only this needs a JDK and Maven; the rest of the crate does not.

mod http;
mod jars;

mod broker;

mod detached;

pub use broker::Standalone;
pub use detached::{Detached, start, stop};
pub use http::Http;
pub use jars::{VERSION, fetch, java};
