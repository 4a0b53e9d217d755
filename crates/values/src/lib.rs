//! One reading of a value: text, what JSON writes, and stored columns become values of SQL's types as CAST makes them.
//!
//! Files, messages, tables and the CAST of SQL all read by these functions, so that a value means the same whichever
//! way it came. Nothing here knows a file or a message, or does I/O.

/// What the metadata of a field hold where the dots of its name are letters, and no way into an object.
pub const WHOLE_NAME: &str = "riverrun.whole_name";

pub mod calendar;
mod number;

mod plain;

mod nested;

mod cast;
mod column;
mod encoding;
mod expected;
mod name;
mod stored;

pub use cast::{cast, is_cast, rescale};
pub use column::{Column, Value};
pub use encoding::Encoding;
pub use expected::{expected, hint, shown};
pub use name::{find_name, name};
pub use number::{moved, power_of_ten, read_exact};
pub use plain::{arrow_cast, micros_of, plain_type};
pub use stored::{int96_as_micros, is_read, read_stored, read_with_reasons, texts};
