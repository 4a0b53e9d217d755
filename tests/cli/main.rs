//! The command line as people use it: the real program, in folders of its own.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod bad_rows;
mod begins;
mod checked;
mod commands;
mod disk;
mod exact;
mod folder;
mod fresh;
mod help;
mod layouts;
mod long;
mod models;
mod names;
mod nothing;
mod offers;
mod own;
mod publish;
mod published;
mod queries;
mod starts;
mod stopped;
mod tables;
mod terminal;
mod told;
mod wrong;
