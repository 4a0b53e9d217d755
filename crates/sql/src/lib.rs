//! .
pub mod expression;
