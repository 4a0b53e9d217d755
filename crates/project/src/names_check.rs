//! What the names of an environment say, held against the statements: topics that are none, fields that are written over,
//! subscriptions under topics that the project writes itself, and copies of messages that DEDUP would let pass.

use crate::config::placed;
use crate::failure::Failure;
use crate::load::within;
use crate::names::SubscriptionPlace;
use crate::open::Project;
use dataflow::{Output, Span};
use sql::{ColumnSource, Dedup, Diagnostic, Stream, near_or_all};

/// When a copy of a message comes at last that was not acknowledged: no deadline of Pub/Sub is longer.
const DEADLINE_MAX: Span = Span(600_000_000);
/// What Pub/Sub says of a message that another delivery of it does not have.
const OF_DELIVERY: &str = "delivery_attempt";

impl Project {
    /// Refuses names of the environment of which something else would come than what they say.
    pub(crate) fn check_names(&self) -> Result<(), Failure> {
        let topics = self.statements.topics();
        let mut wrong = Vec::new();
        for (topic, places) in self.names() {
            if !topics.contains(topic) {
                // Who writes under names of their own writes to none of these places.
                wrong.extend(self.own_topic(topic).is_none().then(|| self.unknown_name(topic, &topics)));
                continue;
            }
            for subscription in &places.get_ref().subscriptions {
                wrong.extend(self.written_topic(topic, subscription));
                if let Some(field) = &subscription.details {
                    let streams = self.streams_of(topic);
                    wrong.extend(
                        streams.iter().filter_map(|stream| self.written_over(stream, topic, (subscription, field))),
                    );
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::Diagnostics(wrong)) }
    }

    /// What people should know of the subscriptions of a topic, or of all: copies of messages that DEDUP lets pass.
    pub fn names_warnings(&self, only: Option<&str>) -> Vec<Diagnostic> {
        let mut warnings = Vec::new();
        for (topic, places) in self.names().iter().filter(|(topic, _)| only.is_none_or(|only| only == *topic)) {
            for subscription in &places.get_ref().subscriptions {
                for stream in self.streams_of(topic) {
                    let Some(dedup) = &stream.dedup else { continue };
                    let told = passing_copies(&stream, dedup, subscription);
                    warnings.extend(told.map(|(message, hint)| Diagnostic {
                        is_warning: true,
                        ..self.at_place(topic, subscription, &message, hint)
                    }));
                }
            }
        }
        warnings
    }

    /// The streams that read a topic, and can be planned.
    fn streams_of(&self, topic: &str) -> Vec<Stream> {
        let streams = self.statements.streams().into_iter().filter_map(|name| self.stream(&name).ok());
        streams.filter(|stream| stream.live.as_deref() == Some(topic)).collect()
    }

    fn unknown_name(&self, name: &str, topics: &[String]) -> Diagnostic {
        let environment = self.environment_name();
        let message = format!(
            "[env.{environment}.names] of riverrun.toml has \"{name}\", which is no topic of the project; {}",
            near_or_all(name, topics.iter().map(String::as_str), "its topics are:", "it has none")
        );
        self.at_name(name, None, &message)
    }

    fn written_topic(&self, topic: &str, subscription: &SubscriptionPlace) -> Option<Diagnostic> {
        let writes = self.statements.at_output(&Output::Topic(topic.to_owned()), "")?;
        let message = format!(
            "subscription {} would be copied into topic {topic}, which this project writes itself, at {}:{}: its rows would \
             stand among messages that arrived elsewhere, and no reader could tell them apart",
            subscription.name, writes.path, writes.line
        );
        let hint = format!(
            "take the subscription out, or let a stream of its own read it from another topic; messages go to Pub/Sub by \
             {topic} = [\"pubsub:projects/PROJECT/topics/NAME\"]"
        );
        Some(self.at_place(topic, subscription, &message, hint))
    }

    /// A column that reads the field that `details=` puts into each message.
    fn written_over(
        &self,
        stream: &Stream,
        topic: &str,
        (subscription, field): (&SubscriptionPlace, &str),
    ) -> Option<Diagnostic> {
        let is_field = |source: &ColumnSource| matches!(source, ColumnSource::Path(path) if *path == [field]);
        let (column, _) = stream.schema.fields().iter().zip(&stream.sources).find(|(_, source)| is_field(source))?;
        let message = format!(
            "details={field} puts what Pub/Sub says into the field \"{field}\" of each message, from which stream \"{}\" \
             reads its column \"{}\": what publishers write there would be lost",
            stream.name,
            column.name()
        );
        let hint = "name a field that no column is read from, such as details=pubsub, and read it with FROM \
                    pubsub.message_id"
            .to_owned();
        Some(self.at_place(topic, subscription, &message, hint))
    }

    fn at_place(&self, topic: &str, subscription: &SubscriptionPlace, message: &str, hint: String) -> Diagnostic {
        let found = self.at_name(topic, Some(&format!("\"pubsub:{}", subscription.name)), message);
        Diagnostic { hint: Some(hint), ..found }
    }

    /// What is wrong with the places of a name, at a text in them or at their beginning.
    fn at_name(&self, name: &str, text: Option<&str>, message: &str) -> Diagnostic {
        let path = within(self.root(), "riverrun.toml");
        // It was read a moment ago; without it the line is empty.
        let settings = std::fs::read_to_string(&path).unwrap_or_default();
        let span = self.names().get(name).map(toml::Spanned::span).unwrap_or_default();
        let part = settings.get(span.clone()).unwrap_or_default();
        let at = text.and_then(|text| part.find(text)).map(|at| {
            let start = span.start + at;
            let rest = settings[start + 1..].find('"').map_or(1, |end| end + 2);
            start..start + rest
        });
        placed(&path, &settings, at.unwrap_or(span), message)
    }
}

/// Why copies of messages pass the DEDUP of a stream, and what to do.
fn passing_copies(stream: &Stream, dedup: &Dedup, subscription: &SubscriptionPlace) -> Option<(String, String)> {
    let (name, of) = (&stream.name, &subscription.name);
    let is_of_delivery = |key: &&usize| match (&stream.sources[**key], &subscription.details) {
        (ColumnSource::Path(path), Some(field)) => *path == [field.as_str(), OF_DELIVERY],
        _ => false,
    };
    if let Some(key) = dedup.keys.iter().find(is_of_delivery) {
        let column = stream.schema.field(*key).name();
        return Some((
            format!(
                "DEDUP of stream \"{name}\" looks at column \"{column}\", which each delivery of a message of subscription \
                 {of} has its own value of: copies pass"
            ),
            "take the column out of DEDUP ON; an id of yours, or message_id of Pub/Sub, is the same in all copies"
                .to_owned(),
        ));
    }
    (dedup.within.0 < DEADLINE_MAX.0).then(|| {
        (
            format!(
                "DEDUP of stream \"{name}\" forgets a row before Pub/Sub gives a message of subscription {of} again that \
                 was not acknowledged, which takes up to 10 minutes: copies may pass"
            ),
            "let WITHIN be longer than 10 minutes and than the longest outage; DEDUP is over an id of yours or message_id \
             of Pub/Sub"
                .to_owned(),
        )
    })
}
