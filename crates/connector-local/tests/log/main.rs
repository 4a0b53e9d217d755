//! The local topic log: what was appended is read back, after any crash, by any process, once.
// Helpers outside the tests unwrap as the tests do.
#![allow(clippy::unwrap_used)]

mod claims;
mod copies;
mod ends;
mod processes;
mod rebuild;
mod retention;
mod wakes;

use connector_local::{Outgoing, Producer, Topics};
use dataflow::{Clock, ErrorKind, ManualClock, Message, Position, ProcessingTime, Span, Topic};
use proptest::prelude::*;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

fn clock(at: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(ProcessingTime(at)))
}

fn topics(folder: &Path) -> Topics {
    Topics::open(folder, clock(100)).unwrap()
}

fn append(producer: &mut Producer, partition: u32, messages: &[(u64, &str)]) -> usize {
    let messages: Vec<_> = messages
        .iter()
        .map(|(sequence, payload)| Outgoing {
            sequence: *sequence,
            key: None,
            payload: payload.as_bytes(),
            arrived: None,
        })
        .collect();
    producer.append(partition, &messages).unwrap()
}

fn read_all(topics: &Topics, topic: &str, partition: u32, after: Option<Position>) -> Vec<Message> {
    let mut log = topics.topic(topic).unwrap().unwrap().open(partition, after).unwrap();
    let mut messages = Vec::new();
    loop {
        let some = log.read(7, 1 << 20).unwrap();
        if some.is_empty() {
            return messages;
        }
        messages.extend(some);
    }
}

fn payloads(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8(message.payload.clone()).unwrap()).collect()
}

#[test]
fn messages_come_back_with_their_keys_stamps_and_positions() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock(100);
    let topics = Topics::open(folder.path(), clock.clone()).unwrap();
    topics.create("plays", 2).unwrap();
    let mut producer = topics.producer("plays", "p", 0).unwrap();
    let key: &[u8] = b"k";
    let first = [
        Outgoing { sequence: 1, key: Some(key), payload: b"a", arrived: None },
        Outgoing { sequence: 2, key: Some(b""), payload: b"", arrived: None },
        Outgoing { sequence: 3, key: None, payload: b"c", arrived: None },
    ];
    assert_eq!(producer.append(1, &first).unwrap(), 3);
    clock.advance(Span(-50));
    assert_eq!(append(&mut producer, 1, &[(4, "d")]), 1);
    clock.advance(Span(70));
    assert_eq!(append(&mut producer, 1, &[(5, "e")]), 1);
    let messages = read_all(&topics, "plays", 1, None);
    assert_eq!(payloads(&messages), ["a", "", "c", "d", "e"]);
    let keys: Vec<_> = messages.iter().map(|message| message.key.as_deref()).collect();
    assert_eq!(keys, [Some(key), Some(b""), None, None, None]);
    let stamps: Vec<_> = messages.iter().map(|message| message.arrival.0).collect();
    assert_eq!(stamps, [100, 100, 100, 100, 120], "a clock that is set back stamps no message earlier");
    let entries: Vec<_> = messages.iter().map(|message| message.position.entry).collect();
    assert_eq!(entries, [0, 1, 2, 3, 4]);
    assert_eq!(read_all(&topics, "plays", 0, None), []);
    assert_eq!(payloads(&read_all(&topics, "plays", 1, Some(messages[2].position))), ["d", "e"]);
    assert_eq!(topics.names().unwrap(), ["plays"]);
}

#[test]
fn a_reader_follows_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    let topic = topics.create("plays", 1).unwrap();
    let mut log = topic.open(0, None).unwrap();
    let mut producer = topics.producer("plays", "p", 0).unwrap().with_segment_bytes(100);
    for round in 0..20 {
        assert_eq!(log.read(10, 1 << 20).unwrap(), []);
        append(&mut producer, 0, &[(round * 2, "x"), (round * 2 + 1, "y")]);
        assert_eq!(payloads(&log.read(10, 1 << 20).unwrap()), ["x", "y"]);
    }
    assert!(log.end().unwrap().last.unwrap().ledger > 5, "the log was to be cut into segments");
    assert_eq!(read_all(&topics, "plays", 0, None).len(), 40);
}

#[test]
fn the_drained_time_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock(100);
    let topics = Topics::open(folder.path(), clock.clone()).unwrap();
    let topic = topics.create("plays", 1).unwrap();
    let mut log = topic.open(0, None).unwrap();
    let end = log.end().unwrap();
    assert_eq!((end.last, end.drained_to), (None, ProcessingTime(99)));
    let mut producer = topics.producer("plays", "p", 0).unwrap();
    append(&mut producer, 0, &[(1, "a")]);
    let end = log.end().unwrap();
    assert_eq!((end.last.map(|last| last.entry), end.drained_to), (Some(0), ProcessingTime(99)));
    clock.advance(Span(1000));
    let end = topic.ends().unwrap()[0];
    assert_eq!((end.last.map(|last| last.entry), end.drained_to), (Some(0), ProcessingTime(1099)));
    clock.advance(Span(-500));
    append(&mut producer, 0, &[(2, "b")]);
    let stamps: Vec<_> = log.read(10, 1000).unwrap().iter().map(|message| message.arrival.0).collect();
    // The one case in which an answer is contradicted: the clock was set back between it and the append, and nothing
    // on disk knows of the answer. The reader that got it moves the row.
    assert_eq!(stamps, [100, 600]);
    assert_eq!(topic.ends().unwrap()[0].drained_to, ProcessingTime(599));
    clock.advance(Span(1000));
    assert_eq!(log.end().unwrap().drained_to, ProcessingTime(1599));
    clock.advance(Span(-300));
    assert_eq!(log.end().unwrap().drained_to, ProcessingTime(1599), "the same reader never hears less");
}

#[test]
fn a_sequence_is_written_once_per_producer_and_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("plays", 1).unwrap();
    let mut old = topics.producer("plays", "p", 1).unwrap();
    assert_eq!(append(&mut old, 0, &[(10, "a"), (11, "b")]), 2);
    assert_eq!(append(&mut old, 0, &[(10, "a"), (11, "b"), (12, "c")]), 1);
    let mut again = topics.producer("plays", "p", 1).unwrap();
    assert_eq!(again.last_sequence(0).unwrap(), Some(12));
    assert_eq!(append(&mut again, 0, &[(12, "c"), (13, "d")]), 1);
    assert_eq!(append(&mut old, 0, &[(13, "d")]), 0, "what another handle wrote is seen");
    let mut other = topics.producer("plays", "q", 0).unwrap();
    assert_eq!(append(&mut other, 0, &[(1, "e")]), 1);
    let mut new = topics.producer("plays", "p", 2).unwrap();
    assert_eq!(new.last_sequence(0).unwrap(), None);
    assert_eq!(append(&mut new, 0, &[(1, "f")]), 1);
    let error = old.append(0, &[Outgoing { sequence: 99, key: None, payload: b"z", arrived: None }]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "topic \"plays\": partition 0: producer \"p\" with epoch 1 is fenced: epoch 2 has taken over"
    );
    assert_eq!(payloads(&read_all(&topics, "plays", 0, None)), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(old.last_epoch().unwrap(), Some(2));
    assert_eq!(topics.producer("plays", "nobody", 0).unwrap().last_epoch().unwrap(), None);
    let watched = topics.topic("plays").unwrap().unwrap().watch(0, None).unwrap().next(100).unwrap();
    let watched: Vec<_> = watched.iter().map(|(_, producer, epoch)| (producer.as_str(), *epoch)).collect();
    assert_eq!(watched, [("p", 1), ("p", 1), ("p", 1), ("p", 1), ("q", 0), ("p", 2)]);
    let mut nameless = topics.producer("plays", "", 0).unwrap();
    assert_eq!(append(&mut nameless, 0, &[(0, "g"), (0, "h")]), 2);
    assert_eq!(append(&mut nameless, 0, &[(0, "g")]), 1);
    let unsorted = [
        Outgoing { sequence: 5, key: None, payload: b"", arrived: None },
        Outgoing { sequence: 5, key: None, payload: b"", arrived: None },
    ];
    assert!(new.append(0, &unsorted).unwrap_err().to_string().contains("appends sequence 5 after 5"));
}

#[test]
fn what_is_not_there_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    let topic = topics.create("plays", 1).unwrap();
    append(&mut topics.producer("plays", "p", 0).unwrap(), 0, &[(1, "a"), (2, "b")]);
    for (ledger, entry, batch_index) in [(0, 2, 0), (1, 0, 0), (0, 1, 1)] {
        let error = topic.open(0, Some(Position { ledger, entry, batch_index })).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let message = format!("message {ledger}:{entry}:{batch_index} to go on after is not there");
        assert!(error.to_string().contains(&message), "{error}");
        assert!(error.to_string().contains("ends at 0:1:0"), "{error}");
    }
    assert!(topics.create("plays", 1).err().unwrap().to_string().contains("exists already"));
    assert_eq!(topics.topic_or_create("plays", 9).unwrap().id(), topic.id());
    assert!(topics.topic("nothing").unwrap().is_none());
    assert!(topics.producer("nothing", "p", 0).err().unwrap().to_string().contains("there is no topic \"nothing\""));
    assert!(topic.open(1, None).err().unwrap().to_string().contains("there is no partition 1"));
    for name in ["", "..", "a/b", ".hidden", "-x", "a b"] {
        assert!(topics.create(name, 1).err().unwrap().to_string().contains("cannot name a topic"), "{name}");
    }
    assert!(topics.create("none", 0).is_err());
}

#[test]
fn a_damaged_message_is_named_and_nothing_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("plays", 1).unwrap();
    let mut producer = topics.producer("plays", "p", 0).unwrap();
    append(&mut producer, 0, &[(1, "aaaa"), (2, "bbbb"), (3, "cccc")]);
    let path = folder.path().join("plays/0/000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(4).position(|some| some == b"bbbb").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut log = topics.topic("plays").unwrap().unwrap().open(0, None).unwrap();
    let error = log.read(10, 1000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(text.starts_with("topic \"plays\": partition 0: message 0:1:0 at byte "), "{text}");
    assert!(text.ends_with("its checksum does not match its bytes"), "{text}");
    append(&mut producer, 0, &[(4, "dddd")]);
    assert!(std::fs::read(&path).unwrap().starts_with(&bytes));
    let kept = OpenOptions::new().write(true).open(&path).unwrap();
    kept.set_len(100).unwrap();
    let error = producer.append(0, &[Outgoing { sequence: 5, key: None, payload: b"e", arrived: None }]).unwrap_err();
    assert!(error.to_string().contains("messages that were acknowledged are gone"), "{error}");
}

/// A crash may leave any part of what an append wrote, in front of an end that was not published.
#[test]
fn a_tail_torn_at_any_byte_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("plays", 1).unwrap();
    let mut producer = topics.producer("plays", "p", 0).unwrap();
    append(&mut producer, 0, &[(1, "first")]);
    let (log, end) = (folder.path().join("plays/0/000000000000.log"), folder.path().join("plays/0/end"));
    let (before, end_before) = (std::fs::read(&log).unwrap(), std::fs::read(&end).unwrap());
    append(&mut producer, 0, &[(2, "second"), (3, "third")]);
    let after = std::fs::read(&log).unwrap();
    let second = before.len() + (after.len() - before.len() - "secondthird".len()) / 2 + "second".len();
    for torn in before.len()..=after.len() {
        for garbage in [&b""[..], &[0; 100], &[255; 9]] {
            std::fs::write(&log, [&after[..torn], garbage].concat()).unwrap();
            std::fs::write(&end, &end_before).unwrap();
            let whole: &[&str] = match torn {
                _ if torn == after.len() => &["first", "second", "third"],
                _ if torn >= second => &["first", "second"],
                _ => &["first"],
            };
            assert_eq!(payloads(&read_all(&topics, "plays", 0, None)), ["first"], "nothing unpublished is read");
            let end = topics.topic("plays").unwrap().unwrap().ends().unwrap()[0];
            assert_eq!(end.last.unwrap().entry, whole.len() as u64 - 1, "torn at {torn}");
            let mut again = topics.producer("plays", "p", 0).unwrap();
            append(&mut again, 0, &[(2, "second"), (3, "third"), (4, "fourth")]);
            assert_eq!(payloads(&read_all(&topics, "plays", 0, None)), ["first", "second", "third", "fourth"]);
        }
    }
}

#[test]
fn reads_are_bounded_in_bytes_and_a_large_message_comes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    let topic = topics.create("plays", 1).unwrap();
    let mut producer = topics.producer("plays", "p", 0).unwrap();
    let sizes = [10, 5 << 20, 10, 3 << 20, 3 << 20, 10, 10];
    let texts: Vec<_> = sizes.iter().map(|size| "x".repeat(*size)).collect();
    let messages: Vec<_> = texts.iter().enumerate().map(|(n, text)| (n as u64, text.as_str())).collect();
    append(&mut producer, 0, &messages);
    let counts = |mut next: Box<dyn FnMut() -> usize>| -> Vec<usize> {
        std::iter::repeat_with(&mut next).take_while(|count| *count > 0).collect()
    };
    let mut log = topic.open(0, None).unwrap();
    let read = counts(Box::new(move || log.read(8192, 4 << 20).unwrap().len()));
    assert_eq!(read, [1, 1, 2, 3]);
    let mut watch = topic.watch(0, None).unwrap();
    let watched = counts(Box::new(move || watch.next(8192).unwrap().len()));
    assert_eq!(watched, [1, 1, 2, 3]);
    let mut log = topic.open(0, None).unwrap();
    let read = counts(Box::new(move || log.read(8192, 1).unwrap().len()));
    assert_eq!(read, [1; 7]);
}

#[test]
fn a_topic_that_many_make_at_once_is_one_topic() {
    let folder = tempfile::tempdir().unwrap();
    let start = std::sync::Barrier::new(8);
    let ids: Vec<_> = std::thread::scope(|scope| {
        let make = || {
            let topics = topics(folder.path());
            start.wait();
            let topic = topics.topic_or_create("plays", 3).unwrap();
            append(&mut topics.producer("plays", "", 0).unwrap(), 2, &[(0, "x")]);
            topic.id().clone()
        };
        let making: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        making.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(read_all(&topics(folder.path()), "plays", 2, None).len(), 8);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["plays"], "what the others had begun is gone");
}

#[test]
fn a_folder_that_is_half_a_topic_is_no_topic() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    // A crash leaves the first one, a removal that was broken off the second, and someone's hand the third.
    std::fs::create_dir_all(folder.path().join(".5f0e.unfinished/0")).unwrap();
    std::fs::create_dir_all(folder.path().join("plays/0")).unwrap();
    std::fs::create_dir_all(folder.path().join("empty")).unwrap();
    assert_eq!(topics.names().unwrap(), Vec::<String>::new());
    assert!(topics.topic("plays").unwrap().is_none());
    let error = topics.topic_or_create("plays", 1).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.to_string().contains("already exists and is not a topic (it has no topic.json): move it away"),
        "{error}"
    );
    append(
        &mut topics.topic_or_create("empty", 1).and_then(|_| topics.producer("empty", "p", 0)).unwrap(),
        0,
        &[(1, "a")],
    );
    assert_eq!(topics.names().unwrap(), ["empty"]);
}

#[derive(Clone, Debug)]
enum Step {
    Append { producer: usize, count: u64, repeat: u64, bytes: usize },
    Reopen,
    Tear(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3usize, 1..6u64, 0..4u64, 0..200usize)
            .prop_map(|(producer, count, repeat, bytes)| Step::Append { producer, count, repeat, bytes }),
        1 => Just(Step::Reopen),
        1 => (0..100usize).prop_map(Step::Tear),
    ];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_log_is_the_list_of_what_was_acknowledged(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let topics = topics(folder.path());
        topics.create("plays", 1).unwrap();
        let open = || -> Vec<Producer> {
            (0..3).map(|n| topics.producer("plays", &format!("p{n}"), 0).unwrap().with_segment_bytes(400)).collect()
        };
        let (mut producers, mut next, mut expected) = (open(), [0u64; 3], Vec::new());
        let mut follower = topics.topic("plays").unwrap().unwrap().open(0, None).unwrap();
        let mut followed = Vec::new();
        for step in steps {
            match step {
                Step::Append { producer, count, repeat, bytes } => {
                    let from = next[producer].saturating_sub(repeat);
                    let texts: Vec<_> =
                        (from..next[producer] + count).map(|n| format!("{producer}:{n}:{}", "x".repeat(bytes))).collect();
                    let messages: Vec<_> = texts.iter().enumerate().map(|(n, text)| (from + n as u64, text.as_str())).collect();
                    prop_assert_eq!(append(&mut producers[producer], 0, &messages), count as usize);
                    expected.extend(texts[(next[producer] - from) as usize..].iter().cloned());
                    next[producer] += count;
                }
                Step::Reopen => producers = open(),
                Step::Tear(bytes) => {
                    let last = std::fs::read_dir(folder.path().join("plays/0")).unwrap()
                        .map(|entry| entry.unwrap().path())
                        .filter(|path| path.extension().is_some_and(|ext| ext == "log"))
                        .max().unwrap();
                    let mut content = std::fs::read(&last).unwrap();
                    content.extend(vec![7; bytes]);
                    std::fs::write(&last, content).unwrap();
                }
            }
            followed.extend(follower.read(usize::MAX, usize::MAX).unwrap());
            prop_assert_eq!(payloads(&followed), &expected[..]);
        }
        let all = read_all(&topics, "plays", 0, None);
        prop_assert_eq!(&all, &followed);
        prop_assert!(all.windows(2).all(|pair| pair[0].position < pair[1].position));
        for (at, message) in all.iter().enumerate().step_by(5) {
            prop_assert_eq!(&read_all(&topics, "plays", 0, Some(message.position))[..], &all[at + 1..]);
        }
        let last = topics.topic("plays").unwrap().unwrap().ends().unwrap()[0].last;
        prop_assert_eq!(last, all.last().map(|message| message.position));
    }
}

/// A clock that each process moves by itself, so that stamps of several processes have to be brought in order.
struct Counting(ManualClock);

impl Clock for Counting {
    fn now(&self) -> ProcessingTime {
        self.0.advance(Span(1));
        self.0.now()
    }
}

/// The machine's clock, which its processes share.
struct Wall;

impl Clock for Wall {
    #[expect(clippy::disallowed_methods, reason = "several processes cannot share a clock turned by hand")]
    fn now(&self) -> ProcessingTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        ProcessingTime(since.as_micros() as i64)
    }
}

/// Segments are found by their paths, so one who writes to a topic that was removed would cut off or write to another one.
#[test]
fn a_topic_that_was_made_again_under_its_name_is_left_as_it_is() {
    type Away = fn(&Path) -> std::io::Result<()>;
    let ways: [Away; 2] =
        [|topic| std::fs::remove_dir_all(topic), |topic| std::fs::rename(topic, topic.with_extension("old"))];
    for away in ways {
        let folder = tempfile::tempdir().unwrap();
        let topics = topics(folder.path());
        topics.create("t", 1).unwrap();
        let mut old = topics.claim("t", "old").unwrap().producer().unwrap();
        append(&mut old, 0, &[(1, "old")]);
        away(&folder.path().join("t")).unwrap();
        let messages: Vec<String> = (0..100).map(|number| format!("message {number}")).collect();
        let refused = |old: &mut Producer| {
            let message = Outgoing { sequence: 2, key: None, payload: b"late", arrived: None };
            for error in [old.promise(0, ProcessingTime(200)), old.append(0, &[message]).map(drop)] {
                let error = error.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.to_string().contains("was removed or moved while it was written to"), "{error}");
            }
        };
        refused(&mut old);
        let again = Topics::open(folder.path(), clock(100)).unwrap();
        again.create("t", 1).unwrap();
        let mut new = again.claim("t", "new").unwrap().producer().unwrap();
        let numbered: Vec<_> = messages.iter().enumerate().map(|(at, text)| (at as u64, text.as_str())).collect();
        append(&mut new, 0, &numbered);
        refused(&mut old);
        assert_eq!(payloads(&read_all(&again, "t", 0, None)), messages);
    }
}
