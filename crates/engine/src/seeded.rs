//! Rules that the simulation of this crate's tests leaves out, one at a time, to see that it notices; and bounds that it
//! makes small, so that a few rows fill them. Outside tests no rule is left out, and bounds are those of the contract.

/// A rule that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A lane that has a barrier waits for the other lanes of its stage.
    LanesAlign,
    /// Watermarks follow the rows that were put out before them.
    RowsBeforeWatermarks,
    /// A call of a stage is done before the next one begins.
    CallsEnd,
    /// An input stands at the least watermark of its senders.
    LeastOfLanes,
    /// A lane gives its sender room again once rows were taken.
    CreditComesBack,
    /// A commit is made again until it is known to be made.
    CommitsAgain,
    /// A checkpoint names what is prepared until it is known to be committed.
    CommittedWhenKnown,
    /// What is prepared at a barrier that does not commit goes into a later commit.
    GatheredWaits,
    /// A checkpoint names all that is pending, not what its own barrier has prepared alone.
    PendingOfAll,
    /// A checkpoint is put again until it is known to be durable.
    StoredAgain,
    /// Tables are committed after the checkpoint is durable.
    StoredFirst,
    /// What was prepared for a checkpoint that is given up is named by the next one.
    GivenUpStays,
    /// A checkpoint says up to where an earlier run is known to have committed.
    KnownGoesOn,
    /// A worker takes up the state of all its key groups.
    AllGroups,
    /// Counts of rows go on where an earlier run left them.
    CountsGoOn,
    /// In the queue of an output a barrier stays behind the rows that came before it.
    BarriersWait,
    /// Rows leave the queue of an output in the order in which they came.
    QueueOrder,
    /// A checkpoint says whether rows of an earlier run are still to come again.
    SaysWhatComesAgain,
}

#[cfg(test)]
thread_local! {
    static LEFT_OUT: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
    static SMALL: std::cell::Cell<Option<Bounds>> = const { std::cell::Cell::new(None) };
}

/// Bounds of a job in this thread.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// What one call of a stage puts out.
    pub budget_rows: usize,
    /// What waits in a lane.
    pub lane_rows: usize,
}

/// Leaves a rule out in this thread, and makes its bounds small.
#[cfg(test)]
pub(crate) fn seed(rule: Option<Rule>, bounds: Option<Bounds>) {
    LEFT_OUT.set(rule);
    SMALL.set(bounds);
}

#[cfg(test)]
pub(crate) fn leaves_out(rule: Rule) -> bool {
    LEFT_OUT.get() == Some(rule)
}

#[cfg(not(test))]
pub(crate) const fn leaves_out(_: Rule) -> bool {
    false
}

/// How many rows may wait in a lane.
#[cfg(test)]
pub(crate) fn lane_rows() -> usize {
    SMALL.get().map_or(dataflow::LANE_ROWS, |bounds| bounds.lane_rows)
}

#[cfg(not(test))]
pub(crate) const fn lane_rows() -> usize {
    dataflow::LANE_ROWS
}

/// How much one call of a stage puts out.
pub(crate) fn budget() -> dataflow::Budget {
    #[cfg(test)]
    if let Some(bounds) = SMALL.get() {
        return dataflow::Budget { rows: bounds.budget_rows, ..dataflow::Budget::default() };
    }
    dataflow::Budget::default()
}
