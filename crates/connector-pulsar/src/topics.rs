//! The topics of a namespace.

use crate::client::{OPEN_WITHIN, PartitionProducer, chance, partition_count, unreached};
use crate::error::{Error, ErrorKind};
use crate::live_topic::PulsarTopic;
use crate::output_schema::{OutputSchema, of_output};
use crate::pattern::TopicPattern;
use crate::producer::{EarlierMessages, Guarantee, ProducerOptions};
use crate::runtime;
use crate::schemas;
use crate::settings::Settings;
use crate::topic::{Namespace, TopicName};
use crate::wire::protocol::CompressionType;
use dataflow::{Result, Topic};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::timeout;

/// The topics of a namespace of a Pulsar cluster.
#[derive(Clone)]
pub struct Topics {
    settings: Settings,
    namespace: Namespace,
    patterns: BTreeMap<String, TopicPattern>,
}

impl Topics {
    /// Nothing is connected before a topic is asked for.
    pub fn new(settings: Settings, namespace: Namespace) -> Topics {
        Topics { settings, namespace, patterns: BTreeMap::new() }
    }

    /// The same with names that stand for all topics whose names match a pattern.
    pub fn with_patterns(self, patterns: BTreeMap<String, TopicPattern>) -> Topics {
        Topics { patterns, ..self }
    }

    /// Where the topics are, for messages to people.
    pub fn place(&self) -> String {
        format!("namespace {} at {}", self.namespace, self.settings.service)
    }

    /// The topic of this name, if there is one. A name that stands for topics that match a pattern is one whose partitions
    /// they are, each with its own; it is there once one has matched. Those that are new are put on the list of the pattern.
    pub fn topic(&self, name: &str) -> Result<Option<Arc<PulsarTopic>>> {
        let full_name = self.namespace.topic(name)?;
        if let Some(pattern) = self.patterns.get(name) {
            let listed = runtime::wait(async { pattern.topics(&self.settings, &self.namespace).await })??;
            let topic = || Arc::new(PulsarTopic::of_listed(name, full_name, listed.clone(), self.settings.clone()));
            return Ok((!listed.is_empty()).then(topic));
        }
        let count = runtime::wait(async { partition_count(&self.settings, &full_name, OPEN_WITHIN).await })??;
        Ok(count.map(|count| Arc::new(PulsarTopic::new(name, full_name, count, self.settings.clone()))))
    }

    /// Refuses a topic whose newest schema is of a kind that is not read.
    pub fn check_schema(&self, topic: &PulsarTopic) -> Result<()> {
        for whole in topic.wholes() {
            runtime::wait(schemas::check(&self.settings, &whole, OPEN_WITHIN))??;
        }
        Ok(())
    }

    /// How the messages of an output with these columns are registered on a topic, which readers find them by. A topic whose
    /// newest schema says that it holds others than JSON or text is an error.
    pub fn output_schema(&self, topic: &PulsarTopic, columns: &arrow::datatypes::Schema) -> Result<OutputSchema> {
        let (full_name, output) = (topic.full_name(), (topic.name(), columns));
        Ok(runtime::wait(async { of_output(&self.settings, full_name, output, OPEN_WITHIN).await })??)
    }

    /// The topic of this name, made without partitions if it is not there and the cluster lets clients make topics.
    pub fn topic_or_create(&self, name: &str, partitions: u32) -> Result<Arc<PulsarTopic>> {
        if let Some(pattern) = self.patterns.get(name) {
            return Err(Error::invalid(format!(
                "{name} stands for the topics in {} whose names match \"{}\": they are read and not written, and made by \
                 those who write them",
                self.place(),
                pattern.text()
            ))
            .into());
        }
        if let Some(topic) = self.topic(name)? {
            return Ok(topic);
        }
        let full_name = self.namespace.topic(name)?;
        if partitions != 1 {
            let what = format!("there is no topic \"{full_name}\", and only administrators make partitions");
            return Err(Error::invalid(format!("{what}: {}", create_with(&full_name, partitions))).into());
        }
        runtime::wait(self.create(&full_name))??;
        let missing = || Error::unavailable(format!("topic \"{full_name}\" is not there after it was made"));
        Ok(self.topic(name)?.ok_or_else(missing)?)
    }

    /// Opens a producer, for which brokers make a topic.
    async fn create(&self, topic: &TopicName) -> crate::error::Result<()> {
        let options = ProducerOptions {
            topic: topic.clone(),
            name: format!("riverrun-make-{:016x}", chance()),
            guarantee: Guarantee::AtLeastOnce,
            earlier: EarlierMessages::default(),
            schema: None,
            compression: CompressionType::None,
            batch_messages_max: 1,
            batch_bytes_max: 1,
            budget_bytes: 1,
        };
        let mut producer = PartitionProducer::new(self.settings.clone(), options);
        match timeout(OPEN_WITHIN, producer.open()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.kind() == ErrorKind::Invalid => {
                // Brokers have no code of their own for that.
                let how = match error.to_string().contains("Namespace not found") {
                    true => format!("have its namespace made with `pulsar-admin namespaces create {}`", self.namespace),
                    false => create_with(topic, 1),
                };
                Err(error.context(format_args!("topic \"{topic}\" cannot be made: {how}")))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(unreached(producer.trouble().as_ref(), topic, OPEN_WITHIN)),
        }
    }
}

fn create_with(topic: &TopicName, partitions: u32) -> String {
    match partitions {
        1 => format!("have it made with `pulsar-admin topics create {topic}`"),
        _ => format!(
            "have it made with `pulsar-admin topics create-partitioned-topic {topic} --partitions {partitions}`"
        ),
    }
}
