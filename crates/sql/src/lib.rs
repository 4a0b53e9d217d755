//! SQL text to a checked plan to a job graph: statements, streams, views, windows, as-of joins, aggregates over another
//! stream, models, decisions and tests. What streaming cannot answer is refused with what to write instead.
//!
//! Modules are listed in the order in which a statement meets them.

mod diagnostic;
pub mod statement;

mod parse;
mod parse_decision;
mod parse_stream;
mod test_statement;

mod bind_stream;
mod catalog;
pub mod expression;
mod interval;
mod stream;

mod plan;
mod relation;

mod as_of;
mod refuse;
mod rewrite;
mod select;
mod subquery;
mod window;
mod work;

mod aside;
mod decision;
mod model;
mod planner;

mod check;
mod explain;
mod look_back;
mod lower;

pub use catalog::Catalog;
pub use check::{Checked, OutputSpec, Start, Target, check};
pub use diagnostic::Diagnostic;
pub use look_back::LookBack;
pub use parse::parse;
pub use statement::{Model, ModelOutput, Name, SourceFile, Statements};
pub use stream::{BadRow, ColumnSource, Dedup, History, Late, Quiet, Stream};
pub use test_statement::{BoundExpect, BoundTest, Expect, ExpectedRows, Given, Test};
