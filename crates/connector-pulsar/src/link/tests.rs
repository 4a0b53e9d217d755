use super::*;
use crate::address::Service;
use crate::wire::frame::{FrameDecoder, encode};
use crate::wire::protocol::{Connect, Connected, ErrorReply, LookupTopicResponse, LookupType, ServerError};
use bytes::BytesMut;

fn address(host: &str) -> Address {
    Address { host: host.into(), port: 1 }
}

fn link() -> Link {
    Link::new(
        Settings::new(Service { address: address("service"), is_tls: false }),
        TopicName::parse("topic").unwrap(),
        1,
    )
}

/// What the link has sent.
fn sent(link: &mut Link) -> Vec<Command> {
    let mut decoder = FrameDecoder::default();
    decoder.push(&link.take_output());
    std::iter::from_fn(|| decoder.next_frame().unwrap()).map(|frame| frame.command).collect()
}

/// Gives the link a command of the broker, and what comes of it.
fn say(link: &mut Link, command: Command) -> Result<Option<Event>> {
    let mut bytes = BytesMut::new();
    encode(command, &mut bytes);
    link.receive(&bytes, Duration::ZERO);
    link.next_event(Duration::ZERO)
}

/// Makes the connection that the link wants, and lets the client in; gives the greeting and what comes of it.
fn connect(link: &mut Link, to: &str) -> (Connect, Option<Event>) {
    assert!(matches!(link.take_action(), Some(Action::Dial { address: it, .. }) if it == address(to)));
    link.dialled(None, Duration::ZERO);
    let greeting = sent(link);
    let [Command::Connect(greeting)] = &greeting[..] else { panic!("{greeting:?}") };
    (greeting.clone(), say(link, Command::Connected(Connected::default())).unwrap())
}

fn answer(link: &mut Link, answer: LookupTopicResponse) -> (LookupTopic, Result<Option<Event>>) {
    let lookup = sent(link);
    let [Command::LookupTopic(lookup)] = &lookup[..] else { panic!("{lookup:?}") };
    let answer = LookupTopicResponse { request_id: lookup.request_id, ..answer };
    (lookup.clone(), say(link, Command::LookupTopicResponse(answer)))
}

fn at(kind: LookupType, url: &str) -> LookupTopicResponse {
    LookupTopicResponse { response: Some(kind as i32), broker_service_url: Some(url.into()), ..Default::default() }
}

#[test]
fn redirects_are_followed_to_the_owner() {
    let mut link = link();
    link.advance(Duration::ZERO);
    connect(&mut link, "service");
    let redirect = LookupTopicResponse { authoritative: Some(true), ..at(LookupType::Redirect, "pulsar://a:1") };
    let (lookup, event) = answer(&mut link, redirect);
    assert_eq!((lookup.authoritative, event), (Some(false), Ok(None)));
    connect(&mut link, "a");
    let (lookup, event) = answer(&mut link, at(LookupType::Connect, "pulsar://b:1"));
    assert_eq!((lookup.authoritative, event), (Some(true), Ok(None)));
    let (greeting, event) = connect(&mut link, "b");
    assert_eq!((greeting.proxy_to_broker_url, event), (None, Some(Event::Attached)));
    assert!(link.conversation().is_some());
}

#[test]
fn a_proxy_is_told_the_owner() {
    let mut link = link();
    link.advance(Duration::ZERO);
    connect(&mut link, "service");
    let answered = at(LookupType::Connect, "pulsar://b:1");
    let proxied = LookupTopicResponse { proxy_through_service_url: Some(true), ..answered };
    assert_eq!(answer(&mut link, proxied).1, Ok(None));
    let (greeting, event) = connect(&mut link, "service");
    assert_eq!((greeting.proxy_to_broker_url.as_deref(), event), (Some("b:1"), Some(Event::Attached)));
}

#[test]
fn a_redirect_in_a_circle_is_a_failure_that_is_tried_again() {
    let mut link = link();
    link.advance(Duration::ZERO);
    for _ in 0..=REDIRECTS_MAX {
        connect(&mut link, "service");
        assert_eq!(answer(&mut link, at(LookupType::Redirect, "pulsar://service:1")).1, Ok(None));
    }
    assert_eq!(link.take_action(), Some(Action::HangUp));
    assert!(link.trouble().unwrap().to_string().ends_with("more than 20 redirects"));
    assert!(link.due() > Duration::ZERO);
}

#[test]
fn a_failure_after_success_is_a_new_one() {
    let (mut link, mut now) = (link(), Duration::ZERO);
    let mut waits = Vec::new();
    for _ in 0..3 {
        link.fail(Error::unavailable("gone"), now);
        waits.push(link.due() - now);
        now = link.due();
    }
    link.succeed();
    link.fail(Error::unavailable("gone"), now);
    assert!(link.due() - now < waits[1], "{waits:?}");
}

#[test]
fn a_failure_after_an_hour_of_a_connection_is_a_new_one() {
    let hour = Duration::from_secs(3600);
    for (stood, is_new) in [(Duration::from_secs(1), false), (hour, true)] {
        let (mut link, mut now) = (link(), Duration::ZERO);
        for _ in 0..8 {
            link.fail(Error::unavailable("gone"), now);
            now = link.due();
        }
        link.advance(now);
        connect(&mut link, "service");
        assert_eq!(answer(&mut link, at(LookupType::Connect, "pulsar://service:1")).1, Ok(Some(Event::Attached)));
        // A writer that seldom writes has nothing by which it could succeed.
        link.attached_at = Some(now);
        link.settle();
        now += stood;
        link.fail(Error::unavailable("gone"), now);
        assert_eq!(link.due() - now <= Duration::from_millis(100), is_new, "after {stood:?}");
    }
}

#[test]
fn who_meets_somebody_else_for_long_ends_and_time_without_an_answer_does_not_count() {
    let second = Duration::from_secs(1);
    let mut link = link();
    let held = |link: &mut Link, at: u32| link.fail_as_busy("held by somebody".to_owned(), at * second);
    for at in [0, 30, 89] {
        assert_eq!(held(&mut link, at), Ok(()));
        assert!(link.is_busy() && link.trouble().is_some_and(|why| why.to_string().contains("held by somebody")));
    }
    // From here on nobody says so, and a start does not wait for it either.
    link.fail(Error::unavailable("no connection"), 91 * second);
    assert!(!link.is_busy());
    assert_eq!(held(&mut link, 200), Ok(()));
    assert_eq!(held(&mut link, 289), Ok(()));
    let error = held(&mut link, 290).expect_err("each attempt has met somebody for 90 s");
    assert_eq!((error.kind(), error.to_string().contains("held by somebody")), (ErrorKind::Invalid, true));
}

#[test]
fn a_client_that_is_denied_ends_unless_it_was_let_in_before() {
    let denied = || {
        let error = ServerError::AuthenticationError as i32;
        Command::Error(ErrorReply { request_id: u64::MAX, error, message: "bad token\nat a line".into() })
    };
    let mut link = link();
    link.advance(Duration::ZERO);
    assert_eq!(link.take_action(), Some(Action::Dial { address: address("service"), is_denied: false }));
    link.dialled(None, Duration::ZERO);
    let error = say(&mut link, denied()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("AuthenticationError: bad token; set token, user and password"), "{error}");

    link.renew(Duration::ZERO);
    link.advance(Duration::ZERO);
    connect(&mut link, "service");
    assert_eq!(answer(&mut link, at(LookupType::Connect, "pulsar://service:1")).1, Ok(Some(Event::Attached)));
    link.renew(Duration::ZERO);
    assert_eq!(link.next_event(Duration::ZERO), Ok(Some(Event::Detached)));
    link.advance(Duration::ZERO);
    link.take_action();
    link.dialled(None, Duration::ZERO);
    assert_eq!(say(&mut link, denied()), Ok(None));
    assert!(link.trouble().unwrap().to_string().contains("bad token"));
}

#[test]
fn a_broker_that_says_nothing_is_given_up() {
    let mut link = link();
    link.advance(Duration::ZERO);
    connect(&mut link, "service");
    assert_eq!(answer(&mut link, at(LookupType::Connect, "pulsar://service:1")).1, Ok(Some(Event::Attached)));
    let keep_alive = link.settings().keep_alive;
    link.advance(keep_alive);
    assert!(matches!(sent(&mut link)[..], [Command::Ping(_)]));
    link.advance(2 * keep_alive);
    assert_eq!(link.next_event(2 * keep_alive), Ok(Some(Event::Detached)));
    assert!(link.trouble().unwrap().to_string().contains("did not answer a ping"));
}
