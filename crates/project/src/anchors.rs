//! Anchors: what jobs have a cluster keep for them of what they have not read durably.
//!
//! A job has a durable subscription per partition of each topic that it reads. Which ones it has made is kept beside its
//! checkpoints: one of those that is not there any more was deleted by somebody else.

use crate::open::Project;
use crate::topic_place::{AnchorNames, PulsarPlace, TopicPlace};
use crate::topics::Topics;
use connector_pulsar::{
    AnchorAnswer, AnchorFacts, AnchorPlace, AnchorsBegin, HeldAnchors, PulsarTopic, QueueTopic, TopicPattern,
};
use dataflow::{Error, QueueSharing, Result, Span, Topic};
use seam::StreamInput;
use serde::{Deserialize, Serialize};
use sql::Stream;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The folder of the records, beside those of the checkpoints.
const FOLDER: &str = "anchors";
const VERSION: u32 = 1;
/// How long a cluster has to say how an anchor stands.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// How long whoever held an anchor may take to leave it, and how often it is looked at.
const LEAVES: (Span, Duration) = (Span::seconds(10), Duration::from_millis(100));

/// Who has anchors.
#[derive(Clone, Copy, Debug)]
pub enum AnchorsOf<'a> {
    /// A job of `riverrun.toml`, or that of all outputs.
    Job(Option<&'a str>),
    /// All ARCHIVE statements.
    Archive,
}

/// The anchors on one topic.
#[derive(Debug)]
pub struct AnchorsOnTopic {
    /// The topic.
    pub topic: String,
    /// The name of the subscriptions.
    pub subscription: String,
    /// How each partition's stands; or why the cluster does not say.
    pub partitions: Result<Vec<PartitionAnchor>>,
}

/// The anchor on one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionAnchor {
    /// A consumer holds it, and says how it stands if it is one of a running job that is asked.
    Held,
    /// The topic is not there.
    NoTopic,
    /// Nobody holds it.
    Free(AnchorFacts),
}

#[derive(Serialize, Deserialize)]
struct RecordFile {
    version: u32,
    anchors: Vec<Recorded>,
}

/// An anchor that was made.
#[derive(Clone, Serialize, Deserialize)]
struct Recorded {
    topic: String,
    full_name: String,
    subscription: String,
    /// On how many partitions.
    partitions: u32,
    /// Where each of them stood then: its ledger, and the entry before it, -1 where that is none; as far as is known.
    #[serde(default)]
    begun_at: Vec<Option<(i64, i64)>>,
    /// Whether it is the subscription of a queue, which is on all partitions that there are.
    #[serde(default)]
    queue: bool,
}

impl Recorded {
    /// On how many partitions it is: a queue takes up those that are added while it is read.
    fn partitions_of(&self, topic: &PulsarTopic) -> u32 {
        if self.queue { topic.partitions() } else { self.partitions.min(topic.partitions()) }
    }
}

/// What somebody has made.
struct Record {
    path: PathBuf,
    anchors: Vec<Recorded>,
}

impl Record {
    fn read(path: PathBuf) -> Result<Record> {
        let corrupt = |what: String| {
            Error::corrupt(format!("\"{}\" {what}; without it the next run makes anchors anew", path.display()))
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Record { path, anchors: Vec::new() });
            }
            Err(error) => return Err(Error::of_file(format!("cannot read \"{}\"", path.display()), error)),
        };
        let file: RecordFile =
            serde_json::from_str(&text).map_err(|error| corrupt(format!("cannot be read: {error}")))?;
        match file.version {
            VERSION => Ok(Record { path, anchors: file.anchors }),
            other => Err(corrupt(format!("has version {other}, expected {VERSION}"))),
        }
    }

    fn write(&self) -> Result<()> {
        let failed = |error| Error::of_file(format!("cannot write \"{}\"", self.path.display()), error);
        if self.anchors.is_empty() {
            return match std::fs::remove_file(&self.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            };
        }
        let folder = self.path.parent().ok_or_else(|| Error::internal("a record of anchors has no folder"))?;
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut unfinished = tempfile::Builder::new().prefix(".anchors.").tempfile_in(folder).map_err(failed)?;
        let file = RecordFile { version: VERSION, anchors: self.anchors.clone() };
        let text = serde_json::to_string(&file).map_err(|_| Error::internal("a record of anchors has no text"))?;
        unfinished.write_all(text.as_bytes()).and_then(|()| unfinished.as_file().sync_all()).map_err(failed)?;
        unfinished.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// The partitions of a topic that have an anchor of this name, and where that stood when it was made.
    fn made(&self, topic: &PulsarTopic, subscription: &str) -> Vec<Option<AnchorPlace>> {
        let is_it = |made: &&Recorded| {
            !made.queue && made.subscription == subscription && made.full_name == topic.full_name().as_str()
        };
        let Some(made) = self.anchors.iter().find(is_it) else { return Vec::new() };
        let place = |(ledger, entry)| AnchorPlace::new(ledger, entry);
        let begun_at = |partition: u32| made.begun_at.get(partition as usize).copied().flatten().map(place);
        (0..made.partitions).map(begun_at).collect()
    }

    fn set(&mut self, topic: &PulsarTopic, subscription: &str) {
        let (name, full_name) = (topic.name().to_owned(), topic.full_name().to_string());
        self.anchors.retain(|made| made.subscription != subscription || made.full_name != full_name);
        let (subscription, partitions) = (subscription.to_owned(), topic.partitions());
        let begun_at = topic.anchors_begun_at().iter().map(|place| place.map(AnchorPlace::numbers)).collect();
        self.anchors.push(Recorded { topic: name, full_name, subscription, partitions, begun_at, queue: false });
    }

    /// Takes note of the subscription of a queue; whether it was not known, or on fewer partitions.
    fn set_queue(&mut self, topic: &PulsarTopic, subscription: &str) -> bool {
        let is_it =
            |made: &&mut Recorded| made.subscription == subscription && made.full_name == topic.full_name().as_str();
        let partitions = topic.partitions();
        if let Some(made) = self.anchors.iter_mut().find(is_it) {
            let is_known = made.queue && made.partitions >= partitions;
            (made.queue, made.partitions, made.begun_at) = (true, partitions.max(made.partitions), Vec::new());
            return !is_known;
        }
        let (name, full_name) = (topic.name().to_owned(), topic.full_name().to_string());
        let (subscription, begun_at) = (subscription.to_owned(), Vec::new());
        self.anchors.push(Recorded { topic: name, full_name, subscription, partitions, begun_at, queue: true });
        true
    }
}

impl Project {
    /// Has the cluster keep what a job has not read of its topics from now on: before this nothing of them is read.
    pub(crate) fn hold_topics(
        &self,
        job: Option<&str>,
        (streams, inputs): (&[Stream], &mut [StreamInput]),
        begin: AnchorsBegin,
    ) -> Result<Vec<HeldAnchors>> {
        let of = AnchorsOf::Job(job);
        let mut wanted = Vec::new();
        for (stream, input) in streams.iter().zip(inputs.iter_mut()) {
            let Some(live) = &mut input.live else { continue };
            if let Some(sharing) = stream.queue {
                if let Some(queue) = self.queue((of, sharing), &stream.name, live.topic.name())? {
                    wanted.push(queue.subscription());
                    live.topic = Arc::new(queue);
                }
            } else if let Some(topic) = self.hold_topic(of, &input.spec.name, live.topic.name(), begin)? {
                wanted.extend(topic.anchors());
                live.topic = topic;
            }
        }
        self.let_go_of_others(of, |_, made| wanted.iter().any(|held| held.subscription == made))?;
        Ok(wanted)
    }

    /// The topic of a stream that is a queue, by the job's subscription; none on local topics, whose messages nobody takes
    /// away, and for who runs the project under names of their own, who takes none away from others.
    fn queue(&self, (of, sharing): (AnchorsOf, QueueSharing), stream: &str, topic: &str) -> Result<Option<QueueTopic>> {
        let (Topics::Pulsar(topics), TopicPlace::Pulsar(place), None) =
            (self.topics()?, self.topic_place(), self.person())
        else {
            return Ok(None);
        };
        if place.anchors == AnchorNames::None {
            return Err(Error::invalid(format!(
                "stream \"{stream}\" is a queue, which is read by a subscription, and live of environment {} has \
                 anchors = false: leave that out, or leave out QUEUE",
                self.environment_name()
            )));
        }
        let (Some(subscription), Some(found)) = (self.subscription(of, stream), topics.topic(topic)?) else {
            return Ok(None);
        };
        let mut record = Record::read(self.record_path(of))?;
        if record.set_queue(&found, &subscription) {
            record.write()?;
        }
        Ok(Some(QueueTopic::new(found, subscription, sharing, self.clock.clone())))
    }

    /// Puts anchors back to the beginning, as far as that is still there, where the job goes on from an older place than they
    /// stand at; nothing else may be refused after that.
    pub(crate) fn put_anchors_back(&self, held: &[HeldAnchors], begin: AnchorsBegin) -> Result<()> {
        let (AnchorsBegin::Earlier, Topics::Pulsar(topics)) = (begin, self.topics()?) else { return Ok(()) };
        // A queue has no place to be put back to.
        held.iter().filter(|held| !held.is_queue).try_for_each(|held| match topics.topic(&held.topic)? {
            Some(topic) => topic.held_by(&held.subscription, &[], AnchorsBegin::Earlier).map(drop),
            None => Ok(()),
        })
    }

    /// Has the cluster keep what is not read of the topic of a stream; none where topics are kept by themselves, and for who runs the project under names of
    /// their own.
    pub(crate) fn hold_topic(
        &self,
        of: AnchorsOf,
        stream: &str,
        topic: &str,
        begin: AnchorsBegin,
    ) -> Result<Option<Arc<PulsarTopic>>> {
        let (Topics::Pulsar(topics), Some(subscription)) = (self.topics()?, self.subscription(of, stream)) else {
            return Ok(None);
        };
        let Some(found) = topics.topic(topic)? else { return Ok(None) };
        let mut record = Record::read(self.record_path(of))?;
        let made = record.made(&found, &subscription);
        let held = found.held_by(&subscription, &made, begin)?;
        if made != held.anchors_begun_at() {
            record.set(&held, &subscription);
            record.write()?;
        }
        Ok(Some(Arc::new(held)))
    }

    /// Lets go of anchors that are not to be kept, by their topics and names: what they hold is not read any more, or is kept
    /// by others. One that cannot be deleted now is tried again by the next run.
    pub(crate) fn let_go_of_others(&self, of: AnchorsOf, keeps: impl Fn(&str, &str) -> bool) -> Result<()> {
        let (None, Topics::Pulsar(topics)) = (self.person(), self.topics()?) else { return Ok(()) };
        let mut record = Record::read(self.record_path(of))?;
        let (kept, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut record.anchors).into_iter().partition(|made| keeps(&made.topic, &made.subscription));
        if others.is_empty() {
            return Ok(());
        }
        let stays = |made: &Recorded| !matches!(forget(topics, made), Ok(None));
        record.anchors = kept.into_iter().chain(others.into_iter().filter(stays)).collect();
        record.write()
    }

    /// Deletes all anchors of a job that does not run; gives on how many partitions.
    pub fn forget_anchors(&self, of: AnchorsOf) -> Result<u32> {
        let (None, Topics::Pulsar(topics)) = (self.person(), self.topics()?) else { return Ok(0) };
        let mut record = Record::read(self.record_path(of))?;
        let mut count = 0;
        while let Some(made) = record.anchors.last().cloned() {
            let mut held = forget(topics, &made)?;
            // Each look may take as long as the cluster is away.
            let until = self.clock.now().plus(LEAVES.0);
            while held.is_some() && self.clock.now() < until {
                // The connections of a process that has just ended may still be known.
                std::thread::park_timeout(LEAVES.1);
                held = forget(topics, &made)?;
            }
            if let Some(partition) = held {
                return Err(Error::unavailable(format!(
                    "subscription \"{}\" on partition {partition} of topic {} is held by a consumer: stop what holds it",
                    made.subscription, made.topic
                )));
            }
            count += made.partitions;
            record.anchors.pop();
            record.write()?;
        }
        Ok(count)
    }

    /// How the anchors of a job stand.
    pub fn anchors(&self, of: AnchorsOf) -> Result<Vec<AnchorsOnTopic>> {
        let (None, Topics::Pulsar(topics)) = (self.person(), self.topics()?) else { return Ok(Vec::new()) };
        let mut is_away = false;
        let mut look = |made: Recorded| {
            let partitions = match is_away {
                false => look_at(topics, &made),
                true => Err(Error::unavailable("the cluster did not answer just now")),
            };
            is_away |= partitions.is_err();
            AnchorsOnTopic { topic: made.topic, subscription: made.subscription, partitions }
        };
        Ok(Record::read(self.record_path(of))?.anchors.into_iter().map(&mut look).collect())
    }

    /// The name of the subscriptions for the archive of a stream, where there are any.
    pub(crate) fn archive_anchor(&self, stream: &str) -> Option<String> {
        self.subscription(AnchorsOf::Archive, stream)
    }

    /// The name of the subscriptions for a stream, where there are any.
    fn subscription(&self, of: AnchorsOf, stream: &str) -> Option<String> {
        let TopicPlace::Pulsar(place) = self.topic_place() else { return None };
        let (None, AnchorNames::With(prefix)) = (self.person(), &place.anchors) else { return None };
        let whose = match of {
            AnchorsOf::Job(None) => vec!["project"],
            AnchorsOf::Job(Some(job)) => vec!["job", job],
            AnchorsOf::Archive => vec!["archive"],
        };
        let parts = [&[prefix.as_str(), self.name(), self.environment_name()], &whose[..], &[stream]].concat();
        Some(readable(&parts))
    }

    /// The patterns of an environment, each with a list of its own: machines and jobs that read the same have the same.
    pub(crate) fn topic_patterns(&self, place: &PulsarPlace) -> Result<BTreeMap<String, TopicPattern>> {
        let AnchorNames::With(prefix) = &place.anchors else { return Ok(BTreeMap::new()) };
        let pattern = |(name, text): (&String, &String)| {
            let list = readable(&[prefix, self.name(), self.environment_name(), "topics", name]);
            Ok((name.clone(), TopicPattern::new(text, list, format!("{prefix}-"))?))
        };
        place.patterns.iter().map(pattern).collect()
    }

    fn record_path(&self, of: AnchorsOf) -> PathBuf {
        let beside = self.checkpoints_path(None);
        beside.with_file_name(FOLDER).join(format!("{}.json", file_stem(of)))
    }
}

/// What a job is called in names of files and subscriptions, as its checkpoints are.
fn file_stem(of: AnchorsOf) -> String {
    match of {
        AnchorsOf::Job(None) => "project".to_owned(),
        AnchorsOf::Job(Some(job)) => format!("job-{job}"),
        AnchorsOf::Archive => "archive".to_owned(),
    }
}

/// A name of these parts that clusters, their files and their addresses take. Where one of them has other letters, or the
/// one between parts, the name has a number that tells it from others.
fn readable(parts: &[&str]) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.');
    let name = parts.join("-");
    if parts.iter().all(|part| part.chars().all(is_plain)) {
        return name;
    }
    let plain: String =
        name.chars().map(|letter| if is_plain(letter) || letter == '-' { letter } else { '_' }).collect();
    format!("{plain}-{:08x}", xxhash_rust::xxh3::xxh3_64(parts.join("\n").as_bytes()) as u32)
}

/// Deletes an anchor on all partitions; gives the first one that a consumer holds.
fn forget(topics: &connector_pulsar::Topics, made: &Recorded) -> Result<Option<u32>> {
    let Some(topic) = there(topics, made)? else { return Ok(None) };
    for partition in 0..made.partitions_of(&topic) {
        if topic.forget_anchor(partition, &made.subscription)? == AnchorAnswer::Held {
            return Ok(Some(partition));
        }
    }
    Ok(None)
}

/// The topic on which an anchor was made, if it is there and this namespace is still the one of the environment.
fn there(topics: &connector_pulsar::Topics, made: &Recorded) -> Result<Option<Arc<PulsarTopic>>> {
    Ok(topics.topic(&made.topic)?.filter(|topic| topic.full_name().as_str() == made.full_name))
}

fn look_at(topics: &connector_pulsar::Topics, made: &Recorded) -> Result<Vec<PartitionAnchor>> {
    let Some(topic) = there(topics, made)? else { return Ok(vec![PartitionAnchor::NoTopic; made.partitions as usize]) };
    let look = |partition: u32| {
        Ok(match topic.look_at_anchor(partition, &made.subscription, LOOK_WITHIN)? {
            AnchorAnswer::Held => PartitionAnchor::Held,
            AnchorAnswer::Facts(facts) => PartitionAnchor::Free(facts),
            AnchorAnswer::NoTopic | AnchorAnswer::Done => PartitionAnchor::NoTopic,
        })
    };
    (0..made.partitions_of(&topic)).map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_subscriptions_are_plain_and_differ() {
        assert_eq!(readable(&["riverrun", "a_b", "prod", "job", "x", "plays"]), "riverrun-a_b-prod-job-x-plays");
        let [one, other] = ["plays x", "plays/x"].map(|stream| readable(&["riverrun", "a", stream]));
        assert!(one.starts_with("riverrun-a-plays_x-") && one != other, "{one} {other}");
        // Parts that are cut elsewhere are others.
        let [one, other] = [["a", "b-s"], ["a-b", "s"]].map(|parts| readable(&parts));
        assert!(one.starts_with("a-b-s-") && other.starts_with("a-b-s-") && one != other, "{one} {other}");
    }

    #[test]
    fn a_record_comes_back_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors/project.json");
        let mut record = Record::read(path.clone()).unwrap();
        assert!(record.anchors.is_empty());
        let made = Recorded {
            topic: "plays".to_owned(),
            full_name: "persistent://a/b/plays".to_owned(),
            subscription: "s".to_owned(),
            partitions: 3,
            begun_at: vec![None, Some((7, -1))],
            queue: false,
        };
        record.anchors.push(made);
        record.write().unwrap();
        let read = Record::read(path.clone()).unwrap();
        assert_eq!((read.anchors.len(), read.anchors[0].partitions), (1, 3));
        assert_eq!(read.anchors[0].begun_at, [None, Some((7, -1))]);
        Record { anchors: Vec::new(), ..read }.write().unwrap();
        assert!(!path.exists());
        for (text, expected) in
            [("{", "cannot be read"), (r#"{"version":2,"anchors":[]}"#, "has version 2, expected 1")]
        {
            std::fs::write(&path, text).unwrap();
            let error = Record::read(path.clone()).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
