//! Bytes to commands and entries, and back.
//!
//! Everything that a broker sends is untrusted: sizes are checked before anything is allocated for them, and what does
//! not fit is refused by name.

pub mod batch;
pub mod compression;
pub mod frame;
pub mod protocol;
