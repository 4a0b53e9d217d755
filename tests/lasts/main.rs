//! Jobs that are killed, stopped, resized and started again give each row once, and the rows of a run that was not.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod outputs;
mod pages;
mod scene;

mod crashes;
mod examples;
mod kills;
mod struck;

mod cycles;
mod ends;
mod limits;

mod added;
mod carried;
mod changed;
mod commands;
mod rebuilt;
mod savepoints;
mod takeovers;
