//! The consumer that gets no messages: it holds the anchor of a job, and tells where the partition ends.
//!
//! The anchor is a durable subscription that keeps the broker from taking away what the job still needs. It stands at
//! the entry before the oldest one that is needed, never inside a batch. A reader without an anchor has a subscription
//! that ends with the connection in its place.

use crate::anchor::{Anchor, AnchorFacts, AnchorPlace};
use crate::conversation::{Conversation, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::position::{EntryId, MessageId};
use crate::wire::protocol::{
    Ack, Command, ConsumerStats, ConsumerStatsResponse, GetLastMessageId, GetLastMessageIdResponse, MessageIdData,
    Subscribe,
};
use std::time::Duration;

/// The consumer's number on its connection.
pub const CONSUMER: u64 = 1;

const EXCLUSIVE: i32 = 0;
const LATEST: i32 = 0;
const EARLIEST: i32 = 1;
const CUMULATIVE: i32 = 1;

/// How many entries may lie after an anchor in another ledger for all to be read again, to know which messages in chunks
/// are not whole.
const AGAIN_MAX: u64 = 200_000;

/// The place before all others.
pub const BEFORE_ALL: MessageIdData =
    MessageIdData { ledger_id: u64::MAX, entry_id: u64::MAX, partition: None, batch_index: None };

/// Whether messages that have come may be given out: a whole ledger may have gone before them that nobody counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Given,
    Wanted,
    Asked(RequestId),
}

#[derive(Debug)]
pub struct Watch {
    anchor: Option<Anchor>,
    /// The oldest entry that is needed, as far as is known.
    needed: Option<EntryId>,
    /// Nothing before this entry is needed.
    released: Option<EntryId>,
    proof: Proof,
    facts_request: Option<RequestId>,
    facts: AnchorFacts,
}

impl Watch {
    pub fn new(anchor: Option<Anchor>, needed: Option<EntryId>) -> Self {
        let (proof, facts_request, facts) = (Proof::Given, None, AnchorFacts::default());
        Watch { anchor, needed, released: None, proof, facts_request, facts }
    }

    /// The name of the subscription as messages show it.
    fn name(&self) -> &str {
        self.anchor.as_ref().map_or("of a reader", |anchor| &anchor.name)
    }

    /// Opens the consumer. A topic that is not there is not made: it may have been deleted.
    ///
    /// An anchor that was made before is not made at the beginning: one that somebody deleted then stands at the end, where
    /// it is noticed.
    pub fn subscribe(&self, topic: String, fresh_name: String, request_id: u64) -> Command {
        let initial = if self.anchor.as_ref().is_some_and(|anchor| anchor.is_made) { LATEST } else { EARLIEST };
        Command::Subscribe(Subscribe {
            topic,
            subscription: self.anchor.as_ref().map_or(fresh_name, |anchor| anchor.name.clone()),
            sub_type: EXCLUSIVE,
            consumer_id: CONSUMER,
            request_id,
            consumer_name: None,
            durable: Some(self.anchor.is_some()),
            start_message_id: self.anchor.is_none().then_some(BEFORE_ALL),
            initial_position: Some(initial),
            force_topic_creation: Some(false),
        })
    }

    /// The broker has taken the consumer.
    pub fn subscribed(&mut self) {
        self.anchor.iter_mut().for_each(|anchor| anchor.is_made = true);
    }

    /// The connection is gone.
    pub fn detached(&mut self) {
        self.facts_request = None;
        if self.proof != Proof::Given {
            self.proof = Proof::Wanted;
        }
    }

    /// Why the broker does not take the consumer.
    pub fn refused(&self, error: Error) -> Error {
        match &self.anchor {
            Some(anchor) if error.kind() == ErrorKind::Invalid => anchor.refused(error),
            _ => error,
        }
    }

    /// Another consumer has the subscription.
    pub fn busy(&self, error: &Error) -> String {
        format!(
            "the subscription \"{}\" is held by another consumer, {error}; stop what holds it, or run beside it with --as NAME",
            self.name()
        )
    }

    /// From now on nothing before this entry is needed.
    pub fn release_before(&mut self, needed: EntryId) {
        self.needed = self.needed.max(Some(needed));
        self.released = self.released.max(Some(needed));
    }

    /// Moves the anchor, if it may move, and asks where it stands and how much lies after it.
    ///
    /// What stands before the first entry of a ledger is not known, so there it stays where it is until the next time.
    pub fn move_on(&mut self, conversation: &mut Conversation, now: Duration) {
        if self.anchor.is_none() {
            return;
        }
        let before = self.released.and_then(|needed| Some(EntryId { entry: needed.entry.checked_sub(1)?, ..needed }));
        if let Some(before) = before {
            let message_id = vec![before.acked()];
            conversation.tell(Command::Ack(Ack {
                consumer_id: CONSUMER,
                ack_type: CUMULATIVE,
                message_id,
                request_id: None,
            }));
        }
        conversation.ask("where the anchor stands", end_question, now);
        self.asks_facts(conversation, now);
    }

    /// Asks how much lies after the anchor; false where there is none.
    pub fn asks_facts(&mut self, conversation: &mut Conversation, now: Duration) -> bool {
        if self.anchor.is_some() {
            let facts = |request_id| Command::ConsumerStats(ConsumerStats { request_id, consumer_id: CONSUMER });
            self.facts_request = Some(conversation.ask("how much lies after the anchor", facts, now));
        }
        self.anchor.is_some()
    }

    /// Where to begin to see all that the anchor keeps before a place, unless that may be very much. Once the place is
    /// passed, the anchor moves there. In a ledger there is never much, and how much lies in others is not told, but how
    /// much there is together with what lies after the place.
    pub fn begins_at(&self, place: EntryId) -> Option<EntryId> {
        let begins_at = self.facts.stands_at.and_then(AnchorPlace::entry)?;
        let is_little = self.facts.backlog.is_some_and(|backlog| backlog <= AGAIN_MAX);
        (is_little || begins_at.ledger == place.ledger).then_some(begins_at)
    }

    /// Where the anchor was when it was made and where it is, if these are two places: brokers move it over ledgers that
    /// were empty, and one that was deleted and made again stands elsewhere too.
    pub fn moved_from(&self) -> Option<(AnchorPlace, AnchorPlace)> {
        let begun_at = self.anchor.as_ref()?.begun_at?;
        self.facts.stands_at.filter(|stands_at| *stands_at > begun_at).map(|stands_at| (begun_at, stands_at))
    }

    /// Takes how much lies after the anchor; true if that was asked.
    pub fn take_facts(&mut self, request: RequestId, answer: &ConsumerStatsResponse) -> bool {
        let is_asked = self.facts_request.take_if(|asked| *asked == request).is_some();
        if is_asked {
            self.facts.backlog = answer.backlog;
        }
        is_asked
    }

    /// What is known of the anchor, where there is one.
    pub fn facts(&self) -> Option<&AnchorFacts> {
        self.anchor.as_ref().map(|_| &self.facts)
    }

    /// What came last begins a ledger, and nobody counts messages. That no ledger before it is missing shows where the
    /// anchor stands; until then nothing of it may be given out.
    pub fn doubt(&mut self) {
        if self.anchor.is_some() {
            self.proof = Proof::Wanted;
        }
    }

    /// Asks for the proof that messages wait for.
    pub fn ask_proof(&mut self, conversation: &mut Conversation, now: Duration) {
        if self.proof == Proof::Wanted {
            self.proof = Proof::Asked(conversation.ask("where the anchor stands", end_question, now));
        }
    }

    /// Whether messages that have come may be given out.
    pub fn is_proven(&self) -> bool {
        self.proof == Proof::Given
    }

    /// Compares where the anchor stands with what is needed; `request` is none for the answer that a consumer begins with.
    pub fn check(&mut self, request: Option<RequestId>, answer: &GetLastMessageIdResponse) -> Result<()> {
        let Some(anchor) = &self.anchor else { return Ok(()) };
        if let Some(stands_at) = answer.consumer_mark_delete_position.as_ref().map(AnchorPlace::of) {
            self.facts.stands_at = Some(stands_at);
            anchor.check(stands_at, self.needed)?;
        }
        self.proof = match self.proof {
            Proof::Asked(asked) if request.is_some_and(|request| request != asked) => Proof::Asked(asked),
            Proof::Wanted if request.is_some() => Proof::Wanted,
            _ => Proof::Given,
        };
        Ok(())
    }
}

/// Asks where the topic ends, and with that where the anchor stands.
pub fn end_question(request_id: RequestId) -> Command {
    Command::GetLastMessageId(GetLastMessageId { consumer_id: CONSUMER, request_id })
}

/// The last message of a partition that has one.
pub fn last_message(answer: &GetLastMessageIdResponse) -> Option<MessageId> {
    let entry = EntryId::from_wire(&answer.last_message_id)?;
    let index = answer.last_message_id.batch_index.and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
    Some(MessageId { entry, index })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Service;
    use crate::settings::Settings;

    fn answer(ledger: u64, entry: u64) -> GetLastMessageIdResponse {
        let stands_at = EntryId { ledger, entry }.to_wire();
        GetLastMessageIdResponse {
            last_message_id: BEFORE_ALL,
            request_id: 0,
            consumer_mark_delete_position: Some(stands_at),
        }
    }

    #[test]
    fn what_lies_before_the_place_is_read_again_unless_that_may_be_very_much() {
        let at = |ledger, entry| EntryId { ledger, entry };
        for (backlog, place, expected) in [
            (AGAIN_MAX, at(9, 5), Some(at(3, 4))),
            (AGAIN_MAX + 1, at(9, 5), None),
            (AGAIN_MAX + 1, at(3, 49_000), Some(at(3, 4))),
        ] {
            let mut watch = Watch::new(Some(Anchor::new("job")), Some(place));
            watch.check(None, &answer(3, 4)).unwrap();
            watch.facts.backlog = Some(backlog);
            assert_eq!(watch.begins_at(place), expected, "{backlog} {place}");
        }
    }

    #[test]
    fn a_ledger_that_nobody_counts_waits_for_the_anchor() {
        let settings = Settings::new(Service::parse("pulsar://a").unwrap());
        let mut conversation = Conversation::begin(&settings, None, None, Duration::ZERO);
        let mut watch = Watch::new(Some(Anchor::new("job")), Some(EntryId { ledger: 3, entry: 5 }));
        assert!(watch.is_proven());
        watch.doubt();
        assert!(!watch.is_proven());
        watch.ask_proof(&mut conversation, Duration::ZERO);
        // An older question was asked before the ledger came.
        watch.check(Some(0), &answer(3, 4)).unwrap();
        assert!(!watch.is_proven());
        let Proof::Asked(asked) = watch.proof else { panic!("{:?}", watch.proof) };
        watch.check(Some(asked), &answer(3, 4)).unwrap();
        assert!(watch.is_proven());
        // A connection that breaks takes the question with it, and the next one begins with an answer.
        watch.doubt();
        watch.ask_proof(&mut conversation, Duration::ZERO);
        watch.detached();
        assert!(!watch.is_proven());
        watch.check(None, &answer(3, 4)).unwrap();
        assert!(watch.is_proven());
        watch.doubt();
        let error = watch.check(Some(0), &answer(4, 0)).unwrap_err().to_string();
        assert!(error.contains("stands at 4:0, and 3:5 is still needed") && !watch.is_proven(), "{error}");
        let mut without = Watch::new(None, None);
        without.doubt();
        assert!(without.is_proven(), "without an anchor nothing could prove it");
    }
}
