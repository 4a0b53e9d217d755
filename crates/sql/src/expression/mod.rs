//! SQL expressions with DuckDB's answers: a syntax tree and the columns in scope in, a tree over columns out, and of
//! that a [`dataflow::Scalar`].
//!
//! ```text
//! sqlparser Expr --bind--> Tree (operation, arguments, type) --scalar--> nodes: values and the rows that failed,
//!                                                                         a batch at a time
//! ```
//!
//! Every node gives one value per row and the rows on which it failed. A failure in a branch that a row does not take
//! (CASE, AND, OR, COALESCE) is dropped there, so what fails depends on the row alone and never on batch cuts.

mod scope;

mod aggregates;
mod arguments;
mod arithmetic;
mod arm;
mod bind;
mod bound;
mod cast;
mod choice;
mod compare;
mod constant;
mod function_table;
mod functions;
mod functions_page;
mod interval;
mod interval_literal;
mod kernel;
mod list;
mod math;
mod node;
mod operator;
mod pairs;
mod print;
mod regexp;
mod scalar;
mod sql_type;
mod strptime;
mod struct_field;
mod text;
mod time;
mod time_arithmetic;
mod time_part;
mod tree;

mod row_filter;

use values::calendar;

pub use functions_page::functions_page;
pub use scalar::{Compiled, compile, constant, interval_micros};
pub use scope::{ColumnId, Place, Problem, Scope, ScopeColumn};

pub(crate) use aggregates::{
    AggregateSignature, aggregate_of, call_text as aggregate_text, instead_of, is_aggregate, meant as aggregate_meant,
    names as aggregate_names,
};
pub(crate) use arm::Arms;
pub(crate) use bind::{Binder, RowAlone, Special};
pub(crate) use print::print;
pub(crate) use row_filter::row_filter;
pub(crate) use scalar::scalar_over;
pub(crate) use sql_type::{TIMESTAMP, name as type_name};
pub(crate) use tree::{Op, Tree, common_type, union_type};
