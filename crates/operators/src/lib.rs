//! Everything that a row passes through between decoding and a sink: pure steps over batches.
//!
//! [`Merge`] brings rows into order; after it stand [`Filter`], [`Project`], [`Dedup`], [`Window`], [`AsOf`],
//! [`RangeAggregate`], [`Zip`], [`Predict`] and [`Decision`]. None of them knows a host, a connector, a clock or SQL.

pub mod aggregate;
pub mod bad_rows;
mod columns;
mod fingerprint;
mod moved_state;
mod queue;
mod restored_rows;
mod right_rows;
mod sweep;

/// Operator: merge.
mod merge;

/// Operator: dedup.
mod dedup;
/// Operator: filter.
mod filter;
/// Operator: project.
mod project;

/// Operator: as_of.
pub mod as_of;
/// Operator: decision.
pub mod decision;
/// Operator: predict.
pub mod predict;
/// Operator: range_aggregate.
pub mod range_aggregate;
/// Operator: window.
pub mod window;
/// Operator: zip.
pub mod zip;

#[cfg(test)]
mod harness;
#[cfg(test)]
mod reference;

pub use aggregate::Aggregate;
pub use as_of::AsOf;
pub use bad_rows::BadRows;
pub use decision::Decision;
pub use dedup::Dedup;
pub use filter::Filter;
pub use merge::Merge;
pub use moved_state::StateMove;
pub use predict::Predict;
pub use project::Project;
pub use range_aggregate as range;
pub use range_aggregate::{RangeAggregate, RangeFunction};
pub use sweep::GroupAggregate;
pub use window::Window;
pub use window::join::{Join as WindowJoin, Joining};
pub use window::layout::Layout as WindowLayout;
pub use zip::Zip;
