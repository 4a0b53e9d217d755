//! The client against a real broker, and against other people's clients.
//!
//! One broker serves all tests; it ends with this process. Without Java and Maven nothing here can run, and every test
//! fails and says so.

mod both_ways;
mod faults;
mod large;
mod loss;
mod other_clients;
mod place;
mod protobuf;
mod proxy;
mod queue;
mod raw;
mod reading;
mod registered;
mod restarts;
mod rights;
mod schemas;
mod takeover;
mod writing;
