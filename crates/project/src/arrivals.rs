//! Clocks of histories whose rows have an arrival of their own, kept beside the tables for the next run.

use dataflow::{Result, TimedFiles};
use seam::{ArrivedFiles, StreamSpec};
use sql::{History, Stream};
use std::path::Path;
use std::sync::Arc;
use values::Encoding;
use xxhash_rust::xxh3::xxh3_64;

/// The folder of a warehouse for the clocks of streams.
const CLOCKS: &str = "_riverrun/clocks";

/// A history without coordinates, with the clocks that its rows met where the stream says when they arrived. `state`
/// differs when files were changed that have the same names and sizes. Reading all rows takes a while, and is told.
pub(crate) fn with_clocks(
    files: Arc<dyn TimedFiles>,
    (stream, spec): (&Stream, &StreamSpec),
    state: &str,
    (warehouse, spill_dir): (&Path, &Path),
    tell: &dyn Fn(u64),
) -> Result<Arc<dyn TimedFiles>> {
    if spec.arrival.is_none() {
        return Ok(files);
    }
    let kept_at = warehouse.join(CLOCKS).join(format!("{:016x}", xxh3_64(stream.name.as_bytes())));
    let arrived = ArrivedFiles::open(spec, files, &origin(stream, state), &kept_at, spill_dir, tell);
    Ok(Arc::new(arrived.map_err(|error| error.context(format!("stream \"{}\"", stream.name)))?))
}

/// What the values of a stream's columns are made of, whatever they are called.
fn origin(stream: &Stream, state: &str) -> String {
    let encoding = match &stream.history {
        Some(History::Files(_, Encoding::Latin1)) => "latin1",
        Some(History::Files(_, Encoding::Utf16)) => "utf-16",
        _ => "utf-8",
    };
    let parts = [encoding, state].into_iter().chain(stream.origins.iter().map(String::as_str));
    parts.map(|part| format!("{}:{part}", part.len())).collect()
}
