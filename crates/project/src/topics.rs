//! The topics of an environment, wherever they are.

use connector_local::LocalTopic;
use dataflow::{Error, Result, Topic};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// A folder of topics.
#[derive(Clone)]
pub struct LocalPlace {
    /// The folder.
    pub folder: PathBuf,
    /// The topics into which messages are copied with the arrivals that they had elsewhere.
    pub copied: BTreeSet<String>,
}

impl LocalPlace {
    fn opened(&self, topic: Arc<LocalTopic>) -> Arc<dyn Topic> {
        if self.copied.contains(topic.name()) { Arc::new(topic.of_copy()) } else { topic }
    }
}

/// The topics of an environment.
#[derive(Clone)]
pub enum Topics {
    /// In a folder.
    Local(connector_local::Topics, LocalPlace),
    /// In a namespace of a Pulsar cluster.
    Pulsar(connector_pulsar::Topics),
}

impl Topics {
    /// Where they are, for messages to people.
    pub fn place(&self) -> String {
        match self {
            Topics::Local(_, place) => place.folder.display().to_string(),
            Topics::Pulsar(topics) => topics.place(),
        }
    }

    /// The topic of this name, if there is one.
    pub fn topic(&self, name: &str) -> Result<Option<Arc<dyn Topic>>> {
        Ok(match self {
            // Until the folder is made, any name is one of no topic.
            Topics::Local(_, place) if !place.folder.is_dir() => None,
            Topics::Local(topics, place) => topics.topic(name)?.map(|topic| place.opened(topic)),
            Topics::Pulsar(topics) => topics.topic(name)?.map(|topic| topic as Arc<dyn Topic>),
        })
    }

    /// The same to be read: a topic whose messages are of a kind that is not read is refused.
    pub fn topic_to_read(&self, name: &str) -> Result<Option<Arc<dyn Topic>>> {
        let Topics::Pulsar(topics) = self else { return self.topic(name) };
        let Some(topic) = topics.topic(name)? else { return Ok(None) };
        topics.check_schema(&topic)?;
        Ok(Some(topic))
    }

    /// The topic of this name, made if it is not there.
    pub fn topic_or_create(&self, name: &str, partitions: u32) -> Result<Arc<dyn Topic>> {
        Ok(match self {
            Topics::Local(topics, place) => place.opened(topics.topic_or_create(name, partitions)?),
            Topics::Pulsar(topics) => topics.topic_or_create(name, partitions)?,
        })
    }

    /// The names of local topics, sorted; those of a cluster are not listed.
    pub fn names(&self) -> Result<Vec<String>> {
        match self {
            Topics::Local(topics, place) if place.folder.is_dir() => topics.names(),
            Topics::Local(..) | Topics::Pulsar(_) => Ok(Vec::new()),
        }
    }

    /// Why new messages are found by polling every 50 ms, if they are.
    pub fn watched_by_polling(&self) -> Option<String> {
        match self {
            Topics::Local(topics, _) => topics.watched_by_polling(),
            Topics::Pulsar(_) => None,
        }
    }

    /// The topics in a folder.
    pub(crate) fn local(&self) -> Result<&connector_local::Topics> {
        match self {
            Topics::Local(topics, _) => Ok(topics),
            Topics::Pulsar(topics) => Err(Error::internal(format!("{} is no folder of topics", topics.place()))),
        }
    }
}
