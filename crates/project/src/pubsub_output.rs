//! An output to a topic that goes to topics of Pub/Sub as well.

use crate::pubsub::{Settings, TopicPublisher};
use connector_local::TopicPosition;
use connector_pulsar::SinkPosition;
use copy_contract::OutgoingMessage;
use dataflow::{Batch, Committable, Encode, Error, Result, Sink};
use std::sync::{Arc, Mutex, PoisonError};

/// The attribute of a message that says which row of its output it is: a row that is put again has the same.
const ROW: &str = "riverrun.row";

/// What to do about a row that Pub/Sub does not take.
const TO_DO: &str = "nothing of it was written, to the topic neither, and nothing is lost: shorten it in SQL, the SUBJECT of a \
    decision being the key, or take the topic of Pub/Sub out of [env.NAME.names], and run the job again, which goes on there";

/// Makes the writer of a worker.
type Writer = Box<dyn Fn(usize) -> Result<Box<dyn Sink>> + Send>;

/// The writer of a topic, which puts its rows on topics of Pub/Sub as well. These are opened here, so that one that is not
/// there is told before the job begins.
pub(crate) fn with_pubsub(
    writer: Writer,
    topics: &[String],
    is_pulsar: bool,
    (encode, key): (Arc<dyn Encode>, Option<usize>),
) -> Result<Writer> {
    if topics.is_empty() {
        return Ok(writer);
    }
    let settings = Settings::of_environment();
    let names: Arc<str> = topics.join(", ").into();
    let publishers = topics.iter().map(|topic| TopicPublisher::open(&settings, topic)).collect::<Result<Vec<_>>>()?;
    let publishers = Arc::new(Mutex::new(publishers));
    Ok(Box::new(move |worker| {
        let (inner, encode, publishers) = (writer(worker)?, encode.clone(), publishers.clone());
        let names = names.clone();
        Ok(Box::new(PubsubSink { inner, publishers, names, encode, key, is_pulsar }) as Box<dyn Sink>)
    }))
}

/// Writes rows to a topic and then to topics of Pub/Sub, where they are stored when `write` returns.
///
/// Rows after the last checkpoint of a run that was killed come again: the topic has them once, and Pub/Sub twice, with
/// the same attribute `riverrun.row`. Rows of one key have it as their ordering key.
/// A row that Pub/Sub would not take is an error before anything of its batch is written: the topic alone would have it else.
struct PubsubSink {
    inner: Box<dyn Sink>,
    publishers: Arc<Mutex<Vec<TopicPublisher>>>,
    // The topics of Pub/Sub, for messages to people.
    names: Arc<str>,
    encode: Arc<dyn Encode>,
    key: Option<usize>,
    is_pulsar: bool,
}

impl PubsubSink {
    /// Where rows are counted from, and how many were written by now.
    fn rows(&self) -> Result<(String, u64)> {
        let position = self.inner.position().ok_or_else(|| Error::internal("the writer of a topic counts no rows"))?;
        if self.is_pulsar {
            let SinkPosition { generation, rows, .. } = SinkPosition::parse(&position)?;
            return Ok((format!("{generation:016x}"), rows));
        }
        let TopicPosition { epoch, rows, .. } = TopicPosition::parse(&position)?;
        Ok((epoch.to_string(), rows))
    }

    fn keys(&self, batch: &Batch) -> Result<Vec<String>> {
        use arrow::array::AsArray;
        let Some(key) = self.key else { return Ok(vec![String::new(); batch.rows()]) };
        let column = batch.columns().columns().get(key);
        let texts = values::texts(column.ok_or_else(|| Error::internal(format!("there is no key column {key}")))?)?;
        Ok(texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
    }
}

impl Sink for PubsubSink {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let (begun, first) = self.rows()?;
        let (keys, payloads) = (self.keys(batch)?, self.encode.encode(batch.columns())?);
        let message = |(row, (data, ordering_key)): (u64, (Vec<u8>, String))| OutgoingMessage {
            data,
            ordering_key,
            attributes: vec![(ROW.to_owned(), format!("{begun}:{row}"))],
        };
        let messages: Vec<_> = (first..).zip(payloads.into_iter().zip(keys)).map(message).collect();
        if let Some((row, why)) = (first..).zip(&messages).find_map(|(row, message)| Some((row, message.misfit()?))) {
            let names = &self.names;
            return Err(Error::invalid(format!(
                "topic {names} of Pub/Sub does not take row {row} of this output: {why}; {TO_DO}"
            )));
        }
        self.inner.write(batch)?;
        let mut publishers = self.publishers.lock().unwrap_or_else(PoisonError::into_inner);
        publishers.iter_mut().try_for_each(|publisher| publisher.publish(messages.clone()))
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<Option<Committable>> {
        self.inner.prepare(checkpoint)
    }

    fn position(&self) -> Option<Vec<u8>> {
        self.inner.position()
    }
}
