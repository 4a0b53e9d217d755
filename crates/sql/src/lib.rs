//! SQL text to a checked plan to a job graph: statements, streams, views, windows, as-of joins, aggregates over another
//! stream, models, decisions and tests. What streaming cannot answer is refused with what to write instead.
//!
//! Modules are listed in the order in which a statement meets them.

mod source_file;

mod diagnostic;
pub mod statement;

mod parse;
mod parse_decision;
mod parse_stream;
mod parse_test;
mod token_reader;

mod bind_stream;
mod catalog;
pub mod expression;
mod interval;
mod stream;

mod output;
mod plan;
mod relation;

mod as_of;
mod refuse;
mod rewrite;
mod select;
mod steps;
mod subquery;
mod window;

mod decision;
mod model;
mod model_inputs;
mod planner;
mod removed_rows;

mod bind_test;
mod check;
mod explain;
mod look_back;
mod lower;

pub use bind_test::{BoundExpect, BoundTest, ExpectedRows};
pub use catalog::Catalog;
pub use check::{CheckedPlan, Start, Target, check};
pub use diagnostic::Diagnostic;
pub use look_back::LookBack;
pub use output::OutputSpec;
pub use parse::parse;
pub use source_file::SourceFile;
pub use statement::{Expect, Given, Model, ModelOutput, Name, Statements, Test};
pub use stream::{ColumnSource, Dedup, History, Stream};
