//! What is asked of rows that end: groups, order, joins, unions and limits, in bounded memory.
//!
//! A [`Plan`] is a tree over inputs that end. Its steps pull rows from those below them, in the thread of whoever takes
//! the answer. A step that holds rows writes what goes beyond its share of the memory to files without names, which
//! vanish with the query. Whoever does not want the answer any more is heard within every loop of a step. Equal values are those of SQL: NaN is NaN, -0.0 is 0.0, and NULLs are one group.
//!
//! Modules are listed from the bottom up.

mod plan;

mod keys;
mod stop;
mod weight;

mod spill;

mod answer;
mod cut;
mod group;
mod join;
mod simple;
mod sort;

mod run;

pub use plan::{Aggregation, Answer, Answered, Join, Plan, PlanColumn, SortKey};
pub use run::{Resources, put_down, run};
pub use stop::StopCheck;
