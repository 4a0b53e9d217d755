//! The archive is the log: every message once, however often the archiver stops.

use crate::memory::*;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use dataflow::Position;
use seam::{Archiver, Frontier, Quiet, StreamSpec, archive_schema};
use std::sync::Arc;

/// Archives a topic up to positions, by archivers that stop after a random number of calls and are started again.
pub fn archive(
    random: &mut Random,
    spec: &StreamSpec,
    topic: &MemoryTopic,
    to: &[Option<Position>],
) -> (Vec<RecordBatch>, Frontier) {
    let (mut batches, mut frontier) = (Vec::new(), None);
    loop {
        let decode = Arc::new(Text);
        let mut archiver = Archiver::new(spec.clone(), topic, decode, frontier.clone(), Some(to.to_vec())).unwrap();
        for _ in 0..1 + random.below(4) {
            match archiver.next(1 + random.below(20)).unwrap() {
                Some((rows, at)) => {
                    batches.push(rows);
                    frontier = Some(Frontier::parse(&at.to_text()).unwrap());
                }
                None => {
                    assert!(archiver.finished(), "nothing is left before the end positions");
                    return (batches, archiver.frontier());
                }
            }
        }
    }
}

#[test]
fn each_message_once_wherever_the_archiver_stops() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let (delay, quiet) = (2 * SECOND, SECOND);
        let logs = random_logs(&mut random, delay, quiet);
        let topic = MemoryTopic::new("t", logs.clone());
        let counts: Vec<usize> = logs.iter().map(|log| random.below(log.len() + 1)).collect();
        let to: Vec<_> = logs.iter().zip(&counts).map(|(log, &n)| log[..n].last().map(|m| m.position)).collect();
        let spec = spec(delay, Quiet::After(dataflow::Span(quiet)));
        let (batches, frontier) = archive(&mut random, &spec, &topic, &to);
        let mut found: Vec<(i32, String, i64)> = Vec::new();
        for rows in &batches {
            assert_eq!(rows.schema(), archive_schema(&schema()));
            let column = |name: &str| rows.column_by_name(name).unwrap().clone();
            let (partition, id, raw, error) =
                (column("_partition"), column("_message_id"), column("_raw"), column("_error"));
            let ids = rows.column(0).as_primitive::<arrow::datatypes::Int64Type>();
            for row in 0..rows.num_rows() {
                assert_eq!(raw.is_valid(row), error.is_valid(row), "the bytes are kept where there is no row");
                assert_eq!(ids.is_null(row), error.is_valid(row));
                if raw.is_valid(row) {
                    assert_eq!(raw.as_binary::<i32>().value(row), b"garbage");
                }
                let id_of_row = if ids.is_valid(row) { ids.value(row) } else { -1 };
                found.push((
                    partition.as_primitive::<Int32Type>().value(row),
                    id.as_string::<i32>().value(row).to_owned(),
                    id_of_row,
                ));
            }
        }
        let mut expected = Vec::new();
        for (partition, (log, &count)) in logs.iter().zip(&counts).enumerate() {
            for message in &log[..count] {
                let at = message.position;
                let text = std::str::from_utf8(&message.payload).unwrap();
                let id = text.split_once(',').map_or(-1, |(id, _)| id.parse().unwrap());
                expected.push((partition as i32, format!("{}:{}:{}", at.ledger, at.entry, at.batch_index), id));
            }
        }
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "seed {seed}");
        let reached: Vec<_> = frontier.partitions.iter().map(|at| at.map(|at| at.position)).collect();
        assert_eq!(reached, to, "seed {seed}");
    }
}

#[test]
fn another_topic_or_fewer_partitions_are_refused_by_name() {
    let spec = spec(0, Quiet::Never);
    let frontier = Frontier::start_of(&MemoryTopic::new("old", vec![Vec::new(), Vec::new()]));
    for (topic, expected) in [
        (MemoryTopic::new("new", vec![Vec::new(), Vec::new()]), "made again"),
        (MemoryTopic::new("old", vec![Vec::new()]), "2 partitions, found 1"),
    ] {
        let refused = Archiver::new(spec.clone(), &topic, Arc::new(Text), Some(frontier.clone()), None);
        let error = refused.err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn partitions_that_are_added_are_archived_from_their_beginning() {
    let mut logs = vec![Vec::new(), Vec::new()];
    (0..100).for_each(|id| push(&mut logs[id as usize % 2], id * SECOND, format!("{id},{}", id * SECOND), false));
    let archiver = |logs: &[_], frontier| {
        Archiver::new(spec(0, Quiet::Never), &MemoryTopic::new("t", logs.to_vec()), Arc::new(Text), frontier, None)
            .unwrap()
    };
    let (first, frontier) = archiver(&logs[..1], None).next(1_000).unwrap().unwrap();
    let mut both = archiver(&logs, Some(frontier));
    let (second, frontier) = both.next(1_000).unwrap().unwrap();
    assert_eq!((first.num_rows(), second.num_rows()), (50, 50));
    assert!(both.next(1_000).unwrap().is_none() && frontier.partitions.iter().all(Option::is_some));
}

#[test]
fn partitions_of_different_weight_are_archived_in_step() {
    let mut logs = vec![Vec::new(), Vec::new()];
    (0..30_000).for_each(|id| push(&mut logs[0], id * SECOND, format!("{id},{}", id * SECOND), false));
    (0..3_000).for_each(|id| push(&mut logs[1], id * 10 * SECOND, format!("{id},{}", id * 10 * SECOND), false));
    let topic = MemoryTopic::new("t", logs);
    let mut archiver = Archiver::new(spec(SECOND, Quiet::Never), &topic, Arc::new(Text), None, None).unwrap();
    let (mut batches, mut rows) = (0, 0);
    while let Some((batch, frontier)) = archiver.next(10_000).unwrap() {
        (batches, rows) = (batches + 1, rows + batch.num_rows());
        let clocks: Vec<i64> = frontier.partitions.iter().flatten().filter_map(|at| at.clock).map(|at| at.0).collect();
        let apart = clocks.iter().max().unwrap() - clocks.iter().min().unwrap();
        // The light one is read in one turn; the heavy one is never ahead by more than a turn.
        assert!(clocks.len() == 2 && (apart <= 4_096 * SECOND || clocks[1] == 29_990 * SECOND), "{clocks:?}");
    }
    assert_eq!((batches, rows), (4, 33_000));
}

#[test]
fn large_messages_are_archived_in_batches_of_few() {
    let mut logs = vec![Vec::new()];
    (0..10_000).for_each(|id| push(&mut logs[0], id * SECOND, "x".repeat(4 << 10), false));
    let topic = MemoryTopic::new("t", logs);
    let mut archiver = Archiver::new(spec(SECOND, Quiet::Never), &topic, Arc::new(Text), None, None).unwrap();
    let mut rows = 0;
    while let Some((batch, _)) = archiver.next(10_000).unwrap() {
        rows += batch.num_rows();
        // The topic gives 4,096 messages at a time, which are 16 MiB: one read is enough.
        assert!(batch.num_rows() <= 4_096, "{} rows of 4 KiB are one batch", batch.num_rows());
    }
    assert_eq!(rows, 10_000);
}
