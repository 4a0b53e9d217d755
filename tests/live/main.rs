//! Live jobs as users run them: the real program, threads, and the clock of the machine.
//!
//! A test publishes to topics while jobs with 1, 2, 3 and 5 workers read them, and another thread watches what comes
//! out. When a row has to come is worked out from the logs alone (`tests::time_rule`).

mod aggregate;
mod as_of;
mod decision;
mod dedup;
mod exists;
mod explained;
mod idle;
mod interrupt;
mod scene;
mod stalled;
mod table;
mod topic;
mod traffic;
mod watching;
mod window;
