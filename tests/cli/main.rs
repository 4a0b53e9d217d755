//! The command line as people use it: the real program, in folders of its own.

mod bad_rows;
mod commands;
mod disk;
mod folder;
mod help;
mod long;
mod starts;
mod wrong;
