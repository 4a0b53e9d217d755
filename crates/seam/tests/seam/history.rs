//! Files in time order: sorted, complete, and within a memory bound, however they overlap.

use crate::host::Host;
use crate::memory::*;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use dataflow::{EventTime, ReaderState, Span};
use seam::{BadRows, Counts, Lead, Quiet, Seam, StreamInput};
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

fn open(files: MemoryFiles, memory_bytes: usize) -> Seam {
    Seam::open(vec![input(files)], &options(true, memory_bytes, Lead::default().rows), None).unwrap()
}

struct Reading {
    ids: Vec<i64>,
    batches: usize,
    counts: Counts,
}

/// Reads all files, and checks order and watermark.
fn read(files: MemoryFiles, memory_bytes: usize) -> Reading {
    let seam = open(files, memory_bytes);
    let stats = seam.stats().remove(0);
    let mut host = Host::new(&seam, 0);
    let (mut ids, mut batches, mut last, mut given) = (Vec::new(), 0, None, EventTime::MIN);
    loop {
        host.now = host.now.plus(Span::millis(20));
        let polled = host.poll(0, 8_192).unwrap();
        for row in polled.batch.iter().flat_map(rows_of) {
            assert!(row.time > given.0 && Some((row.time, row.order)) >= last, "{row:?} after {last:?}, {given}");
            last = Some((row.time, row.order));
            ids.push(row.id);
        }
        batches += usize::from(polled.batch.is_some());
        given = polled.watermark.unwrap();
        if polled.state == ReaderState::Finished {
            assert_eq!(given, EventTime::MAX);
            return Reading { ids, batches, counts: stats.counts() };
        }
    }
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
        for with_bounds in [true, false] {
            let reading = read(MemoryFiles::new(schema(), batches(&cut), with_bounds), memory);
            assert_eq!(reading.ids, in_order, "{shape}");
            assert_eq!(reading.counts.spilled_bytes, 0, "{shape}");
            let peak = reading.counts.history_held_bytes_peak;
            assert!(peak <= memory as u64, "{shape}: {peak} bytes");
            assert!(reading.batches < n / 1_500, "{shape}: {} batches", reading.batches);
        }
    }
}

#[test]
fn more_files_than_may_be_open_come_in_order() {
    let n = 300_000;
    let files = MemoryFiles::new(schema(), batches(&dealt(n, 1000, |row| row % 1000)), true);
    let open = files.open.clone();
    let reading = read(files, 1 << 20);
    assert_eq!(reading.ids, (0..n as i64).collect::<Vec<_>>());
    let (now, most) = *open.lock().unwrap();
    assert!(now == 0 && (150..=201).contains(&most), "{most} files were open at once");
}

#[test]
fn shuffled_files_beyond_the_memory_bound_are_spilled() {
    let (n, memory) = (200_000, 1 << 20);
    let mut random = Random(7);
    let mut all: Vec<(i64, Option<i64>)> = (0..n).map(|row| (row, Some(row / 3 * MILLI))).collect();
    random.shuffle(&mut all);
    for files in [1, 4] {
        let cut: Vec<_> = all.chunks(all.len() / files).map(<[_]>::to_vec).collect();
        let reading = read(MemoryFiles::new(schema(), batches(&cut), true), memory);
        let mut ids = reading.ids.clone();
        ids.sort_unstable();
        assert_eq!(ids, (0..n).collect::<Vec<_>>());
        assert!(reading.counts.spilled_bytes > 1 << 20, "{:?}", reading.counts);
        let peak = reading.counts.history_held_bytes_peak;
        // Runs are merged by chunks of their own, which come on top of the bound.
        assert!(peak <= memory as u64 * 3, "{peak} bytes");
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
        let reading = read(files, random.of(&[1 << 12, 1 << 16, 1 << 24]) as usize);
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
    assert_eq!(read(with_names(["ID", "At"]), 1 << 20).ids, [1]);
    let error = Seam::open(vec![input(with_names(["key", "at"]))], &options(true, 1 << 20, 1), None).err().unwrap();
    assert_eq!(error.to_string(), "stream \"events\": history \"raw.events\" has no column \"id\"; it has key, at");
}

#[test]
fn the_ceiling_holds_rows_back() {
    // The second stream stands still before its first row, and the first one has a lead of 100 rows.
    let files = MemoryFiles::new(schema(), batches(&dealt(1000, 3, |row| row % 3)), true);
    let other = MemoryFiles::new(schema(), vec![rows(&[(0, Some(0)), (1, Some(500 * MILLI))])], true);
    let seam = Seam::open(vec![input(files), input(other)], &options(true, 1 << 20, 100), None).unwrap();
    let mut host = Host::new(&seam, 0);
    let polled = host.poll(0, 100).unwrap();
    assert_eq!(polled.batch.map(|batch| batch.rows()), Some(100));
    assert_eq!(polled.watermark, Some(EventTime(100 * MILLI - 1)));
    assert!(host.poll(0, 10_000).unwrap().batch.is_none());
    host.poll(1, 1).unwrap();
    let polled = host.poll(0, 50).unwrap();
    assert_eq!(polled.batch.map(|batch| batch.rows()), Some(50));
}

#[test]
fn a_row_without_a_time_fails_the_job_where_the_stream_says_so() {
    let mut input = input(MemoryFiles::new(schema(), vec![rows(&[(1, Some(5)), (2, None)])], true));
    input.spec.bad_rows = BadRows::Fail;
    let seam = Seam::open(vec![input], &options(true, 1 << 20, 1), None).unwrap();
    let error = Host::new(&seam, 0).poll(0, 10).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stream \"events\": file 0.parquet, row 2: it has no event time; ON BAD ROW SKIP would count it and go on"
    );
}
