//! Schemas that a registry gives, and payloads that are said to be of them.
//!
//! ```text
//! size u32 | schema, as GET_SCHEMA is answered | payload
//! ```

use super::player::Played;
use crate::schemas::json_of;
use crate::wire::protocol::Schema;
use prost::Message;
use std::collections::BTreeSet;

/// Reads a payload by a schema.
pub fn play(bytes: &[u8]) -> Played {
    let size = bytes.first_chunk::<4>().map_or(0, |size| u32::from_be_bytes(*size) as usize);
    let rest = bytes.get(4..).unwrap_or_default();
    let (schema, payload) = rest.split_at(size.min(rest.len()));
    let told = |said: String, step: &str| Played {
        said: BTreeSet::from([said]),
        steps: BTreeSet::from([step.to_owned()]),
        ..Played::default()
    };
    let schema = match Schema::decode(schema) {
        Ok(schema) => schema,
        Err(error) => return told(error.to_string(), "no schema"),
    };
    let kind = crate::schemas::kind_name(schema.kind);
    match json_of(&schema, payload) {
        Ok(Ok(json)) => {
            let (is_accepted, payloads) = (true, vec![json]);
            Played { is_accepted, payloads, ..told(String::new(), &format!("{kind} -> JSON")) }
        }
        Ok(Err(reason)) => told(reason, &format!("{kind} -> bad")),
        Err(error) => told(error.to_string(), &format!("{kind} -> refused")),
    }
}
