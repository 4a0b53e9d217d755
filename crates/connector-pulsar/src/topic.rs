//! Names of topics and of their partitions.

use crate::error::{Error, Result};
use std::fmt;

const SCHEME: &str = "persistent://";
const PARTITION: &str = "-partition-";

/// The full name of a persistent topic: `persistent://tenant/namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(String);

impl TopicName {
    /// Reads a name; `name` and `tenant/namespace/name` are completed as other clients do.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            let expected = "expected name, tenant/namespace/name or persistent://tenant/namespace/name";
            Error::invalid(format!("topic \"{text}\": {what}, {expected}"))
        };
        if text.starts_with("non-persistent://") {
            return Err(wrong("topics that are not persistent cannot be read again"));
        }
        let path = text.strip_prefix(SCHEME);
        let parts: Vec<&str> = path.unwrap_or(text).splitn(3, '/').collect();
        let name = match (path, &parts[..]) {
            (None, [name]) => format!("{SCHEME}public/default/{name}"),
            (_, [tenant, namespace, name]) => format!("{SCHEME}{tenant}/{namespace}/{name}"),
            _ => return Err(wrong("the name has too few parts")),
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(wrong("a part is empty"));
        }
        Ok(TopicName(name))
    }

    /// The name of one of the topic's partitions, which is a topic of its own.
    pub fn partition(&self, number: u32) -> TopicName {
        TopicName(format!("{}{PARTITION}{number}", self.0))
    }

    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number of the partition, if this is the name of one.
    pub fn number(&self) -> Option<u32> {
        let (_, number) = self.0.rsplit_once(PARTITION)?;
        // Numbers are written in one way, so that other endings are parts of names.
        number.parse().ok().filter(|parsed: &u32| parsed.to_string() == number)
    }

    /// The topic that this is a partition of, or the topic itself.
    pub fn whole(&self) -> TopicName {
        match (self.number(), self.0.rsplit_once(PARTITION)) {
            (Some(_), Some((whole, _))) => TopicName(whole.to_owned()),
            _ => self.clone(),
        }
    }

    /// The name within its namespace.
    pub fn local_name(&self) -> &str {
        self.0.strip_prefix(SCHEME).and_then(|path| path.splitn(3, '/').nth(2)).unwrap_or_default()
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A namespace: `tenant/namespace`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace(String);

impl Default for Namespace {
    fn default() -> Self {
        Namespace("public/default".to_owned())
    }
}

impl Namespace {
    /// Reads `tenant/namespace`.
    pub fn parse(text: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '=' | ':');
        let is_part = |part: &str| !part.is_empty() && part.chars().all(allowed);
        match text.split_once('/') {
            Some((tenant, name)) if is_part(tenant) && is_part(name) => Ok(Namespace(text.to_owned())),
            _ => Err(Error::invalid(format!(
                "\"{text}\" is no namespace of Pulsar, expected tenant/namespace such as public/default"
            ))),
        }
    }

    /// The topic of a name in this namespace.
    pub fn topic(&self, name: &str) -> Result<TopicName> {
        TopicName::parse(&format!("{}/{name}", self.0))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_or_refused() {
        let full = |text: &str| TopicName::parse(text).map(|name| name.to_string()).map_err(|error| error.to_string());
        assert_eq!(full("plays").unwrap(), "persistent://public/default/plays");
        assert_eq!(full("a/b/c").unwrap(), "persistent://a/b/c");
        assert_eq!(full("persistent://a/b/c/d").unwrap(), "persistent://a/b/c/d");
        assert_eq!(
            TopicName::parse("plays").unwrap().partition(3).as_str(),
            "persistent://public/default/plays-partition-3"
        );
        assert_eq!(Namespace::parse("a/b").unwrap().topic("c").unwrap().as_str(), "persistent://a/b/c");
        let partition = TopicName::parse("a/b/c-partition-1").unwrap();
        assert_eq!((partition.number(), partition.whole().local_name()), (Some(1), "c"));
        for whole in ["a/b/c-partition-", "a/b/c-partition-01", "a/b/c-partition-x", "a/b/c/d"] {
            let topic = TopicName::parse(whole).unwrap();
            assert_eq!((topic.number(), topic.whole()), (None, topic.clone()), "{whole}");
        }
        for wrong in ["", "a", "/a", "a/", "a/b/c", "a b/c"] {
            let error = Namespace::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("expected tenant/namespace"), "{wrong}: {error}");
        }
        for wrong in ["", "a/b", "a//c", "persistent://plays", "non-persistent://a/b/c"] {
            let error = full(wrong).unwrap_err();
            assert!(error.contains("expected name, tenant/namespace/name"), "{wrong}: {error}");
        }
    }
}
