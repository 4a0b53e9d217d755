//! Jobs as their users run them: a year of history and its actions, streams that differ in density, an archive that
//! is killed, and runs that start over.

#![allow(clippy::unwrap_used)]

mod density;
mod kills;
mod restart;
mod year;
