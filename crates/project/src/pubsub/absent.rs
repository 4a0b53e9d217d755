//! What stands in the place of the client of Pub/Sub in a riverrun that was built without it: everything is refused.
#![allow(dead_code, unused_variables, reason = "nothing of this is ever made")]

use copy_contract::{Append, CopyEnd, CopyEvent, CopyOptions, OutgoingMessage};
use dataflow::{Error, Result};

fn absent<T>() -> Result<T> {
    Err(Error::invalid(
        "this riverrun was built without Google Pub/Sub: `cargo build --bin riverrun --features riverrun/pubsub` builds one \
         with it",
    ))
}

#[derive(Clone, Debug)]
pub struct Settings;

impl Settings {
    pub fn of_environment() -> Settings {
        Settings
    }
}

pub fn check(settings: &Settings, subscription: &str) -> Result<()> {
    absent()
}

pub fn copy(
    settings: &Settings,
    subscription: &str,
    options: CopyOptions,
    append: Box<dyn Append>,
    is_stopped: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(CopyEvent),
) -> Result<CopyEnd> {
    absent()
}

pub struct TopicPublisher;

impl TopicPublisher {
    pub fn open(settings: &Settings, topic: &str) -> Result<TopicPublisher> {
        absent()
    }

    pub fn publish(&mut self, messages: Vec<OutgoingMessage>) -> Result<()> {
        absent()
    }
}

pub mod emulator {
    use super::absent;
    use dataflow::Result;
    use std::path::Path;

    pub struct Detached {
        pub address: String,
        pub process: u32,
        pub ran_before: bool,
    }

    pub fn is_built(cache: &Path) -> bool {
        false
    }

    pub fn start(cache: &Path, folder: &Path) -> Result<Detached> {
        absent()
    }

    pub fn stop(folder: &Path) -> Result<bool> {
        absent()
    }
}
