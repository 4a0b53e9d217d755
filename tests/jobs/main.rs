//! Jobs as their users run them: a year of history and its actions, streams that differ in density, an archive that
//! is killed or waits for its topics, two runs at once, and runs that start over.

#![allow(clippy::unwrap_used)]

mod beyond;
mod density;
mod kills;
mod labels;
mod restart;
mod topics;
mod twice;
mod year;
