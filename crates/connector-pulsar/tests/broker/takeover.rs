//! A successor takes a producer's name while a message of its predecessor is on its way: each message is there once.

use crate::faults::{beside, proxied, proxy_listener, turn};
use crate::large::{LARGE, check_all, message, sums};
use crate::place::{admin, broker, namespace, producer_options, publish_singly, reader, run, settings, take, topic_in};
use crate::proxy::serve_stopping;
use connector_pulsar::{ErrorKind, Guarantee, PartitionProducer, ProducerOptions, Settings, Start, TopicName};
use std::cell::RefCell;
use std::time::Duration;

const MESSAGES: u64 = 6;

fn options(topic: &TopicName) -> ProducerOptions {
    // Each message is an entry of its own, or several.
    ProducerOptions { batch_messages_max: 1, ..producer_options(topic, "taken over", Guarantee::EffectivelyOnce) }
}

async fn write(producer: &mut PartitionProducer, until: u64) -> connector_pulsar::Result<()> {
    for sequence in 0..until {
        producer.push(message(sequence, LARGE)).await?;
    }
    producer.flush().await
}

/// After so many bytes the predecessor's connection pauses, and a successor writes all it has to and more. Whether the
/// successor stays, or is gone when the predecessor is heard of again.
fn is_once(bytes: u64, stays: bool) {
    let broker = broker();
    let namespace = namespace(&broker, "taken");
    admin(&broker, "POST", &format!("namespaces/{namespace}/deduplication"), "true");
    let topic = topic_in(&broker, &namespace, "taken");
    run(async {
        // The broker asks a holder of the name whether it is there, for 5 s, before another has it.
        let settled = Settings { backoff_max: Duration::from_millis(200), ..settings(&broker) };
        let successor = RefCell::new(None);
        let take_over = async |_| {
            let mut next = PartitionProducer::new(settled.clone(), options(&topic));
            write(&mut next, MESSAGES + 2).await.expect("the successor writes");
            *successor.borrow_mut() = stays.then_some(next);
        };
        let stops = [(bytes, false)];
        let serving = serve_stopping(proxy_listener(), broker.service_url(), &stops, take_over);
        let patient =
            Settings { keep_alive: Duration::from_secs(60), busy_max: Duration::from_secs(1), ..proxied(&broker) };
        let mut predecessor = PartitionProducer::new(patient, options(&topic));
        beside(serving, async {
            let written = async { write(&mut predecessor, MESSAGES).await };
            let kept = async {
                loop {
                    let next = successor.borrow_mut().take();
                    match next {
                        Some(mut next) => break drop(next.keep().await),
                        None => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
            };
            tokio::select! {
                written = written => match (written, stays) {
                    // What it has is what the successor has written, as the broker says.
                    (Ok(()), false) => {}
                    (Err(error), true) => {
                        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                        assert!(error.to_string().contains("another producer holds the name"), "{error}");
                    }
                    (written, _) => panic!("stays: {stays}, {written:?}"),
                },
                () = kept => panic!("the successor has ended"),
            }
        })
        .await;
        let count = MESSAGES as usize + 2;
        let mut reader = reader(&broker, &topic, Start::Beginning);
        let messages = take(&mut reader, count).await;
        check_all(&messages, LARGE);
        let end = reader.end().await.expect("the topic has an end").last.expect("it has messages");
        let more = tokio::time::timeout(Duration::from_millis(300), reader.next()).await;
        assert!(more.is_err(), "a message is there twice, the topic ends at {end}: {more:?}");
    });
    // A chunk of the predecessor may lie at the end, which is no message for anybody: one more shows that.
    run(publish_singly(&broker, &topic, 1000..1001));
    let [python, java] = sums(&broker, &topic, MESSAGES as usize + 3);
    assert_eq!(python.len(), MESSAGES as usize + 3);
    assert_eq!(java, python);
}

#[test]
fn a_successor_that_takes_the_name_while_a_message_is_in_chunks_leaves_each_there_once() {
    let _turn = turn();
    // Within the second chunk of the first large message.
    is_once(7_000_000, false);
}

#[test]
fn a_predecessor_that_is_heard_of_again_writes_nothing_beside_its_successor() {
    let _turn = turn();
    // Within the third chunk of the second large message.
    is_once(23_500_000, true);
}
