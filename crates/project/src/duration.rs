//! Durations in settings: a number and a unit.

use dataflow::{Error, Result};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A number and a unit.
pub fn duration(text: &str, range: RangeInclusive<Duration>, expected: &str) -> Result<Duration> {
    let wrong = |what: &str| Error::invalid(format!("\"{text}\" {what}, expected {expected}"));
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong("is not a duration"))?;
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(wrong("has no unit")),
        _ => return Err(wrong("is not a duration")),
    };
    let duration = Duration::from_millis(number.saturating_mul(unit_ms));
    if duration < *range.start() {
        return Err(wrong("is too short"));
    }
    if duration > *range.end() {
        return Err(wrong("is too long"));
    }
    Ok(duration)
}
