//! A message to put on a topic.

/// How many bytes an ordering key may have, as Pub/Sub takes it.
pub const ORDERING_KEY_BYTES_MAX: usize = 1_024;
/// How many bytes a message may have, its key and its attributes among them.
pub const MESSAGE_BYTES_MAX: usize = 10_000_000;
/// How much of a key is shown to people.
const SHOWN_LETTERS: usize = 40;

/// A message to put on a topic.
#[derive(Clone, Debug, Default)]
pub struct OutgoingMessage {
    /// The data.
    pub data: Vec<u8>,
    /// The key within which order is kept; empty for none.
    pub ordering_key: String,
    /// What is said beside the data.
    pub attributes: Vec<(String, String)>,
}

impl OutgoingMessage {
    /// About how many bytes are sent.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.len());
        self.data.len() + self.ordering_key.len() + attributes.sum::<usize>()
    }

    /// Why Pub/Sub would not take it, if it would not.
    pub fn misfit(&self) -> Option<String> {
        let (key, bytes) = (&self.ordering_key, self.bytes());
        if key.len() > ORDERING_KEY_BYTES_MAX {
            let shown: String = key.chars().take(SHOWN_LETTERS).collect();
            return Some(format!(
                "the ordering key \"{shown}..\" has {} bytes, expected at most {ORDERING_KEY_BYTES_MAX}",
                key.len()
            ));
        }
        (bytes > MESSAGE_BYTES_MAX)
            .then(|| format!("the message has {bytes} bytes, expected at most {MESSAGE_BYTES_MAX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pubsub_does_not_take_is_told_with_its_length() {
        let of = |bytes: usize, key: usize| OutgoingMessage {
            data: vec![b'x'; bytes],
            ordering_key: "k".repeat(key),
            attributes: vec![("riverrun.row".to_owned(), "1:2".to_owned())],
        };
        assert_eq!(of(1, 0).misfit(), None);
        assert_eq!(of(1, 1_024).misfit(), None);
        let told = of(1, 1_025).misfit().unwrap();
        assert!(told.ends_with("kkkk..\" has 1025 bytes, expected at most 1024"), "{told}");
        assert_eq!(of(10_000_000 - 15 - 9, 9).misfit(), None);
        let told = of(10_000_000 - 15 - 9, 10).misfit().unwrap();
        assert_eq!(told, "the message has 10000001 bytes, expected at most 10000000");
    }
}
