//! Binding: statements become a tree over column ids, in which every name, type and function is chosen.
//! Nothing after it looks at text.

pub(crate) mod syntax;

mod bound;
mod columns;
mod relation;

mod keys;
mod refuse;

mod model_inputs;
mod queue;
pub(crate) mod removed_rows;
mod stream;

mod binding;

mod as_of;
mod correlation;
mod predict;
mod subquery;
mod window;

mod calls;
mod from;
mod items;

mod aliases;
mod select;

mod bounded;

mod decision;

mod layout;
pub(crate) mod once;
mod properties;
mod targets;

mod print;
mod print_statements;
#[cfg(test)]
mod round_trip;

pub(crate) use binding::Binding;
pub(crate) use bound::{
    Answer, BoundDecision, BoundItem, BoundJoin, BoundOutput, BoundRule, BoundSelect, BoundedJoin, BoundedStep, Calls,
    Definition, GroupCall, LateFilter, RangeCall, RelationId, ScoreCall, SortColumn, WindowCall,
};
pub(crate) use bounded::query as bind_query;
pub(crate) use columns::Columns;
pub(crate) use layout::check as check_layout;
pub(crate) use print::views as printed_views;
pub(crate) use print_statements::statements as printed_statements;
pub use targets::Target;
pub(crate) use targets::bind as bind_targets;
