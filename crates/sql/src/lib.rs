//! SQL text to a checked plan to a job graph: statements, streams, views, windows, as-of joins, aggregates over another
//! stream, models, decisions and tests. What streaming cannot answer is refused with what to write instead.
//!
//! Modules are listed in the order in which a statement meets them.

mod source_file;

mod file_hint;
mod nearest;

mod diagnostic;
pub mod statement;

mod written_tables;

mod parse;

mod catalog;
pub mod expression;
mod interval;
mod stream;

mod bind;

mod plan;

mod queue;
mod rules;

mod identity;
mod lower;
mod output;

mod check;

mod bind_test;
mod lineage;
mod look_back;
mod node_identity;
mod own_names;

mod explain;

pub use bind::Target;
pub use bind_test::{BoundExpect, BoundTest, ExpectedRows, GivenRows};
pub use catalog::{Catalog, StoredTable};
pub use check::{CheckedPlan, Start, check, check_with};
pub use diagnostic::Diagnostic;
pub use explain::{Explained, ExplainedColumn, ExplainedInput, ExplainedNode, ExplainedOutput, ExplainedState};
pub use interval::describe as length_text;
pub use look_back::LookBack;
pub use nearest::{did_you_mean, near_or_all, nearest, some_of};
pub use node_identity::{NodeIdentity, StateIdentity};
pub use operators::{Joining, StateMove, WindowJoin};
pub use output::{OutputSpec, QueryInput, QueryPlan};
pub use own_names::OwnNames;
pub use parse::{SqlDialect, parse, parse_all};
pub use rules::Rule;
pub use source_file::SourceFile;
pub use statement::{Expect, Given, Model, ModelOutput, Name, Statements, Test};
pub use stream::{ColumnSource, Dedup, History, Stream};
