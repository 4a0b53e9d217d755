//! JSON messages: one object per payload.

mod decode;
mod encode;
mod paths;
mod physical;
mod scan;

pub use decode::{JsonDecode, JsonRows};
pub use encode::JsonEncode;
