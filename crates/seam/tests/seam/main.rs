//! The seam over logs and files in memory: the same rows with the same times, however they are read.

mod archiver;
mod history;
mod memory;
mod streams;
mod switch;
