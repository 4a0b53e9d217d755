//! What stands in the place of the client in a program that was built without it: everything is refused.
#![allow(unused_variables, reason = "nothing of this is ever made")]

use crate::built::check_built;
use crate::contract::{Append, CopyEnd, CopyEvent, CopyOptions, OutgoingMessage};
use dataflow::{Error, Result};

fn absent<T>() -> Result<T> {
    check_built()?;
    Err(Error::internal("the client of Pub/Sub is built and absent"))
}

/// Where Pub/Sub is, for a program that knows no such place.
#[derive(Clone, Debug)]
pub struct Settings;

impl Settings {
    /// What the environment says, which nobody asks for.
    pub fn of_environment() -> Settings {
        Settings
    }
}

/// Refused.
pub fn check(settings: &Settings, subscription: &str) -> Result<()> {
    absent()
}

/// Refused.
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

/// Puts nothing on any topic.
pub struct TopicPublisher;

impl TopicPublisher {
    /// Refused.
    pub fn open(settings: &Settings, topic: &str) -> Result<TopicPublisher> {
        absent()
    }

    /// Refused.
    pub fn publish(&mut self, messages: Vec<OutgoingMessage>) -> Result<()> {
        absent()
    }
}
