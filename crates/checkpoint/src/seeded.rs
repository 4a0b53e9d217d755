//! Bugs that the simulation of this crate's tests is to notice. Outside tests there are none.

/// A rule that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// After a manifest was made nobody looks for newer ones.
    PutTrusted,
    /// A name that is taken counts as made, whatever it holds.
    ExistsTrusted,
    /// A run goes on from a manifest without putting it again.
    NoFence,
    /// State is read before the manifest is put again.
    ReadBeforeFence,
    /// A run goes on with an epoch that another run has had.
    EpochShared,
    /// What runs write to take an epoch is the same.
    EpochUnsigned,
    /// After an epoch was taken nobody looks for greater ones.
    EpochTrusted,
    /// A generation begins after a successor's manifest.
    BeginAfterSuccessor,
    /// A run collects before it has put a manifest.
    CollectAnyRun,
    /// A run collects state of later epochs than its own.
    CollectAnyEpoch,
    /// Only the newest manifest keeps state from being collected.
    NamedByNewest,
    /// A piece written earlier is named although the last manifest does not name it.
    NameUnwritten,
    /// Files of a try that failed give their names to those of the next.
    NamesReused,
    /// A manifest of which nothing was heard is forgotten.
    UnheardForgotten,
    /// Files of state are deleted when nothing was heard of their manifest.
    DeleteOnUnheard,
    /// What is named stays known, and is named again.
    PlaceNamedTwice,
    /// A run goes on naming the state of the savepoint that it began from, and copies none of it.
    SavepointNamed,
    /// A savepoint of an earlier generation may be begun from.
    OlderGeneration,
}

#[cfg(test)]
thread_local! {
    static SEEDED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Leaves a rule out in this thread.
#[cfg(test)]
pub(crate) fn seed(bug: Option<Bug>) {
    SEEDED.set(bug);
}

#[cfg(test)]
pub(crate) fn has(bug: Bug) -> bool {
    SEEDED.get() == Some(bug)
}

#[cfg(not(test))]
pub(crate) const fn has(_: Bug) -> bool {
    false
}
