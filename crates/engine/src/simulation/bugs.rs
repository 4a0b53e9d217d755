//! The rules that are left out, one at a time, and a seed of each that notices.

use crate::seeded::Rule;

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// One of the engine.
    Engine(Rule),
    /// A commit does not look at the table's epoch.
    EpochUnchecked,
    /// What is in a table is looked up once, and not on the base that is swapped.
    CommitUnpinned,
    /// A table forgets the tokens of commits before the last one.
    EarlierTokensForgotten,
    /// Data files are deleted when nobody knows whether they were committed.
    FilesGoOnUnknown,
    /// What a checkpoint has pending is not committed by the run that goes on from it.
    PendingDropped,
    /// A run does not know what it has committed as it began.
    SettledUnknown,
    /// A topic that another run has opened does not shut out the one before.
    TopicUnfenced,
    /// A checkpoint does not wait until the rows before it are stored in the topic.
    TopicUnflushed,
    /// A topic's writer counts its rows from the beginning again.
    TopicCountsAnew,
    /// Topics begin a microsecond too early.
    StartOffByOne,
    /// Live begins one message too late.
    SwitchTooLate,
    /// Live begins one message too early.
    SwitchTooEarly,
    /// The clocks that an archive has recorded are ignored.
    ArchiveClockIgnored,
    /// An archive leaves deliveries out that came before.
    ArchiveDropsRepeats,
    /// A checkpoint has the state of its barrier and the positions of the one before.
    TornBarrier,
    /// The watermark takes rows for ordered.
    DisorderIgnored,
    /// A run begins with the history that there is now, not with the one that its checkpoint has read.
    OtherHistory,
}

/// All of them, by name, with a seed that notices.
pub const BUGS: &[(&str, Bug, u64)] = &[
    ("unaligned-barrier", Bug::Engine(Rule::LanesAlign), 3),
    ("watermark-before-rows", Bug::Engine(Rule::RowsBeforeWatermarks), 3),
    ("more-ignored", Bug::Engine(Rule::CallsEnd), 1),
    ("furthest-lane", Bug::Engine(Rule::LeastOfLanes), 1),
    ("credit-kept", Bug::Engine(Rule::CreditComesBack), 0),
    ("commit-on-try", Bug::Engine(Rule::CommitsAgain), 74),
    ("known-too-early", Bug::Engine(Rule::CommittedWhenKnown), 4554),
    ("gathered-dropped", Bug::Engine(Rule::GatheredWaits), 26),
    ("pending-of-one-checkpoint", Bug::Engine(Rule::PendingOfAll), 48),
    ("stored-on-try", Bug::Engine(Rule::StoredAgain), 2),
    ("commit-before-durable", Bug::Engine(Rule::StoredFirst), 176),
    ("known-forgotten", Bug::Engine(Rule::KnownGoesOn), 344),
    ("key-group-lost", Bug::Engine(Rule::AllGroups), 8),
    ("counts-anew", Bug::Engine(Rule::CountsGoOn), 2),
    ("barrier-overtakes", Bug::Engine(Rule::BarriersWait), 1),
    ("queue-reversed", Bug::Engine(Rule::QueueOrder), 2),
    ("no-epoch-check", Bug::EpochUnchecked, 605),
    ("token-unpinned", Bug::CommitUnpinned, 104),
    ("earlier-tokens-forgotten", Bug::EarlierTokensForgotten, 227),
    ("delete-on-unknown", Bug::FilesGoOnUnknown, 4),
    ("pending-dropped", Bug::PendingDropped, 23),
    ("settled-unknown", Bug::SettledUnknown, 26),
    ("no-topic-fence", Bug::TopicUnfenced, 48),
    ("no-flush", Bug::TopicUnflushed, 1),
    ("sequence-anew", Bug::TopicCountsAnew, 4),
    ("start-off-by-one", Bug::StartOffByOne, 2),
    ("switch-too-late", Bug::SwitchTooLate, 0),
    ("switch-too-early", Bug::SwitchTooEarly, 0),
    ("archive-clock-ignored", Bug::ArchiveClockIgnored, 0),
    ("archive-dedups", Bug::ArchiveDropsRepeats, 0),
    ("torn-barrier", Bug::TornBarrier, 2),
    ("disorder-ignored", Bug::DisorderIgnored, 0),
    ("other-history", Bug::OtherHistory, 2),
];
