//! The broker crashes, and comes back, once in CI and `PULSAR_KILLS` times where the environment says so.

use crate::faults::number;
use crate::place::{
    PATIENCE, admin, expected, java, namespace, outgoing, place, producer_options, reader_options, run, settings, take,
    texts, topic_in,
};
use connector_pulsar::{Guarantee, PartitionProducer, PartitionReader, Start};

#[test]
fn a_broker_that_is_killed_loses_and_doubles_nothing() {
    let mut broker = place().broker.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let namespace = namespace(&broker, "killed");
    admin(&broker, "POST", &format!("namespaces/{namespace}/deduplication"), "true");
    let topic = topic_in(&broker, &namespace, "killed");
    let kills = number("PULSAR_KILLS", 1);
    let (settings, count) = (settings(&broker), 1500 * (kills + 1));
    let of_reader = topic.clone();
    let (stored, is_half_stored) = std::sync::mpsc::channel();
    let writer = {
        let (settings, topic) = (settings.clone(), topic.clone());
        std::thread::spawn(move || {
            run(async move {
                let options = producer_options(&topic, "survivor", Guarantee::EffectivelyOnce);
                let mut producer = PartitionProducer::new(settings, options);
                for sequence in 0..count {
                    producer.push(outgoing(sequence)).await.expect("the producer takes messages");
                    if sequence % 1500 == 0 && sequence > 0 {
                        producer.flush().await.expect("the messages are stored");
                        // What comes next is on its way when the broker is killed.
                        stored.send(()).expect("the test waits for this");
                    }
                }
                producer.flush().await.expect("the messages are stored");
            });
        })
    };
    let reader = std::thread::spawn(move || {
        run(async move {
            let mut options = reader_options(&of_reader, Start::Beginning);
            options.anchor = Some(connector_pulsar::Anchor::new("survivor"));
            options.budget_bytes = 100_000;
            let mut reader = PartitionReader::new(settings, options);
            assert_eq!(texts(&take(&mut reader, count as usize).await), expected(0..count));
            let end = reader.end().await.expect("the topic has an end").last.expect("it has messages");
            assert_eq!(end.entry, reader_end(&mut reader, end).await);
        });
    });
    for _ in 0..kills {
        is_half_stored.recv_timeout(PATIENCE).expect("the producer goes on");
        broker.restart().expect("the broker starts again");
        is_registered_anew(&broker.log());
    }
    writer.join().expect("the producer loses nothing");
    reader.join().expect("the reader loses nothing");
    // Other clients see the same.
    let printed = java("JavaSums.java", &[&broker.service_url(), topic.as_str(), &count.to_string()]);
    let numbers: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix("sum ")?.split(' ').next()).collect();
    assert_eq!(numbers, (0..count).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// A storage that finds its old registration may delete the new one in a loop, for as long as the broker runs.
fn is_registered_anew(log: &std::path::Path) {
    let log = std::fs::read_to_string(log).expect("the broker has a log");
    let taken_over = log.lines().find(|line| line.contains("re-acquired missing lock at /ledgers/available/"));
    assert!(taken_over.is_none(), "the storage took over its old registration: {taken_over:?}");
}

/// The entry of the end if no message follows.
async fn reader_end(reader: &mut PartitionReader, end: connector_pulsar::MessageId) -> connector_pulsar::EntryId {
    let more = tokio::time::timeout(std::time::Duration::from_millis(200), reader.next()).await;
    assert!(more.is_err(), "a message is there twice: {more:?}");
    end.entry
}
