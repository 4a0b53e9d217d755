//! Queues: every message is given until it is acknowledged, over whatever happens.

use crate::faults::{bytes_max, check, each, messages, number, proxied, through_proxy, turn};
use crate::place::{
    PATIENCE, admin, broker, expected, path_of, place, publish, publish_singly, reader_options, run, settings, texts,
    topic,
};
use crate::proxy::Moment;
use connector_pulsar::standalone::Standalone;
use connector_pulsar::{Message, PartitionReader, QueueConsumer, QueueOptions, Settings, Start, TopicName};
use dataflow::QueueSharing;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn options(topic: &TopicName, sharing: QueueSharing) -> QueueOptions {
    QueueOptions {
        topic: topic.clone(),
        subscription: "queue".to_owned(),
        sharing,
        name: "test".to_owned(),
        budget_bytes: 60_000,
    }
}

fn consumer(broker: &Standalone, topic: &TopicName) -> QueueConsumer {
    QueueConsumer::new(settings(broker), options(topic, QueueSharing::Any))
}

async fn next(consumer: &mut QueueConsumer) -> Message {
    consumer.next().await.expect("the consumer reads")
}

/// Consumes until all of these texts have come, and acknowledges each some messages later; how many messages came.
/// None comes again before it is acknowledged.
async fn consume(consumer: &mut QueueConsumer, mut missing: BTreeSet<String>) -> usize {
    let (mut held, mut count) = (Vec::new(), 0);
    while !missing.is_empty() {
        let message = next(consumer).await;
        assert!(!held.contains(&message.id), "{:?} came again before it was acknowledged", message.id);
        missing.remove(&texts(std::slice::from_ref(&message))[0]);
        (count, _) = (count + 1, held.push(message.id));
        if held.len() >= 150 {
            consumer.acknowledge(held.drain(..130));
        }
    }
    consumer.acknowledge(held);
    consumer.settle().await.expect("the broker takes acknowledgements");
    count
}

fn all(count: u64) -> BTreeSet<String> {
    expected(0..count).into_iter().collect()
}

/// Nothing is left for the next consumer but what is published now.
async fn is_empty_but_for_one_more(broker: &Standalone, topic: &TopicName, count: u64) {
    publish(broker, topic, count..count + 1).await;
    let message = next(&mut consumer(broker, topic)).await;
    assert_eq!(texts(&[message]), expected(count..count + 1));
}

#[test]
fn a_queue_through_faults_loses_nothing() {
    let _turn = turn();
    let (broker, count) = (broker(), messages());
    run(async {
        let topic = topic(&broker, "queue");
        publish(&broker, &topic, 0..count).await;
        let mut consumer = QueueConsumer::new(proxied(&broker), options(&topic, QueueSharing::Any));
        let seed = number("PULSAR_SEED", 17);
        let counts = through_proxy(&broker, seed, bytes_max(), async {
            let came = consume(&mut consumer, all(count)).await;
            assert_eq!(came as u64, count, "a message came twice to one consumer");
        })
        .await;
        drop(consumer);
        check(&counts, seed, each(), &[Moment::Opening, Moment::Batch]);
        is_empty_but_for_one_more(&broker, &topic, count).await;
    });
}

#[test]
fn a_queue_over_an_unload_loses_nothing() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "queue");
        publish(&broker, &topic, 0..500).await;
        let mut consumer = consumer(&broker, &topic);
        let mut first = Vec::new();
        for _ in 0..250 {
            first.push(next(&mut consumer).await);
        }
        admin(&broker, "PUT", &format!("{}/unload", path_of(&topic)), "");
        let came: BTreeSet<String> = texts(&first).into_iter().collect();
        consumer.acknowledge(first.iter().map(|message| message.id));
        consume(&mut consumer, all(500).difference(&came).cloned().collect()).await;
        drop(consumer);
        is_empty_but_for_one_more(&broker, &topic, 500).await;
    });
}

#[test]
fn a_queue_over_a_restart_of_the_broker_loses_nothing() {
    let mut broker = place().broker.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let topic = topic(&broker, "queue");
    run(publish(&broker, &topic, 0..1000));
    let (of_consumer, topic_of_consumer) = (settings(&broker), topic.clone());
    let (begun, has_begun) = std::sync::mpsc::channel();
    let consuming = std::thread::spawn(move || {
        run(async move {
            let mut consumer = QueueConsumer::new(of_consumer, options(&topic_of_consumer, QueueSharing::Any));
            let first = next(&mut consumer).await;
            consumer.acknowledge([first.id]);
            begun.send(()).expect("the test waits for this");
            let mut missing = all(1000);
            missing.remove(&texts(&[first])[0]);
            consume(&mut consumer, missing).await;
        });
    });
    has_begun.recv_timeout(PATIENCE).expect("the consumer gets a message");
    broker.restart().expect("the broker starts again");
    consuming.join().expect("the consumer loses nothing");
    run(is_empty_but_for_one_more(&broker, &topic, 1000));
}

#[test]
fn a_batch_that_is_acknowledged_in_part_comes_again_until_all_of_it_is() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "queue");
        publish(&broker, &topic, 0..10).await;
        let mut first = consumer(&broker, &topic);
        let mut ids = Vec::new();
        for _ in 0..10 {
            ids.push(next(&mut first).await.id);
        }
        first.acknowledge(ids.drain(..4));
        first.settle().await.expect("the broker takes a part of a batch");
        drop(first);
        let mut second = consumer(&broker, &topic);
        let rest: BTreeSet<String> = expected(4..10).into_iter().collect();
        let came = consume(&mut second, rest).await;
        assert!([6, 10].contains(&came), "{came} messages, by whether the broker keeps parts of batches");
        drop(second);
        is_empty_but_for_one_more(&broker, &topic, 10).await;
    });
}

#[test]
fn messages_of_a_key_go_to_one_of_two_consumers_in_their_order() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "queue");
        let by_key = || QueueConsumer::new(settings(&broker), options(&topic, QueueSharing::ByKey));
        let (mut one, mut other) = (by_key(), by_key());
        // Both are there before the first message.
        for consumer in [&mut one, &mut other] {
            while consumer.stats().backlog.is_none() {
                consumer.turn().await.expect("the consumer begins");
            }
        }
        publish_singly(&broker, &topic, 0..400).await;
        let mut by_key: BTreeMap<String, (usize, Vec<u64>)> = BTreeMap::new();
        for _ in 0..400 {
            let (who, message) = tokio::select! {
                message = next(&mut one) => (0, message),
                message = next(&mut other) => (1, message),
            };
            let key = format!("{:?}", message.key);
            let (of, sequences) = by_key.entry(key).or_insert((who, Vec::new()));
            assert_eq!(*of, who, "a key goes to one consumer");
            sequences.push(message.properties[0].1.parse().expect("it is a number"));
            if who == 0 { one.acknowledge([message.id]) } else { other.acknowledge([message.id]) }
        }
        assert_eq!(by_key.len(), 7);
        assert!(by_key.values().all(|(_, sequences)| sequences.is_sorted()), "{by_key:?}");
        one.settle().await.expect("all is acknowledged");
        other.settle().await.expect("all is acknowledged");
    });
}

#[test]
fn a_subscription_that_another_kind_of_consumer_holds_is_named() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "queue");
        publish(&broker, &topic, 0..1).await;
        let mut reader = reader_options(&topic, Start::Beginning);
        reader.anchor = Some(connector_pulsar::Anchor::new("queue"));
        let mut reader = PartitionReader::new(settings(&broker), reader);
        reader.next().await.expect("the reader holds its anchor");
        let settings = Settings { busy_max: Duration::from_secs(1), ..settings(&broker) };
        let mut consumer = QueueConsumer::new(settings, options(&topic, QueueSharing::Any));
        let error = tokio::select! {
            message = consumer.next() => message.expect_err("the subscription is held").to_string(),
            kept = reader.keep() => match kept.expect("the reader goes on") {},
        };
        assert!(error.contains("the subscription \"queue\" is held by a consumer that does not share it"), "{error}");
    });
}
