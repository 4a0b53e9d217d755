//! The way to the broker that owns a topic: look it up, follow redirects, go through a proxy, and come back after a
//! loss.
//!
//! ```text
//! Away -> Dialling -> Greeting -> LookingUp -> Attached     the broker that was asked owns the topic
//!   ^                                |
//!   |                                +-> Dialling -> Greeting -> Attached      another one does
//!   +------ whenever something fails, after a wait that doubles
//! ```
//!
//! There is no I/O here: the owner of a link carries out its actions, and tells it what came of them.

use crate::action::Action;
use crate::address::Address;
use crate::authentication::Credentials;
use crate::backoff::Backoff;
use crate::conversation::{Conversation, Heard, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::lookup::found;
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::wire::protocol::{Command, LookupTopic};
use bytes::Bytes;
use std::time::Duration;

const REDIRECTS_MAX: u32 = 20;

/// What a link tells the state machine that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection is with the broker that owns the topic.
    Attached,
    /// The connection is gone, with everything that was asked or opened on it.
    Detached,
    /// An answer, or something that the broker said by itself.
    Heard(Heard),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    LookUp { authoritative: bool },
    Attach,
}

#[derive(Debug)]
enum State {
    Away { until: Duration },
    Dialling { purpose: Purpose, until: Duration },
    Greeting { purpose: Purpose },
    LookingUp { request: RequestId },
    Attached,
}

/// The way of one topic's reader or producer to its broker.
#[derive(Debug)]
pub struct Link {
    settings: Settings,
    topic: TopicName,
    /// What the first connection is for: most are to the owner of the topic, some to any broker.
    begins_with: Purpose,
    state: State,
    conversation: Option<Conversation>,
    action: Option<Action>,
    address: Address,
    proxied_to: Option<String>,
    redirects: u32,
    backoff: Backoff,
    is_detached: bool,
    /// Once the client was let in, a broker that denies it may have met a token that is about to be replaced.
    was_attached: bool,
    /// Since when the connection has stood that is there.
    attached_at: Option<Duration>,
    /// Since when every attempt has met somebody else who holds what it is for.
    busy_since: Option<Duration>,
    trouble: Option<Error>,
    /// What waiting does not mend.
    end: Option<Error>,
}

impl Link {
    /// A link that begins at once; the seed spreads the attempts of many links over time.
    pub fn new(settings: Settings, topic: TopicName, seed: u64) -> Self {
        Link {
            address: settings.service.address.clone(),
            backoff: Backoff::new(settings.backoff_max, seed),
            settings,
            topic,
            begins_with: Purpose::LookUp { authoritative: false },
            state: State::Away { until: Duration::ZERO },
            conversation: None,
            action: None,
            proxied_to: None,
            redirects: 0,
            is_detached: false,
            was_attached: false,
            attached_at: None,
            busy_since: None,
            trouble: None,
            end: None,
        }
    }

    /// A link to any broker, for questions that each of them can answer.
    pub fn to_service(settings: Settings, topic: TopicName, seed: u64) -> Self {
        Link { begins_with: Purpose::Attach, ..Link::new(settings, topic, seed) }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// What last went wrong, for whoever asks what the link waits for; none while all is well.
    pub fn trouble(&self) -> Option<&Error> {
        self.trouble.as_ref()
    }

    /// Whether the last attempt met somebody else who holds what it is for.
    pub fn is_busy(&self) -> bool {
        self.busy_since.is_some()
    }

    /// The conversation with the owner of the topic, while there is one.
    pub fn conversation(&mut self) -> Option<&mut Conversation> {
        if matches!(self.state, State::Attached) { self.conversation.as_mut() } else { None }
    }

    /// The same, unless so much waits to be sent that the broker seems not to read.
    pub fn conversation_if_read(&mut self) -> Option<&mut Conversation> {
        self.conversation().filter(|conversation| !conversation.is_backed_up())
    }

    /// The next thing to do for the link.
    pub fn take_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// The bytes to send on the connection.
    pub fn take_output(&mut self) -> Bytes {
        self.conversation.as_mut().map(Conversation::take_output).unwrap_or_default()
    }

    /// How many bytes wait to be sent.
    pub fn unsent_bytes(&self) -> usize {
        self.conversation.as_ref().map_or(0, Conversation::unsent_bytes)
    }

    /// Where the link stands, in a word.
    pub fn stage(&self) -> &'static str {
        match self.state {
            State::Away { .. } => "away",
            State::Dialling { .. } => "dialling",
            State::Greeting { .. } => "greeting",
            State::LookingUp { .. } => "looking up",
            State::Attached => "attached",
        }
    }

    /// When `advance` has something to do.
    pub fn due(&self) -> Duration {
        match (&self.state, &self.conversation) {
            (State::Away { until } | State::Dialling { until, .. }, _) => *until,
            (_, Some(conversation)) => conversation.due(),
            (_, None) => Duration::MAX,
        }
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Duration) {
        match &self.state {
            State::Away { until } if now >= *until => {
                self.redirects = 0;
                let service = self.settings.service.address.clone();
                self.dial(service, None, self.begins_with, now);
            }
            State::Dialling { until, .. } if now >= *until => {
                let within = self.settings.answer_within.as_secs_f64();
                self.fail(Error::unavailable(format!("no connection within {within} s")), now);
            }
            State::Away { .. } | State::Dialling { .. } => {}
            State::Greeting { .. } | State::LookingUp { .. } | State::Attached => {
                if let Some(Err(error)) = self.conversation.as_mut().map(|conversation| conversation.advance(now)) {
                    self.fail(error, now);
                }
            }
        }
    }

    fn dial(&mut self, address: Address, proxied_to: Option<String>, purpose: Purpose, now: Duration) {
        self.conversation = None;
        self.address = address.clone();
        self.proxied_to = proxied_to;
        self.state = State::Dialling { purpose, until: now + self.settings.answer_within };
        let is_denied = self.trouble.as_ref().is_some_and(|trouble| trouble.kind() == ErrorKind::Denied);
        self.action = Some(Action::Dial { address, is_denied });
    }

    /// The connection that was asked for is there.
    pub fn dialled(&mut self, credentials: Option<Credentials>, now: Duration) {
        if let State::Dialling { purpose, .. } = self.state {
            let proxied_to = self.proxied_to.clone();
            self.conversation = Some(Conversation::begin(&self.settings, credentials, proxied_to, now));
            self.state = State::Greeting { purpose };
        }
    }

    /// The credentials that the broker asked for again.
    pub fn authenticate(&mut self, credentials: Option<Credentials>) {
        if let (Some(conversation), Some(credentials)) = (&mut self.conversation, credentials) {
            conversation.authenticate(credentials);
        }
    }

    /// Takes bytes from the connection.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) {
        if let Some(conversation) = &mut self.conversation {
            conversation.receive(bytes, now);
        }
    }

    /// Nothing is read from the connection now, so that nothing is late.
    pub fn hold(&mut self, now: Duration) {
        if let Some(conversation) = &mut self.conversation {
            conversation.hold(now);
        }
    }

    /// Something failed; the link begins again after a wait, or ends if the same would come again.
    pub fn fail(&mut self, error: Error, now: Duration) {
        self.is_detached |= matches!(self.state, State::Attached);
        self.busy_since = None;
        // What comes after a connection that has stood for long is not one more of the failures before it.
        if self.attached_at.take().is_some_and(|at| now.saturating_sub(at) > self.settings.backoff_max) {
            self.backoff.begin_anew();
        }
        let may_pass = self.was_attached || error.kind() == ErrorKind::Unavailable;
        let error = match self.state {
            State::Greeting { .. } if error.kind() == ErrorKind::Denied => {
                error.with_hint("what it shows may have expired: it is read again with every attempt")
            }
            // A port for TLS says nothing to somebody who greets it without.
            State::Greeting { .. } if may_pass && !self.settings.service.is_tls => {
                error.with_hint("a port for TLS is written pulsar+ssl://HOST:PORT")
            }
            _ => error,
        };
        let error = error.context(format_args!("topic \"{}\" at {}", self.topic.as_str(), self.address));
        if !may_pass {
            self.end = Some(error.clone());
        }
        self.trouble = Some(error);
        self.conversation = None;
        self.action = Some(Action::HangUp);
        self.state = State::Away { until: now + self.backoff.wait() };
    }

    /// Somebody else holds what the connection is for, such as an anchor. They may have gone without a word, so the link tries
    /// again, and ends once each attempt has met them for `busy_max`; time in which nobody could say so does not count.
    pub fn fail_as_busy(&mut self, held: String, now: Duration) -> Result<()> {
        let since = self.busy_since.unwrap_or(now);
        if now.saturating_sub(since) >= self.settings.busy_max {
            return Err(Error::invalid(held));
        }
        self.fail(Error::unavailable(held), now);
        self.busy_since = Some(since);
        Ok(())
    }

    /// Nobody else holds what the connection is for.
    pub fn end_busy(&mut self) {
        self.busy_since = None;
    }

    /// Leaves the broker, and comes back at once.
    pub fn renew(&mut self, now: Duration) {
        self.is_detached |= matches!(self.state, State::Attached);
        self.conversation = None;
        self.attached_at = None;
        self.action = Some(Action::HangUp);
        self.state = State::Away { until: now };
    }

    /// What the link is used for has come a step further, so its next failure is a new one.
    pub fn succeed(&mut self) {
        self.backoff.begin_anew();
        self.settle();
    }

    /// The broker has taken what this connection was made for. Whether it also serves it is not known, so a wait after the
    /// next failure is none the shorter.
    pub fn settle(&mut self) {
        self.trouble = None;
        self.end_busy();
    }

    /// The next thing that concerns the user of the link. Errors are those that waiting does not mend.
    pub fn next_event(&mut self, now: Duration) -> Result<Option<Event>> {
        loop {
            if let Some(end) = &self.end {
                return Err(end.clone());
            }
            if std::mem::take(&mut self.is_detached) {
                return Ok(Some(Event::Detached));
            }
            let Some(conversation) = &mut self.conversation else { return Ok(None) };
            match conversation.hear() {
                Ok(None) => return Ok(None),
                Ok(Some(Heard::Challenged)) => self.action = Some(Action::Authenticate),
                Ok(Some(Heard::Greeted)) => {
                    if self.greeted(now) {
                        return Ok(Some(Event::Attached));
                    }
                }
                Ok(Some(heard)) => {
                    if let State::LookingUp { request } = self.state {
                        if self.looked_up(request, heard, now)? {
                            return Ok(Some(Event::Attached));
                        }
                    } else {
                        return Ok(Some(Event::Heard(heard)));
                    }
                }
                Err(error) => self.refused(error, now)?,
            }
        }
    }

    /// An error ends the link if the same would come again, and a connection otherwise.
    fn refused(&mut self, error: Error, now: Duration) -> Result<()> {
        let is_passing = match error.kind() {
            ErrorKind::Unavailable => true,
            ErrorKind::Denied => self.was_attached,
            ErrorKind::Invalid | ErrorKind::Lost | ErrorKind::Unfit => false,
        };
        if is_passing {
            self.fail(error, now);
            return Ok(());
        }
        let shows_nothing = self.settings.authentication.is_none() && self.settings.tls.client.is_none();
        let error = match error.kind() {
            ErrorKind::Denied if shows_nothing => error
                .with_hint("set token, user and password, credential, or certificate and key of live in riverrun.toml"),
            _ => error,
        };
        Err(error.context(format_args!("topic \"{}\" at {}", self.topic.as_str(), self.address)))
    }

    /// Goes on after the greeting; true if the link is attached by that.
    fn greeted(&mut self, now: Duration) -> bool {
        let State::Greeting { purpose } = self.state else { return false };
        match (purpose, &mut self.conversation) {
            (Purpose::LookUp { authoritative }, Some(conversation)) => {
                let topic = self.topic.to_string();
                let (authoritative, advertised_listener_name) = (Some(authoritative), self.settings.listener.clone());
                let lookup = |request_id| {
                    Command::LookupTopic(LookupTopic { topic, request_id, authoritative, advertised_listener_name })
                };
                let request = conversation.ask("where the topic is", lookup, now);
                self.state = State::LookingUp { request };
                false
            }
            _ => {
                self.attach(now);
                true
            }
        }
    }

    fn attach(&mut self, now: Duration) {
        self.state = State::Attached;
        self.attached_at = Some(now);
        self.was_attached = true;
    }

    /// Goes where a lookup says; true if that is where the link is.
    fn looked_up(&mut self, request: RequestId, heard: Heard, now: Duration) -> Result<bool> {
        let answer = match heard {
            Heard::Answer(id, Command::LookupTopicResponse(answer)) if id == request => answer,
            Heard::Answer(_, Command::Error(error)) => {
                self.refused(Error::from_broker(error.error, &error.message), now)?;
                return Ok(false);
            }
            _ => return Ok(false),
        };
        let found = match found(&answer, self.settings.service.is_tls) {
            Ok(found) => found,
            Err(error) => {
                self.refused(error, now)?;
                return Ok(false);
            }
        };
        let purpose = match found.redirect {
            Some(redirect) => Purpose::LookUp { authoritative: redirect.is_authoritative },
            None => Purpose::Attach,
        };
        self.redirects += u32::from(found.redirect.is_some());
        if self.redirects > REDIRECTS_MAX {
            self.fail(Error::unavailable(format!("more than {REDIRECTS_MAX} redirects")), now);
        } else if found.is_proxied {
            let service = self.settings.service.address.clone();
            self.dial(service, Some(found.address.to_string()), purpose, now);
        } else if purpose == Purpose::Attach && found.address == self.address && self.proxied_to.is_none() {
            self.attach(now);
            return Ok(true);
        } else {
            self.dial(found.address, None, purpose, now);
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
