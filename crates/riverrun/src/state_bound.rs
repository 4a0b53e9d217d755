//! Says when a job needs more state in memory than it may have.

use crate::{print, show};
use engine::Status;

/// More than this part of the bound beyond it is not what a batch brings back for a moment.
const BEYOND_PART: usize = 4;

/// Watches the bound on what state takes in memory.
pub struct StateBound {
    limit: usize,
    is_told: bool,
}

impl StateBound {
    /// Watches a bound in bytes.
    pub fn new(limit: usize) -> StateBound {
        StateBound { limit, is_told: false }
    }

    /// Says once that state does not come down to its bound, and which step needs most.
    pub fn watch(&mut self, status: &Status) {
        let (memory, _) = status.state_bytes();
        if self.is_told || !is_beyond(memory, self.limit) {
            return;
        }
        self.is_told = true;
        let nodes = status.nodes();
        let Some(most) = nodes.iter().max_by_key(|node| node.state_bytes) else { return };
        print::note(format_args!("{}", text(self.limit, memory, (&most.name, most.state_bytes))));
    }
}

fn is_beyond(memory: usize, limit: usize) -> bool {
    memory > limit.saturating_add(limit / BEYOND_PART)
}

fn text(limit: usize, memory: usize, (step, bytes): (&str, usize)) -> String {
    format!(
        "state_memory is {}, and state takes {} of memory, {} of it in step {step}: what finds the keys stays in memory, \
         and so does what one batch looks at; the job goes on, and a greater state_memory in riverrun.toml makes it faster",
        show::bytes(limit),
        show::bytes(memory),
        show::bytes(bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_that_needs_most_is_named_with_what_it_takes() {
        let text = text(1 << 30, 3 << 29, ("windows of author_id", 1 << 29));
        for part in ["1.0 GiB", "1.5 GiB", "512.0 MiB", "windows of author_id", "riverrun.toml"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!is_beyond(usize::MAX, usize::MAX) && !is_beyond(125, 100) && is_beyond(126, 100));
    }
}
