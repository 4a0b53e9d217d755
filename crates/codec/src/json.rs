//! JSON messages: one object per payload.

mod decode;
mod described;
mod encode;
mod grammar;
mod paths;
mod physical;
mod scan;

pub use decode::{JsonDecode, JsonRows};
pub use described::avro_form;
pub use encode::{JsonEncode, text_payload, with_fields};
pub use grammar::check_grammar;
pub use paths::free_paths;
pub(crate) use physical::{put_bytes, put_double, put_float, put_number, put_text};
