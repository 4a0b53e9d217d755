//! Messages through connections that break in every way: none lost, none doubled, all in order.
//!
//! `PULSAR_MESSAGES=100000 PULSAR_FAULTS=200 PULSAR_SEED=1` asks for more of them than CI does: so many messages, and at
//! least so many faults, those of each kind a fifth.

use crate::place::{
    admin, broker, expected, namespace, outgoing, place, producer_options, publish, reader, reader_options, run,
    settings, take, texts, topic, topic_in,
};
use crate::proxy::{Counts, KINDS, Moment, serve};
use connector_pulsar::standalone::Standalone;
use connector_pulsar::{Address, Guarantee, PartitionProducer, PartitionReader, Service, Settings, Start};
use std::future::Future;
use std::time::Duration;

const MESSAGES: u64 = 6000;
const FAULTS: u64 = 15;
/// About how many bytes of a message go through the proxy, both ways.
const MESSAGE_BYTES: u64 = 100;

/// A number that the environment may say.
pub fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

pub fn messages() -> u64 {
    number("PULSAR_MESSAGES", MESSAGES)
}

/// How many bytes a connection lives at most, so that there are more faults than are asked for.
pub fn bytes_max() -> u64 {
    messages() * MESSAGE_BYTES * 3 / 2 / number("PULSAR_FAULTS", FAULTS)
}

/// Runs a client through the proxy until it is done, and tells how often each fault came.
pub async fn through_proxy(broker: &Standalone, seed: u64, bytes_max: u64, client: impl Future<Output = ()>) -> Counts {
    let counts = Counts::default();
    let serving = serve(proxy_listener(), broker.service_url(), seed, bytes_max, counts.clone());
    beside(serving, client).await;
    counts
}

/// The listener of the proxy.
pub fn proxy_listener() -> tokio::net::TcpListener {
    let listener = place().proxy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let listener = listener.try_clone().expect("the proxy's listener can be used");
    listener.set_nonblocking(true).expect("the proxy's listener can wait");
    tokio::net::TcpListener::from_std(listener).expect("the proxy listens")
}

/// Runs a client until it is done, with a proxy beside it.
pub async fn beside(serving: impl Future<Output = ()>, client: impl Future<Output = ()>) {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            tokio::select! {
                () = serving => {}
                () = client => {}
            }
        })
        .await;
}

/// Settings that lead through the proxy, and give up soon on what has stalled.
pub fn proxied(broker: &Standalone) -> Settings {
    let proxy = place().proxy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let port = proxy.local_addr().expect("a bound listener has a port").port();
    Settings {
        service: Service { address: Address { host: "127.0.0.1".to_owned(), port }, is_tls: false },
        listener: Some("proxied".to_owned()),
        keep_alive: Duration::from_millis(500),
        answer_within: Duration::from_secs(10),
        backoff_max: Duration::from_millis(400),
        ..settings(broker)
    }
}

/// How often each kind of fault has to come.
pub fn each() -> u32 {
    (number("PULSAR_FAULTS", FAULTS) / 5) as u32
}

/// Each kind of fault came so often, and faults came as often at each of these moments.
pub fn check(counts: &Counts, seed: u64, each: u32, moments: &[Moment]) {
    let struck = counts.borrow();
    println!("seed {seed}: {struck:?}");
    let is_enough = |count: Option<&u32>| count.is_some_and(|count| *count >= each);
    assert!(KINDS.iter().all(|fault| is_enough(struck.faults.get(fault))), "seed {seed}: {struck:?}");
    assert!(moments.iter().all(|moment| is_enough(struck.moments.get(moment))), "seed {seed}: {struck:?}");
}

/// The proxy has one address, so its tests take turns.
pub fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn a_reader_through_faults_gets_every_message_once_and_in_order() {
    let _turn = turn();
    let (broker, count) = (broker(), messages());
    run(async {
        let topic = topic(&broker, "faulty");
        publish(&broker, &topic, 0..count).await;
        let mut options = reader_options(&topic, Start::Beginning);
        options.anchor = Some(connector_pulsar::Anchor::new("faulty"));
        options.budget_bytes = 60_000;
        let mut reader = PartitionReader::new(proxied(&broker), options);
        let seed = number("PULSAR_SEED", 7);
        let counts = through_proxy(&broker, seed, bytes_max(), async {
            let mut messages = Vec::new();
            for (at, text) in expected(0..count).into_iter().enumerate() {
                let message = reader.next().await.expect("the reader reads").expect("the topic goes on");
                assert_eq!(
                    (texts(std::slice::from_ref(&message))[0].as_str(), message.index),
                    (text.as_str(), Some(at as u64))
                );
                if at % 500 == 0 {
                    reader.release(&message.position);
                }
                messages.push(message.id);
            }
            assert!(messages.windows(2).all(|pair| pair[0] < pair[1]));
        })
        .await;
        check(&counts, seed, each(), &[Moment::Opening, Moment::Batch]);
    });
}

#[test]
fn a_producer_through_faults_stores_every_message_once_and_in_order() {
    let _turn = turn();
    let (broker, count) = (broker(), messages());
    let namespace = namespace(&broker, "faulty");
    admin(&broker, "POST", &format!("namespaces/{namespace}/deduplication"), "true");
    run(async {
        let topic = topic_in(&broker, &namespace, "faulty");
        let mut options = producer_options(&topic, "faulty", Guarantee::EffectivelyOnce);
        options.batch_messages_max = 20;
        options.budget_bytes = 30_000;
        let mut producer = PartitionProducer::new(proxied(&broker), options);
        let seed = number("PULSAR_SEED", 11);
        let counts = through_proxy(&broker, seed, bytes_max(), async {
            for sequence in 0..count {
                producer.push(outgoing(sequence)).await.expect("the producer takes messages");
            }
            producer.flush().await.expect("the messages are stored");
        })
        .await;
        check(&counts, seed, each(), &[Moment::Opening, Moment::Batch]);
        publish(&broker, &topic, count..count + 1).await;
        let found = take(&mut reader(&broker, &topic, Start::Beginning), count as usize + 1).await;
        assert_eq!(texts(&found), expected(0..count + 1));
    });
}

#[test]
fn a_producer_through_faults_stores_every_message_at_least_once_without_deduplication() {
    let _turn = turn();
    let (broker, count) = (broker(), messages());
    run(async {
        let topic = topic(&broker, "twice");
        let mut options = producer_options(&topic, "faulty", Guarantee::AtLeastOnce);
        options.budget_bytes = 30_000;
        let mut producer = PartitionProducer::new(proxied(&broker), options);
        let seed = number("PULSAR_SEED", 13);
        let counts = through_proxy(&broker, seed, bytes_max(), async {
            for sequence in 0..count {
                producer.push(outgoing(sequence)).await.expect("the producer takes messages");
            }
            producer.flush().await.expect("the messages are stored");
        })
        .await;
        check(&counts, seed, each(), &[Moment::Opening, Moment::Batch]);
        publish(&broker, &topic, count..count + 1).await;
        let mut reader = reader(&broker, &topic, Start::Beginning);
        let mut missing = expected(0..count + 1).into_iter();
        let mut next = missing.next();
        while let Some(text) = next.clone() {
            let message = reader.next().await.expect("the reader reads").expect("the topic goes on");
            // What is there again was there before.
            if texts(std::slice::from_ref(&message))[0] == text {
                next = missing.next();
            }
        }
    });
}
