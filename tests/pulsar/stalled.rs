//! An output that stands still: nothing that is sent to its topic arrives, and nothing comes back.
//!
//! For so many seconds as `PULSAR_STALL_SECONDS` says. With a minute or more so much is put that reading has to stop.

use crate::decided::{Cluster, OFTEN, Plays, write};
use crate::losses;
use crate::project::{Folder, RUN};
use crate::sink::number;
use serde_json::Value;
use std::collections::BTreeSet;
use tests::machine::{SECOND, now, pause, until};
use tests::{Program, PulsarProxy};

const STALL_SECONDS: u64 = 10;
const PARTITIONS: u32 = 2;
/// How many letters a row has. They compress well, so that the broker has little to keep.
const LETTERS: usize = 500_000;
/// Twice what may wait in memory for an output.
const PLAYS: usize = 270;
/// More than may wait for an output in memory and on disk together, which is 64 MiB and 1 GiB.
const PLAYS_BEYOND: usize = 2_800;
/// What a job takes at most for rows that wait: 64 MiB for the output, and what is on its way before and after that, each as
/// a row and as the text of its message. Where so much is put that reading stops, all of that is full: 64 MiB that each of
/// two readers leads by, 16 MiB in each of four lanes, 64 MiB of the queue, 8 MiB that are written as rows, once more
/// together and as texts, and 8 MiB for each of two partitions on either side, which is 310 MiB. The allocator, which gives
/// each thread room of its own, takes as much again of blocks of this size.
const MEMORY_BYTES: [u64; 2] = [320 << 20, 640 << 20];

const SQL: &str = "
CREATE STREAM plays (id BIGINT, body TEXT, played_at TIMESTAMP,
  WATERMARK FOR played_at AS played_at - INTERVAL '1' SECOND QUIET AFTER INTERVAL '200' MILLISECOND
) LIVE plays;
INSERT INTO TOPIC copies SELECT id, CAST(id AS TEXT) AS subject, body FROM plays;
";

/// How many messages the topic of copies has taken.
fn written(cluster: &Cluster) -> u64 {
    let stats = cluster.of_topic("GET", "copies", "/partitioned-stats", "");
    serde_json::from_str::<Value>(&stats).unwrap()["msgInCounter"].as_u64().unwrap()
}

fn wait_for(cluster: &Cluster, copies: usize, job: &mut Program) {
    let begun = now();
    while written(cluster) < copies as u64 {
        let is_waiting = now() < begun + 2 * RUN && job.ended(0).is_none();
        assert!(is_waiting, "{} of {copies} copies: {}", written(cluster), job.told());
        pause(SECOND / 10);
    }
}

/// How many entries of its topic the job has not read.
fn unread(folder: &Folder) -> u64 {
    let told: Value = serde_json::from_str(&folder.printed(&["explain", "watermark", "--json"], "proxied")).unwrap();
    let partitions = told["streams"][0]["partitions"].as_array().unwrap();
    partitions.iter().map(|partition| partition["backlog_entries"].as_u64().unwrap()).sum()
}

#[test]
fn an_output_that_stands_still_holds_rows_in_bounds_and_has_each_once_when_it_moves_again() {
    let Some(broker) = losses::broker() else { return };
    let seconds = number("PULSAR_STALL_SECONDS", STALL_SECONDS);
    let (is_long, moment) = (seconds >= 60, seconds as i64 * SECOND);
    let plays_until = if is_long { PLAYS_BEYOND } else { PLAYS };
    let cluster = Cluster::with_namespace(broker, "stalled");
    let proxy = PulsarProxy::start(&cluster.service_url);
    let folder = cluster.folder(OFTEN, &proxy.service_url());
    write(&folder, SQL);
    cluster.make("plays", PARTITIONS);
    cluster.make("copies", PARTITIONS);
    let plays = Plays::new(&cluster, PARTITIONS, LETTERS);
    plays.put_until(20);
    let mut job = folder.start(&["run"], "proxied");
    wait_for(&cluster, 20, &mut job);
    let held = job.memory().map_or(0, |(now, _)| now);

    proxy.hold_producers(true);
    let stalled = now();
    plays.put_until(plays_until);
    until(stalled + moment);
    assert!(job.ended(0).is_none(), "it has ended by itself: {}", job.told());
    assert_eq!(written(&cluster), 20, "the output has moved");
    if is_long {
        let before = unread(&folder);
        pause(10 * SECOND);
        let after = unread(&folder);
        assert!(before > 0 && after == before, "it goes on reading: {before} entries, then {after}");
    }
    proxy.hold_producers(false);
    let moved = now();
    wait_for(&cluster, plays_until, &mut job);
    let (most, took) = (job.memory().map_or(0, |(_, most)| most), now() - moved);
    job.interrupt();
    let ended = job.ended(RUN).expect("a job that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert!(!ended.told.contains("at least once"), "{}", ended.told);
    println!(
        "  an output that stood still for {seconds} s: {} MiB before, {} MiB at most, {plays_until} rows were there {} s \
         after",
        held >> 20,
        most >> 20,
        took / SECOND
    );
    assert!(most < held + MEMORY_BYTES[usize::from(is_long)], "it held {held} bytes before, and {most} bytes at most");
    assert_once(&cluster, &folder, plays_until);
}

/// The Java client finds each copy once.
fn assert_once(cluster: &Cluster, folder: &Folder, copies: usize) {
    let mut rows = BTreeSet::new();
    let mut ids = cluster.dumped("copies", folder, |message| {
        let row = message["properties"]["riverrun.row"].to_string();
        assert!(rows.insert(row), "row {} is there twice", message["properties"]);
        serde_json::from_str::<Value>(message["payload"].as_str().unwrap()).unwrap()["id"].as_u64().unwrap()
    });
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(0..copies as u64), "{} copies of {copies}", ids.len());
}
