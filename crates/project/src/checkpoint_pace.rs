//! How soon checkpoints of a job follow one another, and how long one may take.

use crate::duration::duration;
use dataflow::{Error, Result};
use serde::Deserialize;
use std::time::Duration;

/// Of how long checkpoints are apart this part is left between one and the next, where nothing else is said: one that takes
/// long does not leave a job to do nothing else.
const PAUSE_PART: u32 = 10;

/// How long after a checkpoint the next one begins at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CheckpointPause(pub Duration);

/// How long a checkpoint may wait to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CheckpointTimeout(pub Duration);

impl CheckpointPause {
    /// The pause of a job that takes checkpoints so often and whose settings have none.
    pub fn of(every: Duration) -> CheckpointPause {
        CheckpointPause(every / PAUSE_PART)
    }
}

impl Default for CheckpointTimeout {
    fn default() -> Self {
        CheckpointTimeout(Duration::from_secs(120))
    }
}

impl TryFrom<String> for CheckpointPause {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let range = Duration::ZERO..=Duration::from_secs(3_600);
        duration(&text, range, "a number and a unit from 0s to 1h, such as 2s").map(CheckpointPause)
    }
}

impl TryFrom<String> for CheckpointTimeout {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let range = Duration::from_secs(1)..=Duration::from_secs(600);
        duration(&text, range, "a number and a unit from 1s to 10m, such as 2m").map(CheckpointTimeout)
    }
}
