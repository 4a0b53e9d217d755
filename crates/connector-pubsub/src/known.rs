//! Up to when all that was published has come.
//!
//! ```text
//! answered            the server was asked, and said that the subscription is there
//! opened .. + 22 s    what was on its way over the connection before comes again
//! came                a message came over the stream, which tells that it stands
//! ```
//!
//! All of it is reckoned with a clock that goes on through a suspend of the machine.

use crate::attempts::Attempts;
use crate::subscription::LEASE;
use crate::uptime::{Moment, Uptime};
use std::sync::Arc;
use std::time::Duration;

/// A stream of a new connection that has not failed for so long stands: the client tries again sooner.
const STANDS: Duration = Duration::from_secs(2);
/// After how long without a message the connection is made anew.
const SILENCE: Duration = Duration::from_secs(60);
/// When what was on its way to a process that was killed, or over a connection that is no more, has come again.
pub(crate) const COMES_AGAIN: Duration = LEASE.saturating_add(Duration::from_secs(2));
/// A suspend that took no longer than this ends no connection.
const SUSPENDED: Duration = Duration::from_secs(5);

/// Up to when all that was published has come.
pub(crate) struct Known {
    clock: Arc<dyn Uptime>,
    // When the client began to open the stream that it has.
    opened: Moment,
    // When the last message came, once one has.
    came: Option<Moment>,
    // When the last message came, or the client has connected anew.
    last: Moment,
    // When the server was asked last of the times that it answered.
    answered: Moment,
    // From when on it is known what has all come.
    knows_from: Moment,
    // Whether the server does not answer now, and whether streams are refused or break.
    is_away: bool,
    is_refused: bool,
    // For how long the machine had been suspended when this connection was made.
    suspended: Duration,
}

/// What has changed for those who want to know what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownChange {
    /// From now on nobody knows.
    Blind,
    /// It is known again.
    Back,
}

impl Known {
    pub fn new(clock: Arc<dyn Uptime>) -> Known {
        let (now, suspended) = (clock.now(), clock.suspended());
        Known {
            opened: now,
            came: None,
            last: now,
            answered: now,
            knows_from: now,
            is_away: false,
            is_refused: false,
            suspended,
            clock,
        }
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Uptime> {
        &self.clock
    }

    /// The connection is made anew.
    pub fn open(&mut self) {
        self.suspended = self.clock.suspended();
        self.open_at(self.clock.now());
    }

    fn open_at(&mut self, moment: Moment) {
        self.opened = moment;
        self.knows_from = self.knows_from.max(moment.plus(COMES_AGAIN));
    }

    /// For how long there has been this stream.
    pub fn open_for(&self) -> Duration {
        self.clock.now().since(self.opened)
    }

    /// Whether nobody knows what comes.
    pub fn is_blind(&self) -> bool {
        self.is_away || self.is_refused
    }

    /// Whether the server does not answer.
    pub fn is_away(&self) -> bool {
        self.is_away
    }

    /// Whether streams are refused or break.
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// A message came at this time, and the log has it.
    pub fn has_come(&mut self, came: Moment) {
        (self.last, self.came) = (self.clock.now(), Some(came));
    }

    /// The server was asked at this time, and has answered.
    pub fn has_answered(&mut self, asked: Moment) -> Option<KnownChange> {
        let was_away = std::mem::replace(&mut self.is_away, false);
        if was_away {
            let now = self.clock.now();
            self.knows_from = self.knows_from.max(now.plus(COMES_AGAIN));
            self.last = now;
        }
        self.answered = asked;
        (was_away && !self.is_refused).then_some(KnownChange::Back)
    }

    /// The server does not answer.
    pub fn has_no_answer(&mut self) -> Option<KnownChange> {
        (!std::mem::replace(&mut self.is_away, true)).then_some(KnownChange::Blind)
    }

    /// What the attempts of the client to open its stream say of what has come.
    pub fn note(&mut self, attempts: &Attempts) -> Option<KnownChange> {
        if let Some(last) = attempts.last().filter(|last| *last > self.opened) {
            // What was on its way over the one before comes again.
            self.open_at(last);
        }
        if !self.is_refused && attempts.are_many() {
            self.is_refused = true;
            return (!self.is_away).then_some(KnownChange::Blind);
        }
        let stands = attempts.is_first() && self.open_for() > STANDS && self.answered > self.opened;
        if self.is_refused && stands {
            self.is_refused = false;
            return (!self.is_away).then_some(KnownChange::Back);
        }
        None
    }

    /// Whether the machine was suspended since the connection was made, which may be no more: nothing tells that of a stream
    /// over which nothing comes.
    pub fn was_suspended(&self) -> bool {
        self.clock.suspended().saturating_sub(self.suspended) > SUSPENDED
    }

    /// Whether nothing has come over this connection for a while, while the server answers.
    pub fn is_silent(&self) -> bool {
        !self.is_blind() && self.quiet_for() > SILENCE
    }

    /// Whether all has come of what was on its way when this connection was made, and nothing has come for as long.
    pub fn has_settled(&self) -> bool {
        !self.is_blind() && self.quiet_for() > COMES_AGAIN
    }

    fn quiet_for(&self) -> Duration {
        self.clock.now().since(self.last.max(self.opened))
    }

    /// Whether nothing came for so long, and the server has answered after that. What a killed process held comes before.
    pub fn is_idle(&self, idle: Duration) -> bool {
        !self.is_blind()
            && self.open_for() > COMES_AGAIN
            && self.clock.now().since(self.last) > idle
            && self.answered.since(self.last) > idle
    }

    /// Up to when all has come, if anybody knows. A message over the stream tells that it stands. An answer of the server
    /// tells less: what was on its way over a stream that broke since then comes again after its lease.
    pub fn until(&self) -> Option<Moment> {
        if self.is_blind() || self.was_suspended() || self.clock.now() < self.knows_from {
            return None;
        }
        let by_answer = self.answered.minus(COMES_AGAIN);
        let came = self.came.filter(|came| *came > self.opened);
        Some(came.map_or(by_answer, |came| came.max(by_answer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uptime::testing::Hand;

    fn known(hand: &Hand) -> Known {
        Known::new(Arc::new(hand.clone()))
    }

    /// An hour after the machine was started, when all that a killed mirror held has come.
    fn settled(hand: &Hand) -> Known {
        hand.run(3600);
        let mut known = known(hand);
        known.open();
        assert_eq!(known.until(), None);
        hand.run(22);
        assert_eq!(known.has_answered(hand.now()), None);
        known
    }

    fn ago(known: &Known, hand: &Hand) -> Option<u64> {
        known.until().map(|until| hand.now().since(until).as_secs())
    }

    #[test]
    fn an_answer_tells_less_than_a_message() {
        let hand = Hand::default();
        let mut known = settled(&hand);
        assert_eq!(ago(&known, &hand), Some(22));
        hand.run(3);
        assert_eq!(ago(&known, &hand), Some(25));
        known.has_come(hand.now());
        assert_eq!(ago(&known, &hand), Some(0));
        hand.run(30);
        assert_eq!(ago(&known, &hand), Some(30));
        known.has_answered(hand.now());
        assert_eq!(ago(&known, &hand), Some(22));
    }

    #[test]
    fn nobody_knows_while_the_server_is_away_nor_at_once_when_it_is_back() {
        let hand = Hand::default();
        let mut known = settled(&hand);
        assert_eq!(known.has_no_answer(), Some(KnownChange::Blind));
        assert_eq!(known.has_no_answer(), None);
        hand.run(60);
        assert_eq!(known.until(), None);
        assert_eq!(known.has_answered(hand.now()), Some(KnownChange::Back));
        hand.run(21);
        assert_eq!(known.until(), None);
        hand.run(1);
        assert_eq!(ago(&known, &hand), Some(44));
    }

    /// What is published while the machine sleeps comes after it, and arrived long before.
    #[test]
    fn nothing_of_a_suspend_is_promised() {
        let hand = Hand::default();
        let mut known = settled(&hand);
        known.has_come(hand.now());
        let before = known.until().unwrap();
        // A short one is time that has passed.
        hand.suspend(3);
        assert_eq!(known.until(), Some(before));
        assert_eq!(ago(&known, &hand), Some(3));
        // After a long one the connection may be no more, even when the server answers over another.
        hand.suspend(3600);
        assert!(known.was_suspended());
        assert_eq!(known.until(), None);
        known.has_answered(hand.now());
        assert_eq!(known.until(), None);
        known.open();
        assert!(!known.was_suspended());
        assert_eq!(known.until(), None);
        hand.run(21);
        known.has_answered(hand.now());
        assert_eq!(known.until(), None);
        hand.run(1);
        assert_eq!(ago(&known, &hand), Some(23));
    }

    #[test]
    fn streams_that_are_refused_leave_nobody_knowing_until_one_stands() {
        let hand = Hand::default();
        let mut known = settled(&hand);
        let attempts = Attempts::new(Arc::new(hand.clone()));
        attempts.note();
        assert_eq!(known.note(&attempts), None);
        hand.run(1);
        attempts.note();
        attempts.note();
        assert_eq!(known.note(&attempts), Some(KnownChange::Blind));
        assert!(known.is_refused() && !known.is_silent());
        // A new connection has attempts of its own.
        let attempts = Attempts::new(Arc::new(hand.clone()));
        known.open();
        attempts.note();
        assert_eq!(known.note(&attempts), None);
        hand.run(3);
        assert_eq!(known.note(&attempts), None, "the server has not answered since");
        known.has_answered(hand.now());
        assert_eq!(known.note(&attempts), Some(KnownChange::Back));
        assert_eq!(known.until(), None);
        hand.run(20);
        known.has_answered(hand.now());
        assert_eq!(ago(&known, &hand), Some(22));
    }

    #[test]
    fn a_copy_is_idle_when_the_server_has_answered_since() {
        let hand = Hand::default();
        let mut known = settled(&hand);
        known.has_come(hand.now());
        hand.run(11);
        assert!(!known.is_idle(Duration::from_secs(10)), "the server was not asked since");
        known.has_answered(hand.now());
        assert!(known.is_idle(Duration::from_secs(10)));
        assert!(!known.is_silent() && !known.has_settled());
        hand.run(12);
        assert!(known.has_settled());
        hand.run(40);
        assert!(known.is_silent());
    }
}
