//! The file that publishes a partition's end can be lost: the segments have everything that it said.

use crate::ends::everything;
use crate::{append, payloads, read_all, topics};
use connector_local::Topics;
use dataflow::{ErrorKind, Topic};
use std::path::{Path, PathBuf};

/// A topic whose messages lie in several segments, and the path of its partition.
fn in_segments(folder: &Path) -> (Topics, PathBuf, Vec<String>) {
    let topics = topics(folder);
    topics.create("plays", 1).unwrap();
    let mut producer = topics.producer("plays", "p", 0).unwrap().with_segment_bytes(200);
    let texts: Vec<_> = (0..12).map(|n| format!("play {n}")).collect();
    for (n, text) in texts.iter().enumerate() {
        append(&mut producer, 0, &[(n as u64, text)]);
    }
    assert!(folder.join("plays/0/000000000002.log").exists(), "there were to be several segments");
    (topics, folder.join("plays/0"), texts)
}

fn newest(partition: &Path) -> PathBuf {
    let paths = std::fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "log")).max().unwrap()
}

#[test]
fn a_lost_end_is_rebuilt_and_nothing_is_lost_or_doubled() {
    let damages: [fn(&Path); 5] = [
        |end| std::fs::remove_file(end).unwrap(),
        |end| std::fs::write(end, b"").unwrap(),
        |end| std::fs::write(end, [0; 68]).unwrap(),
        |end| std::fs::write(end, &std::fs::read(end).unwrap()[..40]).unwrap(),
        |end| {
            let mut bytes = std::fs::read(end).unwrap();
            bytes[20] ^= 1;
            std::fs::write(end, bytes).unwrap();
        },
    ];
    for damage in damages {
        for torn in [&b""[..], &[0; 30], &[9; 5]] {
            let folder = tempfile::tempdir().unwrap();
            let (topics, partition, texts) = in_segments(folder.path());
            let before = topics.topic("plays").unwrap().unwrap().ends().unwrap()[0];
            let segment = newest(&partition);
            std::fs::write(&segment, [&std::fs::read(&segment).unwrap()[..], torn].concat()).unwrap();
            damage(&partition.join("end"));
            assert_eq!(payloads(&read_all(&topics, "plays", 0, None)), texts);
            assert_eq!(topics.topic("plays").unwrap().unwrap().ends().unwrap()[0], before);
            let mut producer = topics.producer("plays", "p", 0).unwrap();
            assert_eq!(append(&mut producer, 0, &[(10, "play 10"), (11, "play 11"), (12, "play 12")]), 1);
            assert_eq!(read_all(&topics, "plays", 0, None).len(), 13);
        }
    }
}

#[test]
fn a_segment_that_was_only_begun_does_not_hide_the_one_before() {
    for torn in [&b""[..], &[1; 20]] {
        let folder = tempfile::tempdir().unwrap();
        let (topics, partition, texts) = in_segments(folder.path());
        let before = topics.topic("plays").unwrap().unwrap().ends().unwrap()[0];
        let (segment, next) = (newest(&partition), before.last.unwrap().ledger + 1);
        let header = [&b"RRTL"[..], &1u32.to_le_bytes(), &next.to_le_bytes()].concat();
        std::fs::write(partition.join(format!("{next:012}.log")), header).unwrap();
        // Its list was written before the last messages of the segment in front of it.
        std::fs::write(partition.join(format!("{next:012}.producers")), br#"{"version":1,"producers":[["p",0,1]]}"#)
            .unwrap();
        std::fs::write(&segment, [&std::fs::read(&segment).unwrap()[..], torn].concat()).unwrap();
        std::fs::remove_file(partition.join("end")).unwrap();
        assert_eq!(payloads(&read_all(&topics, "plays", 0, None)), texts);
        assert_eq!(topics.topic("plays").unwrap().unwrap().ends().unwrap()[0], before);
        let mut producer = topics.producer("plays", "p", 0).unwrap().with_segment_bytes(1);
        assert_eq!(append(&mut producer, 0, &[(11, "play 11"), (12, "play 12")]), 1);
        assert_eq!(append(&mut producer, 0, &[(13, "play 13")]), 1);
        assert_eq!(read_all(&topics, "plays", 0, None).len(), 14);
    }
}

#[test]
fn nothing_is_cut_in_front_of_a_whole_message() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("plays", 1).unwrap();
    append(&mut topics.producer("plays", "p", 0).unwrap(), 0, &[(1, "aaaa"), (2, "bbbb"), (3, "cccc")]);
    let segment = folder.path().join("plays/0/000000000000.log");
    let whole = std::fs::read(&segment).unwrap();
    let second = whole.windows(4).position(|some| some == b"bbbb").unwrap();
    // Its payload, its length, and all of it.
    let frame = (whole.len() - 16) / 3;
    for damage in [second..second + 1, 16 + frame..16 + frame + 4, 16 + frame..16 + 2 * frame] {
        let mut bytes = whole.clone();
        bytes[damage].fill(0xee);
        std::fs::write(&segment, &bytes).unwrap();
        let _ = std::fs::remove_file(folder.path().join("plays/0/end"));
        let error = topics.topic("plays").unwrap().unwrap().open(0, None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let text = error.to_string();
        assert!(text.starts_with("topic \"plays\": partition 0: message 0:1:0 at byte "), "{text}");
        assert!(text.contains("whole messages follow it, so nothing is cut off"), "{text}");
        assert_eq!(std::fs::read(&segment).unwrap(), bytes);
    }
    // The last one may be torn: nobody can say that it was acknowledged.
    let mut bytes = whole.clone();
    bytes[16 + 2 * frame + 20] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    assert_eq!(payloads(&read_all(&topics, "plays", 0, None)), ["aaaa", "bbbb"]);
}

#[test]
fn an_end_of_a_later_format_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (topics, partition, _) = in_segments(folder.path());
    let mut end = std::fs::read(partition.join("end")).unwrap();
    end[4..8].copy_from_slice(&3u32.to_le_bytes());
    std::fs::write(partition.join("end"), &end).unwrap();
    let before = everything(folder.path());
    let error = topics.topic("plays").unwrap().unwrap().open(0, None).err().unwrap().to_string();
    assert!(error.contains("has format version 3") && error.contains("newer"), "{error}");
    let error = topics.producer("plays", "p", 0).unwrap().append(0, &[]).unwrap_err().to_string();
    assert!(error.contains("has format version 3"), "{error}");
    assert!(everything(folder.path()) == before);
}
