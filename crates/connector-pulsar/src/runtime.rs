//! The thread on which the readers and producers of this process talk to their brokers.

use crate::topic::TopicName;
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

/// Does something where the task that has it panics: nobody else would hear of that.
pub struct OnPanic<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0)();
        }
    }
}

/// What is told of such a task.
pub fn panicked(topic: &TopicName) -> crate::error::Error {
    let told = "its reader has ended by a fault of riverrun, which is told above; the next run goes on from the last checkpoint";
    crate::error::Error::invalid(format!("topic \"{topic}\": {told}"))
}

/// Runs a future, and waits for it.
pub fn wait<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(handle()?.block_on(future))
}
