//! The frontier: how far an archive has read its topic, and the clocks there.

use dataflow::{Error, EventTime, Position, ProcessingTime, Result, Topic, TopicId};
use serde_json::{Value, json};

/// The property of a table, and of its snapshot's summary, that holds the frontier.
pub const FRONTIER_PROPERTY: &str = "riverrun.frontier";
const VERSION: u64 = 1;

/// How far a topic has been read, per partition.
///
/// Its text form is JSON with a version: `{"version":1,"topic":"plays","cluster":"..","topic_id":"..",
/// "partitions":[{"message_id":"7:41:0","clock":1700000000000000,"arrival":1700000000100000},null]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    /// The topic's name, for messages to people.
    pub topic: String,
    /// The topic's identity: a topic that was made again is another one.
    pub id: TopicId,
    /// One per partition; `None` where nothing was read.
    pub partitions: Vec<Option<PartitionFrontier>>,
}

/// The last message that was read of a partition, and the partition's clock after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionFrontier {
    /// Where the message lies.
    pub position: Position,
    /// The clock after it; `None` when no row has moved it yet.
    pub clock: Option<EventTime>,
    /// The greatest arrival so far.
    pub arrival: ProcessingTime,
}

impl Frontier {
    /// The frontier of a topic of which nothing was read.
    pub fn start_of(topic: &dyn Topic) -> Frontier {
        Frontier {
            topic: topic.name().to_owned(),
            id: topic.id().clone(),
            partitions: vec![None; topic.partitions() as usize],
        }
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        let partitions: Vec<Value> =
            self.partitions.iter().map(|partition| partition.map_or(Value::Null, to_json)).collect();
        json!({
            "version": VERSION,
            "topic": self.topic,
            "cluster": self.id.cluster,
            "topic_id": self.id.topic,
            "partitions": partitions,
        })
        .to_string()
    }

    /// Reads the text form; an error of kind `Corrupt` says what is wrong with it.
    pub fn parse(text: &str) -> Result<Frontier> {
        let corrupt = |what: String| Error::corrupt(format!("a frontier cannot be read: {what}"));
        let value: Value = serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
        match value["version"].as_u64() {
            Some(VERSION) => {}
            Some(other) => return Err(corrupt(format!("version {other}, expected {VERSION}"))),
            None => return Err(corrupt("\"version\" is missing".to_owned())),
        }
        let field = |name: &str| {
            value[name].as_str().map(str::to_owned).ok_or_else(|| corrupt(format!("\"{name}\" is missing or not text")))
        };
        let partitions =
            value["partitions"].as_array().ok_or_else(|| corrupt("\"partitions\" is not a list".to_owned()))?;
        Ok(Frontier {
            topic: field("topic")?,
            id: TopicId { cluster: field("cluster")?, topic: field("topic_id")? },
            partitions: partitions
                .iter()
                .enumerate()
                .map(|(index, value)| of_json(value).ok_or_else(|| corrupt(format!("partition {index} is {value}"))))
                .collect::<Result<_>>()?,
        })
    }

    /// The same for the topic as it is now: partitions that were added since have no place. Refuses a topic that is not the
    /// one that was read.
    pub(crate) fn fitted(mut self, stream: &str, topic: &dyn Topic) -> Result<Frontier> {
        if self.id != *topic.id() {
            return Err(Error::invalid(format!(
                "stream \"{stream}\": its history was archived from topic \"{}\" with id {}/{}, but topic \"{}\" has id {}/{}; \
                 a topic that was made again needs a new archive",
                self.topic,
                self.id.cluster,
                self.id.topic,
                topic.name(),
                topic.id().cluster,
                topic.id().topic
            )));
        }
        if self.partitions.len() > topic.partitions() as usize {
            return Err(Error::invalid(format!(
                "stream \"{stream}\": its history was archived from topic \"{}\" with {} partitions, found {}; a topic that was \
                 made again needs a new archive",
                topic.name(),
                self.partitions.len(),
                topic.partitions()
            )));
        }
        self.partitions.resize(topic.partitions() as usize, None);
        Ok(self)
    }
}

fn to_json(partition: PartitionFrontier) -> Value {
    json!({
        "message_id": message_id(partition.position),
        "clock": partition.clock.map(|clock| clock.0),
        "arrival": partition.arrival.0,
    })
}

fn of_json(value: &Value) -> Option<Option<PartitionFrontier>> {
    if value.is_null() {
        return Some(None);
    }
    let clock = match value.get("clock")? {
        Value::Null => None,
        clock => Some(EventTime(clock.as_i64()?)),
    };
    Some(Some(PartitionFrontier {
        position: parse_message_id(value.get("message_id")?.as_str()?)?,
        clock,
        arrival: ProcessingTime(value.get("arrival")?.as_i64()?),
    }))
}

/// The text form of a position: `ledger:entry:index`.
pub(crate) fn message_id(at: Position) -> String {
    format!("{}:{}:{}", at.ledger, at.entry, at.batch_index)
}

/// Reads the text form of a position.
pub(crate) fn parse_message_id(text: &str) -> Option<Position> {
    let mut numbers = [0_u64; 3];
    let (mut part, mut digits) = (0, 0);
    for byte in text.bytes() {
        if byte == b':' && digits > 0 && part < 2 {
            (part, digits) = (part + 1, 0);
            continue;
        }
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10)?;
        numbers[part] = numbers[part].checked_mul(10)?.checked_add(u64::from(digit))?;
        digits += 1;
    }
    let batch_index = u32::try_from(numbers[2]).ok()?;
    (part == 2 && digits > 0).then_some(Position { ledger: numbers[0], entry: numbers[1], batch_index })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Frontier {
        let at = |entry| Position { ledger: 7, entry, batch_index: 2 };
        Frontier {
            topic: "plays".to_owned(),
            id: TopicId { cluster: "c".to_owned(), topic: "t".to_owned() },
            partitions: vec![
                None,
                Some(PartitionFrontier { position: at(41), clock: Some(EventTime(-5)), arrival: ProcessingTime(9) }),
                Some(PartitionFrontier { position: at(0), clock: None, arrival: ProcessingTime(3) }),
            ],
        }
    }

    #[test]
    fn version_one_is_read_for_as_long_as_there_are_tables() {
        let stored = r#"{"version":1,"topic":"plays","cluster":"c","topic_id":"t","partitions":[null,
            {"message_id":"7:41:2","clock":-5,"arrival":9},{"message_id":"7:0:2","clock":null,"arrival":3}]}"#;
        assert_eq!(Frontier::parse(stored).unwrap(), sample());
        assert_eq!(Frontier::parse(&sample().to_text()).unwrap(), sample());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("", "EOF"),
            ("{}", "\"version\" is missing"),
            (r#"{"version":2}"#, "version 2, expected 1"),
            (r#"{"version":1,"topic":"a","cluster":"b","partitions":[]}"#, "\"topic_id\" is missing"),
            (
                r#"{"version":1,"topic":"a","cluster":"b","topic_id":"c","partitions":[{"message_id":"1:2","clock":1,"arrival":1}]}"#,
                "partition 0 is",
            ),
        ] {
            let error = Frontier::parse(text).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn message_ids_are_three_numbers() {
        for wrong in ["", "1", "1:2", "1:2:", ":1:2", "1::2", "1:2:3:4", "1:2:x", "1:2:-3", "99999999999999999999:1:1"]
        {
            assert_eq!(parse_message_id(wrong), None, "{wrong}");
        }
    }
}
