//! What a client is told: where the broker is, who the client is, and how long to wait.

use crate::address::Service;
use crate::authentication::Authentication;
use crate::tls::Tls;
use std::time::Duration;

/// How a client reaches its brokers.
#[derive(Clone, Debug)]
pub struct Settings {
    pub service: Service,
    /// How connections are encrypted, where they are.
    pub tls: Tls,
    /// How the client shows who it is; without it, its certificate does, if it has one.
    pub authentication: Option<Authentication>,
    /// Which of the addresses that brokers are known by is asked for; brokers in another network have several.
    pub listener: Option<String>,
    /// How long a broker has for an answer, and a connection for being made.
    pub answer_within: Duration,
    /// After so much silence the broker is asked whether it is there; after twice as much the connection is given up.
    pub keep_alive: Duration,
    /// The longest wait between two attempts to reach a broker.
    pub backoff_max: Duration,
    /// How long another holder of a subscription or a producer's name may stay before that is an error.
    pub busy_max: Duration,
    /// For how long the cluster has to say that a topic has no such version of its schema, until that is believed: any
    /// broker is asked, and may hear later than others of one that is new.
    pub denied_for: Duration,
    /// The greatest message after decompression, and with its chunks put together.
    pub message_bytes_max: usize,
}

impl Settings {
    /// Settings that say no more than where the brokers are.
    pub fn new(service: Service) -> Self {
        Settings {
            service,
            tls: Tls::default(),
            authentication: None,
            listener: None,
            answer_within: Duration::from_secs(30),
            keep_alive: Duration::from_secs(30),
            backoff_max: Duration::from_secs(10),
            busy_max: Duration::from_secs(90),
            denied_for: Duration::from_secs(10),
            message_bytes_max: 64 << 20,
        }
    }
}
