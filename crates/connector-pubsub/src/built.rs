//! Whether the client of Pub/Sub is in the program.

use dataflow::{Error, Result};

/// Refuses what needs the client in a program that was built without it.
pub fn check_built() -> Result<()> {
    if cfg!(feature = "client") {
        return Ok(());
    }
    Err(Error::invalid(
        "this riverrun was built without Google Pub/Sub: `cargo build --bin riverrun --features riverrun/pubsub` builds one \
         with it",
    ))
}
