//! Data that is taken away stops a reader by name, before a later message is given out.

use crate::place::{
    admin, broker, expected, namespace, next, path_of, publish_singly, reader, reader_options, run, settings, take,
    texts, topic, topic_in,
};
use connector_pulsar::standalone::Standalone;
use connector_pulsar::{AnchorPlace, Error, ErrorKind, PartitionReader, Position, Start, TopicName};

fn anchored(broker: &Standalone, topic: &TopicName, start: Start) -> PartitionReader {
    let mut options = reader_options(topic, start);
    options.anchor = Some(connector_pulsar::Anchor::new("job"));
    PartitionReader::new(settings(broker), options)
}

/// What a reader stops with, which must come before any message.
async fn refusal(reader: &mut PartitionReader) -> Error {
    match reader.next().await {
        Ok(message) => panic!("a message came: {:?}", message.map(|message| message.id)),
        Err(error) => error,
    }
}

/// Ends the ledger that the topic writes to, by loading it anew.
fn end_ledger(broker: &Standalone, topic: &TopicName) {
    admin(broker, "PUT", &format!("{}/unload", path_of(topic)), "");
}

/// A topic whose namespace keeps nothing that no subscription needs.
fn forgetful(broker: &Standalone, name: &str) -> TopicName {
    let namespace = namespace(broker, name);
    let retention = r#"{"retentionTimeInMinutes":0,"retentionSizeInMB":0}"#;
    admin(broker, "POST", &format!("namespaces/{namespace}/retention"), retention);
    topic_in(broker, &namespace, name)
}

/// The oldest ledger that the topic has.
fn oldest_ledger(broker: &Standalone, topic: &TopicName) -> u64 {
    let stats = admin(broker, "GET", &format!("{}/internalStats", path_of(topic)), "");
    let stats: serde_json::Value = serde_json::from_str(&stats).expect("statistics are JSON");
    stats["ledgers"][0]["ledgerId"].as_u64().expect("a ledger has a number")
}

/// Lets the broker take away what nobody needs, and waits until a ledger is gone.
async fn trim(broker: &Standalone, topic: &TopicName, ledger: u64) {
    while oldest_ledger(broker, topic) <= ledger {
        admin(broker, "POST", &format!("{}/trim", path_of(topic)), "");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[test]
fn a_position_that_was_trimmed_is_refused_and_an_anchor_prevents_it() {
    let broker = broker();
    run(async {
        let topic = forgetful(&broker, "trimmed");
        let mut holder = anchored(&broker, &topic, Start::Beginning);
        assert_eq!(holder.end().await.expect("an empty topic has no end").last, None);
        publish_singly(&broker, &topic, 0..10).await;
        end_ledger(&broker, &topic);
        publish_singly(&broker, &topic, 10..20).await;
        let messages = take(&mut holder, 20).await;
        let position = messages[9].position;

        // The anchor stands before what its job needs, so nothing is taken away.
        holder.release(&position);
        holder.end().await.expect("the anchor stands where it was put");
        admin(&broker, "POST", &format!("{}/trim", path_of(&topic)), "");
        let mut again = reader(&broker, &topic, Start::After(position));
        assert_eq!(texts(&take(&mut again, 10).await), expected(10..20));

        // Without what the job needs, the place itself goes, exactly to its last message.
        holder.release(&messages[19].position);
        holder.end().await.expect("the anchor stands where it was put");
        drop((holder, again));
        end_ledger(&broker, &topic);
        publish_singly(&broker, &topic, 20..21).await;
        let mut mover = anchored(&broker, &topic, Start::After(messages[19].position));
        let last = next(&mut mover).await.position;
        mover.release(&last);
        mover.end().await.expect("the anchor stands where it was put");
        trim(&broker, &topic, position.last.entry.ledger).await;
        let error = refusal(&mut reader(&broker, &topic, Start::After(position))).await;
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(error.to_string().contains("messages between were taken away"), "{error}");
        let error = refusal(&mut reader(&broker, &topic, Start::Beginning)).await;
        assert!(error.to_string().contains("expected the first of the topic"), "{error}");
        assert!(take(&mut reader(&broker, &topic, Start::Oldest), 1).await[0].index >= Some(10));
    });
}

#[test]
fn a_topic_that_was_made_again_is_behind_the_position() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "deleted");
        publish_singly(&broker, &topic, 0..10).await;
        let position = take(&mut reader(&broker, &topic, Start::Beginning), 10).await[9].position;
        admin(&broker, "DELETE", &format!("{}?force=true", path_of(&topic)), "");
        let error = refusal(&mut reader(&broker, &topic, Start::After(position))).await;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("TopicNotFound"), "{error}");
        admin(&broker, "PUT", &path_of(&topic), "");
        let error = refusal(&mut reader(&broker, &topic, Start::After(position))).await;
        assert!(error.to_string().contains("it is empty, and was read up to"), "{error}");
        publish_singly(&broker, &topic, 0..20).await;
        // Numbers of ledgers rise in the whole cluster, so the new topic is ahead, and has not the position's entry.
        let error = refusal(&mut reader(&broker, &topic, Start::After(position))).await;
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(error.to_string().contains(&format!("expected {}", position.last.entry)), "{error}");
    });
}

#[test]
fn a_position_beyond_the_end_is_refused() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "beyond");
        publish_singly(&broker, &topic, 0..10).await;
        let mut last = take(&mut reader(&broker, &topic, Start::Beginning), 10).await[9].id;
        last.entry.entry += 1;
        let error = refusal(&mut reader(&broker, &topic, Start::After(Position::after(last)))).await;
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(error.to_string().contains("and was read up to"), "{error}");
    });
}

#[test]
fn an_anchor_that_others_moved_is_noticed() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "skipped");
        publish_singly(&broker, &topic, 0..10).await;
        let mut holder = anchored(&broker, &topic, Start::Beginning);
        let position = next(&mut holder).await.position;
        holder.release(&position);
        holder.end().await.expect("the anchor stands where it was put");
        admin(&broker, "POST", &format!("{}/subscription/job/skip_all", path_of(&topic)), "");
        publish_singly(&broker, &topic, 10..20).await;
        let error = loop {
            if let Err(error) = holder.end().await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(error.to_string().contains("is still needed: messages expired, were evicted or skipped"), "{error}");
        drop(holder);
        let error = refusal(&mut anchored(&broker, &topic, Start::After(position))).await;
        assert!(error.to_string().contains("is still needed"), "{error}");
    });
}

/// A topic of twenty messages of which a holder has read and let go of some, and the holder.
async fn half_read(broker: &Standalone, topic: &TopicName) -> (PartitionReader, Position) {
    publish_singly(broker, topic, 0..10).await;
    let mut holder = anchored(broker, topic, Start::Beginning);
    let position = take(&mut holder, 5).await[4].position;
    holder.release(&position);
    holder.end().await.expect("the anchor stands where it was put");
    (holder, position)
}

/// What a holder stops with once it asks where its anchor stands.
async fn noticed(holder: &mut PartitionReader) -> Error {
    loop {
        if let Err(error) = holder.end().await {
            return error;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Lets messages expire that are old enough, as the broker does every five minutes in namespaces with a time to live. It
/// says no as long as there are none, or while it is at it.
async fn ask_to_expire(broker: &Standalone, topic: &TopicName) {
    let path = format!("/admin/v2/{}/subscription/job/expireMessages/1", path_of(topic));
    let (status, body) = broker.admin().request("POST", &path, "").expect("the admin interface answers");
    assert!(status == 409 || (200..300).contains(&status), "{status} {body}");
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}

/// What a holder stops with once messages have expired.
async fn expires(broker: &Standalone, topic: &TopicName, holder: &mut PartitionReader) -> Error {
    loop {
        ask_to_expire(broker, topic).await;
        if let Err(error) = holder.end().await {
            return error;
        }
    }
}

#[test]
fn messages_that_expire_or_are_evicted_before_they_are_read_are_named() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "expired");
        let (mut holder, position) = half_read(&broker, &topic).await;
        let error = expires(&broker, &topic, &mut holder).await;
        assert!(
            error.to_string().contains(&format!("{} is still needed: messages expired", position.last.entry)),
            "{error}"
        );

        let namespace = namespace(&broker, "evicted");
        let quota = r#"{"limitSize":1,"policy":"consumer_backlog_eviction"}"#;
        let topic = topic_in(&broker, &namespace, "evicted");
        let (mut holder, position) = half_read(&broker, &topic).await;
        admin(&broker, "POST", &format!("namespaces/{namespace}/backlogQuota"), quota);
        let error = noticed(&mut holder).await;
        assert!(error.to_string().contains("is still needed: messages expired, were evicted"), "{error}");
        drop(holder);
        let error = refusal(&mut anchored(&broker, &topic, Start::After(position))).await;
        assert!(error.to_string().contains("is still needed"), "{error}");
    });
}

#[test]
fn what_is_gone_up_to_the_place_itself_is_no_loss_of_what_was_not_read() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "quiet");
        let (mut holder, _) = half_read(&broker, &topic).await;
        let last = take(&mut holder, 5).await[4].position;
        holder.release(&last);
        holder.end().await.expect("the anchor stands where it was put");
        // The anchor stands before the last entry, which expires.
        let expired = Some(AnchorPlace::from(last.last.entry));
        while holder.anchor_facts().and_then(|facts| facts.stands_at) != expired {
            ask_to_expire(&broker, &topic).await;
            holder.end().await.expect("nothing is gone that was not read");
        }
        publish_singly(&broker, &topic, 10..12).await;
        assert_eq!(texts(&take(&mut holder, 2).await), expected(10..12));
    });
}

#[test]
fn an_anchor_that_was_deleted_is_noticed_and_not_made_at_the_beginning() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "let-go");
        let (mut holder, position) = half_read(&broker, &topic).await;
        admin(&broker, "DELETE", &format!("{}/subscription/job?force=true", path_of(&topic)), "");
        let error = loop {
            if let Err(error) = holder.next().await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert!(error.to_string().contains("it was deleted and is a new one"), "{error}");
        drop(holder);
        admin(&broker, "DELETE", &format!("{}/subscription/job?force=true", path_of(&topic)), "");
        let mut options = reader_options(&topic, Start::After(position));
        options.anchor = Some(connector_pulsar::Anchor { is_made: true, ..connector_pulsar::Anchor::new("job") });
        let error = refusal(&mut PartitionReader::new(settings(&broker), options)).await;
        assert!(error.to_string().contains("it was deleted and is a new one"), "{error}");
    });
}

#[test]
fn an_anchor_has_one_holder() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "held");
        publish_singly(&broker, &topic, 0..10).await;
        let mut holder = anchored(&broker, &topic, Start::Beginning);
        next(&mut holder).await;
        let mut options = reader_options(&topic, Start::Beginning);
        options.anchor = Some(connector_pulsar::Anchor::new("job"));
        let mut impatient = settings(&broker);
        impatient.busy_max = std::time::Duration::from_secs(1);
        let mut other = PartitionReader::new(impatient, options);
        // The broker asks a holder whether it is there before it refuses another.
        let error = tokio::select! {
            error = refusal(&mut other) => error,
            result = holder.keep() => panic!("the holder ended: {result:?}"),
        };
        assert!(error.to_string().contains("the subscription \"job\" is held by another consumer"), "{error}");
        drop(holder);
        assert_eq!(texts(&take(&mut anchored(&broker, &topic, Start::Beginning), 10).await), expected(0..10));
    });
}

/// A reader that goes on with an anchor that was made when nothing was there, at that place.
fn unread(broker: &Standalone, topic: &TopicName, begun_at: AnchorPlace) -> PartitionReader {
    let mut options = reader_options(topic, Start::Oldest);
    options.anchor = Some(connector_pulsar::Anchor {
        is_made: true,
        begun_at: Some(begun_at),
        ..connector_pulsar::Anchor::new("job")
    });
    PartitionReader::new(settings(broker), options)
}

/// Makes an anchor on an empty topic, and leaves it; gives where it stands.
async fn leave_anchor(broker: &Standalone, topic: &TopicName) -> AnchorPlace {
    let mut holder = anchored(broker, topic, Start::Oldest);
    assert_eq!(holder.end().await.expect("it opens").last, None);
    holder.anchor_facts().and_then(|facts| facts.stands_at).expect("the broker says where it stands")
}

#[test]
fn what_was_never_read_is_missed_where_its_anchor_was_deleted() {
    let broker = broker();
    run(async {
        let topic = forgetful(&broker, "unread");
        let begun_at = leave_anchor(&broker, &topic).await;
        publish_singly(&broker, &topic, 0..5).await;
        let gone = oldest_ledger(&broker, &topic);
        admin(&broker, "DELETE", &format!("{}/subscription/job?force=true", path_of(&topic)), "");
        end_ledger(&broker, &topic);
        reader(&broker, &topic, Start::Oldest).end().await.expect("the topic is loaded again");
        trim(&broker, &topic, gone).await;
        // A topic that is loaded with nothing in it stands at the beginning of a ledger, as a new anchor does there.
        end_ledger(&broker, &topic);
        unread(&broker, &topic, begun_at).end().await.expect("nothing tells yet that something was there");
        publish_singly(&broker, &topic, 5..8).await;
        let error = refusal(&mut unread(&broker, &topic, begun_at)).await;
        assert_eq!(error.kind(), ErrorKind::Lost);
        let told = error.to_string();
        assert!(told.contains("is not the first that the partition ever had, and its anchor has moved from"), "{told}");
        assert!(told.contains("the next run begins with the oldest message"), "{told}");
    });
}

#[test]
fn an_anchor_that_the_broker_moves_over_empty_ledgers_loses_nothing() {
    let broker = broker();
    run(async {
        let topic = forgetful(&broker, "empty");
        let begun_at = leave_anchor(&broker, &topic).await;
        for _ in 0..2 {
            end_ledger(&broker, &topic);
            unread(&broker, &topic, begun_at).end().await.expect("nothing is gone");
        }
        publish_singly(&broker, &topic, 0..5).await;
        assert_eq!(texts(&take(&mut unread(&broker, &topic, begun_at), 5).await), expected(0..5));
    });
}

#[test]
fn an_anchor_moves_on_however_much_was_read_since() {
    let broker = broker();
    run(async {
        let topic = topic(&broker, "far");
        publish_singly(&broker, &topic, 0..20_500).await;
        let mut holder = anchored(&broker, &topic, Start::Beginning);
        let last = take(&mut holder, 20_500).await[20_499].id;
        // It ends before it could let go of anything.
        drop(holder);
        let mut next_run = anchored(&broker, &topic, Start::AfterMessage(last));
        publish_singly(&broker, &topic, 20_500..20_501).await;
        assert_eq!(texts(&take(&mut next_run, 1).await), expected(20_500..20_501));
        let moved = AnchorPlace::new(last.entry.ledger.cast_signed(), last.entry.entry.cast_signed() - 1);
        while next_run.anchor_facts().and_then(|facts| facts.stands_at) != Some(moved) {
            next_run.end().await.expect("it goes on");
        }
    });
}
