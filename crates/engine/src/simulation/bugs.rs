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
    /// A savepoint has no copies of the data files that it has pending.
    SavepointWithoutFiles,
    /// Partitions join before the rows have come again that an earlier run has put out.
    JoinsBeforeReplay,
    /// Where topics end nobody goes on through silence, as an earlier run did, for rows that are to come again.
    ReplayEnds,
    /// A run that is to go on for ever does not come to the ends first that the one before has not come to.
    EndsForgotten,
    /// A reader that has given rows and no watermark holds nobody back.
    RowsWithoutWatermark,
    /// A run that goes on from a savepoint numbers its checkpoints after that one, not after the newest.
    NumbersOfSavepoint,
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
    ("commit-on-try", Bug::Engine(Rule::CommitsAgain), 423),
    ("known-too-early", Bug::Engine(Rule::CommittedWhenKnown), 3774),
    ("gathered-dropped", Bug::Engine(Rule::GatheredWaits), 70),
    ("pending-of-one-checkpoint", Bug::Engine(Rule::PendingOfAll), 160),
    ("stored-on-try", Bug::Engine(Rule::StoredAgain), 109),
    ("commit-before-durable", Bug::Engine(Rule::StoredFirst), 726),
    ("known-forgotten", Bug::Engine(Rule::KnownGoesOn), 113),
    ("key-group-lost", Bug::Engine(Rule::AllGroups), 2599),
    ("counts-anew", Bug::Engine(Rule::CountsGoOn), 2),
    ("barrier-overtakes", Bug::Engine(Rule::BarriersWait), 1),
    ("queue-reversed", Bug::Engine(Rule::QueueOrder), 6),
    ("replay-unsaid", Bug::Engine(Rule::SaysWhatComesAgain), 569),
    ("no-epoch-check", Bug::EpochUnchecked, 46),
    ("token-unpinned", Bug::CommitUnpinned, 174),
    ("delete-on-unknown", Bug::FilesGoOnUnknown, 174),
    ("pending-dropped", Bug::PendingDropped, 46),
    ("settled-unknown", Bug::SettledUnknown, 89),
    ("no-topic-fence", Bug::TopicUnfenced, 351),
    ("no-flush", Bug::TopicUnflushed, 1),
    ("sequence-anew", Bug::TopicCountsAnew, 2),
    ("start-off-by-one", Bug::StartOffByOne, 351),
    ("switch-too-late", Bug::SwitchTooLate, 0),
    ("switch-too-early", Bug::SwitchTooEarly, 0),
    ("archive-clock-ignored", Bug::ArchiveClockIgnored, 8),
    ("archive-dedups", Bug::ArchiveDropsRepeats, 0),
    ("torn-barrier", Bug::TornBarrier, 4),
    ("disorder-ignored", Bug::DisorderIgnored, 0),
    ("savepoint-without-files", Bug::SavepointWithoutFiles, 2082),
    ("joins-before-replay", Bug::JoinsBeforeReplay, 50),
    ("numbers-of-savepoint", Bug::NumbersOfSavepoint, 26),
    ("replay-ends", Bug::ReplayEnds, 136),
    ("ends-forgotten", Bug::EndsForgotten, 208),
    ("rows-without-watermark", Bug::RowsWithoutWatermark, 1164),
    ("given-up-dropped", Bug::Engine(Rule::GivenUpStays), 174),
    ("other-history", Bug::OtherHistory, 35),
];
