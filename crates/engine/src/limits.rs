//! How much a thread may take.

/// The stack of a thread that evaluates expressions, which may be as long as SQL allows. Only what is used of it is
/// memory.
pub(crate) const STACK_BYTES: usize = 64 << 20;
