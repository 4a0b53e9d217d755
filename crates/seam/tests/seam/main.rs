//! The seam over logs and files in memory: the same rows with the same times, however they are read.

#![allow(clippy::unwrap_used)]

mod again;
mod archiver;
mod going_on;
mod history;
mod host;
mod memory;
mod stops;
mod streams;
mod switch;
