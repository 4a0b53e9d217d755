//! Lowering: a logical plan to nodes with operators and exchanges, and to the job graph that a host runs.

pub(crate) mod physical;

mod nodes;

mod names;
pub(crate) mod removed_rows;

pub(crate) mod contents;
pub(crate) mod states;

mod used_columns;
mod wanted_rows;

pub(crate) mod bounded;
mod graph;

pub(crate) use names::name_apart;
pub(crate) use nodes::lower;
pub(crate) use wanted_rows::wanted_rows;
