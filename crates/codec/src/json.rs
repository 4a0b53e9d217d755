//! JSON messages: one object per payload.

mod column;
mod decode;
mod encode;
mod paths;
mod scan;

pub use decode::JsonDecode;
pub use encode::JsonEncode;
