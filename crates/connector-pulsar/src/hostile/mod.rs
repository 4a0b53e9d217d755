//! Brokers and producers that mean harm: bytes of theirs are played to what reads them, and its rules are checked.
//!
//! ```text
//! script: options | what the broker says, frame by frame, and what happens meanwhile
//!                   -> reader, queue, producer or question -> what it says and gives out -> checked
//! ```
//!
//! A script may be refused with an error, and may end a machine by name. It may not panic, go on without an end, hold more
//! than its bounds, give out a message twice or out of order, or acknowledge what was not to be.

mod script;

mod commands;
mod player;

mod producer;
mod question;
mod queue;
mod reader;

mod payload;

mod fields;
mod mutant;

#[cfg(test)]
mod samples;

#[cfg(test)]
mod claims;

pub use mutant::mutant;
pub use player::Played;
pub use script::Numbers;

use script::Script;

/// What a script is played to, by the ending of its file.
pub const ENDINGS: [&str; 5] = ["reader", "queue", "producer", "question", "payload"];

/// Plays bytes. An error is a rule that does not hold.
pub fn play(ending: &str, bytes: &[u8]) -> Result<Played, String> {
    let (options, rest) = bytes.split_first().map_or((0, &[][..]), |(options, rest)| (*options, rest));
    match ending {
        "reader" => reader::play(options, &Script::cut(rest)),
        "queue" => queue::play(options, &Script::cut(rest)),
        "producer" => producer::play(options, &Script::cut(rest)),
        "question" => question::play(options, &Script::cut(rest)),
        _ => Ok(payload::play(rest)),
    }
}
