//! Readers and producers against a scripted broker, under seeds: connections that break anywhere, frames that come
//! twice, go back or are damaged, adds that fail, and runs that end and are taken up again.

mod broker;
mod harness;
mod large;
mod producers;
mod queues;
mod readers;
mod shared_subscription;
