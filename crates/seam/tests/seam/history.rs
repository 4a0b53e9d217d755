//! Files in time order: sorted, complete, and within a memory bound, however they overlap.

use crate::host::{Host, Run};
use crate::memory::*;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use dataflow::{BadRowPolicy, EventTime, ReaderState};
use seam::{Counts, Lead, Quiet, Seam, StreamInput};
use std::sync::Arc;

fn rows(ids_and_times: &[(i64, Option<i64>)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids_and_times.iter().map(|row| row.0))),
        Arc::new(TimestampMicrosecondArray::from_iter(ids_and_times.iter().map(|row| row.1))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn input(files: MemoryFiles) -> StreamInput {
    let spec = spec(0, Quiet::Never);
    StreamInput { spec, history: Some(Arc::new(files)), history_frontier: None, live: None }
}

fn open(files: MemoryFiles, workers: usize, memory_bytes: usize) -> Host {
    Host::open(vec![input(files)], Run { memory_bytes, ..Run::new(true, workers) }).unwrap()
}

struct Reading {
    ids: Vec<i64>,
    batches: usize,
    counts: Counts,
}

/// Reads all files, and checks that every reader gives its rows in order.
fn read(files: MemoryFiles, workers: usize, memory_bytes: usize) -> Reading {
    let mut host = open(files, workers, memory_bytes);
    let readers = host.readers();
    let mut last = vec![None; readers.len()];
    while !host.is_finished() {
        for (reader, last) in readers.iter().zip(&mut last) {
            let from = host.rows[0].len();
            host.poll(*reader, 8_192).unwrap();
            for row in &host.rows[0][from..] {
                assert!(Some((row.time, row.order)) >= *last, "{row:?} after {last:?}");
                *last = Some((row.time, row.order));
            }
        }
        // Reports of what moves nobody come with time.
        host.now += 20 * MILLI;
    }
    assert_eq!((host.watermark(0), host.level, host.end), (Some(EventTime::MAX), EventTime::MAX, Some(EventTime::MAX)));
    Reading { ids: host.rows[0].iter().map(|row| row.id).collect(), batches: host.batches, counts: host.counts(0) }
}

/// Rows `0 .. n` a millisecond apart, dealt to files by a function of the row, in the sequence of the row.
fn dealt(n: usize, files: usize, file_of: impl Fn(usize) -> usize) -> Vec<Vec<(i64, Option<i64>)>> {
    let mut cut = vec![Vec::new(); files];
    for row in 0..n {
        cut[file_of(row)].push((row as i64, Some(row as i64 * MILLI)));
    }
    cut
}

fn batches(cut: &[Vec<(i64, Option<i64>)>]) -> Vec<RecordBatch> {
    cut.iter().map(|file| rows(file)).collect()
}

#[test]
fn files_in_any_shape_come_in_order() {
    let n = 200_000;
    let in_order: Vec<i64> = (0..n as i64).collect();
    let memory = 4 << 20;
    let by_shape = [
        ("in order", dealt(n, 20, |row| row * 20 / n)),
        ("each over the whole range", dealt(n, 200, |row| row % 200)),
        ("half over the whole range", dealt(n, 20, |row| if row % 2 == 0 { row * 10 / n } else { 10 + row % 10 })),
        ("one file", dealt(n, 1, |_| 0)),
    ];
    for (shape, cut) in by_shape {
        for (with_bounds, workers) in [(true, 1), (false, 1), (true, 2), (false, 3)] {
            let mut reading = read(MemoryFiles::new(schema(), batches(&cut), with_bounds), workers, memory);
            if workers > 1 {
                reading.ids.sort_unstable();
            }
            assert_eq!(reading.ids, in_order, "{shape}");
            assert_eq!(reading.counts.spilled_bytes, 0, "{shape}");
            let peak = reading.counts.history_held_bytes_peak;
            assert!(peak <= memory as u64, "{shape}: {peak} bytes");
            assert!(reading.batches < n / 1_500 * workers, "{shape}: {} batches", reading.batches);
        }
    }
}

#[test]
fn more_files_than_may_be_open_come_in_order() {
    let n = 300_000;
    for workers in [1, 3] {
        let files = MemoryFiles::new(schema(), batches(&dealt(n, 1000, |row| row % 1000)), true);
        let open = files.open.clone();
        let mut reading = read(files, workers, 1 << 20);
        if workers > 1 {
            reading.ids.sort_unstable();
        }
        assert_eq!(reading.ids, (0..n as i64).collect::<Vec<_>>());
        let (now, most) = *open.lock().unwrap();
        assert!(now == 0 && (150..=201).contains(&most), "{most} files were open at once for {workers} workers");
    }
}

#[test]
fn shuffled_files_beyond_the_memory_bound_are_spilled() {
    let (n, memory) = (200_000, 1 << 20);
    let mut random = Random(7);
    let mut all: Vec<(i64, Option<i64>)> = (0..n).map(|row| (row, Some(row / 3 * MILLI))).collect();
    random.shuffle(&mut all);
    for (files, workers) in [(1, 1), (4, 1), (4, 2), (4, 3)] {
        let cut: Vec<_> = all.chunks(all.len() / files).map(<[_]>::to_vec).collect();
        let reading = read(MemoryFiles::new(schema(), batches(&cut), true), workers, memory);
        let mut ids = reading.ids.clone();
        ids.sort_unstable();
        assert_eq!(ids, (0..n).collect::<Vec<_>>());
        assert!(reading.counts.spilled_bytes > 1 << 20, "{:?}", reading.counts);
        let peak = reading.counts.history_held_bytes_peak;
        // Each reader merges its runs by chunks of their own, which come on top of the bound.
        assert!(peak <= (memory * (1 + 2 * workers)) as u64, "{peak} bytes, {files} files, {workers} workers");
    }
}

#[test]
fn random_files_come_as_if_sorted() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let n = random.of(&[0, 1, 50, 3000]);
        let spread = random.of(&[1, 20, 5000]);
        let mut all: Vec<(i64, Option<i64>)> =
            (0..n).map(|id| (id, Some((id + random.below(spread as usize) as i64) / 2))).collect();
        let empty = random.below(5).min(all.len());
        all.iter_mut().take(empty).for_each(|row| row.1 = None);
        let mut cut = Vec::new();
        while !all.is_empty() {
            let len = (1 + random.below(700)).min(all.len());
            cut.push(all.drain(..len).collect::<Vec<_>>());
        }
        random.shuffle(&mut cut);
        let files = MemoryFiles::new(schema(), batches(&cut), random.percent(50));
        let workers = 1 + random.below(3);
        let reading = read(files, workers, random.of(&[1 << 12, 1 << 16, 1 << 24]) as usize);
        let mut expected: Vec<i64> = cut.iter().flatten().filter(|row| row.1.is_some()).map(|row| row.0).collect();
        let mut ids = reading.ids;
        assert_eq!(reading.counts.bad, empty as u64);
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected, "seed {seed}");
    }
}

#[test]
fn columns_are_found_without_regard_to_case_and_missing_ones_are_named() {
    let with_names = |names: [&str; 2]| {
        let fields: Vec<_> =
            schema().fields().iter().zip(names).map(|(f, n)| f.as_ref().clone().with_name(n)).collect();
        let renamed = Arc::new(arrow::datatypes::Schema::new(fields));
        let rows = RecordBatch::try_new(renamed.clone(), rows(&[(1, Some(5))]).columns().to_vec()).unwrap();
        MemoryFiles::new(renamed, vec![rows], true)
    };
    assert_eq!(read(with_names(["ID", "At"]), 1, 1 << 20).ids, [1]);
    let error = Seam::open(vec![input(with_names(["key", "at"]))], &Run::new(true, 1).options(), None).err().unwrap();
    assert_eq!(error.to_string(), "stream \"events\": history \"raw.events\" has no column \"id\"; it has key, at");
}

#[test]
fn a_history_of_bad_rows_is_read_to_its_end() {
    // Of a row group without bounds of its chunks all rows wait until it is read: what comes first are dead letters.
    let (good, bad) = (1_000, 60_000);
    let all: Vec<_> = (0..good + bad).map(|id| (id, (id < good).then_some(id))).collect();
    let mut of_stream = input(MemoryFiles::new(schema(), vec![rows(&all)], true));
    of_stream.spec.bad_rows = BadRowPolicy::DeadLetter;
    let mut host = Host::open(vec![of_stream], Run::new(true, 1)).unwrap();
    let reader = host.readers()[0];
    while !host.is_finished() && host.poll_when_due(reader, 8_192).unwrap() {
        host.now += 10 * MILLI;
    }
    let letters: usize = host.aside[0].iter().map(|(_, batch)| batch.rows()).sum();
    assert_eq!((host.rows[0].len(), letters), (good as usize, bad as usize), "{:?}", host.state(reader));
    assert!(host.is_finished());
}

#[test]
fn the_ceiling_holds_rows_back() {
    for workers in 1..=3 {
        let files = MemoryFiles::new(schema(), batches(&dealt(1000, 3, |row| row % 3)), true);
        let run = Run { lead: Lead { rows: 0, bytes: 0 }, ..Run::new(true, workers) };
        let mut host = Host::open(vec![input(files)], run).unwrap();
        host.hold_at(EventTime(99 * MILLI));
        host.rest(10_000).unwrap();
        let times = |host: &Host| host.rows[0].iter().map(|row| row.time).max();
        assert_eq!((host.rows[0].len(), times(&host)), (100, Some(99 * MILLI)));
        assert_eq!(host.watermark(0), Some(EventTime(100 * MILLI - 1)));
        for reader in host.readers() {
            assert!(!host.poll(reader, 10_000).unwrap());
            assert_eq!(host.state(reader), ReaderState::Waiting { until: None });
        }
        host.hold_at(EventTime(500 * MILLI));
        for reader in host.readers() {
            host.poll(reader, 50).unwrap();
        }
        assert_eq!(host.rows[0].len(), 100 + 50 * workers);
        host.rest(10_000).unwrap();
        assert_eq!((host.rows[0].len(), times(&host)), (501, Some(500 * MILLI)));
    }
}

#[test]
fn a_row_without_a_time_fails_the_job_where_the_stream_says_so() {
    let mut input = input(MemoryFiles::new(schema(), vec![rows(&[(1, Some(5)), (2, None)])], true));
    input.spec.bad_rows = BadRowPolicy::Fail;
    let error = Host::open(vec![input], Run::new(true, 1)).unwrap().rest(10).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stream \"events\": file 0.parquet, row 2: it has no event time: at is NULL; its id is 2; ON BAD ROW SKIP would count it and go on"
    );
}
