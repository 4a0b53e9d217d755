//! The real program on the server with which Google tests its own clients: nothing that a subscription has is lost, in
//! whatever moment a mirror is killed or stands still, and a job moves off Pub/Sub without a decision lost or doubled.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod both;
mod crashes;
mod details;
mod ends;
mod errors;
mod folder;
mod holding;
mod large;
mod live;
mod names;
mod outputs;
mod page;
mod promises;
mod proxy;
mod refused;
mod server;
mod still;
mod to_pulsar;
