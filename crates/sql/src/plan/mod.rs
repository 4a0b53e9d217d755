//! The logical plan: what is bound as operators over column ids.

pub(crate) mod logical;

mod builder;
mod select;

mod build;

pub(crate) mod describe;
mod print;
pub(crate) mod state_size;

pub(crate) use build::build;
