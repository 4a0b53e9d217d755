//! A topic as jobs read it.

use crate::anchor::{Anchor, AnchorFacts, AnchorPlace};
use crate::anchor_question::{AnchorAnswer, AnchorTask};
use crate::client::{OPEN_WITHIN, anchor};
use crate::contract::{MARGIN, message_id};
use crate::gone_log::GoneLog;
use crate::hold::{AnchorShown, Hold};
use crate::partition_log::PulsarLog;
use crate::pattern::Listed;
use crate::reader::{ProducerClocks, Start};
use crate::runtime;
use crate::settings::Settings;
use crate::topic::TopicName;
use dataflow::{Error, PartitionLog, Result, Span, Topic, TopicId};
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

/// Where brokers do not stamp, a job takes no silence for known before producers have had so much time to show that their
/// clocks are not right.
const DOUBT: Duration = Duration::from_secs(1);

/// A topic of a Pulsar cluster.
pub struct PulsarTopic {
    name: String,
    full_name: TopicName,
    id: TopicId,
    partitions: Partitions,
    settings: Settings,
    held: Option<Held>,
    producer_clocks: ProducerClocks,
}

/// What the partitions of a topic are.
#[derive(Clone)]
enum Partitions {
    /// A topic without partitions, which is read as if it had one.
    None,
    /// Those of one topic, by their numbers.
    Numbered(u32),
    /// Topics whose names match a pattern.
    Listed(Vec<Listed>),
}

/// The anchors of a topic that a job holds: the name of the subscriptions, and what is known of each.
struct Held {
    name: String,
    shown: Vec<AnchorShown>,
    begun_at: Vec<Option<AnchorPlace>>,
}

/// Where the anchors of a topic begin that were made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorsBegin {
    /// The job goes on from its last checkpoint.
    WhereTheyStand,
    /// It goes on from an older one, which may need what it let go of: at the beginning of the topic, as far as that is
    /// still there.
    Earlier,
    /// It begins anew, with whatever is there: at the beginning of the topic.
    Anew,
}

/// What is known of the anchors of a topic while a job reads it, by partition.
#[derive(Clone)]
pub struct HeldAnchors {
    /// The name of the topic.
    pub topic: String,
    /// The name of the subscriptions.
    pub subscription: String,
    /// Topics of a pattern of which nothing comes any more.
    pub gone: Vec<TopicName>,
    /// Whether it gets messages, as the subscription of a queue does.
    pub is_queue: bool,
    shown: Vec<AnchorShown>,
}

impl HeldAnchors {
    pub(crate) fn of_queue(topic: &str, subscription: &str, shown: Vec<AnchorShown>) -> HeldAnchors {
        let (topic, subscription) = (topic.to_owned(), subscription.to_owned());
        HeldAnchors { topic, subscription, gone: Vec::new(), is_queue: true, shown }
    }

    /// What is known of each partition's anchor, as of the last checkpoint.
    pub fn facts(&self) -> Vec<Option<AnchorFacts>> {
        let of = |shown: &AnchorShown| *shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.shown.iter().map(of).collect()
    }
}

impl PulsarTopic {
    /// A topic that is there, with so many partitions; 0 is one without.
    pub(crate) fn new(name: &str, full_name: TopicName, partitions: u32, settings: Settings) -> PulsarTopic {
        // A broker tells no id of a topic. One that was made again has other ledgers, so that the message that a reader goes
        // on after is not there; or, in a cluster that was made again, one that was stored later.
        let id = TopicId { cluster: "pulsar".to_owned(), topic: full_name.to_string() };
        let partitions = match partitions {
            0 => Partitions::None,
            partitions => Partitions::Numbered(partitions),
        };
        PulsarTopic {
            name: name.to_owned(),
            full_name,
            id,
            partitions,
            settings,
            held: None,
            producer_clocks: ProducerClocks::default(),
        }
    }

    /// Topics that are read as the partitions of one.
    pub(crate) fn of_listed(name: &str, full_name: TopicName, listed: Vec<Listed>, settings: Settings) -> PulsarTopic {
        PulsarTopic { partitions: Partitions::Listed(listed), ..PulsarTopic::new(name, full_name, 0, settings) }
    }

    /// Whether it is several topics, which match a pattern.
    pub fn is_pattern(&self) -> bool {
        matches!(self.partitions, Partitions::Listed(_))
    }

    /// Of topics that match a pattern: those of which nothing comes any more, since they were deleted or match no more.
    pub fn gone(&self) -> Vec<&TopicName> {
        match &self.partitions {
            Partitions::Listed(listed) => listed.iter().filter(|one| !one.is_there).map(|one| &one.topic).collect(),
            Partitions::None | Partitions::Numbered(_) => Vec::new(),
        }
    }

    /// The topics whose schemas its messages have.
    pub(crate) fn wholes(&self) -> Vec<TopicName> {
        match &self.partitions {
            Partitions::Listed(listed) => {
                let there = listed.iter().filter(|one| one.is_there);
                there.map(|one| one.topic.whole()).collect::<BTreeSet<_>>().into_iter().collect()
            }
            Partitions::None | Partitions::Numbered(_) => vec![self.full_name.clone()],
        }
    }

    fn is_gone(&self, partition: u32) -> bool {
        match &self.partitions {
            Partitions::Listed(listed) => listed.get(partition as usize).is_some_and(|one| !one.is_there),
            Partitions::None | Partitions::Numbered(_) => false,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many partitions it has, if it has any: none is a topic that is one itself.
    pub(crate) fn partitions_if_any(&self) -> Option<u32> {
        match self.partitions {
            Partitions::Numbered(partitions) => Some(partitions),
            Partitions::None | Partitions::Listed(_) => None,
        }
    }

    /// The full name.
    pub fn full_name(&self) -> &TopicName {
        &self.full_name
    }

    /// The same topic as a job reads it that holds an anchor per partition. `made` is where those that were made stood then,
    /// as far as that is known; others are made, at the beginning of the topic.
    pub fn held_by(&self, name: &str, made: &[Option<AnchorPlace>], begin: AnchorsBegin) -> Result<PulsarTopic> {
        let partitions = self.partitions();
        let mut begun_at = Vec::new();
        for partition in 0..partitions {
            let made = made.get(partition as usize);
            if let (AnchorsBegin::WhereTheyStand, Some(made)) = (begin, made) {
                begun_at.push(*made);
                continue;
            }
            if self.is_gone(partition) {
                begun_at.push(made.copied().flatten());
                continue;
            }
            if begin != AnchorsBegin::WhereTheyStand {
                // One that is held is there; whoever opens the partition says who it is.
                self.ask_anchor(partition, name, AnchorTask::BeginAnew, OPEN_WITHIN)?;
            }
            let stands_at = match self.ask_anchor(partition, name, AnchorTask::Make, OPEN_WITHIN)? {
                AnchorAnswer::Facts(facts) => facts.stands_at,
                AnchorAnswer::Done | AnchorAnswer::Held | AnchorAnswer::NoTopic => None,
            };
            let before = made.copied().flatten().filter(|_| begin == AnchorsBegin::Earlier);
            begun_at.push(before.or(stands_at));
        }
        let shown = (0..partitions).map(|_| AnchorShown::default()).collect();
        let held = Some(Held { name: name.to_owned(), shown, begun_at });
        let (name, full_name, id) = (self.name.clone(), self.full_name.clone(), self.id.clone());
        Ok(PulsarTopic {
            name,
            full_name,
            id,
            partitions: self.partitions.clone(),
            settings: self.settings.clone(),
            held,
            producer_clocks: ProducerClocks::default(),
        })
    }

    /// What is known of the anchors that the topic is held by.
    pub fn anchors(&self) -> Option<HeldAnchors> {
        let Held { name, shown, .. } = self.held.as_ref()?;
        let (topic, subscription) = (self.name.clone(), name.clone());
        let gone = self.gone().into_iter().cloned().collect();
        Some(HeldAnchors { topic, subscription, gone, is_queue: false, shown: shown.clone() })
    }

    /// Where the anchors stood when they were made, as far as that is known, by partition.
    pub fn anchors_begun_at(&self) -> &[Option<AnchorPlace>] {
        self.held.as_ref().map_or(&[], |held| &held.begun_at)
    }

    /// Looks at the anchor of a partition: `Held` where a consumer has it. One that is not there is made at the end.
    pub fn look_at_anchor(&self, partition: u32, name: &str, within: Duration) -> Result<AnchorAnswer> {
        self.ask_anchor(partition, name, AnchorTask::Look, within)
    }

    /// Deletes the anchor of a partition, unless a consumer holds it.
    pub fn forget_anchor(&self, partition: u32, name: &str) -> Result<AnchorAnswer> {
        self.ask_anchor(partition, name, AnchorTask::Forget, OPEN_WITHIN)
    }

    fn ask_anchor(&self, partition: u32, name: &str, task: AnchorTask, within: Duration) -> Result<AnchorAnswer> {
        if self.is_gone(partition) {
            return Ok(AnchorAnswer::NoTopic);
        }
        let topic = self.partition(partition)?;
        Ok(runtime::wait(async { anchor(&self.settings, &topic, name, task, within).await })??)
    }

    /// The topic that a partition is.
    pub(crate) fn partition(&self, partition: u32) -> Result<TopicName> {
        let found = match &self.partitions {
            Partitions::None => (partition == 0).then(|| self.full_name.clone()),
            Partitions::Numbered(partitions) => (partition < *partitions).then(|| self.full_name.partition(partition)),
            Partitions::Listed(listed) => listed.get(partition as usize).map(|one| one.topic.clone()),
        };
        found.ok_or_else(|| {
            Error::invalid(format!(
                "topic \"{}\" has {} partitions, numbered from 0: there is no partition {partition}",
                self.name,
                self.partitions()
            ))
        })
    }
}

impl Topic for PulsarTopic {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &TopicId {
        &self.id
    }

    fn partitions(&self) -> u32 {
        match &self.partitions {
            Partitions::None => 1,
            Partitions::Numbered(partitions) => *partitions,
            // There are far fewer, for each has a reader of its own.
            Partitions::Listed(listed) => u32::try_from(listed.len()).unwrap_or(u32::MAX),
        }
    }

    fn partition_name(&self, partition: u32) -> Option<String> {
        match &self.partitions {
            Partitions::Listed(listed) => listed.get(partition as usize).map(|one| one.topic.local_name().to_owned()),
            Partitions::None | Partitions::Numbered(_) => None,
        }
    }

    fn margin(&self) -> Span {
        MARGIN
    }

    fn open(&self, partition: u32, after: Option<dataflow::Position>) -> Result<Box<dyn PartitionLog>> {
        if self.is_gone(partition) {
            return Ok(Box::new(GoneLog::after(after)));
        }
        let start = after.map_or(Start::Oldest, |after| Start::AfterMessage(message_id(after)));
        Ok(Box::new(PulsarLog::open(
            &self.settings,
            &self.partition(partition)?,
            start,
            None,
            ProducerClocks::default(),
        )?))
    }

    fn hold(&self, partition: u32, after: Option<dataflow::Position>) -> Result<Box<dyn PartitionLog>> {
        if self.is_gone(partition) {
            return Ok(Box::new(GoneLog::after(after)));
        }
        let start = after.map_or(Start::Oldest, |after| Start::AfterMessage(message_id(after)));
        let hold = |held: &Held| {
            let shown = held.shown.get(partition as usize)?.clone();
            let begun_at = held.begun_at.get(partition as usize).copied().flatten();
            Some(Hold { anchor: Anchor { name: held.name.clone(), is_made: true, begun_at }, shown })
        };
        let (hold, clocks) = (self.held.as_ref().and_then(hold), self.producer_clocks.doubted_for(DOUBT));
        Ok(Box::new(PulsarLog::open(&self.settings, &self.partition(partition)?, start, hold, clocks)?))
    }
}
