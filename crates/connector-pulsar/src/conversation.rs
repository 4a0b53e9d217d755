//! What is said over one connection: the greeting, requests with their answers in time, and signs of life.
//!
//! There is no I/O here: bytes that came are put in, bytes to send are taken out, and time is told.

use crate::authentication::Credentials;
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::wire::frame::{Frame, FrameDecoder, encode, encode_with};
use crate::wire::protocol::{AuthData, AuthResponse, Command, Connect, FeatureFlags, Ping, Pong};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::time::Duration;

/// The protocol's version of broker metadata on entries, acknowledged acknowledgements, and topics that move.
const PROTOCOL_VERSION: i32 = 20;
const CLIENT_VERSION: &str = concat!("riverrun-", env!("CARGO_PKG_VERSION"));

/// What may wait to be sent until nothing more is said by the way: a broker that does not read has no use for it.
const UNSENT_BYTES_MAX: usize = 256 << 10;

/// The number by which a request and its answer belong together.
pub type RequestId = u64;

/// What came from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The broker has let the client in.
    Greeted,
    /// The broker wants the client's credentials again.
    Challenged,
    /// The answer to a request.
    Answer(RequestId, Command),
    /// Anything else.
    Frame(Frame),
}

#[derive(Debug)]
struct Question {
    name: &'static str,
    deadline: Duration,
}

/// One connection's side of the client.
#[derive(Debug)]
pub struct Conversation {
    decoder: FrameDecoder,
    output: BytesMut,
    questions: BTreeMap<RequestId, Question>,
    next_request: RequestId,
    /// Until the broker has answered the greeting, when it has to.
    greeted_by: Option<Duration>,
    heard_at: Duration,
    is_pinged: bool,
    answer_within: Duration,
    keep_alive: Duration,
    message_bytes_max: Option<usize>,
    /// What was shown to be let in, which no text of the broker may show to anybody else.
    shown: Vec<Credentials>,
}

impl Conversation {
    /// Greets the broker; `proxied_to` is the broker behind the proxy that the connection was made to.
    pub fn begin(
        settings: &Settings,
        credentials: Option<Credentials>,
        proxied_to: Option<String>,
        now: Duration,
    ) -> Self {
        let mut output = BytesMut::new();
        let shown = credentials.iter().cloned().collect();
        let (method, data) = match credentials {
            Some(Credentials { method, data }) => (Some(method.to_owned()), Some(data)),
            None => (None, None),
        };
        let feature_flags = FeatureFlags {
            supports_auth_refresh: Some(true),
            supports_broker_entry_metadata: Some(true),
            supports_partial_producer: Some(true),
            supports_get_partitioned_metadata_without_auto_creation: Some(true),
        };
        let connect = Connect {
            client_version: CLIENT_VERSION.to_owned(),
            auth_data: data,
            protocol_version: Some(PROTOCOL_VERSION),
            auth_method_name: method,
            proxy_to_broker_url: proxied_to,
            feature_flags: Some(feature_flags),
        };
        encode(Command::Connect(connect), &mut output);
        Conversation {
            decoder: FrameDecoder::default(),
            output,
            questions: BTreeMap::new(),
            next_request: 1,
            greeted_by: Some(now + settings.answer_within),
            heard_at: now,
            is_pinged: false,
            answer_within: settings.answer_within,
            keep_alive: settings.keep_alive,
            message_bytes_max: None,
            shown,
        }
    }

    /// Takes bytes from the broker.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) {
        self.heard_at = now;
        self.is_pinged = false;
        self.decoder.push(bytes);
    }

    /// The next thing that the broker said, if it is here whole.
    pub fn hear(&mut self) -> Result<Option<Heard>> {
        while let Some(mut frame) = self.decoder.next_frame()? {
            if let Some(text) = frame.command.text_mut() {
                *text = self.shown.iter().fold(std::mem::take(text), |text, shown| shown.hidden_in(&text));
            }
            match frame.command {
                Command::Ping(_) if self.is_backed_up() => {}
                Command::Ping(_) => encode(Command::Pong(Pong {}), &mut self.output),
                Command::Pong(_) => {}
                Command::Connected(connected) => {
                    self.greeted_by = None;
                    let most = connected.max_message_size.and_then(|size| usize::try_from(size).ok());
                    if let Some(bytes) = most.filter(|bytes| *bytes > 0) {
                        self.decoder.allow_messages_of(bytes);
                        self.message_bytes_max = Some(bytes);
                    }
                    return Ok(Some(Heard::Greeted));
                }
                Command::AuthChallenge(_) if self.is_backed_up() => {}
                Command::AuthChallenge(_) => return Ok(Some(Heard::Challenged)),
                // A broker refuses a greeting with an error that belongs to no request.
                Command::Error(error) if self.greeted_by.is_some() => {
                    return Err(Error::from_broker(error.error, &error.message));
                }
                command => match answered(&command) {
                    // An answer to what nobody waits for any more is dropped.
                    Some(request) => {
                        if self.questions.remove(&request).is_some() {
                            return Ok(Some(Heard::Answer(request, command)));
                        }
                    }
                    None => return Ok(Some(Heard::Frame(Frame { command, rest: frame.rest }))),
                },
            }
        }
        Ok(None)
    }

    /// Sends a command that has no answer.
    pub fn tell(&mut self, command: Command) {
        encode(command, &mut self.output);
    }

    /// Sends a command with an entry.
    pub fn tell_with(&mut self, command: Command, rest: &[u8]) {
        encode_with(command, rest, &mut self.output);
    }

    /// Sends a request, which has to be answered in time.
    pub fn ask(&mut self, name: &'static str, request: impl FnOnce(RequestId) -> Command, now: Duration) -> RequestId {
        let id = self.next_request;
        self.next_request += 1;
        self.questions.insert(id, Question { name, deadline: now + self.answer_within });
        encode(request(id), &mut self.output);
        id
    }

    /// Answers a challenge.
    pub fn authenticate(&mut self, credentials: Credentials) {
        let Credentials { method, data } = credentials.clone();
        // What was shown before is what a broker may still complain of.
        let before = self.shown.pop();
        self.shown = before.into_iter().chain([credentials]).collect();
        let response = AuthResponse {
            client_version: Some(CLIENT_VERSION.to_owned()),
            response: Some(AuthData { auth_method_name: Some(method.to_owned()), auth_data: Some(data) }),
            protocol_version: Some(PROTOCOL_VERSION),
        };
        encode(Command::AuthResponse(response), &mut self.output);
    }

    /// Takes bytes to send.
    pub fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// Whether so much waits to be sent that the broker seems not to read.
    pub fn is_backed_up(&self) -> bool {
        self.output.len() > UNSENT_BYTES_MAX
    }

    /// How many bytes wait to be sent.
    pub fn unsent_bytes(&self) -> usize {
        self.output.len()
    }

    /// The greatest message that the broker takes, if it has said so.
    pub fn message_bytes_max(&self) -> Option<usize> {
        self.message_bytes_max
    }

    /// When something is due.
    pub fn due(&self) -> Duration {
        let silence = if self.is_pinged { 2 * self.keep_alive } else { self.keep_alive };
        let answers = self.questions.values().map(|question| question.deadline);
        answers.chain(self.greeted_by).fold(self.heard_at + silence, Duration::min)
    }

    /// Does what is due: asks for a sign of life, or gives the broker up.
    pub fn advance(&mut self, now: Duration) -> Result<()> {
        let late = |what: &str, within: Duration| {
            Err(Error::unavailable(format!("the broker did not answer {what} within {} s", within.as_secs_f64())))
        };
        if self.greeted_by.is_some_and(|deadline| now >= deadline) {
            return late("the greeting", self.answer_within);
        }
        if let Some(question) = self.questions.values().find(|question| now >= question.deadline) {
            return late(question.name, self.answer_within);
        }
        let silence = now.saturating_sub(self.heard_at);
        if self.is_pinged && silence >= 2 * self.keep_alive {
            return late("a ping", self.keep_alive);
        }
        if !self.is_pinged && silence >= self.keep_alive {
            self.is_pinged = true;
            encode(Command::Ping(Ping {}), &mut self.output);
        }
        Ok(())
    }

    /// Nothing is read from the connection now, so nothing can be late.
    pub fn hold(&mut self, now: Duration) {
        self.heard_at = now;
        self.is_pinged = false;
        for question in self.questions.values_mut() {
            question.deadline = now + self.answer_within;
        }
    }
}

/// The request that a command answers.
fn answered(command: &Command) -> Option<RequestId> {
    match command {
        Command::Success(answer) => Some(answer.request_id),
        Command::Error(answer) => Some(answer.request_id),
        Command::ProducerSuccess(answer) => Some(answer.request_id),
        Command::LookupTopicResponse(answer) => Some(answer.request_id),
        Command::PartitionMetadataResponse(answer) => Some(answer.request_id),
        Command::GetLastMessageIdResponse(answer) => Some(answer.request_id),
        Command::ConsumerStatsResponse(answer) => Some(answer.request_id),
        Command::GetTopicsOfNamespaceResponse(answer) => Some(answer.request_id),
        Command::GetSchemaResponse(answer) => Some(answer.request_id),
        Command::AckResponse(answer) => answer.request_id,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Service;
    use crate::wire::protocol::{Connected, ErrorReply, LookupTopicResponse};

    #[test]
    fn what_a_broker_repeats_of_what_was_shown_to_it_is_not_told() {
        let settings = Settings::new(Service::parse("pulsar://a").expect("it is an address"));
        let token = |text: &'static [u8]| Credentials { method: "token", data: Bytes::from_static(text) };
        let said = |command| {
            let mut bytes = BytesMut::new();
            encode(command, &mut bytes);
            bytes
        };
        let begin = || Conversation::begin(&settings, Some(token(b"CANARY")), None, Duration::ZERO);
        let refusal = ErrorReply { request_id: 0, error: 3, message: "no such token: CANARY".to_owned() };
        let mut refused = begin();
        refused.receive(&said(Command::Error(refusal)), Duration::ZERO);
        let error = refused.hear().expect_err("it is refused").to_string();
        assert!(error.contains("no such token: ***") && !error.contains("CANARY"), "{error}");

        // One that was let in, and has shown a newer token since.
        let mut let_in = begin();
        let_in.receive(&said(Command::Connected(Connected::default())), Duration::ZERO);
        assert_eq!(let_in.hear(), Ok(Some(Heard::Greeted)));
        let_in.authenticate(token(b"NEWER"));
        let asked = |request_id| {
            let (topic, authoritative, advertised_listener_name) = ("a".to_owned(), None, None);
            let lookup =
                crate::wire::protocol::LookupTopic { topic, request_id, authoritative, advertised_listener_name };
            Command::LookupTopic(lookup)
        };
        let request_id = let_in.ask("where the topic is", asked, Duration::ZERO);
        let message = Some("NEWER is not CANARY".to_owned());
        let answer = LookupTopicResponse { request_id, message, ..LookupTopicResponse::default() };
        let_in.receive(&said(Command::LookupTopicResponse(answer)), Duration::ZERO);
        let Ok(Some(Heard::Answer(_, Command::LookupTopicResponse(heard)))) = let_in.hear() else {
            panic!("it is an answer")
        };
        assert_eq!(heard.message.as_deref(), Some("*** is not ***"));
    }
}
