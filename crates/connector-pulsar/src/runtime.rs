//! The thread on which the readers and producers of this process talk to their brokers.

use dataflow::{Error, Result};
use std::future::{Future, pending};
use std::sync::{Mutex, PoisonError};
use std::thread;
use tokio::runtime::{Builder, Handle};

static RUNNING: Mutex<Option<Handle>> = Mutex::new(None);

/// What runs tasks on the thread, which is started with the first call.
pub fn handle() -> Result<Handle> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*running {
        return Ok(handle.clone());
    }
    let failed = |error| Error::unavailable("the thread for Pulsar cannot be started").with_source(error);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("pulsar".to_owned())
        .spawn(move || runtime.block_on(pending::<()>()))
        .map_err(failed)?;
    *running = Some(handle.clone());
    Ok(handle)
}

/// Runs a future, and waits for it.
pub fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(handle()?.block_on(future))
}
