//! Where else the messages of a topic come from and go to: the key `names` of an environment.
//!
//! A topic lies where `live` says. For a time it may have a second life in Google Pub/Sub: a subscription whose messages
//! are copied into it, and topics there that get what is written to it.

use crate::topic_place::TopicPlace;
use dataflow::{Error, Result};
use serde::Deserialize;

/// What a subscription is written as.
const EXPECTED_SUBSCRIPTION: &str = "pubsub:projects/PROJECT/subscriptions/NAME?details=FIELD, such as ?details=pubsub";
/// What a place is written as.
const EXPECTED: &str = "a list such as [\"local:NAME\", \"pubsub:projects/PROJECT/subscriptions/NAME\"]";

/// What goes by the name of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Places {
    // The topic where `live` says, if it is written out: whether it is one of Pulsar, and its name.
    topic: Option<(bool, String)>,
    /// Subscriptions of Google Pub/Sub whose messages are copied into the topic.
    pub subscriptions: Vec<SubscriptionPlace>,
    /// Topics of Google Pub/Sub that get what is written to the topic.
    pub topics: Vec<String>,
}

/// A subscription of Google Pub/Sub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionPlace {
    /// `projects/PROJECT/subscriptions/NAME`.
    pub name: String,
    /// The field of a message's object that gets what Pub/Sub says of the message; none without it.
    pub details: Option<String>,
}

impl TryFrom<toml::Value> for Places {
    type Error = Error;

    fn try_from(value: toml::Value) -> Result<Self> {
        let values = match value {
            toml::Value::Array(values) => values,
            one => vec![one],
        };
        let mut places = Places::default();
        for value in values {
            let toml::Value::String(text) = value else {
                return Err(Error::invalid(format!("a place is no text, expected {EXPECTED}")));
            };
            places.add(&text)?;
        }
        Ok(places)
    }
}

impl Places {
    fn add(&mut self, text: &str) -> Result<()> {
        match text.split_once(':') {
            Some((kind @ ("local" | "pulsar"), name)) if !name.is_empty() => {
                if self.topic.replace((kind == "pulsar", name.to_owned())).is_some() {
                    return Err(Error::invalid(format!("\"{text}\" is a second topic, expected one where live says")));
                }
            }
            Some(("pubsub", name)) => return self.add_pubsub(name),
            _ => return Err(Error::invalid(format!("\"{text}\" is no place, expected {EXPECTED}"))),
        }
        Ok(())
    }

    fn add_pubsub(&mut self, text: &str) -> Result<()> {
        let place = format!("pubsub:{text}");
        if text.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            return Err(Error::invalid(format!(
                "\"{place}\" has a blank, and no name in Pub/Sub has one: take it out"
            )));
        }
        let (name, options) = text.split_once('?').map_or((text, None), |(name, options)| (name, Some(options)));
        let parts: Vec<&str> = name.split('/').collect();
        let is_named = parts.iter().all(|part| !part.is_empty());
        match (parts.as_slice(), options) {
            (["projects", _, "subscriptions", _], _) if is_named => {
                let details = options.map(|options| details_field(&place, options)).transpose()?;
                if self.subscriptions.iter().any(|known| known.name == name) {
                    return Err(Error::invalid(format!(
                        "subscription {name} stands twice in this list, and each of its messages would be copied by one of \
                         the two mirrors: take one of them out"
                    )));
                }
                self.subscriptions.push(SubscriptionPlace { name: name.to_owned(), details });
            }
            (["projects", _, "topics", _], None) if is_named => {
                if self.topics.iter().any(|known| known == name) {
                    return Err(Error::invalid(format!(
                        "topic {name} of Pub/Sub stands twice in this list, and would get each message twice: take one of \
                         them out"
                    )));
                }
                self.topics.push(name.to_owned());
            }
            _ => {
                return Err(Error::invalid(format!(
                    "\"{place}\" is no place in Pub/Sub, expected pubsub:projects/PROJECT/subscriptions/NAME, with \
                     ?details=FIELD where asked, or pubsub:projects/PROJECT/topics/NAME"
                )));
            }
        }
        Ok(())
    }

    /// What does not fit the topic of this name, if something does not.
    pub fn misfit(&self, name: &str, live: &TopicPlace) -> Option<String> {
        let is_pulsar = matches!(live, TopicPlace::Pulsar(_));
        let kind = if is_pulsar { "pulsar" } else { "local" };
        match &self.topic {
            Some((of_pulsar, topic)) if *of_pulsar != is_pulsar || topic != name => {
                let of = if *of_pulsar { "pulsar" } else { "local" };
                Some(format!("\"{of}:{topic}\" is not where {name} is, expected \"{kind}:{name}\""))
            }
            _ => None,
        }
    }
}

/// The field that the options of a subscription name for what Pub/Sub says of a message.
fn details_field(place: &str, options: &str) -> Result<String> {
    let mut found = None;
    for option in options.split('&') {
        let (name, field) = option.split_once('=').unwrap_or((option, ""));
        if name != "details" {
            return Err(Error::invalid(format!(
                "\"{place}\" has \"{option}\", which is no option of a subscription, expected {EXPECTED_SUBSCRIPTION}"
            )));
        }
        if field.is_empty() {
            return Err(Error::invalid(format!(
                "\"{place}\" has details without a field, expected {EXPECTED_SUBSCRIPTION}"
            )));
        }
        if found.replace(field).is_some() {
            return Err(Error::invalid(format!(
                "\"{place}\" has details= twice, and a message gets one field: take one of them out"
            )));
        }
    }
    let field = found.unwrap_or_default();
    let what = if field.starts_with('_') {
        "is a reserved name, as all are that begin with _"
    } else if field.contains('.') {
        "has a dot, with which columns name a field within a field"
    } else if !field.chars().all(|letter| letter.is_alphanumeric() || letter == '_' || letter == '-') {
        "has a letter that is none of a field"
    } else {
        return Ok(field.to_owned());
    };
    Err(Error::invalid(format!(
        "\"{place}\": the field \"{field}\" of details {what}, expected letters, digits, _ and -, such as ?details=pubsub"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &str) -> std::result::Result<Places, String> {
        #[derive(Deserialize)]
        struct File {
            names: Places,
        }
        let file: std::result::Result<File, toml::de::Error> = toml::from_str(&format!("names = {names}"));
        file.map(|file| file.names).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn places_are_read_or_refused() {
        let all = r#"["local:m", "pubsub:projects/p/subscriptions/s?details=pubsub", "pubsub:projects/p/topics/t"]"#;
        let places = read(all).unwrap();
        let subscription = places.subscriptions.first().unwrap();
        assert_eq!(subscription.name, "projects/p/subscriptions/s");
        assert_eq!(subscription.details.as_deref(), Some("pubsub"));
        assert_eq!(places.topics, ["projects/p/topics/t"]);
        let folder = TopicPlace::Folder("topics".into());
        assert_eq!(places.misfit("m", &folder), None);
        assert!(places.misfit("n", &folder).unwrap().contains("expected \"local:n\""));
        assert!(read("\"pulsar:m\"").unwrap().misfit("m", &folder).unwrap().contains("expected \"local:m\""));
        assert_eq!(read("\"pubsub:projects/p/subscriptions/s\"").unwrap().subscriptions[0].details, None);
        for (names, what) in [
            ("7", "a place is no text"),
            ("[7]", "a place is no text"),
            ("\"m\"", "\"m\" is no place"),
            ("\"local:\"", "\"local:\" is no place"),
            ("[\"local:a\", \"pulsar:b\"]", "\"pulsar:b\" is a second topic"),
            ("\"pubsub:s\"", "\"pubsub:s\" is no place in Pub/Sub"),
            ("\"pubsub:projects//subscriptions/s\"", "is no place in Pub/Sub"),
            ("\"pubsub:projects/p/subscriptions/s?\"", "has \"\", which is no option"),
            ("\"pubsub:projects/p/subscriptions/s?details\"", "has details without a field"),
            ("\"pubsub:projects/p/subscriptions/s?details=\"", "has details without a field"),
            ("\"pubsub:projects/p/subscriptions/s?details=a&details\"", "has details without a field"),
            ("\"pubsub:projects/p/subscriptions/s?details=a&details=b\"", "has details= twice"),
            ("\"pubsub:projects/p/subscriptions/s?details=a&x=b\"", "has \"x=b\", which is no option"),
            ("\"pubsub:projects/p/subscriptions/s?detail=a\"", "has \"detail=a\", which is no option"),
            ("\"pubsub:projects/p/subscriptions/s?details=_time\"", "\"_time\" of details is a reserved name"),
            ("\"pubsub:projects/p/subscriptions/s?details=a.b\"", "\"a.b\" of details has a dot"),
            ("\"pubsub:projects/p/subscriptions/s?details=a=b\"", "\"a=b\" of details has a letter"),
            ("\"pubsub:projects/p/subscriptions/s?details=a b\"", "has a blank"),
            ("\"pubsub:projects/p/subscriptions/ s\"", "has a blank"),
            ("\"pubsub:projects/p/topics/s \"", "has a blank"),
            ("\"pubsub:projects/p/subscriptions/s\\n\"", "has a blank"),
            (
                "[\"pubsub:projects/p/subscriptions/s\", \"pubsub:projects/p/subscriptions/s?details=d\"]",
                "subscription projects/p/subscriptions/s stands twice",
            ),
            (
                "[\"pubsub:projects/p/topics/s\", \"pubsub:projects/p/topics/s\"]",
                "topic projects/p/topics/s of Pub/Sub stands twice",
            ),
            ("\"pubsub:projects/p/topics/t?details=d\"", "is no place in Pub/Sub"),
            ("\"pubsub:projects/p/snapshots/s\"", "is no place in Pub/Sub"),
        ] {
            let error = read(names).unwrap_err();
            assert!(error.contains(what), "{names}: {error}");
        }
    }
}
