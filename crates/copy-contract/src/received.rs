//! A message of a subscription.

/// A message of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The id that Pub/Sub gave it.
    pub message_id: String,
    /// When Pub/Sub took it, in microseconds since 1970.
    pub published_at_us: i64,
    /// The key within which order is kept; empty without one.
    pub ordering_key: String,
    /// What its publisher said beside the data, by name.
    pub attributes: Vec<(String, String)>,
    /// The data.
    pub data: Vec<u8>,
    /// How often it was delivered, this time included, where the subscription has a dead-letter topic.
    pub delivery_attempt: Option<u32>,
}

impl Received {
    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.len());
        self.data.len() + self.ordering_key.len() + self.message_id.len() + attributes.sum::<usize>() + 256
    }
}
