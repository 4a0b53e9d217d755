//! What stands in the place of the client of Pub/Sub in a riverrun that was built without it: everything is refused.
#![allow(dead_code, unused_variables, reason = "nothing of this is ever made")]

use dataflow::{Error, Result};
use std::time::Duration;

fn absent<T>() -> Result<T> {
    Err(Error::invalid(
        "this riverrun was built without Google Pub/Sub: `cargo build --bin riverrun --features riverrun/pubsub` builds one \
         with it",
    ))
}

pub trait Append: Send + 'static {
    fn append(&mut self, messages: &[Received]) -> Result<()>;
    fn drained(&mut self, since: Option<Duration>) -> Result<()>;
}

#[derive(Debug, Default)]
pub struct Received {
    pub message_id: String,
    pub published_at_us: i64,
    pub ordering_key: String,
    pub attributes: Vec<(String, String)>,
    pub data: Vec<u8>,
    pub delivery_attempt: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    pub until_idle: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyEvent {
    Open,
    Copied(u64),
    Refused(u64),
    Held(String),
    Released,
    Away(String),
    Back,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct CopyEnd {
    pub messages: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug)]
pub struct Settings;

impl Settings {
    pub fn of_environment() -> Settings {
        Settings
    }
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

#[derive(Clone, Debug, Default)]
pub struct OutgoingMessage {
    pub data: Vec<u8>,
    pub ordering_key: String,
    pub attributes: Vec<(String, String)>,
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
